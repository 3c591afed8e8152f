"""SEG and average precision."""

import numpy as np
import pytest
import tifffile
from scipy.optimize import linear_sum_assignment

from hf_unet.errors import LabelError
from hf_unet.metrics import (
    average_precision,
    match_objects,
    matching_counts,
    seg_score,
    seg_scores,
)

TRUTH = np.array(
    [
        [1, 1, 1, 1, 0, 2, 2],
        [1, 1, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0, 0, 0],
        [3, 3, 0, 0, 0, 4, 4],
    ]
)
PREDICTION = np.array(
    [
        [7, 7, 7, 0, 0, 5, 0],
        [7, 7, 7, 0, 0, 5, 0],
        [0, 0, 0, 0, 0, 0, 0],
        [9, 9, 9, 9, 0, 0, 0],
    ]
)
# Object 1: covered 6 of 8, Jaccard 6/8. 2: covered 2 of 4, not more than half. 3: covered 2 of
# 2, Jaccard 2/4. 4: missed.


def random_instances(seed: int, shape: tuple[int, int] = (40, 40), cells: int = 12) -> np.ndarray:
    """Rectangles over one another."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    for number in range(1, cells + 1):
        top, left = generator.integers(0, 32, 2)
        height, width = generator.integers(3, 12, 2)
        labels[top : top + height, left : left + width] = number
    return labels


def iou_by_definition(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    return np.array(
        [
            [
                ((truth == t) & (prediction == p)).sum() / ((truth == t) | (prediction == p)).sum()
                for p in np.unique(prediction[prediction > 0])
            ]
            for t in np.unique(truth[truth > 0])
        ]
    )


def test_seg_by_hand():
    scores = seg_scores([(TRUTH, PREDICTION)])
    assert scores.jaccard.tolist() == [6 / 8, 0, 2 / 4, 0]
    assert seg_score(TRUTH, PREDICTION) == pytest.approx((6 / 8 + 2 / 4) / 4)


def test_seg_costs_nothing_for_false_objects():
    more = PREDICTION.copy()
    more[2, 3] = 50
    assert seg_score(TRUTH, more) == seg_score(TRUTH, PREDICTION)


def test_seg_of_frames_pools_objects():
    empty = np.zeros_like(TRUTH)
    one = (TRUTH == 1).astype(np.int32)
    frames = [(TRUTH, PREDICTION), (empty, PREDICTION), (one, one)]
    assert seg_scores(frames).score == pytest.approx((6 / 8 + 2 / 4 + 1) / 5)
    truth, prediction = (np.stack(arrays) for arrays in zip(*frames, strict=True))
    assert seg_score(truth, prediction) == seg_scores(frames).score


def test_seg_without_objects_is_not_a_number():
    assert np.isnan(seg_score(np.zeros((3, 3), int), np.ones((3, 3), int)))
    with pytest.raises(LabelError, match="no frames"):
        seg_scores([])


def test_average_precision_by_hand():
    # IoU: 1-7 6/8, 2-5 2/4, 3-9 2/4, so of 4 and 3 objects 3, 1, 0 match.
    counts = matching_counts(TRUTH, PREDICTION, thresholds=(0.5, 0.75, 0.8))
    assert counts.tp.tolist() == [3, 1, 0]
    assert counts.fp.tolist() == [0, 2, 3]
    assert counts.fn.tolist() == [1, 3, 4]
    np.testing.assert_allclose(
        average_precision(TRUTH, PREDICTION, (0.5, 0.75, 0.8)), [3 / 4, 1 / 6, 0]
    )


def test_average_precision_default_thresholds():
    assert matching_counts(TRUTH, TRUTH).thresholds == (0.5, 0.6, 0.7, 0.8, 0.9)
    assert average_precision(TRUTH, TRUTH).tolist() == [1.0] * 5


def test_halves_of_an_object_match_it_once():
    whole, halves = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    counts = matching_counts(whole, halves, thresholds=(0.5,))
    assert (counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist()) == ([1], [1], [0])


def test_average_precision_without_objects():
    nothing, something = np.zeros((2, 2), int), np.eye(2, dtype=int)
    assert average_precision(nothing, nothing, (0.5,)).tolist() == [1]
    assert matching_counts(nothing, nothing, (0.5,)).average_precision(empty=0).tolist() == [0]
    assert average_precision(nothing, something, (0.5,)).tolist() == [0]
    assert average_precision(something, nothing, (0.5,)).tolist() == [0]


@pytest.mark.parametrize("seed", range(6))
def test_against_assignment_of_the_iou_matrix(seed):
    truth, prediction = random_instances(seed), np.roll(random_instances(seed), seed, axis=1)
    prediction[:, 20] = 0
    thresholds = (0.1, 0.3, 0.5, 0.7, 0.9)
    iou = iou_by_definition(truth, prediction)
    counts = matching_counts(truth, prediction, thresholds)
    for threshold, tp in zip(thresholds, counts.tp, strict=True):
        wanted = iou >= threshold
        assert tp == wanted[linear_sum_assignment(wanted, maximize=True)].sum()
    assert (counts.tp + counts.fn == iou.shape[0]).all()
    assert (counts.tp + counts.fp == iou.shape[1]).all()


@pytest.mark.parametrize("seed", range(3))
def test_invariants(seed):
    truth, prediction = random_instances(seed), np.roll(random_instances(seed + 9), 1, axis=0)
    np.testing.assert_allclose(
        average_precision(truth, prediction), average_precision(prediction, truth)
    )
    names = np.random.default_rng(seed).permutation(60000)[: truth.max() + 1].astype(np.uint16)
    names[0] = 0
    renamed = names[truth]
    assert seg_score(renamed, prediction) == pytest.approx(seg_score(truth, prediction))
    assert seg_score(truth, renamed) == 1
    np.testing.assert_allclose(
        average_precision(renamed, prediction), average_precision(truth, prediction)
    )


def test_each_object_is_named():
    matches = match_objects(TRUTH, PREDICTION)
    assert matches.pairs.tolist() == [[1, 7], [2, 5], [3, 9]]
    assert matches.missed.tolist() == [4] and matches.invented.tolist() == []
    assert matches.split.tolist() == matches.merged.tolist() == []
    sharper = match_objects(TRUTH, PREDICTION, 0.6)
    assert sharper.pairs.tolist() == [[1, 7]] and sharper.threshold == 0.6
    assert sharper.missed.tolist() == [2, 3, 4] and sharper.invented.tolist() == [5, 9]


def test_split_and_merged_objects_are_named():
    truth = np.array([[1, 1, 1, 1, 1, 1, 0, 2, 2, 3, 3, 3]])
    found = np.array([[4, 4, 4, 4, 6, 6, 0, 8, 8, 8, 8, 8]])
    matches = match_objects(truth, found)
    assert matches.split.tolist() == [1] and matches.merged.tolist() == [8]
    assert matches.pairs.tolist() == [[1, 4], [3, 8]]  # a part may match
    back = match_objects(found, truth)
    assert back.split.tolist() == [8] and back.merged.tolist() == [1]


def test_a_part_that_lies_elsewhere_by_half_is_none():
    truth = np.array([[1, 1, 1, 1, 0, 0]])
    found = np.array([[5, 5, 5, 6, 6, 0]])
    assert match_objects(truth, found).split.tolist() == []


def test_no_objects_match_nothing():
    nothing = np.zeros((2, 3), int)
    matches = match_objects(nothing, nothing)
    assert matches.pairs.shape == (0, 2) and len(matches.missed) == len(matches.invented) == 0
    assert match_objects(TRUTH, np.zeros_like(TRUTH)).missed.tolist() == [1, 2, 3, 4]
    assert match_objects(np.zeros_like(TRUTH), TRUTH).invented.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("seed", range(3))
def test_the_names_are_as_many_as_the_counts(seed):
    truth, prediction = random_instances(seed), np.roll(random_instances(seed + 9), 1, axis=0)
    for threshold in (0.3, 0.5, 0.8):
        counts = matching_counts(truth, prediction, (threshold,))
        matches = match_objects(truth, prediction, threshold)
        assert [len(matches.pairs)] == counts.tp.tolist()
        assert [len(matches.missed)] == counts.fn.tolist()
        assert [len(matches.invented)] == counts.fp.tolist()
        assert {*matches.pairs[:, 0], *matches.missed} == {*np.unique(truth)} - {0}
        assert {*matches.pairs[:, 1], *matches.invented} == {*np.unique(prediction)} - {0}


def test_counts_of_images_add_up():
    total = matching_counts(TRUTH, PREDICTION) + matching_counts(TRUTH, TRUTH)
    assert total.tp.tolist()[0] == 3 + 4
    assert total.average_precision()[0] == 7 / 8
    with pytest.raises(LabelError, match="thresholds"):
        total + matching_counts(TRUTH, TRUTH, (0.5,))


@pytest.mark.parametrize("thresholds", [(), (0.0, 0.5), (50,)])
def test_thresholds_are_fractions(thresholds):
    with pytest.raises(LabelError, match="thresholds"):
        average_precision(TRUTH, PREDICTION, thresholds)


@pytest.mark.data
@pytest.mark.parametrize(
    ("sequence", "figure"),
    [("DIC-C2DH-HeLa", 0.9647532840), ("PhC-C2DH-U373", 0.9511336954)],
)
def test_seg_of_silver_against_gold_truth(shared_data, sequence, figure):
    folder = shared_data / "ctc" / sequence
    frames = [
        (tifffile.imread(gold), tifffile.imread(folder / "01_ST" / "SEG" / gold.name))
        for gold in sorted((folder / "01_GT" / "SEG").glob("man_seg*.tif"))
    ]
    assert seg_scores(frames).score == pytest.approx(figure, abs=5e-11)
