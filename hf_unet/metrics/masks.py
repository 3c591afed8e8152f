"""Masks as people have them: two-class maps read alike, their cells numbered, borders thinned."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hf_unet.errors import LabelError
from hf_unet.metrics.contingency import checked_shapes


def as_classes(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Map a mask (boolean, 0/255 or probabilities) to classes 0 and 1; leave class indices."""
    if labels.dtype.kind == "f":
        if not (labels.min() >= 0 and labels.max() <= 1):  # NaN fails this too
            raise LabelError(
                f"The {name} holds values from {labels.min():g} to {labels.max():g}, but "
                "probabilities lie between 0 and 1. Give probabilities or class indices."
            )
        probable: NDArray[np.bool_] = labels > 0.5
        return probable
    if labels.dtype.kind in "iu" and labels.max() == 255:
        if not np.isin(labels, (0, 255)).all():
            raise LabelError(
                f"The {name} holds grey values, not a mask of 0 and 255. Threshold it first, or "
                "give probabilities between 0 and 1."
            )
        inside: NDArray[np.bool_] = labels == 255
        return inside
    return labels


def as_membrane_maps(
    truth: NDArray[Any], prediction: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give both as (N, H, W), the truth boolean, once they are known to be membrane maps."""
    truth, prediction = checked_shapes(truth, prediction)
    if truth.ndim not in (2, 3):
        raise LabelError(
            f"Membrane maps have the shape (H, W) or (sections, H, W), but {truth.shape} was given."
        )
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "biuf":
            raise LabelError(f"The {name} is of type {labels.dtype}, which is no membrane map.")
        if as_classes(labels, name).max() > 1 or labels.min() < 0:
            raise LabelError(
                f"The {name} holds values from {labels.min()} to {labels.max()}, but a membrane "
                "map holds 0 and 1, 0 and 255, or probabilities between 0 and 1."
            )
    shape = truth.shape if truth.ndim == 3 else (1, *truth.shape)
    true_map = as_classes(truth, "truth").astype(bool)
    return true_map.reshape(shape), prediction.reshape(shape)


def numbered_cells(cells: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give the 4-connected components of a (H, W) mask numbers from 1; 0 is membrane."""
    numbers, _ = ndimage.label(cells)
    return np.asarray(numbers, dtype=np.int64)


def thin_borders(cells: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Grow the cells evenly until only lines one pixel wide part them.

    Breadth-first flooding from all 4-connected cells at once; a pixel whose 4-neighbors belong
    to different cells when its turn comes stays border. Pixels wait in column-major order,
    which decides on which side of an even-width border the line comes to lie; the challenge's
    figures depend on it.

    Parameters
    ----------
    cells : (H, W) boolean array

    Returns
    -------
    (H, W) int64 array
        The number of the cell, 0 on the lines.

    Examples
    --------
    >>> thin_borders(np.array([[1, 0, 0, 0, 1]], dtype=bool)).tolist()
    [[1, 1, 0, 2, 2]]
    """
    numbers = np.pad(numbered_cells(cells), 1, constant_values=-1)
    # Column-major from here on: a step of 1 goes down, a step of `height` goes right.
    height = numbers.shape[0]
    unreached = numbers == 0
    reached = numbers > 0
    beside = np.zeros_like(reached)
    beside[1:-1, 1:-1] = (
        reached[:-2, 1:-1] | reached[2:, 1:-1] | reached[1:-1, :-2] | reached[1:-1, 2:]
    )
    front = unreached & beside
    waiting = deque(np.flatnonzero(front.ravel(order="F")).tolist())
    unseen = (unreached & ~front).ravel(order="F").tolist()
    number = numbers.ravel(order="F").tolist()
    while waiting:
        pixel = waiting.popleft()
        neighbors = (pixel - 1, pixel - height, pixel + height, pixel + 1)
        touching = {number[neighbor] for neighbor in neighbors if number[neighbor] > 0}
        if len(touching) == 1:
            number[pixel] = touching.pop()
        for neighbor in neighbors:
            if unseen[neighbor]:
                unseen[neighbor] = False
                waiting.append(neighbor)
    grown = np.array(number, dtype=np.int64).reshape(numbers.shape, order="F")
    return grown[1:-1, 1:-1]
