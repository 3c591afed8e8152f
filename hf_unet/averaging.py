"""Test-time averaging: the mean of what a function says of an image and of its mirror images.

The paper's result on membranes is "averaged over 7 rotated versions of the input data". The
seven are not named; here they are the eight flips and quarter turns that map the grid of pixels
onto itself, so that nothing is interpolated. This module knows no network, only a callable.
"""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.tiles import Function

SYMMETRIES = tuple(product((False, True), range(4)))
"""(mirrored, quarter turns) of each of the eight."""


def turn(images: NDArray[Any], mirrored: bool, quarters: int) -> NDArray[Any]:
    """Mirror left and right if ``mirrored``, then turn counterclockwise.

    Parameters
    ----------
    images : (..., H, W) array
    mirrored : bool
    quarters : int
        Number of quarter turns.

    Returns
    -------
    (..., H, W) view of ``images``, or (..., W, H) for an odd number of quarters.

    Examples
    --------
    >>> turn(np.array([[1, 2, 3]]), mirrored=True, quarters=1).tolist()
    [[1], [2], [3]]
    """
    return np.rot90(images[..., ::-1] if mirrored else images, quarters, axes=(-2, -1))


def turn_back(images: NDArray[Any], mirrored: bool, quarters: int) -> NDArray[Any]:
    """Undo `turn` of the same arguments.

    Examples
    --------
    >>> turn_back(np.array([[1], [2], [3]]), mirrored=True, quarters=1).tolist()
    [[1, 2, 3]]
    """
    upright = np.rot90(images, -quarters, axes=(-2, -1))
    return upright[..., ::-1] if mirrored else upright


def average_over_symmetries(function: Function) -> Function:
    """Wrap a function of tiles so that it gives the mean over the eight symmetries of each.

    Parameters
    ----------
    function : callable
        (N, C, h, w) float32 -> (N, K, h', w'), which takes from opposite sides alike and accepts
        a tile of w x h pixels where it accepts one of h x w. It is called eight times.

    Returns
    -------
    callable
        (N, C, h, w) float32 -> (N, K, h', w') float32, fit for `hf_unet.tiles.run_tiles`.

    Notes
    -----
    Overlap-tile stays exact. The sides that a U-Net accepts all leave the same remainder when
    divided by its grid, so the pooling windows of a turned tile, which begin at its other end,
    lie on the same pixels of the image whichever tile it is and however large.

    The mean of a turned image is the turned mean, to float rounding, where the image and its
    margins are of a size that the network accepts. Elsewhere a plan reads a few pixels more
    below and to the right, and in a turned image those are others.

    Examples
    --------
    A function that looks at the pixel to the left only, and its mean over all directions:

    >>> left = lambda batch: batch[..., 1:-1, :-2]
    >>> spot = np.zeros((1, 1, 5, 5), np.float32)
    >>> spot[..., 2, 2] = 4
    >>> average_over_symmetries(left)(spot)[0, 0]
    array([[0., 1., 0.],
           [1., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """

    def averaged(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        total: Any = 0
        for symmetry in SYMMETRIES:
            turned = np.ascontiguousarray(turn(batch, *symmetry))  # torch takes no turned views
            # In double precision the order of the eight does not show in the mean.
            total = total + turn_back(function(turned), *symmetry).astype(np.float64)
        mean: NDArray[np.float32] = (total / len(SYMMETRIES)).astype(np.float32)
        return mean

    return averaged
