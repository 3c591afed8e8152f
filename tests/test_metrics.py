"""Contingency table, Dice, IoU, pixel error and bootstrap, against arrays drawn by hand."""

import numpy as np
import pytest

from hf_unet.errors import LabelError
from hf_unet.metrics import (
    ClassCounts,
    average_precision,
    bootstrap_interval,
    class_counts,
    contingency_table,
    dice_per_class,
    iou_per_class,
    pixel_error,
    rand_error,
    scores_per_image,
    scores_pooled,
    seg_score,
    v_info,
    v_rand,
    warping_error,
)

TRUTH = np.array([[0, 0, 0, 1], [0, 0, 1, 1], [2, 2, 1, 1]], dtype=np.uint8)
PREDICTION = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 1, 1, 0]], dtype=np.uint8)
# class:   0                 1                    2
# tp       4                 4                    1
# fp       1 (last pixel)    2                    0
# fn       1                 1                    1
DICE = [8 / 10, 8 / 11, 2 / 3]
IOU = [4 / 6, 4 / 7, 1 / 2]

ALL_METRICS = [
    dice_per_class,
    iou_per_class,
    pixel_error,
    rand_error,
    v_rand,
    v_info,
    warping_error,
    seg_score,
    average_precision,
]


def random_classes(seed: int, classes: int = 4, shape: tuple[int, int] = (13, 17)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, shape)


def test_table_counts_pairs():
    table = contingency_table(TRUTH, PREDICTION)
    pairs = zip(table.truth.tolist(), table.prediction.tolist(), table.pixels.tolist(), strict=True)
    assert list(pairs) == [(0, 0, 4), (0, 1, 1), (1, 0, 1), (1, 1, 4), (2, 1, 1), (2, 2, 1)]


def test_table_as_matrix():
    rows, columns, counts = contingency_table(TRUTH * 10, PREDICTION * 7).matrix()
    assert rows.tolist() == [0, 10, 20]
    assert columns.tolist() == [0, 7, 14]
    assert counts.toarray().tolist() == [[4, 1, 0], [1, 4, 0], [0, 1, 1]]


@pytest.mark.parametrize("scale", [1, 10**6, 10**12])
def test_table_is_the_same_for_small_and_huge_ids(scale):
    small = contingency_table(TRUTH, PREDICTION)
    large = contingency_table(TRUTH.astype(np.int64) * scale, PREDICTION.astype(np.int64) * scale)
    assert (large.truth == small.truth * scale).all()
    assert (large.prediction == small.prediction * scale).all()
    assert (large.pixels == small.pixels).all()


def test_dice_and_iou_of_a_class_map():
    np.testing.assert_allclose(dice_per_class(TRUTH, PREDICTION), DICE)
    np.testing.assert_allclose(iou_per_class(TRUTH, PREDICTION), IOU)


def test_dice_and_iou_of_a_multilabel_stack():
    stacks = [np.stack([labels == k for k in range(3)]) for labels in (TRUTH, PREDICTION)]
    np.testing.assert_allclose(dice_per_class(*stacks), DICE)
    np.testing.assert_allclose(iou_per_class(*stacks, num_classes=3), IOU)


def test_overlapping_classes_are_counted_each_for_itself():
    truth = np.array([[[1, 1, 0]], [[0, 1, 1]]], dtype=bool)
    prediction = np.array([[[1, 1, 1]], [[0, 1, 1]]], dtype=bool)
    np.testing.assert_allclose(dice_per_class(truth, prediction), [4 / 5, 1])


def test_boolean_mask_has_two_classes():
    np.testing.assert_allclose(
        dice_per_class(TRUTH == 1, PREDICTION == 1), [2 * 5 / (5 + 2 + 5 + 1), 8 / 11]
    )


def test_absent_class_counts_as_told():
    counted = dice_per_class(TRUTH, PREDICTION, num_classes=4)
    np.testing.assert_allclose(counted, [*DICE, 1])
    left_out = iou_per_class(TRUTH, PREDICTION, num_classes=4, empty=float("nan"))
    np.testing.assert_allclose(left_out, [*IOU, np.nan])
    # In one of the two only, the class is not empty but wrong.
    assert dice_per_class(np.zeros((2, 2), int), np.array([[0, 0], [0, 1]]))[1] == 0


def test_known_pixels_only():
    known = TRUTH != 2
    np.testing.assert_allclose(
        dice_per_class(TRUTH[known], PREDICTION[known]), [2 * 4 / (5 + 5), 2 * 4 / (5 + 5)]
    )


