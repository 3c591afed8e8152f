"""A result against its ground truth: the figures of one image, and of several put together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.labels import Labels
from hf_unet.metrics import (
    ClassCounts,
    MatchingCounts,
    OverlapScores,
    WarpingErrors,
    bootstrap_interval,
    class_confusion,
    class_counts,
    matching_counts,
    scores_per_image,
    scores_pooled,
    seg_scores,
    warping_errors,
)
from hf_unet.segmentation import Segmentation

Figures = dict[str, Any]

NAN = float("nan")

MEMBRANE_NAMES = ("membrane", "membranes")


@dataclass(frozen=True, eq=False)
class Judgement:
    """What is counted in one image.

    Attributes
    ----------
    name : str
    classes : tuple of str
        Names of the values of the mask, or of its planes.
    multilabel : bool
        Whether classes may overlap; if not, the first is the background.
    counts : ClassCounts
    pixel_error : float
    matching : MatchingCounts or None
        Of instances at IoU 0.5 to 0.9, where the truth has them and has them all.
    jaccard : (N,) float array or None
        Behind SEG: of each instance of the truth.
    warping : WarpingErrors or None
        Splits, merges and holes with their places, of a membrane map.
    """

    name: str
    classes: tuple[str, ...]
    multilabel: bool
    counts: ClassCounts
    pixel_error: float
    matching: MatchingCounts | None = None
    jaccard: NDArray[np.float64] | None = None
    warping: WarpingErrors | None = None

    def overlap(self, *, empty: float = NAN) -> OverlapScores:
        """Dice and IoU of each class, and in words by which convention.

        Parameters
        ----------
        empty : float
            The score of a class in neither truth nor prediction. NaN leaves it out.
        """
        absent = "is left out" if np.isnan(empty) else f"counts as {empty:g}"
        return replace(
            scores_per_image([self.counts], empty=empty),
            convention=f"Dice of this one image; a class in neither truth nor mask {absent}",
        )

    @property
    def true_objects(self) -> int | None:
        """Instances in the truth; None where it has none, or not all."""
        return None if self.matching is None else int(self.matching.tp[0] + self.matching.fn[0])

    @property
    def found_objects(self) -> int | None:
        """Instances in the prediction; None where the truth has none to compare with."""
        return None if self.matching is None else int(self.matching.tp[0] + self.matching.fp[0])

    @property
    def average_precision(self) -> dict[float, float] | None:
        """AP of the instances by IoU threshold; None where the truth has none, or not all."""
        return None if self.matching is None else _precision([self.matching])

    @property
    def seg(self) -> float | None:
        """SEG of the Cell Tracking Challenge; None where the truth has no instance."""
        return None if self.jaccard is None else _seg([self.jaccard])


def judge(
    result: Segmentation,
    labels: Labels,
    name: str = "",
    *,
    known: NDArray[np.bool_] | None = None,
    membranes: bool | None = None,
) -> Judgement:
    """Compare one result with its ground truth.

    Parameters
    ----------
    result : Segmentation
    labels : Labels
        The ground truth, in the classes of ``result`` and of its size.
    name : str
        What the image is called where several are put together.
    known : (H, W) bool array, optional
        Where the ground truth says what is there; only these pixels are counted. None: as
        ``labels`` say.
    membranes : bool, optional
        Whether to find the splits and merges of a membrane map, which takes seconds for millions
        of pixels. None: as `has_membranes` says.

    Raises
    ------
    LabelError
        If the two cannot be compared.
    """
    known = labels.known if known is None else known
    expected, mask = compared_masks(result, labels, known)
    if membranes is None:
        membranes = has_membranes(result.classes, multilabel=result.multilabel)
    warping = warping_errors(expected, mask) if membranes and known is None else None
    counts = class_counts(expected, mask, len(result.classes))
    error = float((expected != mask).mean()) if mask.size else 0.0
    matching = jaccard = None
    if labels.kind == "instances":
        instances = labels.instances()
        jaccard = seg_scores([(instances, result.instances)]).jaccard
        matching = None if known is not None else matching_counts(instances, result.instances)
    return Judgement(
        name, result.classes, result.multilabel, counts, error, matching, jaccard, warping
    )


def true_mask(result: Segmentation, labels: Labels) -> NDArray[Any]:
    """The ground truth in the form of ``result.mask``: class map or stack of planes.

    Raises
    ------
    LabelError
        If the ground truth cannot be brought into that form.
    """
    return labels.stack() if result.multilabel else labels.class_map()


def compared_masks(
    result: Segmentation, labels: Labels, known: NDArray[np.bool_] | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The true mask and the one found, of the pixels that are known alone."""
    expected, mask = true_mask(result, labels), result.mask
    if known is None:
        return expected, mask
    # In one row: what is counted does not ask where a pixel lies.
    return expected[..., known][..., None, :], mask[..., known][..., None, :]


def counts_of(result: Segmentation, labels: Labels) -> ClassCounts:
    """Pixels of each class in one image that are right and wrong, where that is known."""
    return class_counts(*compared_masks(result, labels, labels.known), len(result.classes))


def overlap_of(result: Segmentation, labels: Labels) -> OverlapScores:
    """Dice and IoU of each class in one image, and nothing that takes longer; see `judge`."""
    return scores_per_image([counts_of(result, labels)])


