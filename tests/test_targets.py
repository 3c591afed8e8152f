"""Targets and weights: the border class, and pixels of which nothing is known."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_unet.labels import Labels
from hf_unet.training.pairs import OneFile, Pair, Truth
from hf_unet.training.settings import DataSettings, LossSettings, Settings
from hf_unet.training.targets import Targets

PLAIN = LossSettings(w0=0.0, class_weights=(1.0, 2.0))


def pair_of(truth: Truth) -> Pair:
    pair = Pair("a", Path("a"), OneFile(Path("a")), truth.labels.classes)
    pair.__dict__["truth"] = truth  # as if it had been read
    return pair


def instances_of(array: NDArray[np.int32], known: NDArray[np.bool_] | None = None) -> Pair:
    return pair_of(Truth(Labels("instances", array, ("ground", "cell"), ""), known))


def targets_of(pair: Pair, *, data: DataSettings | None = None, **options: object) -> Targets:
    loss = options.pop("loss", PLAIN)
    settings = Settings(data=data or DataSettings(), loss=loss)  # type: ignore[arg-type]
    options = {"classes": 2, "multilabel": False} | options
    return Targets([pair], settings, **options)  # type: ignore[arg-type]


ROW = np.repeat(np.int32([[0, 7, 7, 7, 7, 7, 9, 9, 9, 9, 9, 0]]), 12, axis=0)


@pytest.mark.parametrize("w0", [0.0, 10.0])
def test_what_is_not_known_weighs_nothing(w0: float) -> None:
    known = ROW == 7
    pair = instances_of(np.where(known, ROW, 0).astype(np.int32), known)
    loss = LossSettings(w0=w0, sigma=2.0, class_weights=(1.0, 2.0))
    targets = targets_of(pair, loss=loss)
    annotation = targets.annotations[0]
    target, weights = targets.cut(annotation.array, annotation.class_of, 0)
    np.testing.assert_array_equal(target, known)
    np.testing.assert_array_equal(weights > 0, known)
    np.testing.assert_array_equal(weights[known], 2.0)


def test_what_is_not_known_is_not_counted_as_background() -> None:
    known = np.ones(ROW.shape, np.bool_)
    known[:, 6:] = False
    pair = instances_of(np.where(known, ROW, 0).astype(np.int32), known)
    for w0 in (0.0, 5.0):
        weights = targets_of(pair, loss=LossSettings(w0=w0, class_weights=())).class_weights
        np.testing.assert_allclose(weights, [0.5 / (1 / 6), 0.5 / (5 / 6)], rtol=1e-6)


def test_unknown_pixels_of_a_stack_weigh_nothing_in_any_class() -> None:
    stack = np.zeros((2, 6, 6), np.bool_)
    stack[0, :, :3] = True
    known = np.ones((6, 6), np.bool_)
    known[2:] = False
    pair = pair_of(Truth(Labels("multilabel", stack, ("a", "b"), ""), known))
    targets = targets_of(pair, multilabel=True)
    annotation = targets.annotations[0]
    assert annotation.array.shape == (6, 6, 2)
    target, weights = targets.cut(annotation.array, annotation.class_of, 0)
    assert target.shape == weights.shape == (2, 6, 6)
    np.testing.assert_array_equal(weights[:, 2:], 0)
    np.testing.assert_array_equal(weights[0, :2], 1)
    np.testing.assert_array_equal(target[0, :2], stack[0, :2])


def test_the_border_class_lines_each_cell() -> None:
    loss = LossSettings(w0=0.0, class_weights=(1.0, 2.0, 3.0))
    targets = targets_of(
        instances_of(ROW), loss=loss, classes=3, border=True, data=DataSettings(border=1.0)
    )
    annotation = targets.annotations[0]
    target, weights = targets.cut(annotation.array, annotation.class_of, 2)
    np.testing.assert_array_equal(target[0], [1, 1, 1, 2, 2, 1, 1, 1])
    np.testing.assert_array_equal(weights[0], [2, 2, 2, 3, 3, 2, 2, 2])


def test_the_border_seen_in_a_tile_is_that_of_the_whole() -> None:
    """A border that comes from beyond the tile's target is there too."""
    loss = LossSettings(w0=0.0, class_weights=(1.0, 1.0, 1.0))
    targets = targets_of(
        instances_of(ROW), loss=loss, classes=3, border=True, data=DataSettings(border=2.0)
    )
    annotation = targets.annotations[0]
    whole, _ = targets.cut(annotation.array, annotation.class_of, 0)
    inner, _ = targets.cut(annotation.array, annotation.class_of, 3)
    np.testing.assert_array_equal(inner, whole[3:-3, 3:-3])


def test_frequencies_of_the_border_class_are_counted() -> None:
    targets = targets_of(
        instances_of(ROW),
        loss=LossSettings(w0=0.0, class_weights=()),
        classes=3,
        border=True,
        data=DataSettings(border=1.0),
    )
    shares = 1 / (3 * targets.class_weights)
    np.testing.assert_allclose(shares, [2 / 12, 6 / 12, 4 / 12], rtol=1e-5)
