"""Recipes: what is written in one is what a run does, and what is wrong in one is named."""

import dataclasses
import json
from pathlib import Path

import pytest

from hf_unet.training.objective import LOSSES, choose_loss
from hf_unet.training.settings import Settings, SettingsError, read_settings, settings_from

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "train" / "recipes").glob("*.toml"))


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_each_recipe_makes_a_network_and_a_loss(recipe: Path) -> None:
    import torch

    from hf_unet.training.starting import start_network

    settings = read_settings(recipe)
    with torch.device("meta"):
        network = start_network(settings).network
    choose_loss(settings.loss.name, multilabel=network.multilabel, channels=len(network.classes))
    assert len(settings.loss.class_weights) in (0, len(network.classes))
    if recipe.stem == "my-images":  # a copy of it must not say what is another's
        assert settings.card.license == "unknown" and not settings.card.summary
        assert not settings.data.terms and not settings.data.citation
        return
    assert settings.card.license != "unknown" and settings.card.summary and settings.card.limits
    assert settings.card.license != "other" or settings.card.license_name
    assert settings.data.name and settings.data.terms and settings.data.citation


def test_the_recipes_that_are_promised_are_there() -> None:
    assert {path.stem for path in RECIPES} == {
        "chest-polygons",
        "dic-hela",
        "dic-hela-paper",
        "dsb2018-nuclei",
        "epfl",
        "isbi2012",
        "my-images",
        "isbi2012-paper",
        "phc-u373",
        "phc-u373-paper",
        "vnc-organelles",
    }


@pytest.mark.parametrize("name", ["isbi2012", "phc-u373", "dic-hela"])
def test_the_paper_s_recipe_is_the_paper(name: str) -> None:
    import torch

    from hf_unet.training.starting import start_network

    settings = read_settings(ROOT / "train" / "recipes" / f"{name}-paper.toml")
    with torch.device("meta"):
        network = start_network(settings).network
    assert sum(parameter.numel() for parameter in network.parameters()) == 31_030_658
    assert network.input_size(settings.run.output) == 572 and settings.run.output == 388
    assert (settings.run.batch, network.dropout, network.norm) == (1, 0.5, None)
    assert (settings.optimizer.name, settings.optimizer.momentum) == ("sgd", 0.99)
    assert (settings.loss.name, settings.loss.w0, settings.loss.sigma) == (
        "weighted_cross_entropy",
        10.0,
        5.0,
    )
    assert settings.loss.class_weights == ()  # 1 / frequency
    assert (settings.augmentation.elastic_sigma, settings.augmentation.elastic_grid) == (10.0, 3)
    assert network.classes[1] == "cell" and len(network.classes) == 2


def test_values_are_read_and_the_rest_is_default(tmp_path: Path) -> None:
    recipe = write(
        tmp_path,
        "[network]\nbase_channels = 8\n[run]\nsteps = 12\n"
        '[augmentation]\nscale = [0.5, 2]\nflip = "none"\n[optimizer]\nlearning_rate = 1\n',
    )
    settings = read_settings(recipe)
    assert settings.network == {"base_channels": 8}
    assert settings.run.steps == 12
    assert settings.augmentation.scale == (0.5, 2.0)
    assert settings.augmentation.flip == "none"
    assert isinstance(settings.optimizer.learning_rate, float)
    assert settings.run.batch == Settings().run.batch


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_saved_settings_read_back_equal(recipe: Path, tmp_path: Path) -> None:
    settings = read_settings(recipe, ["run.seed=7", "data.kind='classes'"])
    settings.save(tmp_path / "settings.json")
    assert read_settings(tmp_path / "settings.json") == settings
    assert settings.run.seed == 7


def test_every_setting_is_saved(tmp_path: Path) -> None:
    Settings().save(tmp_path / "settings.json")
    saved = json.loads((tmp_path / "settings.json").read_text())
    for section in dataclasses.fields(Settings):
        if section.name != "network":
            names = {field.name for field in dataclasses.fields(getattr(Settings(), section.name))}
            assert set(saved[section.name]) == names


