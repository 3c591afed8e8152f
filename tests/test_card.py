"""The model card: its figures are metrics.json's, its header is what the Hub reads."""

import copy
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from figures import CONFIG, METRICS, SETTINGS
from hub_server import HubServer
from huggingface_hub import ModelCard
from PIL import Image

from hf_unet.cards.card import UNTRAINED, card_of, render_card, template
from hf_unet.cards.parts import parts_of
from hf_unet.cards.picture import LARGEST_FILE, draw_picture, write_picture
from hf_unet.errors import ModelError
from hf_unet.model import UNet
from hf_unet.training.run_folder import write_card, write_metrics
from hf_unet.training.settings import LossSettings, OptimizerSettings, settings_from


def header_of(card: str) -> dict[str, Any]:
    header: dict[str, Any] = yaml.safe_load(card.split("---")[1])
    return header


def test_every_figure_is_computed() -> None:
    card = str(render_card(CONFIG, METRICS, repo_id="org/cells"))
    for words in (
        "# cells\n",
        "Finds cells in pictures.",
        "1,234,567 parameters",
        'UNet.from_pretrained("org/cells")',
        "`percentile`",
        "| background | 0.9912 | 0.9800 | 0.9000 | 0.8500 |",
        "| cell | 0.8765 | absent | 0.8100 | 0.7100 |",
        "An empty class counts as 1.",
        "Pixel error: 0.0612.",
        "IoU 0.5: 0.7777",
        "41 images of: Cells of 2018",
        "9 images kept out of training, by which the checkpoint was chosen.",
        "12,000 steps of 2 tiles in 1.24 hours on two cores, bf16",
        "step 11,000",
        "400 x 300 pixels in 6 tiles and in one piece differs by at most 3.4e-07",
        "Only cells.",
    ):
        assert words in card, words
    assert "{{" not in card and "None" not in card


def test_the_card_says_where_the_weights_started() -> None:
    training = METRICS["training"] | {"init": "org/before"}
    card = str(render_card(CONFIG, METRICS | {"training": training}, repo_id="org/cells"))
    link = "[org/before](https://huggingface.co/org/before)"
    assert f"From the weights of {link}. 12,000 steps of 2 tiles in 1.24 hours" in card
    earlier = METRICS["training"] | {"steps": 700, "hours": 0.5}
    chain = METRICS | {"training": training | {"before": [earlier]}}
    course = parts_of(str(render_card(CONFIG, chain, repo_id="org/cells")))["training"]
    assert course.endswith(
        "2 runs, each from the weights of the one before, 1.74 hours:\n\n"
        "| run | steps | tiles a step | hours | machine | precision |\n"
        "|---|---|---|---|---|---|\n"
        "| 1 | 700 | 2 | 0.50 | two cores | bf16 |\n"
        "| 2 | 12,000 | 2 | 1.24 | two cores | bf16 |\n\n"
        "The checkpoint is that of step 11,000 of the last run. `settings.json` holds every "
        "setting of the last run."
    )


def test_the_header_has_a_model_index() -> None:
    header = header_of(str(render_card(CONFIG, METRICS, repo_id="org/cells")))
    assert header["license"] == "cc0-1.0"
    assert header["library_name"] == "hf-unet"
    assert header["pipeline_tag"] == "image-segmentation"
    (model,) = header["model-index"]
    assert model["name"] == "cells"
    figures = {
        metric["name"]: metric["value"]
        for result in model["results"]
        for metric in result["metrics"]
    }
    assert figures == {
        "Dice (background, per image)": 0.991235,
        "Dice (cell, per image)": 0.87654,
        "Pixel error": 0.0612,
        "AP at IoU 0.5": 0.7777,
    }


def test_without_metrics_the_card_says_so() -> None:
    card = str(render_card(CONFIG))
    assert UNTRAINED in card and "Segments background, cell in images of 1 channel(s)." in card
    assert "{{" not in card
    header = header_of(card)
    assert "model-index" not in header and "license" not in header


