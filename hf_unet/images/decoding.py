"""Bytes of an image file -> its pixels as stored; one decoder per format.

The content decides which decoder is used, never the file's name. A decoder first reads the
header, refuses what is too large, and only then allocates.
"""

import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from hf_unet.errors import ImageError
from hf_unet.images.formats import JPEG2000_STREAM, coded_size, image_format, jpeg_frame, refusal
from hf_unet.images.pixels import (
    COPY_AGAIN,
    Decoded,
    Pixels,
    check_page,
    check_size,
    grey_if_equal,
    lab_to_rgb,
    turn_upright,
)
from hf_unet.images.tiff import decode_tiff

# Deflate cannot shrink more than 1032 : 1.
DEFLATE_RATIO = 1032


def decode(content: bytes, page: int, max_pixels: int) -> Decoded:
    """Decode one page of an image file.

    Parameters
    ----------
    content : bytes
        The whole file.
    page : int
        Which page or frame, from 0.
    max_pixels : int
        Most pixels (width times height) that are decoded.

    Returns
    -------
    Decoded
        Pixels (C, H, W), C in 1..4 or the channel count of a multichannel TIFF.

    Raises
    ------
    ImageError
        For anything that is not a whole, valid image with this page. The message is a
        continuation of the file's name: "is ...", "has ...".
    """
    found = image_format(content)
    if found is None:
        raise ImageError(refusal(content))
    try:
        # Codecs warn about odd metadata; what matters of it becomes an ImageError here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _DECODERS[found](content, page, max_pixels)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("needs more memory than this computer has.") from error
    except Exception as error:  # codecs raise anything, from struct.error to SystemError
        raise ImageError(
            f"is a {found} file that is damaged, cut short or of a kind this program cannot "
            "decode. Copy it again from its source, or open it in ImageJ and export it as TIFF."
        ) from error


def decode_pillow(content: bytes, page: int, max_pixels: int) -> Decoded:
    """JPEG, BMP, GIF, WebP, 8-bit PNG and 8-bit JPEG 2000, by Pillow."""
    # The plugin itself, not Image.open: that has a pixel limit of its own, below ours.
    with _PLUGINS[str(image_format(content))](io.BytesIO(content)) as image:
        check_size(image.width, image.height, len(content), max_pixels)
        pages = getattr(image, "n_frames", 1)
        check_page(page, pages)
        if page:
            image.seek(page)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        pixels, bit_depth = pillow_pixels(image)
    return Decoded(pixels, bit_depth, page, pages)


def frame_count(path: Path, found: str | None) -> int:
    """Frames of an image file of the format ``found``, none of them decoded; TIFF is not read."""
    if found not in ("GIF", "PNG", "WebP"):
        return 1
    with path.open("rb") as file, _PLUGINS[found](file) as image:  # type: ignore[arg-type]
        return int(getattr(image, "n_frames", 1))


def decode_gif(content: bytes, page: int, max_pixels: int) -> Decoded:
    """GIF: one frame, drawn over the frames before it."""
    width, height = struct.unpack_from("<HH", content, 6)
    check_size(width, height, len(content), max_pixels)
    return decode_pillow(content, page, max_pixels)


def decode_webp(content: bytes, page: int, max_pixels: int) -> Decoded:
    """WebP, still or animated; its header is read here, because Pillow allocates on opening."""
    chunk = content[12:16]
    if chunk == b"VP8X":
        width = 1 + int.from_bytes(content[24:27], "little")
        height = 1 + int.from_bytes(content[27:30], "little")
    elif chunk == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    check_size(width, height, len(content), max_pixels)
    return decode_pillow(content, page, max_pixels)


def pillow_pixels(image: Image.Image) -> tuple[Pixels, int]:
    """Turn a Pillow image of any mode into (C, H, W) without alpha, and say its bits."""
    mode = image.mode
    if mode in ("P", "PA"):
        # Not convert("L"): its rounding would change greys that are exact in the palette.
        colors = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
        return grey_if_equal(colors), 8
    if mode == "1":
        return np.asarray(image).astype(np.uint8)[None], 1
    if mode == "L" or mode.startswith("I;16"):
        pixels = np.asarray(image)
        return pixels[None].astype(
            pixels.dtype.newbyteorder("="), copy=False
        ), 8 * pixels.dtype.itemsize
    if mode in ("I", "F"):
        return np.asarray(image)[None], 32
    if mode in ("LA", "La"):
        return np.asarray(image.convert("LA"))[None, ..., 0], 8
    if mode == "LAB":
        lab = np.moveaxis(np.asarray(image), -1, 0)
        # Pillow keeps a and b signed, in a byte.
        scaled = np.concatenate([lab[:1] * np.float32(100 / 255), lab[1:].view(np.int8)])
        return np.rint(lab_to_rgb(scaled.astype(np.float32)) * 255).astype(np.uint8), 8
    if mode == "RGBA":
        return np.moveaxis(np.asarray(image)[..., :3], -1, 0), 8
    # RGB, RGBX, RGBa, CMYK, YCbCr, HSV
    straight = image.convert("RGBA") if mode == "RGBa" else image
    return np.moveaxis(np.asarray(straight.convert("RGB")), -1, 0), 8


