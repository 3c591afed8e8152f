"""Does the tile matter? An image segmented in tiles against the same image in one piece."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hf_unet.geometry import Geometry
from hf_unet.images import ScienceImage, match_channels, normalize
from hf_unet.network import SegmentationNetwork
from hf_unet.segmentation import Segmentation
from hf_unet.tiles import Function, Span, Tile, TilePlan, read_tile, run_tiles


@dataclass(frozen=True)
class SeamTest:
    """How far the tiled result lies from that of the whole image.

    Attributes
    ----------
    height, width : int
        Size of the image compared, in pixels.
    tiles : int
        Number of tiles it was cut into.
    side : (int, int)
        Height and width of a tile's input.
    largest_difference : float
        Of any probability, 0 .. 1: some 1e-6 where only rounding differs.
    changed_pixels : int
        Pixels whose class differs.
    """

    height: int
    width: int
    tiles: int
    side: tuple[int, int]
    largest_difference: float
    changed_pixels: int


@dataclass(frozen=True, eq=False)
class Stitching:
    """One way to put tiles together, against the image in one piece.

    Attributes
    ----------
    name : str
    tiles : int
    step : (int, int)
        Rows and columns between neighbouring tiles.
    largest_difference : float
        Of any probability, 0 .. 1.
    changed : (H, W) bool array
        Pixels whose class differs.
    """

    name: str
    tiles: int
    step: tuple[int, int]
    largest_difference: float
    changed: NDArray[np.bool_]


def compare_seams(
    model: SegmentationNetwork, image: ScienceImage, tile: int | None = None, largest: int = 1024
) -> SeamTest:
    """Segment an image in tiles and in one piece, and compare.

    Parameters
    ----------
    model : SegmentationNetwork
    image : (C, H, W) ScienceImage
    tile : int, optional
        Wanted side of a tile's input in pixels. None: one that decides 192 pixels, or half of a
        smaller image.
    largest : int
        Of an image with longer sides, only this many of its first rows and columns are compared,
        since one piece takes memory by its area.

    Examples
    --------
    >>> from hf_unet import UNet, read_image
    >>> image = read_image(np.arange(60 * 70, dtype=np.uint16).reshape(60, 70))
    >>> test = compare_seams(UNet(base_channels=2, depth=2), image, tile=60)
    >>> test.tiles, test.changed_pixels, test.largest_difference < 1e-5
    (12, 0, True)
    """
    cut = _first(image, largest)
    if tile is None:
        tile = _small_tile(model, cut)
    tiled, whole = model.segment(cut, tile=tile), model.segment(cut, tile=model.input_size(largest))
    way = _against(whole, tiled, "overlap-tile")
    return SeamTest(
        height=cut.shape[1],
        width=cut.shape[2],
        tiles=way.tiles,
        side=tiled.plan.side,
        largest_difference=way.largest_difference,
        changed_pixels=int(way.changed.sum()),
    )


def compare_stitchings(
    model: SegmentationNetwork, image: ScienceImage, largest: int = 1024
) -> tuple[Stitching, Stitching, Stitching]:
    """Three ways to segment an image in tiles, each compared with the image in one piece.

    Overlap-tile, as `SegmentationNetwork.segment` does it; the same with a step that is not a
    multiple of the pooling grid (the paper's network puts out 388 pixels, which is none); and
    tiles that overlap by half and are blended with Gaussian weights, as many toolkits do it.

    Parameters
    ----------
    model : SegmentationNetwork
    image : (C, H, W) ScienceImage
    largest : int
        Of an image with longer sides, only this many of its first rows and columns are compared.

    Examples
    --------
    >>> from hf_unet import UNet, read_image
    >>> image = read_image(np.random.default_rng(0).random((1, 90, 90)))
    >>> exact, off_grid, blended = compare_stitchings(UNet(base_channels=2, depth=2), image)
    >>> exact.largest_difference < 1e-5 < off_grid.largest_difference
    True
    """
    cut = _first(image, largest)
    whole = model.segment(cut, tile=model.input_size(largest), test_time_averaging=False)
    exact = model.segment(cut, tile=_small_tile(model, cut), test_time_averaging=False)
    scaled = normalize(match_channels(cut, model.in_channels), model.normalization)
    side = exact.plan.side
    shifted = _plan_with_step(exact.plan, tuple(_off_grid(s, model.geometry) for s in side))
    off_grid = model.interpret(run_tiles(scaled, model.predict, shifted), cut, shifted)
    halves = _plan_with_step(exact.plan, tuple(max(1, model.geometry.kept(s) // 2) for s in side))
    blended = model.interpret(_blend(scaled, model.predict, halves, model.geometry), cut, halves)
    return (
        _against(whole, exact, "overlap-tile, step a multiple of the grid"),
        _against(whole, off_grid, "step not a multiple of the grid"),
        _against(whole, blended, "overlap by half, Gaussian blending"),
    )


def _first(image: ScienceImage, largest: int) -> ScienceImage:
    return ScienceImage(np.asarray(image)[:, :largest, :largest], image.bit_depth)


def _small_tile(model: SegmentationNetwork, image: ScienceImage) -> int:
    return model.input_size(min(192, max(1, max(image.shape[1:]) // 2)))


def _against(whole: Segmentation, other: Segmentation, name: str) -> Stitching:
    changed = other.mask != whole.mask
    return Stitching(
        name=name,
        tiles=len(other.plan.tiles),
        step=other.plan.step,
        largest_difference=float(np.abs(other.probabilities - whole.probabilities).max()),
        changed=changed.any(axis=0) if other.multilabel else changed,
    )


def _off_grid(side: int, geometry: Geometry) -> int:
    """The largest step that a tile of this side allows and that is no multiple of the grid."""
    kept = geometry.kept(side)
    return kept if kept % geometry.grid else kept - geometry.grid // 2


def _plan_with_step(plan: TilePlan, step: tuple[int, ...]) -> TilePlan:
    """The plan with another step, which `plan_tiles` would not allow."""
    axes = []
    for length, between in zip((plan.height, plan.width), step, strict=True):
        starts = range(0, length, between)
        axes.append([Span(s, min(s + between, length), s - plan.margin) for s in starts])
    tiles = tuple(Tile(rows, columns) for rows, columns in product(*axes))
    return TilePlan(plan.height, plan.width, plan.side, (step[0], step[1]), plan.margin, tiles)


def _blend(
    image: NDArray[np.float32], function: Function, plan: TilePlan, geometry: Geometry
) -> NDArray[np.float32]:
    """Mean of all tiles that see a pixel, by a Gaussian about each tile's middle.

    Its sigma is an eighth of what a tile keeps, a usual choice for sliding windows.
    """
    kept = [geometry.kept(side) for side in plan.side]
    bells = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in kept]
    weight = np.maximum(np.outer(*bells), 1e-6).astype(np.float32)
    crop = geometry.margin - geometry.lost
    total: NDArray[np.float32] | None = None
    weights = np.zeros((plan.height, plan.width), np.float32)
    for tile in plan.tiles:
        seen = read_tile(image, tile.rows.read, tile.columns.read, *plan.side)[None]
        output = function(seen)[0, :, crop : crop + kept[0], crop : crop + kept[1]]
        rows = slice(tile.rows.start, min(tile.rows.start + kept[0], plan.height))
        columns = slice(tile.columns.start, min(tile.columns.start + kept[1], plan.width))
        size = (rows.stop - rows.start, columns.stop - columns.start)
        if total is None:
            total = np.zeros((len(output), plan.height, plan.width), np.float32)
        part = weight[: size[0], : size[1]]
        total[:, rows, columns] += output[:, : size[0], : size[1]] * part
        weights[rows, columns] += part
    assert total is not None  # a plan has at least one tile
    blended: NDArray[np.float32] = total / weights
    return blended