@pytest.mark.parametrize(
    "path",
    [
        ("license",),
        ("summary",),
        ("parameters",),
        ("limits",),
        ("data", "name"),
        ("data", "validation_images"),
        ("training", "hours"),
        ("training", "best_step"),
        ("validation", "pixel_error"),
        ("validation", "pooled"),
        ("validation", "per_image", "convention"),
        ("validation", "per_image", "iou", "cell"),
    ],
)
def test_a_missing_figure_is_named(path: tuple[str, ...]) -> None:
    metrics = copy.deepcopy(METRICS)
    inner = metrics
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(ModelError, match=f"metrics.json lacks '{path[-1]}'"):
        render_card(CONFIG, metrics)


def test_instances_membranes_intervals_and_thresholds_are_shown() -> None:
    metrics = copy.deepcopy(METRICS)
    metrics["validation"] |= {
        "average_precision": {"0.5": 0.8125, "0.9": 0.3125},
        "average_precision_50": 0.8125,
        "seg": 0.71875,
        "membranes": {
            "warping_error": 0.000353,
            "splits": 11,
            "merges": 22,
            "v_rand_thinned": 0.96875,
            "v_info_thinned": 0.984375,
            "best": {
                "pixel_error": {"value": 0.0625, "threshold": 0.4},
                "v_rand_thinned": {"value": 0.9702, "threshold": 0.6},
                "v_info_thinned": {"value": 0.9851, "threshold": 0.6},
            },
        },
        "intervals": {"pixel_error": [0.0101, 0.0202], "seg": [0.6101, 0.8202]},
    }
    config = CONFIG | {"thresholds": [0.35], "seed_threshold": 0.85, "test_time_averaging": True}
    card = str(render_card(config, metrics))
    for words in (
        "0.8125, the mean over images; 0.3125 at 0.9.",
        "SEG of the Cell Tracking Challenge: 0.7188 (0.6101 - 0.8202)",
        "(0.0101 - 0.0202)",
        "warping error 0.000353 (11 pixels of splits, 22 of merges), V_rand (thinned) 0.9688",
        "pixel error 0.0625, V_rand 0.9702, V_info 0.9851",
        "95 % bootstrap intervals over images",
        "belongs to its class, 0.35; that from which on it is a seed of an object, 0.85",
        "eight flips and rotations",
    ):
        assert words in card, words
    kinds = [one["type"] for one in header_of(card)["model-index"][0]["results"][0]["metrics"]]
    assert kinds[-2:] == ["seg", "v_rand"]


def test_the_card_says_which_blocks_the_network_sees_as_one() -> None:
    for blocks in ({}, {"downsampling": 1}):
        assert "blocks of" not in str(render_card(CONFIG | blocks))
    card = str(render_card(CONFIG | {"downsampling": 4}))
    assert "sees blocks of 4 x 4 pixels as one, and nothing thinner." in parts_of(card)["use"]


def test_the_card_says_how_well_the_estimate_held() -> None:
    scores = {
        "images": 9,
        "expected": 0.8125,
        "measured": 0.875,
        "mean_difference": 0.0625,
        "largest_difference": 0.1875,
        "without_estimate": 0.09375,
        "correlation": None,
    }
    metrics = copy.deepcopy(METRICS)
    metrics["validation"]["expected_dice"] = {
        "convention": "The others calibrate",
        "classes": {"background": None, "cell": scores},
    }
    calibrated = CONFIG | {"calibration": [None, [0.75, -0.5]]}
    card = str(render_card(calibrated, metrics))
    assert "off on average by 0.062 for cell (at most 0.188)." in card
    assert "| cell | 9 | 0.8125 | 0.8750 | 0.0625 | 0.1875 | 0.0938 | - |" in card
    assert "- The others calibrate." in card and "| background | 9" not in card
    scores["correlation"] = -0.25
    assert "| 0.0938 | -0.2500 |" in str(render_card(calibrated, metrics))
    uncalibrated = "not calibrated, so it makes no estimate"
    assert uncalibrated in str(render_card(CONFIG, metrics))
    assert uncalibrated in str(render_card(CONFIG))
    for unmeasured in (None, METRICS):
        card = str(render_card(calibrated, unmeasured))
        assert "`result.expected_dice` is" in card and "has not been measured" in card


