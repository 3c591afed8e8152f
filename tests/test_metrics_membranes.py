"""The ISBI 2012 challenge's metrics: Rand, V_rand, V_info and warping error."""

import itertools
import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from hf_unet.errors import LabelError
from hf_unet.metrics import (
    adapted_rand_error,
    information_scores,
    pixel_error,
    rand_error,
    rand_scores,
    thin_borders,
    v_info,
    v_info_scores,
    v_rand,
    v_rand_scores,
    warping_error,
    warping_errors,
    warping_scores,
)
from hf_unet.metrics.warping import _kinds, _warp

MEMBRANE_METRICS = [rand_error, v_rand, v_info, warping_error]


def drawing(*rows: str) -> np.ndarray:
    """A membrane map from rows of '#' (membrane) and '.' (cell)."""
    return np.array([[mark == "." for mark in row] for row in rows])


TWO_CELLS = drawing(
    "#########",
    "#...#...#",
    "#...#...#",
    "#...#...#",
    "#########",
)
MERGED = drawing(
    "#########",
    "#...#...#",
    "#.......#",
    "#...#...#",
    "#########",
)
SPLIT = drawing(
    "#########",
    "#...#...#",
    "#####...#",
    "#...#...#",
    "#########",
)
HOLE = drawing(
    "#########",
    "#...#...#",
    "#.#.#...#",
    "#...#...#",
    "#########",
)
SHIFTED = drawing(
    "#########",
    "#..#....#",
    "#..#....#",
    "#..#....#",
    "#########",
)
THICK = drawing(
    "#########",
    "#..###..#",
    "#..###..#",
    "#..###..#",
    "#########",
)
NO_LEFT_CELL = drawing(
    "#########",
    "#####...#",
    "#####...#",
    "#####...#",
    "#########",
)


def random_map(seed: int, shape: tuple[int, int] = (24, 21)) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return noise > -0.05


# Warping error


@pytest.mark.parametrize(
    ("prediction", "parts"),
    [
        (MERGED, {"merges": 1}),
        (SPLIT, {"splits": 1}),
        (HOLE, {"hole_additions": 1}),
        (SHIFTED, {}),
        (THICK, {}),
        (NO_LEFT_CELL, {"object_deletions": 1}),
    ],
)
def test_warping_names_the_error(prediction, parts):
    scores = warping_scores(TWO_CELLS, prediction)
    found = {name: value for name, value in vars(scores).items() if value and name != "pixels"}
    assert found == parts
    assert warping_error(TWO_CELLS, prediction) == scores.error == sum(parts.values()) / 45


def test_the_opposite_errors():
    assert warping_scores(MERGED, TWO_CELLS).splits == 1
    assert warping_scores(SPLIT, TWO_CELLS).merges == 3  # the wall, of which any pixel would do
    assert warping_scores(HOLE, TWO_CELLS).hole_deletions == 1
    assert warping_scores(NO_LEFT_CELL, TWO_CELLS).object_additions >= 1


@pytest.mark.parametrize(
    ("truth", "prediction", "kind", "places"),
    [
        (TWO_CELLS, MERGED, "merge", [[2, 4]]),
        (MERGED, TWO_CELLS, "split", [[2, 4]]),
        (TWO_CELLS, HOLE, "hole addition", [[2, 2]]),
        (HOLE, TWO_CELLS, "hole deletion", [[2, 2]]),
    ],
)
def test_errors_are_placed(truth, prediction, kind, places):
    errors = warping_errors(truth, prediction)
    assert errors.places.tolist() == places and errors.kinds == (kind,)
    assert errors.of(kind).tolist() == places and len(errors.of("object addition")) == 0
    (mark,) = errors.marks
    assert (mark.kind, [mark.row, mark.column], mark.radius, mark.pixels) == (kind, *places, 0, 1)


def test_pixels_that_touch_are_one_mark():
    errors = warping_errors(SPLIT, TWO_CELLS)
    assert errors.places.tolist() == [[2, 1], [2, 2], [2, 3]]
    (mark,) = errors.marks
    assert (mark.kind, mark.row, mark.column, mark.radius, mark.pixels) == ("merge", 2, 2, 1, 3)
    assert warping_errors(TWO_CELLS, SHIFTED).marks == ()


