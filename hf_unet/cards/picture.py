"""The picture on a model card: an image, and beside it the same with what was found in it."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from hf_unet.errors import ModelError
from hf_unet.exports.files import write_whole
from hf_unet.segmentation import Segmentation

PICTURE = "picture.png"

LARGEST_FILE = 150_000
"""Bytes; a page with the picture opens at once."""

_SIDES = (480, 384, 320, 256, 192)
_GAP = 8  # pixels
_SOURCE = "Source"


def write_picture_of(result: Segmentation, folder: Path, source: str) -> None:
    """Write picture.png of an image that was segmented; ``source`` is as in `draw_picture`."""
    from hf_unet.display import displayed  # as below

    write_picture(folder, displayed(result.image), np.asarray(result.overlay()), source)


def write_picture(
    folder: Path, image: NDArray[np.uint8], overlay: NDArray[np.uint8], source: str
) -> None:
    """Write picture.png of a model repository on disk, whole or not at all; see `draw_picture`."""
    write_whole(folder / PICTURE, draw_picture(image, overlay, source))


def draw_picture(image: NDArray[np.uint8], overlay: NDArray[np.uint8], source: str) -> bytes:
    """Set an image and its overlay side by side, in a file of at most `LARGEST_FILE` bytes.

    Parameters
    ----------
    image, overlay : (H, W, 3) uint8 arrays
        As `hf_unet.display.displayed` and `hf_unet.Segmentation.overlay` give them.
    source : str
        Where the image is from and under which terms, in words; it is kept in the file.

    Returns
    -------
    bytes
        A PNG. The longer side of each half takes 480 pixels, or fewer where the file would be
        too large, as it would be of a grainy image.

    Examples
    --------
    >>> black = np.zeros((100, 200, 3), np.uint8)
    >>> content = draw_picture(black, black, "Drawn")
    >>> Image.open(BytesIO(content)).size
    (808, 200)
    """
    from hf_unet.display import fitted  # takes half a second, of which loading needs nothing

    content = b""
    for side in _SIDES:
        content = _encoded([fitted(half, side) for half in (image, overlay)], source)
        if len(content) <= LARGEST_FILE:
            break
    return content


def picture_source(path: Path) -> str:
    """Where the image of a picture is from, as `draw_picture` was told; "" if it was not.

    Raises
    ------
    ModelError
        If the file is no picture.
    """
    try:
        with Image.open(path) as picture:
            return str(picture.info.get(_SOURCE, ""))
    except (OSError, ValueError, SyntaxError) as error:
        raise ModelError(f"{path.name} cannot be read as a picture. Make it anew.") from error


def _encoded(halves: list[Image.Image], source: str) -> bytes:
    left, right = halves
    page = Image.new("RGB", (left.width + _GAP + right.width, left.height), "white")
    page.paste(left, (0, 0))
    page.paste(right, (left.width + _GAP, 0))
    about = PngImagePlugin.PngInfo()
    about.add_itxt(_SOURCE, source)
    stream = BytesIO()
    # A palette of 256 colours halves the file, and nobody sees it.
    small = page.quantize(256, dither=Image.Dither.NONE)
    small.save(stream, format="PNG", optimize=True, pnginfo=about)
    return stream.getvalue()
