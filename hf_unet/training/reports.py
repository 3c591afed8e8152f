"""The course of a run as a picture: its log in, curves out."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.colors import PALETTE
from hf_unet.exports.files import write_whole

if TYPE_CHECKING:  # loaded only to draw: it takes long, and nothing else here needs it
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

COURSE = ("loss", "learning_rate")
NOT_FIGURES = frozenset(("step", "seconds", "images", *COURSE))
SHARED = frozenset(("dice", "iou", "average_precision"))
"""Figures of several classes or thresholds, drawn in one panel."""

WORDS = {"dice": "Dice", "iou": "IoU", "seg": "SEG"}
ACROSS = 3  # panels

Curves = dict[str, NDArray[np.float64]]


class ReportError(ValueError):
    """A picture of a run cannot be drawn; the message says what is amiss."""


def draw_curves(log: Path, output: Path, *, best_step: int | None = None) -> None:
    """Draw a run's loss, learning rate and validation figures against its steps.

    Parameters
    ----------
    log : Path
        A run's log.jsonl: a JSON object a line, with a ``step``. Whatever else is a number
        becomes a curve, an object ``{"value", "low", "high"}`` a curve with a band. What is
        missing, null or not finite leaves a gap.
    output : Path
        The PNG to write, whole or not at all.
    best_step : int, optional
        Step of the checkpoint that was kept, marked by a line. A ring marks the best value of
        each figure: the smallest of an error, the largest of any other.

    Raises
    ------
    ReportError
        If the log is empty or a line of it is no such object; names the line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    lines = read_log(log)
    steps = [line["step"] for line in lines]
    panels = _panels(lines)
    across = min(ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    # Without pyplot, which would keep the figure and choose how a screen shows it.
    figure = Figure(figsize=(4.4 * across, 3.1 * down), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for number, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(down, across, number)
        axes.set_title(title, parse_math=False)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
        axes.grid(alpha=0.3)
        handles = []
        for index, values in enumerate(curves.values()):
            color = PALETTE[index % len(PALETTE)]
            handles.append(_draw_curve(axes, steps, values, color))
            if number > len(COURSE):
                _ring_best(axes, steps, values[:, 0], color, smallest="error" in title)
        if title == "loss" and spans_decades(curves["loss"][:, 0]):
            axes.set_yscale("log")
        if best_step is not None:
            axes.axvline(best_step, color="grey", linestyle="--", linewidth=1)
        if len(curves) > 1:
            legend = axes.legend(handles, list(curves), fontsize="small")
            for text in legend.get_texts():
                text.set_parse_math(False)  # or a class named "$x$" would be set as a formula
    if best_step is not None:
        figure.supxlabel(f"dashed: step {best_step}, the checkpoint kept", fontsize="small")
    picture = BytesIO()
    canvas.print_png(picture)  # type: ignore[no-untyped-call]
    write_whole(output, picture.getvalue())


def read_log(log: Path) -> list[dict[str, Any]]:
    """Read the lines of a run's log.jsonl.

    Raises
    ------
    ReportError
        If it cannot be read, is empty, or a line is no JSON object with a whole ``step``.
    """
    try:
        texts = log.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReportError(f"There is no {log.name} that can be read as a text file.") from error
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict) or type(line.get("step")) is not int:
            raise ReportError(
                f"Line {number} of {log.name} is no JSON object with a whole number as its step. "
                "Take that line away, and draw again."
            )
        lines.append(line)
    if not lines:
        raise ReportError(f"{log.name} holds no line yet: validate once, and draw again.")
    return lines


def spans_decades(values: NDArray[np.float64]) -> bool:
    """Whether positive values differ by more than a factor of ten; NaN is passed over.

    Examples
    --------
    >>> spans_decades(np.array([0.01, np.nan, 0.2])), spans_decades(np.array([0.0, 5.0]))
    (True, False)
    """
    known = values[np.isfinite(values)]
    return bool(known.size and known.min() > 0 and known.max() > 10 * known.min())


def _panels(lines: Sequence[Mapping[str, Any]]) -> dict[str, Curves]:
    """Curves (lines, 3) of value, low and high, by the title of their panel and by name.

    The course of training comes first, also where nothing is known of it.
    """
    panels: dict[str, Curves] = {}
    for number, line in enumerate(lines):
        course = {key: line.get(key) for key in COURSE}
        figures = {key: line[key] for key in line if key not in NOT_FIGURES}
        for path, numbers in _figures({**course, **figures}):
            shared = len(path) > 1 and path[-2] in SHARED
            curves = panels.setdefault(_title(path[:-1] if shared else path), {})
            curves.setdefault(path[-1], np.full((len(lines), 3), np.nan))[number] = numbers
    return {
        title: curves
        for index, (title, curves) in enumerate(panels.items())
        if index < len(COURSE) or any(np.isfinite(curve).any() for curve in curves.values())
    }


def _figures(
    line: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], tuple[float, float, float]]]:
    """Each number of a line as value, low and high, with the keys that lead to it."""
    for key, value in line.items():
        here = (*path, str(key))
        if isinstance(value, Mapping) and "value" in value:
            low, high = value.get("low"), value.get("high")
            yield here, (_number(value["value"]), _number(low), _number(high))
        elif isinstance(value, Mapping):
            yield from _figures(value, here)
        elif value is None or isinstance(value, (int, float)):
            yield here, (_number(value), math.nan, math.nan)


def _number(value: Any) -> float:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else math.nan


def _title(path: Sequence[str]) -> str:
    """A panel's title: ("per_image", "dice") -> "per image Dice"."""
    return " ".join(WORDS.get(part, part.replace("_", " ")) for part in path)


def _draw_curve(
    axes: "Axes", steps: Sequence[int], values: NDArray[np.float64], color: str
) -> "Line2D":
    value, low, high = values.T
    if np.isfinite(low).any():
        axes.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
    (line,) = axes.plot(steps, value, marker=".", color=color)
    return line


def _ring_best(
    axes: "Axes", steps: Sequence[int], values: NDArray[np.float64], color: str, *, smallest: bool
) -> None:
    if np.isfinite(values).any():
        best = int(np.nanargmin(values) if smallest else np.nanargmax(values))
        axes.plot(steps[best], values[best], "o", color=color, markersize=9, fillstyle="none")
