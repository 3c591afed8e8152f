"""The judge lab: a painted mask as a ground truth, and what may be painted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from demo_pages import noise, shown_with, small_network, two_squares

from hf_unet.demo.judging import choose_judgement, score_painted, show_judgement
from hf_unet.demo.labs.judge import figures_of, judge_scene, judge_words, painted_labels
from hf_unet.demo.parts import PAINTED, TRUTH
from hf_unet.demo.shown import KEPT, ByHand, Shown, shown_of
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
    assert ("paint one below" in judge_words(many, None, TRUTH)) is painted


@pytest.mark.parametrize(("most", "painted"), [(PIXELS, True), (PIXELS - 1, False)])
def test_nobody_is_asked_to_paint_an_image_too_large_for_it(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, most: int, painted: bool
) -> None:
    monkeypatch.setattr("hf_unet.demo.labs.judge.MOST_PAINTED", most)
    assert ("paint one below" in judge_words(shown, None, TRUTH)) is painted


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
    words, table, *_ = show_judgement(token)
    assert "Against **the ground truth**" in words and len(table) == 2
    assert "against_ground_truth" in figures_of(judged)
    assert calls == ["image.tif"]
    KEPT.drop(token)


# --- which judgement is looked at -------------------------------------------------------------


@pytest.fixture
def token(shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A result without a ground truth, as a page holds it, whose mask was painted and scored."""
    monkeypatch.setattr("hf_unet.demo.judging.new_file", lambda name: tmp_path / name)
    token = KEPT.keep(replace(shown, by_hand=ByHand(), scenes={}))
    everywhere = SimpleNamespace(runs=[1, PIXELS])
    words, *_ = score_painted(token, everywhere)
    assert "Against **the mask painted by hand**" in words
    yield token
    KEPT.drop(token)


def with_squares(token: str) -> str:
    """The result of a token beside a ground truth."""
    judged = shown_with(small_network(), noise(), two_squares())
    return KEPT.keep(shown_of(token).beside(judged.labels, "truth.tif"))


def told(token: str) -> tuple[str, list[list[str]], dict[str, Any]]:
    words, table, against, _ = show_judgement(token)
    return words, table, against.constructor_args


def test_what_a_painted_mask_said_is_there_when_the_tab_is_drawn_again(token: str) -> None:
    words, table, against = told(token)
    assert "Against **the mask painted by hand**" in words
    area = int((shown_of(token).result.mask == 0).sum())
    assert table[1][4:] == [f"{area:,}", "0"], "missed is all that was not found"
    assert not against["visible"], "there is no truth to go back to"


def test_a_truth_that_is_dropped_is_looked_at_and_the_painted_mask_can_be_chosen(
    token: str,
) -> None:
    judged = with_squares(token)
    words, of_truth, against = told(judged)
    assert "Against **the ground truth**" in words
    assert against == {"value": TRUTH, "visible": True}
    words, of_painted = choose_judgement(judged, PAINTED)
    assert "Against **the mask painted by hand**" in words and of_painted != of_truth
    assert told(judged)[:2] == (words, of_painted), "drawn again it is the same"
    assert figures_of(shown_of(judged)) == figures_of(
        shown_with(small_network(), noise(), two_squares())
    ), "files speak of the ground truth"
    assert choose_judgement(judged, TRUTH)[1] == of_truth == told(judged)[1]


def test_a_truth_that_is_put_away_leaves_what_was_looked_at(token: str) -> None:
    judged = with_squares(token)
    choose_judgement(judged, PAINTED)
    assert "painted by hand" in told(KEPT.keep(shown_of(judged).beside(None, None)))[0]
    choose_judgement(judged, TRUTH)
    assert "No ground truth" in told(KEPT.keep(shown_of(judged).beside(None, None)))[0]


def test_a_mask_painted_for_one_result_says_nothing_of_another(token: str) -> None:
    other = KEPT.keep(shown_with(small_network(), noise(), two_squares()))
    words, _, against = told(other)
    assert "Against **the ground truth**" in words and not against["visible"]


def test_without_truth_there_is_nothing_to_judge_by(shown: Shown) -> None:
    assert shown.judgement is None
    assert "against_ground_truth" not in figures_of(shown)
