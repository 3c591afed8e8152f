"""Any source of an image -> ScienceImage: sends each to its reader, and clips nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from hf_unet.errors import ImageError
from hf_unet.images.decoding import decode, pillow_pixels
from hf_unet.images.formats import image_format
from hf_unet.images.pixels import Decoded, check_page, check_size

MAX_PIXELS = 200_000_000


class ScienceImage(np.ndarray[tuple[int, int, int], np.dtype[Any]]):
    """An image (C, H, W) in its file's own dtype and values, that remembers where they are from.

    Arithmetic on it gives plain arrays, because its bit depth would no longer be true.

    Attributes
    ----------
    bit_depth : int
        Bits of a sample in the file: 1 (values 0 and 1), 8, 10..16, 32 or 64. A 12-bit image
        has dtype uint16 and bit_depth 12; for floats it is the width of the float.
    page, pages : int
        Which page of the file this is, from 0, and how many there are.
    name : str or None
        Name of the file, without its folder; None if it was none.

    Example
    -------
    >>> image = read_image(np.zeros((4, 5), np.uint16))
    >>> image.shape, image.bit_depth, image.page, image.pages
    ((1, 4, 5), 16, 0, 1)
    """

    bit_depth: int
    page: int
    pages: int
    name: str | None

    def __new__(
        cls,
        pixels: npt.NDArray[Any],
        bit_depth: int,
        page: int = 0,
        pages: int = 1,
        name: str | None = None,
    ) -> ScienceImage:
        """Wrap pixels (C, H, W), copied only where they are not in C order."""
        image = np.ascontiguousarray(pixels).view(cls)
        image.bit_depth, image.page, image.pages, image.name = bit_depth, page, pages, name
        return image

    def __array_finalize__(self, parent: Any) -> None:
        self.bit_depth = getattr(parent, "bit_depth", 8 * self.dtype.itemsize)
        self.page = getattr(parent, "page", 0)
        self.pages = getattr(parent, "pages", 1)
        self.name = getattr(parent, "name", None)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __reduce__(self) -> tuple[Any, ...]:
        # Data loader workers pickle images; ndarray's own pickle forgets the attributes.
        return ScienceImage, (
            np.asarray(self),
            self.bit_depth,
            self.page,
            self.pages,
            self.name,
        )


def read_image(source: Any, *, page: int = 0, max_pixels: int = MAX_PIXELS) -> ScienceImage:
    """Read an image from a file, from bytes or from memory.

    Parameters
    ----------
    source : str, Path, bytes, file object, PIL.Image, ndarray or tensor
        PNG, JPEG, TIFF (BigTIFF, ImageJ, OME), BMP, WebP, GIF, PBM/PGM/PPM or JPEG 2000; told
        by its content, never by its extension. Arrays: (H, W), (H, W, C) with C in 1..4, or
        (C, H, W) with C in 1..4. A first side of 1 or 3 is always the channel (grey or RGB);
        else a last side of 1 to 4 is; else a first side of 2 or 4; so (3, 4, 4) is RGB of 4 x 4
        pixels and (4, 4, 3) too. Tensors and a `ScienceImage` are always channel first, any
        number of channels: (H, W), (C, H, W) or a batch of one (1, C, H, W).
    page : int
        Page of a multi-page TIFF, frame of an animated GIF, WebP or PNG, from 0.
    max_pixels : int
        Most pixels (width times height) that are decoded; a larger picture is refused by its
        header.

    Returns
    -------
    ScienceImage
        (C, H, W), in the file's own dtype and values, in native byte order:

        - grey and multichannel files as stored; RGB as 3 channels; alpha is dropped, also the
          fourth of (H, W, 4) arrays, whereas (4, H, W) keeps its four channels
        - a palette becomes the colors it stands for, 1 channel if these are all grey
        - 1 bit per pixel becomes uint8 0 and 1 (1 is white) with bit depth 1; 2 and 4 bits are
          scaled to 0..255, as the PNG specification says
        - CMYK, YCbCr and L*a*b* become RGB; a TIFF whose white is 0 is inverted
        - EXIF, XMP and TIFF orientation is applied
        - PNM values stay as stored: a PGM up to 4095 has bit depth 12

    Raises
    ------
    ImageError
        For everything that is not a whole, valid image with this page, and for NaN or infinite
        values.

    Example
    -------
    >>> read_image(np.zeros((4, 5, 3), np.uint8)).shape
    (3, 4, 5)
    >>> read_image(b"%PDF-1.7")
    Traceback (most recent call last):
        ...
    hf_unet.errors.ImageError: The file is a PDF document, not an image. Export the figure...
    """
    page = _page_number(page)
    name = "The image"
    file_name = source.name if isinstance(source, ScienceImage) else None
    try:
        if isinstance(source, Image.Image):
            decoded = _from_pillow(source, page, max_pixels)
        elif isinstance(source, ScienceImage):
            again = _from_array(np.asarray(source), "channel first", max_pixels)
            decoded = Decoded(again.pixels, source.bit_depth, source.page, source.pages)
        elif isinstance(source, np.ndarray):
            check_page(page, 1)
            decoded = _from_array(source, "either", max_pixels)
        elif hasattr(source, "detach") and hasattr(source, "numpy"):
            check_page(page, 1)
            decoded = _from_tensor(source, max_pixels)
        else:
            name = "The file"
            if isinstance(source, str | os.PathLike):
                name = _file_name(source)
                file_name = Path(os.fsdecode(source)).name
            decoded = decode(_file_bytes(source), page, max_pixels)
        _check_finite(decoded.pixels)
    except ImageError as error:
        raise ImageError(f"{name} {error}") from error.__cause__
    return ScienceImage(decoded.pixels, decoded.bit_depth, decoded.page, decoded.pages, file_name)


def _page_number(page: Any) -> int:
    try:
        return int(page.__index__())
    except (AttributeError, TypeError) as error:
        raise ImageError(f"The page must be a whole number from 0, not {page!r:.40}.") from error


def _file_name(source: Any) -> str:
    name = Path(os.fsdecode(source)).name or "The folder"
    return name if len(name) <= 120 else f"{name[:117]}..."


def _file_bytes(source: Any) -> bytes:
    """Read the whole content of a path, of bytes or of a file object."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return _path_bytes(source)
    if not hasattr(source, "read"):
        raise ImageError(
            f"given is a {type(source).__name__}, which is no image. "
            "Give a path, bytes, a PIL image, an array or a tensor."
        )
    try:
        content = source.read()
    except Exception as error:  # whatever a stranger's file object raises
        raise ImageError("cannot be read. Open it again, in binary mode.") from error
    if not isinstance(content, bytes):
        raise ImageError("was opened as text. Open it in binary mode: open(path, 'rb').")
    return content


