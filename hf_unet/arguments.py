"""What the arguments of a network may be: each check gives the value, or says what is right."""

from collections.abc import Collection, Sequence
from reprlib import Repr
from typing import Any

from hf_unet.colors import is_color
from hf_unet.errors import ModelError

LATER: dict[str, Any] = {"calibration": None, "downsampling": 1}
"""Arguments younger than the first version, and what a config.json without them means."""

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 12


def shortened(value: object) -> str:
    """How a value is shown in a sentence, whatever a config.json holds in its place.

    Examples
    --------
    >>> shortened("cell"), shortened([[[[[[[[]]]]]]]])
    ("'cell'", '[[[[[[[...]]]]]]]')
    """
    return _SHORT.repr(value)


def whole(name: str, value: Any, at_least: int, at_most: int | None = None) -> int:
    """A whole number.

    Examples
    --------
    >>> whole("depth", 0, at_least=1, at_most=8)
    Traceback (most recent call last):
        ...
    hf_unet.errors.ModelError: depth is a whole number of at least 1 and at most 8, not 0.
    """
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= at_least
    if not fits or (at_most is not None and value > at_most):
        most = "" if at_most is None else f" and at most {at_most}"
        raise ModelError(
            f"{name} is a whole number of at least {at_least}{most}, not {shortened(value)}."
        )
    return int(value)


def true_or_false(name: str, value: object) -> bool:
    """A bool and nothing else."""
    if not isinstance(value, bool):
        raise ModelError(f"{name} is true or false, not {shortened(value)}.")
    return value


def one_of(name: str, value: object, known: Collection[str]) -> str:
    """One of some texts."""
    if not isinstance(value, str) or value not in known:
        raise ModelError(f"{name} is one of {', '.join(known)}, not {shortened(value)}.")
    return value


def probability(name: str, value: object) -> float:
    """A probability that leaves room on both sides."""
    if not _is_probability(value):
        raise ModelError(f"{name} is a probability between 0 and 1, not {shortened(value)}.")
    return float(value)  # type: ignore[arg-type]


def pixels(name: str, value: object, most: float) -> float:
    """A length in pixels, from 0."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= most:  # type: ignore[operator]
        raise ModelError(
            f"{name} is a number of pixels from 0 to {most:g}, not {shortened(value)}."
        )
    return float(value)  # type: ignore[arg-type]


def probabilities(thresholds: object, count: int) -> tuple[float, ...]:
    """As many thresholds as are needed."""
    listed = isinstance(thresholds, Sequence) and len(thresholds) == count
    if not listed or not all(map(_is_probability, thresholds)):  # type: ignore[call-overload]
        raise ModelError(
            f"thresholds are {count} probabilities between 0 and 1, not {shortened(thresholds)}."
        )
    return tuple(map(float, thresholds))  # type: ignore[call-overload]


def class_names(classes: object) -> tuple[str, ...]:
    """Names of classes, each another."""
    if (
        isinstance(classes, str)
        or not isinstance(classes, Sequence)
        or not 1 <= len(classes) <= 255
        or not all(isinstance(name, str) and name.strip() for name in classes)
        or len(set(classes)) != len(classes)
    ):
        raise ModelError(f"classes are 1 to 255 different names, not {shortened(classes)}.")
    return tuple(classes)


def color_texts(colors: object, count: int) -> tuple[str, ...]:
    """As many colours as are needed."""
    if (
        isinstance(colors, str)
        or not isinstance(colors, Sequence)
        or len(colors) != count
        or not all(map(is_color, colors))
    ):
        raise ModelError(
            f'colors are {count} texts of the form "#rrggbb", not {shortened(colors)}.'
        )
    return tuple(colors)


def _is_probability(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 < value < 1
