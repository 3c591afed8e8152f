"""All figures of a network on annotated images, as metrics.json holds them, and samples of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet import __version__
from hf_unet.calibration import Calibration
from hf_unet.colors import rgb
from hf_unet.display import displayed
from hf_unet.judgement import Evaluation, Judgement
from hf_unet.network import SegmentationNetwork
from hf_unet.repositories.claims import WEIGHTS_DIGEST
from hf_unet.seams import compare_seams
from hf_unet.segmentation import Segmentation
from hf_unet.training.datasets import appearance
from hf_unet.training.estimates import Estimated, calibrate, estimate_figures, estimated
from hf_unet.training.evaluation import evaluate
from hf_unet.training.membranes import membrane_figures
from hf_unet.training.pairs import Pair
from hf_unet.training.samples import Sample
from hf_unet.training.settings import Settings

UNKNOWN = "unknown"

SAMPLES = 4


@dataclass(frozen=True)
class Measured:
    """What a network scored.

    Attributes
    ----------
    metrics : dict
        metrics.json, but for what is known of the training's course.
    samples : tuple of Sample
        The first few images.
    calibration : tuple or None
        Argument of the network, fitted to all images; None if none was asked for.
    """

    metrics: dict[str, Any]
    samples: tuple[Sample, ...]
    calibration: Calibration | None = None


def measure(
    model: SegmentationNetwork,
    settings: Settings,
    pairs: Sequence[Pair],
    *,
    train_images: int,
    calibrated: bool = False,
) -> Measured:
    """Score a network, and put beside the figures what a card says of it.

    Parameters
    ----------
    model : SegmentationNetwork
        As it was loaded, so that the figures name the weights they are of.
    settings : Settings
        Of its training; ``data``, ``card`` and ``run.membranes`` are used. With ``data.balance``
        the figures of dark, bright and coloured images alone stand below "looks".
    pairs : sequence of Pair
        Kept out of its training.
    train_images : int
        How many it was trained on.
    calibrated : bool
        Whether to calibrate its probabilities. How well the Dice holds that it then expects is
        measured if so, and for a network that is calibrated already.
    """
    classes = ", ".join(model.mask_classes)
    origin = model.origin
    samples: list[Sample] = []
    estimates: list[Estimated] = []
    calibrating = calibrated or model.calibration is not None
    sections: list[tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]] = []

    def keep(pair: Pair, result: Segmentation, scores: Judgement) -> None:
        if len(samples) < SAMPLES:
            samples.append(sample(pair, result, scores))
        if settings.run.membranes:
            sections.append((pair.labels.class_map(), result.mask, result.probabilities[-1]))
        if calibrating and (counted := estimated(result, pair.truth, scores)) is not None:
            estimates.append(counted)

    evaluation = evaluate(model, pairs, on_result=keep)
    validation = evaluation.summary(intervals=True)
    if settings.data.balance:
        validation["looks"] = _looks(model, evaluation.images, pairs)
    if sections:
        truths, masks, probabilities = zip(*sections, strict=True)
        validation["membranes"] = membrane_figures(truths, masks, probabilities)
    if estimates:
        validation["expected_dice"] = estimate_figures(model.mask_classes, estimates)
    metrics = {
        "hf_unet_version": __version__,
        WEIGHTS_DIGEST: None if origin is None else origin.sha256,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "license": settings.card.license,
        "license_name": settings.card.license_name,
        "license_link": settings.card.license_link,
        "assumed": {
            "watts": settings.card.watts,
            "grams_per_kwh": settings.card.grams_per_kwh,
        },
        "summary": settings.card.summary
        or f"Segments {classes} in images of {model.in_channels} channel(s).",
        "limits": settings.card.limits,
        "data": {
            "name": settings.data.name or UNKNOWN,
            "terms": settings.data.terms or UNKNOWN,
            "citation": settings.data.citation or UNKNOWN,
            "repositories": list(settings.data.repositories),
            "train_images": train_images,
            "validation_images": len(pairs),
        },
        "validation": validation,
        "overlap_tile": asdict(compare_seams(model, pairs[0].image)),
    }
    return Measured(metrics, tuple(samples), calibrate(estimates) if calibrated else None)


def _looks(
    model: SegmentationNetwork, judged: Sequence[Judgement], pairs: Sequence[Pair]
) -> dict[str, Any]:
    """The figures of the images of each look, by its name."""
    groups: dict[str, list[Judgement]] = defaultdict(list)
    for pair, one in zip(pairs, judged, strict=True):
        groups[appearance(pair.scaled(model.in_channels, model.normalization))].append(one)
    return {
        look: Evaluation(tuple(groups[look])).summary(intervals=True) for look in sorted(groups)
    }


def sample(pair: Pair, result: Segmentation, scores: Judgement) -> Sample:
    """A picture's worth of one result."""
    dice = scores.counts.dice(empty=np.nan)
    first = 0 if result.multilabel else 1  # the background is not drawn
    count = len(result.classes)
    return Sample(
        name=pair.name,
        image=displayed(pair.image),
        truth=pair.labels.stack()[first:count],
        prediction=np.stack([result.class_pixels(index) for index in range(first, count)]),
        classes=result.classes[first:],
        colors=tuple(rgb(color) for color in result.colors[first:]),
        dice=tuple(dice[first:].tolist()),
    )
