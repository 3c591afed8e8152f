"""The result of segmenting one image: its mask, its instances, its overlay, its files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_unet import exports
from hf_unet.colors import rgb
from hf_unet.display import displayed, draw_classes
from hf_unet.exports.files import write_whole
from hf_unet.images import ScienceImage
from hf_unet.instances import LabelledObjects, grow_seeds, label_objects
from hf_unet.tiles import TilePlan


def decide(
    probabilities: NDArray[np.float32],
    *,
    multilabel: bool,
    thresholds: Sequence[float] | None = None,
) -> NDArray[Any]:
    """Probabilities to a mask.

    Parameters
    ----------
    probabilities : (K, H, W) float32 array, 0 .. 1
    multilabel : bool
        Whether the classes may overlap.
    thresholds : sequence of float, optional
        One for each class if ``multilabel``; else one, for the foreground of one or two classes.

    Returns
    -------
    (K, H, W) bool array if ``multilabel``, else (H, W) uint8 array of class indices.

    Examples
    --------
    >>> probabilities = np.array([[[0.6, 0.2]], [[0.4, 0.8]]], np.float32)
    >>> decide(probabilities, multilabel=False)
    array([[0, 1]], dtype=uint8)
    >>> decide(probabilities, multilabel=False, thresholds=[0.3])
    array([[1, 1]], dtype=uint8)
    """
    count = len(probabilities)
    if multilabel:
        limits = np.asarray(thresholds or [0.5] * count, np.float32)
        planes: NDArray[np.bool_] = probabilities >= limits[:, None, None]
        return planes
    if count == 1 or (count == 2 and thresholds is not None):
        (limit,) = thresholds or (0.5,)
        foreground: NDArray[np.bool_] = probabilities[-1] >= np.float32(limit)
        return foreground.astype(np.uint8)
    indices: NDArray[np.intp] = probabilities.argmax(axis=0)
    return indices.astype(np.uint8)


def names_of_mask(
    classes: Sequence[str], *, multilabel: bool = False, border: bool = False
) -> tuple[str, ...]:
    """Names of the values of a mask, or of its planes, from those of a network's classes.

    A lone class of a sigmoid has a background beside it; the border belongs to the object.

    Examples
    --------
    >>> names_of_mask(["cell"]), names_of_mask(["background", "cell", "border"], border=True)
    (('background', 'cell'), ('background', 'cell'))
    """
    if border:
        return tuple(classes[:2])
    if len(classes) == 1 and not multilabel:
        return ("background", *classes)
    return tuple(classes)


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
        if not self.multilabel:
            return self._objects_of(self.mask)
        top = np.where(self.mask, self.probabilities, -1).argmax(axis=0) + 1
        found = self._objects_of(np.where(self.mask.any(axis=0), top, 0))
        return LabelledObjects(found.labels, found.class_of - 1)

    def _objects_of(self, mask: NDArray[Any]) -> LabelledObjects:
        if self.seed_threshold is None:
            return label_objects(mask, self.min_area)
        evidence = self.evidence
        if evidence is None:  # the most probable class
            first = 0 if self.multilabel or len(self.probabilities) == 1 else 1
            evidence = self.probabilities[first:].max(axis=0)
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

    def save(self, folder: str | Path) -> Path:
        """Write everything to a folder, which is made if need be.

        ``mask.png`` holds the class index of every pixel (for a multi-label network
        ``mask.tif`` holds one page for each class), ``instances.tif`` the objects,
        ``rle.csv`` and ``objects.geojson`` the same as run lengths and polygons (of the
        classes, if they may overlap),
        ``overlay.png`` a picture and ``result.json`` the settings and areas.

        Returns
        -------
        The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        exports.write_instances_tiff(folder / "instances.tif", self.instances)
        outlines, runs = folder / "objects.geojson", folder / "rle.csv"
        if self.multilabel:
            exports.write_stack_tiff(folder / "mask.tif", self.mask, self.classes)
            exports.write_stack_geojson(outlines, self.mask, self.classes, self.rgb_colors)
            exports.write_rle_csv(runs, self.mask, self.classes)
        else:
            names = [self.classes[index] for index in self.objects.class_of]
            exports.write_mask_png(folder / "mask.png", self.mask)
            exports.write_geojson(outlines, self.instances, names, self.rgb_colors)
            exports.write_rle_csv(runs, self.instances, names)
        picture = BytesIO()
        self.overlay().save(picture, format="PNG")
        write_whole(folder / "overlay.png", picture.getvalue())
        text = json.dumps(self.summary(), indent=2) + "\n"
        write_whole(folder / "result.json", text.encode())
        return folder

    def summary(self) -> dict[str, Any]:
        """Size, tiles, areas and number of instances, fit for JSON."""
        return {
            "height": self.plan.height,
            "width": self.plan.width,
            "bit_depth": self.image.bit_depth,
            "classes": list(self.classes),
            "multilabel": self.multilabel,
            "area_in_pixels": self.areas,
            "instances": len(self.objects.class_of),
            "tile": {
                "side": list(self.plan.side),
                "step": list(self.plan.step),
                "margin": self.plan.margin,
                "count": len(self.plan.tiles),
            },
        }
