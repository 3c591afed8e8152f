"""Choose what turns probabilities into masks and objects, by what was kept out of training."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hf_unet.judgement import Evaluation, Judgement
from hf_unet.masks import decide
from hf_unet.network import SegmentationNetwork
from hf_unet.segmentation import Segmentation
from hf_unet.training.evaluation import score
from hf_unet.training.pairs import Pair, Truth

THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(2, 19))
SEED_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SEED_AREAS = (0.0, 0.03, 0.1)
"""Candidates; the areas as shares of the area of a median object."""

DEEP_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.65, 0.8)
SEED_DEPTHS = (0.02, 0.05, 0.1, 0.2)
"""Candidates of seeds by shape; depths as shares of the radius of a median object, as a disc."""

OBJECT_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)

ROUNDS = 2
"""At most, of seeds and thresholds in turn: which seeds are best depends on the mask around."""

KEPT = 2_000_000_000
"""Bytes of results that wait for the next choice; what does not fit is segmented again."""

Choice = dict[str, Any]


def tune(model: SegmentationNetwork, pairs: Sequence[Pair], keep: str) -> Choice:
    """Arguments of the network's constructor that score best on these pairs.

    A multi-label network gets a threshold for each class, by its mean Dice per image. A network
    of one object class gets ``seed_threshold``, ``seed_depth`` and ``seed_area``, and then
    ``thresholds``, by the figure ``keep``. What makes no difference stays as it is.

    Parameters
    ----------
    model : SegmentationNetwork
    pairs : sequence of Pair
        Kept out of training.
    keep : str
        A figure that `Evaluation.figure` knows.

    Returns
    -------
    dict
        ``thresholds``, and for objects ``seed_threshold``, ``seed_depth`` and ``seed_area``. Empty
        for a network of several classes that exclude each other.
    """
    if model.multilabel:
        return {"thresholds": _class_thresholds(model, pairs)}
    if len(model.mask_classes) > 2:
        return {}
    thresholds: list[Choice] = [
        {"thresholds": limits} for limits in (model.thresholds, *([t] for t in OBJECT_THRESHOLDS))
    ]
    if {pair.labels.kind for pair in pairs} != {"instances"}:
        return _best(_Found(model, pairs, room=0), keep, thresholds)  # there is but one choice
    found = _Found(model, pairs, room=KEPT)
    seeds = _seed_choices(pairs)
    choice = thresholds[0] | seeds[0]
    for turn, candidates in enumerate((seeds, thresholds) * ROUNDS):
        before = choice
        choice = _best(found, keep, [before, *(before | one for one in candidates)])
        if turn and choice == before:  # what comes next was asked for it already
            break
    return choice


def _seed_choices(pairs: Sequence[Pair]) -> list[Choice]:
    """Candidates in pixels, by the area of a median object of these pairs."""
    areas = np.concatenate([_areas(pair.truth) for pair in pairs])
    usual = float(np.median(areas)) if areas.size else 0.0
    radius = (usual / np.pi) ** 0.5
    seeds: list[Choice] = [{"seed_threshold": None, "seed_depth": 0.0, "seed_area": 0}]
    seeds += [
        {"seed_threshold": threshold, "seed_depth": 0.0, "seed_area": round(share * usual)}
        for threshold in SEED_THRESHOLDS
        for share in SEED_AREAS
    ]
    seeds += [
        {
            "seed_threshold": threshold,
            "seed_depth": max(0.1, round(share * radius, 1)),
            "seed_area": 0,
        }
        for threshold in DEEP_THRESHOLDS
        for share in SEED_DEPTHS
    ]
    return seeds


class _Found:
    """Each pair with what the network finds in it, again and again, segmented once if it fits."""

    def __init__(self, model: SegmentationNetwork, pairs: Sequence[Pair], room: int) -> None:
        self._model, self._pairs, self._room = model, pairs, room
        self._kept: dict[int, Segmentation] = {}

    def __iter__(self) -> Iterator[tuple[Pair, Segmentation]]:
        for number, pair in enumerate(self._pairs):
            result = self._kept.get(number)
            if result is None:
                result = self._model.segment(pair.image)
                size = result.mask.nbytes + result.probabilities.nbytes
                size += 0 if result.evidence is None else result.evidence.nbytes
                if size <= self._room:
                    self._kept[number] = result
                    self._room -= size
            yield pair, result


def _best(found: _Found, keep: str, candidates: Sequence[Choice]) -> Choice:
    """The candidate of the best figure, the first of equals."""
    scores: dict[int, list[Judgement]] = defaultdict(list)
    for pair, result in found:
        for number, candidate in enumerate(candidates):
            scores[number].append(score(applied(result, candidate), pair))
    figures = [Evaluation(tuple(images)).figure(keep) for images in scores.values()]
    return dict(candidates[int(np.argmax(figures))])


def applied(result: Segmentation, choice: Choice) -> Segmentation:
    """The result as it would be with these arguments."""
    thresholds = choice.get("thresholds", ())
    mask = result.mask
    if thresholds != ():
        mask = decide(result.probabilities, multilabel=result.multilabel, thresholds=thresholds)
    return replace(
        result,
        mask=mask,
        seed_threshold=choice.get("seed_threshold", result.seed_threshold),
        seed_depth=choice.get("seed_depth", result.seed_depth),
        seed_area=choice.get("seed_area", result.seed_area),
        provenance=None,  # which told of other arguments
    )


def _class_thresholds(model: SegmentationNetwork, pairs: Sequence[Pair]) -> list[float]:
    """The threshold of each class by its mean Dice over the images that have it; 0.5 if none."""
    dice, has = [], []
    for pair in pairs:
        result = model.segment(pair.image)
        counts = [
            score(applied(result, {"thresholds": [threshold] * len(model.classes)}), pair).counts
            for threshold in THRESHOLDS
        ]
        dice.append([one.dice() for one in counts])
        has.append(counts[0].tp + counts[0].fn > 0)
    table = np.array(dice)  # image, threshold, class
    present = np.array(has)  # image, class
    return [
        THRESHOLDS[int(table[present[:, index], :, index].mean(axis=0).argmax())]
        if present[:, index].any()
        else 0.5
        for index in range(len(model.classes))
    ]


def _areas(truth: Truth) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Pixels of each instance."""
    areas = np.unique(truth.labels.instances(), return_counts=True)[1][1:]
    return np.asarray(areas, np.intp)
