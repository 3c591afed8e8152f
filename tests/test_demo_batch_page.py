"""Many images, an address and the clipboard, as a person in a browser meets them."""

import base64
import io
import re
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler

import numpy as np
import pytest
from demo_pages import IMAGE, OTHER, TRUTH
from demo_visit import Visit
from local_server import address_of, serving
from PIL import Image

from hf_unet import UNet
from hf_unet.demo import address_part
from hf_unet.demo.addresses import Fetcher
from hf_unet.demo.models import loading
from hf_unet.labels import read_labels
from hf_unet.metrics import dice_per_class

pytestmark = [pytest.mark.browser, pytest.mark.bundled]


@pytest.fixture
def tab(chromium, demo_address, monkeypatch) -> Iterator[object]:
    """A page to which 127.0.0.1 is the open Internet; what its console complains of fails."""
    reaches = Fetcher(may_reach=lambda place: str(place) == "127.0.0.1")
    monkeypatch.setattr(address_part, "FETCHER", reaches)
    visit = Visit(chromium, demo_address)
    said = visit.complaints
    visit.tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    yield visit.tab
    visit.close()
    assert not said


def test_a_zip_becomes_a_table_a_picture_and_a_zip(tab, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.write(IMAGE, "images/nuclei.tif")
        file.write(TRUTH, "masks/nuclei.tif")
        file.write(OTHER, "images/<img src=x onerror=alert(1)>.png")
        file.writestr("images/<img src=y onerror=alert(2)>.txt", "no image")
    network = UNet.from_pretrained(loading.MODELS / "nuclei")
    result = network.segment(IMAGE)
    truth = read_labels(TRUTH, network.mask_classes).class_map()
    dice = f"{dice_per_class(truth, result.mask)[1]:.4f}"

    tab.get_by_role("tab", name="Many images").click()
    tab.locator("#batch-files input[type=file]").set_input_files(str(tmp_path / "set.zip"))
    tab.locator("#batch-files").get_by_text("set").first.wait_for()
    tab.locator("#batch-run").click()
    words = tab.locator("#batch-words")
    words.get_by_text("2 images segmented").wait_for()
    words.get_by_text("onerror=alert(2)").first.wait_for()
    assert (
        f"pooled over all pixels of 1 image; a class in no image is left out: nucleus {dice}"
        in (words.inner_text())
    )
    table = tab.locator("#batch-table")
    table.get_by_text(dice).locator("visible=true").first.wait_for()
    assert tab.locator("#batch-table img, #batch-words img").count() == 0

    save = tab.locator("#batch-save")
    tab.wait_for_function("() => !document.querySelector('#batch-save').disabled")
    table.get_by_text("images/nuclei.tif").locator("visible=true").first.click()
    tab.locator("#batch-view canvas").first.hover()
    readout = tab.locator("#batch-view .readout")
    readout.get_by_text(" p background").wait_for()
    found = re.match(r"x (\d+), y (\d+) .* p background (\d\.\d\d), ", readout.inner_text())
    assert found is not None
    share = result.probabilities[0, int(found[2]), int(found[1])]
    assert abs(float(found[3]) - share) < 0.008
    with tab.expect_download() as caught:
        save.click()
    with zipfile.ZipFile(caught.value.path()) as archive:
        mask = np.asarray(Image.open(io.BytesIO(archive.read("nuclei/mask.png"))))
        assert "table.csv" in archive.namelist()
    assert (mask == result.mask).all()


def test_a_pasted_image_is_segmented(tab):
    content = base64.b64encode(OTHER.read_bytes()).decode()
    tab.evaluate(
        """(content) => {
          const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
          const carried = new DataTransfer();
          carried.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
          const how = { clipboardData: carried, bubbles: true, cancelable: true };
          document.body.dispatchEvent(new ClipboardEvent("paste", how));
        }""",
        content,
    )
    tab.locator("#findings").get_by_text("pasted.png").first.wait_for()
    with Image.open(OTHER) as image:
        assert f"{image.width} x {image.height} pixels" in tab.locator("#findings").inner_text()


@pytest.fixture
def images_elsewhere() -> Iterator[str]:
    """A server of images, where a person might find one."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with serving(partial(Quiet, directory=str(loading.EXAMPLES))) as server:
        yield address_of(server)


def test_an_address_is_fetched_and_segmented(tab, images_elsewhere):
    box = tab.locator("#address input, #address textarea").first
    box.fill(f"{images_elsewhere}/{OTHER.name}")
    box.press("Enter")
    tab.locator("#findings").get_by_text(OTHER.name).first.wait_for()
    assert box.input_value() == ""


def test_an_address_that_leads_nowhere_gets_a_sentence_and_stays(tab):
    box = tab.locator("#address input, #address textarea").first
    box.fill("http://10.0.0.1/a.png")
    box.press("Enter")
    tab.get_by_text("10.0.0.1 is no server of the public Internet").first.wait_for()
    assert box.input_value() == "http://10.0.0.1/a.png"
    assert "nuclei.tif" in tab.locator("#findings").inner_text()  # what was there stays
