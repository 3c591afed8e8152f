"""Events of the demo that cross each other, in a real browser: what was begun last is shown."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from demo_pages import IMAGE, TRUTH
from demo_visit import Visit, await_jobs

from hf_unet.demo.models.loading import load_model
from hf_unet.demo.segmenting import JOBS
from hf_unet.labels import read_labels
from hf_unet.metrics import dice_per_class

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that take long and no time, and their ground truths."""
    folder = tmp_path_factory.mktemp("images")
    image, truth = tifffile.imread(IMAGE), tifffile.imread(TRUTH)
    tifffile.imwrite(folder / "slow.tif", np.tile(image, (9, 9)))
    tifffile.imwrite(folder / "middle.tif", np.tile(image, (2, 2)))
    mask = np.tile(truth > 0, (2, 2)).astype(np.uint8)
    tifffile.imwrite(folder / "middle_truth.tif", mask)
    tifffile.imwrite(folder / "piece.tif", image[100:320, 60:330])
    tifffile.imwrite(folder / "piece_truth.tif", truth[100:320, 60:330])
    return folder


def dice(folder: Path, name: str) -> list[str]:
    """What the page says of an image and its truth."""
    network = load_model("nuclei")
    result = network.segment(folder / f"{name}.tif")
    truth = read_labels(folder / f"{name}_truth.tif", network.mask_classes).class_map()
    return [f"{value:.4f}" for value in dice_per_class(truth, result.mask)]


def test_a_truth_dropped_before_its_image_is_not_lost(visit: Visit, folder: Path) -> None:
    visit.upload("truth", folder / "piece_truth.tif")
    visit.sentence("piece_truth.tif")  # it does not fit the example that is shown
    visit.segment(folder / "piece.tif")
    visit.await_text("findings", "Ground truth:")
    assert visit.column("table", "Dice") == dice(folder, "piece")


def test_a_mask_painted_for_the_last_image_cannot_be_taken_for_this_one(
    visit: Visit, folder: Path
) -> None:
    visit.open("Judge")
    visit.wait("judge")
    visit.press("judge", "Paint a mask")
    visit.press("judge", "Score")
    button = visit.tab.locator("#save-painted")
    visit.await_text("judge-words", "painted by hand")
    assert button.is_enabled()
    visit.open("Segment")
    visit.segment(folder / "piece.tif")
    visit.open("Judge")
    visit.wait("judge")
    assert button.is_disabled()
    visit.open("Segment")


def test_a_new_image_takes_the_place_of_one_that_is_being_segmented(
    visit: Visit, folder: Path
) -> None:
    visit.upload("image", folder / "slow.tif")
    await_jobs(1)
    visit.upload("image", folder / "piece.tif")
    visit.await_text("findings", "piece.tif")
    assert len(JOBS) == 0


def test_a_truth_dropped_meanwhile_judges_what_is_found(visit: Visit, folder: Path) -> None:
    visit.upload("image", folder / "middle.tif")
    await_jobs(1)
    visit.upload("truth", folder / "middle_truth.tif")
    visit.await_text("findings", "middle.tif")
    visit.await_text("findings", "Ground truth:")
    assert visit.column("table", "Dice") == dice(folder, "middle")


def test_keys_alone_pick_a_pixel(visit: Visit, folder: Path) -> None:
    visit.segment(folder / "piece.tif")
    visit.open("Tiles")
    visit.wait("tiles")
    canvas = visit.canvas("tiles")
    assert "Enter picks" in (canvas.get_attribute("aria-label") or "")
    canvas.press("0")
    said = re.match(r"x (\d+), y (\d+)", visit.tab.locator("#tiles .readout").inner_text())
    assert said is not None
    canvas.press("Enter")
    visit.await_text("tile-words", f"Pixel x {said[1]}, y {said[2]} ")
    visit.open("Segment")


def test_two_dabs_in_quick_succession_do_not_zoom(visit: Visit) -> None:
    visit.open("Judge")
    visit.wait("judge")
    box = visit.canvas("judge").bounding_box()
    assert box is not None
    middle = box["width"] / 2, box["height"] / 2
    before = [visit.hover("judge", x, middle[1]) for x in (middle[0] - 40, middle[0] + 40)]
    visit.press("judge", "Paint a mask")
    visit.tab.locator("#judge button:text-is('Undo')").wait_for()
    visit.canvas("judge").dblclick(position={"x": middle[0], "y": middle[1]})
    assert before == [visit.hover("judge", x, middle[1]) for x in (middle[0] - 40, middle[0] + 40)]
    visit.open("Segment")


def test_nothing_was_complained_of(visit: Visit) -> None:
    """After all of the above: the console has heard no fault."""
    assert visit.complaints == []


def test_a_truth_that_does_not_fit_never_stops_an_image(visit: Visit, folder: Path) -> None:
    visit.open("Segment")
    visit.segment(folder / "piece.tif")
    visit.upload("truth", folder / "middle_truth.tif")
    visit.sentence("middle_truth.tif")
    visit.tab.wait_for_function(
        "document.querySelector('#truth').innerText.includes('Ground truth of the next image')"
    )
    visit.segment(folder / "piece.tif")  # which it does not fit either
    visit.tab.wait_for_function("!document.querySelector('#truth').innerText.includes('middle')")
    assert "Ground truth" not in visit.tab.inner_text("#findings")


def test_passing_through_the_model_box_changes_nothing(visit: Visit, folder: Path) -> None:
    visit.segment(folder / "piece.tif")
    shown = visit.tab.locator("#view .viewer")
    before = shown.get_attribute("data-shown")
    box = visit.tab.locator("#model input").first
    box.click()
    box.press("Escape")
    visit.tab.locator("#segment").focus()
    time.sleep(1.5)  # nothing shall come, for which one cannot wait
    assert shown.get_attribute("data-shown") == before and not len(JOBS)


def test_a_page_is_turned_from_the_keyboard(visit: Visit, folder: Path, tmp_path: Path) -> None:
    piece = tifffile.imread(folder / "piece.tif")
    tifffile.imwrite(
        tmp_path / "stack.tif", np.stack([piece, piece[::-1]]), photometric="minisblack"
    )
    visit.segment(tmp_path / "stack.tif")
    slider = visit.tab.locator("#page input[type=range]")
    with visit.renewing("view"):
        slider.focus()
        slider.press("ArrowRight")
    visit.await_text("findings", "page 2 of 2")
