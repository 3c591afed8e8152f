"""Every kind of image opens with its own values, or says in a sentence why it does not."""

import csv
import io
import pickle
import random
import struct
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from hf_unet.errors import ImageError
from hf_unet.images import (
    NORMALIZATIONS,
    ScienceImage,
    match_channels,
    normalize,
    read_image,
)

HEIGHT, WIDTH = 20, 26
_noise = np.random.default_rng(0)
GREY = (np.add.outer(np.arange(HEIGHT) * 5, np.arange(WIDTH) * 4)).astype(np.uint8)
GREY = (GREY + _noise.integers(0, 30, GREY.shape)).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 200
RGB = np.dstack([GREY, GREY[::-1], 255 - GREY])
RGBA = np.dstack([RGB, GREY])
BITS = GREY > 99


def pillow(array, fmt, **options):
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(file, fmt, **options)
    return file.getvalue()


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def packed(array, bits):
    """Numbers of so many bits each, without gaps; imagecodecs before 2025 only reads them."""
    return np.packbits(array[..., None] >> np.arange(bits - 1, -1, -1) & 1).tobytes()


def bare_tiff(data, bits, photometric=1, extra=()):
    """A TIFF written byte by byte, for what no writer writes."""
    tags = [
        (256, 4, WIDTH), (257, 4, HEIGHT), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8), (277, 3, 1), (278, 4, HEIGHT), (279, 4, len(data)), *extra,
    ]  # fmt: skip
    out = b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags))
    for code, kind, value in sorted(tags):
        out += struct.pack("<HHI", code, kind, 1) + struct.pack("<I", value)
    return out + b"\0" * 4


def planes(array):
    return array[None] if array.ndim == 2 else np.moveaxis(array, -1, 0)


