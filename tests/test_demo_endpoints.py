"""What programs may ask of the demo, asked of a page that is really served."""

import io
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import tifffile
from demo_pages import IMAGE, OTHER, TRUTH
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from hf_unet import UNet, boundary_weight_map
from hf_unet.demo.models import loading
from hf_unet.demo.programs import endpoints
from hf_unet.instances import separate_touching
from hf_unet.labels import read_labels
from hf_unet.metrics import dice_per_class, iou_per_class
from hf_unet.seams import compare_stitchings

pytestmark = pytest.mark.bundled

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "demo.png"
"""An image of this machine that the page neither shows nor offers."""


@pytest.fixture
def client(demo_address: str, tmp_path: Path) -> Client:
    return Client(demo_address, verbose=False, download_files=tmp_path / "downloads")


@pytest.fixture(scope="module")
def network() -> UNet:
    return UNet.from_pretrained(loading.MODELS / "nuclei")


@pytest.fixture(scope="module")
def result(network):
    """What the library itself says of the example."""
    return network.segment(IMAGE)


@pytest.fixture(scope="module")
def truth(network) -> np.ndarray:
    return read_labels(TRUTH, network.mask_classes).class_map()


def opened(path: str) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_only_the_endpoints_are_offered_each_with_a_description(demo_address):
    offered = Client(demo_address, verbose=False).view_api(return_format="dict")["named_endpoints"]
    assert set(offered) == {f"/{function.__name__}" for function in endpoints.ENDPOINTS}
    for name, about in offered.items():
        assert about["description"].endswith("."), name
        assert "Args" not in about["description"], name
    parameters = {one["parameter_name"]: one for one in offered["/segment"]["parameters"]}
    assert list(parameters) == ["image", "truth", "model", "page"]
    assert not parameters["image"]["parameter_has_default"]
    defaults = {n: parameters[n]["parameter_default"] for n in ("truth", "model", "page")}
    assert defaults == {"truth": None, "model": "nuclei", "page": 1}


def test_the_pages_own_events_are_not_to_be_called(demo_address):
    config = Client(demo_address, verbose=False).config
    public = [one for one in config["dependencies"] if one["api_visibility"] != "private"]
    assert len(public) == len(endpoints.ENDPOINTS)


def test_models_are_the_bundled_ones(client):
    assert client.predict(api_name="/models") == loading.bundled_models()


def test_segment_gives_what_the_library_computes(client, result, truth):
    mask, overlay, figures = client.predict(
        image=handle_file(IMAGE), truth=handle_file(TRUTH), api_name="/segment"
    )
    assert Path(mask).name == "nuclei-mask.png"
    assert (opened(mask) == result.mask).all()
    assert (opened(overlay) == np.asarray(result.overlay())).all()
    dice, iou = dice_per_class(truth, result.mask), iou_per_class(truth, result.mask)
    assert list(figures["figures"]["dice"].values()) == dice.tolist()
    assert list(figures["figures"]["iou"].values()) == iou.tolist()
    assert figures["area_in_pixels"] == result.areas
    assert figures["instances"] == len(result.whole_objects.class_of)


def test_without_truth_there_is_the_expected_dice_alone(client, result):
    *_, figures = client.predict(image=handle_file(IMAGE), api_name="/segment")
    assert "dice" not in figures["figures"]
    expected = client.predict(image=handle_file(IMAGE), api_name="/expected_dice")
    if result.expected_dice is None:
        assert expected is None and figures["figures"] == {}
    else:
        assert list(expected.values()) == result.expected_dice.tolist()
        assert figures["figures"]["expected_dice"] == expected


def test_measured_dice_is_the_librarys(client, result, truth):
    measured = client.predict(handle_file(IMAGE), handle_file(TRUTH), api_name="/measured_dice")
    assert measured == dict(
        zip(result.classes, dice_per_class(truth, result.mask).tolist(), strict=True)
    )


