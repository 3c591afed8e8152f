"""The figures of many images: a row for each, their means, and the table as a file."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_unet.demo.batch.files import Task
from hf_unet.metrics import ClassCounts, OverlapScores, scores_per_image, scores_pooled
from hf_unet.segmentation import Segmentation

LEFT_OUT = "-"
"""In a table: there is no such figure."""


@dataclass(frozen=True, eq=False)
class Row:
    """What is said of one image, or of a file that is none.

    Attributes
    ----------
    task : Task
    page, pages : int
        Of a file of several pages, from 0.
    refusal : str
        Why there is no result; empty if there is one.
    folder : str
        Of its files in the zip.
    size : (int, int)
        Height and width in pixels.
    instances : int
    shares : (K,) float64 array or None
        Of each class, of the image's pixels.
    counts : ClassCounts or None
        Against the ground truth, if there is one.
    expected : (K,) float64 array or None
        `Segmentation.expected_dice` where there is no ground truth.
    """

    task: Task
    page: int = 0
    pages: int = 1
    refusal: str = ""
    folder: str = ""
    size: tuple[int, int] = (0, 0)
    instances: int = 0
    shares: NDArray[np.float64] | None = None
    counts: ClassCounts | None = None
    expected: NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        """The image's name for people, with its page."""
        return self.task.name + (f", page {self.page + 1}" if self.pages > 1 else "")

    @property
    def dice(self) -> NDArray[np.float64] | None:
        """(K,) array against the ground truth; NaN for a class that neither holds."""
        return None if self.counts is None else self.counts.dice(empty=np.nan)

    def as_json(self, names: Sequence[str]) -> dict[str, object]:
        """The row for programs; a class's figure is null where it has none."""
        line: dict[str, object] = {"image": self.task.name, "page": self.page + 1}
        line["ground_truth"] = self.task.truth.name if self.task.truth else None
        if self.refusal:
            return {**line, "problem": self.refusal}
        line |= {"folder": self.folder, "height": self.size[0], "width": self.size[1]}
        line["instances"] = self.instances
        figures = {
            "area_share": self.shares,
            "dice": self.dice,
            "expected_dice": self.expected,
        }
        for key, values in figures.items():
            if values is not None:
                line[key] = {
                    name: None if np.isnan(value) else float(value)
                    for name, value in zip(names, values, strict=True)
                }
        return line


def row_of(task: Task, folder: str, result: Segmentation, counts: ClassCounts | None) -> Row:
    """The row of a result."""
    image, plan = result.image, result.plan
    areas = np.array(list(result.areas.values()), np.float64)
    return Row(
        task=task,
        page=image.page,
        pages=image.pages,
        folder=folder,
        size=(plan.height, plan.width),
        instances=len(result.whole_objects.class_of),
        shares=areas / (plan.height * plan.width),
        counts=counts,
        expected=result.expected_dice if counts is None else None,
    )


def headers_of(rows: Sequence[Row], names: Sequence[str], first: int) -> list[str]:
    """Headers of `cells_of`; columns that no row fills are left out."""
    shown = names[first:]
    headers = ["#", "image", "size", "instances", *(f"{name}, share" for name in shown)]
    if any(row.counts is not None for row in rows):
        headers += [f"{name}, Dice" for name in shown]
    if any(row.expected is not None for row in rows):
        headers += [f"{name}, expected Dice" for name in shown]
    return [*headers, "note"]


def cells_of(rows: Sequence[Row], names: Sequence[str], first: int) -> list[list[str]]:
    """The rows as texts, for the page: classes from index ``first``, to leave out a background."""
    with_dice = any(row.counts is not None for row in rows)
    with_expected = any(row.expected is not None for row in rows)
    table = []
    for number, row in enumerate(rows, 1):
        height, width = row.size
        cells = [str(number), row.name]
        cells += (
            [LEFT_OUT, LEFT_OUT] if row.refusal else [f"{width} x {height}", f"{row.instances:,}"]
        )
        cells += _texts(row.shares, len(names), "{:.1%}")[first:]
        if with_dice:
            cells += _texts(row.dice, len(names), "{:.4f}")[first:]
        if with_expected:
            cells += _texts(row.expected, len(names), "{:.2f}")[first:]
        table.append([*cells, row.refusal])
    return table


def _texts(values: NDArray[np.float64] | None, count: int, form: str) -> list[str]:
    if values is None:
        return [LEFT_OUT] * count
    return [LEFT_OUT if np.isnan(value) else form.format(value) for value in values]


def table_csv(rows: Sequence[Row], names: Sequence[str]) -> bytes:
    """table.csv in UTF-8: a line for each row, every class; empty where there is no figure."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    kinds = ("area_share", "dice", "expected_dice")
    writer.writerow(
        ["image", "page", "ground_truth", "folder", "width", "height", "instances"]
        + [f"{kind} {name}" for kind in kinds for name in names]
        + ["problem"]
    )
    writer.writerows(_line(row, len(names)) for row in rows)
    return stream.getvalue().encode()


def _line(row: Row, count: int) -> Iterator[object]:
    yield from (row.task.name, row.page + 1)
    yield row.task.truth.name if row.task.truth else ""
    if row.refusal:
        yield from [""] * (4 + 3 * count)
    else:
        yield from (row.folder, row.size[1], row.size[0], row.instances)
        for values in (row.shares, row.dice, row.expected):
            given = np.full(count, np.nan) if values is None else values
            yield from ("" if np.isnan(value) else f"{value:.6g}" for value in given)
    yield row.refusal


def mean_scores(rows: Sequence[Row]) -> tuple[OverlapScores, OverlapScores] | None:
    """Dice per image and pooled, of the images that have a ground truth; None if none has."""
    counts = [row.counts for row in rows if row.counts is not None]
    return (scores_per_image(counts), scores_pooled(counts)) if counts else None
