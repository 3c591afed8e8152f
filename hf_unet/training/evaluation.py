"""Score a network on annotated images, each segmented whole by overlap-tile."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.labels import Labels
from hf_unet.metrics import (
    ClassCounts,
    average_precision,
    class_counts,
    scores_per_image,
    scores_pooled,
)
from hf_unet.network import SegmentationNetwork
from hf_unet.segmentation import Segmentation
from hf_unet.training.datasets import Pair


@dataclass(frozen=True)
class ImageScores:
    """Figures of one image."""

    name: str
    counts: ClassCounts
    pixel_error: float
    average_precision: float | None


@dataclass(frozen=True)
class Evaluation:
    """Figures of a set of images.

    Attributes
    ----------
    classes : tuple of str
        Names of the values of a mask, or of its planes.
    images : tuple of ImageScores
    multilabel : bool
        Whether classes may overlap; if not, the first is the background.
    """

    classes: tuple[str, ...]
    images: tuple[ImageScores, ...]
    multilabel: bool = False

    def summary(self) -> dict[str, Any]:
        """Per-class Dice and IoU per image and pooled, pixel error, and AP of instances."""
        counts = [image.counts for image in self.images]
        per_image, pooled = scores_per_image(counts), scores_pooled(counts)
        result: dict[str, Any] = {
            "images": len(self.images),
            "pixel_error": float(np.mean([image.pixel_error for image in self.images])),
        }
        for title, scores in (("per_image", per_image), ("pooled", pooled)):
            result[title] = {
                "convention": scores.convention,
                "dice": _named(self.classes, scores.dice),
                "iou": _named(self.classes, scores.iou),
            }
        precisions = [i.average_precision for i in self.images if i.average_precision is not None]
        if precisions:
            result["average_precision_50"] = float(np.mean(precisions))
        return result

    def figure(self, name: str) -> float:
        """One figure for comparing checkpoints, larger is better.

        Parameters
        ----------
        name : {"dice", "average_precision", "pixel_error"}
            Dice is the mean per image, averaged over the classes but the background; 1 where
            none of them occurs in truth or prediction. The pixel error is negated.
        """
        summary = self.summary()
        if name == "pixel_error":
            return -float(summary["pixel_error"])
        if name == "average_precision":
            return float(summary["average_precision_50"])
        dice = scores_per_image([image.counts for image in self.images]).dice
        dice = dice if self.multilabel else dice[1:]
        present = dice[~np.isnan(dice)]
        return float(present.mean()) if present.size else 1.0


def _named(classes: Sequence[str], values: Iterable[float]) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(classes, values, strict=True)
    }


def score(result: Segmentation, truth: Labels, name: str = "") -> ImageScores:
    """Compare one result with its ground truth."""
    expected: NDArray[Any] = truth.stack() if result.multilabel else truth.class_map()
    counts = class_counts(expected, result.mask, len(result.classes))
    error = float((expected != result.mask).mean())
    precision = None
    if truth.kind == "instances":
        precision = float(average_precision(truth.instances(), result.instances, (0.5,))[0])
    return ImageScores(name, counts, error, precision)


def evaluate(model: SegmentationNetwork, pairs: Sequence[Pair]) -> Evaluation:
    """Segment and score each pair."""
    return Evaluation(
        model.mask_classes,
        tuple(score(model.segment(pair.image), pair.labels, pair.name) for pair in pairs),
        model.multilabel,
    )
