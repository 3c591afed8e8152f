"""The overlap-tile lab: the paper's figure 2 on the image at hand, and what a pixel depends on."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hf_unet.colors import hex_color
from hf_unet.demo.scenes import Layer, Scene, image_layer
from hf_unet.demo.segmenting import image_of
from hf_unet.demo.shown import Shown
from hf_unet.display import BLUE, YELLOW
from hf_unet.network import SegmentationNetwork
from hf_unet.seams import Stitching
from hf_unet.tiles import Tile, TilePlan, mirror_indices, read_tile

LARGEST_SIDE = 4096
"""Of the mirrored image; a larger one is thinned, since it only shows where tiles lie."""

ORANGE = (230, 97, 0)

RING = 4
"""Pixels around one that changed its class."""


@dataclass(frozen=True)
class Sight:
    """A pixel of the image and the rectangle that its class can depend on.

    Attributes
    ----------
    x, y : int
    top, left, bottom, right : int
        In pixels of the image, which the rectangle may leave: it is mirrored there.
    """

    x: int
    y: int
    top: int
    left: int
    bottom: int
    right: int


def sight(network: SegmentationNetwork, x: int, y: int) -> Sight:
    """What a pixel can depend on, apart from how the whole image is scaled."""
    geometry = network.geometry
    if network.test_time_averaging:
        # Flips and turns of a tile move its grid: wherever the pixel then lies in a block.
        reach = geometry.margin + geometry.grid - 1
        return Sight(x, y, y - reach, x - reach, y + reach + 1, x + reach + 1)
    (top, bottom), (left, right) = geometry.context(y), geometry.context(x)
    return Sight(x, y, top, left, bottom, right)


def tile_scene(shown: Shown, plan: TilePlan, clicked: Sight | None = None) -> Scene:
    """The mirrored image, what each tile decides, and the tile that decides a pixel.

    Parameters
    ----------
    shown : Shown
    plan : TilePlan
        Of the image, with the network's margin.
    clicked : Sight, optional
        A pixel and what it sees. None: the tile is that of the first pixel.
    """
    factor = thinning(plan)
    tile = tile_at(plan, clicked.x, clicked.y) if clicked else plan.tiles[0]
    boxes = [
        _box(t.rows.start, t.columns.start, t.rows.stop, t.columns.stop, YELLOW, plan)
        for t in plan.tiles
    ]
    top, left = tile.rows.read, tile.columns.read
    boxes.append(_box(top, left, top + plan.side[0], left + plan.side[1], BLUE, plan, 3))
    boxes.append(
        _box(
            tile.rows.start, tile.columns.start, tile.rows.stop, tile.columns.stop, YELLOW, plan, 4
        )
    )
    if clicked:
        boxes.append(
            _box(clicked.top, clicked.left, clicked.bottom, clicked.right, ORANGE, plan, 2)
        )
    legend = [
        {"label": "what a tile decides (clicked one: bold)", "color": hex_color(YELLOW)},
        {"label": "what the network is shown for it", "color": hex_color(BLUE)},
        {"label": "what the clicked pixel can depend on", "color": hex_color(ORANGE)},
    ]
    return Scene(
        (_mirrored(shown),),
        "mirrored " + image_of(shown),
        {
            "boxes": boxes,
            "clicks": True,
            "legend": legend,
            "origin": {"x": plan.margin, "y": plan.margin},
            "thinned": factor,
            "look": "tiles",
        },
    )


def _mirrored(shown: Shown) -> Layer:
    before = shown.scenes.get("tiles")
    if before is not None:
        return before.layers[0]
    plan, image, factor = shown.result.plan, shown.result.image, thinning(shown.result.plan)
    rows = mirror_indices(-plan.margin, plan.height + 2 * plan.margin, plan.height)[::factor]
    columns = mirror_indices(-plan.margin, plan.width + 2 * plan.margin, plan.width)[::factor]
    return image_layer(np.asarray(image)[:3, rows[:, None], columns])


def thinning(plan: TilePlan) -> int:
    """Pixels of the mirrored image for one of the picture."""
    return -(-(max(plan.height, plan.width) + 2 * plan.margin) // LARGEST_SIDE)


def pixel_of(plan: TilePlan, x: int, y: int) -> tuple[int, int]:
    """The image pixel clicked in the mirrored picture; of a click in the margin the nearest."""
    factor = thinning(plan)
    return (
        min(max(x * factor - plan.margin, 0), plan.width - 1),
        min(max(y * factor - plan.margin, 0), plan.height - 1),
    )


def tile_at(plan: TilePlan, x: int, y: int) -> Tile:
    """The tile that decides a pixel."""
    return next(
        tile
        for tile in plan.tiles
        if tile.rows.start <= y < tile.rows.stop and tile.columns.start <= x < tile.columns.stop
    )


def seen_scene(shown: Shown, clicked: Sight) -> Scene:
    """What a pixel can depend on, mirrored where the image ends."""
    x, y, image = clicked.x, clicked.y, shown.result.image
    rows, columns = clicked.bottom - clicked.top, clicked.right - clicked.left
    seen = read_tile(np.asarray(image)[:3], clicked.top, clicked.left, rows, columns)
    layer = image_layer(seen.astype(image.dtype) if image.dtype.itemsize <= 2 else seen)
    height, width = image.shape[1:]
    # Where pixel (0, 0) of the image lies in the picture, perhaps outside it.
    top, left = -clicked.top, -clicked.left
    boxes = [
        {
            "top": top + y,
            "left": left + x,
            "bottom": top + y + 1,
            "right": left + x + 1,
            "color": hex_color(ORANGE),
            "width": 2,
        }
    ]
    outside = top > 0 or left > 0 or top + height < rows or left + width < columns
    if outside:
        boxes.append(
            {
                "top": max(top, 0),
                "left": max(left, 0),
                "bottom": min(top + height, rows),
                "right": min(left + width, columns),
                "color": hex_color(YELLOW),
            }
        )
    settings = {
        "boxes": boxes,
        "origin": {"x": left, "y": top},
        "legend": [
            {"label": f"pixel x {x}, y {y}", "color": hex_color(ORANGE)},
            {"label": "edge of the image; beyond it, mirrored", "color": hex_color(YELLOW)},
        ],
        "look": "seen",
    }
    return Scene((layer,), f"seen {x} {y} " + image_of(shown), settings)


def tile_words(plan: TilePlan, x: int, y: int) -> str:
    """The clicked pixel's tile, in numbers."""
    tile = tile_at(plan, x, y)
    number = plan.tiles.index(tile) + 1
    return (
        f"Pixel x {x}, y {y} is decided by tile **{number} of {len(plan.tiles)}**, which decides "
        f"rows {tile.rows.start} to {tile.rows.stop - 1} and columns {tile.columns.start} to "
        f"{tile.columns.stop - 1}, and is shown {plan.side[1]} x {plan.side[0]} pixels. Tiles lie "
        f"{plan.step[1]} x {plan.step[0]} pixels apart, a multiple of the network's pooling grid."
    )


