"""A GPU that is lent for seconds (ZeroGPU of Hugging Face Spaces), and none needed elsewhere.

There a function that is marked runs in another process, in which a GPU is present; what goes in
and what comes out is pickled. The seconds asked for are taken from the visitor's quota in advance,
so they follow the work. Anywhere else the mark changes nothing, and ``spaces`` is not imported.
"""

import math
import os
from collections.abc import Callable
from importlib import import_module
from typing import ParamSpec, TypeVar

from hf_unet.images import ScienceImage
from hf_unet.network import SegmentationNetwork
from hf_unet.segmentation import Segmentation
from hf_unet.tiles import Progress, TilePlan

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

SECONDS_TO_START = 10.0
"""For a process with a GPU to be ready, and its network to be copied there."""

SECONDS_PER_GIGAPIXEL = 180.0
"""For a network as wide as the paper's: 0.92 million operations a pixel, at 5 million million a
second. Reckoned, not measured: a sixth of the peak of the share of an H200 that is lent."""

WIDTH_OF_THE_PAPER = 2048
"""Bytes of activations per pixel of the paper's network: 8 x 64 channels of 4 bytes."""

LONGEST = 120
"""Seconds; ZeroGPU refuses what is longer than a visitor's quota of the day."""


def on_zero_gpu() -> bool:
    """Whether this is a Space that lends GPUs, by the variable that Spaces set there."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def lends_gpu(
    duration: Callable[Parameters, int],
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Mark a function that needs a GPU: ``spaces.GPU`` on ZeroGPU, elsewhere nothing.

    Parameters
    ----------
    duration : callable
        Seconds to ask for, given the arguments that the function is called with.

    Examples
    --------
    >>> @lends_gpu(duration=lambda image: 30)
    ... def work(image: str) -> str:
    ...     return image.upper()
    >>> work("cell")
    'CELL'
    """

    def mark(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        if not on_zero_gpu():
            return function
        # There only, and before CUDA is touched. Elsewhere the name is that of a folder of ours.
        spaces = import_module("spaces")
        marked: Callable[Parameters, Result] = spaces.GPU(duration=duration)(function)
        return marked

    return mark


def gpu_seconds(plan: TilePlan, activation_bytes_per_pixel: int, passes: int = 1) -> int:
    """Seconds to ask a GPU for, from the number of tiles and what each of them costs.

    Parameters
    ----------
    plan : TilePlan
        Of the whole image.
    activation_bytes_per_pixel : int
        Of the network: a measure of its width, on whose square the work depends.
    passes : int
        Times that each tile goes through the network: 8 with test-time averaging.

    Returns
    -------
    int
        At least 10, at most 120.

    Examples
    --------
    >>> from hf_unet import UNet
    >>> network = UNet(base_channels=8)
    >>> gpu_seconds(network.plan(512, 512), network.activation_bytes_per_pixel)
    11
    """
    pixels = len(plan.tiles) * plan.side[0] * plan.side[1] * passes
    width = activation_bytes_per_pixel / WIDTH_OF_THE_PAPER
    seconds = SECONDS_TO_START + pixels / 1e9 * SECONDS_PER_GIGAPIXEL * max(width, width**2)
    return min(LONGEST, math.ceil(seconds))


def seconds_to_segment(
    network: SegmentationNetwork,
    image: ScienceImage,
    tile: int | None = None,
    test_time_averaging: bool | None = None,
    progress: Progress | None = None,
) -> int:
    """Seconds to ask for, for `segment_on_gpu` with the same arguments."""
    averaging = network.test_time_averaging if test_time_averaging is None else test_time_averaging
    plan = network.plan(image.shape[1], image.shape[2], tile)
    return gpu_seconds(plan, network.activation_bytes_per_pixel, passes=8 if averaging else 1)


@lends_gpu(duration=seconds_to_segment)
def segment_on_gpu(
    network: SegmentationNetwork,
    image: ScienceImage,
    tile: int | None = None,
    test_time_averaging: bool | None = None,
    progress: Progress | None = None,
) -> Segmentation:
    """Segment an image with whatever is there: a GPU that is lent, or the network's own device.

    Parameters
    ----------
    network : SegmentationNetwork
    image : (C, H, W) ScienceImage
        As `hf_unet.read_image` gives it.
    tile, test_time_averaging
        As ``network.segment`` takes them.
    progress : callable, optional
        ``progress(done, total)`` after each batch of tiles. On ZeroGPU it is pickled: an object
        of a class at module level, no lambda.

    Returns
    -------
    Segmentation

    Raises
    ------
    ImageError
        If the image does not suit the network.
    """
    if on_zero_gpu():
        network = network.to("cuda")  # this process's own copy
    return network.segment(
        image, tile=tile, test_time_averaging=test_time_averaging, progress=progress
    )
