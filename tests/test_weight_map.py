"""The boundary weight map against its definition: one distance transform for each instance."""

import functools
import math
import operator
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from hf_unet.distances import CHUNK, PARABOLA_REACH
from hf_unet.errors import LabelError
from hf_unet.instance_sets import instance_sets
from hf_unet.weight_map import (
    boundary_weight_map,
    instance_distances,
    weight_map_from_distances,
)

Draw = Callable[[np.random.Generator], npt.NDArray[np.int32]]
ALONE = (0.0, 0.0)  # class weights that leave the boundary term alone


def defined_distances(instances: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """d1 and d2, (2, H, W), straight from the definition."""
    far = np.full(instances.shape, np.inf)
    every = [far, far]
    for number in np.unique(instances[instances > 0]):
        every.append(ndimage.distance_transform_edt(instances != number))
        every = sorted_two(every)
    return np.stack(every)


def sorted_two(arrays: list[npt.NDArray[np.float64]]) -> list[npt.NDArray[np.float64]]:
    return list(np.sort(np.stack(arrays), axis=0)[:2])


def defined_term(
    instances: npt.NDArray[np.integer], w0: float, sigma: float, inside: bool
) -> npt.NDArray[np.float64]:
    return term_of(defined_distances(instances), w0, sigma, inside)


def term_of(
    distances: npt.NDArray[np.float64], w0: float, sigma: float, inside: bool
) -> npt.NDArray[np.float64]:
    d1, d2 = distances
    term = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return term if inside else np.where(d1 > 0, term, 0)


def squares(
    rng: np.random.Generator, shape: tuple[int, int], count: int, side: int, top_id: int
) -> npt.NDArray[np.int32]:
    """Rectangles at random: they overlap, touch, leave the image and may repeat an id."""
    instances = np.zeros(shape, np.int32)
    for _ in range(count):
        y, x = rng.integers(-side // 2, shape[0]), rng.integers(-side // 2, shape[1])
        height, width = rng.integers(1, side + 1, 2)
        region = slice(max(y, 0), max(y + height, 0)), slice(max(x, 0), max(x + width, 0))
        instances[region] = rng.integers(1, top_id + 1)
    return instances


# Worked out by hand ------------------------------------------------------------------------------


def test_distances_on_a_line() -> None:
    d1, d2 = instance_distances(np.array([[3, 0, 0, 0, 0, 8]]))
    assert d1.tolist() == [[0, 1, 2, 2, 1, 0]]
    assert d2.tolist() == [[5, 4, 3, 3, 4, 5]]
    assert d1.dtype == d2.dtype == np.float32


def test_distances_in_the_plane() -> None:
    instances = np.zeros((4, 5), int)
    instances[0, 0] = 1
    instances[3, 4] = 2
    d1, d2 = instance_distances(instances)
    assert d1[0, 0] == 0 and d2[0, 0] == 5  # the 3-4-5 triangle
    assert d1[0, 4] == 3 and d2[0, 4] == 4
    assert d1[1, 2] == pytest.approx(math.sqrt(5)) and d2[1, 2] == pytest.approx(math.sqrt(8))


def test_nearest_two_are_instances_not_pieces() -> None:
    """Both neighbors of the middle pixel are the same instance: the second is three away."""
    d1, d2 = instance_distances(np.array([[1, 0, 1, 0, 2]]))
    assert d1.tolist() == [[0, 1, 0, 1, 0]]
    assert d2.tolist() == [[4, 3, 2, 1, 2]]


def test_weights_of_a_gap() -> None:
    """Gaps of one and two pixels: d1 + d2 = 2 and 3."""
    weights = boundary_weight_map(np.array([[1, 0, 2, 0, 0, 3]]), 10, 5, ALONE)
    one, two = 10 * math.exp(-4 / 50), 10 * math.exp(-9 / 50)
    np.testing.assert_allclose(weights, [[0, one, 0, two, two, 0]], atol=1e-5)
    assert one == pytest.approx(9.2312, abs=1e-4) and two == pytest.approx(8.3527, abs=1e-4)


def test_inside_is_the_distance_to_the_other_instance() -> None:
    weights = boundary_weight_map(np.array([[1, 1, 2, 2, 0]]), 10, 5, ALONE, inside=True)
    sums = np.array([[2, 1, 1, 2, 1 + 3]])
    np.testing.assert_allclose(weights, 10 * np.exp(-(sums**2) / 50), atol=1e-5)


def test_class_weights_stand_under_the_term() -> None:
    weights = boundary_weight_map(np.array([[1, 0, 2, 2]]), 10, 5, (0.5, 2))
    gap = 0.5 + 10 * math.exp(-4 / 50)
    np.testing.assert_allclose(weights, [[2, gap, 2, 2]], atol=1e-5)
    inside = boundary_weight_map(np.array([[1, 0, 2, 2]]), 10, 5, (0.5, 2), inside=True)
    assert inside[0, 1] == pytest.approx(gap, abs=1e-5)
    assert inside[0, 0] == pytest.approx(2 + 10 * math.exp(-4 / 50), abs=1e-5)


def test_class_balance_is_one_over_frequency() -> None:
    """One pixel of four is foreground: 4 / 3 and 4 / 1."""
    weights = boundary_weight_map(np.array([[1, 0], [0, 0]]))
    np.testing.assert_allclose(weights, [[4, 4 / 3], [4 / 3, 4 / 3]], rtol=1e-6)


def test_class_balance_gives_both_classes_the_same_total() -> None:
    instances = squares(np.random.default_rng(0), (40, 50), 9, 12, 9)
    weights = boundary_weight_map(instances, w0=0)
    background = instances == 0
    assert weights[background].sum() == pytest.approx(weights[~background].sum(), rel=1e-4)
    assert weights.mean() == pytest.approx(2, rel=1e-5)


@pytest.mark.parametrize("value", [0, 5])
@pytest.mark.parametrize("inside", [False, True])
def test_one_class_weighs_one_and_has_no_term(value: int, inside: bool) -> None:
    weights = boundary_weight_map(np.full((6, 7), value), inside=inside)
    assert weights.dtype == np.float32 and (weights == 1).all()


def test_one_instance_in_two_pieces_has_no_term() -> None:
    instances = np.array([[4, 0, 4]])
    assert not boundary_weight_map(instances, class_weights=ALONE, inside=True).any()
    d1, d2 = instance_distances(instances)
    assert d1.tolist() == [[0, 1, 0]] and np.isinf(d2).all()


def test_no_instance_is_infinitely_far() -> None:
    assert all(np.isinf(d).all() for d in instance_distances(np.zeros((3, 4), int)))


# Against the definition --------------------------------------------------------------------------

SETTINGS = [  # w0, sigma; their reach lies on both sides of PARABOLA_REACH
    (10, 5),
    (10, 50),
    (10, 17.8),
    (10, 17.9),
    (100, 2),
    (1, 1),
    (3, 0.2),
    (1e-3, 20),
    (10, 1e6),
]


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("w0", "sigma"), SETTINGS)
def test_equals_the_definition_on_random_images(w0: float, sigma: float, inside: bool) -> None:
    rng = np.random.default_rng(5)
    for _ in range(25):
        shape = tuple(int(side) for side in rng.integers(1, 80, 2))
        count = int(rng.integers(0, 30))
        top_id = int(rng.choice([2, 40, 65535, 2**31 - 1]))
        instances = squares(rng, (shape[0], shape[1]), count, int(rng.integers(1, 14)), top_id)
        weights = boundary_weight_map(instances, w0, sigma, ALONE, inside)
        expected = defined_term(instances, w0, sigma, inside)
        np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-5)


