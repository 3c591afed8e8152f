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
        true_sizes, predicted_sizes, common = _objects(truth, prediction)
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
    if not len(thresholds) or not all(0 < threshold <= 1 for threshold in thresholds):
        raise LabelError(
            f"IoU thresholds lie above 0 and at most at 1, but {tuple(thresholds)} was given."
        )
    true_sizes, predicted_sizes, common = _objects(truth, prediction)
    union = true_sizes[common.row] + predicted_sizes[common.col] - common.data
    iou = common.data / union
    tp = np.array([_largest_matching(common, iou >= threshold) for threshold in thresholds])
    return MatchingCounts(tuple(thresholds), tp, len(predicted_sizes) - tp, len(true_sizes) - tp)


def _objects(
    truth: NDArray[Any], prediction: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], sparse.coo_array[np.int64]]:
    """Return the sizes of the true and the predicted objects and their common pixels."""
    rows, columns, counts = contingency_table(truth, prediction).matrix()
    true_sizes = np.asarray(counts.sum(axis=1))[rows != 0]
    predicted_sizes = np.asarray(counts.sum(axis=0))[columns != 0]
    common = counts[rows != 0][:, columns != 0]
    return true_sizes, predicted_sizes, sparse.coo_array(common)


def _largest_matching(common: sparse.coo_array[np.int64], wanted: NDArray[np.bool_]) -> int:
    # Above an IoU of 0.5 a match is unique; at 0.5 and below it is a matter of choice.
    pairs = sparse.csr_array(
        (np.ones(wanted.sum(), dtype=np.int8), (common.row[wanted], common.col[wanted])),
        shape=common.shape,
    )
    return int((maximum_bipartite_matching(pairs, perm_type="column") >= 0).sum())
