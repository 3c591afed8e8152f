"""Does the tile matter? An image segmented in tiles against the same image in one piece."""

from dataclasses import dataclass

import numpy as np

from hf_unet.images import ScienceImage
from hf_unet.network import SegmentationNetwork


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
    cut = image[:, :largest, :largest]
    if tile is None:
        tile = model.input_size(min(192, max(1, max(cut.shape[1:]) // 2)))
    tiled, whole = model.segment(cut, tile=tile), model.segment(cut, tile=model.input_size(largest))
    changed = tiled.mask != whole.mask
    return SeamTest(
        height=cut.shape[1],
        width=cut.shape[2],
        tiles=len(tiled.plan.tiles),
        side=tiled.plan.side,
        largest_difference=float(np.abs(tiled.probabilities - whole.probabilities).max()),
        changed_pixels=int(changed.any(axis=0).sum() if tiled.multilabel else changed.sum()),
    )