@pytest.mark.parametrize("seed", range(4))
def test_the_places_are_as_many_as_the_scores_say(seed):
    truth, prediction = random_map(seed), random_map(seed + 50)
    errors, scores = warping_errors(truth, prediction), warping_scores(truth, prediction)
    assert errors.scores == scores and len(errors.places) == round(scores.error * scores.pixels)
    assert scores.splits == len(errors.of("split")) and scores.merges == len(errors.of("merge"))
    assert (truth[tuple(errors.places.T)] != prediction[tuple(errors.places.T)]).any()
    assert sum(mark.pixels for mark in errors.marks) == len(errors.places)
    both = warping_scores(np.stack([truth, truth]), np.stack([prediction, prediction]))
    assert both.splits == 2 * scores.splits and both.pixels == 2 * scores.pixels


def test_a_stack_has_no_places():
    with pytest.raises(LabelError, match="one section, but 2"):
        warping_errors(np.stack([TWO_CELLS] * 2), np.stack([HOLE] * 2))


def test_a_ring_cut_through_joins_two_membranes():
    ring = drawing("#####", "#...#", "#.#.#", "#...#", "#####")
    cut = drawing("#####", "#...#", "#.#.#", "#.#.#", "#####")
    assert warping_scores(ring, cut).hole_deletions == 1
    assert warping_scores(cut, ring).hole_additions == 1


def test_splits_and_merges_alone():
    both = warping_scores(np.stack([TWO_CELLS] * 2), np.stack([HOLE, SPLIT]))
    assert both.error == 2 / 90
    assert both.splits_and_merges_error == 1 / 90


def test_cells_are_connected_by_sides_and_membranes_by_corners():
    # The two cells touch by a corner only: still two, and the membrane passes between them.
    corner = drawing("####", "#.##", "##.#", "####")
    assert warping_scores(corner, drawing("####", "#..#", "##.#", "####")).merges == 1
    assert rand_scores(corner, corner).f_score == 1
    assert thin_borders(corner).max() == 2


@pytest.mark.parametrize("seed", range(4))
def test_warping_keeps_the_topology_and_names_its_changes(seed):
    truth, prediction = random_map(seed), random_map(seed + 50)
    warped, differ = _warp(truth, prediction)

    def components(cells: np.ndarray) -> tuple[int, int]:
        return ndimage.label(cells)[1], ndimage.label(~cells, structure=np.ones((3, 3)))[1]

    before = components(np.pad(truth, 1))
    assert components(warped) == before
    assert (differ == (warped != np.pad(prediction, 1))).all()
    expected = []
    for row, column in np.argwhere(differ):
        flipped = warped.copy()
        flipped[row, column] ^= True
        cells, membranes = (
            now - then for now, then in zip(components(flipped), before, strict=True)
        )
        if cells:
            names = (
                ("split", "object deletion")
                if warped[row, column]
                else ("object addition", "merge")
            )
            expected.append(names[cells < 0])
        else:
            # A simple point would have been flipped.
            assert membranes != 0
            expected.append("hole addition" if membranes > 0 else "hole deletion")
    assert expected
    assert list(_kinds(warped, differ)) == expected


@pytest.mark.parametrize("surer", [2, 3])
def test_the_surest_pixels_are_warped_first(surer):
    # The prediction opens a wall of two columns; the column that is surer to be cell falls, the
    # other is left as the merge.
    truth = drawing("######", "#.##.#", "######")
    probabilities = np.array([[0.0] * 6, [0.0, 0.9, 0.6, 0.6, 0.9, 0.0], [0.0] * 6])
    probabilities[1, surer] = 0.9
    assert warping_scores(truth, probabilities).merges == 1
    _, differ = _warp(truth, probabilities)
    left = 5 - surer
    assert np.argwhere(differ).tolist() == [[1 + 1, left + 1]]  # within the padding


# Rand, V_rand, V_info


def test_rand_by_hand():
    # Two cells of 9 pixels, merged: of 153 pairs the 81 across are wrong.
    assert rand_error(TWO_CELLS, MERGED) == pytest.approx(81 / 153)
    merged = rand_scores(TWO_CELLS, MERGED)
    assert (merged.precision, merged.recall) == (0.5, 1)
    assert merged.f_score == pytest.approx(2 / 3)
    # One cell of 9 split into 3 and 3, the 3 pixels between each alone.
    split = rand_scores(TWO_CELLS, SPLIT)
    assert split.precision == 1
    assert split.recall == pytest.approx((81 + 9 + 9 + 3) / (81 + 81))
    assert split.error == pytest.approx((36 - 3 - 3) / 153)


