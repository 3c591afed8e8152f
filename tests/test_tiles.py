"""Overlap-tile, proven without a network: with functions that crop, and that pool."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from slow_definitions import mirrored, walk

from hf_unet.geometry import Geometry, same_geometry, valid_geometry
from hf_unet.tiles import (
    Span,
    Tile,
    TilePlan,
    balanced_side,
    mirror_indices,
    plan_tiles,
    read_tile,
    run_tiles,
    tile_outlines,
)

Batch = NDArray[Any]


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Any margin and grid, also such as no U-Net has."""
    grid = draw(st.integers(1, 16))
    margin = draw(st.integers(0, 24))
    lost = draw(st.sampled_from([0, margin, margin // 2]))
    return Geometry(margin=margin, grid=grid, offset=draw(st.integers(0, grid - 1)), lost=lost)


def cropping(lost: int) -> Callable[[Batch], Batch]:
    def function(batch: Batch) -> Batch:
        return batch[..., lost : batch.shape[-2] - lost, lost : batch.shape[-1] - lost]

    return function


def random_image(channels: int, height: int, width: int, seed: int = 0) -> Batch:
    return np.random.default_rng(seed).random((channels, height, width), np.float32)


# --- mirroring -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (4, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0]),
        (2, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]),
        (1, [0] * 11),
    ],
)
def test_mirroring_does_not_repeat_the_outermost_pixel(length: int, expected: list[int]) -> None:
    assert mirror_indices(-4, 11, length).tolist() == expected


@given(first=st.integers(-120, 120), count=st.integers(1, 60), length=st.integers(1, 40))
def test_mirroring_is_walking_to_and_fro(first: int, count: int, length: int) -> None:
    expected = [walk(position, length) for position in range(first, first + count)]
    assert mirror_indices(first, count, length).tolist() == expected


def test_mirroring_agrees_with_numpy_where_numpy_is_right() -> None:
    image = random_image(2, 9, 7)
    expected = np.pad(image, ((0, 0), (6, 6), (6, 6)), mode="reflect")
    assert np.array_equal(read_tile(image, -6, -6, 21, 19), expected)


# --- the plan --------------------------------------------------------------------------------


@given(
    geometry=geometries(),
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(1, 150) | st.tuples(st.integers(1, 150), st.integers(1, 150)),
)
def test_each_pixel_is_decided_once_and_with_full_context(
    geometry: Geometry, height: int, width: int, tile: int | tuple[int, int]
) -> None:
    plan = plan_tiles(height, width, geometry, tile)
    decided = np.zeros((height, width), int)
    for top, left, bottom, right in tile_outlines(plan):
        decided[top:bottom, left:right] += 1
    assert (decided == 1).all()
    wanted = (tile, tile) if isinstance(tile, int) else tile
    for axis, length in enumerate((height, width)):
        side, step = plan.side[axis], plan.step[axis]
        spans = [(one.rows, one.columns)[axis] for one in plan.tiles]
        starts = sorted({span.start for span in spans})
        assert geometry.accepts(side)
        assert step % geometry.grid == 0
        assert starts == [index * step for index in range(len(starts))]
        for span in spans:
            assert span.start < span.stop
            assert span.read + geometry.margin == span.start
            assert span.stop + geometry.margin <= span.read + side
        # The contract of `tile`: the largest workable side of at most that, at least the
        # smallest workable one, and one tile for the image if that is larger.
        allowed = geometry.tile_side(wanted[axis])
        if geometry.input_size(length) <= allowed:
            assert starts == [0] and side == geometry.input_size(length)
        else:
            assert len(starts) > 1 and side == allowed
            # The last tile is needed: the one before would not reach the end.
            assert starts[-2] + geometry.kept(side) < length