def _path_bytes(source: Any) -> bytes:
    try:
        kind = Path(os.fsdecode(source)).stat().st_mode
        if stat.S_ISDIR(kind):
            raise ImageError("is a folder, not an image. Choose an image file in it.")
        if not stat.S_ISREG(kind):
            raise ImageError("is not a file. Choose an image file.")
        with Path(os.fsdecode(source)).open("rb") as file:
            head = file.read(4096)
            # What is no image is told by its start: a 50 GB microscope file is not read.
            return head if image_format(head) is None else head + file.read()
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("does not exist. Check the name and the folder.") from error
    except PermissionError as error:
        raise ImageError("may not be read by you. Change its permissions or copy it.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise ImageError("cannot be opened. Check the name and the disk.") from error


def _from_pillow(image: Image.Image, page: int, max_pixels: int) -> Decoded:
    """Take a Pillow image; one not loaded yet is decoded here, where its 16 bits are kept."""
    check_size(image.width, image.height, image.width * image.height, max_pixels)
    file = getattr(image, "fp", None)
    if getattr(image, "tile", None) and hasattr(file, "seek") and image.format is not None:
        assert file is not None
        at = file.tell()
        file.seek(0)
        content = file.read()
        file.seek(at)
        return decode(content, page or image.tell(), max_pixels)
    check_page(page, 1)
    try:
        pixels, bit_depth = pillow_pixels(ImageOps.exif_transpose(image))
    except Exception as error:  # a closed file, a broken mode: Pillow raises many kinds
        raise ImageError("is a Pillow image that cannot be read. Open it again.") from error
    return Decoded(pixels, bit_depth)


def _from_tensor(tensor: Any, max_pixels: int) -> Decoded:
    """Take a tensor, on any device, of any type that NumPy has (and bfloat16 as float32)."""
    try:
        cpu = tensor.detach().cpu()
        array = cpu.float().numpy() if str(cpu.dtype) == "torch.bfloat16" else cpu.numpy()
    except (RuntimeError, TypeError) as error:
        raise ImageError("is a tensor without values of a known type.") from error
    if array.ndim == 4:
        if len(array) != 1:
            raise ImageError(
                f"is a batch of {len(array)} images, shape {array.shape}. Give one at a time."
            )
        array = array[0]
    return _from_array(array, "channel first", max_pixels)


def _from_array(array: npt.NDArray[Any], layout: str, max_pixels: int) -> Decoded:
    """Take an array: find its layout, make bool 0 and 1, keep the values."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ImageError("is a masked array with masked pixels. Fill them first: array.filled(0).")
    array = np.asarray(array)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ImageError(
            f"is an array of {array.dtype} values. Give whole numbers or floats of at most 64 bits."
        )
    if array.ndim == 2:
        planes = array[None]
    elif array.ndim == 3:
        planes = _channels_first(array, layout)
    else:
        raise ImageError(
            f"is an array of shape {array.shape}. Give (height, width), (height, width, channels) "
            "or (channels, height, width)."
        )
    if planes.size == 0:
        raise ImageError(f"is an empty array, shape {array.shape}: there is no picture in it.")
    height, width = planes.shape[1:]
    check_size(width, height, width * height, max_pixels)
    if planes.dtype.kind == "b":
        return Decoded(planes.astype(np.uint8), 1)
    native = planes.astype(planes.dtype.newbyteorder("="))
    return Decoded(native, 8 * native.dtype.itemsize)


def _channels_first(array: npt.NDArray[Any], layout: str) -> npt.NDArray[Any]:
    first, _, last = array.shape
    if layout == "channel first" or first in (1, 3) or 0 in array.shape:
        return array
    if 1 <= last <= 4:
        # Four channels last are RGBA everywhere in Python: Pillow, matplotlib, scikit-image.
        return np.moveaxis(array, -1, 0)[: 3 if last == 4 else last]
    if first <= 4:
        return array
    raise ImageError(
        f"is an array of shape {array.shape}, where neither the first nor the last side is 1 to 4 "
        "channels. Give one page of a stack at a time, as (height, width)."
    )


def _check_finite(pixels: npt.NDArray[Any]) -> None:
    if pixels.dtype.kind != "f":
        return
    wrong = pixels.size - int(np.count_nonzero(np.isfinite(pixels)))
    if wrong:
        raise ImageError(
            f"has {wrong} of {pixels.size} values that are not numbers (NaN or infinite). "
            "Replace them, for example by 0, and save it again."
        )


def match_channels(image: npt.NDArray[Any], in_channels: int) -> npt.NDArray[Any]:
    """Bring an image to the number of channels that a network takes.

    Parameters
    ----------
    image : ndarray, shape (C, H, W)
        Of any dtype; a `ScienceImage` stays one.
    in_channels : int
        The network's channels.

    Returns
    -------
    ndarray, shape (in_channels, H, W)
        The image itself where it fits; grey repeated three times for 3 channels; for 1 channel
        the luma of RGB, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, as Pillow and OpenCV), as
        float32 (float64 for 32- and 64-bit samples), not rounded.

    Raises
    ------
    ImageError
        When no such conversion exists.

    Example
    -------
    >>> match_channels(np.full((3, 1, 2), 7, np.uint8), 1)
    ScienceImage([[[7., 7.]]], dtype=float32)
    >>> match_channels(np.array([[[1, 2]]]), 3).shape
    (3, 1, 2)
    """
    if image.ndim != 3:
        raise ImageError(f"The image has shape {image.shape}; needed is (channels, height, width).")
    channels = image.shape[0]
    if channels == in_channels:
        return image
    if channels == 1 and in_channels == 3:
        return _as_science_image(np.repeat(np.asarray(image), 3, axis=0), image)
    if channels == 3 and in_channels == 1:
        exact = image.dtype.itemsize >= 4 and image.dtype != np.float32
        red, green, blue = np.asarray(image, dtype=np.float64 if exact else np.float32)
        # Differences to green, so that a grey pixel keeps its value exactly.
        luma = green + 0.299 * (red - green) + 0.114 * (blue - green)
        return _as_science_image(luma[None], image)
    noun = "channel" if channels == 1 else "channels"
    raise ImageError(
        f"The image has {channels} {noun} and the model takes {in_channels}. "
        f"Give an image with {in_channels}, or choose a model for {channels}."
    )


def _as_science_image(pixels: npt.NDArray[Any], like: npt.NDArray[Any]) -> ScienceImage:
    return ScienceImage(
        pixels,
        getattr(like, "bit_depth", 8 * like.dtype.itemsize),
        getattr(like, "page", 0),
        getattr(like, "pages", 1),
        getattr(like, "name", None),
    )