@pytest.mark.parametrize("seed", range(5))
def test_invariants(seed):
    truth, prediction = random_classes(seed), random_classes(seed + 100)
    dice, iou = dice_per_class(truth, prediction), iou_per_class(truth, prediction)
    np.testing.assert_allclose(dice, 2 * iou / (1 + iou))
    np.testing.assert_allclose(dice, dice_per_class(prediction, truth))
    assert (dice_per_class(truth, truth) == 1).all()
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(dice_per_class(order[truth], order[prediction])[order], dice)
    assert pixel_error(truth, prediction) == pytest.approx((truth != prediction).mean())


IMAGES = [
    class_counts(np.array([[0, 1, 1, 1]]), np.array([[0, 1, 1, 0]])),  # class 1: 2, 0, 1
    class_counts(np.array([[0, 0, 0, 0]]), np.array([[0, 0, 0, 0]])),  # class 1 absent
    class_counts(np.array([[0, 0, 0, 1]]), np.array([[0, 0, 1, 0]])),  # class 1: 0, 1, 1
]


def test_scores_per_image_leave_out_or_count_absent_classes():
    left_out = scores_per_image(IMAGES)
    np.testing.assert_allclose(left_out.dice, [(2 / 3 + 1 + 2 / 3) / 3, (4 / 5 + 0) / 2])
    np.testing.assert_allclose(left_out.iou, [(1 / 2 + 1 + 1 / 2) / 3, (2 / 3 + 0) / 2])
    counted = scores_per_image(IMAGES, empty=1.0)
    np.testing.assert_allclose(counted.dice, [(2 / 3 + 1 + 2 / 3) / 3, (4 / 5 + 1 + 0) / 3])
    assert left_out.images == counted.images == 3


def test_pooled_scores_take_all_pixels_together():
    pooled = scores_pooled(IMAGES)
    np.testing.assert_allclose(pooled.dice[1], 2 * 2 / (2 * 2 + 1 + 2))
    np.testing.assert_allclose(pooled.iou[1], 2 / (2 + 1 + 2))


def test_a_class_in_no_image():
    images = [class_counts(np.zeros((2, 2), int), np.zeros((2, 2), int))] * 2
    assert np.isnan(scores_per_image(images).dice[1])
    assert np.isnan(scores_pooled(images).dice[1])
    assert scores_pooled(images, empty=0.0).dice[1] == 0


def test_each_convention_has_its_own_name():
    names = {
        scores.convention
        for scores in (
            scores_per_image(IMAGES),
            scores_per_image(IMAGES, empty=1.0),
            scores_pooled(IMAGES),
            scores_pooled(IMAGES, empty=1.0),
        )
    }
    assert len(names) == 4
    assert all("3 images" in name for name in names)


def test_counts_add_up_like_pixels():
    together = class_counts(
        np.hstack([TRUTH, TRUTH.T[:3, :3]]), np.hstack([PREDICTION, TRUTH[:, :3]])
    )
    total = class_counts(TRUTH, PREDICTION) + class_counts(TRUTH.T[:3, :3], TRUTH[:, :3])
    assert together.tp.tolist() == total.tp.tolist()
    assert together.fp.tolist() == total.fp.tolist()
    assert together.fn.tolist() == total.fn.tolist()


def test_counts_of_different_classes_do_not_add_up():
    two = class_counts(np.array([[0, 1]]), np.array([[0, 1]]))
    three = class_counts(np.array([[0, 2]]), np.array([[0, 1]]))
    with pytest.raises(LabelError, match="num_classes"):
        two + three
    with pytest.raises(LabelError, match="num_classes"):
        scores_per_image([two, three])


def test_no_images():
    for scores in (scores_per_image, scores_pooled):
        with pytest.raises(LabelError, match="no images"):
            scores([])


@pytest.mark.parametrize(
    "prediction",
    [
        np.array([[0, 1, 1, 0]]),
        np.array([[False, True, True, False]]),
        np.array([[0, 255, 255, 0]], dtype=np.uint8),
        np.array([[0.5, 0.51, 1.0, 0.0]], dtype=np.float32),
    ],
)
def test_pixel_error_reads_masks_and_probabilities(prediction):
    assert pixel_error(np.array([[0, 255, 0, 0]], dtype=np.uint8), prediction) == 0.25
    assert pixel_error(np.array([[0, 1, 0, 0]]), prediction) == 0.25
    assert pixel_error(prediction, prediction) == 0