def test_the_papers_plan_for_its_own_image() -> None:
    plan = plan_tiles(512, 512, valid_geometry(4), tile=572)
    first, last = Span(0, 384, -92), Span(384, 512, 292)
    assert plan == TilePlan(
        height=512,
        width=512,
        side=(572, 572),
        step=(384, 384),
        margin=92,
        tiles=(Tile(first, first), Tile(first, last), Tile(last, first), Tile(last, last)),
    )


@pytest.mark.parametrize("geometry", [valid_geometry(4), valid_geometry(2), same_geometry(3)])
def test_a_tile_larger_than_the_image_means_one_tile(geometry: Geometry) -> None:
    plan = plan_tiles(100, 230, geometry, tile=5000)
    assert len(plan.tiles) == 1
    assert plan.side == (geometry.input_size(100), geometry.input_size(230))


@pytest.mark.parametrize("geometry", [valid_geometry(4), valid_geometry(1), same_geometry(2)])
@pytest.mark.parametrize("length", [1, 37, 400, 1000])
@pytest.mark.parametrize("largest", [1, 250, 600])
def test_balanced_side_is_the_smallest_for_as_few_tiles(
    geometry: Geometry, length: int, largest: int
) -> None:
    def count(side: int) -> int:
        return len(plan_tiles(length, 1, geometry, (side, 1)).tiles)

    side = balanced_side(length, geometry, largest)
    smallest = geometry.input_size(geometry.grid)
    workable = range(smallest, geometry.tile_side(largest) + 1, geometry.grid)
    assert side == min(s for s in workable if count(s) == count(geometry.tile_side(largest)))


# --- running ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    geometry=geometries(),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    channels=st.integers(1, 3),
    tile=st.integers(1, 120),
    batch_size=st.integers(1, 5),
)
def test_cropping_gives_the_image_back_pixel_for_pixel(
    geometry: Geometry, height: int, width: int, channels: int, tile: int, batch_size: int
) -> None:
    image = random_image(channels, height, width)
    plan = plan_tiles(height, width, geometry, tile)
    result = run_tiles(image, cropping(geometry.lost), plan, batch_size=batch_size)
    assert result.dtype == np.float32
    assert np.array_equal(result, image)


def pooling(margin: int, grid: int, lost: int, offset: int) -> Callable[[Batch], Batch]:
    """A stand-in for a network: the maximum over blocks of the grid, and over the margin.

    Blocks are counted from the tile's first pixel, as pooling counts them, so that a tile that
    lies off the grid gives another result.
    """

    def pool(lines: Batch) -> Batch:
        blocks = (np.arange(lines.shape[-1]) + offset) // grid
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))
        return np.maximum.reduceat(lines, starts, axis=-1)[..., blocks - blocks[0]]

    def function(batch: Batch) -> Batch:
        pooled = pool(pool(batch).swapaxes(-1, -2)).swapaxes(-1, -2)
        reach = margin - (grid - 1)  # the block itself reaches grid - 1 pixels
        height, width = (side - 2 * lost for side in batch.shape[-2:])
        result = np.zeros((*batch.shape[:2], height, width), batch.dtype)
        for down in (-reach, 0, reach):
            for across in (-reach, 0, reach):
                top, left = np.mgrid[0:height, 0:width]
                top = np.clip(top + lost + down, 0, batch.shape[-2] - 1)
                left = np.clip(left + lost + across, 0, batch.shape[-1] - 1)
                result += (1 + down % 5 + across % 3) * pooled[..., top, left]
        return result

    return function


POOLED = Geometry(margin=20, grid=8, offset=0, lost=20)


def pooled_whole(image: Batch, geometry: Geometry) -> Batch:
    _, height, width = image.shape
    sides = geometry.input_size(height), geometry.input_size(width)
    context = mirrored(image, -geometry.margin, -geometry.margin, *sides)
    function = pooling(geometry.margin, geometry.grid, geometry.lost, geometry.offset)
    skipped = geometry.margin - geometry.lost
    result: Batch = function(context[None])[0]
    return result[:, skipped : skipped + height, skipped : skipped + width]


