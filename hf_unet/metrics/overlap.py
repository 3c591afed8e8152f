"""Dice and IoU per class, and which Dice it is; pixel error.

There are several Dice scores about: the mean of each image's Dice, or the Dice of all
pixels of all images pooled; a class that an image does not hold counted as 1, or left
out. They differ by a lot on rare classes. :func:`scores_per_image` and
:func:`scores_pooled` say in words which one they give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.metrics.contingency import (
    ContingencyTable,
    checked_labels,
    checked_shapes,
    contingency_table,
)
from hf_unet.metrics.masks import as_classes

NAN = float("nan")


@dataclass(frozen=True)
class ClassCounts:
    """True positive, false positive and false negative pixels of each class.

    Counts of several images add up with ``+``, across processes too: sum the arrays.

    Attributes
    ----------
    tp, fp, fn : (K,) int64 arrays
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]

    def __add__(self, other: ClassCounts) -> ClassCounts:
        if self.tp.shape != other.tp.shape:
            raise LabelError(
                f"Counts of {len(self.tp)} classes cannot be added to counts of "
                f"{len(other.tp)} classes. Give num_classes, so that every image has the same."
            )
        return ClassCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    def dice(self, *, empty: float = 1.0) -> NDArray[np.float64]:
        """Dice = 2 tp / (2 tp + fp + fn) of each class; `empty` where that is 0 / 0."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, empty)

    def iou(self, *, empty: float = 1.0) -> NDArray[np.float64]:
        """IoU = tp / (tp + fp + fn) of each class; `empty` where that is 0 / 0."""
        return _ratio(self.tp, self.tp + self.fp + self.fn, empty)


@dataclass(frozen=True)
class OverlapScores:
    """Dice and IoU per class, with the convention they were computed by.

    Attributes
    ----------
    dice, iou : (K,) float64 arrays
        0..1; NaN for a class that was left out of every image.
    images : int
        Number of images scored.
    convention : str
        One phrase to print beside the figures: how the images were put together and how
        absent classes were counted.
    """

    dice: NDArray[np.float64]
    iou: NDArray[np.float64]
    images: int
    convention: str


def class_counts(
    truth: NDArray[Any], prediction: NDArray[Any], num_classes: int | None = None
) -> ClassCounts:
    """Count true positives, false positives and false negatives of each class.

    Parameters
    ----------
    truth, prediction : (H, W) integer or boolean arrays, or (K, H, W) boolean arrays
        Class maps (a boolean one has the classes 0 and 1), or multi-label stacks with one
        plane per class. Or the classes of some of the pixels, with one axis:
        ``class_counts(truth[known], prediction[known])``.
    num_classes : int, optional
        Number of classes K. By default the number of planes of a stack; for class maps, one
        more than the largest index in either, and at least 2.

    Raises
    ------
    LabelError
        If the two cannot be compared, or hold classes that are not among `num_classes`.

    Examples
    --------
    >>> counts = class_counts(np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]]))
    >>> counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()
    ([1, 2], [0, 1], [1, 0])
    """
    truth, prediction = checked_labels(truth, prediction)
    if num_classes is not None and num_classes < 1:
        raise LabelError(f"There cannot be {num_classes} classes; give 1 or more.")
    stacks = [labels.dtype == np.bool_ and labels.ndim == 3 for labels in (truth, prediction)]
    if all(stacks):
        return _stack_counts(truth, prediction, num_classes)
    if any(stacks):
        raise LabelError(
            f"One of truth ({truth.dtype}) and prediction ({prediction.dtype}) is a boolean "
            "multi-label stack and the other is not. Give two stacks or two class maps."
        )
    if truth.ndim > 2:
        raise LabelError(
            f"An array of the shape {truth.shape} and type {truth.dtype} is no class map (H, W). "
            "Give a multi-label stack as a boolean array, and sections one by one."
        )
    table = contingency_table(truth, prediction)
    found = int(max(table.truth.max(), table.prediction.max())) + 1
    if num_classes is None:
        _refuse_mask_values(table)
        num_classes = max(found, 2)
    elif found > num_classes:
        raise LabelError(
            f"The class index {found - 1} was found, but there are {num_classes} classes "
            f"(0 to {num_classes - 1}). Give class indices, not grey values."
        )
    hit = table.truth == table.prediction
    tp = _sum_by_label(table.truth[hit], table.pixels[hit], num_classes)
    true_pixels = _sum_by_label(table.truth, table.pixels, num_classes)
    predicted_pixels = _sum_by_label(table.prediction, table.pixels, num_classes)
    return ClassCounts(tp, predicted_pixels - tp, true_pixels - tp)


def dice_per_class(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    num_classes: int | None = None,
    *,
    empty: float = 1.0,
) -> NDArray[np.float64]:
    """Dice coefficient of each class in one image.

    Parameters
    ----------
    truth, prediction, num_classes
        As for :func:`class_counts`.
    empty : float
        The value of a class that is in neither truth nor prediction. NaN leaves it out
        of a later ``np.nanmean``.

    Returns
    -------
    (K,) float64 array
        0..1.

    References
    ----------
    Dice, L. R. (1945). Measures of the amount of ecologic association between species.
    Ecology 26, 297-302.

    Examples
    --------
    >>> dice_per_class(np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])).round(3).tolist()
    [0.667, 0.8]
    """
    return class_counts(truth, prediction, num_classes).dice(empty=empty)


def iou_per_class(
    truth: NDArray[Any],
    prediction: NDArray[Any],
    num_classes: int | None = None,
    *,
    empty: float = 1.0,
) -> NDArray[np.float64]:
    """Intersection over union (Jaccard index) of each class in one image.

    Parameters and result as for :func:`dice_per_class`.

    Examples
    --------
    >>> iou_per_class(np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])).round(3).tolist()
    [0.5, 0.667]
    """
    return class_counts(truth, prediction, num_classes).iou(empty=empty)


def scores_per_image(counts: Sequence[ClassCounts], *, empty: float = NAN) -> OverlapScores:
    """Dice and IoU of each image, averaged over the images class by class.

    Parameters
    ----------
    counts : sequence of ClassCounts
        One for each image, all of the same number of classes.
    empty : float
        The score of a class in an image where neither truth nor prediction hold it. NaN,
        the default, leaves that image out of that class's mean.

    Examples
    --------
    >>> counts = [class_counts(np.array([[0, 1]]), np.array([[0, 1]])),
    ...           class_counts(np.array([[0, 0]]), np.array([[0, 0]]))]
    >>> scores_per_image(counts).convention
    'Dice per image, averaged over 2 images; an image without the class is left out of its mean'
    """
    _refuse_no_images(counts)
    return OverlapScores(
        dice=_mean_over_images([image.dice(empty=empty) for image in counts]),
        iou=_mean_over_images([image.iou(empty=empty) for image in counts]),
        images=len(counts),
        convention=f"Dice per image, averaged over {_images(counts)}; an image without the "
        f"class {'is left out of its mean' if np.isnan(empty) else f'counts as {empty:g}'}",
    )


def scores_pooled(counts: Sequence[ClassCounts], *, empty: float = NAN) -> OverlapScores:
    """Dice and IoU of the pixels of all images taken together.

    Parameters as for :func:`scores_per_image`; `empty` is given to a class that no image
    holds.

    Examples
    --------
    >>> counts = [class_counts(np.array([[0, 1]]), np.array([[0, 1]]))]
    >>> scores_pooled(counts, empty=1.0).convention
    'Dice pooled over all pixels of 1 image; a class in no image counts as 1'
    """
    _refuse_no_images(counts)
    pooled = sum(counts[1:], start=counts[0])
    return OverlapScores(
        dice=pooled.dice(empty=empty),
        iou=pooled.iou(empty=empty),
        images=len(counts),
        convention=f"Dice pooled over all pixels of {_images(counts)}; a class in no image "
        f"{'is left out' if np.isnan(empty) else f'counts as {empty:g}'}",
    )


def pixel_error(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Fraction of the pixels whose class differs.

    Parameters
    ----------
    truth, prediction : arrays of one shape
        Each either a boolean mask; an integer mask of 0 and 255, which is read as 0 and 1;
        an integer map of class indices; or probabilities, floating point from 0 to 1, which
        are read as 1 where greater than 0.5 (the ISBI 2012 challenge's threshold).

    Returns
    -------
    float
        0 (equal) to 1.

    Raises
    ------
    LabelError
        If the shapes differ, or an array is none of these (grey values, probabilities
        outside 0..1, NaN).

    Examples
    --------
    >>> pixel_error(np.array([[0, 0, 255, 255]], np.uint8), np.array([[0.1, 0.7, 0.9, 1.0]]))
    0.25
    """
    truth, prediction = checked_shapes(truth, prediction)
    table = contingency_table(as_classes(truth, "truth"), as_classes(prediction, "prediction"))
    if max(table.truth.max(), table.prediction.max()) > 1:
        for name, labels in (("truth", truth), ("prediction", prediction)):
            if labels.max() == 255 or labels.dtype.kind == "f":
                raise LabelError(
                    f"The {name} is a mask with two classes, but the other one has more. "
                    "Give two masks, or two maps of class indices."
                )
    differ = table.truth != table.prediction
    return float(table.pixels[differ].sum() / table.pixels.sum())


