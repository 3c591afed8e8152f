"""The Dice to expect: by its definition, by hand, and as it holds on images of known odds."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from hf_unet.calibration import (
    BINS,
    CHUNK,
    LogOddsCounts,
    checked_calibration,
    expected_dice,
    fit_line,
    leave_one_out,
    log_odds_counts,
)
from hf_unet.errors import ModelError
from hf_unet.metrics import dice_per_class
from hf_unet.model import UNet

Planes = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


def image_of(seed: int, *, slope: float = 1.0, intercept: float = 0.0, side: int = 128) -> Planes:
    """Probabilities, mask and truth; the truth's log-odds are ``slope`` x + ``intercept``."""
    random = np.random.default_rng(seed)
    odds = random.normal(-1, 2, (side, side))
    truth = random.random((side, side)) < expit(slope * odds + intercept)
    probabilities = expit(odds).astype(np.float32)
    return probabilities, probabilities >= 0.5, truth


def counts_of(planes: Planes) -> LogOddsCounts:
    return log_odds_counts(*planes)


# --- counting ----------------------------------------------------------------------------------


def test_every_pixel_is_counted_once() -> None:
    probabilities = np.float32([[0.0, 1.0, 0.5], [0.5, 1e-20, 0.9]])
    found = np.array([[0, 1, 1], [0, 0, 1]], bool)
    counts = log_odds_counts(probabilities, found, ~found)
    assert counts.every.sum() == 6 and counts.found.sum() == 3
    assert counts.true is not None and np.array_equal(counts.true, counts.every - counts.found)
    assert counts.every[0] == 2 and counts.every[-1] == 1 and counts.every[BINS // 2] == 2
    assert log_odds_counts(probabilities, found).true is None


def test_counts_of_images_add_up() -> None:
    one, other = counts_of(image_of(0)), counts_of(image_of(1))
    both = counts_of(tuple(np.stack(pair) for pair in zip(image_of(0), image_of(1), strict=True)))  # type: ignore[arg-type]
    added = one + other
    assert np.array_equal(added.every, both.every) and np.array_equal(added.found, both.found)
    assert added.true is not None and both.true is not None
    assert np.array_equal(added.true, both.true)
    without = LogOddsCounts(other.every, other.found)
    assert (one + without).true is None


def test_an_image_beyond_one_chunk_is_counted_whole() -> None:
    probabilities = np.full((2, CHUNK), 0.25, np.float32)
    probabilities[1] = 0.75
    counts = log_odds_counts(probabilities, probabilities > 0.5)
    assert sorted(counts.every[counts.every > 0].tolist()) == [CHUNK, CHUNK]
    assert counts.found.sum() == CHUNK


# --- the estimate ------------------------------------------------------------------------------


def test_the_expected_dice_by_hand() -> None:
    """2 (0.9 + 0.6) / (0.9 + 0.6 + 0.2 + 0.1 + 2 pixels of mask)."""
    probabilities = np.float32([[0.9, 0.6], [0.2, 0.1]])
    counts = log_odds_counts(probabilities, probabilities > 0.5)
    assert expected_dice(counts, (1.0, 0.0)) == pytest.approx(3 / 3.8, abs=2e-3)


@pytest.mark.parametrize("line", [(1.0, 0.0), (0.6, -0.5), (1.7, 1.0)])
def test_bins_cost_no_accuracy(line: tuple[float, float]) -> None:
    probabilities, found, _ = image_of(3)
    calibrated = expit(line[0] * logit(probabilities.astype(np.float64)) + line[1])
    by_pixel = 2 * calibrated[found].sum() / (calibrated.sum() + found.sum())
    assert expected_dice(counts_of(image_of(3)), line) == pytest.approx(by_pixel, abs=1e-4)


def test_a_sure_mask_expects_one_and_no_mask_expects_nothing() -> None:
    found = np.eye(8, dtype=bool)
    sure = log_odds_counts(found.astype(np.float32), found)
    assert expected_dice(sure, (1.0, 0.0)) == pytest.approx(1, abs=1e-5)
    nothing = log_odds_counts(np.full((8, 8), 0.3, np.float32), np.zeros((8, 8), bool))
    assert math.isnan(expected_dice(nothing, (1.0, 0.0)))


def test_right_probabilities_expect_the_dice_that_is_measured() -> None:
    probabilities, found, truth = image_of(4, side=256)
    measured = dice_per_class(truth.astype(np.uint8), found.astype(np.uint8))[1]
    assert expected_dice(counts_of((probabilities, found, truth)), (1, 0)) == pytest.approx(
        measured, abs=0.005
    )


# --- the line ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, 0.7), (1.6, -1.0)])
def test_the_line_is_found_again(slope: float, intercept: float) -> None:
    line = fit_line(counts_of(image_of(5, slope=slope, intercept=intercept, side=512)))
    assert line == pytest.approx((slope, intercept), abs=0.05)


def test_two_classes_that_exclude_each_other_have_opposite_lines() -> None:
    probabilities, found, truth = image_of(6, slope=0.7, intercept=0.4)
    front = fit_line(counts_of((probabilities, found, truth)))
    back = fit_line(counts_of((1 - probabilities, ~found, ~truth)))
    assert front is not None and back is not None
    assert back == pytest.approx((front[0], -front[1]), abs=0.02)


def test_a_class_that_is_always_right_has_a_line_and_an_absent_one_has_none() -> None:
    found = np.eye(8, dtype=bool)
    probabilities = np.where(found, 0.7, 0.3).astype(np.float32)
    right = log_odds_counts(probabilities, found, found)
    line = fit_line(right)
    assert line is not None and 1 < line[0] <= 100
    assert expected_dice(right, line) > 0.8
    assert fit_line(log_odds_counts(probabilities, found, np.zeros_like(found))) is None
    assert fit_line(log_odds_counts(probabilities, found)) is None


# --- how well it holds -------------------------------------------------------------------------


def test_each_image_is_judged_by_the_line_of_the_others() -> None:
    images = [image_of(seed, slope=0.6, intercept=seed - 2) for seed in (0, 1, 2)]
    counts = [counts_of(image) for image in images]
    measured = [0.5, 0.25, 0.75]
    expected = []
    for number in range(3):
        one, other = (counts[index] for index in range(3) if index != number)
        line = fit_line(one + other)
        assert line is not None
        expected.append(expected_dice(counts[number], line))
    scores = leave_one_out(counts, measured)
    assert scores is not None
    differences = np.abs(np.subtract(expected, measured))
    assert scores.images == 3 and scores.correlation is None
    assert scores.expected == pytest.approx(np.mean(expected))
    assert scores.measured == pytest.approx(0.5)
    assert scores.mean_difference == pytest.approx(differences.mean())
    assert scores.largest_difference == pytest.approx(differences.max())
    assert scores.without_estimate == pytest.approx((0 + 0.375 + 0.375) / 3)


def test_images_of_known_odds_are_told_apart() -> None:
    """A network twice too sure, on images of different difficulty."""
    images, measured = [], []
    for seed in range(8):
        random = np.random.default_rng(seed)
        odds = random.normal(0, 0.5 + 0.5 * seed, (128, 128))
        truth = random.random(odds.shape) < expit(odds)
        probabilities = expit(2 * odds).astype(np.float32)
        found = probabilities >= 0.5
        images.append(counts_of((probabilities, found, truth)))
        measured.append(float(dice_per_class(truth.astype(np.uint8), found.astype(np.uint8))[1]))
    scores = leave_one_out(images, measured)
    assert scores is not None and scores.correlation is not None
    assert scores.correlation > 0.99 and scores.mean_difference < 0.01
    assert scores.without_estimate > 0.05


def test_images_without_the_class_are_left_out() -> None:
    empty = (np.full((4, 4), 0.1, np.float32), np.zeros((4, 4), bool), np.zeros((4, 4), bool))
    counts = [counts_of(image_of(0)), counts_of(image_of(1)), counts_of(empty)]
    scores = leave_one_out(counts, [0.8, 0.8, float("nan")])
    assert scores is not None and scores.images == 2
    assert leave_one_out(counts[1:], [0.8, float("nan")]) is None
    assert leave_one_out([counts_of(empty)] * 3, [0.0] * 3) is None


# --- networks ----------------------------------------------------------------------------------


def networks() -> list[tuple[str, dict[str, Any]]]:
    line = [0.8, 0.1]
    return [
        ("classes", {"classes": ["background", "a", "b"], "calibration": [line, line, None]}),
        ("one class", {"classes": ["a"], "calibration": [line, line]}),
        (
            "border",
            {
                "classes": ["background", "a", "border"],
                "border": True,
                "calibration": [line, line],
            },
        ),
        ("multilabel", {"classes": ["a", "b"], "multilabel": True, "calibration": [line, line]}),
    ]


@pytest.mark.parametrize(("name", "arguments"), networks())
def test_the_estimate_of_every_kind_of_network(name: str, arguments: dict[str, Any]) -> None:
    import torch

    torch.manual_seed(1)
    model = UNet(base_channels=4, depth=1, **arguments).eval()
    image = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)
    result = model.segment(image)
    estimates = result.expected_dice
    assert estimates is not None and estimates.shape == (len(result.classes),)
    for index, line in enumerate(arguments["calibration"]):
        found = result.class_pixels(index)
        if line is None or not found.any():
            assert math.isnan(estimates[index])
            continue
        p = expit(0.8 * logit(result.class_probabilities(index).astype(np.float64)) + 0.1)
        assert estimates[index] == pytest.approx(
            2 * p[found].sum() / (p.sum() + found.sum()), abs=1e-3
        )
    # It changes nothing else.
    model.calibration = None
    plain = model.segment(image)
    assert plain.expected_dice is None
    assert np.array_equal(plain.mask, result.mask)
    assert np.array_equal(plain.probabilities, result.probabilities)


