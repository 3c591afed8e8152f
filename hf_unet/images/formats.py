"""What kind of file this is, told from its first bytes; extensions are not believed."""

import re
import struct
from collections.abc import Callable

from hf_unet.errors import ImageError

JPEG2000_STREAM = b"\xff\x4f\xff\x51"
_BMP_HEADERS = [struct.pack("<I", n) for n in (12, 16, 40, 52, 56, 64, 108, 124)]

_EXPORT = "Open it in the program that made it and export the picture as TIFF or PNG."
_BIOFORMATS = "Open it in Fiji (File > Import > Bio-Formats) and export it as TIFF."


def image_format(content: bytes) -> str | None:
    """Tell the readable image format of a file's bytes, or None.

    Example
    -------
    >>> image_format(b"GIF89a...")
    'GIF'
    >>> image_format(b"%PDF-1.7")
    """
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if re.match(rb"P[1-6]\s*(#|\s\d)", content[:64]):
        return "PNM"
    if content[:2] == b"BM":
        # Any text may begin with BM: the length of the second header tells.
        return "BMP" if content[14:18] in _BMP_HEADERS else None
    for start, name in (
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"GIF87a", "GIF"),
        (b"GIF89a", "GIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (JPEG2000_STREAM, "JPEG 2000"),
    ):
        if content.startswith(start):
            return name
    return None


def coded_size(content: bytes) -> tuple[int, int]:
    """Read (height, width) in pixels from the header of a JPEG or JPEG 2000 stream.

    Raises
    ------
    ImageError
        When there is no such header.
    """
    start = content.find(JPEG2000_STREAM)
    if content[:2] != b"\xff\xd8" and 0 <= start <= len(content) - 24:
        right, bottom, left, top = struct.unpack_from(">4I", content, start + 8)
        return int(bottom - top), int(right - left)
    height, width = struct.unpack_from(">HH", content, jpeg_frame(content) + 1)
    return int(height), int(width)


def jpeg_frame(content: bytes) -> int:
    """Find the frame header of a JPEG stream: precision (1 byte), height and width (2 each).

    Raises
    ------
    ImageError
        When the stream ends before it.
    """
    at = 2
    while at + 9 <= len(content):
        marker = content[at + 1]
        if content[at] != 0xFF or marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return at + 4
        else:
            at += 2 + int(struct.unpack_from(">H", content, at + 2)[0])
    raise ImageError("is cut short or damaged: it has no picture header. Copy it again.")


def refusal(content: bytes) -> str:
    """Say in two sentences what a file is that is no readable image, and what to do.

    They continue the file's name.

    Example
    -------
    >>> print(refusal(b"%PDF-1.7 ..."))
    is a PDF document, not an image. Export the figure from it as TIFF or PNG.
    """
    if not content:
        return "is empty (0 bytes). Copy or download it again."
    for matches, sentence in _KNOWN:
        if matches(content):
            return sentence
    if _is_text(content):
        return "is a text file, not an image. Choose the image file itself."
    return "is not an image of a kind this program knows. Export it as TIFF or PNG and try again."


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.startswith(starts)


def _at(offset: int, mark: bytes) -> Callable[[bytes], bool]:
    return lambda content: content[offset : offset + len(mark)] == mark


def _is_html(content: bytes) -> bool:
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype html", b"<html", b"<head")) or b"<html" in head


def _is_office(content: bytes) -> bool:
    head = content[:4096]
    return content.startswith(b"PK\x03\x04") and any(
        mark in head for mark in (b"xl/", b"word/", b"ppt/", b"[Content_Types].xml")
    )


def _is_text(content: bytes) -> bool:
    head = content[:4096]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    # A character may be cut at the end of the sample: drop up to three bytes of it.
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return bool(text) and all(c.isprintable() or c in "\t\r\n\f" for c in text)
    return False


_KNOWN: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (
        _begins(b"%PDF"),
        "is a PDF document, not an image. Export the figure from it as TIFF or PNG.",
    ),
    (
        _is_html,
        "is a web page, not an image: the download probably failed. Download it again.",
    ),
    (
        _is_office,
        "is an Office document (Excel, Word or PowerPoint), not an image. "
        "Export the picture from it as TIFF or PNG.",
    ),
    (
        _begins(b"PK\x03\x04", b"PK\x05\x06"),
        "is a zip archive, not an image. Unpack it and choose an image in it.",
    ),
    (
        _begins(b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"BZh", b"\xfd7zXZ\0"),
        "is a compressed archive, not an image. Unpack it and choose an image in it.",
    ),
    (_at(257, b"ustar"), "is a tar archive, not an image. Unpack it and choose an image in it."),
    (
        _at(128, b"DICM"),
        "is a DICOM file. Open it in ImageJ or the viewer of your scanner and export it as TIFF.",
    ),
    (
        _begins(b"\xda\xce\xbe\x0a"),
        f"is a Nikon ND2 file. {_BIOFORMATS}",
    ),
    (_begins(b"ZISRAWFILE"), f"is a Zeiss CZI file. {_BIOFORMATS}"),
    (_begins(b"OLYMPUSRAWFORMAT"), f"is an Olympus OIR file. {_BIOFORMATS}"),
    (
        lambda c: c[:4] == b"\x70\0\0\0" and c[8:9] == b"\x2a",
        f"is a Leica LIF file. {_BIOFORMATS}",
    ),
    (
        _begins(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "is an old Office document or a microscope file (ZVI, OIB) in the same wrapping. "
        "Export the picture from it as TIFF.",
    ),
    (
        _begins(b"\x89HDF\r\n\x1a\n"),
        "is an HDF5 file (Imaris, ilastik). Export one picture of it as TIFF.",
    ),
    (
        _begins(b"\x93NUMPY"),
        "is a NumPy array file. Save it as TIFF; in Python, pass the array that numpy.load gives.",
    ),
    (_begins(b"MATLAB 5.0"), "is a MATLAB file. Save the picture in it with imwrite as TIFF."),
    (_at(208, b"MAP "), f"is an MRC file. {_BIOFORMATS}"),
    (_at(344, b"n+1\0"), f"is a NIfTI file. {_BIOFORMATS}"),
    (_begins(b"NRRD000"), f"is an NRRD file. {_BIOFORMATS}"),
    (_begins(b"SIMPLE  ="), f"is a FITS file. {_BIOFORMATS}"),
    (_begins(b"8BPS"), f"is a Photoshop file. {_EXPORT}"),
    (_begins(b"%!PS", b"\xc5\xd0\xd3\xc6"), f"is a PostScript drawing. {_EXPORT}"),
    (lambda c: b"<svg" in c[:1024], f"is an SVG drawing, not a pixel image. {_EXPORT}"),
    (
        lambda c: c[4:8] == b"ftyp" and c[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"),
        "is an HEIC photograph. Export it as PNG or TIFF.",
    ),
    (
        lambda c: c[4:8] == b"ftyp" and c[8:12] in (b"avif", b"avis"),
        "is an AVIF photograph. Export it as PNG or TIFF.",
    ),
    (
        lambda c: c[4:8] == b"ftyp" or (c[:4] == b"RIFF" and c[8:12] == b"AVI "),
        "is a video, not an image. Open it in ImageJ and export the frame you want as TIFF.",
    ),
    (
        _begins(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"II\xbc\x01"),
        f"is a JPEG XL or JPEG XR file. {_EXPORT}",
    ),
)
