"""The bundled models: each a whole repository, whose figures are those of its weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from hf_unet import UNet
from hf_unet.arguments import LATER
from hf_unet.cards.card import card_of
from hf_unet.cards.parts import parts_of
from hf_unet.labels import read_labels
from hf_unet.metrics import average_precision, dice_per_class
from hf_unet.repositories.sample_tile import read_sample
from hf_unet.training.figures import figure_faults
from hf_unet.training.settings import read_settings

pytestmark = pytest.mark.bundled

ROOT = Path(__file__).resolve().parent.parent
MODELS = sorted(path.parent for path in (ROOT / "models").glob("*/config.json"))
EXAMPLES = ROOT / "spaces" / "examples"
MEGABYTE = 2**20

each = pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)


DATA = {
    "dic-hela": "ctc/DIC-C2DH-HeLa",
    "em-membranes": "isbi2012",
    "nuclei": "dsb2018",
    "phc-u373": "ctc/PhC-C2DH-U373",
    "vnc-organelles": "vnc",
}


def test_the_models_that_are_promised_are_bundled():
    assert [folder.name for folder in MODELS] == sorted(DATA)


@each
def test_a_bundled_model_is_a_whole_repository(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "README.md", "config.json", "metrics.json", "model.safetensors", "picture.png",
        "sample.safetensors", "settings.json",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 16 * MEGABYTE
    assert (folder / "sample.safetensors").stat().st_size < MEGABYTE / 2
    assert (folder / "picture.png").stat().st_size <= 150_000
    for name in names - {"model.safetensors", "picture.png", "sample.safetensors"}:
        text = (folder / name).read_text("utf-8")
        assert not any(place in text for place in ("/work", "/home", "/tmp", "/root")), name


@each
def test_a_bundled_model_holds_what_it_says(folder):
    model = UNet.from_pretrained(folder)
    verification = model.verify()
    assert verification.holds, verification.faults
    assert verification.largest_difference < 1e-5 and verification.changed_pixels == 0


@each
def test_a_bundled_sample_shows_something_and_may_be_passed_on(folder):
    sample = read_sample(folder)
    shares = (sample.probabilities > 0.5).mean(axis=(1, 2))
    assert shares[:2].min() > 0.1
    assert sample.source.endswith(("CC0-1.0", "Apache-2.0"))


@each
def test_the_card_is_that_of_its_figures(folder):
    card = card_of(folder, repo_id=f"models/{folder.name}")
    assert str(card) == (folder / "README.md").read_text("utf-8")
    assert all(parts_of(str(card)).values())  # no part is left empty


@each
def test_config_and_settings_name_the_same_network(folder):
    config = LATER | json.loads((folder / "config.json").read_text("utf-8"))
    settings = read_settings(folder / "settings.json")
    wanted = UNet(**settings.network).config
    chosen = ["calibration"]
    if settings.run.tune:
        chosen += ["thresholds", "seed_threshold", "seed_depth", "seed_area"]
    for name, value in wanted.items():
        assert name in chosen or config[name] == value, name


def test_nuclei_are_found_and_kept_apart():
    model = UNet.from_pretrained(ROOT / "models" / "nuclei")
    truth = tifffile.imread(EXAMPLES / "nuclei_truth.tif").astype(np.int32)
    result = model.segment(EXAMPLES / "nuclei.tif")
    assert dice_per_class((truth > 0).astype(np.uint8), result.mask)[1] > 0.85
    assert average_precision(truth, result.instances, (0.5,))[0] > 0.6


@each
def test_a_bundled_model_is_calibrated_and_says_how_well_its_estimate_holds(folder):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    scores = metrics["validation"]["expected_dice"]["classes"]
    assert len(config["calibration"]) == len(scores)
    for name, one in scores.items():
        assert one["mean_difference"] <= one["largest_difference"] < 0.2, name
        assert one["measured"] == pytest.approx(metrics["validation"]["per_image"]["dice"][name])


def test_the_dice_of_the_example_is_as_expected():
    model = UNet.from_pretrained(ROOT / "models" / "nuclei")
    truth = tifffile.imread(EXAMPLES / "nuclei_truth.tif")
    result = model.segment(EXAMPLES / "nuclei.tif")
    measured = dice_per_class((truth > 0).astype(np.uint8), result.mask)
    np.testing.assert_allclose(result.expected_dice, measured, atol=0.06)


def test_organelles_overlap():
    model = UNet.from_pretrained(ROOT / "models" / "vnc-organelles")
    result = model.segment(np.zeros((64, 80), np.uint8))
    assert result.mask.shape == (3, 64, 80) and result.mask.dtype == np.bool_
    assert result.classes == ("membranes", "mitochondria", "synapses")


def test_grey_and_rgb_are_the_same_to_the_nuclei_model():
    model = UNet.from_pretrained(ROOT / "models" / "nuclei")
    grey = tifffile.imread(EXAMPLES / "nuclei.tif")[:200, :200]
    color = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(model.segment(grey).mask, model.segment(color).mask)


@pytest.mark.data
@each
def test_the_figures_are_those_of_the_weights(folder, shared_data):
    faults = figure_faults(UNet.from_pretrained(folder), shared_data / DATA[folder.name])
    assert faults == ()


@pytest.mark.data
def test_membranes_reach_the_figure_promised(shared_data):
    model = UNet.from_pretrained(ROOT / "models" / "em-membranes")
    errors = []
    for number in range(20, 24):
        truth = read_labels(shared_data / "isbi2012" / "label" / f"{number}.tif", model.classes)
        result = model.segment(shared_data / "isbi2012" / "image" / f"{number}.tif")
        errors.append((truth.class_map() != result.mask).mean())
    assert np.mean(errors) <= 0.068