def test_the_background_of_a_lone_class_is_what_is_left() -> None:
    model = UNet(base_channels=2, depth=1, classes=["a"]).eval()
    result = model.segment(np.random.default_rng(2).integers(0, 255, (16, 20), np.uint8))
    assert np.array_equal(result.class_probabilities(1), result.probabilities[0])
    back = result.class_probabilities(0)
    assert back.dtype == np.float32 and np.ptp(back) > 0
    np.testing.assert_allclose(back + result.probabilities[0], 1, atol=1e-6)
    two = UNet(base_channels=2, depth=1).eval().segment(np.zeros((8, 8), np.uint8))
    assert np.array_equal(two.class_probabilities(0), two.probabilities[0])


def test_other_averaging_than_was_calibrated_makes_no_estimate() -> None:
    model = UNet(base_channels=2, depth=1, calibration=[[1, 0], [1, 0]]).eval()
    image = np.zeros((8, 8), np.uint8)
    assert model.segment(image, test_time_averaging=False).expected_dice is not None
    assert model.segment(image, test_time_averaging=True).expected_dice is None


@pytest.mark.parametrize(
    "lines", [[[1, 0]], [[0, 0], [1, 0]], [[1], [1, 0]], [[1, 101], None], [[True, 0], None], "no"]
)
def test_what_is_no_calibration_is_refused(lines: Any) -> None:
    with pytest.raises(ModelError, match=r"\[slope, intercept\] for each of 2 classes"):
        checked_calibration(lines, 2)


def test_a_calibration_is_kept_as_numbers() -> None:
    assert checked_calibration([[1, -2], None], 2) == ((1.0, -2.0), None)
    assert checked_calibration(None, 2) is None
