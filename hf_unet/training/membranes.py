"""The ISBI 2012 challenge's figures of a stack of membrane maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.metrics import (
    pixel_error,
    rand_scores,
    v_info_scores,
    v_rand_scores,
    warping_scores,
)

THRESHOLDS = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""Of the probability to be cell, at which the leader board's scores are sought."""


def membrane_figures(
    truths: Sequence[NDArray[Any]],
    masks: Sequence[NDArray[Any]],
    probabilities: Sequence[NDArray[np.float32]],
) -> dict[str, Any]:
    """Score sections as the challenge does.

    Parameters
    ----------
    truths, masks : sequences of (H, W) arrays
        0 membrane, 1 cell.
    probabilities : sequence of (H, W) float32 arrays
        To be cell.

    Returns
    -------
    dict
        Of the masks: ``pixel_error``, ``rand_error`` (1 - Rand index restricted to the
        foreground, the mean over sections), ``warping_error`` and its ``splits``, ``merges``,
        ``holes`` in all sections, ``v_rand_thinned`` and ``v_info_thinned`` (F-scores after
        thinning). Of the probabilities: ``best``, the lowest error and the highest scores over
        thresholds from 0.1 to 0.9, as the leader board reports them, each with its threshold;
        its ``adapted_rand_error`` is 1 - the F-score of pixel pairs, the paper's "Rand error".

    References
    ----------
    Arganda-Carreras, I. et al. (2015). Crowdsourcing the creation of image segmentation
    algorithms for connectomics. Frontiers in Neuroanatomy 9:142.
    """
    warps = [warping_scores(truth, mask) for truth, mask in zip(truths, masks, strict=True)]
    truth = np.stack([np.asarray(one) > 0 for one in truths])
    mask = np.stack([np.asarray(one) > 0 for one in masks])
    at = [np.stack([one >= threshold for one in probabilities]) for threshold in THRESHOLDS]
    errors = [float((truth != cells).mean()) for cells in at]
    rand_errors = [1 - rand_scores(truth, cells).f_score for cells in at]
    rands = [v_rand_scores(truth, cells).f_score for cells in at]
    infos = [v_info_scores(truth, cells).f_score for cells in at]
    return {
        "sections": len(truth),
        "pixel_error": pixel_error(np.concatenate(truth), np.concatenate(mask)),
        "rand_error": rand_scores(truth, mask).error,
        "warping_error": float(np.mean([one.error for one in warps])),
        "splits": sum(one.splits for one in warps),
        "merges": sum(one.merges for one in warps),
        "holes": sum(one.hole_additions + one.hole_deletions for one in warps),
        "v_rand_thinned": v_rand_scores(truth, mask).f_score,
        "v_info_thinned": v_info_scores(truth, mask).f_score,
        "best": {
            "pixel_error": _at(errors, int(np.argmin(errors))),
            "adapted_rand_error": _at(rand_errors, int(np.argmin(rand_errors))),
            "v_rand_thinned": _at(rands, int(np.argmax(rands))),
            "v_info_thinned": _at(infos, int(np.argmax(infos))),
        },
    }


def _at(values: Sequence[float], index: int) -> dict[str, float]:
    return {"value": values[index], "threshold": THRESHOLDS[index]}
