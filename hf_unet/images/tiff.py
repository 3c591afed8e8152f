"""TIFF in all its kinds -> pixels, by tifffile and imagecodecs."""

import io
import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import TiffImagePlugin

from hf_unet.errors import ImageError
from hf_unet.images.formats import coded_size
from hf_unet.images.pixels import (
    COPY_AGAIN,
    Decoded,
    Pixels,
    check_page,
    check_size,
    cmyk_to_rgb,
    grey_if_equal,
    lab_to_rgb,
    turn_upright,
)

_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _MASK, _CMYK, _YCBCR, _CIELAB, _ICCLAB = (
    0, 1, 2, 3, 4, 5, 6, 8, 9,
)  # fmt: skip
_COLOR_SAMPLES = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _CIELAB: 3, _ICCLAB: 3}
_OLD_JPEG, _JPEG, _FAX = 6, (7, 33007, 34892), (2, 3, 4)
_UNCOMPRESSED, _LZW, _DEFLATE, _PACKBITS = 1, 5, (8, 32946), 32773
_JPEG2000, _LZMA, _ZSTD, _WEBP = (33003, 33004, 33005, 34712), 34925, (34926, 50000), (34927, 50001)
_READ = {_UNCOMPRESSED, _LZW, _PACKBITS, _LZMA, _OLD_JPEG, 7}.union(
    _FAX, _DEFLATE, _JPEG2000, _ZSTD, _WEBP
)
# Width, length, bits, compression, photometric, samples, rows per strip, planes, tile size.
_LAYOUT_TAGS = (256, 257, 258, 259, 262, 277, 278, 284, 322, 323)


def decode_tiff(content: bytes, page: int, max_pixels: int) -> Decoded:
    """One page of a TIFF, BigTIFF, ImageJ stack or OME-TIFF.

    A page is one image directory of the file: of an ImageJ hyperstack, one channel, slice and
    time point. Grey, palette, RGB, CMYK, YCbCr and L*a*b* are read, 1 to 64 bits, signed,
    unsigned and float; MinIsWhite is inverted; the orientation tag is applied.

    Raises
    ------
    ImageError
        Its message continues the file's name.
    """
    with quiet_log() as log, tifffile.TiffFile(io.BytesIO(content), _multifile=False) as tif:
        first = tif.pages[0]
        if not isinstance(first, tifffile.TiffPage):
            raise ImageError("is a TIFF file without a picture in it.")
        stacked = stacked_pages(tif, first)
        pages = max(len(tif.pages), stacked)
        check_page(page, pages)
        if stacked > 1:
            pixels, directory = _stack_page(content, first, page, max_pixels), first
        else:
            tif.pages.useframes = False
            found = tif.pages[page]
            if not isinstance(found, tifffile.TiffPage):
                raise ImageError(f"has a page {page} that cannot be read.")
            directory = found
            _check_directory(directory, len(content), max_pixels)
            _check_tags(directory, log)
            _check_segments(directory, len(content))
            if _needs_libtiff(directory):
                pixels, bits = _read_by_libtiff(content, page)
                return Decoded(pixels, bits, page, pages)
            pixels = _read_page(content, page, directory)
        planes = np.concatenate([np.moveaxis(part[0], -1, 0) for part in pixels])
        bits = int(np.max(directory.bitspersample))
        planes, bits = _to_colors(planes, bits, directory)
        orientation = directory.tags.valueof(274, 1)
        return Decoded(turn_upright(planes, orientation), bits, page, pages)


@contextmanager
def quiet_log() -> Iterator[list[str]]:
    """Keep tifffile's log off the screen and collect it: it tells of tags that were left out."""
    logger = logging.getLogger("tifffile")
    messages: list[str] = []

    def drop(record: logging.LogRecord) -> bool:
        messages.append(record.getMessage())
        return False

    logger.addFilter(drop)
    try:
        yield messages
    finally:
        logger.removeFilter(drop)


def stacked_pages(tif: tifffile.TiffFile, first: tifffile.TiffPage) -> int:
    """Pages of a stack that has one directory for all: ImageJ above 4 GB, tifffile's own."""
    if len(tif.pages) > 1 or not first.is_contiguous or first.dtype is None:
        return 1
    description = first.description
    if description.startswith("ImageJ="):
        images = [line[7:] for line in description.splitlines() if line.startswith("images=")]
        return int(images[0]) if images else 1
    if description.startswith("{") and '"shape"' in description:
        size = math.prod(json.loads(description)["shape"])
        return int(size) // max(first.size, 1) or 1
    return 1


