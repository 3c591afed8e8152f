"""Where a mask is right, what it misses and what it invents."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.metrics import class_confusion, class_counts, confusion_map
from hf_unet.metrics.confusion import INVENTED, MISSED, MISTAKEN, RIGHT


def planes(*drawings: list[str]) -> NDArray[np.bool_]:
    """Planes drawn with # and anything else."""
    return np.array([[[c == "#" for c in row] for row in drawing] for drawing in drawings])


def codes(*rows: str) -> list[list[int]]:
    """A confusion map drawn with r(ight), m(issed), i(nvented), x (one for another) and dots."""
    values = {".": 0, "r": RIGHT, "m": MISSED, "i": INVENTED, "x": MISTAKEN}
    return [[values[letter] for letter in row] for row in rows]


def test_class_maps_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [0, 2, 2, 1]], np.uint8)
    found = np.array([[0, 1, 1, 0], [0, 2, 1, 1]], np.uint8)
    background, one, two = class_confusion(truth, found, 3)
    assert background.tolist() == codes("rm.i", "r...")
    assert one.tolist() == codes(".irm", "..ir")
    assert two.tolist() == codes("....", ".rm.")
    drawn = confusion_map(class_confusion(truth, found, 3)[1:])
    assert drawn.tolist() == codes(".irm", ".rxr")


def test_stacks_by_hand() -> None:
    truth = planes(["##..", "##.."], ["....", ".##."])
    found = planes([".#..", ".#.."], ["...#", ".###"])
    disc, ring = class_confusion(truth, found)
    assert disc.tolist() == codes("mr..", "mr..")
    assert ring.tolist() == codes("...i", ".rri")
    assert confusion_map(np.stack([disc, ring])).tolist() == codes("mr.i", "mrri")


def test_one_class_taken_for_another() -> None:
    confusion = class_confusion(planes(["#."], [".#"]), planes(["##"], [".."]))
    assert confusion_map(confusion).tolist() == codes("rx")


def test_an_error_in_one_class_is_seen_where_another_is_right() -> None:
    confusion = class_confusion(planes(["#"], ["#"]), planes(["#"], ["."]))
    assert confusion_map(confusion).tolist() == codes("m")


@pytest.mark.parametrize("stack", [False, True])
def test_the_map_holds_what_is_counted(stack: bool) -> None:
    random = np.random.default_rng(3)
    if stack:
        truth, found = random.random((2, 3, 20, 30)) < 0.4
    else:
        truth, found = random.integers(0, 3, (2, 20, 30))
    confusion, counts = class_confusion(truth, found), class_counts(truth, found)
    for value, counted in ((RIGHT, counts.tp), (MISSED, counts.fn), (INVENTED, counts.fp)):
        assert (confusion == value).sum(axis=(1, 2)).tolist() == counted.tolist()


def test_boolean_maps_have_two_classes() -> None:
    nothing = np.zeros((2, 2), bool)
    assert class_confusion(nothing, nothing).tolist() == [codes("rr", "rr"), codes("..", "..")]


@pytest.mark.parametrize(
    ("truth", "found", "sentence"),
    [
        (np.zeros((2, 3), int), np.zeros((3, 2), int), "must be of the same image"),
        (np.zeros((2, 3, 3), int), np.zeros((2, 3, 3), int), "neither two class maps"),
        (np.zeros((2, 3, 3), bool), np.zeros((2, 3, 3), int), "neither two class maps"),
        (np.full((3, 3), 2), np.zeros((3, 3), int), "there are 2 classes"),
        (np.full((3, 3), 0.5), np.zeros((3, 3)), "labels are whole numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    truth: NDArray[np.int64], found: NDArray[np.int64], sentence: str
) -> None:
    with pytest.raises(LabelError, match=sentence):
        class_confusion(truth, found, 2)
