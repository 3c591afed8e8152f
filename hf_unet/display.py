"""Images to pictures: what a person sees of an image. Never what a network or a file gets."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_unet.colors import PALETTE, rgb
from hf_unet.metrics.confusion import INVENTED, MISSED, MISTAKEN, RIGHT
from hf_unet.metrics.matching import ObjectMatches
from hf_unet.metrics.warping import WarpingMark
from hf_unet.tiles import TilePlan, tile_outlines

Color = tuple[int, int, int]

WINDOW = (0.5, 99.8)
"""Percentiles of the intensities that are shown as black and as white."""


def window_of(image: NDArray[Any]) -> tuple[float, float]:
    """The intensities to show as black and as white, for a (C, H, W) image.

    An 8-bit image that already uses most of its range is shown as it is.
    """
    low, high = percentiles_of(image)
    if image.dtype == np.uint8 and (len(image) == 3 or high - low > 127 or high == low):
        return 0.0, 255.0
    return low, high


def percentiles_of(image: NDArray[Any]) -> tuple[float, float]:
    """The intensities at the percentiles of `WINDOW` of a (C, H, W) image; of a large one thinned.

    Examples
    --------
    >>> percentiles_of(np.arange(1001.0).reshape(1, 7, 143))
    (5.0, 998.0)
    """
    thinned = image[:, :: max(1, image.shape[1] // 1024), :: max(1, image.shape[2] // 1024)]
    # In float64, since the difference of two float32 values may be infinite in their own type.
    low, high = np.percentile(thinned.astype(np.float64), WINDOW)
    return float(low), float(high)


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


def fitted(picture: NDArray[np.uint8], side: int) -> Image.Image:
    """Shrink a picture, so that every pixel counts, or enlarge it, each pixel seen as a square.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
    side : int
        Pixels that the longer side takes at most; it is enlarged by a whole factor.

    Examples
    --------
    >>> fitted(np.zeros((20, 10, 3), np.uint8), 50).size
    (20, 40)
    """
    image = Image.fromarray(picture)
    longest = max(image.size)
    if longest > side:
        width, height = (max(1, length * side // longest) for length in image.size)
        return image.resize((width, height), Image.Resampling.BOX)
    times = side // longest
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


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


def inner_edges(instances: NDArray[Any]) -> NDArray[np.bool_]:
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


CONFUSION_COLORS: dict[int, tuple[str, Color]] = {
    RIGHT: ("right", (200, 200, 200)),
    MISSED: ("missed", rgb(PALETTE[6])),
    INVENTED: ("invented", rgb(PALETTE[5])),
    MISTAKEN: ("one class for another", rgb(PALETTE[4])),
}
"""Names and colours of a confusion map's values: the palette's last, which few classes reach."""


def draw_confusion(
    picture: NDArray[np.uint8], confusion: NDArray[np.uint8], opacity: float = 1.0
) -> NDArray[np.uint8]:
    """Colour a picture by where a mask is right, what it misses and what it invents.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
    confusion : (H, W) uint8 array
        A map of `hf_unet.metrics.confusion_map`, or a plane of ``class_confusion`` for one class.
    opacity : float
        0 .. 1.

    Returns
    -------
    A copy, in the colours of `CONFUSION_COLORS`.
    """
    marked = [(confusion == value, color) for value, (_, color) in CONFUSION_COLORS.items()]
    return draw_classes(picture, marked, None, opacity)


MATCH_COLORS: dict[str, Color] = {
    "matched": (255, 255, 255),
    "missed": rgb(PALETTE[1]),  # as a thin line, a darker blue is lost on a dark image
    "invented": CONFUSION_COLORS[INVENTED][1],
    "split": rgb(PALETTE[4]),
    "merged": rgb(PALETTE[3]),
}
"""Names and colours of the outlines of `draw_matches`."""


def draw_matches(
    picture: NDArray[np.uint8],
    truth: NDArray[Any],
    prediction: NDArray[Any],
    matches: ObjectMatches,
) -> NDArray[np.uint8]:
    """Outline each object by what became of it.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
    truth, prediction : (H, W) integer arrays
        Instance ids, 0 is background.
    matches : ObjectMatches
        Of these two, as `hf_unet.metrics.match_objects` gives it.

    Returns
    -------
    A copy with the outlines of predicted objects (matched, invented, merged) and of true ones
    (missed, split), in the colours of `MATCH_COLORS`; a later one of these covers an earlier.
    """
    drawn = picture.copy()
    for name, labels, ids in (
        ("matched", prediction, matches.pairs[:, 1]),
        ("missed", truth, matches.missed),
        ("invented", prediction, matches.invented),
        ("split", truth, matches.split),
        ("merged", prediction, matches.merged),
    ):
        chosen = np.where(np.isin(labels, ids), labels, 0)
        drawn[inner_edges(chosen)] = MATCH_COLORS[name]
    return drawn


MARK_COLORS: dict[str, Color] = {
    "split": rgb(PALETTE[4]),
    "merge": rgb(PALETTE[5]),
    "object addition": rgb(PALETTE[0]),
    "object deletion": rgb(PALETTE[6]),
    "hole addition": rgb(PALETTE[3]),
    "hole deletion": rgb(PALETTE[2]),
}
"""Colours of the rings of `draw_marks`, by the kind of the error."""

SMALLEST_RING = 7
"""Pixels from the centre of a mark to its ring."""


def draw_marks(
    picture: NDArray[np.uint8], marks: Sequence[WarpingMark], factor: int = 1
) -> NDArray[np.uint8]:
    """Draw a ring around each topological error: splits, merges, objects and holes.

    Parameters
    ----------
    picture : (H, W, 3) uint8 array
        The image, thinned by ``factor``.
    marks : sequence of WarpingMark
        ``warping_errors(...).marks``, in pixels of the image.
    factor : int
        Pixels of the image for one of the picture.

    Returns
    -------
    A copy, the rings in the colours of `MARK_COLORS`, the largest errors on top.
    """
    drawn = np.ascontiguousarray(picture).copy()
    thick = max(2, max(drawn.shape[:2]) // 512)
    for mark in reversed(marks):
        centre = (round(mark.column / factor), round(mark.row / factor))
        radius = round(mark.radius / factor) + SMALLEST_RING
        cv2.circle(drawn, centre, radius, MARK_COLORS[mark.kind], thick)
    return drawn
