"""RESULTS.md from the metrics.json of models and runs, beside figures that others published.

    python benchmarks/results.py models/* runs/* [--output benchmarks/RESULTS.md]

Without folders: those in models/, and in benchmarks/runs/ the records of runs whose networks are
not bundled. Every figure of ours comes from a metrics.json, every other one
from published.toml, with its source and with what differs between the conditions. Intervals are
the 95 % bootstrap intervals over images that metrics.json holds.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
METRICS_FILE = "metrics.json"
NOTHING = "-"

Place = tuple[str, ...]

METRICS: dict[str, tuple[str, tuple[Place, ...]]] = {
    "pixel_error": (
        "pixel error ↓",
        (("membranes", "best", "pixel_error"), ("membranes", "pixel_error_best"), ("pixel_error",)),
    ),
    "rand_error": ("Rand error ↓", (("membranes", "best", "adapted_rand_error"),)),
    "warping_error": (
        "warping error ↓",
        (("membranes", "best", "warping_error"), ("membranes", "warping_error")),
    ),
    "v_rand": (
        "V_rand ↑",
        (("membranes", "best", "v_rand_thinned"), ("membranes", "v_rand_thinned")),
    ),
    "v_info": (
        "V_info ↑",
        (("membranes", "best", "v_info_thinned"), ("membranes", "v_info_thinned")),
    ),
    "seg": ("SEG ↑", (("seg",),)),
    "ap_50": ("AP 0.5 ↑", (("average_precision", "0.5"), ("average_precision_50",))),
    "ap_60": ("AP 0.6 ↑", (("average_precision", "0.6"),)),
    "ap_70": ("AP 0.7 ↑", (("average_precision", "0.7"),)),
    "ap_80": ("AP 0.8 ↑", (("average_precision", "0.8"),)),
    "ap_90": ("AP 0.9 ↑", (("average_precision", "0.9"),)),
}
"""Title of a figure, and its places in ``validation``, of which the first that has it counts.

The challenge's Rand error is 1 - the F-score, here ``adapted_rand_error``. ``rand_error`` is 1 -
the Rand index, which is another figure, so it is not looked for.
"""


class ResultsError(ValueError):
    """A file does not hold what it should; the message names it."""


class Figure(NamedTuple):
    value: float
    low: float = math.nan
    high: float = math.nan


class Row(NamedTuple):
    """A line of a comparison: a model of ours, or what somebody published."""

    who: str
    images: str
    parameters: str
    training: str
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Published:
    """What published.toml holds."""

    datasets: Mapping[str, Mapping[str, Any]]
    sources: Mapping[str, Mapping[str, str]]
    rows: Sequence[Mapping[str, Any]]

    def dataset_of(self, name: str) -> str | None:
        """Key of the dataset that data of this name is of."""
        for key, dataset in self.datasets.items():
            if re.search(dataset["names"], name, re.IGNORECASE):
                return key
        return None


def figure_at(validation: Mapping[str, Any], place: Place) -> Figure | None:
    """The figure at a place such as ("per_image", "dice", "cell"); None where there is none.

    It is a number, or an object with a "value" and perhaps "low" and "high". Else its interval is
    a pair at the same place in "intervals".
    """
    found = _follow(validation, place)
    interval = _follow(validation, ("intervals", *place))
    if isinstance(found, Mapping):
        interval = [found["low"], found["high"]] if {"low", "high"} <= found.keys() else interval
        found = found.get("value")
    if not _is_number(found):
        return None
    if isinstance(interval, list) and len(interval) == 2 and all(map(_is_number, interval)):
        return Figure(float(found), float(interval[0]), float(interval[1]))
    return Figure(float(found))


def _follow(tree: Any, place: Place) -> Any:
    for key in place:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _is_number(value: Any) -> bool:
    finite = isinstance(value, (int, float)) and math.isfinite(value)
    return finite and not isinstance(value, bool)


def read_metrics(folder: Path) -> dict[str, Any]:
    """The metrics.json of a model or a run.

    Raises
    ------
    ResultsError
        If it is no JSON object, or lacks a part that the tables are made of.
    """
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        whole = all(isinstance(metrics[key], dict) for key in ("data", "training", "validation"))
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise ResultsError(
            f"The {METRICS_FILE} of {folder.name} is no JSON object with data, training and "
            "validation. Score it anew with train/evaluate.py, or leave it out."
        )
    return metrics


def read_published(path: Path) -> Published:
    """Read published.toml.

    Raises
    ------
    ResultsError
        If a row names a dataset, a source or a figure that is explained nowhere.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    published = Published(content["datasets"], content["sources"], content["published"])
    for row in published.rows:
        for kind, names, known in (
            ("dataset", [row["dataset"]], published.datasets),
            ("source", [row["source"]], published.sources),
            ("figure", row["figures"], METRICS),
        ):
            if unknown := [name for name in names if name not in known]:
                raise ResultsError(
                    f"{path.name} names the {kind} {unknown[0]!r} for {row['who']!r}; known are "
                    f"{', '.join(known)}."
                )
    return published


LOOKS = {"bright": "bright", "color": "coloured", "dark": "dark"}
"""Words for the groups of images in ``validation`` / ``looks``."""


def own_rows(name: str, metrics: Mapping[str, Any]) -> list[Row]:
    """A row of all that was kept out, and one of the images of each look alone."""
    looks = metrics["validation"].get("looks", {})
    rows = [own_row(f"**{name}**", metrics)]
    for look, validation in looks.items() if len(looks) > 1 else ():
        data = metrics["data"] | {"validation_images": validation["images"]}
        alone = metrics | {"data": data, "validation": validation}
        rows.append(own_row(f"**{name}**, the {LOOKS[look]} images alone", alone))
    return rows


