"""An image file and its label -> one pair, or one for each page of the two."""

from collections.abc import Sequence
from pathlib import Path

from hf_unet.errors import LabelError
from hf_unet.images import read_image
from hf_unet.images.pages import pages_of
from hf_unet.labels.files import open_pages, read_bytes
from hf_unet.labels.ground_truth import has_background
from hf_unet.training.pairs import DataError, OneFile, Pair
from hf_unet.training.settings import DataSettings


def file_pairs(
    image: Path, label: Path, settings: DataSettings, classes: tuple[str, ...]
) -> list[Pair]:
    """The pair of two files, or if the image has several pages that of each of them.

    Pages of one file are neighbors as a rule, so a split keeps them together.

    Raises
    ------
    DataError
        If the label has neither a page for each of the image's nor a mask for each class.
    """
    pages, label_pages = pages_of(image), pages_of_label(label)
    if len(pages) > 1:
        return page_pairs(image, label, settings, classes, together=image.stem)
    several = len(label_pages) > 1
    if several and not _may_be_classes(len(label_pages), settings, classes):
        raise _unequal(image, 1, label, len(label_pages))
    source = OneFile(
        label,
        0 if several else label_pages[0],
        settings.threshold,
        image.stem in settings.partial,
        whole=several,
    )
    return [Pair(image.stem, image, source, classes, settings.kind, pages[0])]  # type: ignore[arg-type]


def page_pairs(
    image: Path,
    label: Path,
    settings: DataSettings,
    classes: tuple[str, ...],
    together: str = "",
) -> list[Pair]:
    """Page n of the image with page n of the label, named after the image and n.

    Raises
    ------
    DataError
        If the two differ in pages, or the labels' are asked for as masks of classes.
    """
    pages, label_pages = pages_of(image), pages_of_label(label)
    if len(pages) != len(label_pages):
        raise _unequal(image, len(pages), label, len(label_pages))
    if settings.kind == "multilabel" and len(classes) > 1 and len(pages) > 1:
        raise DataError(
            f'data.kind = "multilabel" takes the pages of {label.name} for one mask per class, '
            f"but each belongs to a page of {image.name}. Give each picture a file of its own."
        )
    # Nothing is guessed: of as many pages as classes, the first would be looked at as a mask of
    # one. (A lone class leaves nothing to guess.)
    kind = settings.kind or ("classes" if len(classes) > 1 else None)
    digits = len(str(len(pages) - 1))
    pairs = []
    for number, (page, label_page) in enumerate(zip(pages, label_pages, strict=True)):
        name = f"{image.stem}/{number:0{digits}d}"
        partial = bool({name, together} & set(settings.partial))
        source = OneFile(label, label_page, settings.threshold, partial)
        pairs.append(Pair(name, image, source, classes, kind, page, together))  # type: ignore[arg-type]
    return pairs


def pages_of_label(label: Path) -> tuple[int, ...]:
    """Pages of a label file, from 0; a folder, outlines and what cannot be read have one."""
    if label.is_dir() or label.suffix.lower() in (".json", ".geojson"):
        return (0,)
    if label.suffix.lower() != ".npy":
        return pages_of(label)
    try:
        return tuple(range(open_pages(label).page_count))
    except LabelError:  # reading it says so
        return (0,)


def _may_be_classes(count: int, settings: DataSettings, classes: Sequence[str]) -> bool:
    """Whether so many pages of a label may be one mask per class."""
    if settings.kind is not None:
        return settings.kind == "multilabel"
    return count in (len(classes), len(classes) - has_background(classes))


def _unequal(image: Path, pages: int, label: Path, label_pages: int) -> DataError:
    """What is wrong with two files of different pages; if one is damaged, that is raised."""
    read_image(image)
    if not label.is_dir():
        read_bytes(label)
    return DataError(
        f"{image.name} has {pages} page{'s' * (pages != 1)} and {label.name} {label_pages}: each "
        "page of images needs its page of labels. Where pages are no pictures, but channels of "
        "one or copies, save it without them, its channels in one page."
    )
