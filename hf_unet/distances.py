"""Instances -> d1 and d2: the distances to the nearest and the second-nearest instance.

The definition takes one distance transform for each instance. Here a few suffice, one for each of
the `instance_sets`. Within a short reach even those are not needed: the squared distance to a set
is the minimum of shifted copies of the squared distances along the rows (a parabola).
"""

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .errors import LabelError
from .instance_sets import InstanceSets, instance_sets

PARABOLA_REACH = 96
"""Up to this reach, in pixels, shifted minima; beyond it, OpenCV's exact transform.

Measured for four sets on two cores: both take the same time at about 110 pixels for an image of
512x512, and further out for larger ones.
"""

FAR = 190  # stands for "beyond the reach" in uint8: FAR + 64 < 256, FAR**2 + 96**2 < 65536
CHUNK = 65536  # elements in one NumPy call: large enough for its overhead, small for the cache

FloatArray = npt.NDArray[np.float32]
Plane = npt.NDArray[Any]  # float32 distances or uint16 squares
Receiver = Callable[[slice, FloatArray, FloatArray], None]


def instance_distances(
    instances: npt.ArrayLike, reach: float = math.inf
) -> tuple[FloatArray, FloatArray]:
    """Distances from each pixel to its nearest and second-nearest instance: d1 and d2 of eq. 2.

    Parameters
    ----------
    instances : (H, W) array of integers >= 0
        0 is background, every other number an instance, whether in one piece or several.
    reach : float
        Distances in pixels that matter, > 0. A short reach is much faster.

    Returns
    -------
    d1, d2 : (H, W) float32
        Euclidean distances in pixels between pixel centers. d1 is 0 inside an instance. d1 is
        infinite where it is not below the reach, d2 where d1 + d2 is not below it, and both where
        there is no such instance.

    Raises
    ------
    LabelError
        If the instances are no 2-D array of whole numbers >= 0.
    ValueError
        If the reach is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> d1, d2 = instance_distances(np.array([[7, 0, 0, 0, 9]]))
    >>> d1.tolist(), d2.tolist()
    ([[0.0, 1.0, 2.0, 1.0, 0.0]], [[4.0, 3.0, 2.0, 3.0, 4.0]])
    """
    labels = checked_instances(instances)
    if not reach > 0:
        raise ValueError(f"The reach is {reach}; it must be a distance above 0 pixels.")
    d1 = np.full(labels.shape, np.inf, np.float32)
    d2 = np.full(labels.shape, np.inf, np.float32)

    def keep(rows: slice, nearest: FloatArray, second: FloatArray) -> None:
        np.copyto(d1[rows], nearest, where=nearest < reach)
        np.copyto(d2[rows], second, where=nearest + second < reach)

    two_nearest(labels, reach, keep)
    return d1, d2


def checked_instances(instances: npt.ArrayLike) -> npt.NDArray[np.integer]:
    """The instances as a contiguous 2-D integer array, or a LabelError that says why not."""
    try:
        labels = np.asarray(instances)
    except ValueError as error:
        raise LabelError("The instances have rows of different lengths.") from error
    if labels.ndim != 2 or labels.size == 0:
        raise LabelError(
            f"The instances have shape {labels.shape}; they must be one 2-D label image "
            "(height, width) with at least one pixel."
        )
    if labels.dtype == np.bool_:
        labels = labels.view(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer):
        raise LabelError(
            f"The instances are of type {labels.dtype}; they must be whole numbers, 0 for "
            "background and one number for each instance."
        )
    if labels.min() < 0:
        raise LabelError(
            f"The instances hold the negative number {labels.min()}; use 0 for background and "
            "positive numbers for instances."
        )
    return np.ascontiguousarray(labels)


def two_nearest(labels: npt.NDArray[np.integer], reach: float, receive: Receiver) -> None:
    """Hand d1 and d2 to `receive`, some rows at a time.

    d1 is exact where it is below the reach, and d2 where d1 + d2 is; elsewhere they are large
    enough not to be below it either. Without an instance nothing is handed over.
    """
    sets = instance_sets(labels, reach)
    if sets is None:
        return
    if reach <= PARABOLA_REACH:
        _by_parabola(sets, reach, receive)
    else:
        _by_transform(sets, receive)


def _insert(plane: Plane, smallest: list[Plane], spare: Plane) -> None:
    """Fold a plane into the smallest so far, sorted at each pixel. Overwrites plane and spare."""
    for level in smallest[:-1]:
        np.maximum(level, plane, out=spare)
        np.minimum(level, plane, out=level)
        plane, spare = spare, plane
    np.minimum(smallest[-1], plane, out=smallest[-1])


