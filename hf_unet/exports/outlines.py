"""Instances <-> polygons that run along pixel edges, so that area and shape survive exactly."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage import measure

from hf_unet.errors import LabelError
from hf_unet.exports.checks import check_instances

Ring = npt.NDArray[np.int64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Polygon:
    """One 4-connected piece of an instance.

    Attributes
    ----------
    exterior
        (n, 2) int64 corners as (x, y) in pixels; (0, 0) is the top left corner of the top left
        pixel. The ring is open: the last corner is not the first one again. Its signed area is
        positive, which is RFC 7946's counterclockwise for axes x and y; on a screen, where y
        points down, it looks clockwise.
    holes
        One such ring for each hole, of negative signed area.
    """

    exterior: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def area(self) -> int:
        """Number of pixels inside: the exterior's area less that of the holes."""
        return round(signed_area(self.exterior) + sum(map(signed_area, self.holes)))


def signed_area(ring: npt.ArrayLike) -> float:
    """Area in square pixels of an open or closed ring, by the shoelace formula.

    Parameters
    ----------
    ring
        (n, 2) corners as (x, y).

    Returns
    -------
    float
        Positive if the ring turns from the x axis to the y axis, else negative.

    Examples
    --------
    >>> signed_area([(0, 0), (1, 0), (1, 1), (0, 1)])
    1.0
    """
    x, y = np.asarray(ring, dtype=np.float64).T
    # Relative to the first corner, so that far from the origin no digits are lost.
    x, y = x - x[0], y - y[0]
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2


def trace_outlines(instances: npt.ArrayLike) -> dict[int, tuple[Polygon, ...]]:
    """Trace exact outlines of all instances, along the edges between pixels.

    Parameters
    ----------
    instances
        (H, W) integers or booleans, 0 = background, every other value one instance.

    Returns
    -------
    dict
        Instance id, ascending, -> its polygons, one for each 4-connected piece: pixels that
        meet only at a corner are two polygons. The areas sum to the instance's number of pixels.

    Raises
    ------
    LabelError
        The array is not 2-D, not of whole numbers, or negative.

    Notes
    -----
    Holes are 4-connected regions too, so no ring touches itself; rings may meet at single
    points. Both are what GeoJSON's readers accept as valid (OGC Simple Features).
    All outlines are traced together: the cost grows with pixels and outline length only.

    Examples
    --------
    >>> (square,) = trace_outlines([[0, 0], [0, 7]])[7]
    >>> square.exterior.tolist(), square.area
    ([[2, 1], [2, 2], [1, 2], [1, 1]], 1)
    """
    ids = check_instances(instances)
    # A frame of background spares every test for the image's border.
    framed = np.pad(_pieces(ids), 1)
    owner, x, y, following = _corners(framed)
    order, lengths = _cycles(following)
    starts = np.cumsum(lengths) - lengths
    xy = np.stack([x[order], y[order]], axis=1)
    piece_of_ring = owner[order[starts]]
    # Twice the signed area of every ring at once; `after` is each corner's successor.
    after = xy[np.argsort(order)[following[order]]]
    cross = xy[:, 0] * after[:, 1] - after[:, 0] * xy[:, 1]
    is_hole = (np.add.reduceat(cross, starts) if len(starts) else cross) < 0
    id_of_ring = _id_of_piece(ids, framed[1:-1, 1:-1])[piece_of_ring]

    outlines: dict[int, list[Polygon]] = {}
    rings: list[Ring] = []
    # By instance, then by piece, the exterior before its holes.
    by_piece = np.lexsort((is_hole, piece_of_ring, id_of_ring))
    for n, ring in enumerate(by_piece):
        rings.append(xy[starts[ring] : starts[ring] + lengths[ring]])
        if n + 1 == len(by_piece) or piece_of_ring[by_piece[n + 1]] != piece_of_ring[ring]:
            polygon = Polygon(rings[0], tuple(rings[1:]))
            outlines.setdefault(int(id_of_ring[ring]), []).append(polygon)
            rings = []
    return {instance: tuple(polygons) for instance, polygons in outlines.items()}


def fill_outlines(
    outlines: Mapping[int, Sequence[Polygon]], shape: tuple[int, int]
) -> npt.NDArray[np.int32]:
    """Fill outlines along pixel edges with their instance: the inverse of `trace_outlines`.

    Parameters
    ----------
    outlines
        Instance id -> polygons whose edges are horizontal or vertical, on whole pixels.
        Instances do not overlap.
    shape
        (H, W) of the image.

    Returns
    -------
    ndarray
        (H, W) int32, 0 = background.

    Raises
    ------
    LabelError
        An outline has slanted edges or leaves the image.

    Examples
    --------
    >>> ring = np.array([(1, 0), (3, 0), (3, 1), (1, 1)])
    >>> fill_outlines({5: [Polygon(ring)]}, (2, 4)).tolist()
    [[0, 5, 5, 0], [0, 0, 0, 0]]
    """
    height, width = shape
    # Walking right along a row, the value changes where a vertical edge is crossed.
    steps = np.zeros((height, width + 1), dtype=np.int64)
    for instance, ring in _rings(outlines):
        x, y = ring.T
        dx, dy = np.roll(x, -1) - x, np.roll(y, -1) - y
        if np.any((dx != 0) & (dy != 0)):
            raise LabelError(
                f"Outline {instance} has slanted edges; only outlines that follow the edges of "
                "pixels can be filled exactly."
            )
        if x.min() < 0 or y.min() < 0 or x.max() > width or y.max() > height:
            raise LabelError(
                f"Outline {instance} leaves the image of {width} x {height} pixels; "
                "give the size of the image it was drawn on."
            )
        length = np.abs(dy)
        first = np.cumsum(length) - length
        within = np.arange(int(length.sum())) - np.repeat(first, length)
        rows = np.repeat(np.minimum(y, y + dy), length) + within
        np.add.at(steps, (rows, np.repeat(x, length)), np.repeat(-np.sign(dy), length) * instance)
    return np.cumsum(steps, axis=1)[:, :width].astype(np.int32)