def scattered(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Thirty instances, each in many single pixels all over the image."""
    spots = rng.random((120, 150)) < 0.03
    return np.where(spots, rng.integers(1, 31, spots.shape), 0).astype(np.int32)


def noise(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    return rng.integers(0, 60, (50, 64)).astype(np.int32)


def single_pixels(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Each pixel an instance of its own."""
    return (rng.permutation(24 * 25) + 1).reshape(24, 25).astype(np.int32)


def islands(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """One instance over everything, with others in it."""
    instances = squares(rng, (110, 90), 12, 9, 500)
    return np.where(instances == 0, 501, instances).astype(np.int32)


def striped(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Several strips of rows."""
    return squares(rng, (5 * CHUNK // 500, 500), 70, 40, 70)


def seams(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    """Lines on both sides of the seam between two strips, and at the ends of the rows."""
    seam = 2 * CHUNK // 500
    instances = np.zeros((seam + 60, 500), np.int32)
    instances[:, 2], instances[:, -2] = 1, 2
    instances[seam - 3, 20:-20], instances[seam + 4, 20:-20] = 3, 4
    return instances


def row(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    return squares(rng, (1, 3000), 60, 20, 60)


def column(rng: np.random.Generator) -> npt.NDArray[np.int32]:
    return squares(rng, (3000, 1), 60, 20, 60)


@functools.cache
def drawn(draw: Draw) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    instances = draw(np.random.default_rng(1))
    return instances, defined_distances(instances)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("sigma", [5.0, 12.0, 30.0])
@pytest.mark.parametrize(
    "draw",
    [scattered, noise, single_pixels, islands, striped, seams, row, column],
    ids=lambda f: f.__name__,
)
def test_equals_the_definition_on_awkward_images(draw: Draw, sigma: float, inside: bool) -> None:
    instances, distances = drawn(draw)
    weights = boundary_weight_map(instances, 10, sigma, ALONE, inside)
    np.testing.assert_allclose(weights, term_of(distances, 10, sigma, inside), rtol=0, atol=1e-5)


@pytest.mark.parametrize("reach", [0.5, 1, 7.3, 27, PARABOLA_REACH, PARABOLA_REACH + 1, math.inf])
def test_distances_are_exact_below_the_reach_and_infinite_beyond(reach: float) -> None:
    rng = np.random.default_rng(2)
    for count in (1, 2, 5, 40):
        instances = squares(rng, (70, 95), count, 9, 10**6)
        d1, d2 = instance_distances(instances, reach)
        near, second = defined_distances(instances)
        np.testing.assert_allclose(d1, np.where(near < reach, near, np.inf), rtol=1e-6)
        second = np.where(near + second < reach, second, np.inf)
        np.testing.assert_allclose(d2, second, rtol=1e-6)


def test_sets_tell_every_two_instances_apart() -> None:
    """As many sets hold each instance, no two instances are in the same ones, no set is empty."""
    for count in range(1, 260):
        sets = instance_sets(np.arange(1, count + 1)[None], math.inf)
        assert sets is not None
        membership = sets.pixels[0].tolist()
        assert len(set(membership)) == count
        assert {bits.bit_count() for bits in membership} == {sets.chosen}
        assert functools.reduce(operator.or_, membership) == 2**sets.total - 1


def test_large_w0_keeps_float32_precision() -> None:
    instances = squares(np.random.default_rng(3), (60, 60), 20, 9, 20)
    weights = boundary_weight_map(instances, 1e4, 5, ALONE)
    expected = defined_term(instances, 1e4, 5, False)
    np.testing.assert_allclose(weights, expected, rtol=1e-6, atol=1e-5)


# What must not matter ----------------------------------------------------------------------------


def test_names_of_instances_do_not_matter() -> None:
    rng = np.random.default_rng(4)
    instances = squares(rng, (80, 90), 30, 12, 30)
    renamed = np.append(0, rng.permutation(65535)[:30] + 1)[instances]
    expected = boundary_weight_map(instances)
    for dtype in (np.uint16, np.int32, np.uint32, np.int64, np.uint64):
        np.testing.assert_array_equal(boundary_weight_map(renamed.astype(dtype)), expected)
    np.testing.assert_array_equal(boundary_weight_map(instances.astype(np.int64) * 2**33), expected)


def test_turning_the_image_turns_the_weights() -> None:
    instances = squares(np.random.default_rng(6), (70, 110), 25, 14, 25)
    weights = boundary_weight_map(instances)
    for turn in (np.flipud, np.fliplr, np.transpose, np.rot90):
        np.testing.assert_allclose(boundary_weight_map(turn(instances)), turn(weights), atol=1e-5)


def test_input_is_left_alone_and_may_be_a_view() -> None:
    instances = squares(np.random.default_rng(7), (60, 60), 15, 9, 15)
    before = instances.copy()
    instances.setflags(write=False)
    weights = boundary_weight_map(instances[::2, 1::3])
    np.testing.assert_array_equal(weights, boundary_weight_map(before[::2, 1::3].copy()))
    np.testing.assert_array_equal(instances, before)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("class_weights", [None, ALONE, (1, 3)])
def test_both_ways_to_the_weights_agree(
    class_weights: tuple[float, float] | None, inside: bool
) -> None:
    instances = squares(np.random.default_rng(8), (90, 80), 30, 11, 30)
    d1, d2 = instance_distances(instances)
    for w0, sigma in SETTINGS:
        np.testing.assert_allclose(
            weight_map_from_distances(d1, d2, w0, sigma, class_weights, inside),
            boundary_weight_map(instances, w0, sigma, class_weights, inside),
            atol=1e-5,
        )


@pytest.mark.data
def test_equals_the_definition_on_nuclei(shared_data) -> None:  # type: ignore[no-untyped-def]
    tifffile = pytest.importorskip("tifffile")
    instances = tifffile.imread(shared_data / "nuclei_pair" / "mask2d.tif")
    assert len(np.unique(instances)) == 126
    weights = boundary_weight_map(instances, class_weights=ALONE)
    np.testing.assert_allclose(weights, defined_term(instances, 10, 5, False), atol=1e-5)
    assert weights.max() > 9


# Wrong input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instances", "words"),
    [
        (np.zeros((2, 3, 4), int), r"shape \(2, 3, 4\).*2-D"),
        (np.zeros(5, int), "2-D"),
        (np.zeros((0, 4), int), "at least one pixel"),
        (np.zeros((3, 3)), "float64.*whole numbers"),
        (np.array([["a"]]), "whole numbers"),
        (np.array([[0, -3]]), "negative number -3"),
        ([[1, 2], [3]], "different lengths"),
    ],
)
def test_other_arrays_are_refused(instances: npt.ArrayLike, words: str) -> None:
    with pytest.raises(LabelError, match=words):
        boundary_weight_map(instances)
    with pytest.raises(LabelError, match=words):
        instance_distances(instances)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"w0": -1}, "w0 is -1"),
        ({"w0": math.nan}, "w0 is nan"),
        ({"w0": math.inf}, "w0 is inf"),
        ({"sigma": 0}, "sigma is 0"),
        ({"sigma": -2}, "sigma is -2"),
        ({"sigma": math.nan}, "sigma is nan"),
        ({"sigma": math.inf}, "sigma is inf"),
        ({"class_weights": (1, -1)}, "class_weights"),
        ({"class_weights": (1, math.nan)}, "class_weights"),
        ({"class_weights": (1, 2, 3)}, "class_weights"),
    ],
)
def test_other_numbers_are_refused(arguments: dict, words: str) -> None:  # type: ignore[type-arg]
    instances = np.array([[1, 0, 2]])
    with pytest.raises(ValueError, match=words):
        boundary_weight_map(instances, **arguments)
    with pytest.raises(ValueError, match=words):
        weight_map_from_distances(*instance_distances(instances), **arguments)


@pytest.mark.parametrize("reach", [0, -1, math.nan])
def test_reach_is_a_distance(reach: float) -> None:
    with pytest.raises(ValueError, match="reach"):
        instance_distances(np.array([[1, 0, 2]]), reach)


def test_distances_have_one_shape() -> None:
    with pytest.raises(ValueError, match="shapes"):
        weight_map_from_distances(np.zeros((2, 3)), np.zeros((3, 2)))


@pytest.mark.parametrize("sigma", [1e-300, 1e-3, 1e300])
def test_extreme_sigma(sigma: float) -> None:
    """A term that vanishes, or that is w0 everywhere, without a warning on the way."""
    instances = np.array([[1, 0, 0, 2]])
    expected = [[0, 10, 10, 0]] if sigma > 1 else [[0, 0, 0, 0]]
    assert boundary_weight_map(instances, 10, sigma, ALONE).tolist() == expected
    distances = instance_distances(instances)
    assert weight_map_from_distances(*distances, 10, sigma, ALONE).tolist() == expected