def test_information_by_hand():
    merged = information_scores(TWO_CELLS, MERGED)
    assert (merged.precision, merged.recall, merged.f_score) == (1, 0, 0)
    # Entropies of the parts 9, 3, 3, 1, 1, 1 of 18 pixels and of 9, 9.
    parts = np.array([9, 3, 3, 1, 1, 1]) / 18
    entropy = -(parts * np.log(parts)).sum()
    split = information_scores(TWO_CELLS, SPLIT)
    assert split.recall == pytest.approx(1)
    assert split.precision == pytest.approx(np.log(2) / entropy)
    assert split.f_score == pytest.approx(2 * np.log(2) / (entropy + np.log(2)))


def test_thick_borders_cost_until_thinned():
    assert rand_scores(TWO_CELLS, THICK).f_score < 0.9
    assert v_rand(TWO_CELLS, THICK) == 1
    assert v_info(TWO_CELLS, THICK) == pytest.approx(1)
    assert v_rand(TWO_CELLS, MERGED) == rand_scores(TWO_CELLS, MERGED).f_score


def test_thinned_borders_by_hand():
    # The wall between stays, one wide; an even wall keeps its right column; the hole and the
    # rim fill.
    cells = drawing(
        "########",
        "#..##..#",
        "#..##..#",
        "########",
    )
    assert thin_borders(cells).tolist() == [[1, 1, 1, 1, 0, 2, 2, 2]] * 4
    assert thin_borders(HOLE).tolist() == [[1, 1, 1, 1, 0, 2, 2, 2, 2]] * 5


def test_thinning_goes_on_beyond_a_line():
    # The pixel right of the line's second pixel waits from when the line's turn came, so that
    # the upper cell, which reaches it first, has it.
    cells = drawing("#.##", "####", ".###", "####")
    assert thin_borders(cells).tolist() == [
        [1, 1, 1, 1],
        [0, 1, 1, 1],
        [2, 0, 1, 1],
        [2, 2, 0, 1],
    ]


@pytest.mark.parametrize("seed", range(3))
def test_thinning_only_grows_cells_apart(seed):
    cells = random_map(seed)
    numbers, count = ndimage.label(cells)
    thin = thin_borders(cells)
    assert (thin[cells] == numbers[cells]).all()
    assert thin.max() == count
    for a, b in ((thin[1:], thin[:-1]), (thin[:, 1:], thin[:, :-1])):
        assert ((a == b) | (a == 0) | (b == 0)).all()


def test_all_membrane_predicted():
    nothing = np.zeros_like(TWO_CELLS)
    assert thin_borders(nothing).max() == 0
    scores = rand_scores(TWO_CELLS, nothing)
    assert scores.precision == 1
    assert scores.recall == pytest.approx(18 / 162)
    assert warping_scores(TWO_CELLS, nothing).object_deletions == 2


@pytest.mark.parametrize("metric", [v_rand, v_info])
def test_perfect_is_one(metric):
    assert metric(TWO_CELLS, TWO_CELLS) == pytest.approx(1)
    one_cell = np.ones((4, 4), dtype=bool)
    assert metric(one_cell, one_cell) == 1
    one_pixel = np.ones((1, 1), dtype=bool)
    assert metric(one_pixel, one_pixel) == 1
    assert rand_error(one_pixel, one_pixel) == 0


@pytest.mark.parametrize("metric", MEMBRANE_METRICS)
@pytest.mark.parametrize("seed", range(2))
def test_forms_of_the_same_map_score_alike(metric, seed):
    truth, prediction = random_map(seed), random_map(seed + 7)
    score = metric(truth, prediction)
    assert metric(truth.astype(np.uint8) * 255, prediction.astype(np.uint8)) == score
    assert metric(truth, prediction.astype(np.float32)) == score
    assert metric(truth[None], np.where(prediction, 0.75, 0.25)[None]) == score


def test_sections_of_a_stack():
    truth, prediction = np.stack([TWO_CELLS] * 2), np.stack([MERGED, SPLIT])
    halves = [rand_scores(TWO_CELLS, MERGED), rand_scores(TWO_CELLS, SPLIT)]
    stack = rand_scores(truth, prediction)
    assert stack.error == pytest.approx((halves[0].error + halves[1].error) / 2)
    # 162 and 102 of the common pairs, 162 and 162 of the true ones.
    assert stack.recall == pytest.approx((162 + 102) / (162 + 162))
    assert v_info(truth, prediction) == pytest.approx(
        (v_info(TWO_CELLS, MERGED) + v_info(TWO_CELLS, SPLIT)) / 2
    )