@pytest.mark.parametrize("lost", [20, 0])
@pytest.mark.parametrize("offset", [0, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 50), (61, 40), (8, 8)])
@pytest.mark.parametrize("tile", [1, 60, 77, 500])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_pooling_function_gives_the_whole_images_result_exactly(
    lost: int, offset: int, height: int, width: int, tile: int, batch_size: int
) -> None:
    geometry = Geometry(margin=20, grid=8, offset=offset, lost=lost)
    image = random_image(1, height, width)
    result = run_tiles(
        image,
        pooling(20, 8, lost, offset),
        plan_tiles(height, width, geometry, tile),
        batch_size=batch_size,
    )
    assert np.array_equal(result, pooled_whole(image, geometry))


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (Geometry(margin=20, grid=4, offset=0, lost=20), "step off the grid"),
        (Geometry(margin=21, grid=8, offset=0, lost=20), "margin off the grid"),
    ],
)
def test_a_plan_off_the_grid_shows(wrong: Geometry, what: str) -> None:
    """So that the test above can fail."""
    image = random_image(1, 61, 61)
    plan = plan_tiles(61, 61, wrong, tile=52)
    result = run_tiles(image, pooling(20, 8, 20, 0), plan)
    assert not np.array_equal(result, pooled_whole(image, POOLED)), what


class Counting:
    """An image on disk, such as a zarr array: made up when read, and every reading is counted."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.largest = 0

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Batch:
        planes, rows, columns = (
            range(length)[part] for length, part in zip(self.shape, index, strict=True)
        )
        self.largest = max(self.largest, len(planes) * len(rows) * len(columns))
        return np.add.outer(np.array(planes), np.add.outer(np.array(rows), np.array(columns)))


def test_an_image_on_disk_is_read_tile_by_tile() -> None:
    geometry = valid_geometry(2)
    largest = {}
    for width in (500, 3000):
        image = Counting(2, 400, width)
        shapes = []

        def function(batch: Batch, shapes: list[tuple[int, ...]] = shapes) -> Batch:
            shapes.append(batch.shape)
            return cropping(geometry.lost)(batch)

        plan = plan_tiles(400, width, geometry, tile=140)
        result = run_tiles(image, function, plan, batch_size=3)  # type: ignore[arg-type]
        assert np.array_equal(result, image[:, :, :])
        assert set(shapes[:-1]) == {(3, 2, 140, 140)}
        image.largest = 0
        run_tiles(image, function, plan, batch_size=3)  # type: ignore[arg-type]
        largest[width] = image.largest
    # What is held beside the result depends on the tile, not on the image.
    assert largest[500] == largest[3000] == 2 * 140 * 140


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 100])
def test_batches_and_progress(batch_size: int) -> None:
    geometry = valid_geometry(1)
    plan = plan_tiles(50, 50, geometry, tile=36)
    sizes: list[int] = []
    told: list[tuple[int, int]] = []

    def function(batch: Batch) -> Batch:
        sizes.append(len(batch))
        return cropping(8)(batch)

    run_tiles(
        random_image(1, 50, 50),
        function,
        plan,
        batch_size=batch_size,
        progress=lambda done, total: told.append((done, total)),
    )
    assert len(plan.tiles) == 9
    assert sum(sizes) == 9 and all(size == batch_size for size in sizes[:-1])
    assert told == [(done, 9) for done in np.cumsum(sizes)]


def test_the_result_has_the_functions_dtype_and_planes() -> None:
    plan = plan_tiles(9, 5, valid_geometry(1), tile=1)
    image = random_image(1, 9, 5)

    def function(batch: Batch) -> Batch:
        return np.concatenate([cropping(8)(batch) > 0.5] * 3, axis=1)

    result = run_tiles(image, function, plan)
    assert result.dtype == np.bool_
    assert np.array_equal(result, np.repeat(image > 0.5, 3, axis=0))