def _rings(outlines: Mapping[int, Sequence[Polygon]]) -> Iterator[tuple[int, Ring]]:
    """All rings with their instance, turned the way `Polygon` says."""
    for instance, polygons in outlines.items():
        for polygon in polygons:
            for sign, rings in ((1, (polygon.exterior,)), (-1, polygon.holes)):
                for ring in rings:
                    yield instance, ring if signed_area(ring) * sign > 0 else ring[::-1]


def _pieces(ids: _Ints) -> npt.NDArray[np.int32]:
    label: Callable[..., npt.NDArray[np.int32]] = measure.label  # has no types of its own
    return label(ids, connectivity=1, background=0).astype(np.int32)


def _id_of_piece(ids: _Ints, pieces: npt.NDArray[np.int32]) -> _Ints:
    """Instance id of every piece; entry 0 is the background's 0."""
    table = np.zeros(int(pieces.max()) + 1, dtype=np.int64)
    table[pieces.ravel()] = ids.ravel()
    return table


def _corners(framed: npt.NDArray[np.int32]) -> tuple[_Ints, _Ints, _Ints, _Ints]:
    """Corners of all outlines: (owner's piece, x, y, index of the following corner), each (n,).

    Every pixel has four edges, run so that the pixel lies on the same side of them: its top to
    the right (direction 0), its right side down (1), its bottom to the left (2), its left side
    up (3). An edge whose outer neighbor is of another piece is part of an outline. A corner is
    the end of the last edge of a straight run, and is known by that edge.
    """
    height, width = framed.shape
    flat = framed.ravel()
    ahead = (1, width, -1, -width)
    turns: list[_Ints] = []  # pixels, by direction, in the order in which the runs are walked
    turn_keys: list[_Ints] = []
    next_pixel: list[_Ints] = []
    next_direction: list[_Ints] = []
    for d in range(4):
        outside = ahead[d - 1]
        # Pairs of equal-valued neighbors across a whole array: the frame makes wrapping harmless.
        edge = np.flatnonzero((flat != np.roll(flat, -outside)) & (flat != 0))
        piece = flat[edge]
        diagonal = edge + ahead[d] + outside
        # Where the piece goes on diagonally, the outline follows it there, so that background
        # regions that meet at this point become two holes rather than one that touches itself.
        inward = flat[diagonal] == piece
        straight = ~inward & (flat[edge + ahead[d]] == piece)
        pixel = edge[~straight]
        key = _walk_key(pixel, d, height, width)
        sort = np.argsort(key)
        pixel, key, inward = pixel[sort], key[sort], inward[~straight][sort]
        turns.append(pixel)
        turn_keys.append(key)
        next_pixel.append(np.where(inward, pixel + ahead[d] + outside, pixel))
        next_direction.append(np.where(inward, (d + 3) % 4, (d + 1) % 4))

    counts = [len(pixel) for pixel in turns]
    offset = np.cumsum([0, *counts])
    following = np.zeros(offset[-1], dtype=np.int64)
    start_pixel, start_direction = np.concatenate(next_pixel), np.concatenate(next_direction)
    for d in range(4):
        runs = start_direction == d
        keys = _walk_key(start_pixel[runs], d, height, width)
        # The run that starts here ends at the first turn at or after it.
        following[runs] = offset[d] + np.searchsorted(turn_keys[d], keys)

    pixel = np.concatenate(turns)
    row, column = np.divmod(pixel, width)
    direction = np.repeat(np.arange(4), counts)
    # End of the edge, less the frame's one pixel.
    x = column - 1 + (direction <= 1)
    y = row - 1 + ((direction == 1) | (direction == 2))
    return flat[pixel].astype(np.int64), x, y, following


def _walk_key(pixel: _Ints, direction: int, height: int, width: int) -> _Ints:
    """Give a number that grows along every line walked in this direction, line after line."""
    row, column = np.divmod(pixel, width)
    key = pixel if direction in (0, 2) else column * height + row
    return key if direction <= 1 else -key


def _cycles(following: _Ints) -> tuple[_Ints, _Ints]:
    """Cycles of a permutation: (all indices, cycle after cycle; the cycles' lengths)."""
    successor = following.tolist()
    seen = bytearray(len(successor))
    order: list[int] = []
    lengths: list[int] = []
    for start in range(len(successor)):
        if seen[start]:
            continue
        before = len(order)
        corner = start
        while not seen[corner]:
            seen[corner] = 1
            order.append(corner)
            corner = successor[corner]
        lengths.append(len(order) - before)
    return np.array(order, dtype=np.int64), np.array(lengths, dtype=np.int64)
