"""The demo in a real browser: what stands on the page is what the library computes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from demo_pages import IMAGE, TRUTH
from demo_visit import Visit
from numpy.typing import NDArray

from hf_unet.demo.models.loading import load_model
from hf_unet.display import displayed, window_of
from hf_unet.images import read_image
from hf_unet.labels import read_labels
from hf_unet.metrics import dice_per_class
from hf_unet.segmentation import Segmentation

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def expected() -> Segmentation:
    """What the library itself says of the example."""
    return load_model("nuclei").segment(IMAGE)


@pytest.fixture(scope="module")
def piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a part of the example, with two pages, and the truth of both."""
    folder = tmp_path_factory.mktemp("piece")
    image, truth = tifffile.imread(IMAGE), tifffile.imread(TRUTH)
    cuts = (slice(100, 260), slice(60, 240)), (slice(300, 460), slice(200, 380))
    for name, pixels in (("stack", image), ("stack_truth", truth)):
        stack = np.stack([pixels[cut] for cut in cuts])
        tifffile.imwrite(folder / f"{name}.tif", stack, photometric="minisblack")
    return folder


def edges(plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels with another value above, below, left or right."""
    found = np.zeros(plane.shape, bool)
    across, down = plane[:, 1:] != plane[:, :-1], plane[1:] != plane[:-1]
    found[:, 1:] |= across
    found[:, :-1] |= across
    found[1:] |= down
    found[:-1] |= down
    return found


def figure(
    result: Segmentation, opacity: float = 0.35, window: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """What the viewer should draw of a result of one foreground class, outlines and all."""
    ground = displayed(result.image, window or window_of(result.image)).astype(float)
    mask, color = result.mask == 1, np.array(result.rgb_colors[result.classes[1]])
    outline = mask & (edges(result.mask) | edges(result.instances))
    mixed = np.where(mask[..., None], ground + (color - ground) * opacity, ground)
    return np.where(outline[..., None], color, np.rint(mixed)).astype(np.uint8)


def differs(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> int:
    """The largest difference of any colour; one is left to rounding."""
    assert found.shape == wanted.shape
    return int(np.abs(found.astype(int) - wanted).max())


# --- the page as it opens ---------------------------------------------------------------------


def test_the_page_opens_with_an_example_segmented(visit: Visit, expected: Segmentation) -> None:
    truth = read_labels(TRUTH, load_model("nuclei").mask_classes).class_map()
    dice = dice_per_class(truth, expected.mask)
    assert visit.column("table", "class") == list(expected.classes)
    areas = [f"{area:,}" for area in expected.areas.values()]
    assert visit.column("table", "area (pixels)") == areas
    assert visit.column("table", "Dice") == [f"{value:.4f}" for value in dice]
    count = len(np.unique(expected.instances)) - 1
    assert f"{count:,} instances" in visit.text("findings")
    assert "16 bits" in visit.text("findings")


def test_little_moves_while_the_page_loads(visit: Visit) -> None:
    assert visit.tab.evaluate("shift") < 0.1  # what web.dev calls good


# --- the canvas, pixel by pixel ---------------------------------------------------------------


def test_the_canvas_shows_image_classes_and_outlines(visit: Visit, expected: Segmentation) -> None:
    found, _ = visit.picture("view")
    assert differs(found, figure(expected)) <= 1


def test_under_the_pointer_stand_the_pixels_own_numbers(
    visit: Visit, expected: Segmentation
) -> None:
    _, (left, top) = visit.picture("view")
    truth = tifffile.imread(TRUTH)
    spots = [(0, 0), (511, 511), *np.argwhere((expected.mask == 1) & (truth > 0))[::5000]]
    for y, x in spots:
        said = visit.hover("view", left + x, top + y)
        shares = (expected.probabilities[:, y, x] * 255 + 0.5).astype(np.uint8) / 255
        words = [f"x {x}, y {y}", f"intensity {expected.image[0, y, x]}"]
        if expected.mask[y, x]:
            words.append("Prediction: nucleus")
        if expected.instances[y, x]:
            words.append(f"object {expected.instances[y, x]}")
        if truth[y, x]:
            words.append("Ground truth: nucleus")
        assert said.startswith(" · ".join(words) + " · p ")
        for name, share in zip(expected.classes, shares, strict=False):
            assert f"{name} {share:.2f}" in said


def test_the_picture_does_not_wait_for_what_only_the_pointer_tells(
    visit: Visit, expected: Segmentation
) -> None:
    held: list[Any] = []

    def hold(route: Any) -> None:
        if '"probability"' in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    visit.tab.route("**/component_server/**", hold)
    with visit.renewing("view"):
        visit.tab.locator("#segment").click()
    found, (left, top) = visit.picture("view")
    assert differs(found, figure(expected)) <= 1
    box = visit.canvas("view").bounding_box()
    assert box is not None and len(held) == 1
    visit.tab.mouse.move(box["x"] + left + 0.5, box["y"] + top + 0.5)
    told = visit.tab.locator("#view .readout")
    assert told.inner_text().startswith("x 0, y 0") and " p " not in told.inner_text()
    held[0].continue_()
    told.filter(has_text="p background").wait_for()  # the pointer was not moved
    visit.tab.unroute("**/component_server/**")


def test_the_intensity_window_changes_the_picture_only(
    visit: Visit, expected: Segmentation
) -> None:
    low, high = window_of(expected.image)
    visit.slide("view", "White", 60)
    visit.slide("view", "Black", 20)
    found, (left, top) = visit.picture("view")
    assert differs(found, figure(expected, window=(20, 60))) <= 1
    assert f"intensity {expected.image[0, 0, 0]} " in visit.hover("view", left, top)
    assert re.search("20 . 60", visit.text("view"))
    visit.press("view", "Full")
    limits = float(expected.image.min()), float(expected.image.max())
    assert differs(visit.picture("view")[0], figure(expected, window=limits)) <= 1
    visit.press("view", "Auto")
    assert differs(visit.picture("view")[0], figure(expected, window=(low, high))) <= 1


def test_a_class_is_switched_off_and_on_again(visit: Visit, expected: Segmentation) -> None:
    chip = visit.tab.locator("#view .chip:not(.layer)", has_text="nucleus").first
    plain = displayed(expected.image, window_of(expected.image))
    for switch in (chip, visit.tab.locator("#view .chip.layer", has_text="Prediction")):
        switch.click()
        assert switch.get_attribute("aria-pressed") == "false"
        assert differs(visit.picture("view")[0], plain) <= 1
        switch.click()
        assert differs(visit.picture("view")[0], figure(expected)) <= 1


def test_opacity_and_outlines(visit: Visit, expected: Segmentation) -> None:
    visit.slide("view", "Opacity", 0.8)
    assert differs(visit.picture("view")[0], figure(expected, opacity=0.8)) <= 1
    visit.slide("view", "Opacity", 0)
    outlines = visit.tab.locator("#view").get_by_label("Outlines")
    outlines.uncheck()
    plain = displayed(expected.image, window_of(expected.image))
    assert differs(visit.picture("view")[0], plain) <= 1
    outlines.check()
    visit.slide("view", "Opacity", 0.35)


def test_before_and_after_lie_left_and_right_of_a_line(
    visit: Visit, expected: Segmentation
) -> None:
    _, (left, top) = visit.picture("view")
    visit.slide("view", "Before / after", 0.5)
    drawn = visit.drawn("view")
    found = drawn[top : top + 512, left : left + 512, :3]
    line = round(drawn.shape[1] / 2) - left
    plain = displayed(expected.image, window_of(expected.image))
    assert differs(found[:, : line - 2], plain[:, : line - 2]) <= 1
    assert differs(found[:, line + 4 :], figure(expected)[:, line + 4 :]) <= 1
    visit.slide("view", "Before / after", 0)
    assert differs(visit.picture("view")[0], figure(expected)) <= 1


def test_the_wheel_goes_down_to_the_single_pixel(visit: Visit, expected: Segmentation) -> None:
    _, (left, top) = visit.picture("view")
    y, x = (int(v) for v in np.argwhere(expected.instances == 20)[7])
    visit.hover("view", left + x, top + y)
    for _ in range(12):
        visit.tab.mouse.wheel(0, -500)
        visit.settle()
    assert visit.hover("view", left + x, top + y).startswith(f"x {x}, y {y} ·")
    drawn = visit.drawn("view")
    wanted = figure(expected)[y, x].astype(int)
    around = drawn[top + y - 9 : top + y + 10, left + x - 9 : left + x + 10, :3]
    # One image pixel is 64 wide: around the pointer there is one colour, and it has sharp edges.
    run = (np.abs(drawn[top + y, :, :3].astype(int) - wanted).max(axis=-1) <= 1).nonzero()[0]
    assert (np.abs(around.astype(int) - wanted).max(axis=(0, 1)) <= 1).any()
    assert len(run) >= 60
    visit.press("view", "Fit")


def test_a_drag_moves_the_picture_and_a_click_alone_does_not(visit: Visit) -> None:
    _, (left, top) = visit.picture("view")
    box = visit.canvas("view").bounding_box()
    assert box is not None
    at = box["x"] + left + 100, box["y"] + top + 100
    visit.tab.mouse.move(*at)
    visit.tab.mouse.down()
    visit.tab.mouse.move(at[0] + 40, at[1] + 25, steps=4)
    visit.tab.mouse.up()
    assert visit.hover("view", left + 140, top + 125).startswith("x 100, y 100 ")
    visit.press("view", "Fit")


def test_keys_alone_look_around(visit: Visit) -> None:
    visit.picture("view")
    canvas = visit.canvas("view")
    canvas.focus()
    readout = visit.tab.locator("#view .readout")
    spots = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        visit.tab.keyboard.press(key)
        found = re.match(r"x (\d+), y (\d+)", readout.inner_text())
        assert found, readout.inner_text()
        spots.append((int(found[1]), int(found[2])))
    (x, y), right, down, left = spots
    assert right == (x + 40, y) and down == (x + 40, y + 40) and left == (x, y + 40)
    widths = []
    for key in ("+", "+", "-", "0"):
        visit.tab.keyboard.press(key)
        widths.append(int(visit.drawn("view")[..., 3].any(axis=0).sum()))
    assert widths[0] < widths[1] or widths[1] == visit.drawn("view").shape[1]
    label = canvas.get_attribute("aria-label")
    assert label is not None and "Arrow keys" in label


# --- files of one's own -----------------------------------------------------------------------


def test_what_is_uploaded_is_segmented_page_by_page(visit: Visit, piece: Path) -> None:
    network = load_model("nuclei")
    visit.segment(piece / "stack.tif")
    visit.tab.locator("#page input[type=range]").wait_for()
    for page in (1, 2):
        if page == 2:
            with visit.renewing("view"):
                visit.number("page", 2)
        result = network.segment(piece / "stack.tif", page=page - 1)
        visit.await_text("findings", f"page {page} of 2")
        assert differs(visit.picture("view")[0], figure(result)) <= 1
        areas = [f"{area:,}" for area in result.areas.values()]
        assert visit.column("table", "area (pixels)") == areas
        assert set(visit.column("table", "Dice")) == {"-"}, "the last truth is not this one's"


def test_a_truth_dropped_later_judges_what_is_shown_and_can_be_removed(
    visit: Visit, piece: Path
) -> None:
    network = load_model("nuclei")
    result = network.segment(piece / "stack.tif", page=1)
    truth = read_labels(piece / "stack_truth.tif", network.mask_classes, page=1).class_map()
    with visit.renewing("view"):
        visit.upload("truth", piece / "stack_truth.tif")
    dice = dice_per_class(truth, result.mask)
    visit.await_text("findings", "Ground truth:")
    assert visit.column("table", "Dice") == [f"{value:.4f}" for value in dice]
    with visit.renewing("view"):
        visit.tab.locator("#remove").click()
    visit.tab.wait_for_function(
        "() => !document.getElementById('findings').innerText.includes('Ground truth')"
    )
    assert set(visit.column("table", "Dice")) == {"-"}


@pytest.mark.parametrize(
    "make",
    [
        lambda image: image.astype(np.uint16) * 16,
        lambda image: image.astype(np.float32) / 255,
        lambda image: np.stack([image, image // 2, image // 3], axis=-1).astype(np.uint8),
    ],
    ids=["16 bits", "floats", "colour"],
)
def test_images_of_other_kinds_are_shown_as_they_are(
    visit: Visit, tmp_path: Path, make: Any
) -> None:
    pixels = make(tifffile.imread(IMAGE)[:90, :120].clip(0, 255))
    kind = {"photometric": "rgb"} if pixels.ndim == 3 else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "other.tif", pixels, **kind)
    result = load_model("nuclei").segment(tmp_path / "other.tif")
    visit.segment(tmp_path / "other.tif")
    visit.await_text("findings", "other.tif")
    found, (left, top) = visit.picture("view")
    assert differs(found, figure(result)) <= 1
    intensity = read_image(tmp_path / "other.tif")[:, 45, 70]
    said = visit.hover("view", left + 70, top + 45)
    numbers = re.search(r"intensity ([^·]*) ·", said)
    assert numbers is not None
    assert [float(n) for n in numbers[1].split(", ")] == pytest.approx(intensity, rel=5e-3)


def test_nothing_was_complained_of(visit: Visit) -> None:
    """The last of the module: the console has heard no fault in all of the above."""
    assert visit.complaints == []