def _stack_page(content: bytes, first: tifffile.TiffPage, page: int, max_pixels: int) -> Pixels:
    """Page `page` of pixels that lie one behind the other after the first page's."""
    _check_directory(first, len(content), max_pixels)
    assert first.dtype is not None
    dtype = np.dtype(first.parent.byteorder + first.dtype.char)
    start = first.dataoffsets[0] + page * first.size * dtype.itemsize
    if start + first.size * dtype.itemsize > len(content):
        raise ImageError(f"is cut short: page {page} is not in it. " + COPY_AGAIN)
    flat = np.frombuffer(content, dtype, first.size, start)
    return flat.astype(dtype.newbyteorder("=")).reshape(first.shaped)


def _check_directory(page: tifffile.TiffPage, file_bytes: int, max_pixels: int) -> None:
    check_size(page.imagewidth, page.imagelength, file_bytes, max_pixels)
    if page.imagedepth > 1:
        raise ImageError(
            "holds a volume in a single page. Open it in ImageJ and save it as a TIFF stack."
        )
    samples = page.samplesperpixel
    if samples > 4 and page.imagewidth * page.imagelength * samples > 4 * max_pixels:
        raise ImageError(
            f"says it is {page.imagewidth} x {page.imagelength} pixels of {samples} channels, "
            "more than is read. Export fewer channels, or a smaller part of it."
        )
    if page.dtype is None or page.dtype.kind == "c":
        raise ImageError(
            "holds complex numbers or another kind of sample that is no grey value. "
            "Export it as 8-bit, 16-bit or 32-bit float TIFF."
        )


def _check_tags(page: tifffile.TiffPage, log: list[str]) -> None:
    """Refuse a header whose layout is told twice, differently, or could not be read."""
    for code in _LAYOUT_TAGS:
        if len({str(tag.value) for tag in page.tags.getall(code) or []}) > 1:
            raise ImageError("is a damaged TIFF file: its header contradicts itself. " + COPY_AGAIN)
        if any(f"TiffTag {code} @" in message for message in log):
            raise ImageError("is a TIFF file whose header is damaged. " + COPY_AGAIN)
    if page.compression not in _READ:
        raise ImageError(
            f"is a TIFF file compressed in a way that is not read ({int(page.compression)}). "
            "Open it in ImageJ and save it as TIFF without compression."
        )
    if page.is_tiled and page.tilewidth * page.tilelength > 4 * (
        (page.imagewidth + 1024) * (page.imagelength + 1024)
    ):
        raise ImageError(
            "is a TIFF file whose header is damaged: its tiles are too large. " + COPY_AGAIN
        )


def _check_segments(page: tifffile.TiffPage, file_bytes: int) -> None:
    """Every strip or tile must lie in the file: libraries fill what is missing with black."""
    wanted = math.prod(page.chunked)
    offsets, counts = page.dataoffsets, page.databytecounts
    there = sum(
        1
        for offset, count in zip(offsets, counts, strict=False)
        if count > 0 and offset > 0 and offset + count <= file_bytes
    )
    if there < wanted:
        raise ImageError(
            f"is cut short or damaged: {wanted - there} of the {wanted} blocks of its picture "
            "are missing. " + COPY_AGAIN
        )


def _needs_libtiff(page: tifffile.TiffPage) -> bool:
    """Whether Pillow's libtiff must decode this page.

    Old JPEG-in-TIFF and YCbCr without JPEG are decoded by it alone; fax compression because it
    reports a damaged code, where imagecodecs goes on in white.
    """
    if page.compression == _OLD_JPEG or page.compression in _FAX:
        return True
    if page.compression == _LZW and (
        page.photometric == _CMYK or page.bitspersample not in (1, 8, 16, 32, 64)
    ):
        return True
    return page.photometric == _YCBCR and page.compression not in _JPEG


def _read_page(content: bytes, page: int, directory: tifffile.TiffPage) -> Pixels:
    """Samples of a page, in tifffile's order: planes, depth, length, width, samples."""
    if directory.compression == _LZW:
        # libtiff, because imagecodecs' own LZW decoder (2026.3.6) crashes on damaged streams.
        pixels: Pixels = imagecodecs.tiff_decode(content, index=page, asrgb=False)
        return pixels.reshape(directory.shaped)
    segments = zip(directory.dataoffsets, directory.databytecounts, strict=False)
    _, _, tile_height, tile_width, _ = directory.shaped
    if directory.is_tiled:
        tile_width, tile_height = directory.tilewidth, directory.tilelength
    for offset, count in segments if directory.compression in (*_JPEG, *_JPEG2000) else ():
        height, width = coded_size(content[offset : offset + count])
        if width > tile_width + 64 or height > tile_height + 64:
            raise ImageError("is a TIFF file whose blocks contradict its header. " + COPY_AGAIN)
    return directory.asarray(maxworkers=1).reshape(directory.shaped)


