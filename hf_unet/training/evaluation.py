"""Score a network on annotated images, each segmented whole by overlap-tile."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import gather_object
from numpy.typing import NDArray

from hf_unet.metrics import (
    ClassCounts,
    MatchingCounts,
    bootstrap_interval,
    class_counts,
    matching_counts,
    scores_per_image,
    scores_pooled,
    seg_scores,
)
from hf_unet.network import SegmentationNetwork
from hf_unet.segmentation import Segmentation
from hf_unet.training.pairs import Pair, Truth

Figures = dict[str, Any]

OnResult = Callable[[Pair, Segmentation, "ImageScores"], None]


@dataclass(frozen=True)
class ImageScores:
    """What is counted in one image.

    Attributes
    ----------
    name : str
    counts : ClassCounts
    pixel_error : float
    matching : MatchingCounts or None
        Of instances, where the truth has them and has them all.
    jaccard : (N,) float array or None
        Behind SEG: of each instance of the truth.
    """

    name: str
    counts: ClassCounts
    pixel_error: float
    matching: MatchingCounts | None = None
    jaccard: NDArray[np.float64] | None = None


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

    def summary(self, *, intervals: bool = False) -> Figures:
        """Per-class Dice and IoU per image and pooled, pixel error, AP and SEG of instances.

        With ``intervals``, under that name the 95 % bootstrap interval over images of each, as
        [low, high] in the same places.
        """
        figures = self._figures(self.images)
        if intervals:
            figures["intervals"] = self._intervals()
        return figures

    def _figures(self, images: Sequence[ImageScores]) -> Figures:
        counts = [image.counts for image in images]
        result: Figures = {
            "images": len(images),
            "pixel_error": float(np.mean([image.pixel_error for image in images])),
        }
        for title, scores in (
            ("per_image", scores_per_image(counts)),
            ("pooled", scores_pooled(counts)),
        ):
            result[title] = {
                "convention": scores.convention,
                "dice": _named(self.classes, scores.dice),
                "iou": _named(self.classes, scores.iou),
            }
        matched = [image.matching for image in images if image.matching is not None]
        if matched:
            precisions = np.mean([one.average_precision() for one in matched], axis=0)
            thresholds = matched[0].thresholds
            result["average_precision"] = {
                f"{threshold:g}": float(value)
                for threshold, value in zip(thresholds, precisions, strict=True)
            }
            result["average_precision_50"] = float(precisions[thresholds.index(0.5)])
        objects = [image.jaccard for image in images if image.jaccard is not None]
        if objects and (jaccard := np.concatenate(objects)).size:
            result["seg"] = float(jaccard.mean())
        return result

    def _intervals(self) -> Figures:
        """Bounds of every figure of ``_figures``, all from the same resamples."""
        whole = self._figures(self.images)
        paths = list(_numbers(whole))

        def score(images: Sequence[ImageScores]) -> NDArray[np.float64]:
            figures = dict(_numbers(self._figures(images)))
            return np.array([figures.get(path, np.nan) for path, _ in paths], np.float64)

        bounds = bootstrap_interval(self.images, score)
        result: Figures = {}
        for (path, _), low, high in zip(paths, bounds.low, bounds.high, strict=True):
            place = result
            for key in path[:-1]:
                place = place.setdefault(key, {})
            place[path[-1]] = [float(low), float(high)]
        return result

    def figure(self, name: str) -> float:
        """One figure for comparing checkpoints, larger is better.

        Parameters
        ----------
        name : {"dice", "average_precision", "seg", "pixel_error"}
            Dice is the mean per image, averaged over the classes but the background; 1 where
            none of them occurs in truth or prediction. The pixel error is negated.
        """
        summary = self.summary()
        if name == "pixel_error":
            return -float(summary["pixel_error"])
        if name == "average_precision":
            return float(summary["average_precision_50"])
        if name == "seg":
            return float(summary["seg"])
        dice = scores_per_image([image.counts for image in self.images]).dice
        dice = dice if self.multilabel else dice[1:]
        present = dice[~np.isnan(dice)]
        return float(present.mean()) if present.size else 1.0


def _named(classes: Sequence[str], values: Iterable[float]) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(classes, values, strict=True)
    }


def _numbers(
    figures: Figures, before: tuple[str, ...] = ()
) -> Iterable[tuple[tuple[str, ...], float]]:
    """Every measured number in nested figures, with the keys that lead to it."""
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _numbers(value, (*before, key))
        elif isinstance(value, float):
            yield (*before, key), value


def score(result: Segmentation, truth: Truth, name: str = "") -> ImageScores:
    """Compare one result with its ground truth, where that is known."""
    labels = truth.labels
    expected: NDArray[Any] = labels.stack() if result.multilabel else labels.class_map()
    mask = result.mask
    if truth.known is not None:
        # In one row: what is counted does not ask where a pixel lies.
        expected, mask = (array[..., truth.known][..., None, :] for array in (expected, mask))
    counts = class_counts(expected, mask, len(result.classes))
    error = float((expected != mask).mean()) if mask.size else 0.0
    if labels.kind != "instances":
        return ImageScores(name, counts, error)
    instances = labels.instances()
    return ImageScores(
        name,
        counts,
        error,
        None if truth.known is not None else matching_counts(instances, result.instances),
        seg_scores([(instances, result.instances)]).jaccard,
    )


def evaluate(
    model: SegmentationNetwork,
    pairs: Sequence[Pair],
    *,
    accelerator: Accelerator | None = None,
    on_result: OnResult | None = None,
    **options: Any,
) -> Evaluation:
    """Segment and score each pair.

    Parameters
    ----------
    model : SegmentationNetwork
    pairs : sequence of Pair
    accelerator : Accelerator, optional
        Of several processes each scores its share, every pair once, and all get all scores. The
        network must be the same in all.
    on_result : callable, optional
        ``on_result(pair, result, scores)`` after each.
    **options
        For `SegmentationNetwork.segment`.
    """
    rank, processes = 0, 1
    if accelerator is not None:
        rank, processes = accelerator.process_index, accelerator.num_processes
    mine = []
    for number in range(rank, len(pairs), processes):
        pair = pairs[number]
        result = model.segment(pair.image, **options)
        scores = score(result, pair.truth, pair.name)
        mine.append((number, scores))
        if on_result is not None:
            on_result(pair, result, scores)
    every = mine if processes == 1 else gather_object(mine)
    ordered = [scores for _, scores in sorted(every, key=lambda item: item[0])]
    return Evaluation(model.mask_classes, tuple(ordered), model.multilabel)