def confusion_of(result: Segmentation, labels: Labels) -> dict[str, NDArray[np.uint8]]:
    """Where each class is right, missed or invented, to be drawn.

    Returns
    -------
    dict of (H, W) uint8 arrays
        By the name of the class, but for the background; values as in
        `hf_unet.metrics.confusion`. ``confusion_map(np.stack([*planes.values()]))`` is all of
        them in one. What is not known is neither.
    """
    planes = class_confusion(true_mask(result, labels), result.mask, len(result.classes))
    if labels.known is not None:
        planes[:, ~labels.known] = 0
    first = 0 if result.multilabel else 1
    return dict(zip(result.classes[first:], planes[first:], strict=True))


def has_membranes(classes: Sequence[str], *, multilabel: bool) -> bool:
    """Whether masks of these classes are membrane maps: cells, and the membrane between them.

    Of two classes that exclude each other, the first, which is what lies between objects, is then
    named membrane.

    Examples
    --------
    >>> has_membranes(["membrane", "cell"], multilabel=False)
    True
    >>> has_membranes(["membranes", "synapses"], multilabel=True)
    False
    """
    return not multilabel and len(classes) == 2 and classes[0].strip().lower() in MEMBRANE_NAMES


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of a set of images.

    Attributes
    ----------
    images : tuple of Judgement
        At least one, all of the same classes.

    Raises
    ------
    LabelError
        If there is none, or their classes differ.
    """

    images: tuple[Judgement, ...]

    def __post_init__(self) -> None:
        if not self.images:
            raise LabelError("There are no images to score. Give at least one.")
        kinds = {(image.classes, image.multilabel) for image in self.images}
        if len(kinds) > 1:
            names = " and ".join(sorted(f"({', '.join(classes)})" for classes, _ in kinds))
            raise LabelError(
                f"Images of the classes {names} cannot be put together: score them apart."
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the values of a mask, or of its planes."""
        return self.images[0].classes

    @property
    def multilabel(self) -> bool:
        """Whether classes may overlap; if not, the first is the background."""
        return self.images[0].multilabel

    def per_image(self, *, empty: float = NAN) -> OverlapScores:
        """Dice and IoU of each class, the mean over images; see `Judgement.overlap`."""
        return scores_per_image([image.counts for image in self.images], empty=empty)

    def pooled(self, *, empty: float = NAN) -> OverlapScores:
        """Dice and IoU of each class over the pixels of all images together."""
        return scores_pooled([image.counts for image in self.images], empty=empty)

    def summary(self, *, intervals: bool = False) -> Figures:
        """Per-class Dice and IoU per image and pooled, pixel error, AP and SEG of instances.

        Of membrane maps also the warping error, and its splits, merges and holes. With
        ``intervals``, under that name the 95 % bootstrap interval over images of each, as
        [low, high] in the same places.
        """
        figures = self._figures()
        if intervals:
            figures["intervals"] = self._intervals(figures)
        return figures

    def _figures(self) -> Figures:
        result: Figures = {
            "images": len(self.images),
            "pixel_error": float(np.mean([image.pixel_error for image in self.images])),
        }
        for title, scores in (("per_image", self.per_image()), ("pooled", self.pooled())):
            result[title] = {
                "convention": scores.convention,
                "dice": _named(self.classes, scores.dice),
                "iou": _named(self.classes, scores.iou),
            }
        matched = [image.matching for image in self.images if image.matching is not None]
        if matched:
            precision = _precision(matched)
            result["average_precision"] = {
                f"{threshold:g}": value for threshold, value in precision.items()
            }
            result["average_precision_50"] = precision[0.5]
        objects = [image.jaccard for image in self.images if image.jaccard is not None]
        if objects and (seg := _seg(objects)) is not None:
            result["seg"] = seg
        warped = [image.warping.scores for image in self.images if image.warping is not None]
        if warped:
            result["warping"] = {
                "error": float(np.mean([one.error for one in warped])),
                "splits": sum(one.splits for one in warped),
                "merges": sum(one.merges for one in warped),
                "holes": sum(one.hole_additions + one.hole_deletions for one in warped),
            }
        return result

    def _intervals(self, whole: Figures) -> Figures:
        """Bounds of every figure of ``whole``, all from the same resamples."""
        paths = list(_numbers(whole))

        def score(images: Sequence[Judgement]) -> NDArray[np.float64]:
            figures = dict(_numbers(Evaluation(tuple(images))._figures()))
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
        dice = self.per_image().dice
        dice = dice if self.multilabel else dice[1:]
        present = dice[~np.isnan(dice)]
        return float(present.mean()) if present.size else 1.0


def _precision(images: Sequence[MatchingCounts]) -> dict[float, float]:
    """AP by threshold, the mean over images."""
    means = np.mean([image.average_precision() for image in images], axis=0)
    return dict(zip(images[0].thresholds, means.tolist(), strict=True))


def _seg(images: Sequence[NDArray[np.float64]]) -> float | None:
    """SEG, the mean over the objects of all images."""
    jaccard = np.concatenate(images)
    return float(jaccard.mean()) if jaccard.size else None


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
