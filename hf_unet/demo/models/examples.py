"""Example images that go with a model: those in ``spaces/examples``, and a Hub repository's own."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from httpx2 import HTTPError
from huggingface_hub import hf_hub_download

from hf_unet.demo.models.names import HubName
from hf_unet.demo.models.repositories import HUB_TIMEOUT, Listing, visitor_token
from hf_unet.errors import ModelError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIST = "examples.toml"

MOST_EXAMPLES = 4
"""Of a repository on the Hub; more are left out."""

LARGEST_EXAMPLE = 5_000_000
"""Bytes of an image or a truth on the Hub; larger ones are left out."""

_FILE = re.compile(r"examples/(?P<stem>\w[\w .-]*)\.(?P<kind>png|tif|tiff|jpg|jpeg|bmp|webp)", re.I)
_TRUTH = ("_truth", "_mask", "_label")


@dataclass(frozen=True)
class Example:
    """An image to try a model on.

    Attributes
    ----------
    label : str
        Its name in the page.
    image : Path
    truth : Path or None
        The ground truth, of the image's size.
    model : str
        A name that `hf_unet.demo.models.loading.load_model` takes.
    licence, source : str
        Under which terms it may be shown, and where it is from.
    synthetic : bool
        Drawn, no image of anything.
    """

    label: str
    image: Path
    truth: Path | None
    model: str
    licence: str
    source: str
    synthetic: bool = False


def read_examples(folder: str | Path) -> tuple[Example, ...]:
    """The examples that a folder's ``examples.toml`` lists, in its order.

    Parameters
    ----------
    folder : str or Path
        With ``examples.toml`` and the files that it names.

    Raises
    ------
    ValueError
        If an entry lacks a value, or names a file that is not there.
    """
    folder = Path(folder)
    listed = tomllib.loads((folder / LIST).read_text(encoding="utf-8"))["example"]
    return tuple(_example(folder, entry) for entry in listed)


def _example(folder: Path, entry: Mapping[str, object]) -> Example:
    named = {key: folder / str(entry[key]) for key in ("image", "truth") if key in entry}
    for path in named.values():
        if not path.is_file():
            raise ValueError(f"{LIST} names {path.name}, which does not lie beside it.")
    try:
        return Example(
            label=str(entry["label"]),
            image=named["image"],
            truth=named.get("truth"),
            model=str(entry["model"]),
            licence=str(entry["licence"]),
            source=str(entry["source"]),
            synthetic=bool(entry.get("synthetic", False)),
        )
    except KeyError as error:
        raise ValueError(f"An entry of {LIST} lacks {error.args[0]!r}: {dict(entry)}.") from error


def listed_on_hub(sizes: Mapping[str, int]) -> tuple[tuple[str, str | None], ...]:
    """Images in the folder ``examples/`` of a repository, each with its truth if it has one.

    A truth is named as its image is, with ``_truth``, ``_mask`` or ``_label`` at the end of the
    stem. What is larger than ``LARGEST_EXAMPLE``, or more than ``MOST_EXAMPLES``, is left out.

    Parameters
    ----------
    sizes : mapping of str to int
        Bytes of each file of the repository, by its path.

    Examples
    --------
    >>> listed_on_hub({"examples/a.tif": 10, "examples/a_truth.png": 9, "examples/b.png": 8})
    (('examples/a.tif', 'examples/a_truth.png'), ('examples/b.png', None))
    """
    files = {
        found["stem"]: path
        for path, size in sorted(sizes.items())
        if (found := _FILE.fullmatch(path)) and size <= LARGEST_EXAMPLE
    }
    pairs = []
    for stem, path in files.items():
        if any(stem.endswith(end) and stem.removesuffix(end) in files for end in _TRUTH):
            continue
        truths = [files[stem + end] for end in _TRUTH if stem + end in files]
        pairs.append((path, truths[0] if truths else None))
    return tuple(pairs[:MOST_EXAMPLES])


def fetch_examples(name: HubName, listing: Listing, folder: str | Path) -> tuple[Example, ...]:
    """Fetch the examples that a repository on the Hub holds itself.

    Parameters
    ----------
    name : HubName
    listing : Listing
        Of the commit to take them from.
    folder : str or Path
        Where to put them: a folder of their own, that the page may serve files from.

    Returns
    -------
    tuple of Example
        Empty if it holds none.

    Raises
    ------
    ModelError
        If they cannot be fetched. The model itself may be usable all the same.
    """

    def fetch(path: str) -> Path:
        return Path(
            hf_hub_download(
                name.repository,
                path,
                revision=listing.commit,
                local_dir=folder,
                token=visitor_token(),
                etag_timeout=HUB_TIMEOUT,
            )
        )

    try:
        return tuple(
            Example(
                label=PurePosixPath(image).stem.replace("_", " "),
                image=fetch(image),
                truth=None if truth is None else fetch(truth),
                model=str(name),
                licence="see the model's card",
                source=name.page,
            )
            for image, truth in listed_on_hub(listing.sizes)
        )
    except (HTTPError, OSError, ValueError) as error:
        raise ModelError(
            f"The examples of {name} could not be fetched from the Hub. Try again later, or "
            "upload an image of your own."
        ) from error
