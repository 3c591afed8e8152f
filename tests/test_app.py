"""The demo: its functions, its endpoints, and its page in a real browser."""

import io
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import tifffile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from hf_unet import UNet, boundary_weight_map
from hf_unet.demo import models
from hf_unet.instances import separate_touching
from hf_unet.labels import read_labels
from hf_unet.metrics import dice_per_class

IMAGE = app.EXAMPLES / "nuclei.tif"
TRUTH = app.EXAMPLES / "nuclei_truth.tif"


@pytest.fixture(scope="module")
def expected():
    """What the library itself says of the example: the result and the Dice per class."""
    model = UNet.from_pretrained(models.MODELS / "nuclei")
    result = model.segment(IMAGE)
    truth = read_labels(TRUTH, model.mask_classes).class_map()
    return result, dice_per_class(truth, result.mask)


def silent(*_: object, **__: object) -> None:
    """Stands for the page's progress bar."""


def test_segment_shows_what_the_library_computes(expected):
    result, dice = expected
    shown, overlay, mask, tiles, table, words = app.segment(
        str(IMAGE), str(TRUTH), "nuclei", 1, progress=silent
    )
    assert (shown.result.mask == result.mask).all()
    assert (overlay == np.asarray(result.overlay())).all()
    nucleus = np.array(result.rgb_colors["nucleus"])
    assert ((mask == nucleus).all(axis=-1) == (result.mask == 1)).all()
    assert [row[3] for row in table] == [f"{value:.4f}" for value in dice]
    assert [row[1] for row in table] == [f"{area:,}" for area in result.areas.values()]
    assert "125 instances" in words
    assert tiles.shape == (512 + 2 * 92, 512 + 2 * 92, 3)


def test_without_truth_there_is_no_dice():
    *_, table, words = app.segment(str(IMAGE), None, "nuclei", 1, progress=silent)
    assert [row[3:] for row in table] == [["-", "-"], ["-", "-"]]
    assert "Upload a ground truth" in words


def test_weight_map_is_the_librarys_on_parted_instances():
    shown, *_ = app.segment(str(IMAGE), str(TRUTH), "nuclei", 1, progress=silent)
    instances = separate_touching(tifffile.imread(TRUTH).astype(np.int32))
    expected = boundary_weight_map(instances, w0=7, sigma=3)
    picture, words = app.weight_map(shown, w0=7, sigma=3)
    assert f"**{expected.min():.2f}**" in words
    assert f"**{expected.max():.2f}**" in words
    brightest = np.unravel_index(expected.argmax(), expected.shape)
    assert picture[brightest].sum() == picture.sum(axis=-1).max()


def test_a_large_picture_is_shrunk_and_its_tiles_still_fit():
    picture = app.shrunk(np.zeros((5000, 100, 3), np.uint8))
    assert picture.shape == (1667, 34, 3)


@pytest.mark.parametrize(
    ("image", "truth", "model", "sentence"),
    [
        (None, None, "nuclei", "Choose an image first"),
        ("notes.txt", None, "nuclei", r"notes\.txt"),
        (IMAGE, "small.png", "nuclei", r"small\.png.*10 x 10|10 x 10.*small\.png"),
        (IMAGE, None, "/etc", "no model"),
        (IMAGE, None, "../models/nuclei", "no model"),
    ],
)
def test_bad_input_gives_the_librarys_sentence(tmp_path, image, truth, model, sentence):
    (tmp_path / "notes.txt").write_text("not an image")
    Image.new("L", (10, 10)).save(tmp_path / "small.png")
    files = [str(tmp_path / name) if isinstance(name, str) else name for name in (image, truth)]
    image, truth = (str(file) if file else None for file in files)
    with pytest.raises(gr.Error, match=sentence) as caught:
        app.segment(image, truth, model, 1, progress=silent)
    assert str(tmp_path) not in str(caught.value)


def test_seam_test_finds_no_seam():
    shown, *_ = app.segment(str(IMAGE), None, "nuclei", 1, progress=silent)
    words = app.seam_test(shown)
    assert "in 9 tiles of 380 x 380 pixels" in words
    assert "**0** pixels change their class" in words
    assert float(re.search(r"at most \*\*(\S+)\*\*", words)[1]) < 1e-5