def decode_png(content: bytes, page: int, max_pixels: int) -> Decoded:
    """PNG; 16-bit color goes to libpng, because Pillow reduces it to 8 bits."""
    if content[12:16] != b"IHDR":
        raise ImageError("is a damaged PNG file. Copy it again from its source.")
    width, height, bits, color_type = struct.unpack(">IIBB", content[16:26])
    check_size(width, height, len(content), max_pixels)
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color_type, 1)
    if width * height * samples * bits // 8 > DEFLATE_RATIO * len(content):
        raise ImageError(
            f"says it is {width} x {height} pixels but holds only {len(content)} bytes: it is "
            "cut short or damaged. " + COPY_AGAIN
        )
    if bits == 16 and color_type in (2, 4, 6):
        check_page(page, 1)
        # Pillow walks the file first: it checks every chunk's sum and refuses text bombs.
        with PngImagePlugin.PngImageFile(io.BytesIO(content)) as image:
            image.load()
            orientation = image.getexif().get(0x0112, 1)
        pixels = imagecodecs.png_decode(content)
        planes = np.moveaxis(pixels[..., : 1 if color_type == 4 else 3], -1, 0)
        return Decoded(turn_upright(planes, orientation), 16)
    return decode_pillow(content, page, max_pixels)


def decode_bmp(content: bytes, page: int, max_pixels: int) -> Decoded:
    """BMP; a palette that claims more than 256 colors is read as 256, as viewers do."""
    if len(content) >= 54 and struct.unpack_from("<I", content, 14)[0] >= 40:
        (colors,) = struct.unpack_from("<I", content, 46)
        (bits,) = struct.unpack_from("<H", content, 28)
        if bits == 8 and 256 < colors <= 4096:
            content = content[:46] + struct.pack("<I", 256) + content[50:]
    return decode_pillow(content, page, max_pixels)


def decode_jpeg(content: bytes, page: int, max_pixels: int) -> Decoded:
    """JPEG, also of 12 bits (older medical and microscope files)."""
    bits = content[jpeg_frame(content)]
    if bits == 8:
        return decode_pillow(content, page, max_pixels)
    check_page(page, 1)
    height, width = coded_size(content)
    check_size(width, height, len(content), max_pixels)
    pixels = imagecodecs.jpeg8_decode(content)
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return Decoded(planes, bits)


def decode_jpeg2000(content: bytes, page: int, max_pixels: int) -> Decoded:
    """JPEG 2000; more than 8 bits go to OpenJPEG directly, because Pillow reduces color to 8."""
    check_page(page, 1)
    start = content.find(JPEG2000_STREAM)
    height, width = coded_size(content)
    (components,) = struct.unpack_from(">H", content, start + 40)
    check_size(width, height, len(content), max_pixels)
    depths = [content[start + 42 + 3 * i] for i in range(min(components, 64))]
    if all(depth == 7 for depth in depths):
        return decode_pillow(content, page, max_pixels)
    bits = (depths[0] & 0x7F) + 1
    pixels = imagecodecs.jpeg2k_decode(content)
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    keep = {2: 1, 4: 3}.get(len(planes), len(planes))
    return Decoded(planes[:keep], bits)


def decode_pnm(content: bytes, page: int, max_pixels: int) -> Decoded:
    """PBM, PGM and PPM (P1 to P6), values as stored: Pillow rescales them."""
    check_page(page, 1)
    kind = int(content[1:2])
    fields: list[int] = []
    at = 2
    while len(fields) < (2 if kind in (1, 4) else 3):
        number, at = _pnm_number(content, at)
        fields.append(number)
    width, height = fields[:2]
    maximum = fields[2] if len(fields) == 3 else 1
    check_size(width, height, len(content), max_pixels)
    if not 1 <= maximum <= 65535:
        raise ImageError(f"says its largest value is {maximum}; a PNM file allows 1 to 65535.")
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    if kind == 4:
        stride = (width + 7) // 8
        packed = np.frombuffer(content, np.uint8, stride * height, at + 1).reshape(height, stride)
        return Decoded(1 - np.unpackbits(packed, axis=1)[None, :, :width], 1)
    dtype = np.dtype(np.uint8 if maximum < 256 else np.uint16)
    if kind in (5, 6):
        samples = np.frombuffer(content, dtype.newbyteorder(">"), count, at + 1).astype(dtype)
    else:
        samples = _plain_samples(content, at, count, kind).astype(dtype)
    if len(samples) and int(samples.max()) > maximum:
        raise ImageError(f"holds values above {maximum}, which its header says is the largest.")
    planes = np.moveaxis(samples.reshape(height, width, channels), -1, 0)
    if kind == 1:
        return Decoded(1 - planes, 1)
    return Decoded(planes, max(8, maximum.bit_length()))


def _pnm_number(content: bytes, at: int) -> tuple[int, int]:
    """Find the next number of a PNM header, comments skipped, and where it ends."""
    while content[at : at + 1].isspace() or content[at : at + 1] == b"#":
        if content[at : at + 1] == b"#":
            line_end = content.find(b"\n", at)
            at = len(content) if line_end < 0 else line_end
        at += 1
    end = at
    while content[end : end + 1].isdigit() and end - at < 10:
        end += 1
    return int(content[at:end]), end


def _plain_samples(content: bytes, at: int, count: int, kind: int) -> Pixels:
    """Parse the decimal samples of a plain PNM file."""
    lines = content[at:].split(b"\n")
    text = b"\n".join(line.split(b"#")[0] for line in lines)
    words: list[Any] = list(text.replace(b" ", b"").split()) if kind == 1 else text.split()
    if kind == 1:
        words = list(b"".join(words).decode("ascii"))
    if len(words) < count:
        raise ImageError("is cut short: it holds fewer values than its header says.")
    return np.array([int(word) for word in words[:count]], dtype=np.uint32)


_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
}

_DECODERS: dict[str, Callable[[bytes, int, int], Decoded]] = {
    "PNG": decode_png,
    "JPEG": decode_jpeg,
    "BMP": decode_bmp,
    "GIF": decode_gif,
    "WebP": decode_webp,
    "JPEG 2000": decode_jpeg2000,
    "PNM": decode_pnm,
    "TIFF": decode_tiff,
}