def test_save_all_holds_what_the_library_saves(client, result, tmp_path):
    path = client.predict(image=handle_file(IMAGE), api_name="/save_all")
    result.save(tmp_path / "own")
    with zipfile.ZipFile(path) as archive:
        assert set(archive.namelist()) == {one.name for one in (tmp_path / "own").iterdir()}
        for name in ("mask.png", "rle.csv", "objects.csv", "coco.json"):
            assert archive.read(name) == (tmp_path / "own" / name).read_bytes(), name
        instances = tifffile.imread(io.BytesIO(archive.read("instances.tif")))
    assert (instances == result.instances).all()


def test_weight_map_of_labels_and_of_a_prediction(client, result):
    instances = separate_touching(tifffile.imread(TRUTH).astype(np.int32))
    path = client.predict(labels=handle_file(TRUTH), w0=7, sigma=3, api_name="/weight_map")
    expected = boundary_weight_map(instances, w0=7, sigma=3)
    assert np.array_equal(tifffile.imread(path), expected)
    path = client.predict(image=handle_file(IMAGE), api_name="/weight_map")
    expected = boundary_weight_map(separate_touching(result.instances))
    assert np.array_equal(tifffile.imread(path), expected)


def test_seam_test_is_the_librarys(client, network, result):
    ways = client.predict(image=handle_file(IMAGE), api_name="/seam_test")
    own = compare_stitchings(network, result.image)
    assert [way["name"] for way in ways] == [way.name for way in own]
    assert [way["pixels_changed"] for way in ways] == [int(way.changed.sum()) for way in own]
    assert [way["tiles"] for way in ways] == [way.tiles for way in own]


def test_many_images_come_back_as_one_zip(client, network, result, truth, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    files = [handle_file(path) for path in (IMAGE, TRUTH, OTHER, tmp_path / "notes.txt")]
    archive, figures = client.predict(files=files, api_name="/segment_many")
    first, second, third = figures["rows"]
    assert first["image"] == "nuclei.tif" and first["ground_truth"] == "nuclei_truth.tif"
    dice = dice_per_class(truth, result.mask)
    assert list(first["dice"].values()) == dice.tolist()
    assert list(figures["pooled"]["dice"].values()) == pytest.approx(dice.tolist())
    assert "pooled over all pixels of 1 image" in figures["pooled"]["convention"]
    assert "dice" not in second and "notes.txt" in third["problem"]
    with zipfile.ZipFile(archive) as file:
        mask = opened(io.BytesIO(file.read("nuclei_8bit/mask.png")))
    assert (mask == network.segment(OTHER).mask).all()


def test_two_clients_at_once_do_not_mix(demo_address, network, tmp_path):
    expected = {path: network.segment(path).mask for path in (IMAGE, OTHER)}

    def ask(path: Path) -> bool:
        own = Client(demo_address, verbose=False, download_files=tmp_path / path.stem)
        mask, _, _ = own.predict(image=handle_file(path), api_name="/segment")
        return np.array_equal(opened(mask), expected[path])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, [IMAGE, OTHER, IMAGE, OTHER]))


# --- mistakes -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "notes.txt").write_text("not an image")
    (folder / "broken.tif").write_bytes(b"II*\0 this is no TIFF")
    (folder / "empty.png").write_bytes(b"")
    (folder / "cut.tif").write_bytes(IMAGE.read_bytes()[:5000])
    (folder / "polygons.json").write_text('{"annotations": 3}')
    Image.new("L", (10, 10)).save(folder / "small.png")
    return folder


