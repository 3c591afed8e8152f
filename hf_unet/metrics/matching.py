"""Scores of instance maps, object by object: SEG and average precision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import maximum_bipartite_matching

from hf_unet.errors import LabelError
from hf_unet.metrics.contingency import contingency_table

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class SegScores:
    """The cell tracking challenge's SEG, and the Jaccard index of each object behind it.

    Attributes
    ----------
    jaccard : (N,) float64 array
        One value for each object of the truth, frame by frame in the order of its ids; 0 for
        an object that no predicted one covers by more than half.
    """

    jaccard: NDArray[np.float64]

    @property
    def score(self) -> float:
        """SEG: the mean over the objects of all frames; NaN if the truth has no object."""
        return float(self.jaccard.mean()) if len(self.jaccard) else float("nan")


@dataclass(frozen=True)
class MatchingCounts:
    """Matched and unmatched objects at several IoU thresholds.

    Counts of several images add up with ``+``.

    Attributes
    ----------
    thresholds : tuple of T floats
    tp, fp, fn : (T,) int64 arrays
        Matched pairs, unmatched predicted objects, unmatched objects of the truth.
    """

    thresholds: tuple[float, ...]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]

    def __add__(self, other: MatchingCounts) -> MatchingCounts:
        if self.thresholds != other.thresholds:
            raise LabelError(
                f"Counts at the IoU thresholds {self.thresholds} cannot be added to counts at "
                f"{other.thresholds}."
            )
        return MatchingCounts(
            self.thresholds, self.tp + other.tp, self.fp + other.fp, self.fn + other.fn
        )

    def average_precision(self, *, empty: float = 1.0) -> NDArray[np.float64]:
        """AP = tp / (tp + fp + fn) at each threshold; `empty` where there are no objects."""
        objects = self.tp + self.fp + self.fn
        result = np.full(self.tp.shape, empty, dtype=np.float64)
        np.divide(self.tp, objects, out=result, where=objects > 0)
        return result


@dataclass(frozen=True, eq=False)
class ObjectMatches:
    """Which objects match, and what became of the others.

    Attributes
    ----------
    threshold : float
        IoU from which on two objects match.
    pairs : (M, 2) int64 array
        True and predicted id of those that match; the ``tp`` of `MatchingCounts`.
    missed : (n,) int64 array
        Ids of true objects that none matches; its ``fn``.
    invented : (n,) int64 array
        Ids of predicted objects that match none; its ``fp``.
    split : (n,) int64 array
        Ids of true objects that hold two or more predicted ones, each by more than half of its
        pixels. One of the parts may match.
    merged : (n,) int64 array
        Ids of predicted objects that hold two or more true ones, likewise.
    """

    threshold: float
    pairs: NDArray[np.int64]
    missed: NDArray[np.int64]
    invented: NDArray[np.int64]
    split: NDArray[np.int64]
    merged: NDArray[np.int64]


def seg_score(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """SEG of the Cell Tracking Challenge.

    An object R of the truth is matched by the predicted object S that covers more than half
    of it, and scores their Jaccard index (IoU), else 0; SEG is the mean over all objects of
    the truth. Predicted objects that match nothing cost nothing.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays, or (T, H, W) arrays of T frames
        Instance ids, 0 is background. Objects are matched within a frame; the mean is over
        the objects of all frames. For frames of different sizes use :func:`seg_scores`.

    Returns
    -------
    float
        0..1; NaN if the truth has no object.

    References
    ----------
    Maska, M. et al. (2014). A benchmark for comparison of cell tracking algorithms.
    Bioinformatics 30, 1609-1617.

    Examples
    --------
    >>> seg_score(np.array([[1, 1, 1, 0, 2, 2]]), np.array([[5, 5, 5, 5, 0, 7]]))
    0.375
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim != 3 or truth.shape != prediction.shape:
        return seg_scores([(truth, prediction)]).score
    return seg_scores(zip(truth, prediction, strict=True)).score


