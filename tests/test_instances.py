"""Masks to instances, on hand-drawn masks and against a flood fill."""

import numpy as np
import pytest
from discs import draw_discs
from scipy import ndimage
from skimage.morphology import reconstruction

from hf_unet.instances import (
    deep_seeds,
    distance_to_edge,
    grow_seeds,
    interior_and_border,
    label_objects,
    separate_touching,
    without_low_tops,
)


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


# --- seeds and borders -------------------------------------------------------------------------


def test_two_discs_that_touch_come_apart_where_the_evidence_is_weakest() -> None:
    rows, columns = np.mgrid[:40, :70]
    evidence = np.zeros((40, 70), np.float32)
    for column in (22, 46):
        distance = np.hypot(rows - 20, columns - column)
        evidence = np.maximum(evidence, np.clip(1.2 - distance / 16, 0, 1)).astype(np.float32)
    mask = (evidence > 0.3).astype(np.uint8)
    assert label_objects(mask).labels.max() == 1
    parted = grow_seeds(mask, evidence, seed_threshold=0.6)
    assert parted.class_of.tolist() == [1, 1]
    np.testing.assert_array_equal(parted.labels > 0, mask > 0)
    np.testing.assert_array_equal(parted.labels[20, 10:34], 1)
    np.testing.assert_array_equal(parted.labels[20, 35:58], 2)


def test_small_seeds_and_small_objects_are_left_out() -> None:
    evidence = np.zeros((5, 20), np.float32)
    evidence[:, :12] = 0.5
    evidence[:, 1:4], evidence[2, 9], evidence[2, 16] = 0.9, 0.9, 0.6
    mask = (evidence >= 0.5).astype(np.uint8)
    assert grow_seeds(mask, evidence, seed_threshold=0.8).labels.max() == 3
    several = grow_seeds(mask, evidence, seed_threshold=0.8, seed_area=2)
    assert several.labels.max() == 2  # the piece without a seed is one by itself
    assert (several.labels[:, :12] == 1).all() and several.labels[2, 16] == 2
    large = grow_seeds(mask, evidence, seed_threshold=0.8, seed_area=2, min_area=2)
    assert large.labels.max() == 1 and large.labels[2, 16] == 0


def test_objects_grow_within_their_class() -> None:
    mask = np.array([[1, 1, 1, 2, 2, 2]])
    evidence = np.float32([[0.9, 0.5, 0.5, 0.5, 0.5, 0.9]])
    grown = grow_seeds(mask, evidence, seed_threshold=0.8)
    assert grown.labels.tolist() == [[1, 1, 1, 2, 2, 2]]
    assert grown.class_of.tolist() == [1, 2]


def test_nothing_grows_from_nothing() -> None:
    empty = grow_seeds(np.zeros((3, 4), np.uint8), np.ones((3, 4), np.float32), seed_threshold=0.5)
    assert not empty.labels.any() and empty.class_of.size == 0


def test_interiors_never_touch_and_none_is_lost() -> None:
    random = np.random.default_rng(4)
    _, instances = draw_discs(random, side=64, count=20, touching=True)
    instances = instances.astype(np.int32)
    instances[60, 5:20] = 99  # one pixel thin
    parts = interior_and_border(instances, 3.0)
    np.testing.assert_array_equal(parts > 0, instances > 0)
    interior = np.where(parts == 1, instances, 0)
    assert set(np.unique(interior)) == set(np.unique(instances))
    touching = separate_touching(interior)
    thick = instances != 99
    np.testing.assert_array_equal(touching[thick], interior[thick])


def test_the_depth_inside_an_object_counts_from_its_edge() -> None:
    square = np.zeros((9, 9), np.int32)
    square[1:8, 1:8] = 4
    depth = distance_to_edge(square)
    assert depth[4, 1:8].tolist() == [1, 2, 3, 4, 3, 2, 1]
    assert not depth[square == 0].any()
    assert np.isinf(distance_to_edge(np.ones((3, 3), np.int32))).all()


def test_discs_that_touch_are_parted_by_their_shape_alone() -> None:
    rows, columns = np.mgrid[:50, :90]
    pair = np.zeros((50, 90), np.bool_)
    for column in (30, 56):
        pair |= np.hypot(rows - 25, columns - column) < 15
    seeds, distance = deep_seeds(pair, 1.0)
    assert seeds.max() == 2 and seeds[25, 30] and seeds[25, 56]
    assert distance[~pair].max() == 0 and 13 < distance[25, 30] < 15
    sure = pair.astype(np.float32)
    parted = grow_seeds(pair.astype(np.uint8), sure, seed_threshold=0.5, seed_depth=1.0)
    np.testing.assert_array_equal(parted.labels > 0, pair)
    assert parted.labels[25, 20:43].tolist() == [parted.labels[25, 20]] * 23
    assert parted.labels[25, 44:66].tolist() == [parted.labels[25, 60]] * 22
    assert parted.labels.max() == 2
    assert grow_seeds(pair.astype(np.uint8), sure, seed_threshold=0.5).labels.max() == 1
    assert deep_seeds(pair, 9.0)[0].max() == 1


@pytest.mark.parametrize("seed", range(12))
def test_low_tops_go_piece_by_piece_as_they_go_all_at_once(seed: int) -> None:
    draw = np.random.default_rng(seed)
    land = ndimage.gaussian_filter(draw.normal(size=(60, 45)), draw.uniform(0.5, 3))
    land = np.maximum(land / land.std() * 3, 0)
    if seed % 3 == 0:
        land = np.round(land)  # plateaus
    for depth in (0.3, 1.0, 20.0):
        whole = reconstruction(np.maximum(land - depth, 0), land, method="dilation")
        np.testing.assert_array_equal(without_low_tops(land, depth), whole)


def test_where_there_is_no_land_there_is_no_top() -> None:
    assert not without_low_tops(np.zeros((3, 4)), 1.0).any()
    assert not deep_seeds(np.zeros((3, 4), np.bool_), 1.0)[0].any()


def test_holes_of_its_texture_do_not_part_an_object() -> None:
    rows, columns = np.mgrid[:50, :50]
    disc = np.hypot(rows - 25, columns - 25) < 20
    holed = disc.copy()
    for row, column in ((25, 25), (18, 30), (32, 18)):
        holed[row - 2 : row + 2, column - 2 : column + 2] = False
    whole, depth = deep_seeds(disc, 0.5)
    seeds, depth_of_holed = deep_seeds(holed, 0.5)
    assert whole.max() == seeds.max() == 1
    np.testing.assert_array_equal(depth, depth_of_holed)
    evidence = np.where(holed, np.float32(0.9), np.float32(0.1))
    parted = grow_seeds(disc.astype(np.uint8), evidence, seed_threshold=0.5, seed_depth=0.5)
    np.testing.assert_array_equal(parted.labels > 0, disc)
    assert parted.labels.max() == 1


def test_a_disc_at_the_rim_of_the_image_is_one_seed() -> None:
    rows, columns = np.mgrid[:30, :30]
    half = np.hypot(rows - 15, columns) < 10
    assert deep_seeds(half, 0.5)[0].max() == 1
    assert deep_seeds(np.ones((12, 40), np.bool_), 0.5)[0].max() == 1
    assert not deep_seeds(np.zeros((5, 5), np.bool_), 0.5)[0].any()
