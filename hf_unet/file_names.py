"""Which files are images, which ground truths, and which two belong together, by their names."""

import re
from collections.abc import Iterable

IMAGE_SUFFIXES = frozenset(
    (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".pgm", ".ppm", ".jp2")
)

LABEL_SUFFIXES = IMAGE_SUFFIXES | {".npy", ".json", ".geojson"}

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "raw", "slices")
LABEL_FOLDERS = ("labels", "label", "masks", "mask", "annotations", "gt")
"""Names of folders, in the order in which they are looked for."""

_LABEL_WORDS = (
    r"man_?seg|masks?|labels?|seg|segmentations?|gt|truth|ground_?truth|annotations?|instances?"
)
_IMAGE_WORDS = r"images?|img|im|raw"


def _words(of: str) -> re.Pattern[str]:
    """Words that stand by themselves, in whatever case."""
    return re.compile(rf"(?:^|(?<=[\W_]))(?:{of})(?=$|[\W_]|\d)", re.IGNORECASE)


_LABEL_WORD, _KIND_OF_FILE = _words(_LABEL_WORDS), _words(f"{_LABEL_WORDS}|{_IMAGE_WORDS}")


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


def is_named_as_label(stem: str) -> bool:
    """Whether a word of a stem says that it is a ground truth.

    Examples
    --------
    >>> is_named_as_label("cell_01_mask"), is_named_as_label("goldmask")
    (True, False)
    """
    return _LABEL_WORD.search(stem) is not None