def test_changes_are_applied_in_toml_s_notation(tmp_path: Path) -> None:
    recipe = write(tmp_path, "[run]\nsteps = 12\n")
    settings = read_settings(
        recipe,
        [
            "run.steps=2000",
            "loss.class_weights=[1, 3]",
            'optimizer.name="adamw"',
            "run.keep=pixel_error",
            "data.balance=true",
            "network.base_channels=4",
            "data.name=a = b",
        ],
    )
    assert settings.run.steps == 2000
    assert settings.loss.class_weights == (1.0, 3.0)
    assert settings.optimizer.name == "adamw"
    assert settings.run.keep == "pixel_error"
    assert settings.data.balance is True
    assert settings.network == {"base_channels": 4}
    assert settings.data.name == "a = b"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"runs": {}}, r"section \[runs\].*run"),
        ({"run": {"step": 1}}, "'step'.*steps"),
        ({"run": {"steps": "many"}}, "steps is a whole number, not 'many'"),
        ({"run": {"steps": 1.5}}, "steps is a whole number, not 1.5"),
        ({"run": {"steps": True}}, "steps is a whole number, not True"),
        ({"data": {"balance": 1}}, "balance is true or false, not 1"),
        ({"data": {"images": 3}}, "images is a text, not 3"),
        ({"data": {"kind": 3}}, "kind is a text, not 3"),
        ({"loss": {"w0": "10"}}, "w0 is a number, not '10'"),
        ({"loss": {"w0": float("nan")}}, "w0 is a number, not nan"),
        ({"loss": {"class_weights": 1}}, "class_weights is a list of numbers, not 1"),
        ({"loss": {"class_weights": ["a"]}}, "class_weights is a list of numbers"),
        ({"augmentation": {"scale": [1.0]}}, r"scale is a list of 2 numbers, not \[1.0\]"),
        ({"run": 3}, r"a value run; right is a section \[run\]"),
        ({"network": 3}, r"a value network; right is a section \[network\]"),
        ({"run": {"steps": 0}}, "run.steps is at least 1, not 0"),
        ({"run": {"workers": -1}}, "run.workers is at least 0, not -1"),
        ({"run": {"keep": "iou"}}, "run.keep is one of dice.*not 'iou'"),
        ({"run": {"precision": "int8"}}, "run.precision is one of auto"),
        ({"optimizer": {"name": "lion"}}, "optimizer.name is one of sgd, adamw, not 'lion'"),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate is above 0"),
        ({"optimizer": {"momentum": 1.0}}, "momentum are below 1"),
        ({"loss": {"sigma": 0}}, "loss.sigma is above 0"),
        ({"loss": {"class_weights": [1, -1]}}, "class_weights are numbers of at least 0"),
        ({"augmentation": {"scale": [2, 1]}}, "augmentation.scale"),
        ({"augmentation": {"invert": 2}}, "augmentation.invert is a probability"),
        ({"augmentation": {"elastic_grid": 1}}, "augmentation.elastic_grid is at least 2"),
        ({"data": {"holdout_every": 0}}, "data.holdout_every is at least 1"),
    ],
)
def test_what_does_not_fit_is_named(table: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings_from(table)


@pytest.mark.parametrize("change", ["steps=3", "run.steps", "run.steps=", "=3", "run.=3", ""])
def test_a_change_without_a_form_is_refused(change: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"section\.key=value"):
        read_settings(write(tmp_path, ""), [change])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("recipe.toml", b"[run\n", "recipe.toml cannot be read"),
        ("recipe.toml", b"\xff\xfe", "recipe.toml cannot be read"),
        ("settings.json", b"{", "settings.json cannot be read"),
        ("settings.json", b"[]", "settings.json is no table"),
        ("recipe.toml", None, "recipe.toml cannot be opened"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=words) as caught:
        read_settings(tmp_path / name)
    assert str(tmp_path) not in str(caught.value)


def test_an_unknown_argument_of_the_network_is_named() -> None:
    from hf_unet.training.starting import start_network

    with pytest.raises(SettingsError, match=r"\[network\] has a key 'base'; known.*base_channels"):
        start_network(settings_from({"network": {"base": 3}}))


@pytest.mark.parametrize("name", [*LOSSES, "tversky"])
def test_a_loss_is_chosen_by_name(name: str) -> None:
    import torch

    if name not in LOSSES:
        with pytest.raises(SettingsError, match=r"loss\.name is one of .*not 'tversky'"):
            choose_loss(name, multilabel=False, channels=2)
        return
    weights = torch.ones(1, 2, 2)
    target = torch.tensor([[[0, 1], [1, 0]]])
    right = torch.where(target == 1, 30.0, -30.0)
    softmax = choose_loss(name, multilabel=False, channels=2)
    sigmoid = choose_loss(name, multilabel=False, channels=1)
    several = choose_loss(name, multilabel=True, channels=2)
    planes = torch.stack([1 - target, target], dim=1)
    for loss, logits, truth in (
        (softmax, torch.stack([-right, right], 1), target),
        (sigmoid, right[:, None], target),
        (several, torch.stack([-right, right], 1), planes.float()),
    ):
        assert loss(logits, truth, weights).item() == pytest.approx(0, abs=1e-5)
        # One minus Dice is at most 1, and less by its smoothing; an energy has no bound.
        assert loss(-logits, truth, weights).item() > (0.7 if name == "dice" else 10)
