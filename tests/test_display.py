"""Images to pictures, and what is drawn on them."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from hf_unet.colors import BACKGROUND, PALETTE, default_colors, is_color, rgb
from hf_unet.display import (
    BLUE,
    CONFUSION_COLORS,
    MARK_COLORS,
    MATCH_COLORS,
    SMALLEST_RING,
    YELLOW,
    displayed,
    draw_classes,
    draw_confusion,
    draw_marks,
    draw_matches,
    draw_tiles,
    inner_edges,
    window_of,
)
from hf_unet.geometry import valid_geometry
from hf_unet.metrics import WarpingMark, match_objects
from hf_unet.metrics.warping import KINDS
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


def test_confusion_is_drawn_in_its_colors() -> None:
    picture = np.full((1, 5, 3), 100, np.uint8)
    drawn = draw_confusion(picture, np.array([[0, 1, 2, 3, 4]], np.uint8))
    assert drawn[0, 0].tolist() == [100] * 3
    assert [tuple(color) for color in drawn[0, 1:].tolist()] == [
        CONFUSION_COLORS[value][1] for value in (1, 2, 3, 4)
    ]
    half = draw_confusion(picture, np.array([[0, 1, 0, 0, 0]], np.uint8), opacity=0.5)
    assert half[0, :2].tolist() == [[100] * 3, [150] * 3]
    assert (picture == 100).all()


# Machado, Oliveira and Fernandes (2009): what is seen without one kind of cone.
COLOR_BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("kind", COLOR_BLINDNESS)
@pytest.mark.parametrize(
    "colors",
    [[color for _, color in CONFUSION_COLORS.values()], [*MATCH_COLORS.values()]],
    ids=["confusion", "matches"],
)
def test_the_colors_of_errors_differ_to_every_eye(
    kind: str, colors: list[tuple[int, int, int]]
) -> None:
    """By CIE Lab, in which 2.3 is a difference that is just seen."""
    shown = np.array(colors, np.float64)[None] / 255
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(COLOR_BLINDNESS[kind]), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    (lab,) = rgb2lab(seen)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 999 * np.eye(len(lab))
    assert apart.min() > 15


def test_objects_are_outlined_by_what_became_of_them() -> None:
    truth = np.zeros((12, 40), np.int32)
    truth[2:8, 2:8] = 1  # found
    truth[2:8, 12:18] = 2  # missed
    truth[2:8, 28:32], truth[2:8, 34:38] = 3, 4  # taken for one
    found = np.zeros_like(truth)
    found[2:8, 2:8] = 5
    found[9:12, 20:24] = 6  # invented
    found[2:8, 28:38] = 7
    picture = np.full((12, 40, 3), 9, np.uint8)
    drawn = draw_matches(picture, truth, found, match_objects(truth, found))
    for name, place in (
        ("matched", (2, 4)), ("missed", (2, 14)), ("invented", (9, 21)), ("merged", (2, 33)),
    ):  # fmt: skip
        assert tuple(drawn[place]) == MATCH_COLORS[name], name
    assert (drawn[4, 4] == 9).all() and (drawn[0, 0] == 9).all() and (picture == 9).all()
    parts = draw_matches(picture, found, truth, match_objects(found, truth))
    assert tuple(parts[2, 33]) == MATCH_COLORS["split"]
    assert tuple(parts[2, 14]) == MATCH_COLORS["invented"]


@pytest.mark.parametrize("factor", [1, 2])
def test_marks_are_ringed_where_they_are(factor: int) -> None:
    picture = np.zeros((100 // factor, 120 // factor, 3), np.uint8)
    mark = WarpingMark("merge", row=60.0, column=80.0, radius=4.0, pixels=5)
    drawn = draw_marks(picture, [mark], factor)
    assert not picture.any()
    rows, columns = np.nonzero((drawn == MARK_COLORS["merge"]).all(axis=-1))
    assert rows.mean() == pytest.approx(60 / factor, abs=0.5)
    assert columns.mean() == pytest.approx(80 / factor, abs=0.5)
    distance = np.hypot(rows - 60 / factor, columns - 80 / factor)
    assert np.abs(distance - (4 / factor + SMALLEST_RING)).max() < 2
    assert MARK_COLORS.keys() == set(KINDS)
