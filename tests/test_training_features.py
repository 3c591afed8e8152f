"""What a recipe can ask of a run beyond the plain one: each seen to do what it says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from discs import make_data
from safetensors.torch import load_file
from test_training_loop import log_of, same_weights, settings_of

from hf_unet import UNet
from hf_unet.errors import ModelError
from hf_unet.repositories.placement import set_precision
from hf_unet.training.loop import train
from hf_unet.training.pairs import DataError
from hf_unet.training.settings import SettingsError
from hf_unet.training.starting import start_network


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("features") / "data", count=8)


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps of two tiles, without batch norm and dropout."""
    run = tmp_path_factory.mktemp("runs") / "plain"
    train(settings_of(network={"norm": None, "dropout": 0.0}), data, run)
    return run


def distance(one: Path, other: Path) -> float:
    first, second = (load_file(run / "last" / "model.safetensors") for run in (one, other))
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def test_two_tiles_at_once_are_two_turns_of_one(data: Path, tmp_path: Path) -> None:
    """The gradient of a batch is the mean of those of its tiles, whichever way they come."""
    settings = settings_of(
        network={"norm": None, "dropout": 0.0},
        run={"batch": 1, "accumulate": 2},
        optimizer={"name": "sgd", "learning_rate": 0.01, "momentum": 0.9},
    )
    train(settings, data, tmp_path / "turns")
    together = replace(settings, run=replace(settings.run, batch=2, accumulate=1))
    train(together, data, tmp_path / "together")
    assert distance(tmp_path / "turns", tmp_path / "together") < 1e-5
    alone = replace(settings, run=replace(settings.run, accumulate=1))
    train(alone, data, tmp_path / "alone")
    assert distance(tmp_path / "turns", tmp_path / "alone") > 1e-3
    metrics = json.loads((tmp_path / "turns" / "metrics.json").read_text())
    assert metrics["training"]["batch"] == 2


def test_a_run_without_patience_stops_early_and_resumes_to_the_same(
    data: Path, tmp_path: Path
) -> None:
    settings = settings_of(
        network={"norm": None, "dropout": 0.0},
        run={"steps": 40, "validate_every": 2, "patience": 2},
        optimizer={"learning_rate": 1e-12},  # nothing gets better
    )
    train(settings, data, tmp_path / "run")
    assert [line["step"] for line in log_of(tmp_path / "run")] == [2, 4, 6]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["training"]["steps"] == 6 and metrics["training"]["best_step"] == 2
    train(settings, data, tmp_path / "run", resume=True)
    assert [line["step"] for line in log_of(tmp_path / "run")] == [2, 4, 6]


def test_thresholds_are_tuned_and_kept_with_the_model(data: Path, tmp_path: Path) -> None:
    best = train(
        settings_of(run={"steps": 40, "validate_every": 20, "tune": True, "keep": "seg"}),
        data,
        tmp_path / "run",
    )
    config = json.loads((best / "config.json").read_text())
    plain = UNet.from_pretrained(best, seed_threshold=None, seed_area=0, thresholds=None)
    tuned = UNet.from_pretrained(best)
    assert (config["seed_threshold"], config["thresholds"]) == (
        tuned.seed_threshold,
        None if tuned.thresholds is None else list(tuned.thresholds),
    )
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert len(config["calibration"]) == 2 and all(line[0] > 0 for line in config["calibration"])
    assert metrics["validation"]["expected_dice"]["classes"]["disc"]["mean_difference"] < 0.2
    assert tuned.segment(data / "image" / "00.tif").expected_dice is not None
    before = max(line["seg"] for line in log_of(tmp_path / "run"))
    assert metrics["validation"]["seg"] >= before
    assert (
        plain.config
        | {name: tuned.config[name] for name in ("seed_threshold", "seed_area", "thresholds")}
        == tuned.config
    )


def test_a_network_with_a_border_class_trains(data: Path, tmp_path: Path) -> None:
    settings = settings_of(
        network={
            "classes": ["background", "disc", "border"],
            "border": True,
            "seed_threshold": 0.5,
        },
        data={"border": 1.0},
        loss={"w0": 0.0, "class_weights": [1, 1, 1]},
        run={"steps": 60, "validate_every": 60, "keep": "average_precision"},
    )
    best = train(settings, data, tmp_path / "run")
    metrics = json.loads((best / "metrics.json").read_text())["validation"]
    assert set(metrics["per_image"]["dice"]) == {"background", "disc"}
    assert metrics["per_image"]["dice"]["disc"] > 0.7
    result = UNet.from_pretrained(best).segment(data / "image" / "00.tif")
    assert result.classes == ("background", "disc") and result.mask.max() == 1
    assert result.probabilities.shape == (2, 48, 48)
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1, atol=1e-5)
    assert result.evidence is not None and (result.evidence <= result.probabilities[1]).all()


