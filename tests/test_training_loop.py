"""Training end to end, with tiny networks on discs that the test draws."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from discs import draw_discs, make_data
from safetensors.torch import load_file

from hf_unet import ImageError, LabelError, ModelError, UNet
from hf_unet.cards.card import card_of
from hf_unet.repositories.sample_tile import DRAWN, read_sample
from hf_unet.training import loop, run_folder
from hf_unet.training.checks import check_data
from hf_unet.training.datasets import find_pairs
from hf_unet.training.evaluation import evaluate
from hf_unet.training.figures import kept_out
from hf_unet.training.loop import DivergedError, train
from hf_unet.training.pairs import DataError
from hf_unet.training.settings import DataSettings, Settings, SettingsError, settings_from
from hf_unet.training.splits import hold_out
from hf_unet.training.starting import start_network
from hf_unet.verification import verify_repository

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small to share out
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("loop") / "data", count=8)


def settings_of(**changes: Any) -> Settings:
    """A tiny run; changes are ``section={key: value}``."""
    table: dict[str, dict[str, Any]] = {
        "network": {
            "classes": ["background", "disc"],
            "base_channels": 4,
            "depth": 1,
            "norm": "batch",
            "dropout": 0.1,
        },
        "data": {"kind": "instances", "holdout_every": 4, "name": "Discs", "terms": "none"},
        "augmentation": {"elastic_sigma": 1.0},
        "loss": {"w0": 2.0, "sigma": 2.0, "class_weights": [1, 1]},
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
        "run": {
            "steps": 6,
            "batch": 2,
            "output": 32,
            "validate_every": 3,
            "precision": "fp32",
            "workers": 0,
            "tracker": "",
        },
    }
    for section, values in changes.items():
        table.setdefault(section, {}).update(values)
    return settings_from(table)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights_of(one), weights_of(other)
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# --- a whole run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "discs"
    settings = settings_of(
        run={"steps": 60, "validate_every": 20, "tracker": "tensorboard"},
        optimizer={"warmup": 5, "cosine": True, "clip": 1.0},
        card={"license": "cc0-1.0", "summary": "Finds discs.", "limits": "Discs only."},
    )
    assert train(settings, data, run) == run / "best"
    return run


def test_the_loss_falls_and_discs_are_found(finished: Path) -> None:
    log = log_of(finished)
    assert [line["step"] for line in log] == [20, 40, 60]
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["validation"]["per_image"]["dice"]["disc"] > 0.8
    assert metrics["validation"]["images"] == 2
    assert log[-1]["learning_rate"] < 0.1 * log[0]["learning_rate"]  # the cosine's end


def test_a_run_folder_holds_all_of_it(finished: Path, data: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "settings.json",
        "split.json",
        "log.jsonl",
        "curves.png",
        "logs",
        "samples.png",
        "checkpoint",
        "best",
        "last",
        "metrics.json",
    }
    best = {path.name for path in (finished / "best").iterdir()}
    assert best == {
        "config.json",
        "model.safetensors",
        "metrics.json",
        "README.md",
        "sample.safetensors",
        "settings.json",
    }
    split = json.loads((finished / "split.json").read_text())
    assert split["validation"] == ["00", "04"]
    assert len(split["train"]) == 6 and not set(split["train"]) & set(split["validation"])


def test_the_figures_are_those_of_the_best_checkpoint(finished: Path, data: Path) -> None:
    model = UNet.from_pretrained(finished / "best")
    settings = settings_of()
    split = hold_out(find_pairs(data, settings.data, model.classes), settings.data)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["validation"] == evaluate(model, split.validation).summary(intervals=True)
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())
    assert metrics["data"]["train_images"] == 6 and metrics["data"]["validation_images"] == 2
    best = max(log_of(finished), key=lambda line: line["per_image"]["dice"]["disc"])
    assert metrics["training"]["best_step"] == best["step"]
    assert (finished / "best" / "metrics.json").read_bytes() == (
        finished / "metrics.json"
    ).read_bytes()


def test_a_run_ends_with_a_repository_that_holds_what_it_says(finished: Path) -> None:
    verification = verify_repository(finished / "best")
    assert verification.holds, verification.faults
    assert read_sample(finished / "best").source == DRAWN


def test_the_card_shows_the_figures(finished: Path) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    card = (finished / "best" / "README.md").read_text()
    assert f"{metrics['validation']['per_image']['dice']['disc']:.4f}" in card
    assert f"{metrics['validation']['pixel_error']:.4f}" in card
    assert f"{metrics['parameters']:,}" in card
    assert "6 images of: Discs. 2 more were kept out of training." in card
    assert "license: cc0-1.0" in card and "Finds discs." in card and "Discs only." in card
    assert "No figures" not in card
    assert str(finished.parent) not in card
    assert card == str(card_of(finished / "best", repo_id=f"path/to/{finished.name}"))


def test_a_card_of_no_words_says_unknown(data: Path, tmp_path: Path) -> None:
    train(settings_of(data={"name": "", "terms": ""}), data, tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["license"] == "unknown" and metrics["data"]["terms"] == "unknown"
    assert "background, disc" in metrics["summary"] and "Unknown" in metrics["limits"]
    assert "license: unknown" in (tmp_path / "run" / "best" / "README.md").read_text()


# --- stopping and going on ---------------------------------------------------------------------


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the run break off before it computes the loss of this step."""
    original = loop._finite

    def breaking(loss: torch.Tensor, now: int, batch_size: int) -> float:
        if now == step:
            raise KeyboardInterrupt
        return original(loss, now, batch_size)

    monkeypatch.setattr(loop, "_finite", breaking)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_resumed_run_ends_as_one_never_stopped(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    settings = settings_of(
        optimizer={"warmup": 2, "cosine": True, "ema": ema},
        network={"dropout": 0.5},
        run={"steps": 9},
    )
    train(settings, data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            train(settings, data, tmp_path / "cut")
    assert [line["step"] for line in log_of(tmp_path / "cut")] == [3]
    train(settings, data, tmp_path / "cut", resume=True)
    for name in ("last", "best"):
        assert same_weights(tmp_path / "whole" / name, tmp_path / "cut" / name)
    times = ("seconds",)
    for one, other in zip(log_of(tmp_path / "whole"), log_of(tmp_path / "cut"), strict=True):
        assert {k: v for k, v in one.items() if k not in times} == {
            k: v for k, v in other.items() if k not in times
        }


def test_a_log_whose_last_line_is_cut_short_does_no_harm(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(settings_of(), data, run)
    with open(run / "log.jsonl", "a") as log:
        log.write('{"step": 9, "lo')
    train(settings_of(run={"steps": 9}), data, run, resume=True)
    assert [line["step"] for line in log_of(run)] == [3, 6, 9]


def test_a_run_stopped_before_its_first_checkpoint_logs_each_step_once(
    data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(settings_of(), data, run)
    shutil.rmtree(run / "checkpoint")
    train(settings_of(), data, run, resume=True)
    assert [line["step"] for line in log_of(run)] == [3, 6]


@pytest.mark.parametrize("stage", ["old alone", "old and partial", "partial beside"])
def test_a_run_stopped_while_it_exchanged_checkpoints_goes_on(
    data: Path, tmp_path: Path, stage: str
) -> None:
    run = tmp_path / "run"
    train(settings_of(), data, run)
    expected = weights_of(run / "last")
    checkpoint = run / "checkpoint"
    if stage != "partial beside":
        checkpoint.rename(run / "checkpoint.old")
    if stage != "old alone":
        (run / "checkpoint.partial").mkdir()
        (run / "checkpoint.partial" / "model.safetensors").write_bytes(b"cut sho")
    (run / "metrics.json").unlink()
    with pytest.raises(FileExistsError):
        train(settings_of(), data, run)
    train(settings_of(run={"steps": 9}), data, run, resume=True)
    assert [line["step"] for line in log_of(run)] == [3, 6, 9]
    assert {path.name for path in run.glob("checkpoint*")} == {"checkpoint"}
    moved = weights_of(run / "last")
    assert any(not torch.equal(expected[name], moved[name]) for name in expected)


def test_a_checkpoint_is_exchanged_so_that_one_is_always_whole(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(settings_of(), data, run)
    original, calls = os.replace, []

    def failing(source: Any, target: Any) -> None:
        if Path(target).name == "checkpoint":
            calls.append(Path(source).name)
            raise OSError("the power fails between the two")
        original(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder.os, "replace", failing)
        with pytest.raises(OSError, match="power"):
            train(settings_of(run={"steps": 9}), data, run, resume=True)
    assert calls == ["checkpoint.partial"] and not (run / "checkpoint").exists()
    train(settings_of(run={"steps": 9}), data, run, resume=True)
    assert [line["step"] for line in log_of(run)] == [3, 6, 9]
    assert (run / "checkpoint").is_dir()


def test_a_finished_run_resumed_only_scores_again(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "discs"
    shutil.copytree(finished, run)
    (run / "metrics.json").unlink()
    settings = settings_from(json.loads((run / "settings.json").read_text()))
    train(settings, data, run, resume=True)
    again, before = (json.loads((f / "metrics.json").read_text()) for f in (run, finished))
    assert again["validation"] == before["validation"]
    assert same_weights(run / "last", finished / "last")


def one_more(data: Path, folder: Path, name: str) -> Path:
    """A copy of the data with one image more, so that a split drawn anew is another."""
    shutil.copytree(data, folder)
    for kind in ("image", "label"):
        shutil.copy(folder / kind / "00.tif", folder / kind / f"{name}.tif")
    return folder


def test_a_resumed_run_keeps_its_split(
    finished: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "discs"
    shutil.copytree(finished, run)
    before = (run / "split.json").read_bytes()
    train(settings_of(), one_more(data, tmp_path / "more", "000"), run, resume=True)
    assert (run / "split.json").read_bytes() == before
    assert "The split does not name 1 of the data's pictures (000)" in capsys.readouterr().out
    (tmp_path / "more" / "image" / "03.tif").unlink()
    (tmp_path / "more" / "label" / "03.tif").unlink()
    with pytest.raises(DataError, match=r"split\.json names 03, which is not in the data"):
        train(settings_of(), tmp_path / "more", run, resume=True)


def test_a_model_is_scored_on_what_its_run_kept_out(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    more = one_more(data, tmp_path / "more", "000")
    model = UNet.from_pretrained(finished / "best")
    pairs, trained_on = kept_out(model, settings_of().data, more)
    assert [pair.name for pair in pairs] == ["00", "04"] and trained_on == 6
    anew, _ = kept_out(model, settings_of().data, more, anew=True)
    assert [pair.name for pair in anew] == ["00", "03", "07"]
    assert not (finished / "best" / "split.json").exists()  # names may be those of patients


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"base_channels": 8}}, "other settings of its network"),
        ({"optimizer": {"name": "sgd"}}, "other settings of its optimizer"),
        ({"optimizer": {"ema": 0.9}}, "other settings of its optimizer"),
        ({"data": {"holdout_every": 2}}, "other settings of its split"),
    ],
)
def test_a_run_is_not_resumed_as_another(
    finished: Path, data: Path, changes: dict[str, Any], words: str
) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    with pytest.raises(SettingsError, match=f"The run in discs was begun with {words}"):
        train(settings_of(**changes), data, finished, resume=True)
    assert before == {p.name: p.read_bytes() for p in finished.iterdir() if p.is_file()}


def test_a_run_is_not_overwritten(finished: Path, data: Path) -> None:
    before = (finished / "log.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match=r"discs holds a run already\. Use --resume"):
        train(settings_of(), data, finished)
    assert (finished / "log.jsonl").read_bytes() == before


# --- what is refused before the first step -----------------------------------------------------


def refused(data: Path, run: Path, settings: Settings, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        train(settings, data, run)
    assert not run.exists()
    assert str(data.parent) not in str(caught.value)


@pytest.mark.parametrize("number", [0, 1], ids=["kept out", "trained on"])
def test_a_label_of_another_size_is_refused(tmp_path: Path, number: int) -> None:
    data = make_data(tmp_path / "data")
    path = data / "label" / f"{number:02}.tif"
    tifffile.imwrite(path, tifffile.imread(path)[:40])
    refused(data, tmp_path / "run", settings_of(), LabelError, f"{path.name} is 48 x 40")


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    data, run = make_data(tmp_path / "data"), tmp_path / "run"
    (data / "image" / "03.tif").write_bytes(b"nothing of the kind")
    refused(data, run, settings_of(), ImageError, "03.tif")
    (data / "image" / "03.tif").unlink()
    train(settings_of(), data, run)  # a label too many does no harm
    shutil.rmtree(run)
    (data / "label" / "02.tif").unlink()
    (data / "label" / "05.tif").unlink()
    refused(data, run, settings_of(), DataError, "2 of 7 images in image have no label.*02.tif")
    shutil.rmtree(data / "label")
    refused(data, run, settings_of(), DataError, "no folder labels, label, .* in data")


def test_nothing_to_learn_is_refused(tmp_path: Path) -> None:
    data, run = make_data(tmp_path / "data"), tmp_path / "run"
    for path in (data / "label").iterdir():
        tifffile.imwrite(path, np.zeros((48, 48), np.uint16))
    refused(data, run, settings_of(), DataError, "nothing to learn")
    (data / "image" / "00.png").write_bytes((data / "image" / "00.tif").read_bytes())
    refused(data, run, settings_of(), DataError, "00.png and 00.tif")


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"network": {"base": 4}}, SettingsError, "'base'"),
        ({"network": {"base_channels": 0}}, ModelError, "base_channels"),
        ({"loss": {"name": "tversky"}}, SettingsError, "tversky"),
        ({"loss": {"class_weights": [1, 2, 3]}}, SettingsError, "3 numbers for 2 classes"),
        ({"data": {"holdout_first": 20}}, DataError, "0 would be kept out"),
        ({"data": {"holdout_every": 1}}, DataError, "Of 8 pairs, 8 would be kept out"),
        (
            {"data": {"kind": "classes"}, "run": {"keep": "average_precision"}},
            (DataError, LabelError),
            "average_precision|class",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    data: Path, tmp_path: Path, changes: dict[str, Any], kind: Any, words: str
) -> None:
    refused(data, tmp_path / "run", settings_of(**changes), kind, words)


def test_a_run_says_what_its_split_does_not_name(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "split.json"
    path.write_text('{"train": ["00", "01"], "validation": ["02"]}')
    settings = settings_of(data={"split": str(path)}, run={"steps": 1, "validate_every": 1})
    train(settings, data, tmp_path / "run")
    shown = capsys.readouterr().out
    assert "The split does not name 5 of the data's pictures (03, 04, 05, ...): they are" in shown
    assert json.loads((tmp_path / "run" / "split.json").read_text())["train"] == ["00", "01"]


def test_average_precision_needs_instances(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    for path in (data / "label").iterdir():
        tifffile.imwrite(path, (tifffile.imread(path) > 0).astype(np.uint8))
    settings = settings_of(data={"kind": "classes"}, run={"keep": "average_precision"})
    refused(data, tmp_path / "run", settings, DataError, "needs labels that are instances")


@pytest.mark.parametrize("keep", ["average_precision", "seg"])
def test_figures_of_objects_need_objects_that_are_kept_out(tmp_path: Path, keep: str) -> None:
    data = make_data(tmp_path / "data")
    for name in ("00", "04"):
        path = data / "label" / f"{name}.tif"
        tifffile.imwrite(path, np.zeros_like(tifffile.imread(path)))
    words = "with objects among those that are kept out of training, and there is none"
    refused(data, tmp_path / "run", settings_of(run={"keep": keep}), DataError, words)


def test_average_precision_needs_a_picture_annotated_in_full(data: Path, tmp_path: Path) -> None:
    settings = settings_of(
        data={"partial": ["00", "04"]}, run={"keep": "average_precision", "steps": 1}
    )
    words = "a picture annotated in full with objects among those that are kept out"
    refused(data, tmp_path / "run", settings, DataError, words)


def test_a_kept_out_image_of_other_channels_is_named(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    path = data / "image" / "04.tif"
    five = np.stack([tifffile.imread(path)] * 5, axis=-1)
    tifffile.imwrite(path, five, photometric="minisblack", planarconfig="contig")
    words = "^04: The image has 5 channels and the model takes 1"
    refused(data, tmp_path / "run", settings_of(), ImageError, words)
    check = check_data(data, settings_of().data, ("background", "disc"))
    assert [finding.sentence for finding in check.findings if finding.wrong] == [
        "The images have different numbers of channels: 1 (00.tif), 5 (04.tif). A network takes "
        "one number, so save them alike."
    ]


def test_a_kept_out_frame_of_which_nothing_is_known_is_named(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    path = data / "label" / "04.tif"
    tifffile.imwrite(path, np.zeros_like(tifffile.imread(path)))
    settings = settings_of(data={"partial": ["04"]})
    words = "04 is annotated in part and holds no object, so nothing of it is known"
    refused(data, tmp_path / "run", settings, DataError, words)
    check = check_data(data, settings.data, ("background", "disc"))
    assert any(
        finding.wrong and "nothing of it is known" in finding.sentence for finding in check.findings
    )


def test_a_loss_that_is_no_number_stops_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = loop.choose_loss

    def broken(name: str, **options: Any) -> Any:
        right, calls = original(name, **options), []

        def loss(logits: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> Any:
            calls.append(1)
            value = right(logits, target, weights)
            return value * float("nan") if len(calls) == 3 else value

        return loss

    monkeypatch.setattr(loop, "choose_loss", broken)
    with pytest.raises(
        DivergedError, match=r"nan at step 3, in the draws 4 to 5 from 0\d.*\. Lower"
    ):
        train(settings_of(run={"validate_every": 2}), data, tmp_path / "run")
    assert [line["step"] for line in log_of(tmp_path / "run")] == [2]


# --- kinds of network --------------------------------------------------------------------------


def test_one_class_with_a_sigmoid_trains(data: Path, tmp_path: Path) -> None:
    settings = settings_of(
        network={"classes": ["disc"], "padding": "same"},
        run={"steps": 60, "validate_every": 60},
        loss={"name": "dice_cross_entropy"},
    )
    best = train(settings, data, tmp_path / "run")
    metrics = json.loads((best / "metrics.json").read_text())
    assert metrics["validation"]["per_image"]["dice"].keys() == {"background", "disc"}
    assert metrics["validation"]["per_image"]["dice"]["disc"] > 0.8


def test_classes_that_overlap_train(tmp_path: Path) -> None:
    data, random = tmp_path / "data", np.random.default_rng(0)
    for name in ("image", "label"):
        (data / name).mkdir(parents=True)
    for number in range(4):
        image, instances = draw_discs(random)
        disc = instances > 0
        stack = np.stack([disc, disc & (np.arange(48) < 24)]).astype(np.uint8) * 255
        tifffile.imwrite(data / "image" / f"{number}.tif", image)
        tifffile.imwrite(data / "label" / f"{number}.tif", stack, photometric="minisblack")
    settings = settings_of(
        network={"classes": ["disc", "left"], "multilabel": True},
        data={"kind": "multilabel"},
        augmentation={"flip": "none", "rotate": False},
        loss={"w0": 0.0, "class_weights": []},
        run={"steps": 40, "validate_every": 40},
    )
    best = train(settings, data, tmp_path / "run")
    metrics = json.loads((best / "metrics.json").read_text())
    assert metrics["validation"]["per_image"]["dice"]["disc"] > 0.8
    assert UNet.from_pretrained(best).multilabel


def test_three_classes_train_and_the_pixel_error_tells_them_apart(tmp_path: Path) -> None:
    data, random = tmp_path / "data", np.random.default_rng(0)
    for name in ("image", "label"):
        (data / name).mkdir(parents=True)
    for number in range(4):
        image, instances = draw_discs(random)
        classes = np.where(instances > 2, 2, np.minimum(instances, 1)).astype(np.uint8)
        image = (image * (1 - 0.4 * (classes == 2))).astype(np.uint8)
        tifffile.imwrite(data / "image" / f"{number}.tif", image)
        tifffile.imwrite(data / "label" / f"{number}.tif", classes)
    settings = settings_of(
        network={"classes": ["background", "rod", "cone"]},
        data={"kind": "classes"},
        loss={"class_weights": []},
        run={"steps": 4, "keep": "pixel_error"},
    )
    best = train(settings, data, tmp_path / "run")
    model = UNet.from_pretrained(best)
    pairs = find_pairs(data, settings.data, model.classes)[:1]
    expected = (model.segment(pairs[0].image).mask != pairs[0].labels.class_map()).mean()
    assert evaluate(model, pairs).summary()["pixel_error"] == pytest.approx(float(expected))
    assert "average_precision_50" not in evaluate(model, pairs).summary()


def test_figures_by_which_the_best_is_chosen(data: Path) -> None:
    model = UNet(classes=("background", "disc"), base_channels=2, depth=1)
    settings = DataSettings(kind="instances")
    result = evaluate(model, find_pairs(data, settings, model.classes)[:2])
    summary = result.summary()
    assert result.figure("dice") == pytest.approx(summary["per_image"]["dice"]["disc"])
    assert result.figure("pixel_error") == -summary["pixel_error"]
    assert result.figure("average_precision") == summary["average_precision_50"]
    empty = replace(
        result,
        images=tuple(
            replace(image, counts=type(image.counts)(*np.array([[9, 0], [0, 0], [0, 0]])))
            for image in result.images
        ),
    )
    assert empty.figure("dice") == 1.0  # no disc to find, and none found


# --- the scripts -------------------------------------------------------------------------------


@pytest.mark.slow
def test_accelerate_launches_the_script(data: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "tiny.toml", tmp_path / "run"
    recipe.write_text(
        '[network]\nclasses = ["background", "disc"]\nbase_channels = 2\ndepth = 1\n'
        '[data]\nkind = "instances"\n[run]\nsteps = 4\noutput = 32\nprecision = "fp32"\n'
    )
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command = ["train/train.py", "--recipe", recipe, "--data", data, "--output", run]
    result = subprocess.run(
        [sys.executable, *launch, *command, "--set", "run.steps=3"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "The best checkpoint is in" in result.stdout
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["training"]["steps"] == 3


def test_the_scripts_refuse_in_a_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from runpy import run_path

    for name, arguments, words in (
        ("train", ["--recipe", "no.toml", "--data", "d"], r"no\.toml cannot be opened"),
        ("train", ["--resume", "--output", str(tmp_path), "--data", "d"], r"settings\.json cannot"),
        ("evaluate", [str(tmp_path), "--data", "d"], r"holds no settings\.json .*--recipe"),
    ):
        main = run_path(str(ROOT / "train" / f"{name}.py"))["main"]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        assert main() == 1
        shown = capsys.readouterr().err
        assert re.search(words, shown) and shown.count("\n") == 1
    for name, arguments in (
        ("train", ["--data", "d"]),
        ("train", ["--data", "d", "--resume"]),
        ("evaluate", ["org/name", "--data", "d", "--update"]),
    ):
        main = run_path(str(ROOT / "train" / f"{name}.py"))["main"]
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2


def test_evaluate_updates_figures_and_card(
    finished: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from runpy import run_path

    model = tmp_path / "discs"
    shutil.copytree(finished / "best", model)
    (model / "README.md").unlink()
    metrics = json.loads((model / "metrics.json").read_text())
    stale = {key: value for key, value in metrics.items() if key not in ("license", "summary")}
    (model / "metrics.json").write_text(json.dumps(stale))
    main = run_path(str(ROOT / "train" / "evaluate.py"))["main"]
    arguments = [str(model), "--data", str(data), "--update"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
    assert main() == 0
    assert json.loads(capsys.readouterr().out) == metrics
    assert json.loads((model / "metrics.json").read_text()) == metrics
    assert "Finds discs." in (model / "README.md").read_text()
    assert verify_repository(model).holds
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments[:-1], "--all"])
    assert main() == 0
    assert json.loads(capsys.readouterr().out)["validation"]["images"] == 8


def test_a_model_is_calibrated_and_nothing_else_of_it_changes(
    finished: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from runpy import run_path

    model = shutil.copytree(finished / "best", tmp_path / "discs")
    names = ("config.json", "metrics.json", "model.safetensors")
    config, metrics, weights = ((model / name).read_bytes() for name in names)
    image = data / "image" / "00.tif"
    plain = UNet.from_pretrained(model).segment(image)
    assert plain.expected_dice is None
    assert "makes no estimate" in (model / "README.md").read_text()
    main = run_path(str(ROOT / "train" / "evaluate.py"))["main"]
    arguments = [str(model), "--data", str(data), "--calibrate"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments])
    assert main() == 0  # without --update nothing is kept
    assert (model / "config.json").read_bytes() == config
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *arguments, "--update"])
    assert main() == 0
    capsys.readouterr()
    assert (model / "model.safetensors").read_bytes() == weights
    calibrated = json.loads((model / "config.json").read_text())
    background, disc = calibrated.pop("calibration")
    assert disc[0] > 0 and background == pytest.approx([disc[0], -disc[1]], abs=0.05)
    assert json.loads(config) == calibrated | {"calibration": None}
    figures = json.loads((model / "metrics.json").read_text())
    estimate = figures["validation"].pop("expected_dice")
    assert figures == json.loads(metrics)
    scores = estimate["classes"]["disc"]
    assert scores["images"] == 2 and scores["mean_difference"] < 0.1
    assert scores["measured"] == pytest.approx(figures["validation"]["per_image"]["dice"]["disc"])
    assert f"{scores['mean_difference']:.3f} for disc" in (model / "README.md").read_text()
    assert verify_repository(model).holds  # the sample is made again, of the same drawing
    result = UNet.from_pretrained(model).segment(image)
    assert np.array_equal(result.mask, plain.mask) and result.expected_dice is not None


def test_a_run_starts_from_the_weights_of_another(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    first = shutil.copytree(finished / "best", tmp_path / "teacher")
    config = json.loads((first / "config.json").read_text())
    (first / "config.json").write_text(json.dumps(config | {"calibration": [[0.9, 0], None]}))
    network = settings_of(run={"init": str(first)})
    model = start_network(network).network
    assert model.training
    assert model.calibration is None  # it was that of the weights as they were
    expected = UNet.from_pretrained(first).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())

    best = train(settings_of(run={"init": str(first), "steps": 1}), data, tmp_path / "pupil")
    for name in ("settings.json", "metrics.json", "README.md"):
        assert str(tmp_path) not in (best / name).read_text(), name
    assert json.loads((best / "settings.json").read_text())["run"]["init"] == "teacher"
    training = json.loads((best / "metrics.json").read_text())["training"]
    before = json.loads((first / "metrics.json").read_text())["training"]
    assert training["init"] == "teacher"
    assert [run["steps"] for run in training["before"]] == [before["steps"]]
    assert "2 runs, each from the weights of the one before" in (best / "README.md").read_text()


@pytest.mark.parametrize(("share", "frozen"), [(0.0, True), (1.0, False)])
def test_frozen_batch_norm_keeps_its_statistics_and_learns_the_rest(
    finished: Path, data: Path, tmp_path: Path, share: float, frozen: bool
) -> None:
    teacher = finished / "best"
    run = {"init": str(teacher), "steps": 2, "freeze_norm": share}
    pupil = train(settings_of(run=run), data, tmp_path / "run")
    before, after = weights_of(teacher), weights_of(pupil)
    statistics = [name for name in before if "running" in name]
    assert len(statistics) == 12  # mean and variance of six norms
    assert all(torch.equal(before[name], after[name]) for name in statistics) == frozen
    assert not torch.equal(before["classifier.weight"], after["classifier.weight"])


def test_a_start_of_another_shape_is_refused_before_anything_is_written(
    finished: Path, data: Path, tmp_path: Path
) -> None:
    wider = settings_of(run={"init": str(finished / "best")}, network={"base_channels": 6})
    with pytest.raises(ModelError, match="shape"):
        train(wider, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_figures_say_that_overlap_tile_is_exact(finished: Path) -> None:
    seams = json.loads((finished / "metrics.json").read_text())["overlap_tile"]
    assert seams["largest_difference"] < 1e-5
    assert seams["changed_pixels"] == 0


@pytest.mark.parametrize("metrics", ["{}", "not JSON", '{"training": {"steps": 3}}'])
def test_a_start_whose_training_is_not_recorded_is_refused_before_the_first_step(
    finished: Path, data: Path, tmp_path: Path, metrics: str
) -> None:
    teacher = shutil.copytree(finished / "best", tmp_path / "teacher")
    (teacher / "metrics.json").write_text(metrics)
    with pytest.raises(SettingsError, match="teacher does not say how it was trained"):
        train(settings_of(run={"init": str(teacher)}), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (teacher / "metrics.json").unlink()
    assert run_folder.runs_before(str(teacher)) == []
