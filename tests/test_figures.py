"""Figures measured again: what rounding explains, and what is named."""

import re
from pathlib import Path
from typing import Any

import pytest
from whole_repositories import edit_json

from hf_unet import ModelError, UNet
from hf_unet.training.figures import figure_differences, figure_faults
from hf_unet.training.settings import SettingsError


def test_figures_measured_again_are_the_same(whole: tuple[Path, Path]) -> None:
    net, data = whole
    assert figure_faults(UNet.from_pretrained(net), data) == ()


def test_a_figure_that_the_data_does_not_give_is_named(
    copied: Path, whole: tuple[Path, Path]
) -> None:
    def edit(metrics: dict[str, Any]) -> None:
        metrics["validation"]["pixel_error"] += 0.002
        metrics["validation"]["seg"] -= 0.001  # less than one object in a hundred
        metrics["data"]["train_images"] = 600

    edit_json(copied / "metrics.json", edit)
    images, error = figure_faults(UNet.from_pretrained(copied), whole[1])
    assert images == "data.train_images is 600 in metrics.json, and 6 on this data."
    assert re.fullmatch(
        r"validation\.pixel_error is 0\.\d+ in metrics\.json, and 0\.\d+ on this data\.", error
    )


@pytest.mark.parametrize(
    ("stored", "measured", "differs"),
    [
        ({"pixel_error": 0.03}, {"pixel_error": 0.03009}, False),
        ({"pixel_error": 0.03}, {"pixel_error": 0.03011}, True),
        ({"pixel_error": 0.03}, {}, True),
        ({}, {"pixel_error": 0.03}, False),
        ({"seg": 0.7}, {"seg": 0.7019}, False),
        ({"seg": 0.7}, {"seg": 0.7021}, True),
        ({"intervals": {"seg": [0.7, 0.8]}}, {"intervals": {"seg": [0.7, 0.8021]}}, True),
        ({"intervals": {"seg": [0.7, 0.8]}}, {"intervals": {"seg": [0.7, 0.8019]}}, False),
        ({"images": 60}, {"images": 61}, True),
        ({"membranes": {"splits": 400}}, {"membranes": {"splits": 406}}, False),
        ({"membranes": {"splits": 400}}, {"membranes": {"splits": 407}}, True),
        ({"membranes": {"sections": 400}}, {"membranes": {"sections": 401}}, True),
        ({"best": {"threshold": 0.5}}, {"best": {"threshold": 0.6}}, False),
        ({"per_image": {"dice": {"a": None}}}, {"per_image": {"dice": {"a": None}}}, False),
        ({"per_image": {"dice": {"a": None}}}, {"per_image": {"dice": {"a": 0.5}}}, True),
        ({"per_image": {"convention": "so"}}, {"per_image": {"convention": "other"}}, False),
        ({"pixel_error": 0.03}, {"pixel_error": float("nan")}, True),
    ],
    ids=str,
)
def test_what_rounding_explains_and_what_not(
    stored: dict[str, Any], measured: dict[str, Any], differs: bool
) -> None:
    sentences = figure_differences({"validation": stored}, {"validation": measured})
    assert len(sentences) == differs


def test_on_a_gpu_figures_may_lie_ten_times_as_far_off() -> None:
    was, now = ({"validation": {"pixel_error": value}} for value in (0.03, 0.0309))
    assert figure_differences(was, now) and not figure_differences(was, now, coarser=10)


def test_a_repository_without_settings_or_figures_says_so(
    copied: Path, whole: tuple[Path, Path]
) -> None:
    (copied / "settings.json").unlink()
    with pytest.raises(SettingsError, match=r"holds no settings\.json .*--recipe"):
        figure_faults(UNet.from_pretrained(copied), whole[1])
    settings = whole[0] / "settings.json"
    assert figure_faults(UNet.from_pretrained(copied), whole[1], settings) == ()
    (copied / "metrics.json").unlink()
    with pytest.raises(ModelError, match=r"holds no metrics\.json"):
        figure_faults(UNet.from_pretrained(copied), whole[1], settings)
