"""Warping error: what is left to correct after borders may move but topology may not.

The truth is deformed towards the prediction by flipping pixels one at a time, each flip
allowed only if it changes no topology (a "simple point"). Pixels that still differ in the end
are topological errors: splits, merges, holes, objects.

References
----------
.. [1] Jain, V. et al. (2010). Boundary learning by optimization with topological constraints.
       CVPR, 2488-2495.
.. [2] Bertrand, G. and Malandain, G. (1994). A new characterization of three-dimensional
       simple points. Pattern Recognition Letters 15, 169-175.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hf_unet.errors import LabelError
from hf_unet.metrics.masks import as_classes, as_membrane_maps, numbered_cells

# The eight neighbors (row, column), clockwise; the even ones are the 4-neighbors.
RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


KINDS = (
    "split",
    "merge",
    "object addition",
    "object deletion",
    "hole addition",
    "hole deletion",
)


@dataclass(frozen=True)
class WarpingScores:
    """Numbers of pixels that no warping can correct, by what the prediction does wrong there.

    Attributes
    ----------
    splits : int
        The prediction parts a cell that is one in the truth.
    merges : int
        It joins cells that are apart in the truth.
    object_additions, object_deletions : int
        It has a cell where there is none, or none where there is one.
    hole_additions, hole_deletions : int
        It adds or removes a piece of membrane that a cell encloses.
    pixels : int
        Number of pixels scored.
    """

    splits: int
    merges: int
    object_additions: int
    object_deletions: int
    hole_additions: int
    hole_deletions: int
    pixels: int

    @property
    def error(self) -> float:
        """The warping error: the fraction of pixels that are in any topological error."""
        wrong = (
            self.splits
            + self.merges
            + self.object_additions
            + self.object_deletions
            + self.hole_additions
            + self.hole_deletions
        )
        return wrong / self.pixels

    @property
    def splits_and_merges_error(self) -> float:
        """The fraction of pixels that are in splits or merges."""
        return (self.splits + self.merges) / self.pixels


@dataclass(frozen=True)
class WarpingMark:
    """One error to mark on the image: pixels of one kind that touch, corners included.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    row, column : float
        Their centre, in pixels.
    radius : float
        From there to the centre of the farthest, in pixels.
    pixels : int
    """

    kind: str
    row: float
    column: float
    radius: float
    pixels: int


@dataclass(frozen=True, eq=False)
class WarpingErrors:
    """Where one section cannot be corrected by any warping, and why.

    Attributes
    ----------
    places : (N, 2) int64 array
        Row and column of each pixel, sorted.
    kinds : tuple of N str
        What is wrong there, of `KINDS`.
    shape : (height, width)
        Of the section.
    """

    places: NDArray[np.int64]
    kinds: tuple[str, ...]
    shape: tuple[int, int]

    @property
    def scores(self) -> WarpingScores:
        """How many there are: what :func:`warping_scores` says of the section."""
        return _scores([self])

    def of(self, kind: str) -> NDArray[np.int64]:
        """(n, 2) int64 array: the places of one of `KINDS`."""
        return self.places[[one == kind for one in self.kinds]]

    @property
    def marks(self) -> tuple[WarpingMark, ...]:
        """The errors as people count them, largest first: a merge may be a gap of many pixels."""
        marks = []
        for kind in KINDS:
            plane = np.zeros(self.shape, np.bool_)
            plane[tuple(self.of(kind).T)] = True
            numbers, _ = ndimage.label(plane, structure=np.ones((3, 3)))
            for number, box in enumerate(ndimage.find_objects(numbers), start=1):
                corner = [edge.start for edge in box]
                pixels = np.argwhere(numbers[box] == number) + corner
                row, column = pixels.mean(axis=0).tolist()
                radius = float(np.hypot(*(pixels - (row, column)).T).max())
                marks.append(WarpingMark(kind, row, column, radius, len(pixels)))
        return tuple(sorted(marks, key=lambda mark: -mark.pixels))


def warping_error(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Fraction of pixels that differ after warping the truth onto the prediction.

    Parameters
    ----------
    truth, prediction : (H, W) arrays, or (N, H, W) arrays of N sections
        Cells are 1, membranes 0: boolean, 0/1, 0/255, or probabilities of being cell in 0..1
        (threshold 0.5; the surest pixels are flipped first). Cells are 4-connected, membranes
        8-connected; around the image is membrane.

    Returns
    -------
    float
        0..1; 0 means that the topology agrees.

    Raises
    ------
    LabelError
        If the shapes differ or the arrays are no such maps.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 1, 1]])
    >>> shifted = np.array([[1, 0, 0, 1, 1]])
    >>> merged = np.array([[1, 1, 1, 1, 1]])
    >>> warping_error(truth, shifted), warping_error(truth, merged)
    (0.0, 0.2)
    """
    wrong = 0
    true_maps, predicted_maps = as_membrane_maps(truth, prediction)
    for true_map, predicted_map in zip(true_maps, predicted_maps, strict=True):
        _, differ = _warp(true_map, predicted_map)
        wrong += int(differ.sum())
    return wrong / true_maps.size


def warping_scores(truth: NDArray[Any], prediction: NDArray[Any]) -> WarpingScores:
    """Take :func:`warping_error` apart into splits, merges, objects and holes.

    Parameters as for :func:`warping_error`.

    Examples
    --------
    >>> warping_scores(np.array([[1, 1, 0, 1, 1]]), np.array([[1, 1, 1, 1, 1]])).merges
    1
    """
    sections = zip(*as_membrane_maps(truth, prediction), strict=True)
    return _scores([_errors(true_map, predicted_map) for true_map, predicted_map in sections])


