"""Kept-out images as a picture: each beside its truth, what was found, and where they differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hf_unet.display import CONFUSION_COLORS, Color, draw_classes, draw_confusion, fitted
from hf_unet.exports.files import write_whole
from hf_unet.metrics.confusion import class_confusion, confusion_map
from hf_unet.training.reports import ReportError

LARGEST = 2048
"""Pixels a side beyond which an image is thinned before anything is drawn on it."""

COLUMNS = ("image", "truth", "prediction", "errors")
OPACITY = 0.5
GAP, LINE, FONT_SIZE, NARROWEST = 12, 20, 13, 160  # pixels


@dataclass(frozen=True, eq=False)
class Sample:
    """A kept-out image, its truth and what a network found in it.

    Attributes
    ----------
    name : str
    image : (H, W, 3) uint8 array
        As `hf_unet.display.displayed` gives it.
    truth, prediction : (K, H, W) bool arrays
        A plane for each class, which may overlap. Where classes exclude each other, the
        background has none.
    classes : tuple of K str
    colors : tuple of K (red, green, blue), 0 .. 255
    dice : tuple of K floats or None
        Of this image; None or NaN where a class is neither there nor found.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    classes: tuple[str, ...]
    colors: tuple[Color, ...]
    dice: tuple[float | None, ...]

    def __post_init__(self) -> None:
        shape = (len(self.classes), *self.image.shape[:2])
        if self.truth.shape != shape or self.prediction.shape != shape:
            raise ReportError(
                f"The truth {self.truth.shape} and the prediction {self.prediction.shape} of "
                f"{self.name} must both have the shape {shape}: classes, height, width."
            )
        if not len(self.colors) == len(self.dice) == len(self.classes):
            raise ReportError(
                f"{self.name} has {len(self.classes)} classes, {len(self.colors)} colours and "
                f"{len(self.dice)} values of Dice; give as many of each."
            )


def draw_samples(samples: Sequence[Sample], output: Path, *, side: int = 320) -> None:
    """Draw a row for each image: the image, its truth, what was found, and the errors.

    Parameters
    ----------
    samples : sequence of Sample
    output : Path
        The PNG to write, whole or not at all.
    side : int
        Pixels that the longer side of each picture takes at most. Larger images are shrunk to
        it, small ones enlarged by a whole factor. Of an image beyond `LARGEST` only every n-th
        row and column is shown.

    Raises
    ------
    ReportError
        If there is no sample.
    """
    if not samples:
        raise ReportError("There is no image to draw. Give at least one.")
    rows = [[fitted(picture, side) for picture in _pictures(sample)] for sample in samples]
    cell = max(NARROWEST, *(row[0].width for row in rows))
    width = GAP + len(COLUMNS) * (cell + GAP)
    # By name, so that a class of several images is explained once.
    classes = {n: c for one in samples for n, c in zip(one.classes, one.colors, strict=True)}
    legend = _flow(list(classes.items()), width) + _flow(list(CONFUSION_COLORS.values()), width)
    height = GAP + LINE + sum(LINE + row[0].height + GAP for row in rows) + LINE * len(legend)
    page = Image.new("RGB", (width, height + GAP), "white")
    draw = ImageDraw.Draw(page)
    lefts = [GAP + number * (cell + GAP) for number in range(len(COLUMNS))]
    for left, title in zip(lefts, COLUMNS, strict=True):
        _write(draw, (left, GAP), title, cell)
    top = GAP + LINE
    for sample, row in zip(samples, rows, strict=True):
        _write(draw, (GAP, top), _caption(sample), width - 2 * GAP)
        for left, picture in zip(lefts, row, strict=True):
            page.paste(picture, (left, top + LINE))
        top += LINE + row[0].height + GAP
    for items in legend:
        for left, name, color in items:
            draw.rectangle((left, top + 1, left + FONT_SIZE, top + 1 + FONT_SIZE), fill=color)
            _write(draw, (left + LINE, top), name, width - left - LINE)
        top += LINE
    content = BytesIO()
    page.save(content, format="PNG")
    write_whole(output, content.getvalue())


def _pictures(sample: Sample) -> list[NDArray[np.uint8]]:
    """The pictures of a row, in the order of `COLUMNS`."""
    step = math.ceil(max(sample.image.shape[:2]) / LARGEST)
    image = sample.image[::step, ::step]
    truth, prediction = (planes[:, ::step, ::step] for planes in (sample.truth, sample.prediction))
    errors = confusion_map(class_confusion(truth, prediction))
    return [
        image,
        draw_classes(image, list(zip(truth, sample.colors, strict=True)), None, OPACITY),
        draw_classes(image, list(zip(prediction, sample.colors, strict=True)), None, OPACITY),
        draw_confusion(image // 2, errors),
    ]


def _caption(sample: Sample) -> str:
    known = [
        f"{name} {'-' if value is None or math.isnan(value) else f'{value:.3f}'}"
        for name, value in zip(sample.classes, sample.dice, strict=True)
    ]
    return f"{sample.name}    Dice: {', '.join(known)}"


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    """Write a line, cut where it would run beyond ``width`` pixels."""
    font = ImageFont.load_default(FONT_SIZE)
    shown = text
    while shown and font.getlength(shown) > width:
        text = text[:-1]
        shown = f"{text}..." if text else ""
    draw.text(place, shown, fill="black", font=font)


def _flow(items: Sequence[tuple[str, Color]], width: int) -> list[list[tuple[int, str, Color]]]:
    """Set coloured names side by side, in as many lines as it takes; each with its left edge."""
    font = ImageFont.load_default(FONT_SIZE)
    lines: list[list[tuple[int, str, Color]]] = [[]]
    left = GAP
    for name, color in items:
        needed = LINE + int(font.getlength(name)) + 2 * GAP
        if lines[-1] and left + needed > width:
            lines.append([])
            left = GAP
        lines[-1].append((left, name, color))
        left += needed
    return lines