def _read_by_libtiff(content: bytes, page: int) -> tuple[Pixels, int]:
    """Pixels and bits of a page by Pillow, which turns the image upright while it loads."""
    with TiffImagePlugin.TiffImageFile(io.BytesIO(content)) as image:
        image.seek(page)
        if image.mode == "1":
            return np.asarray(image).astype(np.uint8)[None], 1
        if image.mode == "L":
            return np.asarray(image)[None], 8
        return np.moveaxis(np.asarray(image.convert("RGB")), -1, 0), 8


def _to_colors(planes: Pixels, bits: int, page: tifffile.TiffPage) -> tuple[Pixels, int]:
    """Turn stored samples (S, H, W) into grey or RGB as viewers show it; say a value's bits."""
    photometric = int(page.photometric)
    kind = planes.dtype.kind
    if (photometric == _PALETTE and page.colormap is not None and kind == "u") or kind == "b":
        planes = planes.astype(np.uint16 if bits > 8 else np.uint8, copy=False)
        kind = "u"
    if photometric == _PALETTE and page.colormap is not None and kind == "u":
        return _palette_colors(planes[0], bits, page.colormap)
    planes = _drop_alpha(planes, photometric, page.extrasamples)
    if photometric == _CMYK and len(planes) == 4 and kind == "u":
        return cmyk_to_rgb(planes, 2**bits - 1), bits
    if photometric in (_CIELAB, _ICCLAB) and len(planes) == 3 and bits in (8, 16):
        return _lab_colors(planes, bits, photometric), bits
    if photometric == _WHITE_IS_ZERO:
        # As ImageJ and every viewer show it. For floats no white is defined: kept as stored.
        if kind == "u":
            planes = (2**bits - 1 - planes.astype(np.uint64)).astype(planes.dtype)
        elif kind == "i":
            planes = ~planes
    if kind == "u" and bits in (2, 4):
        # The PNG specification's and Pillow's scaling: exact, 0 stays black, the top is white.
        return (planes * (255 // (2**bits - 1))).astype(np.uint8), 8
    return planes, bits


def _palette_colors(indices: Pixels, bits: int, colormap: Pixels) -> tuple[Pixels, int]:
    """Look indices (H, W) up: (3, H, W), or (1, H, W) if all colors used are grey."""
    if bits <= 8:
        # A TIFF palette has 16 bits by definition; some writers put 8-bit values into it.
        colormap = (colormap if colormap.max() < 256 else colormap >> 8).astype(np.uint8)
    return grey_if_equal(colormap[:, indices]), 8 * colormap.dtype.itemsize


def _drop_alpha(planes: Pixels, photometric: int, extrasamples: tuple[Any, ...]) -> Pixels:
    """Drop alpha; keep further channels, which microscopes store as unspecified samples."""
    colors = _COLOR_SAMPLES.get(photometric, 1)
    extra = len(planes) - colors
    kinds = [int(kind) for kind in extrasamples][:extra]
    kinds += [0] * (extra - len(kinds))
    if colors > 1 and extra == 1:
        return planes[:colors]
    keep = list(range(colors)) + [colors + i for i, kind in enumerate(kinds) if kind == 0]
    return planes[keep] if len(keep) < len(planes) else planes


def _lab_colors(planes: Pixels, bits: int, photometric: int) -> Pixels:
    """8- or 16-bit L*a*b* samples -> sRGB of the same bits."""
    top = 2**bits - 1
    unsigned = planes.astype(np.uint8 if bits == 8 else np.uint16)
    step = 2 ** (bits - 8)
    lab = np.empty(planes.shape, np.float32)
    lab[0] = unsigned[0] * np.float32(100 / top)
    if photometric == _CIELAB:
        lab[1:] = unsigned[1:].view(np.int8 if bits == 8 else np.int16).astype(np.float32) / step
    else:
        lab[1:] = unsigned[1:].astype(np.float32) / step - 128
    rgb: Pixels = np.rint(lab_to_rgb(lab) * top).astype(unsigned.dtype)
    return rgb
