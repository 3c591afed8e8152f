"""benchmarks/results.py: tables of our figures beside published ones."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

PUBLISHED = """
[datasets.discs]
title = "The disc challenge"
names = "disc|circle"
differs = ["Ours are rounder."]

[datasets.rings]
title = "Rings"
names = "rings"
differs = []

[sources.paper]
text = "A. Author: Discs. 2020"
link = "https://example.org/discs"

[sources.other]
text = "B. Author: Rings. 2021"
link = "https://example.org/rings"

[[published]]
dataset = "rings"
who = "RingNet"
source = "other"
figures = { seg = 0.7 }

[[published]]
dataset = "discs"
who = "DiscNet"
source = "paper"
train_images = 30
test_images = "9 hidden"
parameters = "31 M"
note = "by night"
figures = { pixel_error = 0.05, warping_error = 0.000005 }
"""


@pytest.fixture(scope="module")
def results() -> ModuleType:
    spec = importlib.util.spec_from_file_location("results", BENCHMARKS / "results.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["results"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def metrics_of(name: str, **validation: Any) -> dict[str, Any]:
    return {
        "parameters": 1234567,
        "data": {"name": name, "train_images": 20, "validation_images": 4},
        "training": {
            "hours": 0.25,
            "machine": "a GPU",
            "before": [
                {"hours": 1.0, "machine": "2 CPU cores"},
                {"hours": 1.0, "machine": "a GPU"},
            ],
        },
        "validation": {
            "per_image": {"dice": {"disc": 0.9, "a/b": None}, "iou": {"disc": 0.8, "a/b": None}}
        }
        | validation,
    }


def published(results: ModuleType, folder: Path, text: str = PUBLISHED) -> Any:
    (folder / "published.toml").write_text(text, encoding="utf-8")
    return results.read_published(folder / "published.toml")


def cells(text: str, first: str) -> list[str]:
    """The cells of the line of a table whose first cell is this, the first left out."""
    (line,) = [one for one in text.splitlines() if one.startswith(f"| {first} |")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_our_figures_stand_before_the_published_ones(results: ModuleType, tmp_path: Path) -> None:
    models = {"small": metrics_of("Circles (2024)", pixel_error=0.0461234)}
    text = results.render(models, published(results, tmp_path))
    header = ["images trained on / scored on", "parameters", "training"]
    header += ["pixel error ↓", "warping error ↓"]
    assert f"|  | {' | '.join(header)} |" in text
    assert cells(text, "**small**") == [
        "20 / 4",
        "1,234,567",
        "2.25 h on 2 CPU cores and a GPU",
        "0.0461",
        "-",
    ]
    assert cells(text, "DiscNet, by night [1]") == [
        "30 / 9 hidden",
        "31 M",
        "-",
        "0.0500",
        "0.000005",
    ]
    assert text.index("**small**") < text.index("DiscNet")
    assert "## The disc challenge" in text and "- Ours are rounder." in text
    assert "[1] A. Author: Discs. 2020. <https://example.org/discs>" in text
    # Of a dataset that none of ours is of, nothing is shown, its source neither.
    assert "RingNet" not in text and "B. Author" not in text


def test_each_look_has_a_row_of_its_own(results: ModuleType, tmp_path: Path) -> None:
    looks = {"color": {"images": 1, "seg": 0.25}, "dark": {"images": 3, "seg": 0.75}}
    models = {"m": metrics_of("stars", seg=0.5, looks=looks)}
    text = results.render(models, published(results, tmp_path))
    assert cells(text, "**m**")[3:] == ["0.5000"]
    assert cells(text, "**m**, the coloured images alone")[3:] == ["0.2500"]
    assert cells(text, "**m**, the dark images alone")[0] == "20 / 3"
    looks.pop("color")
    alike = {"m": metrics_of("stars", seg=0.5, looks=looks)}
    assert "alone" not in results.render(alike, published(results, tmp_path))


def test_models_of_one_dataset_share_a_table(results: ModuleType, tmp_path: Path) -> None:
    models = {
        "one": metrics_of("disc", seg=0.5),
        "alone": metrics_of("stars", seg=0.25),
        "two": metrics_of("DISCS", pixel_error=0.5),
    }
    text = results.render(models, published(results, tmp_path))
    discs, stars = text.split("## stars")
    assert "**one**" in discs and "**two**" in discs and "**alone**" not in discs
    assert cells(discs, "**one**")[3:] == ["-", "-", "0.5000"]
    assert cells(discs, "**two**")[3:] == ["0.5000", "-", "-"]
    # Data that nobody published on has a table of its own, without their columns.
    assert cells(stars, "**alone**")[3:] == ["0.2500"]
    assert "DiscNet" not in stars


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        ({"seg": 0.8}, "0.8000"),
        ({"seg": {"value": 0.8}}, "0.8000"),
        ({"seg": {"value": 0.8, "low": 0.7, "high": 0.9}}, "0.8000 (0.700 to 0.900)"),
        ({"seg": 0.8, "intervals": {"seg": [0.7, 0.9]}}, "0.8000 (0.700 to 0.900)"),
        ({"seg": 0.8, "intervals": {"seg": [0.7, None]}}, "0.8000"),
        ({"seg": 0.8, "intervals": {"seg": [float("nan"), float("nan")]}}, "0.8000"),
        ({"seg": 0.00123456, "intervals": {"seg": [0, 0.000234567]}}, "0.0012 (0.000 to 0.000235)"),
    ],
)
def test_a_figure_is_a_number_or_an_interval(
    results: ModuleType, tmp_path: Path, validation: dict[str, Any], expected: str
) -> None:
    text = results.render({"m": metrics_of("stars", **validation)}, published(results, tmp_path))
    assert cells(text, "**m**")[3:] == [expected]


@pytest.mark.parametrize("value", [None, float("nan"), True, "0.8", {"low": 0.7}, [0.8]])
def test_what_is_no_figure_is_left_out(results: ModuleType, tmp_path: Path, value: object) -> None:
    text = results.render({"m": metrics_of("stars", seg=value)}, published(results, tmp_path))
    assert cells(text, "**m**")[3:] == []


def test_a_figure_is_taken_from_the_first_place_that_has_it(results: ModuleType) -> None:
    def figures(**validation: Any) -> dict[str, float]:
        row = results.own_row("m", metrics_of("stars", **validation))
        return {name: figure.value for name, figure in row.figures.items()}

    membranes = {
        "pixel_error": 0.3,
        "rand_error": 0.4,  # 1 - the Rand index, which the challenge's Rand error is not
        "warping_error": 0.001,
        "v_rand_thinned": 0.9,
        "best": {
            "pixel_error": {"value": 0.1, "threshold": 0.4},
            "v_rand_thinned": {"value": 0.95, "threshold": 0.6},
        },
    }
    assert figures(pixel_error=0.2, membranes=membranes) == {
        "pixel_error": 0.1,
        "warping_error": 0.001,
        "v_rand": 0.95,
    }
    assert figures(pixel_error=0.2, membranes={}) == {"pixel_error": 0.2}
    assert figures(average_precision_50=0.7) == {"ap_50": 0.7}
    assert figures(average_precision_50=0.7, average_precision={"0.5": 0.6, "0.9": 0.0}) == {
        "ap_50": 0.6,
        "ap_90": 0.0,
    }


def test_overlap_of_each_class(results: ModuleType, tmp_path: Path) -> None:
    intervals = {"per_image": {"dice": {"disc": [0.85, 0.95]}}}
    text = results.render(
        {"m": metrics_of("stars", intervals=intervals)}, published(results, tmp_path)
    )
    assert "| m | disc | 0.9000 (0.850 to 0.950) | 0.8000 |" in text
    assert "| m | a/b | - | - |" in text


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ('dataset = "rings"', 'dataset = "squares"', "the dataset 'squares' for 'RingNet'"),
        ('source = "other"', 'source = "hearsay"', "the source 'hearsay' for 'RingNet'"),
        ("seg = 0.7", "sge = 0.7", "the figure 'sge' for 'RingNet'; known are pixel_error, "),
    ],
)
def test_a_published_row_that_names_nothing_known_is_refused(
    results: ModuleType, tmp_path: Path, before: str, after: str, sentence: str
) -> None:
    with pytest.raises(results.ResultsError, match=sentence):
        published(results, tmp_path, PUBLISHED.replace(before, after))


@pytest.mark.parametrize("content", ["{", "[]", '{"data": {}, "training": {}}', '{"data": 1}'])
def test_metrics_without_what_is_shown_are_refused(
    results: ModuleType, tmp_path: Path, content: str
) -> None:
    (tmp_path / "metrics.json").write_text(content, encoding="utf-8")
    with pytest.raises(results.ResultsError, match=f"metrics.json of {tmp_path.name} is no JSON"):
        results.read_metrics(tmp_path)


def test_the_command_writes_what_it_finds(
    results: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("good", "unfinished"):
        (tmp_path / name).mkdir()
    metrics = metrics_of("Data Science Bowl 2018 (BBBC038)", average_precision={"0.5": 0.75})
    (tmp_path / "good" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    folders = [str(tmp_path / "good"), str(tmp_path / "unfinished")]
    results.main([*folders, "--output", str(tmp_path / "RESULTS.md")])
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert cells(text, "**good**")[3:] == ["0.7500", "-", "-", "-", "-"]
    # From Schmidt et al. 2018, table 1.
    assert cells(text, "Mask R-CNN [1]")[3:] == ["0.8323", "0.7728", "0.6838", "0.4893", "0.1891"]
    assert "unfinished has no metrics.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("names", "sentence"),
    [(["a/x", "b/x"], "Two folders are named x"), (["c"], "nothing to write")],
)
def test_the_command_refuses_what_it_cannot_tell_apart(
    results: ModuleType, tmp_path: Path, names: list[str], sentence: str
) -> None:
    for name in ("a/x", "b/x", "c"):
        (tmp_path / name).mkdir(parents=True)
        if name != "c":
            (tmp_path / name / "metrics.json").write_text(json.dumps(metrics_of("stars")), "utf-8")
    output = tmp_path / "RESULTS.md"
    with pytest.raises(SystemExit, match=sentence):
        results.main([*(str(tmp_path / name) for name in names), "--output", str(output)])
    assert not output.exists()


def test_the_figures_of_the_paper(results: ModuleType) -> None:
    found = results.read_published(BENCHMARKS / "published.toml")
    unet = [row for row in found.rows if row["who"] == "U-Net"]
    assert {row["dataset"]: dict(row["figures"]) for row in unet} == {
        "isbi2012": {"warping_error": 0.000353, "rand_error": 0.0382, "pixel_error": 0.0611},
        "phc-u373": {"seg": 0.9203},
        "dic-hela": {"seg": 0.7756},
    }
    assert all(source["link"].startswith("https://") for source in found.sources.values())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ISBI 2012 EM segmentation challenge", "isbi2012"),
        ("Cell Tracking Challenge PhC-C2DH-U373", "phc-u373"),
        ("DIC-C2DH-HeLa", "dic-hela"),
        ("Data Science Bowl 2018 (BBBC038), with community fixes", "dsb2018"),
        ("My own cells", None),
    ],
)
def test_data_is_recognised_by_its_name(results: ModuleType, name: str, key: str | None) -> None:
    assert results.read_published(BENCHMARKS / "published.toml").dataset_of(name) == key
