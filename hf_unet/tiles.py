"""Overlap-tile: segment an image of any size in tiles, as if it had been one.

The paper's figure 2: to predict a block of the image, the network is shown that block and a
margin of context around it; where the context leaves the image it is filled by mirroring. This
module plans the tiles, reads them, runs any callable on them and puts the results together. It
knows no network: a margin and a grid are all that it is told.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.geometry import Geometry

Function = Callable[[NDArray[np.float32]], NDArray[Any]]
"""(N, C, h, w) float32 -> (N, K, h - 2 lost, w - 2 lost)."""

Progress = Callable[[int, int], object]
"""Called after each batch with the number of tiles done and of tiles in all."""


@dataclass(frozen=True)
class Span:
    """One tile along one axis: what it reads, and which pixels of the image it decides.

    ``start`` and ``stop`` are image coordinates of the pixels decided; ``read`` is where the
    tile's input begins, ``margin`` pixels earlier, and so often outside the image.
    """

    start: int
    stop: int
    read: int


@dataclass(frozen=True)
class Tile:
    """One tile of a plan: a span of rows and a span of columns."""

    rows: Span
    columns: Span


@dataclass(frozen=True)
class TilePlan:
    """Where the tiles of one image lie.

    Attributes
    ----------
    height, width : int
        Size of the image.
    side : (int, int)
        Height and width of every tile's input, the margins included.
    step : (int, int)
        Distance between neighbouring tiles; a multiple of the network's grid.
    margin : int
        Context on each side of what a tile decides.
    tiles : tuple of Tile
        Row by row. Together their spans cover every pixel of the image once.
    """

    height: int
    width: int
    side: tuple[int, int]
    step: tuple[int, int]
    margin: int
    tiles: tuple[Tile, ...]


def plan_tiles(
    height: int, width: int, geometry: Geometry, tile: int | tuple[int, int]
) -> TilePlan:
    """Lay tiles over an image.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels, each at least 1.
    geometry : Geometry
        Margin and grid of the network.
    tile : int or (int, int)
        Wanted side of a tile's input, in pixels, or its height and width. The largest workable
        side of at most that is used, and at least the smallest workable one; a tile that would
        reach beyond the image and its margins is cut down to them.

    Examples
    --------
    >>> from hf_unet.geometry import valid_geometry
    >>> plan = plan_tiles(512, 512, valid_geometry(4), tile=572)
    >>> plan.side, plan.step, len(plan.tiles)
    ((572, 572), (384, 384), 4)
    """
    wanted = (tile, tile) if isinstance(tile, int) else tile
    (row_side, row_step, rows), (column_side, column_step, columns) = (
        _plan_axis(length, geometry, side)
        for length, side in zip((height, width), wanted, strict=True)
    )
    return TilePlan(
        height=height,
        width=width,
        side=(row_side, column_side),
        step=(row_step, column_step),
        margin=geometry.margin,
        tiles=tuple(Tile(row, column) for row, column in product(rows, columns)),
    )


def _plan_axis(length: int, geometry: Geometry, wanted: int) -> tuple[int, int, list[Span]]:
    side = geometry.tile_side(wanted)
    whole = geometry.input_size(length)
    if side >= whole:
        return whole, geometry.step(whole), [Span(0, length, -geometry.margin)]
    step, kept = geometry.step(side), geometry.kept(side)
    count = -(-(length - kept) // step) + 1  # the last tile may use all that it keeps
    starts = [index * step for index in range(count)]
    stops = [*starts[1:], length]
    spans = [
        Span(start, stop, start - geometry.margin)
        for start, stop in zip(starts, stops, strict=True)
    ]
    return side, step, spans


def balanced_side(length: int, geometry: Geometry, largest: int) -> int:
    """Smallest side that covers ``length`` pixels in as few tiles as sides up to ``largest`` do.

    Examples
    --------
    >>> from hf_unet.geometry import valid_geometry
    >>> balanced_side(1536, valid_geometry(4), largest=768)
    700
    """
    side = geometry.tile_side(largest)
    count = len(_plan_axis(length, geometry, side)[2])
    smallest = geometry.input_size(geometry.grid)
    while side - geometry.grid >= smallest:
        if len(_plan_axis(length, geometry, side - geometry.grid)[2]) > count:
            break
        side -= geometry.grid
    return side


def mirror_indices(first: int, count: int, length: int) -> NDArray[np.intp]:
    """Indices of ``count`` pixels from ``first`` on, mirrored into ``0 .. length - 1``.

    The image is mirrored at the centres of its outermost pixels, which are not repeated, and as
    often as it takes: the margin may be many times larger than the image.

    Examples
    --------
    >>> mirror_indices(-3, 9, length=3).tolist()
    [1, 2, 1, 0, 1, 2, 1, 0, 1]
    >>> mirror_indices(-2, 4, length=1).tolist()
    [0, 0, 0, 0]
    """
    period = max(2 * (length - 1), 1)
    position = np.arange(first, first + count) % period
    return np.minimum(position, period - position) if length > 1 else np.zeros(count, np.intp)


def read_tile(
    image: NDArray[Any], top: int, left: int, height: int, width: int
) -> NDArray[np.float32]:
    """Read a rectangle of a (C, H, W) image, mirrored where it leaves the image.

    Examples
    --------
    >>> read_tile(np.array([[[1., 2., 3.]]]), top=0, left=-2, height=1, width=5)
    array([[[3., 2., 1., 2., 3.]]], dtype=float32)
    """
    rows = mirror_indices(top, height, image.shape[-2])
    columns = mirror_indices(left, width, image.shape[-1])
    # The smallest rectangle that holds them is cut first, so that image may lie on disk.
    y, x = int(rows.min()), int(columns.min())
    cut = np.asarray(image[:, y : int(rows.max()) + 1, x : int(columns.max()) + 1], np.float32)
    return cut[:, rows[:, None] - y, columns[None, :] - x]


def run_tiles(
    image: NDArray[Any],
    function: Function,
    plan: TilePlan,
    *,
    batch_size: int = 1,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Run ``function`` on every tile of ``plan`` and put the results together.

    Parameters
    ----------
    image : (C, H, W) array
        Read tile by tile, so it may be larger than memory.
    function : callable
        (N, C, h, w) float32 -> (N, K, h', w'), where h' is h less what the network takes from
        both sides; what it leaves of the margin is cropped here.
    plan : TilePlan
        From `plan_tiles`, for the size of ``image``.
    batch_size : int
        Tiles that ``function`` gets at a time.
    progress : callable, optional
        ``progress(done, total)`` after each batch.

    Returns
    -------
    (K, H, W) array of the dtype that ``function`` returns.

    Examples
    --------
    >>> from hf_unet.geometry import valid_geometry
    >>> image = np.arange(30.0 * 40.0).reshape(1, 30, 40)
    >>> plan = plan_tiles(30, 40, valid_geometry(1), tile=28)
    >>> crop = lambda batch: batch[..., 8:-8, 8:-8]
    >>> bool((run_tiles(image, crop, plan, batch_size=3) == image).all())
    True
    """
    result: NDArray[Any] | None = None
    remaining, done = iter(plan.tiles), 0
    while batch := list(islice(remaining, batch_size)):
        inputs = np.stack(
            [read_tile(image, t.rows.read, t.columns.read, *plan.side) for t in batch]
        )
        outputs = function(inputs)
        if result is None:
            result = np.empty((outputs.shape[1], plan.height, plan.width), outputs.dtype)
        for tile, output in zip(batch, outputs, strict=True):
            result[:, tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop] = (
                _decided(output, tile, plan)
            )
        done += len(batch)
        if progress is not None:
            progress(done, len(plan.tiles))
    assert result is not None  # a plan has at least one tile
    return result


def _decided(output: NDArray[Any], tile: Tile, plan: TilePlan) -> NDArray[Any]:
    """Crop from one tile's output the pixels that the tile decides."""
    rows, columns = (
        slice(skipped := plan.margin - (side - length) // 2, skipped + span.stop - span.start)
        for span, side, length in zip(
            (tile.rows, tile.columns), plan.side, output.shape[-2:], strict=True
        )
    )
    return output[:, rows, columns]


def tile_outlines(plan: TilePlan) -> Iterator[tuple[int, int, int, int]]:
    """(top, left, bottom, right) of what each tile decides, in pixels of the image."""
    for tile in plan.tiles:
        yield tile.rows.start, tile.columns.start, tile.rows.stop, tile.columns.stop
