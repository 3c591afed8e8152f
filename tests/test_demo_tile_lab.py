"""The overlap-tile lab: where tiles lie, what decides a pixel, and what it can depend on."""

from typing import Any

import gradio as gr
import numpy as np
import pytest
from demo_pages import noise, shown_with, small_network
from numpy.typing import NDArray
from scipy import ndimage
from slow_definitions import mirrored

from hf_unet import UNet
from hf_unet.colors import hex_color
from hf_unet.demo import actions
from hf_unet.demo.labs import tiles
from hf_unet.demo.labs.tiles import (
    ORANGE,
    Sight,
    pixel_of,
    seam_scene,
    seam_table,
    seen_scene,
    sight,
    tile_at,
    tile_scene,
    tile_words,
)
from hf_unet.demo.shown import KEPT, Shown
from hf_unet.display import BLUE, YELLOW
from hf_unet.seams import compare_stitchings
from hf_unet.tiles import TilePlan, mirror_indices

HEIGHT, WIDTH = 60, 70
Box = dict[str, Any]


@pytest.fixture(scope="module")
def network() -> UNet:
    # Values are not scaled, so that a far pixel cannot act on all by way of the scaling.
    return small_network(normalization="none")


@pytest.fixture(scope="module")
def shown(network: UNet) -> Shown:
    return shown_with(network, noise(HEIGHT, WIDTH))


@pytest.fixture(scope="module")
def plan(network: UNet) -> TilePlan:
    """Several tiles, the last ones smaller than the others."""
    plan = network.plan(HEIGHT, WIDTH, 60)
    assert len(plan.tiles) > 3
    return plan


def boxes(shown: Shown, plan: TilePlan, clicked: Sight | None = None) -> dict[str, list[Box]]:
    """Boxes by colour, in pixels of the image."""
    found: dict[str, list[Box]] = {}
    for box in tile_scene(shown, plan, clicked).settings["boxes"]:
        edges = {
            edge: box[edge] * tiles.thinning(plan) - plan.margin
            for edge in ("top", "left", "bottom", "right")
        }
        found.setdefault(box["color"], []).append(edges)
    return found


def holds(box: Box, y: int, x: int) -> bool:
    return bool(box["top"] <= y < box["bottom"] and box["left"] <= x < box["right"])


# --- where tiles lie --------------------------------------------------------------------------


def test_the_picture_is_the_image_and_its_mirror_images(shown: Shown, plan: TilePlan) -> None:
    margin = plan.margin
    picture = tile_scene(shown, plan).layers[0].data
    expected = mirrored(
        noise(HEIGHT, WIDTH)[None], -margin, -margin, HEIGHT + 2 * margin, WIDTH + 2 * margin
    )
    assert np.array_equal(picture, expected)


def test_yellow_boxes_part_the_image_among_the_tiles(shown: Shown, plan: TilePlan) -> None:
    *every, _bold = boxes(shown, plan)[hex_color(YELLOW)]
    assert len(every) == len(plan.tiles)
    count = np.zeros((HEIGHT, WIDTH), int)
    for box in every:
        count[int(box["top"]) : int(box["bottom"]), int(box["left"]) : int(box["right"])] += 1
    assert (count == 1).all()


@pytest.mark.parametrize(("x", "y"), [(0, 0), (35, 30), (69, 59), (40, 2)])
def test_the_clicked_pixels_tile_is_bold_and_what_it_reads_is_blue(
    network: UNet, shown: Shown, plan: TilePlan, x: int, y: int
) -> None:
    found = boxes(shown, plan, sight(network, x, y))
    bold, (blue,), (orange,) = (
        found[hex_color(YELLOW)][-1],
        found[hex_color(BLUE)],
        found[hex_color(ORANGE)],
    )
    assert holds(bold, y, x)
    tile = tile_at(plan, x, y)
    assert (bold["top"], bold["left"]) == (tile.rows.start, tile.columns.start)
    assert (blue["bottom"] - blue["top"], blue["right"] - blue["left"]) == plan.side
    assert (blue["top"], blue["left"]) == (tile.rows.read, tile.columns.read)
    assert holds(orange, y, x)
    # What a pixel depends on lies in what its tile is shown.
    assert all(blue[edge] <= orange[edge] for edge in ("top", "left"))
    assert all(orange[edge] <= blue[edge] for edge in ("bottom", "right"))


