"""The errors people see: each is a ValueError whose message is fit to be shown as it is."""

from dataclasses import dataclass


class ImageError(ValueError):
    """An image cannot be read, or does not suit the model."""


@dataclass(frozen=True)
class Advice:
    """What to do about a label, which depends on where one meets it.

    Attributes
    ----------
    python : str
        By arguments, for who calls a function.
    recipe : str
        By a recipe's options, or those of ``hf-unet check-masks``.
    page : str
        For who brings a file to the demo, where there are no options: by the file alone.
    """

    python: str
    recipe: str
    page: str


class LabelError(ValueError):
    """A label file cannot be mapped to classes or instances.

    Parameters
    ----------
    finding : str
        What was found and what would be right; where the same helps everywhere, also that.
    advice : Advice, optional
        What to do, where that differs. The message is the one for Python; who speaks to others
        takes ``in_recipe`` or ``on_page``.

    Examples
    --------
    >>> error = LabelError("a.png is grey.", Advice("Pass threshold=127.", "", "Save it again."))
    >>> str(error), error.on_page
    ('a.png is grey. Pass threshold=127.', 'a.png is grey. Save it again.')
    """

    def __init__(self, finding: str, advice: Advice | None = None) -> None:
        self.finding = finding
        self.advice = advice
        super().__init__(self._with(advice.python if advice else ""))

    @property
    def in_recipe(self) -> str:
        """The message for who writes a recipe."""
        return self._with(self.advice.recipe if self.advice else "")

    @property
    def on_page(self) -> str:
        """The message for who brings a file to the demo."""
        return self._with(self.advice.page if self.advice else "")

    def _with(self, words: str) -> str:
        return f"{self.finding} {words}" if words else self.finding


class ModelError(ValueError):
    """A model cannot be built, loaded, or applied to this input size."""


class AbsentFileError(ModelError):
    """A model repository that can be read does not hold a file."""


class ResultError(ValueError):
    """A saved result cannot be made again, or a result cannot be saved."""


def first_line(error: BaseException) -> str:
    r"""What another library's error says, as one sentence.

    Examples
    --------
    >>> first_line(OSError("no route\nto the host")), first_line(KeyboardInterrupt())
    ('no route.', 'KeyboardInterrupt.')
    """
    text = str(error).strip().splitlines()
    return (text[0].rstrip(".") + ".") if text else f"{type(error).__name__}."