MISTAKES = [
    ("/segment", {"image": "notes.txt"}, r"notes\.txt"),
    ("/segment", {"image": "broken.tif"}, r"broken\.tif"),
    ("/segment", {"image": "empty.png"}, r"empty\.png"),
    ("/segment", {"image": "cut.tif"}, r"cut\.tif"),
    ("/segment", {"image": None}, "Choose an image first"),
    ("/segment", {"image": IMAGE, "truth": "small.png"}, r"small\.png is 10 x 10"),
    ("/segment", {"image": IMAGE, "truth": "polygons.json"}, r"polygons\.json"),
    ("/segment", {"image": IMAGE, "truth": "notes.txt"}, r"notes\.txt"),
    ("/segment", {"image": IMAGE, "model": "/etc"}, "no model"),
    ("/segment", {"image": IMAGE, "model": "../models/nuclei"}, "no model"),
    ("/segment", {"image": IMAGE, "model": ""}, "no model"),
    ("/segment", {"image": IMAGE, "page": 2}, r"nuclei\.tif has 1 page"),
    ("/segment", {"image": IMAGE, "page": 0}, r"nuclei\.tif has 1 page"),
    ("/segment", {"image": IMAGE, "page": "x"}, "page is a whole number"),
    ("/save_all", {"image": "broken.tif"}, r"broken\.tif"),
    ("/measured_dice", {"image": IMAGE, "truth": "small.png"}, "10 x 10"),
    ("/measured_dice", {"image": IMAGE, "truth": None}, "Give a ground truth"),
    ("/expected_dice", {"image": "notes.txt"}, r"notes\.txt"),
    ("/weight_map", {}, "Choose an image first"),
    ("/weight_map", {"labels": "notes.txt"}, r"notes\.txt"),
    ("/weight_map", {"labels": TRUTH, "sigma": 0}, "sigma"),
    ("/weight_map", {"labels": TRUTH, "w0": -1}, "w0"),
    ("/weight_map", {"labels": TRUTH, "w0": "much"}, "w0"),
    ("/seam_test", {"image": "small.png"}, "too small to cut"),
    ("/segment_many", {"files": []}, "Choose images first"),
    ("/segment_many", {"files": [IMAGE], "model": "none"}, "no model"),
]


@pytest.mark.parametrize(("endpoint", "given", "sentence"), MISTAKES)
def test_a_mistake_gives_a_sentence_and_no_path(client, broken, endpoint, given, sentence):
    def filled(value: object) -> object:
        if isinstance(value, list):
            return [filled(one) for one in value]
        if isinstance(value, Path):
            return handle_file(value)
        is_file = isinstance(value, str) and (broken / value).is_file()
        return handle_file(broken / str(value)) if is_file else value

    with pytest.raises(AppError, match=sentence) as caught:
        client.predict(api_name=endpoint, **{name: filled(one) for name, one in given.items()})
    said = str(caught.value)
    assert not re.search(
        r"(?:^|[\s'\"(])/\w|\\\\|Traceback|site-packages", said.replace("'/etc'", "")
    )


@pytest.mark.parametrize(
    "image",
    [
        "/etc/passwd",
        {"path": "/etc/passwd"},
        {"path": str(PICTURE), "meta": {"_type": "gradio.FileData"}},
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": "../../../../etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": str(PICTURE), "is_stream": True, "meta": {"_type": "gradio.FileData"}},
        {"path": str(PICTURE), "meta": None},
        {"path": "http://127.0.0.1:1/x.png", "meta": {"_type": "gradio.FileData"}},
        {"path": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}},
        17,
        ["x"],
    ],
)
def test_a_file_of_this_machine_is_no_upload(demo_address, image):
    body = {"data": [image, None, "nuclei", 1]}
    answer = httpx.post(f"{demo_address}gradio_api/call/segment", json=body)
    stream = httpx.get(
        f"{demo_address}gradio_api/call/segment/{answer.json()['event_id']}", timeout=60
    )
    assert "event: error" in stream.text
    assert "root:" not in stream.text and str(PICTURE.parent) not in stream.text
    assert not re.search(r"/(?:usr|home|tmp|work|root)/", stream.text)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", str(IMAGE.parents[2] / "pyproject.toml"), "../../etc/passwd"]
)
def test_a_file_of_this_machine_is_not_served(demo_address, path):
    assert httpx.get(f"{demo_address}gradio_api/file={path}").status_code in (403, 404)


def test_an_answer_names_no_path_of_this_machine(client):
    *_, figures = client.predict(image=handle_file(IMAGE), api_name="/segment")
    assert not re.search(r"/(?:usr|home|tmp|work|root)/", str(figures))
