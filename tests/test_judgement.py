"""A result against its ground truth: one image, several, and the errors to be drawn."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.geometry import valid_geometry
from hf_unet.images import read_image
from hf_unet.judgement import (
    Evaluation,
    Judgement,
    confusion_of,
    has_membranes,
    judge,
    overlap_of,
    true_mask,
)
from hf_unet.labels import Labels
from hf_unet.metrics import ClassCounts, average_precision, confusion_map, seg_score
from hf_unet.metrics.confusion import INVENTED, MISSED, RIGHT
from hf_unet.segmentation import Segmentation
from hf_unet.tiles import plan_tiles

CELLS = ("background", "cell")
MEMBRANES = ("membrane", "cell")
ORGANELLES = ("a", "b")

TRUTH = np.array([[1, 1, 0, 2, 2, 0, 3], [1, 1, 0, 2, 2, 0, 3]], np.int32)
FOUND = np.array([[1, 1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 1, 0, 0]], np.uint8)


def result_of(mask: NDArray[Any], classes: tuple[str, ...] = CELLS) -> Segmentation:
    multilabel = mask.ndim == 3
    height, width = mask.shape[-2:]
    planes = mask if multilabel else np.stack([mask == index for index in range(len(classes))])
    return Segmentation(
        mask=mask,
        probabilities=np.where(planes, 0.9, 0.1).astype(np.float32),
        classes=classes,
        colors=("#000000", "#ff0000", "#00ff00")[: len(classes)],
        multilabel=multilabel,
        min_area=0,
        image=read_image(np.zeros((height, width), np.uint8)),
        plan=plan_tiles(height, width, valid_geometry(1), 28),
    )


def labels_of(array: NDArray[Any], kind: Any, classes: tuple[str, ...] = CELLS) -> Labels:
    return Labels(kind, array, classes, "")


def test_one_image_by_hand() -> None:
    judgement = judge(result_of(FOUND), labels_of(TRUTH, "instances"), "one")
    assert (judgement.name, judgement.classes, judgement.multilabel) == ("one", CELLS, False)
    overlap = judgement.overlap()
    assert overlap.dice.tolist() == [6 / 9, 16 / 19]
    assert overlap.iou.tolist() == [3 / 6, 8 / 11]
    assert judgement.pixel_error == 3 / 14
    assert judgement.true_objects == 3 and judgement.found_objects == 1
    found = result_of(FOUND).instances
    assert judgement.average_precision == dict(
        zip((0.5, 0.6, 0.7, 0.8, 0.9), average_precision(TRUTH, found), strict=True)
    )
    assert judgement.seg == pytest.approx(seg_score(TRUTH, found))
    assert judgement.warping is None


def test_a_class_map_has_no_instances_to_compare() -> None:
    judgement = judge(result_of(FOUND), labels_of(np.uint8(TRUTH > 0), "classes"))
    assert judgement.true_objects is None and judgement.found_objects is None
    assert judgement.average_precision is None and judgement.seg is None


def test_an_absent_class_is_left_out_or_counts_as_one() -> None:
    nothing = np.zeros((2, 3), np.uint8)
    judgement = judge(result_of(nothing), labels_of(nothing.astype(np.int32), "instances"))
    left_out, counted = judgement.overlap(), judgement.overlap(empty=1.0)
    assert np.isnan(left_out.dice[1]) and counted.dice[1] == 1
    assert left_out.convention.endswith("in neither truth nor mask is left out")
    assert counted.convention.endswith("in neither truth nor mask counts as 1")
    assert judgement.seg is None and judgement.true_objects == 0
    both = Evaluation((judgement, judge(result_of(FOUND), labels_of(TRUTH, "instances"))))
    assert both.per_image().dice[1] == 16 / 19 == both.pooled().dice[1]
    assert both.per_image(empty=1.0).dice[1] == (1 + 16 / 19) / 2
    assert "counts as 1" in both.per_image(empty=1.0).convention


def test_images_are_pooled_by_their_pixels() -> None:
    small = judge(result_of(np.ones((1, 2), np.uint8)), labels_of(np.int32([[1, 0]]), "instances"))
    large = judge(result_of(FOUND), labels_of(TRUTH, "instances"))
    both = Evaluation((small, large))
    assert both.per_image().dice[1] == pytest.approx((2 / 3 + 16 / 19) / 2)
    assert both.pooled().dice[1] == pytest.approx((2 + 16) / (3 + 19))
    assert both.summary()["pooled"]["dice"] == {
        "background": both.pooled().dice[0],
        "cell": both.pooled().dice[1],
    }


def test_overlapping_classes_are_judged_plane_by_plane() -> None:
    truth = np.array([[[1, 1, 0]], [[0, 1, 1]]], bool)
    found = np.array([[[1, 1, 1]], [[0, 0, 1]]], bool)
    result, labels = result_of(found, ORGANELLES), labels_of(truth, "multilabel", ORGANELLES)
    judgement = judge(result, labels)
    assert judgement.multilabel and judgement.overlap().dice.tolist() == [4 / 5, 2 / 3]
    assert judgement.pixel_error == 2 / 6
    planes = confusion_of(result, labels)
    assert planes["a"].tolist() == [[RIGHT, RIGHT, INVENTED]]
    assert planes["b"].tolist() == [[0, MISSED, RIGHT]]
    assert Evaluation((judgement,)).figure("dice") == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_the_background_is_not_drawn_as_an_error() -> None:
    planes = confusion_of(result_of(FOUND), labels_of(TRUTH, "instances"))
    assert list(planes) == ["cell"]
    drawn = confusion_map(np.stack([*planes.values()]))
    assert drawn[0].tolist() == [RIGHT, RIGHT, INVENTED, RIGHT, RIGHT, 0, MISSED]


def test_splits_and_merges_of_membranes() -> None:
    truth = np.ones((5, 7), np.uint8)
    truth[:, 3] = 0
    merged = truth.copy()
    merged[2, 3] = 1
    result, labels = result_of(merged, MEMBRANES), labels_of(truth, "classes", MEMBRANES)
    judgement = judge(result, labels)
    assert judgement.warping is not None
    assert judgement.warping.places.tolist() == [[2, 3]] and judgement.warping.kinds == ("merge",)
    assert Evaluation((judgement, judgement)).summary()["warping"] == {
        "error": pytest.approx(1 / 35),
        "splits": 0,
        "merges": 2,
        "holes": 0,
    }
    assert judge(result, labels, membranes=False).warping is None
    other = labels_of(truth, "classes")
    assert judge(result_of(merged), other).warping is None
    assert judge(result_of(merged), other, membranes=True).warping is not None


def test_what_a_membrane_model_is() -> None:
    assert has_membranes(["Membranes", "cell"], multilabel=False)
    assert not has_membranes(["cell", "membrane"], multilabel=False)
    assert not has_membranes(["membrane", "cell", "synapse"], multilabel=False)
    assert not has_membranes(["membrane"], multilabel=False)


def test_labels_may_say_themselves_what_is_known() -> None:
    known = np.zeros(TRUTH.shape, bool)
    known[:, :2] = True
    labels = labels_of(TRUTH, "instances")
    partial = replace(labels, known=known)
    judgement = judge(result_of(FOUND), partial)
    assert judgement.matching is None and judgement.counts.tp.tolist() == [0, 4]
    assert overlap_of(result_of(FOUND), partial).dice[1] == 1
    assert overlap_of(result_of(FOUND), labels).dice[1] < 1
    drawn = confusion_of(result_of(FOUND), partial)["cell"]
    assert (drawn[:, :2] == RIGHT).all() and not drawn[:, 2:].any()


def test_what_is_not_known_is_not_counted() -> None:
    known = np.zeros(TRUTH.shape, bool)
    known[:, :2] = True
    judgement = judge(result_of(FOUND), labels_of(TRUTH, "instances"), known=known)
    assert judgement.pixel_error == 0 and judgement.counts.tp.tolist() == [0, 4]
    assert judgement.true_objects is None and judgement.seg is not None


def test_the_truth_takes_the_form_of_the_mask() -> None:
    stack = np.array([[[1, 0]], [[0, 1]]], bool)
    labels = labels_of(stack, "multilabel")
    assert true_mask(result_of(np.uint8([[0, 1]])), labels).tolist() == [[0, 1]]
    assert true_mask(result_of(stack, CELLS), labels).tolist() == stack.tolist()


def test_what_cannot_be_put_together_is_refused() -> None:
    def counted(classes: tuple[str, ...]) -> Judgement:
        zeros = np.zeros(len(classes), np.int64)
        return Judgement("", classes, False, ClassCounts(zeros, zeros, zeros), 0.0)

    with pytest.raises(LabelError, match="no images"):
        Evaluation(())
    with pytest.raises(LabelError, match=r"\(background, cell\) and \(membrane, cell\)"):
        Evaluation((counted(CELLS), counted(MEMBRANES)))


def test_the_demo_needs_nothing_of_training() -> None:
    code = (
        "import sys, hf_unet.judgement, hf_unet.display, hf_unet.metrics\n"
        "assert not {'accelerate', 'albumentations', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
