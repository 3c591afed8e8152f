"""Masks to instances, on hand-drawn masks and against a flood fill."""

import numpy as np
import pytest

from hf_unet.instances import label_objects, separate_touching


def test_pieces_are_numbered_class_by_class() -> None:
    mask = np.array([[1, 1, 0, 2], [0, 0, 1, 2], [2, 0, 1, 0]], np.uint8)
    objects = label_objects(mask)
    assert objects.labels.tolist() == [[1, 1, 0, 3], [0, 0, 2, 3], [4, 0, 2, 0]]
    assert objects.class_of.tolist() == [1, 1, 2, 2]
    assert objects.labels.dtype == np.int32


def test_a_corner_does_not_connect() -> None:
    assert label_objects(np.eye(3, dtype=np.uint8)).labels.tolist() == [
        [1, 0, 0],
        [0, 2, 0],
        [0, 0, 3],
    ]


def test_small_objects_are_left_out_and_numbers_close_up() -> None:
    mask = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1], [2, 2, 2, 0, 2, 0]], np.uint8)
    objects = label_objects(mask, min_area=2)
    assert objects.labels.tolist() == [[0, 0, 1, 1, 0, 2], [0, 0, 0, 0, 0, 2], [3, 3, 3, 0, 0, 0]]
    assert objects.class_of.tolist() == [1, 1, 2]


@pytest.mark.parametrize("min_area", [0, 1, 3])
def test_every_object_is_a_connected_piece_of_one_class(min_area: int) -> None:
    mask = np.random.default_rng(0).integers(0, 4, (20, 17)).astype(np.uint8)
    objects = label_objects(mask, min_area)
    seen = np.zeros(mask.shape, bool)
    areas = []
    for start in zip(*np.nonzero(mask), strict=True):
        if seen[start]:
            continue
        piece, waiting = {start}, [start]
        while waiting:
            y, x = waiting.pop()
            for there in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                inside = 0 <= there[0] < 20 and 0 <= there[1] < 17
                if inside and there not in piece and mask[there] == mask[start]:
                    piece.add(there)
                    waiting.append(there)
        where = tuple(np.array(sorted(piece)).T)
        seen[where] = True
        numbers = set(objects.labels[where].tolist())
        assert len(numbers) == 1
        (number,) = numbers
        assert (number > 0) == (len(piece) >= min_area)
        if number:
            areas.append(len(piece))
            assert (objects.labels == number).sum() == len(piece)
            assert objects.class_of[number - 1] == mask[start]
    assert len(areas) == len(objects.class_of) == objects.labels.max()


def test_no_objects() -> None:
    objects = label_objects(np.zeros((2, 3), np.uint8))
    assert not objects.labels.any() and len(objects.class_of) == 0


def test_touching_instances_are_separated_on_both_sides() -> None:
    instances = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 0, 2, 2], [3, 0, 0, 4]], np.int32)
    assert separate_touching(instances).tolist() == [
        [1, 0, 0, 2],
        [0, 0, 0, 2],
        [0, 0, 2, 0],
        [3, 0, 0, 0],
    ]


def test_separated_instances_are_apart() -> None:
    instances = np.random.default_rng(1).integers(0, 4, (30, 30)).repeat(4, 0).repeat(4, 1)
    instances = instances.astype(np.int32)
    apart = separate_touching(instances)
    for one, other in ((apart[1:], apart[:-1]), (apart[:, 1:], apart[:, :-1])):
        assert not ((one != other) & (one > 0) & (other > 0)).any()
    assert np.array_equal(apart[apart > 0], instances[apart > 0])
    assert np.array_equal(separate_touching(apart), apart)


def test_lone_instances_stay_as_they_are() -> None:
    instances = np.array([[5, 5, 0, 6], [0, 0, 7, 0]], np.int32)
    assert np.array_equal(separate_touching(instances), instances)
