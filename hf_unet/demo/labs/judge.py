"""Judging a result: by a ground truth, by a mask painted by hand, or by its own estimate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.colors import hex_color
from hf_unet.demo.scenes import (
    MOST_OVERLAPPING,
    MOST_PAINTED,
    Layer,
    Scene,
    image_layer,
    object_layer,
)
from hf_unet.demo.segmenting import image_of, mask_layer, truth_layer
from hf_unet.demo.shown import Shown
from hf_unet.display import CONFUSION_COLORS, MARK_COLORS, MATCH_COLORS
from hf_unet.errors import LabelError
from hf_unet.judgement import Evaluation, Judgement, confusion_of
from hf_unet.labels import Labels
from hf_unet.metrics import confusion_map, match_objects
from hf_unet.segmentation import Segmentation

HEADERS = ["class", "Dice", "IoU", "expected Dice", "missed (pixels)", "invented (pixels)"]

MOST_MARKS = 400
"""Rings that are drawn; the largest errors come first."""

SHAPES = {"split": "square", "merge": "cross"}


def judge_scene(shown: Shown) -> Scene:
    """The image; with a ground truth also where the mask errs; and a mask to paint."""
    result, labels, judgement = shown.result, shown.labels, shown.judgement
    layers = [image_layer(result.image)]
    settings: dict[str, Any] = {"hidden": ["mask", "objects"], "look": "judge"}
    if _classes_fit_a_mask(result):
        settings["paint"] = "mask"
    if labels is None or judgement is None:
        settings["hidden"] = ["objects"]
        layers += [mask_layer(shown), object_layer(result.instances)]
        return Scene(tuple(layers), image_of(shown), settings)
    planes = confusion_of(result, labels)
    layers.append(
        _confusion_layer(
            "confusion", "Right and wrong", confusion_map(np.stack([*planes.values()]))
        )
    )
    if len(planes) > 1:
        for number, (name, plane) in enumerate(planes.items()):
            layers.append(_confusion_layer(f"confusion-{number}-", name, plane))
            settings["hidden"].append(f"confusion-{number}-")
    if labels.kind == "instances" and labels.known is None:
        layers.append(_match_layer(labels.instances(), result.instances))
        settings["hidden"].append("matches")
    layers += [mask_layer(shown), object_layer(result.instances), truth_layer(shown)]
    settings["hidden"].append("truth")
    if judgement.warping is not None:
        largest = judgement.warping.marks[:MOST_MARKS]
        settings["points"] = [
            {
                "x": mark.column,
                "y": mark.row,
                "color": hex_color(MARK_COLORS[mark.kind]),
                "shape": SHAPES.get(mark.kind, "ring"),
            }
            for mark in largest
        ]
        kinds = dict.fromkeys(mark.kind for mark in largest)
        settings["legend"] = [
            {"label": kind, "color": hex_color(MARK_COLORS[kind])} for kind in kinds
        ]
    settings["look"] = "judge with " + " ".join(layer.key for layer in layers)
    return Scene(tuple(layers), image_of(shown), settings)


def _classes_fit_a_mask(result: Segmentation) -> bool:
    """Whether one plane of bits holds all classes: then a mask of them can be painted."""
    return not result.multilabel or len(result.classes) <= MOST_OVERLAPPING


def _paintable(result: Segmentation) -> bool:
    """Whether a mask can be painted in the page, which has to hold all of its pixels."""
    height, width = result.image.shape[1:]
    return _classes_fit_a_mask(result) and height * width <= MOST_PAINTED


def _confusion_layer(key: str, label: str, confusion: NDArray[np.uint8]) -> Layer:
    names = ["neither"] + [""] * max(CONFUSION_COLORS)
    colors = ["#000000"] * len(names)
    for value, (name, color) in CONFUSION_COLORS.items():
        names[value], colors[value] = name, hex_color(color)
    if not (confusion == max(CONFUSION_COLORS)).any():  # one class for another takes two classes
        names, colors = names[:-1], colors[:-1]
    settings = {"names": names, "colors": colors, "first": 1}
    return Layer(key, "indices", label, confusion[None], settings)


def _match_layer(truth: NDArray[np.int32], found: NDArray[np.int32]) -> Layer:
    """Objects by what became of them: found ones first, then true ones where none was found."""
    matches = match_objects(truth, found)
    names = ["", *MATCH_COLORS]
    chosen = {
        "missed": (truth, matches.missed),
        "split": (truth, matches.split),
        "matched": (found, matches.pairs[:, 1]),
        "invented": (found, matches.invented),
        "merged": (found, matches.merged),
    }
    drawn = np.zeros(truth.shape, np.uint8)
    for name, (labels, ids) in chosen.items():
        drawn[np.isin(labels, ids) & (labels > 0)] = names.index(name)
    settings = {
        "names": names,
        "colors": ["#000000", *(hex_color(color) for color in MATCH_COLORS.values())],
        "first": 1,
    }
    return Layer("matches", "indices", "Objects", drawn[None], settings)


def judge_table(shown: Shown, judgement: Judgement | None) -> list[list[str]]:
    """Rows of `HEADERS`; a dash where there is no ground truth to count against."""
    result = shown.result
    expected = result.expected_dice
    rows = []
    for index, name in enumerate(result.classes):
        row = [name, "-", "-", "-" if expected is None else _score(expected[index]), "-", "-"]
        if judgement is not None:
            scores, counts = judgement.overlap(), judgement.counts
            row[1:3] = [_score(scores.dice[index]), _score(scores.iou[index])]
            row[4:] = [f"{int(counts.fn[index]):,}", f"{int(counts.fp[index]):,}"]
        rows.append(row)
    return rows


def _score(value: float) -> str:
    return "absent" if np.isnan(value) else f"{value:.4f}"


def judge_words(shown: Shown, judgement: Judgement | None, against: str) -> str:
    """What the figures are against, and those that are not of a class."""
    calibrated = shown.result.expected_dice is not None
    estimate = (
        "**Expected Dice** is the model's own estimate, from its calibrated probabilities alone: "
        "it knows no ground truth. How well it held on images kept out of training is in the "
        "model's card."
        if calibrated
        else "This model was not calibrated, so it gives no estimate of its own."
    )
    if judgement is None:
        way = "Drop one in, or paint one below" if _paintable(shown.result) else "Drop one in"
        return f"No ground truth. {estimate} {way}: then Dice is measured."
    lines = [
        f"Against **{against}**. {judgement.overlap().convention}. "
        f"Pixel error {judgement.pixel_error:.4f}."
    ]
    if judgement.average_precision is not None:
        lines.append(_object_words(judgement))
    if judgement.warping is not None:
        scores = judgement.warping.scores
        lines.append(
            f"**Membranes:** warping error {scores.error:.6f}: {scores.splits:,} pixels split a "
            f"cell, {scores.merges:,} merge two, {scores.hole_additions + scores.hole_deletions:,} "
            "make or close holes. Crosses mark merges, squares splits, rings the rest."
        )
    return "\n\n".join([*lines, estimate])


def _object_words(judgement: Judgement) -> str:
    precision = judgement.average_precision or {}
    seg = "" if judgement.seg is None else f" SEG {judgement.seg:.4f}."
    steps = ", ".join(f"{value:.3f} at {iou:g}" for iou, value in precision.items())
    return (
        f"**Instances:** {judgement.true_objects:,} in the ground truth, "
        f"{judgement.found_objects:,} found.{seg} Average precision by IoU: {steps}."
    )


def painted_labels(shown: Shown, runs: Sequence[object]) -> Labels:
    """A mask painted in the page, as a ground truth.

    Parameters
    ----------
    shown : Shown
    runs : sequence of int
        Value and length of each run of pixels, row by row: class indices, or for classes that
        overlap a bit each.

    Raises
    ------
    LabelError
        If they are no mask of the image's size and the result's classes.
    """
    result = shown.result
    height, width = result.image.shape[1:]
    count = len(result.classes)
    try:
        values, lengths = np.asarray(runs, np.int64).reshape(-1, 2).T
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelError("The painted mask did not arrive whole. Press Score again.") from error
    most = 2**count if result.multilabel else count
    # Each is compared too: a sum of large ones would wrap around to that of the image.
    fits = ((lengths > 0) & (lengths <= height * width)).all() and lengths.sum() == height * width
    if not fits or (values < 0).any() or (values >= most).any():
        raise LabelError("The painted mask is not one of this image. Press Paint a mask again.")
    painted = np.repeat(values, lengths).reshape(height, width)
    found = "painted by hand"
    if result.multilabel:
        stack = (painted >> np.arange(count)[:, None, None]) & 1 == 1
        return Labels("multilabel", stack, result.classes, found)
    return Labels("classes", painted.astype(np.uint8), result.classes, found)


def figures_of(shown: Shown) -> dict[str, Any]:
    """What result.json says of how good the mask is: measured, if it can be, and expected."""
    expected = shown.result.expected_dice
    said: dict[str, Any] = {}
    if expected is not None:
        pairs = zip(shown.result.classes, expected.tolist(), strict=True)
        said["expected_dice"] = {name: None if np.isnan(v) else v for name, v in pairs}
    if shown.judgement is not None:
        said["against_ground_truth"] = Evaluation((shown.judgement,)).summary()
    return said