def own_row(who: str, metrics: Mapping[str, Any]) -> Row:
    data, validation = metrics["data"], metrics["validation"]
    parameters = metrics.get("parameters")
    figures = {
        key: next(filter(None, (figure_at(validation, place) for place in places)), None)
        for key, (_, places) in METRICS.items()
    }
    return Row(
        who,
        f"{data.get('train_images', '?')} / {data.get('validation_images', '?')}",
        NOTHING if parameters is None else f"{parameters:,}",
        training_of(metrics["training"]),
        {key: figure for key, figure in figures.items() if figure is not None},
    )


def training_of(training: Mapping[str, Any]) -> str:
    """Hours and machines of a training and of those that its weights came from."""
    runs = [*training.get("before", ()), training]
    machines = dict.fromkeys(run["machine"] for run in runs if "machine" in run)
    hours = sum(run.get("hours", 0) for run in runs)
    return f"{hours:.2f} h on {' and '.join(machines) or 'an unknown machine'}"


def published_row(row: Mapping[str, Any], number: int) -> Row:
    note = f", {row['note']}" if "note" in row else ""
    return Row(
        f"{row['who']}{note} [{number}]",
        f"{row.get('train_images', NOTHING)} / {row.get('test_images', NOTHING)}",
        row.get("parameters", NOTHING),
        NOTHING,
        {name: Figure(value) for name, value in row["figures"].items()},
    )


def show(figure: Figure | None) -> str:
    """A figure to four decimals and its interval to three; small ones to three digits."""
    if figure is None:
        return NOTHING
    value, low, high = _rounded(figure.value, 4), _rounded(figure.low, 3), _rounded(figure.high, 3)
    return value if math.isnan(figure.low) else f"{value} ({low} to {high})"


def _rounded(value: float, decimals: int) -> str:
    if 0 < abs(value) < 1e-3:
        return np.format_float_positional(value, 3, fractional=False, trim="-")
    return f"{value:.{decimals}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def comparison(rows: Sequence[Row]) -> list[str]:
    shown = [name for name in METRICS if any(name in row.figures for row in rows)]
    return table(
        ["", "images trained on / scored on", "parameters", "training"]
        + [METRICS[name][0] for name in shown],
        [[*row[:4], *(show(row.figures.get(name)) for name in shown)] for row in rows],
    )


def overlap(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Dice and IoU of each class of each model."""
    rows = []
    for name, metrics in models.items():
        validation = metrics["validation"]
        for label in _follow(validation, ("per_image", "dice")) or {}:
            figures = [
                figure_at(validation, ("per_image", kind, label)) for kind in ("dice", "iou")
            ]
            rows.append([name, label, *map(show, figures)])
    return table(["", "class", "Dice ↑", "IoU ↑"], rows)


def render(models: Mapping[str, Mapping[str, Any]], published: Published) -> str:
    """RESULTS.md: a section for each dataset, our models in it before what others published.

    Parameters
    ----------
    models : mapping
        Contents of metrics.json, by name of the model.
    published : Published
    """
    groups: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, metrics in models.items():
        title = str(metrics["data"].get("name", "unknown data"))
        groups.setdefault(published.dataset_of(title) or title, {})[name] = metrics
    lines = [
        "# Results",
        "",
        "Written by `python benchmarks/results.py`; do not edit. Our figures, in bold rows, are "
        "of images kept out of training; checkpoints and thresholds were chosen on the same ones, "
        "so expect a little less on others. In brackets: 95 % bootstrap intervals over images, "
        "where computed. ↓ smaller is better, ↑ larger is better. Conditions differ: read what "
        "stands below each table before comparing.",
    ]
    cited: dict[str, int] = {}
    for key, group in groups.items():
        dataset = published.datasets.get(key, {"title": key, "differs": []})
        rows = [row for name, metrics in group.items() for row in own_rows(name, metrics)]
        for row in published.rows:
            if row["dataset"] == key:
                number = cited.setdefault(row["source"], len(cited) + 1)
                rows.append(published_row(row, number))
        lines += ["", f"## {dataset['title']}", "", *comparison(rows), ""]
        lines += [f"- {sentence}" for sentence in dataset["differs"]]
        lines += [""] * bool(dataset["differs"])
        lines += ["Overlap of the classes, the mean over the images:", "", *overlap(group)]
    if cited:
        lines += ["", "## Sources", ""]
        for source, number in cited.items():
            lines.append(
                f"[{number}] {published.sources[source]['text']}. "
                f"<{published.sources[source]['link']}>  "
            )
    return "\n".join(lines) + "\n"


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.glob("*") if path.is_dir())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        help="models and runs (default: models/* and benchmarks/runs/*)",
    )
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args(arguments)
    models = {}
    for folder in options.folders or [*_folders(HERE.parent / "models"), *_folders(HERE / "runs")]:
        if not (folder / METRICS_FILE).is_file():
            print(f"{folder.name} has no {METRICS_FILE}: left out.")
        elif folder.name in models:
            sys.exit(f"Two folders are named {folder.name}: rename one of them.")
        else:
            models[folder.name] = read_metrics(folder)
    if not models:
        sys.exit(f"None of the folders holds a {METRICS_FILE}: there is nothing to write.")
    options.output.write_text(render(models, read_published(HERE / "published.toml")), "utf-8")
    print(f"{options.output.name}: {len(models)} models and runs")


if __name__ == "__main__":
    main()