def test_figures_by_look_are_shown_where_images_look_unlike() -> None:
    metrics = copy.deepcopy(METRICS)
    dark = {
        "images": 6,
        "pixel_error": 0.01,
        "average_precision_50": 0.8438,
        "intervals": {"pixel_error": [0, 1], "average_precision_50": [0.8, 0.9]},
    }
    bright = {"images": 3, "pixel_error": 0.0313, "intervals": {"pixel_error": [0.02, 0.04]}}
    metrics["validation"]["looks"] = {"color": bright, "dark": dark}
    card = str(render_card(CONFIG, metrics))
    assert (
        "By the look of the images: pixel error 0.0313 (0.0200 - 0.0400) of the 3 coloured ones; "
        "average precision at IoU 0.5 0.8438 (0.8000 - 0.9000) of the 6 dark ones." in card
    )
    metrics["validation"]["looks"] = {"dark": dark}  # all of them: the figures stand above
    assert "By the look" not in str(render_card(CONFIG, metrics))


def test_no_figure_is_typed_into_the_template() -> None:
    body = template().split("## What it was trained on")[1].split("## Paper")[0]
    assert not any(letter.isdigit() for letter in body)


def test_settings_are_a_table() -> None:
    parts = parts_of(str(render_card(CONFIG, METRICS, settings=SETTINGS)))
    for words in (
        "| loss | weighted cross entropy, boundary weights with w0 = 10 and sigma = 5 pixels; "
        "classes weighted by 1, 2.5 |",
        "| optimizer | AdamW, learning rate 0.001, weight decay 0, 100 steps of warm-up, cosine, "
        "gradients clipped at a norm of 1, mean of the weights with a decay of 0.99 |",
        "| tiles | 6 a step, each decides 260 x 260 pixels |",
        "50% of the tiles bent (elastic deformation, sigma 10 pixels), turned, scaled by 0.8 to "
        "1.25; flips: both; brightness 0.1; contrast 0.2; noise 0.05 |",
        "| checkpoint | the best by average precision of those after every 500 steps |",
    ):
        assert words in parts["settings"], words
    paper = SETTINGS | {"optimizer": asdict(OptimizerSettings()), "loss": asdict(LossSettings())}
    table = parts_of(str(render_card(CONFIG, METRICS, settings=paper)))["settings"]
    assert "SGD, learning rate 0.001, momentum 0.99, weight decay 0, constant rate |" in table
    assert "classes weighted by 1 / frequency |" in table
    assert parts_of(str(render_card(CONFIG, METRICS)))["settings"] == ""


def test_a_missing_setting_is_named() -> None:
    settings = SETTINGS | {"run": {"batch": 1}}
    with pytest.raises(ModelError, match=r"settings\.json lacks 'accumulate'"):
        render_card(CONFIG, METRICS, settings=settings)


def test_energy_is_reckoned_only_from_what_is_stated() -> None:
    before = METRICS["training"] | {"hours": 0.761, "machine": "a laptop"}
    metrics = METRICS | {"training": METRICS["training"] | {"before": [before]}}

    def told(**card: float) -> tuple[str, dict[str, Any]]:
        text = str(render_card(CONFIG, metrics | {"assumed": card}))
        return parts_of(text)["energy"], header_of(text)

    energy, header = told()
    assert "Training took 2.00 hours on a laptop, two cores. Only the time was" in energy
    assert " kWh: reckoned" not in energy and "co2_eq_emissions" not in header
    energy, header = told(watts=150.0)
    assert "At 150 watts, as its author states, that is 0.3 kWh: reckoned" in energy
    assert "CO2" not in energy and "co2_eq_emissions" not in header
    energy, header = told(watts=150.0, grams_per_kwh=400.0)
    assert "At 400 g of CO2 for each kWh it is 120 g of CO2." in energy
    assert header["co2_eq_emissions"]["emissions"] == 120.0
    assert header["co2_eq_emissions"]["hardware_used"] == "two cores"


def test_data_and_base_model_on_the_hub_are_named_in_the_header() -> None:
    data = METRICS["data"] | {"repositories": ["org/images", "org/more"]}
    training = METRICS["training"] | {"init": "org/before"}
    link = {"license": "other", "license_name": "ours", "license_link": "https://a.b/terms"}
    card = str(render_card(CONFIG, METRICS | {"data": data, "training": training} | link))
    header = header_of(card)
    assert header["datasets"] == ["org/images", "org/more"]
    assert header["base_model"] == "org/before"
    assert (header["license_name"], header["license_link"]) == ("ours", "https://a.b/terms")
    assert header["model-index"][0]["results"][0]["dataset"]["type"] == "org/images"
    parts = parts_of(card)
    assert "Cells of 2018 ([org/images](https://huggingface.co/datasets/org/images), " in card
    assert "- Licence of the model: [ours](https://a.b/terms)." in parts["data"]
    folder = METRICS["training"] | {"init": "best"}  # of a folder only its name is known
    header = header_of(str(render_card(CONFIG, METRICS | {"training": folder})))
    assert not {"base_model", "datasets"} & set(header)


