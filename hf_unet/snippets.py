"""The code that makes a mask: what to write in Python or in the shell for what a page shows."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any


@dataclass(frozen=True)
class Snippet:
    """Code that segments one image and saves what was found.

    The lines run as they stand, whatever characters the names have.

    Attributes
    ----------
    model : str
        A folder such as ``models/nuclei``, or a name on the Hub.
    image : str
        File of the image.
    revision : str or None
        Branch, tag or commit on the Hub.
    page : int
        Page of a multi-page file, from 0.
    tile : int, (int, int) or None
        Side of a tile, or its height and width, in pixels. None: by memory.
    test_time_averaging : bool or None
        None: as the model says.
    changes : mapping
        Arguments of the model that are not those of its config.json: numbers, texts, yes and no,
        None, and sequences of them.
    output : str
        Folder; the result of a.tif goes to ``output/a``.

    Examples
    --------
    >>> snippet = Snippet("models/nuclei", "my cells.tif", page=2, changes={"min_area": 20})
    >>> print(snippet.python)
    from hf_unet import UNet
    <BLANKLINE>
    model = UNet.from_pretrained('models/nuclei', min_area=20)
    result = model.segment('my cells.tif', page=2)
    result.save('results/my cells')
    >>> snippet.shell.split(" --model ")[0]
    "hf-unet segment 'my cells.tif'"
    >>> snippet.shell.split(" --model ")[1]
    'models/nuclei --page 2 --set min_area=20 --output results'
    """

    model: str
    image: str
    revision: str | None = None
    page: int = 0
    tile: int | tuple[int, int] | None = None
    test_time_averaging: bool | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    output: str = "results"

    @property
    def python(self) -> str:
        """Five lines of Python."""
        loading = {} if self.revision is None else {"revision": self.revision}
        segmenting: dict[str, Any] = {}
        if self.tile is not None:
            segmenting["tile"] = self.tile
        if self.page:
            segmenting["page"] = self.page
        if self.test_time_averaging is not None:
            segmenting["test_time_averaging"] = self.test_time_averaging
        loaded = _arguments(self.model, loading | dict(self.changes))
        folder = f"{self.output}/{PurePath(self.image).stem}"
        return (
            "from hf_unet import UNet\n\n"
            f"model = UNet.from_pretrained({loaded})\n"
            f"result = model.segment({_arguments(self.image, segmenting)})\n"
            f"result.save({folder!r})"
        )

    @property
    def shell(self) -> str:
        """One command line, for bash and its kin."""
        words = ["hf-unet", "segment"]
        # What begins with a dash would be taken for an option.
        words.append(f"./{self.image}" if self.image.startswith("-") else self.image)
        words += _option("--model", self.model)
        if self.revision is not None:
            words += _option("--revision", self.revision)
        if self.page:
            words += ["--page", str(self.page)]
        if self.tile is not None:
            sides = self.tile if isinstance(self.tile, tuple) else (self.tile,)
            words += ["--tile", "x".join(map(str, sides))]
        if self.test_time_averaging is not None:
            words.append("--average" if self.test_time_averaging else "--no-average")
        for name, value in self.changes.items():
            words += ["--set", f"{name}={json.dumps(_plain(value))}"]
        return shlex.join([*words, *_option("--output", self.output)])


def _arguments(first: str, named: Mapping[str, Any]) -> str:
    """Arguments of a call, as Python writes them."""
    return ", ".join([repr(first), *(f"{name}={_plain(value)!r}" for name, value in named.items())])


def _option(option: str, value: str) -> list[str]:
    """An option and its value, in one word where the value looks like an option."""
    return [f"{option}={value}"] if value.startswith("-") else [option, value]


def _plain(value: Any) -> Any:
    """Python's own number for NumPy's, whose repr is no number."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value)
    return value
