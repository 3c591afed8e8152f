"""The model card: its figures are metrics.json's, its header is what the Hub reads."""

import copy
from typing import Any

import pytest
import yaml

from hf_unet.card import UNTRAINED, render_card, template
from hf_unet.errors import ModelError
from hf_unet.model import UNet

CONFIG = UNet(base_channels=1, classes=("background", "cell")).config

METRICS: dict[str, Any] = {
    "summary": "Finds cells in pictures.",
    "license": "cc0-1.0",
    "parameters": 1234567,
    "limits": "Only cells.",
    "data": {
        "name": "Cells of 2018",
        "terms": "CC0",
        "citation": "A. Nobody, Cells",
        "train_images": 41,
        "validation_images": 9,
    },
    "training": {
        "steps": 12000,
        "batch": 2,
        "init": None,
        "before": [],
        "hours": 1.239,
        "machine": "two cores",
        "precision": "bf16",
        "best_step": 11000,
    },
    "overlap_tile": {
        "height": 300,
        "width": 400,
        "tiles": 6,
        "largest_difference": 3.4e-7,
        "changed_pixels": 0,
    },
    "validation": {
        "per_image": {
            "dice": {"background": 0.99123456789, "cell": 0.87654},
            "iou": {"background": 0.98, "cell": None},
            "convention": "An empty class counts as 1",
        },
        "pooled": {
            "dice": {"background": 0.9, "cell": 0.81},
            "iou": {"background": 0.85, "cell": 0.71},
            "convention": "Over all pixels",
        },
        "pixel_error": 0.0612,
        "average_precision_50": 0.7777,
    },
}


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
    assert "From the weights of org/before: 12,000 steps" in card
    earlier = METRICS["training"] | {"steps": 700, "hours": 0.5}
    chain = METRICS | {"training": training | {"before": [earlier]}}
    card = str(render_card(CONFIG, chain, repo_id="org/cells"))
    assert "In 2 runs, each from the weights of the one before, 1.74 hours: 700 steps" in card
    assert "then 12,000 steps" in card and "every setting of the last run" in card


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
    body = template().split("## What it was given")[1].split("## Paper")[0]
    assert not any(letter.isdigit() for letter in body)


def test_the_networks_own_card_is_saved() -> None:
    card = str(UNet(base_channels=1).generate_model_card(metrics=METRICS, repo_id="org/cells"))
    assert "Finds cells in pictures." in card