@pytest.mark.parametrize("metric", MEMBRANE_METRICS)
def test_what_is_no_membrane_map(metric):
    with pytest.raises(LabelError, match="probabilities"):
        metric(TWO_CELLS, np.where(TWO_CELLS, 255.0, 0.0))
    with pytest.raises(LabelError, match=r"\(45,\)"):
        metric(TWO_CELLS.ravel(), MERGED.ravel())
    with pytest.raises(LabelError, match="type"):
        metric(TWO_CELLS, TWO_CELLS.astype(complex))


@pytest.mark.parametrize("metric", [v_rand, v_info, warping_error])
def test_instances_are_no_membrane_map(metric):
    with pytest.raises(LabelError, match="from 0 to 2"):
        metric(TWO_CELLS, thin_borders(TWO_CELLS))


@pytest.mark.parametrize("metric", [rand_error, v_rand, v_info])
def test_truth_without_cells(metric):
    with pytest.raises(LabelError, match="no cell"):
        metric(np.zeros((3, 3), dtype=bool), np.ones((3, 3), dtype=bool))


# Rand error of instance maps


def test_instance_maps_go_to_scikit_image():
    truth, prediction = np.array([[2, 1], [1, 2]]), np.array([[1, 2], [3, 1]])
    assert adapted_rand_error(truth, prediction) == pytest.approx(1 / 3)
    assert rand_error(truth, prediction) == pytest.approx(1 / 3)
    with pytest.raises(LabelError, match="float"):
        rand_error(truth, prediction / 3)


@pytest.mark.parametrize("seed", range(3))
def test_adapted_rand_error_counts_pairs(seed):
    generator = np.random.default_rng(seed)
    truth, prediction = generator.integers(0, 4, (2, 5, 6))
    pixels = [(t, p) for t, p in zip(truth.flat, prediction.flat, strict=True) if t]
    same = [(a[0] == b[0], a[1] == b[1]) for a, b in itertools.combinations(pixels, 2)]
    both = sum(t and p for t, p in same)
    either = sum(t for t, _ in same) + sum(p for _, p in same)
    assert adapted_rand_error(truth, prediction) == pytest.approx(1 - 2 * both / either)
    renamed = np.array([0, 7, 300, 5])[truth]
    assert rand_error(renamed, prediction) == pytest.approx(1 - 2 * both / either)


def test_adapted_rand_error_where_every_pixel_is_alone():
    alone, together = np.arange(1, 5).reshape(2, 2), np.full((2, 2), 3)
    assert adapted_rand_error(alone, alone) == 0
    assert adapted_rand_error(alone, together) == 1
    assert adapted_rand_error(together, alone) == 1


# The challenge's own figures

REFERENCE = [
    "tiny_merge",
    "tiny_split",
    "tiny_hole",
    "tiny_shift1",
    "tiny_thick",
    "identical_crop128",
    "membrane_dilated3x3_crop128",
    "gauss_sigma2_crop128",
]


@pytest.mark.data
@pytest.mark.parametrize("name", REFERENCE)
def test_against_the_challenge(shared_data, name):
    folder = shared_data / "isbi_metrics"
    expected = json.loads((folder / "expected.json").read_text())[f"{name}.tif"]
    truth = tifffile.imread(folder / expected["truth"])
    prediction = tifffile.imread(folder / f"{name}.tif")
    rand, thinned = rand_scores(truth, prediction), v_rand_scores(truth, prediction)
    warping = warping_scores(truth, prediction)
    sections = (truth, prediction) if truth.ndim == 3 else (truth[None], prediction[None])
    errors = [warping_errors(*section) for section in zip(*sections, strict=True)]
    placed = [sum(len(one.of(kind)) for one in errors) for kind in ("split", "merge")]
    assert placed == expected["splits_and_mergers"]
    measured = {
        "pixel_error": pixel_error(truth, prediction),
        "rand_error_foreground_restricted": rand_error(truth, prediction),
        "rand_foreground_restricted_prf": [rand.precision, rand.recall, rand.f_score],
        "v_rand_thinned_prf": [thinned.precision, thinned.recall, thinned.f_score],
        "v_info_foreground_restricted_f": information_scores(truth, prediction).f_score,
        "v_info_thinned_f": v_info_scores(truth, prediction).f_score,
        "warping_error": warping_error(truth, prediction),
        "warping_error_splits_mergers": warping.splits_and_merges_error,
        "splits_and_mergers": [warping.splits, warping.merges],
    }
    assert measured.keys() == expected.keys() - {"truth"}
    for key, value in measured.items():
        assert value == pytest.approx(expected[key], abs=1e-12), key