def _box(
    top: int,
    left: int,
    bottom: int,
    right: int,
    color: tuple[int, int, int],
    plan: TilePlan,
    width: float = 1.5,
) -> dict[str, object]:
    margin, factor = plan.margin, thinning(plan)
    edges = {"top": top, "left": left, "bottom": bottom, "right": right}
    return {name: (edge + margin) / factor for name, edge in edges.items()} | {
        "color": hex_color(color),
        "width": width,
    }


def seam_scene(shown: Shown, ways: tuple[Stitching, ...]) -> Scene:
    """The image, and for each way of stitching the pixels whose class it changed.

    Around each lies a ring, as a single pixel of a whole image cannot be seen.
    """
    height, width = ways[0].changed.shape
    layers = [image_layer(np.asarray(shown.result.image)[:, :height, :width])]
    panes = []
    for number, way in enumerate(ways):
        settings = {
            "names": ["", "another class", "near one"],
            "colors": ["#000000", hex_color(ORANGE), hex_color(YELLOW)],
            "first": 1,
        }
        key = f"way{number}"
        near = ndimage.binary_dilation(way.changed, iterations=RING)
        drawn = np.where(way.changed, 1, np.where(near, 2, 0)).astype(np.uint8)
        layers.append(Layer(key, "indices", way.name, drawn[None], settings))
        panes.append(["image", key])
    return Scene(tuple(layers), "seams " + image_of(shown), {"panes": panes, "look": "seams"})


def seam_table(ways: tuple[Stitching, ...]) -> list[list[str]]:
    """A row for each way: tiles, step, largest difference, pixels that changed their class."""
    return [
        [
            way.name,
            str(way.tiles),
            " x ".join(str(step) for step in reversed(way.step)),
            f"{way.largest_difference:.2g}",
            f"{int(way.changed.sum()):,} ({way.changed.mean():.2%})",
        ]
        for way in ways
    ]
