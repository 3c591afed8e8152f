"""The Dice to expect without a ground truth, from probabilities that were calibrated.

If the pixels of a class were independent, each of the class with its probability p, the Dice of a
mask M would be close to

    2 sum_M p / (sum p + |M|),

the ratio of the expected values of 2 |M and truth| and of |M| + |truth| [1]_; a soft Dice with the
mask for the truth. Pixels are not independent, but both sums are over many of them, and what is
left of the difference is measured on images kept out of training: see `leave_one_out`.

A network is as a rule too sure of itself [2]_, so its probabilities are calibrated first, class by
class, by Platt's line [3]_ on the log-odds: log-odds of p = slope * log-odds + intercept. The line
changes the estimate alone, no mask and no probability that is shown.

References
----------
.. [1] Dice, L. R. (1945). Measures of the amount of ecologic association between species.
       Ecology 26, 297-302.
.. [2] Guo, C. et al. (2017). On calibration of modern neural networks. ICML, 1321-1330.
.. [3] Platt, J. (1999). Probabilistic outputs for support vector machines and comparisons to
       regularized likelihood methods. Advances in Large Margin Classifiers, 61-74.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_unet.arguments import shortened
from hf_unet.errors import ModelError

Line: TypeAlias = tuple[float, float]
"""Slope and intercept."""

Calibration: TypeAlias = tuple[Line | None, ...]
"""Of each class; None for a class that no image showed when it was fitted."""

BINS = 4096
WIDTH = 1 / 128
CENTRES = (np.arange(BINS) - BINS / 2 + 0.5) * WIDTH
"""Log-odds from -16 to 16: float32 knows no probability nearer to 1."""

CHUNK = 2**20
"""Pixels that are looked at together, so that memory does not grow with the image."""

STEEPEST, FARTHEST = 100.0, 100.0
"""Largest slope and intercept of a line."""

FEWEST_TO_CORRELATE = 5
"""Images; of fewer, a correlation says nothing."""


@dataclass(frozen=True, eq=False)
class LogOddsCounts:
    """Pixels of one class counted by the log-odds that a network gave it there.

    Counts of several images add up with ``+``.

    Attributes
    ----------
    every : (BINS,) int64 array
        All pixels, by log-odds around `CENTRES`.
    found : (BINS,) int64 array
        Those of the class in the mask.
    true : (BINS,) int64 array or None
        Those of the class in the ground truth, if there is one.
    """

    every: NDArray[np.int64]
    found: NDArray[np.int64]
    true: NDArray[np.int64] | None = None

    def __add__(self, other: LogOddsCounts) -> LogOddsCounts:
        true = None if self.true is None or other.true is None else self.true + other.true
        return LogOddsCounts(self.every + other.every, self.found + other.found, true)


def log_odds_counts(
    probabilities: NDArray[np.floating[Any]],
    found: NDArray[np.bool_],
    true: NDArray[np.bool_] | None = None,
) -> LogOddsCounts:
    """Count the pixels of one class.

    Parameters
    ----------
    probabilities : (H, W) float array, 0 .. 1
    found, true : (H, W) bool arrays
        Where the class is in the mask, and in the ground truth.

    Examples
    --------
    >>> counts = log_odds_counts(np.float32([[0.2, 0.8, 0.8]]), np.array([[False, True, True]]))
    >>> CENTRES[counts.every > 0].round(1).tolist(), counts.found.sum()
    ([-1.4, 1.4], np.int64(2))
    """
    from scipy.special import logit  # a tenth of a second that importing hf_unet need not take

    flat = np.ravel(probabilities)
    masks = [np.ravel(mask) for mask in (found, true) if mask is not None]
    histograms = np.zeros((1 + len(masks), BINS), np.int64)
    for start in range(0, flat.size, CHUNK):
        part = slice(start, start + CHUNK)
        odds = logit(flat[part].astype(np.float64)) / WIDTH + BINS / 2
        bins = np.clip(np.floor(odds), 0, BINS - 1).astype(np.int64)
        histograms[0] += np.bincount(bins, minlength=BINS)
        for histogram, mask in zip(histograms[1:], masks, strict=True):
            histogram += np.bincount(bins[mask[part]], minlength=BINS)
    return LogOddsCounts(*histograms)


def expected_dice(counts: LogOddsCounts, line: Line) -> float:
    """Dice to expect of a class whose pixels were counted.

    Parameters
    ----------
    counts : LogOddsCounts
    line : (slope, intercept)
        Of its calibration.

    Returns
    -------
    float
        0 .. 1. NaN where the mask does not hold the class: its Dice is then 0 or not defined,
        and nothing between.

    Examples
    --------
    >>> counts = log_odds_counts(np.float32([[0.2, 0.8, 0.8]]), np.array([[False, True, True]]))
    >>> round(expected_dice(counts, (1.0, 0.0)), 2)  # 2 (0.8 + 0.8) / (0.2 + 0.8 + 0.8 + 2)
    0.84
    """
    from scipy.special import expit

    found = int(counts.found.sum())
    if not found:
        return math.nan
    probability = expit(line[0] * CENTRES + line[1])
    return float(2 * probability @ counts.found / (probability @ counts.every + found))


def fit_line(counts: LogOddsCounts) -> Line | None:
    """Platt's line for the pixels of one class, by the largest likelihood of the ground truth.

    The targets are Platt's, a little within 0 and 1, so that a class that is always right does
    not have an endless slope.

    Parameters
    ----------
    counts : LogOddsCounts
        With ``true``, summed over images.

    Returns
    -------
    (slope, intercept), the slope above 0; None if the ground truth does not hold the class.
    """
    from scipy.optimize import minimize  # half a second that only fitting takes
    from scipy.special import expit

    if counts.true is None or not counts.true.any():
        return None
    positive, total = int(counts.true.sum()), int(counts.every.sum())
    others = counts.every - counts.true
    high, low = (positive + 1) / (positive + 2), 1 / (total - positive + 2)
    weights = counts.every / total
    targets = (high * counts.true + low * others) / total

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = line[0] * CENTRES + line[1]
        slopes = weights * expit(odds) - targets
        value = weights @ np.logaddexp(0, odds) - targets @ odds
        return float(value), np.array([slopes @ CENTRES, slopes.sum()])

    bounds = [(1 / STEEPEST, STEEPEST), (-FARTHEST, FARTHEST)]
    best = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds)
    slope, intercept = (round(float(value), 4) for value in best.x)
    return slope, intercept


@dataclass(frozen=True)
class EstimateScores:
    """How well the expected Dice of one class held, over images.

    Attributes
    ----------
    images : int
        In which the class was found, so that there was an estimate.
    expected, measured : float
        Means over these images.
    mean_difference, largest_difference : float
        Between expected and measured Dice of an image, regardless of the sign.
    without_estimate : float
        The mean difference that is left to one who expects of each image what the others scored
        on average: an estimate that is no better does not tell images apart.
    correlation : float or None
        Of expected and measured Dice. None for fewer than five images, or if one is constant.
    """

    images: int
    expected: float
    measured: float
    mean_difference: float
    largest_difference: float
    without_estimate: float
    correlation: float | None


def leave_one_out(
    images: Sequence[LogOddsCounts], measured: Sequence[float]
) -> EstimateScores | None:
    """Compare expected with measured Dice, each image by the line of all the others.

    Parameters
    ----------
    images : sequence of LogOddsCounts
        Of one class, with ``true``.
    measured : sequence of float
        Dice of the class in each; NaN where it is absent.

    Returns
    -------
    EstimateScores, or None if there are not two images in which the class was found.
    """
    expected, truths = [], []
    whole = sum(images[1:], start=images[0])
    for image, dice in zip(images, measured, strict=True):
        line = fit_line(_without(whole, image))
        value = math.nan if line is None else expected_dice(image, line)
        if not (math.isnan(value) or math.isnan(dice)):
            expected.append(value)
            truths.append(dice)
    if len(expected) < 2:
        return None
    guess, truth = np.array(expected), np.array(truths)
    differences = np.abs(guess - truth)
    others = (truth.sum() - truth) / (len(truth) - 1)
    varies = min(np.ptp(guess), np.ptp(truth)) > 0
    correlation = None
    if len(truth) >= FEWEST_TO_CORRELATE and varies:
        correlation = float(np.corrcoef(guess, truth)[0, 1])
    return EstimateScores(
        images=len(truth),
        expected=float(guess.mean()),
        measured=float(truth.mean()),
        mean_difference=float(differences.mean()),
        largest_difference=float(differences.max()),
        without_estimate=float(np.abs(others - truth).mean()),
        correlation=correlation,
    )


def _without(whole: LogOddsCounts, image: LogOddsCounts) -> LogOddsCounts:
    true = None if whole.true is None or image.true is None else whole.true - image.true
    return LogOddsCounts(whole.every - image.every, whole.found - image.found, true)


def checked_calibration(lines: object, classes: int) -> Calibration | None:
    """The lines of a config.json, once they are known to be such.

    Raises
    ------
    ModelError
        If there is not one pair of numbers, or None, for each class, the slope above 0 and neither
        beyond 100.
    """
    if lines is None:
        return None
    if not isinstance(lines, (list, tuple)) or len(lines) != classes or not all(map(_fits, lines)):
        raise ModelError(
            f"calibration is [slope, intercept] for each of {classes} classes, the slope above 0 "
            f"and neither beyond {STEEPEST:g}, or null for a class without, not {shortened(lines)}."
        )
    return tuple(None if line is None else (float(line[0]), float(line[1])) for line in lines)


def _fits(line: object) -> bool:
    return line is None or (
        isinstance(line, (list, tuple))
        and len(line) == 2
        and all(isinstance(value, (int, float)) for value in line)
        and not any(isinstance(value, bool) for value in line)
        and 0 < line[0] <= STEEPEST
        and abs(line[1]) <= FARTHEST
    )