def seg_scores(frames: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> SegScores:
    """SEG of a sequence, with the Jaccard index of every object of the truth.

    Parameters
    ----------
    frames : iterable of (truth, prediction)
        (H, W) integer arrays of instance ids for each frame; frames may differ in size.

    Examples
    --------
    >>> frame = np.array([[1, 1, 0, 2]])
    >>> seg_scores([(frame, frame), (frame, np.array([[1, 1, 0, 0]]))]).jaccard.tolist()
    [1.0, 1.0, 1.0, 0.0]
    """
    jaccard: list[NDArray[np.float64]] = []
    for truth, prediction in frames:
        objects = _objects(truth, prediction)
        true_sizes, predicted_sizes, common = objects.true_sizes, objects.sizes, objects.common
        covered = 2 * common.data > true_sizes[common.row]
        rows, columns, pixels = (
            common.row[covered],
            common.col[covered],
            common.data[covered],
        )
        scores = np.zeros(len(true_sizes))
        scores[rows] = pixels / (true_sizes[rows] + predicted_sizes[columns] - pixels)
        jaccard.append(scores)
    if not jaccard:
        raise LabelError("There are no frames to score. Give at least one pair of frames.")
    return SegScores(np.concatenate(jaccard))


def average_precision(
    truth: NDArray[Any], prediction: NDArray[Any], thresholds: Sequence[float] = THRESHOLDS
) -> NDArray[np.float64]:
    """Average precision of one image at each IoU threshold, as StarDist and cellpose report it.

    AP = tp / (tp + fp + fn), where tp is the largest number of one-to-one pairs of a true and
    a predicted object with an IoU of at least the threshold.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        Instance ids, 0 is background.
    thresholds : sequence of T floats
        IoU, above 0 and at most 1.

    Returns
    -------
    (T,) float64 array
        0..1; 1 if there are no objects in either.

    References
    ----------
    Schmidt, U. et al. (2018). Cell detection with star-convex polygons. MICCAI, 265-273.

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 0, 2, 2]])
    >>> prediction = np.array([[5, 5, 5, 5, 0, 7]])
    >>> average_precision(truth, prediction, thresholds=(0.5, 0.7, 0.9)).round(3).tolist()
    [1.0, 0.333, 0.0]
    """
    return matching_counts(truth, prediction, thresholds).average_precision()


def matching_counts(
    truth: NDArray[Any], prediction: NDArray[Any], thresholds: Sequence[float] = THRESHOLDS
) -> MatchingCounts:
    """Count what is behind :func:`average_precision`; add the counts up to pool images.

    Parameters as for :func:`average_precision`.

    Examples
    --------
    >>> counts = matching_counts(np.array([[1, 1, 2]]), np.array([[1, 1, 0]]), thresholds=(0.5,))
    >>> counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()
    ([1], [0], [1])
    """
    _check_thresholds(thresholds)
    objects = _objects(truth, prediction)
    iou = objects.iou()
    matched = [_largest_matching(objects.common, iou >= threshold) for threshold in thresholds]
    tp = np.array([(partner >= 0).sum() for partner in matched], np.int64)
    return MatchingCounts(
        tuple(thresholds), tp, len(objects.sizes) - tp, len(objects.true_sizes) - tp
    )


def match_objects(
    truth: NDArray[Any], prediction: NDArray[Any], threshold: float = 0.5
) -> ObjectMatches:
    """Say of each object what became of it, by id, so that it can be drawn.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        Instance ids, 0 is background.
    threshold : float
        IoU from which on two objects match, above 0 and at most 1.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2, 2, 0, 3, 3, 3, 3, 0, 4]])
    >>> prediction = np.array([[7, 7, 7, 7, 7, 0, 8, 8, 9, 9, 0, 0]])
    >>> matches = match_objects(truth, prediction)
    >>> matches.pairs.tolist(), matches.missed.tolist(), matches.invented.tolist()
    ([[3, 8]], [1, 2, 4], [7, 9])
    >>> matches.split.tolist(), matches.merged.tolist()
    ([3], [7])
    """
    _check_thresholds([threshold])
    objects = _objects(truth, prediction)
    partner = _largest_matching(objects.common, objects.iou() >= threshold)
    rows = np.flatnonzero(partner >= 0)
    row, column, pixels = objects.common.row, objects.common.col, objects.common.data
    parts = np.bincount(row[2 * pixels > objects.sizes[column]], minlength=len(objects.true_sizes))
    joined = np.bincount(column[2 * pixels > objects.true_sizes[row]], minlength=len(objects.sizes))
    return ObjectMatches(
        threshold=threshold,
        pairs=np.stack([objects.true_ids[rows], objects.ids[partner[rows]]], axis=1),
        missed=objects.true_ids[partner < 0],
        invented=np.delete(objects.ids, partner[rows]),
        split=objects.true_ids[parts > 1],
        merged=objects.ids[joined > 1],
    )


def _check_thresholds(thresholds: Sequence[float]) -> None:
    if not len(thresholds) or not all(0 < threshold <= 1 for threshold in thresholds):
        raise LabelError(
            f"IoU thresholds lie above 0 and at most at 1, but {tuple(thresholds)} was given."
        )


@dataclass(frozen=True, eq=False)
class _Objects:
    """Ids and sizes in pixels of the true and the predicted objects, and their common pixels."""

    true_ids: NDArray[np.int64]
    ids: NDArray[np.int64]
    true_sizes: NDArray[np.int64]
    sizes: NDArray[np.int64]
    common: sparse.coo_array[np.int64]

    def iou(self) -> NDArray[np.float64]:
        """IoU of each pair that has pixels in common."""
        pixels = self.common.data
        union = self.true_sizes[self.common.row] + self.sizes[self.common.col] - pixels
        return np.asarray(pixels / union, np.float64)


def _objects(truth: NDArray[Any], prediction: NDArray[Any]) -> _Objects:
    rows, columns, counts = contingency_table(truth, prediction).matrix()
    return _Objects(
        true_ids=rows[rows != 0],
        ids=columns[columns != 0],
        true_sizes=np.asarray(counts.sum(axis=1))[rows != 0],
        sizes=np.asarray(counts.sum(axis=0))[columns != 0],
        common=sparse.coo_array(counts[rows != 0][:, columns != 0]),
    )


def _largest_matching(
    common: sparse.coo_array[np.int64], wanted: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Column matched to each row, -1 for none."""
    # Above an IoU of 0.5 a match is unique; at 0.5 and below it is a matter of choice.
    # SciPy before 1.15 matches by indices of 32 bits alone.
    rows, columns = (index[wanted].astype(np.int32) for index in (common.row, common.col))
    pairs = sparse.csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=common.shape)
    partner = maximum_bipartite_matching(pairs, perm_type="column")
    return np.asarray(partner, np.intp)
