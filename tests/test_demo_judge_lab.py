"""The judge lab: a painted mask as a ground truth, and what may be painted."""

import numpy as np
import pytest
from demo_pages import noise, shown_with, small_network, two_squares

from hf_unet.demo.actions import show_judgement
from hf_unet.demo.labs.judge import figures_of, judge_scene, painted_labels
from hf_unet.demo.shown import KEPT, Shown
from hf_unet.errors import LabelError
from hf_unet.judgement import Judgement, judge
from hf_unet.labels import Labels
from hf_unet.segmentation import Segmentation

HEIGHT, WIDTH = 60, 70
PIXELS = HEIGHT * WIDTH


@pytest.fixture(scope="module")
def shown() -> Shown:
    return shown_with(small_network(), noise())


@pytest.fixture(scope="module")
def overlapping() -> Shown:
    return shown_with(small_network(classes=("a", "b", "c"), multilabel=True), noise())


def test_runs_become_the_mask_that_was_painted(shown: Shown, overlapping: Shown) -> None:
    drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
    drawn[0, 5:9], drawn[-1, -2:] = 1, 1
    runs = [0, 5, 1, 4, 0, PIXELS - 11, 1, 2]
    assert np.array_equal(painted_labels(shown, runs).class_map(), drawn)
    stack = painted_labels(overlapping, [5, 3, 0, PIXELS - 3]).stack()
    assert stack[:, 0, :3].all(axis=1).tolist() == [True, False, True]
    assert stack.sum() == 6


@pytest.mark.parametrize(
    "runs",
    [
        [0, PIXELS - 1],
        [0, PIXELS + 1],
        [2, PIXELS],
        [-1, PIXELS],
        [0, 0, 0, PIXELS],
        [0, -1, 0, PIXELS + 1],
        # Lengths whose sum wraps around to that of the image.
        [0, 2**62, 0, 2**62, 0, 2**62, 0, 2**62 + PIXELS],
        [0, 2**64],
        [0],
        [[0, PIXELS], [0]],
        ["a", "b"],
        None,
    ],
)
def test_what_is_no_mask_of_the_image_has_a_sentence(shown: Shown, runs: list[int]) -> None:
    with pytest.raises(LabelError, match=r"painted mask"):
        painted_labels(shown, runs)


@pytest.mark.parametrize(("count", "painted"), [(32, True), (33, False)])
def test_no_more_classes_are_painted_than_are_drawn(count: int, painted: bool) -> None:
    """Of classes that the page cannot draw, a score would say that the painter left them out."""
    names = [f"class {k}" for k in range(count)]
    many = shown_with(small_network(classes=names, multilabel=True), noise(20, 20))
    assert ("paint" in judge_scene(many).settings) is painted


def test_a_result_is_judged_once_for_words_scene_and_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = shown_with(small_network(), noise(), two_squares())
    calls: list[str] = []

    def counted(result: Segmentation, labels: Labels, name: str) -> Judgement:
        calls.append(name)
        return judge(result, labels, name)

    monkeypatch.setattr("hf_unet.demo.shown.judge", counted)
    token = KEPT.keep(judged)
    words, table, _ = show_judgement(token)
    assert "Against **the ground truth**" in words and len(table) == 2
    assert "against_ground_truth" in figures_of(judged)
    assert calls == ["image.tif"]
    KEPT.drop(token)


def test_without_truth_there_is_nothing_to_judge_by(shown: Shown) -> None:
    assert shown.judgement is None
    assert "against_ground_truth" not in figures_of(shown)