def test_pixel_error_of_class_maps():
    assert pixel_error(TRUTH, PREDICTION) == 3 / 12


@pytest.mark.parametrize(
    ("prediction", "says"),
    [
        (np.full((1, 4), 1.5), "probabilities"),
        (np.full((1, 4), np.nan), "probabilities"),
        (np.array([[0, 100, 200, 255]], dtype=np.uint8), "grey values"),
        (np.array([[0, 1, 2, 3]]), "more"),
        (np.array([["a", "b", "c", "d"]]), "whole numbers"),
    ],
)
def test_pixel_error_refuses_what_it_cannot_read(prediction, says):
    with pytest.raises(LabelError, match=says):
        pixel_error(np.array([[0, 255, 0, 0]], dtype=np.uint8), prediction)


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_shapes_that_differ_are_both_named(metric):
    with pytest.raises(LabelError, match=r"\(3, 4\).*\(4, 3\)"):
        metric(np.ones((3, 4), dtype=int), np.ones((4, 3), dtype=int))


@pytest.mark.parametrize("metric", ALL_METRICS)
def test_empty_arrays(metric):
    with pytest.raises(LabelError, match=r"\(0, 4\)"):
        metric(np.ones((0, 4), dtype=int), np.ones((0, 4), dtype=int))


@pytest.mark.parametrize("metric", [dice_per_class, iou_per_class, seg_score, average_precision])
def test_labels_are_whole_numbers_from_zero(metric):
    with pytest.raises(LabelError, match="float64"):
        metric(np.ones((3, 4)), np.ones((3, 4), dtype=int))
    with pytest.raises(LabelError, match="-1"):
        metric(np.ones((3, 4), dtype=int), np.full((3, 4), -1))


def test_class_maps_that_are_none():
    with pytest.raises(LabelError, match="0 and 255"):
        dice_per_class(TRUTH == 1, np.uint8(255) * (PREDICTION == 1))
    with pytest.raises(LabelError, match=r"index 2 .* 2 classes"):
        dice_per_class(TRUTH, PREDICTION, num_classes=2)
    with pytest.raises(LabelError, match="two stacks"):
        dice_per_class(np.ones((2, 3, 4), dtype=bool), np.ones((2, 3, 4), dtype=int))
    with pytest.raises(LabelError, match="boolean"):
        dice_per_class(np.ones((2, 3, 4), dtype=int), np.ones((2, 3, 4), dtype=int))
    with pytest.raises(LabelError, match="2 planes"):
        dice_per_class(*[np.ones((2, 3, 4), dtype=bool)] * 2, num_classes=3)
    with pytest.raises(LabelError, match="0 classes"):
        dice_per_class(TRUTH, PREDICTION, num_classes=0)


def test_bootstrap_holds_the_mean_and_narrows_with_more_images():
    values = np.random.default_rng(0).normal(0.8, 0.1, 400).tolist()
    few = bootstrap_interval(values[:20], np.mean)
    many = bootstrap_interval(values, np.mean)
    assert few.low[0] < np.mean(values[:20]) < few.high[0]
    # The width of a 95 % interval of a mean is 2 * 1.96 * sigma / sqrt(n), of 90 % 16 % less.
    assert many.high[0] - many.low[0] == pytest.approx(2 * 1.96 * 0.1 / 20, rel=0.05)
    assert few.high[0] - few.low[0] > 2 * (many.high[0] - many.low[0])


def test_bootstrap_of_dice_per_class():
    interval = bootstrap_interval(
        IMAGES, lambda images: scores_per_image(images).dice, resamples=200
    )
    assert interval.low.shape == interval.high.shape == (2,)
    assert interval.low[1] == 0
    assert interval.high[1] == pytest.approx(4 / 5)
    again = bootstrap_interval(IMAGES, lambda images: scores_per_image(images).dice, resamples=200)
    assert (again.low == interval.low).all()


def test_bootstrap_of_a_class_in_no_image():
    nothing = ClassCounts(*(np.zeros(1, dtype=np.int64) for _ in range(3)))
    interval = bootstrap_interval([nothing], lambda images: scores_pooled(images).dice, resamples=5)
    assert np.isnan(interval.low[0])
    assert np.isnan(interval.high[0])


def test_bootstrap_refuses_nonsense():
    with pytest.raises(LabelError, match="no images"):
        bootstrap_interval([], np.mean)
    with pytest.raises(LabelError, match="confidence"):
        bootstrap_interval([1.0], np.mean, confidence=95)
