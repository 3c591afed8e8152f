"""Which pages of an image file are pictures of their own, told without decoding them."""

import warnings
from pathlib import Path

import tifffile

from hf_unet.images.decoding import frame_count
from hf_unet.images.formats import image_format
from hf_unet.images.tiff import quiet_log, stacked_pages

_REDUCED, _TRANSPARENCY = 1, 4
"""Bits of a TIFF page's kind (tag 254): a smaller copy of another page, and its opacity."""


def pages_of(path: Path) -> tuple[int, ...]:
    """Pages that hold data, as `read_image` counts them, from 0.

    Parameters
    ----------
    path : Path
        An image file. Of one that cannot be read the first page is named: reading it says what
        is wrong.

    Returns
    -------
    tuple of int
        At least one. Thumbnails and the smaller copies of a pyramid, where the file says that
        they are such, are not among them. Channels that are pages of their own, as in an ImageJ
        hyperstack, are.
    """
    try:
        with path.open("rb") as file:
            found = image_format(file.read(4096))
        if found == "TIFF":
            return _tiff_pages(path)
        with warnings.catch_warnings():  # codecs warn about odd metadata
            warnings.simplefilter("ignore")
            return tuple(range(frame_count(path, found)))
    except Exception:  # codecs raise anything, from struct.error to SystemError
        return (0,)


def _tiff_pages(path: Path) -> tuple[int, ...]:
    with quiet_log(), tifffile.TiffFile(path, _multifile=False) as tif:
        first = tif.pages.first
        if (stacked := stacked_pages(tif, first)) > 1:
            return tuple(range(stacked))
        kinds = [int(page.aspage().subfiletype) for page in tif.pages]
    return tuple(
        number for number, kind in enumerate(kinds) if not kind & (_REDUCED | _TRANSPARENCY)
    ) or (0,)