def test_a_tiny_image_is_too_small_for_a_seam_test(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "tiny.png")
    shown, *_ = app.segment(str(tmp_path / "tiny.png"), None, "nuclei", 1, progress=silent)
    assert "too small to cut" in app.seam_test(shown)


def test_the_truth_of_a_stack_is_that_of_its_page(tmp_path):
    image, truth = tifffile.imread(IMAGE)[:96, :96], tifffile.imread(TRUTH)[:96, :96]
    tifffile.imwrite(tmp_path / "image.tif", np.stack([np.zeros_like(image), image]))
    tifffile.imwrite(tmp_path / "truth.tif", np.stack([np.zeros_like(truth), truth]))
    Image.fromarray(image).save(tmp_path / "one.tif")
    Image.fromarray(truth).save(tmp_path / "one_truth.tif")
    paths = [
        str(tmp_path / name) for name in ("image.tif", "truth.tif", "one.tif", "one_truth.tif")
    ]
    *_, stacked, words = app.segment(*paths[:2], "nuclei", 2, progress=silent)
    *_, alone, _ = app.segment(*paths[2:], "nuclei", 1, progress=silent)
    assert stacked == alone
    assert "page 2 of 2" in words
    for page in (0, 3):
        with pytest.raises(gr.Error, match=rf"image\.tif has 2 pages: there is no page {page}"):
            app.segment(*paths[:2], "nuclei", page, progress=silent)


def test_truth_that_overlaps_is_scored_and_the_map_is_of_the_prediction(tmp_path, monkeypatch):
    UNet(
        classes=("cell", "nucleus"), multilabel=True, base_channels=2, depth=2, in_channels=1
    ).save_pretrained(tmp_path / "overlapping")
    monkeypatch.setattr(models, "MODELS", tmp_path)
    stack = np.zeros((2, 40, 50), np.uint8)
    stack[0, 5:30, 5:30] = stack[1, 10:20, 10:20] = 255
    tifffile.imwrite(tmp_path / "truth.tif", stack, photometric="minisblack")
    Image.new("L", (50, 40), 9).save(tmp_path / "image.png")
    files = [str(tmp_path / "image.png"), str(tmp_path / "truth.tif")]
    shown, *_, table, _ = app.segment(*files, "overlapping", 1, progress=silent)
    assert [row[0] for row in table] == ["cell", "nucleus"]
    assert all(0 <= float(row[3]) <= 1 for row in table)
    assert shown.source == "predicted mask"
    with zipfile.ZipFile(app.download(shown)) as archive:
        assert "mask.tif" in archive.namelist()


def test_a_folder_of_this_machine_is_no_model(monkeypatch):
    monkeypatch.chdir(app.HERE)
    for name in ("train/recipes", "hf_unet/training", "", None):
        with pytest.raises(gr.Error, match="There is no model"):
            app.segment(str(IMAGE), None, name, 1, progress=silent)


def test_cleared_fields_have_a_sentence_or_a_default():
    shown, *_ = app.segment(str(IMAGE), None, "nuclei", None, progress=silent)
    for w0, sigma in ((None, 5), (10, None), (-1, 5), (10, 0)):
        with pytest.raises(gr.Error):
            app.weight_map(shown, w0, sigma)


