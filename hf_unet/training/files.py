"""Files by name: those of a folder, and which image and label belong together."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from hf_unet.training.pairs import DataError

IMAGE_SUFFIXES = frozenset(
    (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".pgm", ".ppm", ".jp2")
)

LABEL_SUFFIXES = IMAGE_SUFFIXES | {".npy", ".json", ".geojson"}

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "slices")
LABEL_FOLDERS = ("labels", "label", "masks", "mask", "annotations", "gt")
"""Names that are looked for where the settings give none."""

_KIND_OF_FILE = re.compile(
    r"(?:^|(?<=[\W_]))(?:man_?seg|masks?|labels?|seg|segmentations?|gt|truth|ground_?truth|"
    r"annotations?|instances?|images?|img|im|raw)(?=$|[\W_]|\d)",
    re.IGNORECASE,
)


def match_names(images: Iterable[str], labels: Iterable[str]) -> dict[str, str]:
    """Each image's stem to the stem of its label, as far as there is exactly one.

    The same stem is its partner; else the one that is the same without words such as ``mask``.

    Examples
    --------
    >>> match_names(["cell_01", "img_02", "a"], ["cell_01_mask", "mask_02", "a"])
    {'cell_01': 'cell_01_mask', 'img_02': 'mask_02', 'a': 'a'}
    """
    by_stem = set(labels)
    images = list(images)
    taken = by_stem & set(images)
    bare: dict[str, list[str]] = {}
    for stem in sorted(by_stem - taken):
        bare.setdefault(bare_name(stem), []).append(stem)
    alike = [bare_name(stem) for stem in images if stem not in taken]
    partners = {}
    for stem in images:
        name = bare_name(stem)
        if stem in taken:
            partners[stem] = stem
        elif len(bare.get(name, ())) == 1 and alike.count(name) == 1:
            partners[stem] = bare[name][0]
    return partners


def bare_name(stem: str) -> str:
    """A stem without the words that say whether it is an image or a mask.

    Examples
    --------
    >>> bare_name("well-A3_mask"), bare_name("img_007"), bare_name("mask")
    ('well-A3', '007', 'mask')
    """
    bare = re.sub(r"([\W_])[\W_]+", r"\1", _KIND_OF_FILE.sub("", stem)).strip("_-. ")
    return bare or stem


def place(folder: Path, name: str, usual: Sequence[str]) -> Path:
    """The folder of this name, or the first of the usual names that exists.

    Raises
    ------
    DataError
        If none of them does.
    """
    if name:
        return folder / name
    for one in usual:
        if (folder / one).is_dir():
            return folder / one
    raise DataError(
        f"There is no folder {', '.join(usual[:-1])} or {usual[-1]} in {folder.resolve().name}: "
        "name it by data.images or data.labels (--images, --labels)."
    )


def list_files(
    folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES, *, folders: bool = False
) -> list[Path]:
    """Files with these endings in a folder, sorted, and folders if asked; hidden ones left out.

    Raises
    ------
    DataError
        If there is no such folder, or no such file in it.
    """
    name = folder.resolve().name
    if not folder.is_dir():
        raise DataError(f"There is no folder {name} in {folder.resolve().parent.name}.")
    files = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and (path.suffix.lower() in suffixes if path.is_file() else folders)
    ]
    if not files:
        raise DataError(f"The folder {name} holds no images or labels that can be read.")
    return files


def stem_of(path: Path) -> str:
    """What a file or a folder is matched by: its name before the ending."""
    return path.name if path.is_dir() else path.stem


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by stem.

    Raises
    ------
    DataError
        If two have the same.
    """
    found: dict[str, Path] = {}
    for path in paths:
        stem = stem_of(path)
        if stem in found:
            raise DataError(
                f"The folder {path.parent.name} holds {found[stem].name} and {path.name}: files "
                "are matched by the name before the ending, so keep one of the two."
            )
        found[stem] = path
    return found
