"""Images to pictures, and what is drawn on them."""

import numpy as np
import pytest

from hf_unet.colors import BACKGROUND, PALETTE, default_colors, is_color, rgb
from hf_unet.display import (
    BLUE,
    YELLOW,
    displayed,
    draw_classes,
    draw_tiles,
    inner_edges,
    window_of,
)
from hf_unet.geometry import valid_geometry
from hf_unet.tiles import plan_tiles


def test_a_window_becomes_black_and_white() -> None:
    image = np.array([[[0, 10, 20, 30, 99]]], np.uint16)
    shown = displayed(image, window=(10, 30))
    assert shown.dtype == np.uint8 and shown.shape == (1, 5, 3)
    assert shown[0].tolist() == [[v] * 3 for v in (0, 0, 128, 255, 255)]


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, [1, 1, 1]), (2, [2, 1, 2]), (3, [1, 2, 3]), (5, [1, 2, 3])]
)
def test_channels_become_red_green_and_blue(channels: int, expected: list[int]) -> None:
    image = np.arange(1, channels + 1, dtype=np.uint8).reshape(-1, 1, 1)
    assert displayed(image, window=(0, 255))[0, 0].tolist() == expected


def test_eight_bit_images_are_shown_as_they_are() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(displayed(ramp)[..., 0], ramp[0])
    dim = np.broadcast_to(np.uint8(3), (3, 4, 4))
    assert (displayed(dim) == 3).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_dim_images_are_stretched(dtype: type) -> None:
    image = np.tile(np.arange(5, dtype=dtype), (1, 8, 8))
    assert np.unique(displayed(image)).tolist() == [0, 64, 128, 191, 255]


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_doubles_beyond_float32_are_shown(scale: float) -> None:
    image = np.tile([0.0, 1.0, 2.0], (1, 8, 8)) * scale
    assert displayed(image)[0, :3, 0].tolist() == [0, 128, 255]


def test_large_whole_numbers_keep_their_differences() -> None:
    image = np.tile(np.arange(3, dtype=np.uint32), (1, 8, 8)) + np.uint32(2**31)
    assert displayed(image)[0, :3, 0].tolist() == [0, 128, 255]


def test_an_even_image_is_shown() -> None:
    assert (displayed(np.full((1, 3, 3), 7.5)) == 0).all()
    assert window_of(np.full((1, 3, 3), 9, np.uint8)) == (0.0, 255.0)


def test_classes_are_blended_and_instances_outlined() -> None:
    canvas = np.full((5, 5, 3), 100, np.uint8)
    plane = np.zeros((5, 5), bool)
    plane[:4, :4] = True
    drawn = draw_classes(canvas, [(plane, (200, 0, 50))], plane.astype(np.int32), opacity=0.25)
    assert drawn[1, 1].tolist() == [125, 75, 88]
    assert drawn[3, 1].tolist() == drawn[1, 3].tolist() == [200, 0, 50]
    assert drawn[0, 0].tolist() == [125, 75, 88]  # the image's border is no outline
    assert drawn[4, 4].tolist() == [100, 100, 100]
    without = draw_classes(canvas, [(plane, (200, 0, 50))], None, opacity=0.25)
    assert without[3, 1].tolist() == [125, 75, 88]
    assert (canvas == 100).all()


def test_touching_instances_both_have_an_edge() -> None:
    edges = inner_edges(np.array([[1, 1, 1, 2, 2, 2]], np.int32))
    assert edges.tolist() == [[False, False, True, True, False, False]]


@pytest.mark.parametrize("factor", [1, 3])
def test_tiles_are_drawn_where_they_lie(factor: int) -> None:
    plan = plan_tiles(60, 90, valid_geometry(1), tile=56)
    side = 60 + 16, 90 + 16
    picture = np.zeros((-(-side[0] // factor), -(-side[1] // factor), 3), np.uint8)
    drawn = draw_tiles(picture, plan, factor)
    assert not picture.any()
    assert drawn.shape == picture.shape
    assert (drawn[0, : 56 // factor - 1] == BLUE).all()  # from the margin's corner on
    middle = (8 + 20) // factor
    assert (drawn[middle, (8 + plan.step[1]) // factor] == YELLOW).all()
    assert (drawn[middle, 8 // factor] == YELLOW).all()
    colors = {tuple(color) for color in drawn.reshape(-1, 3).tolist()}
    assert colors <= {(0, 0, 0), BLUE, YELLOW}


def test_colors_of_classes() -> None:
    assert default_colors(3, with_background=True) == (BACKGROUND, *PALETTE[:2])
    assert default_colors(3, with_background=False) == PALETTE[:3]
    assert len(default_colors(20, with_background=False)) == 20
    assert all(is_color(color) for color in (*PALETTE, BACKGROUND))
    assert len({rgb(color) for color in PALETTE}) == len(PALETTE)
    assert not any(is_color(text) for text in ("#12345", "123456", "#1234567", "#12345g", 1, None))
    assert not is_color("#123456\n")
    assert rgb("#0A0b0C") == (10, 11, 12)
