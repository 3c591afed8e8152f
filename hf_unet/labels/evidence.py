"""What the values of a label page look like: objects, classes, pixels left out, or damage."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from skimage import measure

Array: TypeAlias = NDArray[Any]

FEW = 10
"""Up to as many values besides 0 may be classes as well as objects."""

_TOPS = (255, 65535)


def looks_smoothed(values: Array) -> bool:
    """Whether whole-numbered values are too scattered to be the ids of objects.

    An object is a region: it has a pixel whose four neighbors are its own, and few pieces.
    In an anti-aliased or JPEG-compressed mask, or a photograph, most values are specks on
    edges. Masks that reach the bright half of their range are held to the first, all to the
    second (more than 8 pieces per value).

    Examples
    --------
    >>> mask = np.zeros((9, 9), np.uint8)
    >>> mask[2:7, 2:7] = 255
    >>> mask[4, 1:8:6] = 100          # a smoothed edge
    >>> looks_smoothed(mask)
    True
    """
    ids = _ids(values)
    if len(ids) < 2:
        return False
    if _pieces(values, 1).max() > 8 * len(ids):
        return True
    if values.dtype.kind not in "ui" or ids[-1] <= np.iinfo(values.dtype).max // 2:
        return False
    return 2 * len(_with_inside(values)) <= len(ids)


def looks_scattered(values: Array) -> bool:
    """Whether whole-numbered values are no ids even if objects are of any size and shape.

    They are none if they lie in more than 8 pieces each, on the whole; pixels that meet at a
    corner are of one piece here, as those of a line one pixel wide. Neither are they if 255 or
    65535 alone has an inside and all others lie beside each other or beside it: edges of a
    smoothed mask. Up to 16 values are never too scattered for who says that they are objects.
    """
    ids = _ids(values)
    if len(ids) <= 16:
        return False
    if _pieces(values, 2).max() > 8 * len(ids):
        return True
    if ids[-1] not in _TOPS or _with_inside(values).tolist() != [ids[-1]]:
        return False
    beside = np.zeros(values.shape, np.bool_)
    for neighbor in _neighbors(values):
        beside |= (neighbor != 0) & (neighbor != values)
    return bool(np.isin(ids, values[beside]).all())


def left_out_value(values: Array) -> int | None:
    """The value that seems to mark pixels left out (void, ignore), or None if none does.

    It is 255 or 65535 above values 0..n without gaps that end far below it. It is an object's
    own where only it has an inside: the values below are the noise of a mask then.

    Examples
    --------
    >>> left_out_value(np.array([[0, 1, 255], [0, 1, 255]]))
    255
    >>> left_out_value(np.array([[0, 7, 255]])), left_out_value(np.array([[0, 255]]))
    (None, None)
    """
    found = np.unique(values)
    top, below = int(found[-1]), len(found) - 2
    if top not in _TOPS or below < 1 or found[0] != 0 or found[-2] != below:
        return None
    if 2 * below > top or _with_inside(values).tolist() == [top]:
        return None
    return top


def may_be_classes(values: Array) -> bool:
    """Whether whole-numbered values, 0 and several others, may be classes as well as objects.

    They may be if they are few, and half of them lie in several pieces: the nuclei and the debris
    of one image, where of an object there is one. A piece of less than a tenth of its value's
    largest does not count, as a stray pixel. Two values may be also if they are the three
    evenly spread greys 0, 128 and 255, or if one never meets the 0, as within a rim.

    Examples
    --------
    >>> may_be_classes(np.array([[1, 0, 1, 0, 2]])), may_be_classes(np.array([[1, 1, 0, 0, 2]]))
    (True, False)
    >>> may_be_classes(np.array([[0, 2, 1, 1, 2, 0]]))
    True
    """
    ids = _ids(values)
    if not 2 <= len(ids) <= FEW:
        return False
    places, sizes = np.unique(_pieces(values, 2), return_index=True, return_counts=True)[1:]
    values_of_pieces = values.ravel()[places]
    several = 0
    for value in ids:
        own = sizes[values_of_pieces == value]
        several += int((10 * own >= own.max()).sum() > 1)
    if 2 * several >= len(ids):
        return True
    if len(ids) > 2:
        return False
    return ids.tolist() in ([127, 255], [128, 255]) or not _meets_zero(values, ids).all()


def _ids(values: Array) -> Array:
    return np.asarray(np.unique(values[values != 0]))


def _pieces(values: Array, connectivity: int) -> Array:
    """Number of the connected piece of each pixel; 0 where the value is 0."""
    label: Any = measure.label  # typed in some versions only
    pieces: Array = label(values.astype(np.int64), background=0, connectivity=connectivity)
    return pieces


def _neighbors(values: Array) -> tuple[Array, ...]:
    """Values above, below, to the left and to the right; beyond the image the pixel's own."""
    padded = np.pad(values, 1, mode="edge")
    return padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]


def _with_inside(values: Array) -> Array:
    """The values other than 0 that have a pixel whose four neighbors are of its value."""
    inner = values != 0
    for neighbor in _neighbors(values):
        inner &= values == neighbor
    return np.asarray(np.unique(values[inner]))


def _meets_zero(values: Array, ids: Array) -> NDArray[np.bool_]:
    """Which of the ids have a pixel beside one of value 0."""
    edge = np.zeros(values.shape, np.bool_)
    for neighbor in _neighbors(values):
        edge |= neighbor == 0
    return np.isin(ids, values[edge])