def test_base_model_is_that_of_the_first_run() -> None:
    first = METRICS["training"] | {"init": "org/before"}
    training = METRICS["training"] | {"init": "best", "before": [first]}
    card = str(render_card(CONFIG, METRICS | {"training": training}))
    assert header_of(card)["base_model"] == "org/before"
    assert "From the weights of [org/before](https://huggingface.co/org/before). 2 runs" in card


def test_the_picture_is_shown_where_there_is_one(tmp_path: Path) -> None:
    UNet(base_channels=1).save_pretrained(tmp_path / "net")
    folder = tmp_path / "net"
    write_metrics(folder, METRICS)
    assert parts_of(str(card_of(folder, repo_id="org/cells")))["picture"] == ""
    black = np.zeros((64, 48, 3), np.uint8)
    write_picture(folder, black, black + 255, "drawn by Ann")
    card = str(card_of(folder, repo_id="org/cells"))
    assert "](picture.png)\n\nLeft an image" in card and "The image: drawn by Ann." in card
    with Image.open(folder / "picture.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (448, 336 + 8 + 336, 3)  # seven times as large
    assert pixels[:, :336].max() == 0 and pixels[:, 344:].min() == 255
    (folder / "picture.png").write_bytes(b"no picture")
    with pytest.raises(ModelError, match=r"picture\.png cannot be read"):
        card_of(folder, repo_id="org/cells")


def test_a_grainy_picture_is_made_small_enough() -> None:
    grain = np.random.default_rng(0).integers(0, 256, (700, 500, 3), np.uint8)
    content = draw_picture(grain, grain, "drawn")
    assert len(content) <= LARGEST_FILE
    with Image.open(BytesIO(content)) as picture:
        assert picture.height < 480


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "settings.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    UNet(base_channels=1).save_pretrained(tmp_path / "net")
    for content in ("{", "[]"):
        (tmp_path / "net" / name).write_text(content)
        with pytest.raises(ModelError, match=f"{name} is"):
            card_of(tmp_path / "net", repo_id="org/cells")
    (tmp_path / "net" / "config.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"net holds no config\.json"):
        card_of(tmp_path / "net", repo_id="org/cells")


def test_the_hub_takes_the_card(hub: HubServer) -> None:
    card = render_card(CONFIG, METRICS, repo_id="org/cells", settings=SETTINGS, picture="drawn")
    card.validate()
    assert len(hub.seen("POST", "/api/validate-yaml")) == 1
    again = ModelCard(str(card))
    assert str(again) == str(card)
    assert again.data.eval_results is not None
    values = {one.metric_name: one.metric_value for one in again.data.eval_results}
    assert values["Dice (cell, per image)"] == METRICS["validation"]["per_image"]["dice"]["cell"]


def test_a_card_that_is_written_again_keeps_what_people_wrote(tmp_path: Path) -> None:
    UNet(base_channels=1).save_pretrained(tmp_path)
    settings = settings_from({})
    write_card(tmp_path, METRICS, "org/cells", settings)
    fresh = (tmp_path / "README.md").read_text("utf-8")
    assert fresh == str(
        card_of(
            tmp_path, repo_id="org/cells", metrics=METRICS, settings=SETTINGS | asdict(settings)
        )
    )
    words = "Ask Ann.\n\n<!-- hf-unet:data -->"
    (tmp_path / "README.md").write_text(fresh.replace("<!-- hf-unet:data -->", words), "utf-8")
    write_card(tmp_path, METRICS | {"limits": "Only Ann's cells."}, "org/cells", settings)
    card = (tmp_path / "README.md").read_text("utf-8")
    assert words in card and parts_of(card)["limits"].startswith("## Limits\n\nOnly Ann's cells.")


def test_the_networks_own_card_is_saved() -> None:
    card = str(UNet(base_channels=1).generate_model_card(metrics=METRICS, repo_id="org/cells"))
    assert "Finds cells in pictures." in card