def _stack_counts(
    truth: NDArray[np.bool_], prediction: NDArray[np.bool_], num_classes: int | None
) -> ClassCounts:
    if num_classes not in (None, len(truth)):
        raise LabelError(
            f"The stacks have {len(truth)} planes, but there are {num_classes} classes. "
            "Give one plane per class."
        )
    planes = [
        class_counts(true_plane, plane, 2)
        for true_plane, plane in zip(truth, prediction, strict=True)
    ]
    return ClassCounts(
        np.array([plane.tp[1] for plane in planes]),
        np.array([plane.fp[1] for plane in planes]),
        np.array([plane.fn[1] for plane in planes]),
    )


def _refuse_mask_values(table: ContingencyTable) -> None:
    values = set(table.truth.tolist()) | set(table.prediction.tolist())
    if 255 in values and values <= {0, 1, 255}:
        raise LabelError(
            "A mask of 0 and 255 was given where class indices are due. Divide it by 255, or "
            "read it with read_labels."
        )


def _refuse_no_images(counts: Sequence[ClassCounts]) -> None:
    if not counts:
        raise LabelError("There are no images to score. Give the counts of at least one image.")


def _images(counts: Sequence[ClassCounts]) -> str:
    return "1 image" if len(counts) == 1 else f"{len(counts)} images"


def _mean_over_images(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    if len({len(image) for image in scores}) > 1:
        raise LabelError(
            "The images were counted with different numbers of classes. Give num_classes, so "
            "that every image has the same."
        )
    values = np.stack(scores)
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=0), known.sum(axis=0), NAN)


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any], empty: float) -> NDArray[np.float64]:
    result = np.full(numerator.shape, empty, dtype=np.float64)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def _sum_by_label(
    labels: NDArray[np.int64], pixels: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    # Sums below 2**53 are exact in bincount's float64 weights.
    return np.bincount(labels, weights=pixels, minlength=num_classes).astype(np.int64)
