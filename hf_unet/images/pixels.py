"""Decoded pixels: what every decoder hands over, the checks before decoding, color conversions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_unet.errors import ImageError

Pixels = npt.NDArray[Any]

# The emptiest real drawings (a blank fax page) stay below this; a forged header does not.
MAX_PIXELS_PER_BYTE = 200_000

COPY_AGAIN = "Copy it again from its source."


@dataclass(frozen=True)
class Decoded:
    """Pixels (C, H, W) as stored, alpha dropped; bits of a stored sample; page, page count."""

    pixels: Pixels
    bit_depth: int
    page: int = 0
    pages: int = 1


def check_size(width: int, height: int, file_bytes: int, max_pixels: int) -> None:
    """Refuse by the header alone a picture that is empty, too large or implausible.

    Raises
    ------
    ImageError
        Its message continues the file's name.
    """
    if width <= 0 or height <= 0:
        raise ImageError(
            f"says it is {width} x {height} pixels: there is no picture in it. "
            "Copy it again from its source."
        )
    if width * height > max_pixels:
        raise ImageError(
            f"says it is {width} x {height} pixels, more than the {max_pixels:,} that are read. "
            "Crop it, or export a smaller part of it."
        )
    if width * height > MAX_PIXELS_PER_BYTE * file_bytes:
        raise ImageError(
            f"says it is {width} x {height} pixels but holds only {file_bytes} bytes: it is "
            "damaged or not a real image. Copy it again from its source."
        )


def check_page(page: int, pages: int) -> None:
    """Refuse a page that the file does not have.

    Raises
    ------
    ImageError
        Its message continues the file's name and says how many pages there are.
    """
    if not 0 <= page < pages:
        held = "1 page (number 0)" if pages == 1 else f"{pages} pages (numbers 0 to {pages - 1})"
        raise ImageError(f"has {held}, so there is no page {page}.")


def turn_upright(planes: Pixels, orientation: int) -> Pixels:
    """Undo a TIFF/EXIF orientation on (C, H, W) pixels.

    Parameters
    ----------
    planes : ndarray, shape (C, H, W)
    orientation : int
        1 to 8, as in the TIFF 6.0 specification's tag 274; any other value turns nothing.

    Example
    -------
    >>> turn_upright(np.array([[[1, 2]]]), 3)
    array([[[2, 1]]])
    >>> turn_upright(np.array([[[1, 2]]]), 6)
    array([[[1],
            [2]]])
    """
    if orientation in (5, 6, 7, 8):
        planes = planes.swapaxes(-1, -2)
    if orientation in (3, 4, 7, 8):
        planes = planes[..., ::-1, :]
    if orientation in (2, 3, 6, 7):
        planes = planes[..., ::-1]
    return planes


def grey_if_equal(colors: Pixels) -> Pixels:
    """(3, H, W) colors -> (1, H, W) where the three channels are the same everywhere."""
    if np.array_equal(colors[0], colors[1]) and np.array_equal(colors[0], colors[2]):
        return colors[:1]
    return colors


def cmyk_to_rgb(cmyk: Pixels, white: int) -> Pixels:
    """(4, H, W) inks, 0 (none) to `white` -> (3, H, W), rounded as Pillow rounds.

    R = (white - C) (white - K) / white, and so on: the inks multiply, without a press profile.
    """
    inks = cmyk.astype(np.uint64)
    light = (white - inks[:3]) * (white - inks[3])
    rgb: Pixels = ((2 * light + white) // (2 * white)).astype(cmyk.dtype)
    return rgb


def lab_to_rgb(lab: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """CIE L*a*b* (3, H, W), L in 0..100 -> sRGB (3, H, W) in 0..1, white kept white."""
    from skimage.color import lab2rgb

    rgb: npt.NDArray[np.float32] = lab2rgb(np.moveaxis(lab, 0, -1)).astype(np.float32)
    return np.moveaxis(np.clip(rgb, 0, 1), -1, 0)