def test_frames_annotated_in_part_are_trained_on(data: Path, tmp_path: Path) -> None:
    settings = settings_of(data={"partial": ["01", "02"]})
    whole, part = tmp_path / "whole", tmp_path / "part"
    train(settings_of(), data, whole)
    train(settings, data, part)
    assert not same_weights(whole / "last", part / "last")


def test_the_split_of_a_run_is_used_again(data: Path, plain: Path, tmp_path: Path) -> None:
    settings = settings_of(data={"split": str(plain / "split.json"), "holdout_every": 3})
    train(settings, data, tmp_path / "run")
    assert (tmp_path / "run" / "split.json").read_bytes() == (plain / "split.json").read_bytes()


def test_groups_that_do_not_fit_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="matches nothing in the name '00'"):
        train(settings_of(data={"group": "patient"}), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- starting from another network -------------------------------------------------------------


def test_other_classes_start_from_the_weights_that_fit(plain: Path) -> None:
    settings = settings_of(
        network={"norm": None, "classes": ["rod", "disc", "background"]},
        run={"init": str(plain / "best")},
    )
    start = start_network(settings)
    assert start.fresh == ("the class rod",)
    teacher = UNet.from_pretrained(plain / "best").state_dict()
    state = start.network.state_dict()
    assert torch.equal(state["classifier.weight"][1:], teacher["classifier.weight"].flip(0))
    assert torch.equal(state["classifier.bias"][1:], teacher["classifier.bias"].flip(0))
    assert all(torch.equal(state[n], teacher[n]) for n in teacher if "classifier" not in n)
    assert start.network.training


def test_other_channels_get_a_first_convolution_of_their_own(plain: Path) -> None:
    settings = settings_of(
        network={"norm": None, "in_channels": 3}, run={"init": str(plain / "best")}
    )
    (fresh,) = start_network(settings).fresh
    assert fresh == "the first convolution: best takes 1 channels, this network 3"


@pytest.mark.parametrize("norm", [None, "batch"])
def test_a_network_twice_as_wide_starts_where_the_narrow_one_stopped(
    norm: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    narrow = UNet(base_channels=3, depth=2, in_channels=2, norm=norm, seed_threshold=0.7)
    images = torch.randn(2, 2, 60, 76)
    narrow.train()(images)  # so that the statistics are not those of a new network
    narrow.save_pretrained(tmp_path / "narrow")
    network = {"base_channels": 6, "depth": 2, "in_channels": 2, "norm": norm}
    network["classes"] = list(narrow.classes)
    settings = settings_of(network=network, run={"init": str(tmp_path / "narrow")})
    wide = start_network(settings).network.eval()
    assert wide.base_channels == 6 and wide.seed_threshold == 0.7
    torch.testing.assert_close(wide(images), narrow.eval()(images), rtol=1e-4, atol=1e-5)
    first = wide.get_parameter("contracting.0.0.weight")
    wide(images).square().sum().backward()
    assert torch.equal(first[:3], first[3:])  # twins, ...
    assert first.grad is not None and not torch.allclose(first.grad[:3], first.grad[3:])


def test_a_run_says_what_is_new(data: Path, plain: Path, tmp_path: Path, capsys: Any) -> None:
    settings = settings_of(
        network={"norm": None, "classes": ["ground", "disc"]},
        run={"init": str(plain / "best"), "steps": 1},
    )
    train(settings, data, tmp_path / "run")
    assert "New weights for the class ground." in capsys.readouterr().out


def test_thresholds_of_other_classes_are_not_taken_over(plain: Path, tmp_path: Path) -> None:
    tuned = UNet.from_pretrained(plain / "best", seed_threshold=0.9, thresholds=(0.3,))
    tuned.save_pretrained(tmp_path / "tuned")
    init = {"init": str(tmp_path / "tuned")}
    classes = ["background", "disc", "rod"]
    other = start_network(settings_of(network={"norm": None, "classes": classes}, run=init))
    assert other.network.thresholds is None and other.network.seed_threshold is None
    same = start_network(settings_of(network={"norm": None}, run=init))
    assert same.network.thresholds == (0.3,) and same.network.seed_threshold == 0.9
    with pytest.raises(ModelError, match="do not fit the network of the recipe"):
        start_network(settings_of(network={"norm": None, "depth": 2}, run=init))


# --- trackers ----------------------------------------------------------------------------------


def test_tensorboard_gets_every_figure(data: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "seen"
    train(settings_of(run={"tracker": "tensorboard"}), data, run)
    folders = {path.parent for path in (run / "logs").rglob("events*")}
    # The settings have an event file of their own, below that of the figures.
    events = EventAccumulator(str(min(folders, key=lambda path: len(path.parts))))
    events.Reload()
    line = log_of(run)[-1]
    for tag, value in (("loss", line["loss"]), ("seg", line["seg"])):
        scalars = events.Scalars(tag)
        assert [scalar.step for scalar in scalars] == [3, 6]
        assert scalars[-1].value == pytest.approx(value, rel=1e-5)
    assert "per_image/dice/disc" in events.Tags()["scalars"]


def test_a_tracker_that_is_not_there_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"run\.tracker is one of .*wandb.* not 'paper'"):
        train(settings_of(run={"tracker": "paper"}), data, tmp_path / "run")
    with pytest.raises(SettingsError, match="pip install swanlab"):
        train(settings_of(run={"tracker": "swanlab"}), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# --- multi-label, from folders to thresholds ---------------------------------------------------


def test_classes_that_overlap_from_folders_to_thresholds_and_run_lengths(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data", count=6)
    for name in ("bright", "right half"):
        (data / name).mkdir()
    for path in sorted((data / "label").iterdir()):
        discs = tifffile.imread(path) > 0
        tifffile.imwrite(data / "bright" / path.name, discs.astype(np.uint8) * 255)
        half = np.zeros_like(discs)
        half[:, 24:] = True
        half &= discs
        tifffile.imwrite(data / "right half" / path.name, half.astype(np.uint8) * 255)
    settings = settings_of(
        network={"classes": ["bright", "right half"], "multilabel": True},
        data={"kind": "multilabel", "holdout_every": 3},
        loss={"w0": 0.0, "name": "dice_cross_entropy"},
        run={"steps": 60, "validate_every": 30, "tune": True},
    )
    best = train(settings, data, tmp_path / "run")
    config = json.loads((best / "config.json").read_text())
    assert len(config["thresholds"]) == 2 and all(0 < t < 1 for t in config["thresholds"])
    result = UNet.from_pretrained(best).segment(data / "image" / "00.tif")
    assert result.mask.shape == (2, 48, 48) and result.mask[0].any()
    np.testing.assert_array_equal(
        result.mask, result.probabilities >= np.float32(config["thresholds"])[:, None, None]
    )
    result.save(tmp_path / "out")
    assert "bright" in (tmp_path / "out" / "rle.csv").read_text()


def test_a_variance_beyond_half_precision_is_kept() -> None:
    torch.manual_seed(0)
    network = UNet(base_channels=2, depth=1, norm="batch").eval()
    images = torch.randn(1, 1, 40, 40)
    norm = network.get_submodule("contracting.0.1")
    assert isinstance(norm, torch.nn.BatchNorm2d) and norm.running_var is not None
    norm.running_var.fill_(1e6)  # half precision ends at 65504
    norm.weight.data.fill_(1e3)
    expected = network(images)
    set_precision(network, torch.float16)
    state = network.state_dict()
    assert state["contracting.0.0.weight"].dtype == torch.float16
    assert torch.isfinite(state["contracting.0.1.running_var"]).all()
    torch.testing.assert_close(network.float()(images), expected, rtol=0.01, atol=0.01)


def test_half_precision_is_stored_and_measured(data: Path, plain: Path, tmp_path: Path) -> None:
    settings = settings_of(network={"norm": None, "dropout": 0.0}, run={"half": True})
    best = train(settings, data, tmp_path / "run")
    stored = load_file(best / "model.safetensors")
    whole = load_file(plain / "best" / "model.safetensors")
    assert all(torch.equal(stored[name], value.half()) for name, value in whole.items())
    metrics = json.loads((best / "metrics.json").read_text())["validation"]
    before = json.loads((plain / "metrics.json").read_text())["validation"]
    assert metrics["pixel_error"] == pytest.approx(before["pixel_error"], abs=0.01)
