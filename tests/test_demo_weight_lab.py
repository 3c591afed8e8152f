"""The weight-map lab: its four maps are equation 2's, number by number."""

from io import BytesIO

import numpy as np
import pytest
import tifffile
from demo_pages import noise, shown_with, small_network, two_squares
from numpy.typing import NDArray

from hf_unet import boundary_weight_map
from hf_unet.demo.labs import weights
from hf_unet.demo.labs.weights import weight_scene, weight_tiff, weight_words
from hf_unet.demo.scenes import Scene
from hf_unet.demo.shown import Shown
from hf_unet.errors import ImageError
from hf_unet.instances import separate_touching
from hf_unet.weight_map import instance_distances


def touching() -> NDArray[np.uint16]:
    """Three instances: two that touch, so that a border has to part them, and one apart."""
    instances = two_squares()
    instances[35:50, 5:25], instances[35:50, 25:45] = 3, 4
    return instances


@pytest.fixture(scope="module")
def judged() -> Shown:
    return shown_with(small_network(), noise(), touching())


def maps(scene: Scene) -> dict[str, NDArray[np.float32]]:
    return {layer.key: layer.data[0] for layer in scene.layers}


@pytest.mark.parametrize(("w0", "sigma"), [(10, 5), (7, 3), (30, 0.5), (0, 30)])
def test_the_maps_are_the_librarys_of_parted_instances(
    judged: Shown, w0: float, sigma: float
) -> None:
    found = maps(weight_scene(judged, w0, sigma))
    parted = separate_touching(touching().astype(np.int32))
    assert list(found) == ["d1", "d2", "w_c", "w"]
    assert np.allclose(found["w"], boundary_weight_map(parted, w0=w0, sigma=sigma), atol=1e-5)
    d1, d2 = instance_distances(parted)
    assert np.allclose(found["d1"], d1, atol=1e-5) and np.allclose(found["d2"], d2, atol=1e-5)
    assert np.array_equal(found["w_c"], boundary_weight_map(parted, w0=0))


@pytest.mark.parametrize(("w0", "sigma"), [(10, 5), (3.5, 12)])
def test_at_any_pixel_w_is_the_formula_with_that_pixels_numbers(
    judged: Shown, w0: float, sigma: float
) -> None:
    found = maps(weight_scene(judged, w0, sigma))
    chance = np.random.default_rng(0)
    boundary = 0
    for y, x in zip(chance.integers(0, 60, 300), chance.integers(0, 70, 300), strict=True):
        d1, d2, balance, w = (float(found[key][y, x]) for key in ("d1", "d2", "w_c", "w"))
        term = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2)) if d1 > 0 else 0
        assert w == pytest.approx(balance + term, abs=1e-4)
        boundary += term > 0.1
    assert boundary > 20, "hardly any pixel has a boundary term"


def test_the_formula_is_written_with_the_settings_and_names_every_map(judged: Shown) -> None:
    settings = weight_scene(judged, 7.5, 3).settings
    assert settings["formula"] == "w = {w_c} + 7.5 · exp(-({d1} + {d2})² / (2 · 3²)) = {w}"
    assert settings["panes"] == [["d1"], ["d2"], ["w_c"], ["w"]]


def test_only_w_is_new_when_a_slider_moves(judged: Shown) -> None:
    ids = [
        [layer.described()["id"] for layer in weight_scene(judged, w0, 5).layers] for w0 in (10, 11)
    ]
    assert ids[0][:3] == ids[1][:3] and ids[0][3] != ids[1][3]


def test_without_truth_the_maps_are_of_the_prediction() -> None:
    shown = shown_with(small_network(), noise())
    parted = separate_touching(shown.result.instances)
    assert np.allclose(maps(weight_scene(shown, 10, 5))["w"], boundary_weight_map(parted))
    assert f"{len(np.unique(parted)) - 1:,} instances of the predicted mask" in weight_words(shown)


def test_the_words_count_the_instances_of_the_truth(judged: Shown) -> None:
    assert "From the 4 instances of the ground truth" in weight_words(judged)


def test_an_image_without_instances_is_balanced_and_has_no_boundary() -> None:
    shown = shown_with(small_network(), noise(), np.zeros((60, 70), np.uint16))
    found = maps(weight_scene(shown, 10, 5))
    assert (found["w"] == 1).all() and np.isinf(found["d1"]).all()
    assert "From the 0 instances" in weight_words(shown)


def test_one_instance_that_fills_the_image_is_counted() -> None:
    shown = shown_with(small_network(), noise(), np.full((60, 70), 7, np.uint16))
    assert "From the 1 instances" in weight_words(shown)


def test_the_file_holds_the_map_and_says_its_settings(judged: Shown) -> None:
    with tifffile.TiffFile(BytesIO(weight_tiff(judged, 7.5, 3))) as file:
        assert file.pages[0].description == "boundary weight map, w0=7.5, sigma=3 pixels"
        read = file.asarray()
    assert read.dtype == np.float32
    assert np.array_equal(read, maps(weight_scene(judged, 7.5, 3))["w"])


@pytest.mark.parametrize(("w0", "sigma"), [(None, 5), (10, None), (-1, 5), (10, 0), (np.nan, 5)])
def test_settings_out_of_range_have_a_sentence(judged: Shown, w0: float, sigma: float) -> None:
    with pytest.raises(ValueError, match=r"w0|sigma"):
        weight_scene(judged, w0, sigma)
    with pytest.raises(ValueError, match=r"w0|sigma"):
        weight_tiff(judged, w0, sigma)


def test_an_image_too_large_for_the_lab_has_a_sentence(
    judged: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MOST_PIXELS", 60 * 70 - 1)
    for refused in (lambda: weight_scene(judged, 10, 5), lambda: weight_tiff(judged, 10, 5)):
        with pytest.raises(ImageError, match="boundary_weight_map takes any"):
            refused()
