"""The ISBI 2012 challenge's region scores for membrane maps: Rand error, V_rand, V_info.

A map says 1 (or 255, or a probability above 0.5) in the cells and 0 on the membrane. The
cells are the 4-connected components. Only pixels that are cell in the truth are scored
("foreground-restricted"), and each of those that the prediction calls membrane counts as an
object of its own.

References
----------
.. [1] Arganda-Carreras, I. et al. (2015). Crowdsourcing the creation of image segmentation
       algorithms for connectomics. Frontiers in Neuroanatomy 9, 142.
.. [2] Rand, W. M. (1971). Objective criteria for the evaluation of clustering methods.
       Journal of the American Statistical Association 66, 846-850.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import adapted_rand_error as skimage_adapted_rand_error

from hf_unet.errors import LabelError
from hf_unet.metrics.contingency import (
    ContingencyTable,
    checked_labels,
    checked_shapes,
    contingency_table,
)
from hf_unet.metrics.masks import (
    as_classes,
    as_membrane_maps,
    numbered_cells,
    thin_borders,
)


@dataclass(frozen=True)
class RandScores:
    """Foreground-restricted Rand scores.

    Attributes
    ----------
    precision : float
        1 if no two cells of the truth are merged (the challenge's V_rand merge score).
    recall : float
        1 if no cell of the truth is split or eaten into (its V_rand split score).
    f_score : float
        Their harmonic mean: V_rand. The challenge's leader board called 1 - f_score the Rand
        error.
    error : float
        1 - Rand index: the fraction of pixel pairs that one map puts together and the other
        apart. The mean over the sections of a stack.
    """

    precision: float
    recall: float
    f_score: float
    error: float


@dataclass(frozen=True)
class InformationScores:
    """Foreground-restricted information scores, the mean over the sections of a stack.

    Attributes
    ----------
    precision : float
        Mutual information / entropy of the prediction; lost by splitting.
    recall : float
        Mutual information / entropy of the truth; lost by merging.
    f_score : float
        2 x mutual information / sum of the entropies: V_info.
    """

    precision: float
    recall: float
    f_score: float


def rand_error(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """Rand error of two membrane maps, or of two instance maps.

    Membrane maps are scored as the ISBI 2012 challenge's code does: 1 - foreground-restricted
    Rand index, the `error` of :func:`rand_scores`. Where either array is an integer map of
    instance ids (holds other values than 0, 1 and 255), both are taken for instance maps, and
    the result is that of :func:`adapted_rand_error`. The two figures are not comparable.

    Parameters
    ----------
    truth, prediction : (H, W) arrays, or (N, H, W) arrays of N sections
        Membrane maps: boolean, 0/1, 0/255 or probabilities of being cell in 0..1 (threshold
        0.5). Or instance maps: integers, 0 is background.

    Returns
    -------
    float
        0 (no error) to 1.

    Notes
    -----
    The leader board, and so the U-Net paper's table 1, calls another figure the Rand error:
    ``1 - rand_scores(truth, prediction).f_score``.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 1, 1]])
    >>> merged = np.array([[1, 1, 1, 1, 1]])
    >>> round(rand_error(truth, merged), 4)
    0.6667
    """
    truth, prediction = checked_shapes(truth, prediction)
    if _holds_instances(truth) or _holds_instances(prediction):
        return adapted_rand_error(truth, prediction)
    return rand_scores(truth, prediction).error


def adapted_rand_error(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """1 - F-score over pixel pairs of two instance maps, as scikit-image computes it.

    Pixels that are 0 in the truth are left out; 0 in the prediction is a segment like the
    others.

    Parameters
    ----------
    truth, prediction : (H, W) integer arrays
        Instance ids.

    Examples
    --------
    >>> round(adapted_rand_error(np.array([[2, 1], [1, 2]]), np.array([[1, 2], [3, 1]])), 7)
    0.3333333
    """
    truth, prediction = checked_labels(truth, prediction)
    table = contingency_table(truth, prediction).without_truth_zero()
    _refuse_no_cells(table)
    if max(_same_segment_pairs(table.truth, table), _same_segment_pairs(table.prediction, table)):
        # With no pair in one of the maps, precision or recall is 0 / 0; the F-score is not.
        with np.errstate(invalid="ignore", divide="ignore"):
            error, _, _ = skimage_adapted_rand_error(  # type: ignore[no-untyped-call]
                truth.astype(np.int64), prediction.astype(np.int64), ignore_labels=(0,)
            )
        return float(error)
    return 0.0  # Every pixel is alone in both maps: no pair to get wrong; scikit-image says NaN.


def rand_scores(truth: NDArray[Any], prediction: NDArray[Any]) -> RandScores:
    """Foreground-restricted Rand scores of membrane maps, borders as they are.

    Parameters as for :func:`v_rand_scores`, which thins the predicted borders first.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 1, 1]])
    >>> merged = np.array([[1, 1, 1, 1, 1]])
    >>> rand_scores(truth, merged).precision, rand_scores(truth, merged).recall
    (0.5, 1.0)
    """
    return _rand_scores(
        [
            contingency_table(numbered_cells(true_map), numbered_cells(predicted_map))
            for true_map, predicted_map in _sections(truth, prediction)
        ]
    )


def v_rand_scores(truth: NDArray[Any], prediction: NDArray[Any]) -> RandScores:
    """Foreground-restricted Rand scores after thinning the predicted borders.

    Parameters
    ----------
    truth, prediction : (H, W) arrays, or (N, H, W) arrays of N sections
        Boolean, 0/1, 0/255, or probabilities of being cell in 0..1 (threshold 0.5). Precision
        and recall sum the pixel pairs of all sections.

    Raises
    ------
    LabelError
        If the shapes differ, the arrays are no such maps, or the truth has no cell.
    """
    return _rand_scores(
        [
            contingency_table(numbered_cells(true_map), thin_borders(predicted_map))
            for true_map, predicted_map in _sections(truth, prediction)
        ]
    )


def v_rand(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """V_rand (thinned) of the ISBI 2012 leader board: F-score of :func:`v_rand_scores`.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 1, 1]])
    >>> thick = np.array([[1, 0, 0, 0, 1]])
    >>> v_rand(truth, thick), round(rand_scores(truth, thick).f_score, 4)
    (1.0, 0.6667)
    """
    return v_rand_scores(truth, prediction).f_score


def information_scores(truth: NDArray[Any], prediction: NDArray[Any]) -> InformationScores:
    """Foreground-restricted information scores of membrane maps, borders as they are.

    Parameters as for :func:`v_rand_scores`.
    """
    return _information_scores(
        [
            contingency_table(numbered_cells(true_map), numbered_cells(predicted_map))
            for true_map, predicted_map in _sections(truth, prediction)
        ]
    )


def v_info_scores(truth: NDArray[Any], prediction: NDArray[Any]) -> InformationScores:
    """Foreground-restricted information scores after thinning the predicted borders.

    Parameters as for :func:`v_rand_scores`.
    """
    return _information_scores(
        [
            contingency_table(numbered_cells(true_map), thin_borders(predicted_map))
            for true_map, predicted_map in _sections(truth, prediction)
        ]
    )


def v_info(truth: NDArray[Any], prediction: NDArray[Any]) -> float:
    """V_info (thinned) of the ISBI 2012 leader board: F-score of :func:`v_info_scores`."""
    return v_info_scores(truth, prediction).f_score


def _sections(
    truth: NDArray[Any], prediction: NDArray[Any]
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    true_maps, predicted = as_membrane_maps(truth, prediction)
    predicted_maps = as_classes(predicted, "prediction").astype(bool)
    yield from zip(true_maps, predicted_maps, strict=True)


def _holds_instances(labels: NDArray[Any]) -> bool:
    return labels.dtype.kind in "iu" and not np.isin(labels, (0, 1, 255)).all()


def _refuse_no_cells(table: ContingencyTable) -> None:
    if not len(table.truth):
        raise LabelError(
            "The truth has no cell in it, so there is nothing to score. Cells are 1 or 255 and "
            "membranes are 0 in the truth."
        )


def _segment_sizes(segments: NDArray[np.int64], table: ContingencyTable) -> NDArray[np.float64]:
    _, index = np.unique(segments, return_inverse=True)
    return np.asarray(np.bincount(index, weights=table.pixels), dtype=np.float64)


def _same_segment_pairs(segments: NDArray[np.int64], table: ContingencyTable) -> float:
    sizes = _segment_sizes(segments, table)
    return float((sizes * (sizes - 1)).sum() / 2)


@dataclass(frozen=True)
class _ForegroundSizes:
    """Segment sizes in pixels among the true cells of one section."""

    truth: NDArray[np.float64]
    prediction: NDArray[np.float64]  # without membrane
    common: NDArray[np.float64]  # without predicted membrane
    membrane: float  # pixels predicted as membrane, each an object of its own
    pixels: float


def _foreground_sizes(table: ContingencyTable) -> _ForegroundSizes:
    inside = table.without_truth_zero()
    _refuse_no_cells(inside)
    kept = inside.prediction != 0
    in_cells = ContingencyTable(inside.truth[kept], inside.prediction[kept], inside.pixels[kept])
    pixels = float(inside.pixels.sum())
    return _ForegroundSizes(
        truth=_segment_sizes(inside.truth, inside),
        prediction=_segment_sizes(in_cells.prediction, in_cells),
        common=in_cells.pixels.astype(np.float64),
        membrane=pixels - float(in_cells.pixels.sum()),
        pixels=pixels,
    )


def _rand_scores(tables: list[ContingencyTable]) -> RandScores:
    # Sums of squares, as in the challenge's code: each pixel is also paired with itself.
    common = truth = prediction = 0.0
    errors = []
    for table in tables:
        sizes = _foreground_sizes(table)
        common_pairs = float((sizes.common**2).sum()) + sizes.membrane
        true_pairs = float((sizes.truth**2).sum())
        predicted_pairs = float((sizes.prediction**2).sum()) + sizes.membrane
        differ = true_pairs + predicted_pairs - 2 * common_pairs
        errors.append(differ / max(sizes.pixels * (sizes.pixels - 1), 1))
        common += common_pairs
        truth += true_pairs
        prediction += predicted_pairs
    return RandScores(
        precision=common / prediction,
        recall=common / truth,
        f_score=2 * common / (truth + prediction),
        error=float(np.mean(errors)),
    )


def _information_scores(tables: list[ContingencyTable]) -> InformationScores:
    scores = []
    for table in tables:
        sizes = _foreground_sizes(table)
        alone = sizes.membrane / sizes.pixels * np.log(sizes.pixels)
        true_entropy = _entropy(sizes.truth, sizes.pixels)
        predicted_entropy = _entropy(sizes.prediction, sizes.pixels) + alone
        joint_entropy = _entropy(sizes.common, sizes.pixels) + alone
        # Rounding may leave a little less than nothing.
        shared = max(true_entropy + predicted_entropy - joint_entropy, 0.0)
        scores.append(
            (
                shared / predicted_entropy if predicted_entropy > 0 else 1.0,
                shared / true_entropy if true_entropy > 0 else 1.0,
                2 * shared / (true_entropy + predicted_entropy)
                if true_entropy + predicted_entropy > 0
                else 1.0,
            )
        )
    precision, recall, f_score = np.mean(scores, axis=0).tolist()
    return InformationScores(precision, recall, f_score)


def _entropy(sizes: NDArray[np.float64], pixels: float) -> float:
    return abs(float((sizes / pixels * np.log(sizes / pixels)).sum()))
