"""Labels -> w(x): the boundary weight map of Ronneberger, Fischer and Brox (2015), eq. 2.

The definition asks for the distance to every instance, one transform each. Three observations make
the cost grow with pixels instead:

1. Only the two nearest instances count, and only where d1 + d2 < reach: beyond it the boundary
   term is smaller than `TOLERANCE`. Two instances further apart than the reach never meet in a
   pixel, so they may share a color, as countries on a map do. A handful of colors is enough.
2. Colors are written in digits. For each digit, take the distances to the sets of instances that
   share a value of it. The smallest is d1; the second-smallest is d2 for a digit in which the two
   nearest instances differ, and never less than d2 for the others. So the minimum over the digits
   is d2: a sum of the digits' bases instead of one transform per color.
3. Within a short reach the squared distance to a set is the minimum of a few shifted copies of
   its column distances (a parabola), which is cheaper than a general transform.
"""

import heapq
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from .errors import LabelError

TOLERANCE = 5e-6
"""A boundary term below this is left out; half of the 1e-5 that the result promises."""

PARABOLA_REACH = 48
"""Up to this reach, in pixels, shifted minima are faster than OpenCV's exact transform."""

MAX_CONFLICTS = 200_000
"""Above so many neighboring pairs, coloring costs more than the transforms it would save."""

FAR = 190  # stands for "beyond the reach" in uint8: FAR + 32 <= 255, FAR**2 + 48**2 <= 65535
TILE = (128, 1024)  # rows and columns measured at once, so that the arrays stay in the cache
CHUNK = 65536  # elements in one NumPy call: large enough for its overhead, small for the cache

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)


def boundary_weight_map(
    instances: npt.ArrayLike,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: tuple[float, float] | None = None,
    inside: bool = False,
) -> FloatArray:
    r"""Weight of every pixel in the loss: class balance plus emphasis on separation borders.

    .. math:: w(x) = w_c(x) + w_0 \exp\left(-\frac{(d_1(x) + d_2(x))^2}{2 \sigma^2}\right)

    Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, equation 2.

    Parameters
    ----------
    instances : (H, W) array of integers >= 0
        0 is background, every other number an instance, whether in one piece or several.
    w0 : float
        Height of the boundary term, >= 0.
    sigma : float
        Its width in pixels, > 0.
    class_weights : (float, float), optional
        w_c of background and of foreground. By default n / (2 n_class) for an image of n pixels,
        which is the paper's 1 / frequency scaled so that a balanced image has w_c = 1; an image
        that holds only one class has w_c = 1. ``(0, 0)`` leaves the boundary term alone.
    inside : bool
        Extend the boundary term into the instances, where d1 = 0. By default it stands on the
        background only, as in the paper's figure 3d.

    Returns
    -------
    (H, W) float32
        Within 1e-5 of the definition for w0 up to 100; for larger w0, within float32 rounding.

    Raises
    ------
    LabelError
        If the instances are no 2-D array of whole numbers >= 0.
    ValueError
        If w0, sigma or class_weights are out of range.

    See Also
    --------
    instance_distances, weight_map_from_distances : the same in two steps.

    Examples
    --------
    Between two cells the single pixel is at d1 = d2 = 1: exp(-4/50) = 0.923.

    >>> import numpy as np
    >>> w = boundary_weight_map(np.array([[1, 0, 2, 2]]), w0=10, sigma=5, class_weights=(0, 0))
    >>> w.round(2).tolist()
    [[0.0, 9.229999542236328, 0.0, 0.0]]
    """
    labels = _checked(instances)
    _check_term(w0, sigma)
    foreground = labels != 0
    balance = _class_balance(foreground, class_weights)
    runs = _row_runs(labels)
    if runs.instances < 2 or w0 <= TOLERANCE:
        return np.where(foreground, np.float32(balance[1]), np.float32(balance[0]))
    # The term falls to TOLERANCE where d1 + d2 = reach. The distances are too large, never too
    # small, beyond it, so what is left of the term there is below TOLERANCE as well.
    reach = sigma * math.sqrt(2 * math.log(w0 / TOLERANCE))
    weights = np.empty(labels.shape, np.float32)
    term = _BoundaryTerm(w0, sigma, inside)
    for tile, d1, d2 in _two_nearest(runs, labels.shape, reach):
        term.weigh(d1, d2, foreground[tile], balance, out=weights[tile])
    return weights


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
    labels = _checked(instances)
    if not reach > 0:
        raise ValueError(f"The reach is {reach}; it must be a distance above 0 pixels.")
    d1 = np.full(labels.shape, np.inf, np.float32)
    d2 = np.full(labels.shape, np.inf, np.float32)
    for tile, nearest, second in _two_nearest(_row_runs(labels), labels.shape, reach):
        np.copyto(d1[tile], nearest, where=nearest < reach)
        np.copyto(d2[tile], second, where=nearest + second < reach)
    return d1, d2


