"""What segments images: any size in tiles, by whatever says the probabilities of a batch of them.

It knows no torch. What runs the network, PyTorch or another runtime, is a subclass's affair.
"""

import operator
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.arguments import (
    class_names,
    color_texts,
    one_of,
    pixels,
    probabilities,
    probability,
    true_or_false,
    whole,
)
from hf_unet.averaging import average_over_symmetries
from hf_unet.calibration import checked_calibration
from hf_unet.colors import default_colors
from hf_unet.errors import ImageError, ModelError
from hf_unet.geometry import Geometry
from hf_unet.images import NORMALIZATIONS, ScienceImage, match_channels, normalize, read_image
from hf_unet.masks import decide, names_of_mask
from hf_unet.provenance import Origin, Provenance
from hf_unet.segmentation import Segmentation
from hf_unet.tiles import Progress, TilePlan, balanced_side, plan_tiles, run_tiles

LARGEST_CPU_TILE = 768
"""Beyond this side, in blocks that the network sees as one pixel, a CPU slows down: activations
leave its caches."""

LARGEST_GPU_TILE = 2048
"""Likewise in blocks."""

MARGINS_IN_TILE = 4
"""Margins that a tile may measure where memory allows: half of its side is then output. A network
of depth 6 has a margin of 380 pixels, and decides next to none of 768."""

CPU_MEMORY = 4 * 2**30
"""Bytes that may be taken for granted on a CPU."""

LARGEST_DEPTH = 1000
"""Of seeds, in pixels: no object is as deep."""


