"""Masks to instances, and instances kept apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class LabelledObjects:
    """Instances of a mask and what each of them is.

    Attributes
    ----------
    labels : (H, W) int32 array
        0 is background, 1 .. n the instances.
    class_of : (n,) int array
        Class index of instance 1, 2, ..., n.
    """

    labels: NDArray[np.int32]
    class_of: NDArray[np.intp]


def label_objects(mask: NDArray[Any], min_area: int = 0) -> LabelledObjects:
    """Number the 4-connected pieces of every foreground class.

    Pixels that touch only at a corner are two objects: the separation border that the weight
    map trains may be a single diagonal line of pixels.

    Parameters
    ----------
    mask : (H, W) integer array of class indices, 0 the background
    min_area : int
        Objects of fewer pixels are left out.

    Examples
    --------
    >>> objects = label_objects(np.array([[1, 1, 0, 2], [0, 0, 1, 2]]))
    >>> objects.labels
    array([[1, 1, 0, 3],
           [0, 0, 2, 3]], dtype=int32)
    >>> objects.class_of
    array([1, 1, 2])
    """
    labels = np.zeros(mask.shape, np.int32)
    class_of: list[NDArray[np.intp]] = []
    count = 0
    for index in np.unique(mask[mask > 0]):
        pieces, number = ndimage.label(mask == index)
        renumbered = np.zeros(number + 1, np.int32)
        areas = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
        kept = np.flatnonzero(areas >= min_area)
        renumbered[kept + 1] = count + 1 + np.arange(len(kept))
        labels += renumbered[pieces]
        class_of.append(np.full(len(kept), index, np.intp))
        count += len(kept)
    return LabelledObjects(labels, np.concatenate(class_of) if class_of else np.zeros(0, np.intp))


def separate_touching(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    """Turn the pixels where two instances touch into background: the separation border.

    Only then can a network that knows background and foreground keep them apart (Ronneberger
    et al. 2015, figure 3). A pixel touches if one of its 4-neighbours is of another instance.

    Examples
    --------
    >>> separate_touching(np.array([[1, 1, 1, 2, 2, 2]], np.int32))
    array([[1, 1, 0, 0, 2, 2]], dtype=int32)
    """
    touching = np.zeros(instances.shape, np.bool_)
    for here, there in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
    ):
        one, other = instances[here], instances[there]
        meet = (one != other) & (one > 0) & (other > 0)
        touching[here] |= meet
        touching[there] |= meet
    return np.where(touching, np.int32(0), instances)
