"""The result of segmenting one image: its mask, its instances, its overlay, its files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_unet import exports
from hf_unet.calibration import Calibration, expected_dice, log_odds_counts
from hf_unet.colors import rgb
from hf_unet.exports.files import write_whole
from hf_unet.images import ScienceImage
from hf_unet.provenance import FORMAT, RESULT, Provenance, array_sha256, as_json
from hf_unet.tiles import TilePlan

if TYPE_CHECKING:
    from hf_unet.instances import LabelledObjects


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a network found in one image.

    Attributes
    ----------
    mask : (H, W) uint8 array of class indices; multi-label: (K, H, W) bool array
    probabilities : (K, H, W) float32 array, 0 .. 1
    classes : tuple of str
        Names of the values of ``mask``, or of its planes.
    colors : tuple of str
        Their colours, as "#rrggbb".
    multilabel : bool
        Whether classes may overlap.
    min_area : int
        Instances of fewer pixels were left out.
    image : (C, H, W) ScienceImage
        The image as it was read.
    plan : TilePlan
        Where the tiles lay.
    evidence : (H, W) float32 array or None
        Of a network with a border class: the probability to be inside an object.
    seed_threshold : float or None
        Evidence, or else probability of the class, from which on a pixel is a seed that an
        object grows from. None: objects are the connected pieces of the mask.
    seed_depth : float
        Pixels by which a seed lies deeper inside than the way to a deeper one; 0: any.
    seed_area : int
        Seeds of fewer pixels were left out.
    calibration : tuple of K (slope, intercept), or None
        Of the network's probabilities, see `hf_unet.calibration`; None for a class without.
    provenance : Provenance or None
        The network and settings that made the probabilities. None: not known, so that the
        result cannot be made again from its result.json.
    """

    mask: NDArray[Any]
    probabilities: NDArray[np.float32]
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    multilabel: bool
    min_area: int
    image: ScienceImage
    plan: TilePlan
    evidence: NDArray[np.float32] | None = None
    seed_threshold: float | None = None
    seed_depth: float = 0.0
    seed_area: int = 0
    calibration: Calibration | None = None
    provenance: Provenance | None = None

    @property
    def instances(self) -> NDArray[np.int32]:
        """(H, W) int32 array: 0 background, 1 .. n the objects.

        They are the connected pieces of a class, or what grows from seeds: see
        `hf_unet.instances.grow_seeds`.

        Where classes overlap, a pixel belongs to the object of its most probable class.
        """
        return self.objects.labels

    @cached_property
    def objects(self) -> LabelledObjects:
        """The instances, with the class of each as an index into ``classes``."""
        first = 0 if self.multilabel or len(self.probabilities) == 1 else 1
        if not self.multilabel:
            return self._objects_of(self.mask, self.probabilities[first:])
        top = np.where(self.mask, self.probabilities, -1).argmax(axis=0) + 1
        found = self._objects_of(np.where(self.mask.any(axis=0), top, 0), self.probabilities)
        return replace(found, class_of=found.class_of - 1)

    @cached_property
    def whole_objects(self) -> LabelledObjects:
        """Every object whole, also where classes overlap: what the files of `save` hold.

        ``labels`` is an (L, H, W) int32 array, no number in two planes. L is 1, and the objects
        are those of `objects`, unless the network is multi-label: then it is K, a plane for
        each class.
        """
        if not self.multilabel:
            return replace(self.objects, labels=self.objects.labels[np.newaxis])
        planes = np.zeros(self.mask.shape, np.int32)
        class_of: list[int] = []
        for index, mask in enumerate(self.mask):
            found = self._objects_of(mask.astype(np.uint8), self.probabilities[index, np.newaxis])
            planes[index] = np.where(found.labels > 0, found.labels + len(class_of), 0)
            class_of += [index] * len(found.class_of)
        return replace(found, labels=planes, class_of=np.array(class_of, np.intp))

    def _objects_of(
        self, mask: NDArray[Any], probabilities: NDArray[np.float32]
    ) -> LabelledObjects:
        """Objects of a class map, seeded by the evidence or the most probable of these classes."""
        # A third of a second that importing hf_unet need not take.
        from hf_unet.instances import grow_seeds, label_objects

        if self.seed_threshold is None:
            return label_objects(mask, self.min_area)
        evidence = self.evidence
        if evidence is None:  # the most probable class
            evidence = probabilities.max(axis=0)
        return grow_seeds(
            mask,
            evidence,
            seed_threshold=self.seed_threshold,
            seed_depth=self.seed_depth,
            seed_area=self.seed_area,
            min_area=self.min_area,
        )

    @property
    def areas(self) -> dict[str, int]:
        """Pixels of each class."""
        planes = [self.class_pixels(index) for index in range(len(self.classes))]
        return {name: int(plane.sum()) for name, plane in zip(self.classes, planes, strict=True)}

    def class_pixels(self, index: int) -> NDArray[np.bool_]:
        """(H, W) bool array: where the class of this index is."""
        plane: NDArray[np.bool_] = self.mask[index] if self.multilabel else self.mask == index
        return plane

    def class_probabilities(self, index: int) -> NDArray[np.float32]:
        """(H, W) float32 array, 0 .. 1: the probability of the class of this index."""
        lone = len(self.probabilities) < len(self.classes)  # a sigmoid, and a background beside
        plane: NDArray[np.float32] = self.probabilities[0 if lone else index]
        return np.float32(1) - plane if lone and index == 0 else plane

    @cached_property
    def expected_dice(self) -> NDArray[np.float64] | None:
        """Dice of each class to expect, without a ground truth: the network's own estimate.

        How well it held on images kept out of training is in the model's card.

        Returns
        -------
        (K,) float64 array, 0 .. 1, or None if the network was not calibrated, or not for the
        averaging that was asked for. NaN for a class that was not found in this image, or that
        has no calibration.
        """
        if self.calibration is None:
            return None
        values = np.full(len(self.classes), np.nan)
        for index, line in enumerate(self.calibration):
            if line is not None:
                counts = log_odds_counts(self.class_probabilities(index), self.class_pixels(index))
                values[index] = expected_dice(counts, line)
        return values

    def overlay(self, opacity: float = 0.35, outlines: bool = True) -> Image.Image:
        """The image with its classes drawn over it.

        Parameters
        ----------
        opacity : float
            0 .. 1, of the fill.
        outlines : bool
            Also draw the outline of each instance.

        Returns
        -------
        RGB image of the size of the input, its intensities stretched for display only.
        """
        from hf_unet.display import displayed, draw_classes  # OpenCV, which only pictures take

        instances = self.instances if outlines else None
        return Image.fromarray(
            draw_classes(displayed(self.image), self._planes(), instances, opacity)
        )

    @property
    def rgb_colors(self) -> dict[str, tuple[int, int, int]]:
        """Red, green and blue, 0 .. 255, of each class."""
        return {name: rgb(color) for name, color in zip(self.classes, self.colors, strict=True)}

    def _planes(self) -> list[tuple[NDArray[np.bool_], tuple[int, int, int]]]:
        first = 0 if self.multilabel else 1
        planes = [(self.class_pixels(i), color) for i, color in enumerate(self.rgb_colors.values())]
        return planes[first:]

    def save(
        self,
        folder: str | Path,
        *,
        figures: Mapping[str, Any] | None = None,
        probabilities: bool = True,
    ) -> Path:
        """Write everything to a folder, which is made if need be.

        An object has the same number in all files. Where classes overlap, every object is there
        whole (`whole_objects`), and files of pixels have a plane for each class.

        =====================  ====================================================================
        ``mask.png``           the class index of each pixel; multi-label: ``mask.tif``, a page for
                               each class
        ``probabilities.tif``  float32, a channel for each class
        ``instances.tif``      the objects' numbers, which ImageJ shows in colours
        ``rle.csv``            the objects as run lengths
        ``coco.json``          the same as COCO has them
        ``objects.geojson``    their outlines with measurements, for QuPath
        ``objects.csv``        their measurements, a line for each
        ``overlay.png``        a picture
        ``result.json``        areas, and what it takes to make the same mask again
        =====================  ====================================================================

        Parameters
        ----------
        folder : str or Path
        figures : mapping, optional
            What else result.json is to hold, for instance Dice against a ground truth: numbers,
            texts, and lists and mappings of them.
        probabilities : bool
            False leaves out ``probabilities.tif``, the largest file by far: four bytes for each
            pixel and class.

        Returns
        -------
        The folder.

        Raises
        ------
        ResultError
            If JSON cannot hold the figures; then nothing is written.
        """
        summary = self.summary(figures)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        found, objects = self.whole_objects, self.classes[0 if self.multilabel else 1 :]
        numbers, names = found.labels, [self.classes[index] for index in found.class_of]
        table = exports.region_table(numbers, self.image, self._own_probability())
        if self.multilabel:
            exports.write_stack_tiff(folder / "mask.tif", self.mask, self.classes)
        else:
            exports.write_mask_png(folder / "mask.png", self.mask)
        if probabilities:
            names_of_planes = self.classes[-len(self.probabilities) :]
            exports.write_probabilities_tiff(
                folder / "probabilities.tif", self.probabilities, names_of_planes
            )
        exports.write_instances_tiff(folder / "instances.tif", numbers, objects)
        exports.write_rle_csv(folder / "rle.csv", numbers, names)
        exports.write_coco(
            folder / "coco.json", numbers, names, objects, self.image.name or "image"
        )
        exports.write_geojson(
            folder / "objects.geojson", numbers, names, self.rgb_colors, measurements=table
        )
        exports.write_objects_csv(folder / "objects.csv", table, names)
        picture = BytesIO()
        # Of pictures with noise, higher levels take twice the time for a larger file.
        self.overlay().save(picture, format="PNG", compress_level=3)
        write_whole(folder / "overlay.png", picture.getvalue())
        text = json.dumps(summary, indent=2, allow_nan=False) + "\n"
        write_whole(folder / RESULT, text.encode())
        return folder

    def _own_probability(self) -> NDArray[np.float32]:
        """(L, H, W): for each plane of `whole_objects`, the probability of its pixels' class."""
        if self.multilabel or len(self.probabilities) == 1:
            return self.probabilities
        return np.take_along_axis(self.probabilities, self.mask[np.newaxis].astype(np.intp), axis=0)

    def summary(self, figures: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What result.json holds: areas, tiles, provenance and figures, fit for JSON.

        Parameters
        ----------
        figures : mapping, optional
            As in `save`.

        Raises
        ------
        ResultError
            If JSON cannot hold the figures.
        """
        from hf_unet import __version__

        provenance = self.provenance
        model = None if provenance is None else provenance.model
        return {
            "format": FORMAT,
            "hf_unet_version": __version__,
            "model": None if model is None else asdict(model),
            "image": {
                "name": self.image.name,
                "page": self.image.page,
                "pages": self.image.pages,
                "channels": len(self.image),
                "dtype": str(self.image.dtype),
                "sha256": array_sha256(self.image),
            },
            "height": self.plan.height,
            "width": self.plan.width,
            "bit_depth": self.image.bit_depth,
            "classes": list(self.classes),
            "multilabel": self.multilabel,
            "area_in_pixels": self.areas,
            "instances": len(self.whole_objects.class_of),
            "tile": {
                "side": list(self.plan.side),
                "step": list(self.plan.step),
                "margin": self.plan.margin,
                "count": len(self.plan.tiles),
            },
            "settings": None if provenance is None else dict(provenance.settings),
            "device": None if provenance is None else provenance.device,
            "runtime": None if provenance is None else provenance.runtime,
            "mask_sha256": array_sha256(self.mask),
            "figures": as_json(figures or {}, "figures"),
        }
