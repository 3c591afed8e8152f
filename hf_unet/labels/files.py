"""Open a label source: any file or array -> pages of raw values, nothing interpreted yet.

Images for the eye and images for classes are decoded differently (a palette's *indices* are
classes, a stored 3 is a 3), so label files have their own door beside ``images.read_image``.
"""

import io
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from hf_unet.errors import ImageError, LabelError
from hf_unet.images import MAX_PIXELS, read_image
from hf_unet.images.formats import image_format
from hf_unet.images.formats import refusal as format_refusal

Array: TypeAlias = NDArray[Any]

MASK_SUFFIXES = frozenset(
    {".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".jpg", ".jpeg", ".pgm", ".npy"}
)

# tifffile returns these photometric interpretations as stored values that mean what they say;
# the rest (CMYK, Lab) go through Pillow, which converts to RGB.
_PLAIN_PHOTOMETRICS = (0, 1, 2, 3, 6)


@dataclass(frozen=True, eq=False)
class LabelPages:
    """The pages of one label source.

    Attributes
    ----------
    name : str
        What messages call the source: the file's name, without its folder.
    pages : tuple of arrays
        Each (H, W) values in the file's own dtype, or (H, W, 3) colors. Either all pages, or
        the one asked for.
    page_count : int
        How many pages the source has.
    palettes : tuple of (N, 3) uint8 arrays or None
        Of each page the color of each value, if its values are palette indices.
    lossy : bool
        Whether the source is JPEG-compressed, so that its values cannot be trusted one by one.
    """

    name: str
    pages: tuple[Array, ...]
    page_count: int
    palettes: tuple[NDArray[np.uint8] | None, ...] = ()
    lossy: bool = False

    def palette_of(self, index: int) -> NDArray[np.uint8] | None:
        """The palette of one of the pages read, if it has one."""
        return self.palettes[index] if self.palettes else None


def source_name(source: object) -> str:
    """Name ``source`` as a message does: a file's name, else "the label image"."""
    if isinstance(source, (str, Path)):
        return Path(source).name or str(source)
    if isinstance(source, Image.Image):
        name = getattr(source, "filename", "")
        return Path(name).name if isinstance(name, str) and name else "the label image"
    return "the label image"


def read_bytes(source: str | Path) -> bytes:
    """Return the content of a label file; LabelError if it is missing or cannot be read."""
    try:
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise LabelError(f"The label file {source_name(source)} does not exist.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise LabelError(
            f"The label file {source_name(source)} cannot be opened ({reason})."
        ) from error


def open_pages(
    source: object,
    *,
    page: int = 0,
    stack_sizes: Collection[int] | None = (),
    name: str | None = None,
) -> LabelPages:
    """Open a label source, whichever it is.

    Parameters
    ----------
    source : path, bytes, PIL image, NumPy array or torch tensor
    page : int
        The page to open, from 0.
    stack_sizes : collection of int, or None
        Page counts at which all pages are opened, as they may be one mask per class; None: at
        any count. An array's (P, H, W) is P pages.
    name : str, optional
        What messages call the source.

    Raises
    ------
    LabelError
        If it cannot be opened, has no such page or more than MAX_PIXELS pixels.
    """
    name = name or source_name(source)
    opened = _open(source, page, stack_sizes, name)
    for values in opened.pages:
        colors = values.ndim == 3 and values.shape[2] == 3
        if values.size == 0 or not (values.ndim == 2 or colors) or values.dtype.kind not in "buif":
            raise LabelError(
                f"{name} holds {values.dtype} values of the shape {values.shape}: neither grey nor "
                "color. Save it again as PNG or TIFF."
            )
    return opened


def _open(source: object, page: int, stack_sizes: Collection[int] | None, name: str) -> LabelPages:
    if isinstance(source, (str, Path)):
        source = read_bytes(source)
    if isinstance(source, Image.Image):
        return _decode(name, _open_pillow, source, page, stack_sizes)
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        if not data:
            raise LabelError(f"{name} is empty: it holds no bytes.")
        if data[:6] == b"\x93NUMPY":
            loaded = _decode(name, _open_npy, data, page, stack_sizes)
            return _pages_of_array(name, loaded.pages[0], page, stack_sizes)
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _open_tiff(name, data, page, stack_sizes)
        if image_format(data) == "JPEG 2000":  # Pillow is often built without it
            return _open_image(name, data, page)
        return _decode(name, _open_pillow, data, page, stack_sizes)
    if hasattr(source, "detach") and hasattr(source, "cpu"):
        source = source.detach().cpu().numpy()
    if isinstance(source, (np.ndarray, list, tuple)):
        return _pages_of_array(name, _as_array(name, source), page, stack_sizes)
    raise LabelError(
        f"A label cannot be read from a {type(source).__name__}: "
        "give a file name, its bytes, a PIL image, an array or a tensor."
    )


def _decode(
    name: str, opener: Any, source: object, page: int, stack_sizes: Collection[int] | None
) -> LabelPages:
    """Run a decoder on bytes from anywhere; whatever it trips over is a LabelError."""
    try:
        with warnings.catch_warnings():  # decoders warn about odd metadata
            warnings.simplefilter("ignore")
            opened: LabelPages = opener(name, source, page, stack_sizes)
    except LabelError:
        raise
    except MemoryError as error:
        raise LabelError(f"{name} needs more memory than this computer has.") from error
    except Exception as error:  # decoders raise anything from SyntaxError to struct.error
        if isinstance(source, bytes) and opener is _open_pillow and image_format(source) is None:
            raise LabelError(f"{name} {format_refusal(source)}") from error
        raise LabelError(
            f"{name} cannot be opened as a label image: it is damaged, cut short or of an unknown "
            "format. Save it again as PNG or TIFF."
        ) from error
    return opened


def _open_image(name: str, data: bytes, page: int) -> LabelPages:
    try:
        image = np.asarray(read_image(data, page=page))
    except ImageError as error:
        raise LabelError(f"{name} cannot be opened as a label image. {error}") from error
    values = image[0] if len(image) == 1 else _without_alpha(np.moveaxis(image, 0, 2))
    return LabelPages(name, (values,), 1)


def _open_npy(name: str, data: bytes, page: int, stack_sizes: Collection[int] | None) -> LabelPages:
    values: Array = np.load(io.BytesIO(data), allow_pickle=False)
    return LabelPages(name, (values,), 1)


def _open_tiff(
    name: str, data: bytes, page: int, stack_sizes: Collection[int] | None
) -> LabelPages:
    # tifffile keeps 16- and 32-bit ids, palettes and ImageJ stacks; what it cannot decode
    # (CMYK, fax, a codec that is not installed) Pillow often can.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _open_tifffile(name, data, page, stack_sizes)
    except LabelError:
        raise
    except Exception:
        return _decode(name, _open_pillow, data, page, stack_sizes)


def _open_tifffile(
    name: str, data: bytes, page: int, stack_sizes: Collection[int] | None
) -> LabelPages:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        first = tiff.pages.first
        if int(first.photometric) not in _PLAIN_PHOTOMETRICS:
            raise ValueError("photometric interpretation left to Pillow")
        series = tiff.series[0]
        axes, shape = series.axes, series.shape
        planes = [n for n, axis in zip(shape, axes, strict=True) if axis not in "YXS"]
        count = int(np.prod(planes)) if planes else 1
        if len(tiff.series) > 1 or count == len(tiff.pages):
            count = len(tiff.pages)
            wanted = _wanted_pages(name, page, count, stack_sizes)
            pages, palettes = [], []
            for index in wanted:
                frame = tiff.pages[index].aspage()
                _check_pixels(name, frame.imagewidth, frame.imagelength)
                _check_segments(name, frame, len(data))
                pages.append(_tiff_plane(frame.asarray(), frame.axes))
                palettes.append(_tiff_palette(frame))
        else:  # an ImageJ stack is one page followed by the others' bytes
            _check_pixels(name, int(np.prod(shape)), 1)
            _check_segments(name, first, len(data))
            wanted = _wanted_pages(name, page, count, stack_sizes)
            inner = "".join(axis for axis in axes if axis in "YXS")
            order = [i for i, axis in enumerate(axes) if axis not in "YXS"]
            rest = [i for i, axis in enumerate(axes) if axis in "YXS"]
            values = series.asarray().transpose(order + rest)
            values = values.reshape(count, *values.shape[len(order) :])
            pages = [_tiff_plane(values[index], inner) for index in wanted]
            palettes = [_tiff_palette(first)] * len(pages)
        if int(first.photometric) == 0 and first.bitspersample == 1:
            # fax order: a stored 1 is black. (At 8 bits an ImageJ mask with an inverting
            # look-up table stores 255 on the objects, so there the stored values stand.)
            pages = [~values.astype(bool) for values in pages]
        orientation = int(first.tags.valueof(274, default=1) or 1)
        pages = [
            values.astype(np.uint8) if palette is not None and values.dtype == bool else values
            for values, palette in zip(pages, palettes, strict=True)
        ]
        lossy = int(first.compression) in (6, 7)
    upright = tuple(_oriented(values, orientation) for values in pages)
    return LabelPages(name, upright, count, tuple(palettes), lossy)


def _check_segments(name: str, frame: Any, file_bytes: int) -> None:
    """Refuse pages whose bytes are missing: tifffile would fill them with zeros."""
    ends = [start + n for start, n in zip(frame.dataoffsets, frame.databytecounts, strict=True)]
    bits = frame.imagewidth * frame.imagelength * frame.samplesperpixel * frame.bitspersample
    needed = bits // 8 if frame.compression == 1 else 1
    if not ends or min(frame.databytecounts) < 1 or max(ends) > file_bytes:
        raise ValueError("the file ends before its pixels do")
    if sum(frame.databytecounts) < needed:
        raise LabelError(
            f"{name} is damaged: it says {frame.imagewidth} x {frame.imagelength} pixels, but "
            "holds fewer. Copy it again, or save it again as PNG or TIFF."
        )


def _tiff_plane(values: Array, axes: str) -> Array:
    if "S" not in axes:
        return values.reshape(values.shape[-2:])
    return _without_alpha(np.moveaxis(values, axes.index("S"), -1))


def _tiff_palette(frame: Any) -> NDArray[np.uint8] | None:
    if int(frame.photometric) != 3 or frame.colormap is None:
        return None
    return np.asarray(np.asarray(frame.colormap).T >> 8, np.uint8)


def _open_pillow(
    name: str, source: bytes | Image.Image, page: int, stack_sizes: Collection[int] | None
) -> LabelPages:
    image = source if isinstance(source, Image.Image) else Image.open(io.BytesIO(source))
    _check_pixels(name, *image.size)
    # Run lengths hold at most 255 pixels in 2 bytes; a header that says far more is damaged.
    most = 4096 * len(source) if isinstance(source, bytes) and image.format == "BMP" else MAX_PIXELS
    if image.width * image.height > most:
        raise ValueError("the file ends before its pixels do")
    count = getattr(image, "n_frames", 1)
    pages: list[Array] = []
    palettes: list[NDArray[np.uint8] | None] = []
    for index in _wanted_pages(name, page, count, stack_sizes):
        if count > 1:
            image.seek(index)
        _check_pixels(name, *image.size)
        orientation = int(image.getexif().get(274, 1) or 1)
        frame: Image.Image = image
        palette = None
        if frame.mode in ("P", "PA"):
            colors = frame.getpalette("RGB") or []
            palette = np.array(colors, np.uint8).reshape(-1, 3)
            frame = frame.getchannel(0) if frame.mode == "PA" else frame
        elif frame.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX", "RGBa", "La"):
            frame = frame.convert("LA" if frame.mode == "La" else "RGB")
        pages.append(_oriented(_without_alpha(np.array(frame)), orientation))
        palettes.append(palette)
    lossy = image.format in ("JPEG", "MPO")
    return LabelPages(name, tuple(pages), count, tuple(palettes), lossy)


def _as_array(name: str, source: object) -> Array:
    try:
        values = np.asarray(source)
    except (ValueError, TypeError) as error:
        raise LabelError(f"{name} is a list whose rows differ in length, not an image.") from error
    return values


def _pages_of_array(
    name: str, values: Array, page: int, stack_sizes: Collection[int] | None
) -> LabelPages:
    values = np.asarray(values)  # subclasses (an image with its bit depth) are plain here
    if values.dtype.kind not in "buif":
        raise LabelError(f"{name} holds {values.dtype} values: labels are whole numbers.")
    shape = values.shape
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.size == 0 or values.ndim not in (2, 3):
        raise LabelError(
            f"{name} has the shape {shape}: a label is (height, width), or "
            "(classes, height, width) with one mask per class."
        )
    if values.ndim == 2:
        _check_pixels(name, *values.shape)
        return LabelPages(name, (values,), 1)
    first, last = values.shape[0], values.shape[2]
    is_stack = stack_sizes is not None and first in stack_sizes
    if stack_sizes is None and last < first and last < values.shape[1]:
        values = np.moveaxis(values, 2, 0)  # (H, W, K): one class per channel
    elif not is_stack and stack_sizes is not None and (last in (3, 4) or first > last == 2):
        return LabelPages(name, (_without_alpha(values),), 1)
    elif not is_stack and first in (3, 4) and stack_sizes is not None:
        return LabelPages(name, (_without_alpha(np.moveaxis(values, 0, 2)),), 1)
    wanted = _wanted_pages(name, page, len(values), stack_sizes)
    _check_pixels(name, *values.shape[1:])
    return LabelPages(name, tuple(values[index] for index in wanted), len(values))


def _wanted_pages(
    name: str, page: int, count: int, stack_sizes: Collection[int] | None
) -> list[int]:
    if not 0 <= page < count:
        pages = "one page" if count == 1 else f"{count} pages"
        raise LabelError(f"{name} has {pages}, so there is no page {page} (they count from 0).")
    if stack_sizes is None or (page == 0 and count in stack_sizes):
        if count > 256:
            raise LabelError(f"{name} has {count} pages: a stack of classes has at most 256.")
        return list(range(count))
    return [page]


def _check_pixels(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise LabelError(
            f"{name} has {width} x {height} pixels; labels of up to "
            f"{MAX_PIXELS // 10**6} million pixels are read. Cut it into parts."
        )


def _without_alpha(values: Array) -> Array:
    """Drop transparency, unless the mask is *in* the transparency (one color, alpha varies)."""
    if values.ndim == 2 or values.shape[2] == 3:
        return values
    channels = values.shape[2]
    if channels not in (1, 2, 4):
        raise LabelError(f"A label image of {channels} channels is neither grey nor color.")
    if channels == 1:
        return values[:, :, 0]
    body, alpha = values[:, :, :-1], values[:, :, -1]
    if values.size and (body == body[:1, :1]).all() and (alpha != alpha[0, 0]).any():
        return alpha
    return body[:, :, 0] if channels == 2 else body


def _oriented(values: Array, orientation: int) -> Array:
    """Turn an array upright: EXIF and TIFF tag 274, values 1 to 8."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values
