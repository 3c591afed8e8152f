"""The demo's labs, downloads, faults and visitors, in a real browser."""

import io
import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from demo_pages import IMAGE, TRUTH
from demo_visit import Visit, await_jobs
from PIL import Image

from hf_unet.demo.labs.tiles import sight, tile_at
from hf_unet.demo.models.loading import load_model
from hf_unet.demo.segmenting import JOBS
from hf_unet.instances import separate_touching
from hf_unet.metrics import dice_per_class
from hf_unet.seams import compare_stitchings
from hf_unet.segmentation import Segmentation
from hf_unet.weight_map import boundary_weight_map, instance_distances

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def piece(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the example, small enough to be segmented in no time."""
    path = tmp_path_factory.mktemp("piece") / "piece.tif"
    tifffile.imwrite(path, tifffile.imread(IMAGE)[100:320, 60:330])
    return path


@pytest.fixture(scope="module")
def expected(piece: Path) -> Segmentation:
    return load_model("nuclei").segment(piece)


def amount(value: float) -> str:
    """A number as the page writes it: whole ones in full, others to three digits."""
    value = float(value)
    if value.is_integer():
        return str(int(value))
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


# --- labs -------------------------------------------------------------------------------------


def test_every_tab_is_there_once_also_when_it_has_been_opened(visit: Visit) -> None:
    names = ["Segment", "Judge", "Weight map", "Tiles", "Take away", "Many images"]
    for name in reversed(names):
        visit.open(name)
        visit.settle()
        tabs = visit.tab.locator("#tabs").get_by_role("tab").locator("visible=true")
        assert tabs.all_inner_texts() == names


def test_the_weight_map_follows_its_sliders_and_fills_the_formula_at_a_pixel(
    visit: Visit,
) -> None:
    truth = separate_touching(tifffile.imread(TRUTH).astype(np.int32))
    d1, d2 = instance_distances(truth)
    balance = boundary_weight_map(truth, w0=0)
    visit.open("Weight map")
    visit.wait("weights")
    assert "125 instances of the ground truth" in visit.text("weight-words")
    visit.press("weights", "1:1")
    height, width = visit.drawn("weights", 3).shape[:2]
    for w0, sigma in ((10, 5), (7, 3)):
        w = boundary_weight_map(truth, w0=w0, sigma=sigma)
        visit.number("w0", w0)
        visit.number("sigma", sigma)
        visit.await_text("weights", f"black {amount(w.min())}, yellow {amount(w.max())}")
        for across, down in ((0.5, 0.5), (0.4, 0.7), (0.63, 0.31), (0.55, 0.9)):
            said = visit.hover("weights", width * across // 1, height * down // 1, 3)
            found = re.match(r"x (\d+), y (\d+) ", said)
            assert found is not None
            at = int(found[2]), int(found[1])
            a, b, c, d = (amount(values[at]) for values in (d1, d2, balance, w))
            formula = f"w = {c} + {w0} · exp(-({a} + {b})² / (2 · {sigma}²)) = {d}"
            assert said.endswith(f" · d1 {a} px · d2 {b} px · w_c {c} · w {d} · {formula}")


def test_the_weight_map_answers_to_what_a_field_shows_once_it_is_left(visit: Visit) -> None:
    truth = separate_touching(tifffile.imread(TRUTH).astype(np.int32))
    visit.number("sigma", 0)
    w = boundary_weight_map(truth, w0=7, sigma=0.5)
    visit.await_text("weights", f"black {amount(w.min())}, yellow {amount(w.max())}")
    assert visit.tab.locator("#sigma input[type=number]").input_value() == "0.5"
    visit.tab.locator("#sigma").get_by_label("Reset to default value").click()
    w = boundary_weight_map(truth, w0=7, sigma=5)
    visit.await_text("weights", f"black {amount(w.min())}, yellow {amount(w.max())}")
    assert not visit.tab.get_by_test_id("toast-body").count(), "nothing was wrong"
    visit.number("sigma", 3)
    w = boundary_weight_map(truth, w0=7, sigma=3)
    visit.await_text("weights", f"black {amount(w.min())}, yellow {amount(w.max())}")


def test_the_weight_map_is_taken_away_as_it_is(visit: Visit) -> None:
    truth = separate_touching(tifffile.imread(TRUTH).astype(np.int32))
    visit.open("Weight map")
    visit.number("w0", 7)
    visit.number("sigma", 3)
    read = tifffile.imread(io.BytesIO(visit.download("save-weights")))
    assert np.allclose(read, boundary_weight_map(truth, w0=7, sigma=3), atol=1e-5)


def test_a_click_shows_the_pixels_tile_and_what_it_depends_on(visit: Visit) -> None:
    network = load_model("nuclei")
    margin, plan = network.geometry.margin, network.plan(512, 512, 380)
    visit.open("Tiles")
    visit.wait("tiles")
    visit.tab.locator("#side input").click()
    visit.tab.get_by_role("option", name="380").click()
    visit.await_text("tile-words", f"of {len(plan.tiles)}")
    visit.press("tiles", "1:1")
    box = visit.canvas("tiles").bounding_box()
    assert box is not None
    at = box["width"] // 2 + 3, box["height"] // 2 + 5
    found = re.match(r"x (\d+), y (\d+) ", visit.hover("tiles", *at))
    assert found is not None
    x, y = int(found[1]), int(found[2])
    visit.tab.mouse.down()
    visit.tab.mouse.up()
    visit.wait("seen")
    visit.await_text("tile-words", f"Pixel x {x}, y {y} is decided")
    number = plan.tiles.index(tile_at(plan, x, y)) + 1
    assert f"tile {number} of {len(plan.tiles)}," in visit.text("tile-words")
    # The picture beside is what the pixel depends on, its own pixel with the same numbers.
    clicked = sight(network, x, y)
    visit.press("seen", "1:1")
    drawn = visit.drawn("seen")[..., 3]
    wide, high = drawn.any(axis=0).sum(), drawn.any(axis=1).sum()
    assert abs(wide - (clicked.right - clicked.left)) <= 2
    assert abs(high - (clicked.bottom - clicked.top)) <= 2
    rows, columns = np.nonzero(drawn.any(axis=1))[0], np.nonzero(drawn.any(axis=0))[0]
    left = columns[0] + (wide - (clicked.right - clicked.left)) // 2
    top = rows[0] + (high - (clicked.bottom - clicked.top)) // 2
    image = tifffile.imread(IMAGE)
    said = visit.hover("seen", int(left) + x - clicked.left, int(top) + y - clicked.top)
    found = re.match(r"x (\d+), y (\d+) · intensity (\d+)", said)
    assert found is not None
    assert image[int(found[2]), int(found[1])] == int(found[3])
    assert abs(int(found[1]) - x) <= 1 and abs(int(found[2]) - y) <= 1
    assert margin < clicked.right - x < margin + 16


def test_the_seam_test_says_what_the_library_says(
    visit: Visit, piece: Path, expected: Segmentation
) -> None:
    visit.segment(piece)
    visit.open("Tiles")
    visit.wait("tiles")
    visit.tab.locator("#seam-test").click()
    visit.wait("changed")
    ways = compare_stitchings(load_model("nuclei"), expected.image)
    assert visit.column("seams", "tiles") == [str(way.tiles) for way in ways]
    changed = [f"{int(way.changed.sum()):,}" for way in ways]
    found = visit.column("seams", "pixels that change class")
    assert [cell.partition(" ")[0] for cell in found] == changed
    assert changed[0] == "0"
    assert float(visit.column("seams", "largest difference")[0]) < 1e-4
    visit.open("Segment")


# --- taking away ------------------------------------------------------------------------------


def test_the_zip_holds_the_librarys_result(
    visit: Visit, piece: Path, expected: Segmentation
) -> None:
    visit.segment(piece)
    visit.open("Take away")
    with zipfile.ZipFile(io.BytesIO(visit.download("download"))) as archive:
        with Image.open(io.BytesIO(archive.read("mask.png"))) as picture:
            assert np.array_equal(np.asarray(picture), expected.mask)
        instances = tifffile.imread(io.BytesIO(archive.read("instances.tif")))
        probabilities = tifffile.imread(io.BytesIO(archive.read("probabilities.tif")))
        summary = json.loads(archive.read("result.json"))
    assert np.array_equal(instances.squeeze(), expected.instances)
    assert np.allclose(probabilities, expected.probabilities, atol=1e-6)
    assert summary["area_in_pixels"] == expected.areas
    assert "piece.tif" in visit.text("python")
    visit.open("Segment")


def test_a_mask_painted_from_the_prediction_scores_one(visit: Visit) -> None:
    visit.open("Judge")
    visit.wait("judge")
    visit.press("judge", "Paint a mask")
    visit.press("judge", "Score")
    visit.await_text("judge-words", "painted by hand")
    assert visit.column("judge-table", "Dice") == ["1.0000", "1.0000"]
    visit.open("Segment")


def test_a_mask_is_painted_and_scored_with_keys_alone(
    visit: Visit, piece: Path, expected: Segmentation
) -> None:
    def press(name: str) -> None:
        visit.tab.locator(f"#judge button:text-is('{name}')").press("Enter")

    visit.open("Segment")
    visit.segment(piece)
    visit.open("Judge")
    visit.wait("judge")
    press("Paint a mask")
    press("Empty")
    readout = visit.tab.locator("#judge .readout")
    readout.get_by_text("Space or Enter puts it down").wait_for()  # and the canvas has the focus
    keys = visit.tab.keyboard
    for key in ("0", "ArrowRight", "]", "]", "["):
        keys.press(key)
    found = re.fullmatch(
        r"Brush up at x (\d+), y (\d+): paints nucleus, radius (\d+) pixels\.", readout.inner_text()
    )
    assert found is not None and readout.get_attribute("role") == "status"
    x, y, radius = map(int, found.groups())
    assert visit.tab.locator("#judge").get_by_label("Brush", exact=True).input_value() == str(
        radius
    )
    for key in ("Space", *["ArrowRight"] * 4, "Space", "Shift+ArrowDown"):
        keys.press(key)
    for key in ("Enter", "Enter", "Control+z"):  # a dab, taken back
        keys.press(key)
    assert f"Brush up at x {x + 4}, y {y + 10}:" in readout.inner_text()
    assert "Space or Enter" in (visit.canvas("judge").get_attribute("aria-label") or "")
    press("Score")
    rows, columns = np.mgrid[: expected.mask.shape[0], : expected.mask.shape[1]]
    drawn = np.zeros(expected.mask.shape, np.uint8)
    for at in range(x, x + 5):
        drawn[(rows - y) ** 2 + (columns - at) ** 2 <= radius**2] = 1
    dice = [f"{value:.4f}" for value in dice_per_class(drawn, expected.mask)]
    visit.await_text("judge-table", dice[1])
    assert visit.column("judge-table", "Dice") == dice
    visit.open("Segment")


def test_a_painted_score_stays_and_there_is_a_way_to_the_truth_and_back(
    visit: Visit, piece: Path
) -> None:
    truth = piece.with_name("piece_truth.tif")
    tifffile.imwrite(truth, tifffile.imread(TRUTH)[100:320, 60:330])
    visit.open("Segment")
    visit.segment(piece)
    with visit.renewing("view"):
        visit.upload("truth", truth)
    visit.await_text("findings", "Ground truth:")
    of_truth = visit.column("table", "Dice")
    visit.open("Judge")
    visit.await_text("judge-words", "Against the ground truth")
    visit.press("judge", "Paint a mask")
    visit.press("judge", "Score")
    visit.await_text("judge-words", "painted by hand")
    visit.open("Weight map")
    visit.wait("weights")
    visit.open("Judge")
    time.sleep(1.5)  # nothing shall come, for which one cannot wait
    assert visit.column("judge-table", "Dice") == ["1.0000", "1.0000"]
    assert "painted by hand" in visit.text("judge-words")
    for choice, dice in (("the ground truth", of_truth), ("painted by hand", ["1.0000"] * 2)):
        visit.tab.locator("#against label", has_text=choice).click()
        visit.await_text("judge-words", choice)
        assert visit.column("judge-table", "Dice") == dice
    visit.open("Segment")


# --- faults -----------------------------------------------------------------------------------


def test_bad_input_gets_a_sentence_and_no_folder(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 this is no TIFF")
    for name in ("notes.txt", "broken.tif"):
        visit.upload("image", tmp_path / name)
        said = visit.sentence(name)
        assert "/" not in said.replace("and/or", "") and "Traceback" not in said
    assert "Traceback" not in visit.tab.content()
    assert len(JOBS) == 0


@pytest.mark.parametrize("by", ["the button", "another image"])
def test_stopping_frees_the_machine(visit: Visit, tmp_path: Path, piece: Path, by: str) -> None:
    large = np.tile(tifffile.imread(IMAGE), (9, 9))
    tifffile.imwrite(tmp_path / "large.tif", large)
    visit.upload("image", tmp_path / "large.tif")
    await_jobs(1)
    if by == "the button":
        visit.tab.locator("#stop").click()
        await_jobs(0)
    visit.segment(piece)
    visit.await_text("findings", "piece.tif")
    await_jobs(0)


def test_nothing_was_complained_of(visit: Visit) -> None:
    """After all of the above: the console has heard no fault."""
    assert visit.complaints == []


# --- visitors and their screens ---------------------------------------------------------------


def test_two_visitors_side_by_side_see_their_own(
    chromium: Any, demo_address: str, tmp_path: Path
) -> None:
    network, image = load_model("nuclei"), tifffile.imread(IMAGE)
    visits = [Visit(chromium, demo_address) for _ in range(2)]
    for number in range(2):
        tifffile.imwrite(tmp_path / f"of_{number}.tif", image[number * 200 :][:150, :170])
    for number, visit in enumerate(visits):
        visit.upload("image", tmp_path / f"of_{number}.tif")
    for number, visit in enumerate(visits):
        visit.await_text("findings", f"of_{number}.tif")
        result = network.segment(tmp_path / f"of_{number}.tif")
        areas = [f"{area:,}" for area in result.areas.values()]
        assert visit.column("table", "area (pixels)") == areas
        _, (left, top) = visit.picture("view")
        for y, x in ((0, 0), (77, 90), (149, 169)):
            said = visit.hover("view", left + x, top + y)
            assert said.startswith(f"x {x}, y {y} · intensity {result.image[0, y, x]} ")
        assert visit.complaints == []
        visit.close()


def test_on_a_phone_an_image_can_be_brought_without_scrolling(
    chromium: Any, demo_address: str, tmp_path: Path, piece: Path
) -> None:
    visit = Visit(chromium, demo_address, viewport={"width": 390, "height": 844})
    stack = np.stack([tifffile.imread(piece)] * 2)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    visit.segment(tmp_path / "stack.tif")
    boxes = {}
    for name in ("image", "truth", "page", "view", "model"):
        place = visit.tab.locator(f"#{name}")
        place.wait_for()
        boxes[name] = place.bounding_box()
    visit.close()
    assert all(boxes.values())
    ends = {name: box["y"] + box["height"] for name, box in boxes.items() if box}
    assert boxes["image"]["y"] == boxes["truth"]["y"], "side by side"
    assert max(ends["image"], ends["truth"]) < boxes["page"]["y"] < boxes["view"]["y"] < 844
    assert ends["view"] < boxes["model"]["y"], "what is chosen less often lies below"
    assert ends["image"] < 300, "the result can be seen, too"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 2560])
def test_nothing_overlaps_or_sticks_out(
    chromium: Any, demo_address: str, scheme: str, width: int
) -> None:
    visit = Visit(
        chromium, demo_address, viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    assert visit.tab.evaluate("shift") < 0.25, "much moved while the page was loading"
    for tab, place in (
        ("Segment", "view"),
        ("Judge", "judge"),
        ("Weight map", "weights"),
        ("Tiles", "tiles"),
    ):
        opened = visit.tab.get_by_role("tab", name=tab, exact=True)
        if not opened.is_visible():  # behind the dots of a narrow screen
            visit.tab.locator("#tabs .overflow-menu > button").first.click()
            visit.tab.locator("#tabs .overflow-menu").get_by_text(tab, exact=True).click()
        else:
            opened.click()
        visit.wait(place)
        sizes = visit.tab.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert sizes[0] <= sizes[1], f"{tab} is wider than the screen"
        parts = visit.tab.evaluate(
            """place => [...document.querySelectorAll(
                `#image, #truth, #model, #segment, #stop, #${place} .bar, #${place} .legend, ` +
                `#${place} .stage, #${place} .readout`
            )].map((e) => e.getBoundingClientRect()).filter((box) => box.height > 0)
              .map((box) => [box.left, box.top, box.right, box.bottom])""",
            place,
        )
        assert len(parts) >= 8
        for n, (left, top, right, bottom) in enumerate(parts):
            assert left >= 0 and right <= width
            for other in parts[n + 1 :]:
                apart = right <= other[0] + 1 or other[2] <= left + 1
                assert apart or bottom <= other[1] + 1 or other[3] <= top + 1
    visit.close()