def weight_map_from_distances(
    d1: npt.NDArray[np.floating],
    d2: npt.NDArray[np.floating],
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: tuple[float, float] | None = None,
    inside: bool = False,
) -> FloatArray:
    """Boundary weight map from distances already known: instant for new values of w0 and sigma.

    Parameters
    ----------
    d1, d2 : (H, W) float
        Distances in pixels from `instance_distances`; the foreground is where d1 is 0.
    w0, sigma, class_weights, inside
        As for `boundary_weight_map`.

    Returns
    -------
    (H, W) float32

    Raises
    ------
    ValueError
        If the distances differ in shape, or w0, sigma or class_weights are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> instances = np.array([[1, 0, 2, 2]])
    >>> w = weight_map_from_distances(*instance_distances(instances), w0=10, sigma=5)
    >>> np.array_equal(w, boundary_weight_map(instances, w0=10, sigma=5))
    True
    """
    if d1.ndim != 2 or d1.shape != d2.shape or d1.size == 0:
        raise ValueError(
            f"The distances have shapes {d1.shape} and {d2.shape}; they must be two arrays of "
            "the same height and width."
        )
    _check_term(w0, sigma)
    foreground = d1 == 0
    balance = _class_balance(foreground, class_weights)
    weights = np.empty(d1.shape, np.float32)
    _BoundaryTerm(w0, sigma, inside).weigh(d1, d2, foreground, balance, out=weights)
    return weights


def _checked(instances: npt.ArrayLike) -> npt.NDArray[np.integer]:
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


