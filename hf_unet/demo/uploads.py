"""Files that visitors bring: images and ground truths, read within the demo's limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hf_unet.errors import ImageError, LabelError
from hf_unet.images import ScienceImage, read_image
from hf_unet.labels import Labels, read_labels
from hf_unet.network import SegmentationNetwork

MOST_PIXELS = 100_000_000
MOST_PAGES = 10_000
LARGEST_FILE = 300_000_000
"""Bytes of one file."""


def read_page(path: str | None, page: float | None) -> ScienceImage:
    """A page of an image file, counted from 1 as people do.

    Raises
    ------
    ImageError
        If there is no file, it is no image, has more than `MOST_PIXELS`, or no such page.
    """
    if not path:
        raise ImageError("Choose an image first.")
    number = 1 if page is None else int(page)
    first = read_image(path, max_pixels=MOST_PIXELS)
    if first.pages > MOST_PAGES:
        raise ImageError(
            f"{Path(path).name} has {first.pages:,} pages; this page takes up to {MOST_PAGES:,}. "
            "Cut it into pieces, or use hf-unet segment."
        )
    if not 1 <= number <= first.pages:
        pages = "1 page" if first.pages == 1 else f"{first.pages} pages"
        raise ImageError(f"{Path(path).name} has {pages}: there is no page {number}.")
    return first if number == 1 else read_image(path, page=number - 1, max_pixels=MOST_PIXELS)


def read_truth(path: str, network: SegmentationNetwork, pixels: ScienceImage) -> Labels:
    """The ground truth in the network's classes; `LabelError` if it does not fit.

    Of a stack with as many pages as the image's, the same page.
    """
    size = pixels.shape[1:]
    with for_visitors():
        if network.multilabel:
            return read_labels(path, network.mask_classes, kind="multilabel", size=size)
        page = pixels.page if pixels.pages > 1 and pages_of(path) == pixels.pages else 0
        return read_labels(path, network.mask_classes, page=page, size=size)


@contextmanager
def for_visitors() -> Iterator[None]:
    """Advise those who bring a label by what they can do to it: they have no arguments to pass."""
    try:
        yield
    except LabelError as error:
        raise LabelError(error.on_page) from error


def pages_of(path: str) -> int:
    """Pages of an image file; 1 for what is no image, such as polygons."""
    try:
        return read_image(path, max_pixels=MOST_PIXELS).pages
    except ImageError:
        return 1
