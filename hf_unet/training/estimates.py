"""How well the Dice that a network expects holds on images that were kept out of training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.calibration import (
    Calibration,
    LogOddsCounts,
    fit_line,
    leave_one_out,
    log_odds_counts,
)
from hf_unet.judgement import Judgement, true_mask
from hf_unet.segmentation import Segmentation
from hf_unet.training.pairs import Truth

CONVENTION = (
    "Expected and measured Dice of each image in which the class was found, the probabilities "
    "calibrated on the other images"
)


@dataclass(frozen=True, eq=False)
class Estimated:
    """What the estimate needs of one image.

    Attributes
    ----------
    counts : tuple of K LogOddsCounts
        Of each class.
    dice : (K,) float array
        Measured; NaN where the class is absent.
    """

    counts: tuple[LogOddsCounts, ...]
    dice: NDArray[np.float64]


def estimated(result: Segmentation, truth: Truth, scores: Judgement) -> Estimated | None:
    """Count the pixels of each class; None for an image annotated in part.

    The pixels known of such an image are those of its objects: no probability is right there
    but 1.
    """
    if truth.known is not None:
        return None
    expected = true_mask(result, truth.labels)
    counts = [
        log_odds_counts(
            result.class_probabilities(index),
            result.class_pixels(index),
            expected[index] if result.multilabel else expected == index,
        )
        for index in range(len(result.classes))
    ]
    return Estimated(tuple(counts), scores.counts.dice(empty=np.nan))


def calibrate(images: Sequence[Estimated]) -> Calibration | None:
    """Platt's line of each class over all images; None without images."""
    if not images:
        return None
    return tuple(
        fit_line(sum(counts[1:], start=counts[0]))
        for counts in zip(*(image.counts for image in images), strict=True)
    )


def estimate_figures(classes: Sequence[str], images: Sequence[Estimated]) -> dict[str, Any]:
    """``validation.expected_dice`` of metrics.json: `EstimateScores` by class.

    None for a class that was found in fewer than two images.
    """
    figures: dict[str, Any] = {}
    for index, name in enumerate(classes):
        scores = leave_one_out(
            [image.counts[index] for image in images],
            [float(image.dice[index]) for image in images],
        )
        figures[name] = None if scores is None else asdict(scores)
    return {"convention": CONVENTION, "classes": figures}
