"""Where a mask is right, what it misses and what it invents: maps to draw, not figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.metrics.contingency import checked_labels

RIGHT, MISSED, INVENTED, MISTAKEN = 1, 2, 3, 4
"""Values of a confusion map; 0 is where there is nothing and nothing was found."""


def class_confusion(
    truth: NDArray[Any], prediction: NDArray[Any], num_classes: int | None = None
) -> NDArray[np.uint8]:
    """Compare two masks class by class, pixel by pixel.

    Parameters
    ----------
    truth, prediction : (H, W) integer or boolean arrays, or (K, H, W) boolean arrays
        Class maps (a boolean one has the classes 0 and 1), or multi-label stacks with one plane
        per class.
    num_classes : int, optional
        Number of classes K of class maps. None: one more than the largest index in either, and
        at least 2.

    Returns
    -------
    (K, H, W) uint8 array
        0 where neither holds the class, else `RIGHT`, `MISSED` (the truth alone) or `INVENTED`
        (the prediction alone). As many of each as `hf_unet.metrics.class_counts` counts.

    Raises
    ------
    LabelError
        If the two cannot be compared.

    Examples
    --------
    >>> class_confusion(np.array([[0, 1, 1, 0]]), np.array([[0, 1, 0, 1]]))[1]
    array([[0, 1, 2, 3]], dtype=uint8)
    """
    truth, prediction = checked_labels(truth, prediction)
    stacks = [labels.dtype == np.bool_ and labels.ndim == 3 for labels in (truth, prediction)]
    if not all(stacks) and (any(stacks) or truth.ndim != 2):
        raise LabelError(
            f"Truth ({truth.dtype}) and prediction ({prediction.dtype}) of the shape {truth.shape} "
            "are neither two class maps (H, W) nor two boolean stacks (K, H, W)."
        )
    found = int(max(truth.max(), prediction.max())) + 1
    count = len(truth) if all(stacks) else max(found, 2) if num_classes is None else num_classes
    if not all(stacks) and found > count:
        raise LabelError(
            f"The class index {found - 1} was found, but there are {count} classes "
            f"(0 to {count - 1}). Give class indices, not grey values."
        )
    confusion = np.zeros((count, *truth.shape[-2:]), np.uint8)
    for index, plane in enumerate(confusion):
        there = truth[index] if all(stacks) else truth == index
        here = prediction[index] if all(stacks) else prediction == index
        plane[there & here] = RIGHT
        plane[there & ~here] = MISSED
        plane[here & ~there] = INVENTED
    return confusion


def confusion_map(confusion: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay the planes of several classes into one map to draw; an error covers what is right.

    Parameters
    ----------
    confusion : (K, H, W) uint8 array
        As `class_confusion` gives it; of classes that exclude each other, without the background,
        which is missed wherever something is invented: ``class_confusion(...)[1:]``.

    Returns
    -------
    (H, W) uint8 array
        As in the planes, and `MISTAKEN` where one class was taken for another.

    Examples
    --------
    >>> planes = np.array([[[1, 2, 3, 0, 2]], [[0, 0, 1, 0, 3]]], np.uint8)
    >>> confusion_map(planes)
    array([[1, 2, 3, 0, 4]], dtype=uint8)
    """
    right, missed, invented = (
        (confusion == value).any(axis=0) for value in (RIGHT, MISSED, INVENTED)
    )
    result = np.where(right, RIGHT, 0).astype(np.uint8)
    result[missed] = MISSED
    result[invented] = INVENTED
    result[missed & invented] = MISTAKEN
    return result
