"""How far a figure could have come out otherwise, had other images of the kind been drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_unet.errors import LabelError

Image = TypeVar("Image")


@dataclass(frozen=True)
class Interval:
    """A confidence interval for each of K figures.

    Attributes
    ----------
    low, high : (K,) float64 arrays
        NaN where a figure was NaN in every resample.
    confidence : float
        For example 0.95.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    confidence: float


def bootstrap_interval(
    images: Sequence[Image],
    score: Callable[[Sequence[Image]], ArrayLike],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap over images.

    Whole images are drawn, never pixels: the pixels of an image are far from independent.

    Parameters
    ----------
    images : sequence
        What is known of each image: its ClassCounts, MatchingCounts or score.
    score : function
        The figure or the K figures of a sequence of such images.
    confidence : float
        Between 0 and 1.
    resamples : int
    seed : int
        The same seed gives the same interval.

    References
    ----------
    Efron, B. and Tibshirani, R. J. (1993). An introduction to the bootstrap. Chapter 13.

    Examples
    --------
    >>> interval = bootstrap_interval([0.8, 0.9, 0.7, 0.8], np.mean)
    >>> bool(interval.low[0] < 0.8 < interval.high[0])
    True
    """
    if not len(images):
        raise LabelError("There are no images to resample. Give at least one.")
    if not 0 < confidence < 1 or resamples < 1:
        raise LabelError(
            f"The confidence lies between 0 and 1 and there is at least 1 resample, but "
            f"{confidence} and {resamples} were given."
        )
    generator = np.random.default_rng(seed)
    figures = np.stack(
        [
            np.atleast_1d(np.asarray(score([images[i] for i in drawn]), dtype=np.float64))
            for drawn in generator.integers(len(images), size=(resamples, len(images)))
        ]
    )
    tail = (1 - confidence) / 2
    bounds = np.array([_quantiles(column, (tail, 1 - tail)) for column in figures.T])
    return Interval(bounds[:, 0], bounds[:, 1], confidence)


def _quantiles(values: NDArray[np.float64], at: tuple[float, float]) -> NDArray[Any]:
    known = values[~np.isnan(values)]
    if not len(known):
        return np.full(2, np.nan)
    return np.asarray(np.quantile(known, at))