class Segmenter:
    """Base of what segments images.

    It takes the arguments that all networks share, and keeps each in an attribute of the same
    name. A subclass defines what is abstract here. See `hf_unet.UNet` for what the arguments
    mean.
    """

    runtime = "torch"
    """What runs the network: one of `hf_unet.provenance.RUNTIMES`."""

    def __init__(
        self,
        *,
        in_channels: int,
        classes: Sequence[str],
        multilabel: bool,
        normalization: str,
        thresholds: Sequence[float] | None,
        colors: Sequence[str] | None,
        min_area: int,
        border: bool,
        seed_threshold: float | None,
        seed_depth: float,
        seed_area: int,
        test_time_averaging: bool,
        calibration: Sequence[Sequence[float] | None] | None,
    ) -> None:
        self.in_channels = whole("in_channels", in_channels, at_least=1, at_most=4096)
        self.classes = class_names(classes)
        self.multilabel = true_or_false("multilabel", multilabel)
        self.normalization = one_of("normalization", normalization, NORMALIZATIONS)
        self.min_area = whole("min_area", min_area, at_least=0)
        self.border = true_or_false("border", border)
        if border and (multilabel or len(classes) != 3):
            raise ModelError(
                "A network with border has three classes that exclude each other: background, "
                "object and the border of objects."
            )
        self.seed_threshold = (
            None if seed_threshold is None else probability("seed_threshold", seed_threshold)
        )
        self.seed_depth = pixels("seed_depth", seed_depth, LARGEST_DEPTH)
        self.seed_area = whole("seed_area", seed_area, at_least=0)
        self.test_time_averaging = true_or_false("test_time_averaging", test_time_averaging)
        if thresholds is not None and not multilabel and len(self.mask_classes) > 2:
            raise ModelError("thresholds suit networks of one or two classes, or multi-label ones.")
        count = len(self.classes) if multilabel else 1
        self.thresholds = None if thresholds is None else probabilities(thresholds, count)
        self.colors = None if colors is None else color_texts(colors, len(self.mask_classes))
        self.calibration = checked_calibration(calibration, len(self.mask_classes))

    # --- what a subclass says ------------------------------------------------------------------

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """Margin, grid and accepted sizes."""

    @property
    @abstractmethod
    def activation_bytes_per_pixel(self) -> int:
        """Memory that inference takes for each pixel of input, a safe estimate."""

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What ``config.json`` holds."""

    @property
    @abstractmethod
    def origin(self) -> Origin | None:
        """Where the weights were loaded from; None if that is not known."""

    @property
    @abstractmethod
    def device_type(self) -> str:
        """What it runs on: "cpu", "cuda" or "mps"."""

    @abstractmethod
    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch of scaled tiles.

        Parameters
        ----------
        batch : (N, in_channels, h, w) float32 array
            With sides that `geometry` accepts.

        Returns
        -------
        (N, len(classes), h', w') float32 array, 0 .. 1: a softmax over the classes, or a
        sigmoid each if ``multilabel`` or if there is only one.
        """

    # --- what follows of it --------------------------------------------------------------------

    @property
    def margin(self) -> int:
        """Context lost on each side, in pixels: 92 for the paper's network."""
        return self.geometry.margin

    def output_size(self, side: int) -> int:
        """Side of the output for an input of ``side`` pixels; `ModelError` if that does not fit."""
        return self.geometry.output_size(side)

    def input_size(self, output: int) -> int:
        """Smallest side of an input whose output holds ``output`` pixels, each with its margin."""
        return self.geometry.input_size(output)

    @property
    def mask_classes(self) -> tuple[str, ...]:
        """Names of the values of a mask, or of its planes: see `names_of_mask`."""
        return names_of_mask(self.classes, multilabel=self.multilabel, border=self.border)

    @property
    def class_colors(self) -> tuple[str, ...]:
        """Colours of `mask_classes`, as "#rrggbb"."""
        count = len(self.mask_classes)
        return self.colors or default_colors(count, with_background=not self.multilabel)

    def provenance(self, test_time_averaging: bool | None = None) -> Provenance:
        """What makes a result of this network again, on the same image in the same tiles."""
        settings = {
            name: value
            for name, value in self.config.items()
            if name not in ("model_class", "hf_unet_version")
        }
        if test_time_averaging is not None:
            settings["test_time_averaging"] = test_time_averaging
        return Provenance(self.origin, settings, self.device_type, self.runtime)

    # --- images to masks -----------------------------------------------------------------------

    def segment(
        self,
        image: object,
        tile: int | tuple[int, int] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        *,
        page: int = 0,
        test_time_averaging: bool | None = None,
    ) -> Segmentation:
        """Segment an image of any size by overlap-tile.

        The result is that of the whole mirrored image in one pass, to float rounding, whatever
        the tile.

        Parameters
        ----------
        image : path, bytes, PIL image, array or tensor
            Anything that `hf_unet.read_image` reads.
        tile : int or (int, int), optional
            Wanted side of the input tile in pixels, or its height and width; the largest
            workable side of at most that is used, and at least the smallest workable one. A
            tile larger than the image means one tile. None: chosen by the device's memory.
        batch_size : int, optional
            Tiles at a time. None: chosen by the device's memory.
        progress : callable, optional
            ``progress(done, total)`` after each batch of tiles.
        page : int
            Page of a multi-page file, from 0.
        test_time_averaging : bool, optional
            Average the probabilities over the eight flips and quarter turns of each tile, at
            eight times the cost. None: what the config says.

        Returns
        -------
        Segmentation

        Raises
        ------
        ImageError
            If the image cannot be read or does not suit the network.
        ModelError
            If ``test_time_averaging`` is neither true nor false.
        """
        source = image if isinstance(image, ScienceImage) else read_image(image, page=page)
        scaled = normalize(match_channels(source, self.in_channels), self.normalization)
        plan = self.plan(scaled.shape[1], scaled.shape[2], tile)
        if batch_size is None:
            batch_size = self._default_batch_size(plan)
        else:
            batch_size = _positive("batch_size is a whole number of tiles", batch_size)
        averaging = self.test_time_averaging
        if test_time_averaging is not None:
            averaging = true_or_false("test_time_averaging", test_time_averaging)
        function = average_over_symmetries(self.predict) if averaging else self.predict
        found = run_tiles(scaled, function, plan, batch_size=batch_size, progress=progress)
        result = self.interpret(found, source, plan, self.provenance(averaging))
        if averaging != self.test_time_averaging:  # what was calibrated are other probabilities
            result = replace(result, calibration=None)
        return result

    def interpret(
        self,
        probabilities: NDArray[np.float32],
        image: ScienceImage,
        plan: TilePlan,
        provenance: Provenance | None = None,
    ) -> Segmentation:
        """Make a result of what `predict` says of a whole image.

        Parameters
        ----------
        probabilities : (K, H, W) float32 array
            Of ``classes``. Where the last is the border, it is added to the object that it
            belongs to, and what is inside alone tells objects apart.
        image : (C, H, W) ScienceImage
        plan : TilePlan
        provenance : Provenance, optional
            What the probabilities come from.
        """
        evidence = None
        if self.border:
            evidence = probabilities[1]
            probabilities = np.stack([probabilities[0], probabilities[1] + probabilities[2]])
        return Segmentation(
            mask=decide(probabilities, multilabel=self.multilabel, thresholds=self.thresholds),
            probabilities=probabilities,
            classes=self.mask_classes,
            colors=self.class_colors,
            multilabel=self.multilabel,
            min_area=self.min_area,
            image=image,
            plan=plan,
            evidence=evidence,
            seed_threshold=self.seed_threshold,
            seed_depth=self.seed_depth,
            seed_area=self.seed_area,
            calibration=self.calibration,
            provenance=provenance,
        )

    def plan(self, height: int, width: int, tile: int | tuple[int, int] | None = None) -> TilePlan:
        """Where the tiles lie on an image of this size; `segment` says what ``tile`` means."""
        if tile is None:
            largest = self._largest_tile()
            sides = (
                balanced_side(height, self.geometry, largest),
                balanced_side(width, self.geometry, largest),
            )
            return plan_tiles(height, width, self.geometry, sides)
        if isinstance(tile, tuple) and len(tile) == 2:
            rows, columns = (_positive("tile is of sides in whole pixels", side) for side in tile)
            return plan_tiles(height, width, self.geometry, (rows, columns))
        side = _positive("tile is a side in whole pixels", tile)
        return plan_tiles(height, width, self.geometry, side)

    def _check_input(self, images: Any) -> None:
        """Raise `ModelError` if an array or tensor is no batch that the network takes."""
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ModelError(
                f"The network takes a batch of shape (N, {self.in_channels}, H, W), "
                f"not {tuple(images.shape)}."
            )
        for side in images.shape[-2:]:
            self.output_size(side)

    def _free_pixels(self) -> int:
        """Pixels of input that free memory holds, at half of it."""
        return max(1, CPU_MEMORY // 2 // self.activation_bytes_per_pixel)

    def _largest_tile(self) -> int:
        ceiling = LARGEST_CPU_TILE if self.device_type == "cpu" else LARGEST_GPU_TILE
        ceiling = max(ceiling * self.geometry.block, MARGINS_IN_TILE * self.margin)
        return min(ceiling, int(self._free_pixels() ** 0.5))

    def _default_batch_size(self, plan: TilePlan) -> int:
        if self.device_type == "cpu":
            return 1  # more at a time gains nothing there
        return min(16, max(1, self._free_pixels() // (plan.side[0] * plan.side[1])))


def _positive(what: str, value: Any) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ImageError(f"{what}, at least 1, not {value!r}.")
    return number