def test_weight_map_and_download_ask_for_a_segmentation_first():
    for function in (app.weight_map, app.download, app.seam_test):
        with pytest.raises(gr.Error, match="Segment an image first"):
            function(None)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo, served on the loopback address."""
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
    page = app.build().queue()
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield url
    page.close()
    patch.undo()


def test_client_calls_by_name(address, expected):
    result, dice = expected
    client = Client(address, verbose=False)
    overlay, _mask, _tiles, table, _words = client.predict(
        image=handle_file(IMAGE),
        truth=handle_file(TRUTH),
        model="nuclei",
        page=1,
        api_name="/segment",
    )
    with Image.open(overlay) as picture:
        assert (np.asarray(picture) == np.asarray(result.overlay())).all()
    assert [row[3] for row in table["data"]] == [f"{value:.4f}" for value in dice]
    weights, words = client.predict(w0=10, sigma=5, api_name="/weight_map")
    with Image.open(weights) as picture:
        assert picture.size == (512, 512)
    assert "w(x)" in words
    with zipfile.ZipFile(client.predict(api_name="/download")) as archive:
        mask = np.asarray(Image.open(io.BytesIO(archive.read("mask.png"))))
        instances = tifffile.imread(io.BytesIO(archive.read("instances.tif")))
    assert (mask == result.mask).all()
    assert (instances == result.instances).all()


def test_client_gets_the_sentence_and_no_path(address, tmp_path):
    path = tmp_path / "broken.tif"
    path.write_bytes(b"II*\0 this is no TIFF")
    with pytest.raises(AppError, match=r"broken\.tif") as caught:
        Client(address, verbose=False).predict(
            image=handle_file(path), truth=None, model="nuclei", page=1, api_name="/segment"
        )
    assert "/" not in str(caught.value).replace("and/or", "")


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, the system's own."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is absent")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


@pytest.mark.browser
def test_page_from_upload_to_dice(address, browser, expected, tmp_path):
    result, dice = expected
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    tab.set_default_timeout(120_000)
    complaints: list[str] = []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    tab.goto(address)
    upload(tab, "image", IMAGE)
    upload(tab, "truth", TRUTH)
    tab.locator("#segment").click()

    table = tab.locator("#table")
    table.get_by_text(f"{dice[1]:.4f}").first.wait_for()
    assert f"{result.areas['nucleus']:,}" in table.inner_text()
    served = tab.locator("#overlay img").get_attribute("src")
    overlay = Image.open(io.BytesIO(tab.request.get(served).body()))
    assert overlay.format == "PNG"
    assert (np.asarray(overlay) == np.asarray(result.overlay())).all()

    tab.get_by_role("tab", name="Weight map").click()
    legend = tab.locator("#legend")
    legend.get_by_text("(2 · 5²)").wait_for()
    tab.locator("#sigma input[type=number]").fill("20")
    tab.locator("#sigma input[type=number]").press("Tab")
    legend.get_by_text("(2 · 20²)").wait_for()

    with tab.expect_download() as caught:
        tab.get_by_text("Download everything").click()
    with zipfile.ZipFile(caught.value.path()) as archive:
        mask = np.asarray(Image.open(io.BytesIO(archive.read("mask.png"))))
    assert (mask == result.mask).all()
    assert not complaints
    tab.close()


@pytest.mark.browser
def test_page_shows_a_sentence_for_a_bad_file(address, browser, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not an image")
    tab = browser.new_page()
    tab.set_default_timeout(60_000)
    tab.goto(address)
    upload(tab, "image", path)
    tab.locator("#segment").click()
    sentence = tab.get_by_test_id("toast-text").first
    sentence.wait_for()
    assert "notes.txt" in sentence.inner_text()
    assert not re.search(r"Traceback|File \"", tab.content())
    tab.close()


def upload(tab, name: str, path: Path) -> None:
    """Choose a file as a person does, and wait until the page holds it."""
    tab.locator(f"#{name} input[type=file]").set_input_files(str(path))
    tab.locator(f"#{name}").get_by_text(path.stem).first.wait_for()


def test_endpoints_have_names_that_read_well(address):
    endpoints = Client(address, verbose=False).view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/segment", "/weight_map", "/seam_test", "/download"}
    names = {path: [one["label"] for one in about["returns"]] for path, about in endpoints.items()}
    assert names["/segment"] == [
        "Overlay",
        "Mask",
        "Mirrored image and tiles",
        "Classes",
        "Findings",
    ]
    assert names["/weight_map"] == ["Boundary weight map", "Formula and range"]
    assert names["/seam_test"] == ["Seams"]
    parameters = [one["parameter_name"] for one in endpoints["/segment"]["parameters"]]
    assert parameters == ["image", "truth", "model", "page"]
