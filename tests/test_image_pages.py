"""Which pages of a file are pictures: those of a stack, and not its thumbnails."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hf_unet.images import read_image
from hf_unet.images.pages import pages_of

PICTURE = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)


@pytest.mark.parametrize("count", [1, 4])
def test_pages_of_a_stack_are_those_that_are_read(tmp_path: Path, count: int) -> None:
    volume = np.stack([PICTURE + number for number in range(count)])
    paths = [tmp_path / f"{name}.tif" for name in ("plain", "imagej", "one_directory")]
    tifffile.imwrite(paths[0], volume, photometric="minisblack")
    tifffile.imwrite(paths[1], volume, imagej=True)
    tifffile.imwrite(paths[2], volume, photometric="minisblack", contiguous=True)
    for path in paths:
        assert pages_of(path) == tuple(range(count))
        assert read_image(path).pages == count


def test_a_stack_with_one_directory_for_all_pages(tmp_path: Path) -> None:
    path = tmp_path / "large.tif"
    volume = np.stack([PICTURE, PICTURE + 1, PICTURE + 2])
    description = "ImageJ=1.54f\nimages=3\nslices=3\n"
    tifffile.imwrite(path, PICTURE, description=description, metadata=None, photometric=1)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        start = tif.pages.first.dataoffsets[0]
    assert start + PICTURE.nbytes == len(content)
    path.write_bytes(content + volume[1:].tobytes())
    assert read_image(path, page=2)[0, 0, 0] == 2
    assert pages_of(path) == (0, 1, 2)


def test_channels_are_no_pages(tmp_path: Path) -> None:
    color = tmp_path / "color.tif"
    tifffile.imwrite(color, np.zeros((20, 30, 4), np.uint8), photometric="rgb", extrasamples=[2])
    many = tmp_path / "many.tif"
    planes = np.zeros((5, 20, 30), np.uint8)
    tifffile.imwrite(many, planes, photometric="minisblack", planarconfig="separate")
    assert pages_of(color) == pages_of(many) == (0,)
    assert read_image(many).shape == (5, 20, 30)


def test_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    path = tmp_path / "thumbnail.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PICTURE)
        file.write(PICTURE[::2, ::2], subfiletype=1)
        file.write(PICTURE + 1)
    assert pages_of(path) == (0, 2)
    assert read_image(path, page=2)[0, 0, 0] == 1


def test_frames_are_pages(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 9), grey, np.uint8)) for grey in (10, 20, 30)]
    for name in ("a.gif", "a.png", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert pages_of(tmp_path / name) == (0, 1, 2)
        assert read_image(tmp_path / name).pages == 3
    frames[0].save(tmp_path / "a.jpg")
    assert pages_of(tmp_path / "a.jpg") == (0,)


def test_of_what_cannot_be_read_the_first_page_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no picture")
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("text.tif", "cut.tif", "cut.png", "missing.tif"):
        assert pages_of(tmp_path / name) == (0,)
