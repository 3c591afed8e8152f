"""Figures of a set of images, what is known of each, and the thresholds they choose."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_unet.geometry import valid_geometry
from hf_unet.images import read_image
from hf_unet.judgement import Evaluation
from hf_unet.labels import Labels
from hf_unet.masks import decide
from hf_unet.segmentation import Segmentation
from hf_unet.tiles import plan_tiles
from hf_unet.training import tuning
from hf_unet.training.estimates import calibrate, estimate_figures, estimated
from hf_unet.training.evaluation import evaluate, score
from hf_unet.training.membranes import membrane_figures
from hf_unet.training.pairs import OneFile, Pair, Truth
from hf_unet.training.tuning import tune


def result_of(
    probabilities: NDArray[np.float32], *, multilabel: bool = False, **options: Any
) -> Segmentation:
    height, width = probabilities.shape[1:]
    classes = ("a", "b", "c")[: len(probabilities)]
    return Segmentation(
        mask=decide(probabilities, multilabel=multilabel),
        probabilities=probabilities,
        classes=classes,
        colors=("#000000", "#ff0000", "#00ff00")[: len(classes)],
        multilabel=multilabel,
        min_area=0,
        image=read_image(np.zeros((height, width), np.uint8)),
        plan=plan_tiles(height, width, valid_geometry(1), 28),
        **options,
    )


def truth_of(array: NDArray[Any], kind: str = "instances", known: Any = None) -> Truth:
    classes = ("a", "b") if array.ndim == 2 else ("a", "b", "c")[: len(array)]
    return Truth(Labels(kind, array, classes, ""), known)  # type: ignore[arg-type]


def foreground(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([1 - plane, plane]).astype(np.float32)


class Answers:
    """A network whose answers are given: all that tuning and scoring ask of one."""

    multilabel = False
    thresholds = None
    mask_classes: tuple[str, ...] = ("a", "b")
    classes: tuple[str, ...] = ("a", "b")

    def __init__(self, answers: list[Segmentation]) -> None:
        self.answers, self.asked = answers, 0

    def segment(self, image: Any, **_: Any) -> Segmentation:
        self.asked += 1
        return self.answers[int(image[0, 0, 0])]


def pairs_of(truths: list[Truth]) -> list[Pair]:
    pairs = []
    for number, truth in enumerate(truths):
        pair = Pair(f"{number}", Path("x"), OneFile(Path("x")), truth.labels.classes)
        shape = truth.labels.array.shape[-2:]
        pair.__dict__.update(image=np.full((1, *shape), number, np.uint8), truth=truth)
        pairs.append(pair)
    return pairs


# --- figures -----------------------------------------------------------------------------------


def two_images() -> Evaluation:
    truth = np.int32([[1, 1, 0, 2, 2, 0]])
    right = foreground(np.float32([[0.9, 0.9, 0.1, 0.9, 0.9, 0.1]]))
    half = foreground(np.float32([[0.9, 0.9, 0.1, 0.1, 0.1, 0.1]]))
    answers = Answers([result_of(right), result_of(half)])
    return evaluate(answers, pairs_of([truth_of(truth)] * 2))  # type: ignore[arg-type]


def test_figures_of_instances_by_hand() -> None:
    figures = two_images().summary()
    assert figures["pixel_error"] == pytest.approx((0 + 2 / 6) / 2)
    assert figures["per_image"]["dice"]["b"] == pytest.approx((1 + 4 / 6) / 2)
    assert figures["pooled"]["dice"]["b"] == pytest.approx(12 / 14)
    assert figures["average_precision"] == {
        threshold: pytest.approx(0.75) for threshold in ("0.5", "0.6", "0.7", "0.8", "0.9")
    }
    assert figures["average_precision_50"] == pytest.approx(0.75)
    assert figures["seg"] == pytest.approx(0.75)  # of four objects one is missed
    assert two_images().figure("seg") == pytest.approx(0.75)


def test_intervals_lie_in_the_same_places_and_hold_the_figures() -> None:
    figures = two_images().summary(intervals=True)
    intervals = figures["intervals"]
    assert intervals["average_precision"]["0.9"] == [0.5, 1.0]  # either image twice
    assert intervals["pooled"]["dice"]["b"] == pytest.approx([2 / 3, 1])
    assert intervals["per_image"]["dice"].keys() == figures["per_image"]["dice"].keys()
    assert "convention" not in intervals["pooled"] and "images" not in intervals
    low, high = intervals["seg"]
    assert low <= figures["seg"] <= high


def test_only_known_pixels_are_counted() -> None:
    truth = np.int32([[3, 3, 0, 0, 0, 0]])
    everything = result_of(foreground(np.full((1, 6), 0.9, np.float32)))
    scores = score(everything, *pairs_of([truth_of(truth, known=truth > 0)]))
    assert scores.pixel_error == 0 and scores.counts.fp.tolist() == [0, 0]
    assert scores.matching is None  # what is not annotated may be there
    assert scores.jaccard is not None and scores.jaccard.tolist() == [2 / 6]
    assert score(everything, *pairs_of([truth_of(truth)])).pixel_error == pytest.approx(4 / 6)


def test_known_pixels_of_a_stack() -> None:
    stack = np.zeros((2, 1, 4), np.bool_)
    stack[0, 0, :2] = True
    known = np.array([[True, True, True, False]])
    probabilities = np.float32([[[0.9, 0.9, 0.1, 0.9]], [[0.1, 0.9, 0.1, 0.9]]])
    result = result_of(probabilities, multilabel=True)
    scores = score(result, *pairs_of([truth_of(stack, "multilabel", known)]))
    assert scores.counts.tp.tolist() == [2, 0] and scores.counts.fp.tolist() == [0, 1]
    assert scores.pixel_error == pytest.approx(1 / 6)


# --- the dice to expect ------------------------------------------------------------------------


def test_an_image_annotated_in_part_says_nothing_of_the_estimate() -> None:
    truth = np.int32([[3, 3, 0, 0, 0, 0]])
    result = result_of(foreground(np.float32([[0.9, 0.8, 0.2, 0.7, 0.1, 0.1]])))
    (part, whole) = pairs_of([truth_of(truth, known=truth > 0), truth_of(truth)])
    assert estimated(result, part.truth, score(result, part)) is None
    counted = estimated(result, whole.truth, score(result, whole))
    assert counted is not None and counted.dice.tolist() == pytest.approx([6 / 7, 4 / 5])
    back, front = counted.counts
    assert (back.found.sum(), front.found.sum()) == (3, 3)
    assert back.true is not None and front.true is not None
    assert (back.true.sum(), front.true.sum()) == (4, 2)


def test_each_class_is_calibrated_and_judged_by_itself() -> None:
    stack = np.array([[[1, 1, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 0, 0]]], np.bool_)
    probabilities = np.float32(
        [[[0.9, 0.9, 0.6, 0.1]], [[0.2, 0.8, 0.1, 0.1]], [[0.3, 0.1, 0.2, 0.1]]]
    )
    result = result_of(probabilities, multilabel=True)
    (pair,) = pairs_of([truth_of(stack, "multilabel")])
    one = estimated(result, pair.truth, score(result, pair))
    assert one is not None
    lines = calibrate([one, one])
    assert lines is not None and len(lines) == 3 and lines[2] is None
    assert calibrate([]) is None
    figures = estimate_figures(("a", "b", "c"), [one, one])["classes"]
    assert figures["c"] is None and figures["a"]["images"] == 2
    assert figures["a"]["measured"] == pytest.approx(0.8)
    assert figures["b"]["measured"] == 1 and figures["b"]["without_estimate"] == 0
    assert figures["a"]["expected"] == pytest.approx(0.8, abs=0.15)


# --- tuning ------------------------------------------------------------------------------------


def test_seeds_that_part_touching_cells_are_chosen() -> None:
    row = np.float32([0.1, 0.97, 0.97, 0.6, 0.97, 0.97, 0.1])
    truth = np.repeat(np.int32([[0, 1, 1, 1, 2, 2, 0]]), 4, axis=0)
    answer = result_of(foreground(np.repeat(row[None], 4, axis=0)))
    model, pairs = Answers([answer]), pairs_of([truth_of(truth)])
    assert evaluate(model, pairs).figure("average_precision") == 0.5  # type: ignore[arg-type]
    chosen = tune(model, pairs, "average_precision")  # type: ignore[arg-type]
    assert chosen["seed_threshold"] == 0.7 and chosen["thresholds"] is None


@pytest.mark.parametrize(("results_kept", "passes"), [(2, 2), (1, 3), (0, 4)])
def test_each_image_is_segmented_once_as_far_as_memory_lasts(
    monkeypatch: pytest.MonkeyPatch, results_kept: int, passes: int
) -> None:
    # As above, twice: two objects that touch, parted by a seed threshold.
    row = np.float32([0.1, 0.97, 0.97, 0.6, 0.97, 0.97, 0.1])
    truth = np.repeat(np.int32([[0, 1, 1, 1, 2, 2, 0]]), 4, axis=0)
    answers = [result_of(foreground(np.repeat(row[None], 4, axis=0))) for _ in range(2)]
    pairs = pairs_of([truth_of(truth), truth_of(truth)])
    model = Answers(answers)
    size = answers[0].mask.nbytes + answers[0].probabilities.nbytes
    monkeypatch.setattr(tuning, "KEPT", results_kept * size)
    chosen = tune(model, pairs, "average_precision")  # type: ignore[arg-type]
    assert chosen["seed_threshold"] == 0.7 and chosen["thresholds"] is None
    assert model.asked == passes


def test_seeds_are_chosen_again_for_the_threshold_that_was_chosen() -> None:
    # At 0.5 a wide rim hides the cells, whatever their seeds; without it two touch at 0.75.
    rim = [0.6] * 30
    row = np.float32([*rim, *[0.97] * 5, 0.75, *[0.97] * 4, *rim])
    truth = np.repeat(np.int32([[*[0] * 30, *[1] * 6, *[2] * 4, *[0] * 30]]), 4, axis=0)
    answer = result_of(foreground(np.repeat(row[None], 4, axis=0)))
    pairs = pairs_of([truth_of(truth)])
    chosen = tune(Answers([answer]), pairs, "average_precision")  # type: ignore[arg-type]
    assert chosen["thresholds"] == [0.7] and chosen["seed_threshold"] is not None


def test_seeds_are_not_taken_up_where_they_change_nothing() -> None:
    truth = np.int32([[0, 1, 1, 0, 2, 2, 0]])
    answer = result_of(foreground((truth > 0) * np.float32(0.96)))
    chosen = tune(Answers([answer]), pairs_of([truth_of(truth)]), "dice")  # type: ignore[arg-type]
    assert chosen == {
        "seed_threshold": None,
        "seed_depth": 0.0,
        "seed_area": 0,
        "thresholds": None,
    }


def test_the_threshold_of_the_foreground_is_chosen() -> None:
    truth = np.uint8([[0, 1, 1, 1]])
    answer = result_of(foreground(np.float32([[0.1, 0.35, 0.45, 0.9]])))
    pairs = pairs_of([truth_of(truth, "classes")])
    assert tune(Answers([answer]), pairs, "pixel_error") == {"thresholds": [0.3]}  # type: ignore[arg-type]


def test_each_class_of_a_stack_gets_its_own_threshold() -> None:
    stack = np.array([[[1, 1, 0, 0]], [[0, 1, 0, 0]], [[0, 0, 0, 0]]], np.bool_)
    probabilities = np.float32(
        [[[0.32, 0.4, 0.28, 0.1]], [[0.5, 0.88, 0.5, 0.82]], [[0.3, 0.1, 0.2, 0.1]]]
    )
    model = Answers([result_of(probabilities, multilabel=True)])
    model.multilabel, model.classes = True, ("a", "b", "c")
    pairs = pairs_of([truth_of(stack, "multilabel")])
    assert tune(model, pairs, "dice") == {"thresholds": [0.3, 0.85, 0.5]}  # type: ignore[arg-type]


# --- membranes ---------------------------------------------------------------------------------


def test_membrane_figures_of_a_gap_and_a_better_threshold() -> None:
    truth = np.ones((9, 9), np.uint8)
    truth[:, 4] = 0
    probability = np.full((9, 9), 0.9, np.float32)
    probability[:, 4] = 0.2
    probability[3:6, 4] = 0.6  # a gap at 0.5, none at 0.7
    mask = (probability >= 0.5).astype(np.uint8)
    figures = membrane_figures([truth, truth], [mask, mask], [probability, probability])
    assert figures["sections"] == 2
    assert figures["pixel_error"] == pytest.approx(3 / 81)
    assert figures["merges"] > 0 and figures["v_rand_thinned"] < 0.9
    assert figures["best"]["pixel_error"] == {"value": 0.0, "threshold": 0.7}
    assert figures["best"]["v_rand_thinned"]["value"] == pytest.approx(1)
