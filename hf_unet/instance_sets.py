"""Instances -> a few sets of them, the distances to which tell the two nearest instances.

Only pixels with d1 + d2 < reach matter. Two instances further apart than the reach never meet in
such a pixel, so they may share a color, as countries on a map do; a handful of colors is enough.
Each color stands for a choice of r out of n sets, and its instances belong to those r sets. Of the
n distances from a pixel to the sets, the r smallest are d1, since r sets hold the nearest instance.
The next one is d2, since every other color is in a set that the nearest's is not in. Four sets tell
six colors apart, and 14 sets 3000 instances without any coloring.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


class InstanceSets(NamedTuple):
    """Sets of instances such that the r + 1 smallest distances to them tell d1 and d2."""

    pixels: npt.NDArray[np.unsignedinteger]  # (H, W) bit s: the pixel is in set s
    total: int  # sets, n
    chosen: int  # sets that hold an instance, r

    def outside(self, member: int, rows: slice = slice(None)) -> npt.NDArray[np.uint8]:
        """1 where a pixel is not in the set, else 0."""
        bit = self.pixels.dtype.type(1 << member)
        outside: npt.NDArray[np.bool_] = (self.pixels[rows] & bit) == 0
        return outside.view(np.uint8)


def instance_sets(labels: npt.NDArray[np.integer], reach: float) -> InstanceSets | None:
    """Sets good for pixels with d1 + d2 < reach, none of them empty; None without an instance."""
    runs = _row_runs(labels)
    if runs.instances == 0:
        return None
    pairs = _neighbors(runs, labels.shape, reach) if reach < max(labels.shape) else None
    colors = np.arange(runs.instances) if pairs is None else _map_coloring(runs.instances, pairs)
    total, chosen = _sets_for(int(colors.max()) + 1)
    membership = np.append(0, _choices(colors, total, chosen))
    size = next(size for size in (1, 2, 4, 8) if total <= 8 * size)
    membership = membership.astype(f"u{size}")
    pixels = np.repeat(membership[runs.numbers], runs.lengths).reshape(labels.shape)
    return InstanceSets(pixels, total, chosen)


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


def _neighbors(
    runs: _Runs, shape: tuple[int, ...], reach: float
) -> tuple[IntArray, IntArray] | None:
    """Pairs of instances whose bounding boxes are nearer than the reach.

    None if there are too many of them for the pixels, so that the time grows with pixels only.
    (Up to these limits coloring pays: 250,000 pairs in 2048x2048 pixels take an eighth of a second
    and save a third of all processor time.)
    """
    pixels, width = math.prod(shape), shape[1]
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
    if total > pixels // 2:
        return None
    i = np.repeat(after - 1, candidates)
    j = np.arange(total) + np.repeat(after - np.cumsum(candidates) + candidates, candidates)
    dy = np.maximum(y0[j] - y1[i], 0)
    dx = np.maximum(np.maximum(x0[j] - x1[i], x0[i] - x1[j]), 0)
    near = dy * dy + dx * dx < reach * reach
    if np.count_nonzero(near) > pixels // 16:
        return None
    return order[i[near]], order[j[near]]


def _map_coloring(count: int, pairs: tuple[IntArray, IntArray]) -> IntArray:
    """Colors 0, 1, ... such that the two of a pair differ: the lowest free one, busiest first."""
    neighbors: list[list[int]] = [[] for _ in range(count)]
    for i, j in zip(pairs[0].tolist(), pairs[1].tolist(), strict=True):
        neighbors[i].append(j)
        neighbors[j].append(i)
    taken = [0] * count  # bit c: a neighbor has color c
    colors = [0] * count
    for node in sorted(range(count), key=lambda node: -len(neighbors[node])):
        lowest = ~taken[node] & (taken[node] + 1)
        colors[node] = lowest.bit_length() - 1
        for other in neighbors[node]:
            taken[other] |= lowest
    return np.array(colors)


def _sets_for(colors: int) -> tuple[int, int]:
    """Numbers n and r such that there are at least so many choices of r out of n sets.

    >>> _sets_for(1), _sets_for(6), _sets_for(10), _sets_for(3000)
    ((1, 1), (4, 2), (5, 2), (14, 6))
    """
    fewest = next(n for n in itertools.count(1) if math.comb(n, (n + 1) // 2) >= colors)
    options = []
    for count in range(fewest, fewest + 8):
        chosen = next(r for r in range(1, count + 1) if math.comb(count, r) >= colors)
        # A set costs its transform and a little for each of the r + 1 smallest distances.
        options.append((count * (10 + chosen), count, chosen))
    return min(options)[1:]


def _choices(numbers: IntArray, count: int, chosen: int) -> IntArray:
    """Different choices for different numbers, as bits: the combinatorial number system.

    >>> [f"{bits:04b}" for bits in _choices(np.arange(6), 4, 2)]
    ['0011', '0101', '0110', '1001', '1010', '1100']
    """
    left = np.full(numbers.shape, chosen)
    bits = np.zeros_like(numbers)
    for member in reversed(range(count)):
        without = np.array([math.comb(member, r) for r in range(chosen + 1)])[left]
        taken = numbers >= without
        numbers = numbers - np.where(taken, without, 0)
        left = left - taken
        bits |= taken.astype(bits.dtype) << member
    return bits