def _by_transform(sets: InstanceSets, receive: Receiver) -> None:
    """One exact Euclidean distance transform for each set."""
    height, width = sets.pixels.shape
    smallest = [np.full((height, width), np.inf, np.float32) for _ in range(sets.chosen + 1)]
    step = max(1, CHUNK // width)
    strips = [slice(top, top + step) for top in range(0, height, step)]
    spare = np.empty((step, width), np.float32)
    for member in range(sets.total):
        outside = sets.outside(member)  # never everything: no set is empty
        distance = np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))
        for rows in strips:
            plane = distance[rows]
            _insert(plane, [level[rows] for level in smallest], spare[: len(plane)])
    for rows in strips:
        receive(rows, smallest[0][rows], smallest[-1][rows])


def _by_parabola(sets: InstanceSets, reach: float, receive: Receiver) -> None:
    """Distances below the reach from shifted minima, in strips of rows that fit the cache."""
    height, width = sets.pixels.shape
    # What is below the reach lies at most so many pixels away along a row or a column.
    along_row = math.ceil(reach) - 1
    along_column = min(along_row, height - 1)
    step = max(1, 2 * CHUNK // width, 4 * along_column)

    def measure(top: int) -> None:
        bottom = min(top + step, height)
        seen = slice(max(0, top - along_column), min(height, bottom + along_column))
        # Rows beyond the image stay far.
        squares = np.full((bottom - top + 2 * along_column, width), FAR**2, np.uint16)
        within = squares[along_column - top + seen.start :][: seen.stop - seen.start]
        strip = bottom - top, width
        smallest = [np.full(strip, FAR**2, np.uint16) for _ in range(sets.chosen + 1)]
        for member in range(sets.total):
            _square_along_rows(sets.outside(member, seen), along_row, out=within)
            _fold_along_columns(squares, along_column, smallest)
        d1, d2 = (np.sqrt(smallest[i], dtype=np.float32) for i in (0, -1))
        receive(slice(top, bottom), d1, d2)

    # One after another: the steps are so short that two threads wait for Python's lock, and take
    # 1.2 to 1.5 times as long as one.
    for top in range(0, height, step):
        measure(top)


def _square_along_rows(
    outside: npt.NDArray[np.uint8], reach: int, out: npt.NDArray[np.uint16]
) -> None:
    """Squared distance to the nearest 0 in the same row, exact up to the reach."""
    height, width = outside.shape
    # With a gap as long as the reach after each row, all rows can be handled as one line.
    length = width + reach
    step = max(1, 2 * CHUNK // length)
    for top in range(0, height, step):
        part = outside[top : top + step]
        rows = np.full((len(part), length), FAR, np.uint8)
        np.multiply(part, np.uint8(FAR), out=rows[:, :width])
        line = rows.reshape(-1)
        further = np.empty_like(line)
        hop = 1  # hops of 1, 2, 4, ... reach every distance up to their sum
        while hop <= min(reach, line.size - 1):
            np.add(line, np.uint8(hop), out=further)
            np.minimum(line[hop:], further[:-hop], out=line[hop:])
            np.minimum(line[:-hop], further[hop:], out=line[:-hop])
            hop *= 2
        out[top : top + step] = rows[:, :width]
    np.multiply(out, out, out=out)


def _fold_along_columns(
    squares: npt.NDArray[np.uint16], reach: int, smallest: list[npt.NDArray[np.uint16]]
) -> None:
    """Minimum over k of the square k rows away plus k**2, folded into the smallest so far.

    `squares` has as many rows more than `smallest` as the reach, at the top and at the bottom.
    """
    width = squares.shape[1]
    line = squares.reshape(-1)
    levels = [level.reshape(-1) for level in smallest]
    plane, spare = np.empty((2, CHUNK), np.uint16)
    for start in range(0, levels[0].size, CHUNK):
        here = [level[start : start + CHUNK] for level in levels]
        size = here[0].size
        nearest, pair = plane[:size], spare[:size]
        center = start + reach * width
        nearest[:] = line[center : center + size]
        for k in range(1, reach + 1):
            above, below = center - k * width, center + k * width
            np.minimum(line[above : above + size], line[below : below + size], out=pair)
            np.add(pair, np.uint16(k * k), out=pair)
            np.minimum(nearest, pair, out=nearest)
            if k in (4, 8, 16, 32) and nearest.max() <= k * k:
                break  # rows further away cannot be nearer
        _insert(nearest, here, pair)