EXACT = {
    "png 8": (pillow(GREY, "PNG"), planes(GREY), 8),
    "png 1": (pillow(BITS, "PNG"), planes(BITS).astype(np.uint8), 1),
    "png rgb": (pillow(RGB, "PNG"), planes(RGB), 8),
    "png rgba": (pillow(RGBA, "PNG"), planes(RGB), 8),
    "png la": (pillow(np.dstack([GREY, GREY]), "PNG"), planes(GREY), 8),
    "png 16": (imagecodecs.png_encode(DEEP), planes(DEEP), 16),
    "png 16 rgb": (imagecodecs.png_encode(np.dstack([DEEP] * 3)), np.stack([DEEP] * 3), 16),
    "png 16 rgba": (imagecodecs.png_encode(np.dstack([DEEP] * 4)), np.stack([DEEP] * 3), 16),
    "bmp": (pillow(RGB, "BMP"), planes(RGB), 8),
    "gif grey": (pillow(GREY, "GIF"), planes(GREY), 8),
    "webp": (pillow(RGBA, "WEBP", lossless=True, exact=True), planes(RGB), 8),
    "jp2": (pillow(RGB, "JPEG2000"), planes(RGB), 8),
    "jp2 16 rgb": (
        imagecodecs.jpeg2k_encode(np.dstack([DEEP] * 3), level=0, codecformat="jp2"),
        np.stack([DEEP] * 3),
        16,
    ),
    "pgm": (b"P5\n# made here\n26 20\n255\n" + GREY.tobytes(), planes(GREY), 8),
    "pgm plain": (b"P2 26 20 255\n" + " ".join(map(str, GREY.ravel())).encode(), planes(GREY), 8),
    "pgm 12": (
        b"P5 26 20 4095\n" + (DEEP // 16).astype(">u2").tobytes(), planes(DEEP // 16), 12,
    ),
    "ppm 16": (
        b"P6 26 20 65535\n" + np.dstack([DEEP] * 3).astype(">u2").tobytes(),
        np.stack([DEEP] * 3),
        16,
    ),
    "pbm": (
        b"P4 26 20\n" + np.packbits(BITS, axis=1).tobytes(), planes(1 - BITS.astype(np.uint8)), 1,
    ),
    "tiff 12": (bare_tiff(packed(DEEP >> 4, 12), 12), planes(DEEP >> 4), 12),
    "tiff 4": (bare_tiff(packed(GREY >> 4, 4), 4), planes(GREY >> 4) * 17, 8),
    "tiff white is 0": (bare_tiff(GREY.tobytes(), 8, 0), planes(255 - GREY), 8),
    "tiff white is 0, 16": (bare_tiff(DEEP.tobytes(), 16, 0), planes(65535 - DEEP), 16),
    "tiff fill order": (
        bare_tiff(imagecodecs.bitorder_encode(GREY.tobytes()), 8, 1, [(266, 3, 2)]),
        planes(GREY),
        8,
    ),
    "tiff g4": (
        pillow(BITS, "TIFF", compression="group4"), planes(BITS).astype(np.uint8), 1,
    ),
    "tiff rgba": (tiff(RGBA, photometric="rgb"), planes(RGB), 8),
    "tiff planar": (
        tiff(planes(RGB).copy(), photometric="rgb", planarconfig="separate"), planes(RGB), 8,
    ),
    "tiff channels": (
        tiff(planes(RGBA).copy(), photometric="minisblack", planarconfig="separate"),
        planes(RGBA),
        8,
    ),
    "tiff big, big-endian": (tiff(DEEP, bigtiff=True, byteorder=">"), planes(DEEP), 16),
    "tiff tiles": (tiff(DEEP, tile=(16, 16), compression="zlib", predictor=True), planes(DEEP), 16),
    **{
        f"tiff {name}": (tiff(RGB, photometric="rgb", compression=name), planes(RGB), 8)
        for name in ("lzw", "zlib", "packbits", "zstd", "lzma", "jpeg2000")
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", EXACT)
def test_values_are_those_of_the_file(kind):
    content, expected, bit_depth = EXACT[kind]
    image = read_image(content)
    assert (image.dtype, image.bit_depth) == (expected.dtype, bit_depth)
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    "dtype",
    ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64", "float16", "float32",
     "float64"],
)  # fmt: skip
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_every_sample_type_of_tiff(dtype, compression):
    values = GREY.astype(dtype) * np.array(-1 if dtype[0] in "if" else 1, dtype)
    image = read_image(tiff(values, photometric="minisblack", compression=compression))
    assert image.dtype == dtype
    assert image.bit_depth == 8 * values.itemsize
    np.testing.assert_array_equal(image[0], values)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_colors_of_print_and_video_become_rgb(mode, compression):
    stored = Image.fromarray(RGB).convert(mode)
    content = pillow(stored, "TIFF", compression=compression)
    expected = planes(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    np.testing.assert_allclose(read_image(content), expected.astype(int), atol=1)
    np.testing.assert_array_equal(read_image(stored), planes(np.asarray(stored.convert("RGB"))))


def test_cmyk_jpeg_is_not_inverted():
    content = pillow(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
    assert read_image(content).min() > 250


def test_lab_white_black_and_red():
    lab = np.array([[[255, 0, 0], [0, 0, 0], [138, 80, 69]]], np.uint8)  # CIE 1976, a and b signed
    for source in (tiff(lab, photometric="cielab"), Image.fromarray(lab, "LAB")):
        white, black, red = np.asarray(read_image(source)).reshape(3, 3).T.astype(int)
        assert white.tolist() == [255, 255, 255]
        assert black.tolist() == [0, 0, 0]
        np.testing.assert_allclose(red, [255, 0, 0], atol=12)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_palette_is_one_channel_and_color_palette_three(bits):
    indices = GREY & np.uint8(2**bits - 1)
    image = Image.fromarray(indices, "L").convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([v for i in range(2**bits) for v in (255 - i, 255 - i, 255 - i)])
    np.testing.assert_array_equal(read_image(pillow(image, "PNG", bits=bits)), 255 - indices[None])
    image.putpalette([v for i in range(2**bits) for v in (255 - i, i, 7)])
    colors = np.stack([255 - indices, indices, np.full_like(indices, 7)])
    np.testing.assert_array_equal(read_image(pillow(image, "PNG", bits=bits)), colors)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(orientation, fmt):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if fmt == "WEBP" else {}
    content = pillow(RGB[:7, :9], fmt, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    np.testing.assert_array_equal(read_image(content), planes(expected))
    assert (read_image(content).shape == (3, 9, 7)) == (orientation >= 5)


@pytest.mark.parametrize(
    "options",
    [{}, {"imagej": True}, {"ome": True}, {"truncate": True}, {"imagej": True, "truncate": True}],
)
def test_pages_of_stacks(options):
    stack = np.arange(5 * 6 * 7, dtype=np.uint16).reshape(5, 6, 7)
    if "imagej" not in options:
        options = {**options, "photometric": "minisblack"}
    content = tiff(stack, **options)
    for page in range(5):
        image = read_image(content, page=page)
        assert (image.page, image.pages) == (page, 5)
        np.testing.assert_array_equal(image[0], stack[page])
    for page in (-1, 5):
        with pytest.raises(ImageError, match=f"5 pages .numbers 0 to 4.* no page {page}"):
            read_image(content, page=page)


def test_frames_of_gif_and_webp():
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for fmt in ("GIF", "WEBP"):
        content = pillow(frames[0], fmt, save_all=True, append_images=frames[1:], lossless=True)
        second = read_image(content, page=1)
        assert second.pages == 2
        np.testing.assert_array_equal(second[0], 255 - GREY)


def test_every_kind_of_source(tmp_path):
    content = pillow(RGB, "PNG")
    path = tmp_path / "wrong extension.jpg"
    path.write_bytes(content)
    with path.open("rb") as file:
        from_file = np.asarray(read_image(file))
    tensor = torch.from_numpy(planes(RGB).copy())
    lazy = Image.open(io.BytesIO(content))
    from_memory = (RGB, planes(RGB), tensor, tensor[None], RGBA, Image.fromarray(RGB))
    for source in (path, str(path), content, lazy, read_image(path), *from_memory):
        np.testing.assert_array_equal(read_image(source), from_file)
    assert read_image(torch.zeros(4, 5, dtype=torch.bfloat16)).dtype == np.float32
    deep = imagecodecs.png_encode(np.dstack([DEEP] * 3))
    np.testing.assert_array_equal(read_image(Image.open(io.BytesIO(deep)))[0], DEEP)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((6, 7), (1, 6, 7)),
        ((6, 7, 3), (3, 6, 7)),
        ((6, 7, 4), (3, 6, 7)),
        ((6, 7, 2), (2, 6, 7)),
        ((4, 6, 7), (4, 6, 7)),
        ((3, 4, 4), (3, 4, 4)),
        ((4, 4, 3), (3, 4, 4)),
        ((1, 6, 3), (1, 6, 3)),
    ],
)
def test_array_layouts(shape, expected):
    assert read_image(np.zeros(shape)).shape == expected


def test_bool_and_byte_order():
    image = read_image(BITS)
    assert (image.dtype, image.bit_depth) == (np.uint8, 1)
    swapped = read_image(DEEP.astype(">u2"))
    assert swapped.dtype.isnative
    np.testing.assert_array_equal(swapped[0], DEEP)


REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"x,y\n1,2\n", "text file"),
    "text that begins like a BMP": (b"BM3 cells were counted in all fields", "text file"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "html": (b"<!DOCTYPE html><html>", "web page"),
    "xlsx": (b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml", "Office"),
    "zip": (b"PK\x03\x04" + b"\0" * 40, "zip"),
    "dicom": (b"\0" * 128 + b"DICM", "DICOM.*TIFF"),
    "nd2": (b"\xda\xce\xbe\x0a" + b"\0" * 30, "ND2.*TIFF"),
    "czi": (b"ZISRAWFILE" + b"\0" * 30, "CZI.*TIFF"),
    "noise": (bytes(range(128, 256)), "not an image"),
    "png header": (b"\x89PNG\r\n\x1a\n", "PNG"),
    "tiff header": (b"II*\0", "TIFF"),
    "nan": (tiff(np.array([[1, np.nan], [np.inf, 2]], np.float32)), "2 of 4 values"),
    "complex": (tiff(np.ones((3, 3), np.complex64)), "complex"),
    "huge pgm": (b"P5 100000 100000 255\n" + b"\0" * 50, "100000 x 100000"),
    "zero pgm": (b"P5 0 4 255\n", "0 x 4"),
    "folder": (Path(__file__).parent, "folder"),
    "missing": ("/no/such/cells.tif", "^cells.tif does not exist"),
    "null": ("a\0b", "cannot be opened"),
    "number": (7, "int"),
    "None": (None, "NoneType"),
    "list": ([[1, 2]], "list"),
    "text stream": (io.StringIO("a"), "binary"),
    "empty array": (np.zeros((0, 4)), "empty"),
    "1-d": (np.zeros(4), "shape"),
    "stack": (np.zeros((9, 8, 7)), "stack"),
    "object": (np.array([[None]]), "object"),
    "complex array": (np.ones((2, 2), complex), "complex"),
    "nan array": (np.array([[np.nan, 1.0]]), "1 of 2 values"),
    "batch": (torch.zeros(2, 1, 4, 4), "batch of 2"),
    "meta": (torch.zeros(4, 4, device="meta"), "tensor"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_are_sentences(kind):
    source, sentence = REFUSED[kind]
    with pytest.raises(ImageError, match=sentence) as caught:
        read_image(source)
    assert str(caught.value).endswith(".")
    assert "/" not in str(caught.value).replace("width/", "")


def bomb_png(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    import zlib

    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


def test_bombs_are_refused_by_their_header():
    for source in (bomb_png(60000, 60000), bomb_png(9000, 9000),
                   b"P6 20000 20000 255\n", pillow(RGB, "BMP")[:18] + b"\xff\xff\0\0" * 2 + pillow(RGB, "BMP")[26:]):  # fmt: skip  # noqa: E501
        with pytest.raises(ImageError, match="says it is"):
            read_image(source)
    with pytest.raises(ImageError, match="more than the 100 "):
        read_image(RGB, max_pixels=100)


def test_repeated_header_tags_are_refused():
    content = bare_tiff(GREY.tobytes(), 8, 1, [(257, 4, 3)])
    with pytest.raises(ImageError, match="contradicts"):
        read_image(content)


# The last byte of a decimal number, and a JPEG's end mark, are missed by nobody's eyes.
@pytest.mark.parametrize("kind", [k for k in EXACT if k != "pgm plain"])
def test_cut_and_damaged_files_are_refused_or_whole(kind):
    content, expected, _ = EXACT[kind]
    dice = random.Random(kind)
    cuts = {int(len(content) * part / 12) for part in range(12)} | {len(content) - 9}
    for cut in cuts:
        try:
            image = read_image(content[:cut])
        except ImageError:
            continue
        np.testing.assert_array_equal(image, expected, err_msg=f"cut at {cut} of {len(content)}")
    for _ in range(30):
        damaged = bytearray(content)
        for _ in range(dice.choice((1, 2, 9))):
            damaged[dice.randrange(len(damaged))] = dice.choice((0, 255, dice.randrange(256)))
        try:
            image = read_image(bytes(damaged))
        except ImageError as error:
            assert str(error).startswith("The file ")  # noqa: PT017
        else:
            assert image.ndim == 3


def test_truncated_jpeg_is_refused():
    for options in ({}, {"progressive": True}):
        content = pillow(RGB, "JPEG", **options)
        for part in (0.3, 0.6, 0.9):
            with pytest.raises(ImageError):
                read_image(content[: int(len(content) * part)])


def test_science_image_keeps_its_facts():
    image = ScienceImage(np.zeros((1, 3, 4), np.uint16), 12, 2, 5)
    for copy in (pickle.loads(pickle.dumps(image)), image[:, 1:], image.copy(), read_image(image)):
        assert (copy.bit_depth, copy.page, copy.pages) == (12, 2, 5)
    assert type(image + 1) is np.ndarray
    assert type(image.mean()) is np.float64


def test_match_channels():
    image = read_image(RGB)
    assert match_channels(image, 3) is image
    luma = match_channels(image, 1)
    np.testing.assert_allclose(luma[0], RGB @ [0.299, 0.587, 0.114], rtol=1e-5)
    assert (luma.bit_depth, luma.dtype) == (8, np.float32)
    grey = np.stack([DEEP] * 3)
    np.testing.assert_array_equal(match_channels(grey, 1)[0], DEEP)
    np.testing.assert_array_equal(match_channels(DEEP[None], 3), grey)
    with pytest.raises(ImageError, match="has 2 channels and the model takes 3"):
        match_channels(np.zeros((2, 4, 4)), 3)


def test_normalizations():
    ramp = np.arange(1001, dtype=np.uint16)[None, None] * 4
    scaled = normalize(ramp, "percentile")
    np.testing.assert_allclose(scaled[0, 0, [10, 998]], [0, 1], atol=1e-6)
    assert scaled.min() < 0 < 1 < scaled.max()
    np.testing.assert_allclose(
        [normalize(ramp, "standardize").mean(), normalize(ramp, "standardize").std()],
        [0, 1],
        atol=1e-6,
    )
    np.testing.assert_array_equal(
        normalize(ScienceImage(ramp, 12), "bit-depth"), (ramp / 4095).astype(np.float32)
    )
    np.testing.assert_array_equal(normalize(ramp, "none"), ramp)
    for rule in NORMALIZATIONS:
        constant = normalize(np.full((1, 3, 3), 7, np.uint8), rule)
        assert constant.dtype == np.float32
        assert rule not in ("percentile", "standardize") or not constant.any()
    spots = np.zeros((1, 100, 100), np.uint8)
    spots[0, 0, 0] = 200
    assert normalize(spots, "percentile").max() == 1


def test_normalizations_that_cannot_be():
    with pytest.raises(ImageError, match=f"{', '.join(NORMALIZATIONS)}"):
        normalize(np.zeros((1, 2, 2)), "minmax")
    with pytest.raises(ImageError, match="floats"):
        normalize(np.zeros((1, 2, 2)), "bit-depth")
    with pytest.raises(ImageError, match="too large"):
        normalize(np.full((1, 2, 2), 1e300), "none")
    assert normalize(match_channels(read_image(RGB), 1), "bit-depth").max() <= 1


@pytest.mark.data
def test_awkward_files_open_right_or_say_why(shared_data):
    folder = shared_data / "awkward"
    wrong = []
    for row in csv.DictReader((folder / "MANIFEST.csv").read_text().splitlines()):
        path = folder / row["file"]
        try:
            image = np.asarray(read_image(path))
        except ImageError as error:
            assert str(error).startswith(path.name)  # noqa: PT017
            if row["pillow_says"] == "ok":
                wrong.append(f"{path.name} is refused: {error}")
            continue
        if row["pillow_says"] != "ok":
            if path.name != "pal8oversizepal.bmp":
                wrong.append(f"{path.name} opens")
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as opened:
                picture = ImageOps.exif_transpose(opened)
            plain = picture.mode in ("1", "L", "I", "F", "I;16")
            seen = np.asarray(picture if plain else picture.convert("RGB"))
        if not np.array_equal(*np.broadcast_arrays(image, planes(seen).astype(image.dtype))):
            wrong.append(f"{path.name} differs from Pillow")
    assert not wrong
