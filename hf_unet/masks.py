"""Probabilities to masks, and what the values of a mask are called."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def decide(
    probabilities: NDArray[np.float32],
    *,
    multilabel: bool,
    thresholds: Sequence[float] | None = None,
) -> NDArray[Any]:
    """Probabilities to a mask.

    Parameters
    ----------
    probabilities : (K, H, W) float32 array, 0 .. 1
    multilabel : bool
        Whether the classes may overlap.
    thresholds : sequence of float, optional
        One for each class if ``multilabel``; else one, for the foreground of one or two classes.

    Returns
    -------
    (K, H, W) bool array if ``multilabel``, else (H, W) uint8 array of class indices.

    Examples
    --------
    >>> probabilities = np.array([[[0.6, 0.2]], [[0.4, 0.8]]], np.float32)
    >>> decide(probabilities, multilabel=False)
    array([[0, 1]], dtype=uint8)
    >>> decide(probabilities, multilabel=False, thresholds=[0.3])
    array([[1, 1]], dtype=uint8)
    """
    count = len(probabilities)
    if multilabel:
        limits = np.asarray(thresholds or [0.5] * count, np.float32)
        planes: NDArray[np.bool_] = probabilities >= limits[:, None, None]
        return planes
    if count == 1 or (count == 2 and thresholds is not None):
        (limit,) = thresholds or (0.5,)
        foreground: NDArray[np.bool_] = probabilities[-1] >= np.float32(limit)
        return foreground.astype(np.uint8)
    indices: NDArray[np.intp] = probabilities.argmax(axis=0)
    return indices.astype(np.uint8)


def names_of_mask(
    classes: Sequence[str], *, multilabel: bool = False, border: bool = False
) -> tuple[str, ...]:
    """Names of the values of a mask, or of its planes, from those of a network's classes.

    A lone class of a sigmoid has a background beside it; the border belongs to the object.

    Examples
    --------
    >>> names_of_mask(["cell"]), names_of_mask(["background", "cell", "border"], border=True)
    (('background', 'cell'), ('background', 'cell'))
    """
    if border:
        return tuple(classes[:2])
    if len(classes) == 1 and not multilabel:
        return ("background", *classes)
    return tuple(classes)