def warping_errors(truth: NDArray[Any], prediction: NDArray[Any]) -> WarpingErrors:
    """Find the places of what :func:`warping_scores` counts, to be marked on the image.

    Parameters
    ----------
    truth, prediction : (H, W) arrays
        As for :func:`warping_error`, of one section.

    Notes
    -----
    Where several warpings are equally short, as where cells merge along a wall, the pixels are
    those of the one that the challenge's code would find.

    Examples
    --------
    >>> errors = warping_errors(np.array([[1, 1, 0, 1, 1]]), np.array([[1, 1, 1, 1, 1]]))
    >>> errors.places.tolist(), errors.kinds
    ([[0, 2]], ('merge',))
    """
    true_maps, predicted_maps = as_membrane_maps(truth, prediction)
    if len(true_maps) > 1:
        raise LabelError(
            f"Errors are placed in one section, but {len(true_maps)} were given. Give them one by "
            "one."
        )
    return _errors(true_maps[0], predicted_maps[0])


def _errors(truth: NDArray[np.bool_], prediction: NDArray[Any]) -> WarpingErrors:
    warped, differ = _warp(truth, prediction)
    height, width = truth.shape
    places = np.argwhere(differ).astype(np.int64) - 1  # both are padded
    return WarpingErrors(places, tuple(_kinds(warped, differ)), (height, width))


def _scores(sections: Sequence[WarpingErrors]) -> WarpingScores:
    counts = Counter(kind for section in sections for kind in section.kinds)
    return WarpingScores(
        **{f"{kind.replace(' ', '_')}s": counts[kind] for kind in KINDS},
        pixels=sum(math.prod(section.shape) for section in sections),
    )


def _warp(
    truth: NDArray[np.bool_], prediction: NDArray[Any]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the warped truth and where it still differs, both padded with membrane."""
    target = np.pad(as_classes(prediction, "prediction").astype(bool), 1)
    sureness = np.zeros(target.shape)
    if prediction.dtype.kind == "f":
        sureness[1:-1, 1:-1] = np.abs(prediction.astype(np.float64) - 0.5)
    # Column-major order, surest pixels first, round after round: the order of the challenge's
    # code. It decides which of several equally short warpings is found.
    height = target.shape[0]
    steps = [row + column * height for row, column in RING]
    flat_target = target.ravel(order="F")
    flat_sureness = sureness.ravel(order="F")
    simple = _simple_points()
    warped = bytearray(np.pad(truth, 1).ravel(order="F").astype(np.uint8).tobytes())
    remaining = -1
    while True:
        differ = np.frombuffer(bytes(warped), dtype=np.bool_) != flat_target
        pixels = np.flatnonzero(differ)
        if len(pixels) in (0, remaining):
            break
        remaining = len(pixels)
        for pixel in pixels[np.argsort(-flat_sureness[pixels], kind="stable")].tolist():
            ring = 0
            for bit, step in enumerate(steps):
                ring |= warped[pixel + step] << bit
            if simple[ring]:
                warped[pixel] ^= 1
    warped_map = np.frombuffer(bytes(warped), dtype=np.bool_).reshape(target.shape, order="F")
    return warped_map, differ.reshape(target.shape, order="F")


@cache
def _simple_points() -> tuple[bool, ...]:
    """Tell for each of the 256 rings of neighbors whether the pixel inside may flip.

    It may if exactly one 4-component of cell in the ring touches it by a side, and the ring
    holds exactly one 8-component of membrane.
    """
    allowed = []
    for ring in range(256):
        cells = np.zeros((3, 3), dtype=bool)
        for bit, (row, column) in enumerate(RING):
            cells[1 + row, 1 + column] = ring >> bit & 1
        membrane = ~cells
        membrane[1, 1] = False
        numbers = numbered_cells(cells)
        touching = {int(numbers[1 + row, 1 + column]) for row, column in RING[::2]} - {0}
        _, membranes = ndimage.label(membrane, structure=np.ones((3, 3)))
        allowed.append(len(touching) == 1 and membranes == 1)
    return tuple(allowed)


def _kinds(warped: NDArray[np.bool_], differ: NDArray[np.bool_]) -> Iterator[str]:
    """Name what flipping each differing pixel alone would do to the warped truth."""
    cells = numbered_cells(warped)
    boxes = ndimage.find_objects(cells)
    for row, column in np.argwhere(differ).tolist():
        around = warped[row - 1 : row + 2, column - 1 : column + 2]
        sides = [around[1 + down, 1 + right] for down, right in RING[::2]]
        if not any(sides):
            yield "object deletion" if warped[row, column] else "object addition"
        elif warped[row, column]:
            box = boxes[cells[row, column] - 1]
            rest = cells[box] == cells[row, column]
            rest[row - box[0].start, column - box[1].start] = False
            if numbered_cells(rest).max() > 1:
                yield "split"
            else:
                # All round it is cell: a hole opens. Else a ring of cell is cut through, and
                # the membrane inside joins the one outside.
                yield "hole addition" if around.all() else "hole deletion"
        else:
            neighbors = {int(cells[row + down, column + right]) for down, right in RING[::2]} - {0}
            if len(neighbors) > 1:
                yield "merge"
            else:
                yield "hole deletion" if around.sum() == 8 else "hole addition"