def test_every_pixel_is_decided_by_one_tile_which_the_words_name(plan: TilePlan) -> None:
    for y in range(0, HEIGHT, 7):
        for x in range(0, WIDTH, 7):
            deciding = [
                number
                for number, tile in enumerate(plan.tiles, 1)
                if tile.rows.start <= y < tile.rows.stop
                and tile.columns.start <= x < tile.columns.stop
            ]
            assert len(deciding) == 1
            words = tile_words(plan, x, y)
            assert f"Pixel x {x}, y {y} is decided by tile **{deciding[0]} of" in words


@pytest.mark.parametrize("largest", [4096, 100, 50])
def test_a_click_finds_the_pixel_also_in_a_thinned_picture(
    plan: TilePlan, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    monkeypatch.setattr(tiles, "LARGEST_SIDE", largest)
    factor = tiles.thinning(plan)
    for x, y in ((0, 0), (13, 50), (WIDTH - 1, HEIGHT - 1)):
        clicked = ((x + plan.margin) // factor, (y + plan.margin) // factor)
        found = pixel_of(plan, *clicked)
        assert 0 <= x - found[0] < factor or found[0] == 0
        assert 0 <= y - found[1] < factor or found[1] == 0
    last = (WIDTH + 2 * plan.margin - 1) // factor, (HEIGHT + 2 * plan.margin - 1) // factor
    assert pixel_of(plan, 0, 0) == (0, 0), "of the margin the nearest pixel of the image"
    assert pixel_of(plan, *last) == (WIDTH - 1, HEIGHT - 1)


def test_a_large_picture_is_thinned_and_its_boxes_with_it(
    network: UNet, plan: TilePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "LARGEST_SIDE", 60)
    shown = shown_with(network, noise(HEIGHT, WIDTH))
    clicked = sight(network, 20, 10)
    scene = tile_scene(shown, plan, clicked)
    factor, margin = tiles.thinning(plan), plan.margin
    assert factor > 1 and max(scene.size) <= 60
    whole = mirrored(
        noise(HEIGHT, WIDTH)[None], -margin, -margin, HEIGHT + 2 * margin, WIDTH + 2 * margin
    )
    assert np.array_equal(scene.layers[0].data, whole[:, ::factor, ::factor])
    orange = boxes(shown, plan, clicked)[hex_color(ORANGE)][0]
    assert (orange["left"], orange["top"]) == pytest.approx((clicked.left, clicked.top))


# --- what a pixel depends on ------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("averaging", [False, True])
@pytest.mark.parametrize(("x", "y"), [(35, 30), (2, 1), (69, 58), (31, 0), (32, 31)])
def test_no_pixel_outside_the_orange_box_acts_on_the_clicked_one(
    padding: str, averaging: bool, x: int, y: int
) -> None:
    network = small_network(normalization="none", padding=padding, test_time_averaging=averaging)
    clicked = sight(network, x, y)
    rows = mirror_indices(clicked.top, clicked.bottom - clicked.top, 90)
    columns = mirror_indices(clicked.left, clicked.right - clicked.left, 80)
    inside = np.zeros((90, 80), bool)
    inside[np.ix_(rows, columns)] = True
    assert inside[y, x] and not inside.all()
    chance = np.random.default_rng(1)
    image = chance.random((1, 90, 80), np.float32)

    def predicted(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        return network.segment(pixels, tile=60).probabilities

    before = predicted(image)
    for _ in range(3):
        other = np.where(inside, image, chance.normal(0, 50, image.shape).astype(np.float32))
        after = predicted(other)
        assert np.allclose(after[:, y, x], before[:, y, x], atol=1e-6)
        assert not np.allclose(after, before, atol=1e-2), "nothing was changed"
    within = np.where(inside, chance.random(image.shape, np.float32), image)
    assert not np.allclose(predicted(within)[:, y, x], before[:, y, x], atol=1e-4)


@pytest.mark.parametrize(("x", "y"), [(35, 30), (0, 0), (69, 59)])
def test_the_picture_beside_is_that_box(network: UNet, shown: Shown, x: int, y: int) -> None:
    clicked = sight(network, x, y)
    scene = seen_scene(shown, clicked)
    rows, columns = clicked.bottom - clicked.top, clicked.right - clicked.left
    expected = mirrored(noise(HEIGHT, WIDTH)[None], clicked.top, clicked.left, rows, columns)
    assert np.array_equal(scene.layers[0].data, expected)
    assert scene.layers[0].data.dtype == np.uint16, "intensities are the image's own"
    pixel, *edges = scene.settings["boxes"]
    assert (pixel["bottom"] - pixel["top"], pixel["right"] - pixel["left"]) == (1, 1)
    assert scene.layers[0].data[0, pixel["top"], pixel["left"]] == noise(HEIGHT, WIDTH)[y, x]
    origin = scene.settings["origin"]
    assert (pixel["left"] - origin["x"], pixel["top"] - origin["y"]) == (x, y), "under the pointer"
    inside = min(clicked.top, clicked.left) >= 0 and clicked.bottom <= HEIGHT
    assert len(edges) == (0 if inside and clicked.right <= WIDTH else 1)
    for edge in edges:  # where the picture is the image itself
        part = scene.layers[0].data[0, edge["top"] : edge["bottom"], edge["left"] : edge["right"]]
        seen = noise(HEIGHT, WIDTH)[
            max(clicked.top, 0) : clicked.bottom, max(clicked.left, 0) : clicked.right
        ]
        assert np.array_equal(part, seen)


# --- seams ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy() -> Shown:
    """An image whose tiles show when they are not put together with care."""
    image = np.random.default_rng(0).integers(0, 4096, (100, 90)).astype(np.uint16)
    return shown_with(small_network(), image)


def test_tiles_put_together_on_the_grid_leave_no_seam_others_do(noisy: Shown) -> None:
    network = small_network()
    exact, off_grid, blended = compare_stitchings(network, noisy.result.image)
    assert exact.largest_difference < 1e-5 and not exact.changed.any()
    assert off_grid.largest_difference > 1e-3 and off_grid.changed.any()
    assert blended.largest_difference > 1e-3
    grid = network.geometry.grid
    assert all(step % grid == 0 for step in exact.step)
    assert any(step % grid for step in off_grid.step)


def test_what_changed_is_against_one_pass_over_the_whole_image(noisy: Shown) -> None:
    network = small_network()
    _, off_grid, _ = compare_stitchings(network, noisy.result.image)
    whole = network.segment(noisy.result.image, tile=1000)
    assert off_grid.changed.shape == whole.mask.shape
    assert off_grid.changed.mean() < 0.5, "most pixels stay, or it is compared with another thing"


def test_the_scene_and_the_table_say_the_same(noisy: Shown) -> None:
    ways = compare_stitchings(small_network(), noisy.result.image)
    scene = seam_scene(noisy, ways)
    assert scene.settings["panes"] == [["image", f"way{n}"] for n in range(3)]
    for layer, way, row in zip(scene.layers[1:], ways, seam_table(ways), strict=True):
        assert np.array_equal(layer.data[0] == 1, way.changed)
        away = ndimage.distance_transform_cdt(~way.changed, "taxicab")
        assert np.array_equal(layer.data[0] == 2, (away > 0) & (away <= 4) & way.changed.any())
        assert layer.label == way.name == row[0]
        assert row[4].startswith(f"{np.count_nonzero(way.changed):,} (")
        assert row[2] == f"{way.step[1]} x {way.step[0]}"


def test_a_seam_test_is_not_shown_beside_another_image(
    noisy: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "load_model", lambda name: small_network())
    token = KEPT.keep(noisy)
    tested = actions.compare_seams(token)
    scene, table = actions.show_seams(tested, token)
    assert scene["scene"] == f"{token}/seams" and len(table) == 3
    # The same result beside a ground truth is the same image still.
    judged = KEPT.keep(Shown(noisy.result, None, noisy.model, noisy.name, "truth.tif"))
    assert actions.show_seams(tested, judged)[1] == table
    another = KEPT.keep(shown_with(small_network(), noise()))
    for now in (another, None):
        assert actions.show_seams(tested, now) == [gr.skip()] * 2
    for kept in (token, judged, another):
        KEPT.drop(kept)