def _check_term(w0: float, sigma: float) -> None:
    if not (math.isfinite(w0) and w0 >= 0):
        raise ValueError(f"w0 is {w0}; it must be a number of at least 0 (the paper's is 10).")
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma is {sigma}; it must be above 0 pixels (the paper's is 5).")


def _class_balance(
    foreground: npt.NDArray[np.bool_], class_weights: tuple[float, float] | None
) -> tuple[float, float]:
    """w_c of (background, foreground)."""
    if class_weights is None:
        n = foreground.size
        inside = int(np.count_nonzero(foreground))
        return (1.0, 1.0) if inside in (0, n) else (n / (2 * (n - inside)), n / (2 * inside))
    if len(class_weights) != 2 or not all(math.isfinite(w) and w >= 0 for w in class_weights):
        raise ValueError(
            f"class_weights is {class_weights}; it must be two numbers of at least 0, for "
            "background and for foreground."
        )
    return float(class_weights[0]), float(class_weights[1])


class _BoundaryTerm(NamedTuple):
    """The second term of equation 2 and where it stands."""

    w0: float
    sigma: float
    inside: bool

    def weigh(
        self,
        d1: npt.NDArray[np.floating],
        d2: npt.NDArray[np.floating],
        foreground: npt.NDArray[np.bool_],
        balance: tuple[float, float],
        out: FloatArray,
    ) -> None:
        """Equation 2, a few rows at a time so that they stay in the cache."""
        # float32 is good to 1e-6 for the paper's w0; a large w0 would magnify its rounding.
        dtype = np.float32 if self.w0 <= 16 else np.float64
        background_weight, foreground_weight = (dtype(w) for w in balance)
        scale = min(math.sqrt(0.5) / self.sigma, 1e30)  # float32 holds it for any sigma
        step = max(1, CHUNK // d1.shape[1])
        for top in range(0, d1.shape[0], step):
            rows = slice(top, top + step)
            term = np.add(d1[rows], d2[rows], dtype=dtype)
            np.multiply(term, dtype(scale), out=term)
            with np.errstate(over="ignore"):  # a far pixel's square may be infinite: exp gives 0
                np.multiply(term, term, out=term)
            np.negative(term, out=term)
            np.exp(term, out=term)
            np.multiply(term, dtype(self.w0), out=term)
            if self.inside:
                np.add(term, foreground_weight, out=term, where=foreground[rows])
                np.add(term, background_weight, out=term, where=~foreground[rows])
            else:
                np.add(term, background_weight, out=term)
                np.copyto(term, foreground_weight, where=foreground[rows])
            np.copyto(out[rows], term, casting="same_kind")


Tile = tuple[slice, slice]
_Nearest = tuple[Tile, FloatArray, FloatArray]  # d1 and d2 of a tile, to be used before the next


class _Runs(NamedTuple):
    """A label image as runs of equal pixels along its rows, the instances numbered 1..count."""

    starts: IntArray  # (N,) flat index of each run's first pixel
    lengths: IntArray  # (N,) pixels
    numbers: IntArray  # (N,) 0 for background
    instances: int  # how many


def _row_runs(labels: npt.NDArray[np.integer]) -> _Runs:
    flat = labels.reshape(-1)
    change = np.empty(flat.size, np.bool_)
    np.not_equal(flat[1:], flat[:-1], out=change[1:])
    change[:: labels.shape[1]] = True
    starts = np.flatnonzero(change)
    ids = flat[starts]
    top = int(ids.max())
    if top <= max(65535, flat.size):
        present = np.zeros(top + 1, np.bool_)
        present[ids] = True
        present[0] = True  # number 0 stays the background's even if there is none
        number = np.cumsum(present) - 1
        numbers, count = number[ids], int(number[-1])
    else:
        unique, numbers = np.unique(ids, return_inverse=True)
        count = len(unique) - int(unique[0] == 0)
        numbers = numbers + int(unique[0] != 0)
    return _Runs(starts, np.diff(starts, append=flat.size), numbers, count)


def _two_nearest(runs: _Runs, shape: tuple[int, ...], reach: float) -> Iterator[_Nearest]:
    """d1 where it is below the reach, d2 where d1 + d2 is; not below the truth elsewhere."""
    if runs.instances == 0:
        return
    pairs = _neighbors(runs, shape[1], reach) if reach < max(shape) else None
    colors = np.arange(runs.instances) if pairs is None else _map_coloring(runs.instances, pairs)
    bases = _digit_bases(int(colors.max()) + 1)
    membership = np.zeros(runs.instances + 1, _smallest_unsigned(sum(bases)))
    bit = 0
    for base in bases:
        membership[1:] |= np.left_shift(1, (bit + colors % base).astype(membership.dtype))
        colors = colors // base
        bit += base
    sets = np.repeat(membership[runs.numbers], runs.lengths).reshape(shape)
    if reach <= PARABOLA_REACH:
        yield from _nearest_by_parabola(sets, bases, math.ceil(reach) - 1)
    else:
        yield from _nearest_by_transform(sets, bases)


def _neighbors(runs: _Runs, width: int, reach: float) -> tuple[IntArray, IntArray] | None:
    """Pairs of instances whose bounding boxes are nearer than the reach; None if too many."""
    of_instance = runs.numbers > 0
    number = runs.numbers[of_instance] - 1
    row, left = np.divmod(runs.starts[of_instance], width)
    right = left + runs.lengths[of_instance] - 1
    # Runs come in the order of their rows: the last one written stays.
    y0, y1 = np.empty(runs.instances, np.int64), np.empty(runs.instances, np.int64)
    y0[number[::-1]] = row[::-1]
    y1[number] = row
    x0, x1 = np.full(runs.instances, width, np.int64), np.zeros(runs.instances, np.int64)
    np.minimum.at(x0, number, left)
    np.maximum.at(x1, number, right)

    order = np.argsort(y0, kind="stable")
    y0, y1, x0, x1 = y0[order], y1[order], x0[order], x1[order]
    after = np.arange(1, runs.instances + 1)
    candidates = np.searchsorted(y0, y1 + reach, side="right") - after
    total = int(candidates.sum())
    if total > 20 * MAX_CONFLICTS:
        return None
    i = np.repeat(after - 1, candidates)
    j = np.arange(total) + np.repeat(after - np.cumsum(candidates) + candidates, candidates)
    dy = np.maximum(y0[j] - y1[i], 0)
    dx = np.maximum(np.maximum(x0[j] - x1[i], x0[i] - x1[j]), 0)
    near = dy * dy + dx * dx < reach * reach
    if np.count_nonzero(near) > MAX_CONFLICTS:
        return None
    return order[i[near]], order[j[near]]


def _map_coloring(count: int, pairs: tuple[IntArray, IntArray]) -> IntArray:
    """Colors 0, 1, ... such that the two of a pair differ: Brelaz's DSATUR (1979)."""
    neighbors: list[list[int]] = [[] for _ in range(count)]
    for i, j in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
        neighbors[i].append(j)
        neighbors[j].append(i)
    taken = [0] * count  # bit c: a neighbor has color c
    color = [-1] * count
    heap = [(0, -len(others), node) for node, others in enumerate(neighbors)]
    heapq.heapify(heap)
    while heap:
        saturation, _, node = heapq.heappop(heap)
        if color[node] >= 0 or -saturation != taken[node].bit_count():
            continue  # an entry that a later one replaced
        lowest = ~taken[node] & (taken[node] + 1)
        color[node] = lowest.bit_length() - 1
        for other in neighbors[node]:
            if color[other] < 0 and not taken[other] & lowest:
                taken[other] |= lowest
                entry = (-taken[other].bit_count(), -len(neighbors[other]), other)
                heapq.heappush(heap, entry)
    return np.array(color)


def _digit_bases(colors: int) -> list[int]:
    """Bases of digits that tell so many colors apart, with the smallest sum of bases.

    >>> _digit_bases(1), _digit_bases(4), _digit_bases(6), _digit_bases(200)
    ([1], [2, 2], [2, 3], [3, 3, 3, 3, 3])
    """
    if colors == 1:
        return [1]
    # Threes tell most colors apart for their sum; one or two twos avoid overshooting.
    options = []
    for twos in range(3):
        threes = 0
        while 2**twos * 3**threes < colors:
            threes += 1
        options.append([2] * twos + [3] * threes)
    return min(options, key=sum)


def _smallest_unsigned(bits: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype(f"u{next(size for size in (1, 2, 4, 8) if bits <= 8 * size)}")


def _nearest_by_transform(
    sets: npt.NDArray[np.unsignedinteger], bases: list[int]
) -> Iterator[_Nearest]:
    """d1 and d2 by one exact Euclidean distance transform for each set of instances."""
    d1 = np.full(sets.shape, np.inf, np.float32)
    d2 = np.full(sets.shape, np.inf, np.float32)
    bit = 0
    for base in bases:
        nearest = np.full(sets.shape, np.inf, np.float32)
        second = np.full(sets.shape, np.inf, np.float32)
        for member in range(bit, bit + base):
            outside = ((sets & sets.dtype.type(1 << member)) == 0).view(np.uint8)
            if outside.all():
                continue  # OpenCV's answer for an empty set is not infinite
            distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            np.minimum(second, np.maximum(distance, nearest), out=second)
            np.minimum(nearest, distance, out=nearest)
        np.minimum(d1, nearest, out=d1)
        np.minimum(d2, second, out=d2)
        bit += base
    yield (slice(0, sets.shape[0]), slice(0, sets.shape[1])), d1, d2


def _nearest_by_parabola(
    sets: npt.NDArray[np.unsignedinteger], bases: list[int], reach: int
) -> Iterator[_Nearest]:
    """d1 and d2, exact where they are at most the reach, from shifted minima; tile by tile."""
    scratch = _Scratch()
    for top in range(0, sets.shape[0], TILE[0]):
        for left in range(0, sets.shape[1], TILE[1]):
            bottom = min(top + TILE[0], sets.shape[0])
            right = min(left + TILE[1], sets.shape[1])
            tile = slice(top, bottom), slice(left, right)
            shape = bottom - top, right - left
            nearest = scratch.array("nearest", shape, np.uint16)
            second = scratch.array("second", shape, np.uint16)
            nearest.fill(FAR**2)
            second.fill(FAR**2)
            bit = 0
            for base in bases:
                squared = _squared_distances(sets, tile, range(bit, bit + base), reach, scratch)
                _merge_two_smallest(squared, nearest, second, scratch)
                bit += base
            d1 = np.sqrt(nearest, out=scratch.array("d1", shape, np.float32))
            d2 = np.sqrt(second, out=scratch.array("d2", shape, np.float32))
            yield tile, d1, d2


class _Scratch:
    """Memory used again for every tile: fresh pages cost more than the arithmetic on them."""

    def __init__(self) -> None:
        self._stores: dict[str, npt.NDArray[np.uint8]] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: type[Scalar]) -> npt.NDArray[Scalar]:
        """Array of undefined content, the same memory for the same name, on a cache line."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        store = self._stores.get(name)
        if store is None or store.size < size + 64:
            store = self._stores[name] = np.empty(size + 64, np.uint8)
        offset = -store.ctypes.data % 64
        return store[offset : offset + size].view(dtype).reshape(shape)


def _merge_two_smallest(
    squared: npt.NDArray[np.uint16],
    nearest: npt.NDArray[np.uint16],
    second: npt.NDArray[np.uint16],
    scratch: _Scratch,
) -> None:
    """Fold one digit's sets, axis 1 of `squared`, into the two smallest over all digits."""
    low = scratch.array("low", nearest.shape, np.uint16)
    high = scratch.array("high", nearest.shape, np.uint16)
    larger = scratch.array("larger", nearest.shape, np.uint16)
    low[:] = squared[:, 0]
    high.fill(FAR**2)
    for plane in range(1, squared.shape[1]):
        other = squared[:, plane]
        np.maximum(low, other, out=larger)
        np.minimum(high, larger, out=high)
        np.minimum(low, other, out=low)
    np.minimum(nearest, low, out=nearest)
    np.minimum(second, high, out=second)


def _squared_distances(
    sets: npt.NDArray[np.unsignedinteger],
    tile: Tile,
    members: range,
    reach: int,
    scratch: _Scratch,
) -> npt.NDArray[np.uint16]:
    """Squared distance of the tile's pixels to each set, exact up to the reach: (rows, sets, cols).

    First along the rows: the distance to the nearest member in the same row, by steps of 1, 2, 4,
    ... pixels. Then along the columns: the minimum over k of (row distance k rows away)^2 + k^2.
    """
    top, left = tile[0].start, tile[1].start
    bottom, right = tile[0].stop, tile[1].stop
    reach_y = min(reach, sets.shape[0] - 1)
    first_row, first_column = max(0, top - reach_y), max(0, left - reach)
    window = sets[first_row : bottom + reach_y, first_column : right + reach]

    shape = window.shape[0], len(members), window.shape[1]
    distance = scratch.array("distance", shape, np.uint8)
    stepped = scratch.array("stepped", shape, np.uint8)
    for plane, member in enumerate(members):
        outside = (window & window.dtype.type(1 << member)) == 0
        np.multiply(outside.view(np.uint8), np.uint8(FAR), out=distance[:, plane])
    step = 1
    while step <= min(reach, window.shape[1] - 1):
        np.add(distance, np.uint8(step), out=stepped)
        np.minimum(distance[..., step:], stepped[..., :-step], out=distance[..., step:])
        np.minimum(distance[..., :-step], stepped[..., step:], out=distance[..., :-step])
        step *= 2

    rows, columns = bottom - top, right - left
    stride = len(members) * columns
    above = reach_y - (top - first_row)  # rows that the image does not have
    squares = scratch.array("squares", ((rows + 2 * reach_y) * stride,), np.uint16)
    squares[: above * stride] = FAR**2
    squares[(above + window.shape[0]) * stride :] = FAR**2
    inside = squares[above * stride :][: window.shape[0] * stride]
    inside = inside.reshape(window.shape[0], len(members), columns)
    np.copyto(inside, distance[..., left - first_column :][..., :columns])
    np.multiply(inside, inside, out=inside)

    result = scratch.array("result", (rows * stride,), np.uint16)
    result[:] = squares[reach_y * stride :][: result.size]
    pair = scratch.array("pair", (min(CHUNK, result.size),), np.uint16)
    for start in range(0, result.size, CHUNK):
        target = result[start : start + CHUNK]
        center = start + reach_y * stride
        nearer = pair[: target.size]
        for k in range(1, reach_y + 1):
            over, under = center - k * stride, center + k * stride
            np.minimum(
                squares[over : over + target.size],
                squares[under : under + target.size],
                out=nearer,
            )
            np.add(nearer, np.uint16(k * k), out=nearer)
            np.minimum(target, nearer, out=target)
    return result.reshape(rows, len(members), columns)
