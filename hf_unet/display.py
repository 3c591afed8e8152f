"""Images to pictures: what a person sees of an image. Never what a network or a file gets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.tiles import TilePlan, tile_outlines

WINDOW = (0.5, 99.8)
"""Percentiles of the intensities that are shown as black and as white."""


def window_of(image: NDArray[Any]) -> tuple[float, float]:
    """The intensities to show as black and as white, for a (C, H, W) image.

    An 8-bit image that already uses most of its range is shown as it is.
    """
    thinned = image[:, :: max(1, image.shape[1] // 1024), :: max(1, image.shape[2] // 1024)]
    low, high = (float(value) for value in np.percentile(thinned, WINDOW))
    if image.dtype == np.uint8 and (len(image) == 3 or high - low > 127 or high == low):
        return 0.0, 255.0
    return low, high


def displayed(image: NDArray[Any], window: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """(C, H, W) image of any dtype -> (H, W, 3) uint8 picture.

    One channel is shown grey, two green and magenta; of more than three the first three.

    Examples
    --------
    >>> displayed(np.array([[[0, 500, 1000]]], np.uint16), window=(0, 1000))[0, :, 0].tolist()
    [0, 128, 255]
    """
    order = {1: (0, 0, 0), 2: (1, 0, 1)}.get(len(image), (0, 1, 2))
    # In float32, as a picture needs, unless it would round the samples.
    exact = image.dtype.itemsize > 2 and image.dtype != np.float32
    channels: NDArray[Any] = np.asarray(
        image[: max(order) + 1], np.float64 if exact else np.float32
    )
    low, high = window_of(image[: max(order) + 1]) if window is None else window
    scale = 255 / (high - low) if high > low else 0.0
    shades = np.clip((channels - low) * scale, 0, 255).round()
    return np.ascontiguousarray(np.stack([shades.astype(np.uint8)[i] for i in order], axis=-1))


def draw_classes(
    canvas: NDArray[np.uint8],
    planes: Sequence[tuple[NDArray[np.bool_], tuple[int, int, int]]],
    instances: NDArray[np.int32] | None,
    opacity: float,
) -> NDArray[np.uint8]:
    """Blend class planes over an (H, W, 3) picture, and outline the instances."""
    drawn = canvas.astype(np.float32)
    edges = None if instances is None else inner_edges(instances)
    for plane, color in planes:
        drawn[plane] = (1 - opacity) * drawn[plane] + opacity * np.asarray(color, np.float32)
        if edges is not None:
            drawn[plane & edges] = color
    return drawn.round().astype(np.uint8)


def inner_edges(instances: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels of an instance that have a 4-neighbour outside it.

    Examples
    --------
    >>> inner_edges(np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]], np.int32)).astype(int)
    array([[0, 0, 0],
           [0, 0, 0],
           [1, 1, 1],
           [0, 0, 0]])
    """
    edges = np.zeros(instances.shape, np.bool_)
    across, down = instances[:, 1:] != instances[:, :-1], instances[1:] != instances[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges & (instances > 0)


BLUE, YELLOW = (51, 153, 255), (255, 221, 51)


def draw_tiles(picture: NDArray[np.uint8], plan: TilePlan, factor: int = 1) -> NDArray[np.uint8]:
    """Draw the paper's figure 2 on a picture of the mirrored image.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
        The image with ``plan.margin`` pixels around it, thinned by ``factor``.
    plan : TilePlan
    factor : int
        Pixels of the image for one of the picture.

    Returns
    -------
    A copy, what each tile decides in yellow, and what the first tile sees in blue.
    """
    drawn = picture.copy()
    for decided in tile_outlines(plan):
        _draw_box(drawn, decided, plan.margin, factor, YELLOW)
    first = plan.tiles[0]
    top, left = first.rows.read, first.columns.read
    seen = (top, left, top + plan.side[0], left + plan.side[1])
    _draw_box(drawn, seen, plan.margin, factor, BLUE)
    return drawn


def _draw_box(
    picture: NDArray[np.uint8],
    box: tuple[int, int, int, int],
    margin: int,
    factor: int,
    color: tuple[int, int, int],
) -> None:
    height, width = picture.shape[:2]
    thick = max(1, max(height, width) // 350)
    top, left, bottom, right = ((edge + margin) // factor for edge in box)
    bottom, right = min(bottom, height), min(right, width)
    for rows, columns in (
        (slice(top, top + thick), slice(left, right)),
        (slice(max(top, bottom - thick), bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + thick)),
        (slice(top, bottom), slice(max(left, right - thick), right)),
    ):
        picture[rows, columns] = color
