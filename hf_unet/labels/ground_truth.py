"""The ground truth of one image, and what is asked of a label file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.instances import label_objects
from hf_unet.labels.values import Color, counted

Array: TypeAlias = NDArray[Any]
Kind: TypeAlias = Literal["classes", "instances", "multilabel"]
KINDS: tuple[Kind, ...] = ("classes", "instances", "multilabel")


@dataclass(frozen=True, eq=False)
class Labels:
    """The ground truth of one image.

    Attributes
    ----------
    kind : "classes", "instances" or "multilabel"
    array : array
        classes: (H, W) uint8, the class index of each pixel, 0..K-1.
        instances: (H, W) int32, the object's id as in the file, 0 = background.
        multilabel: (K, H, W) bool, one plane per class, which may overlap.
    classes : tuple of str
        The K class names. Class 0 is the background of class and instance maps.
    found : str
        What was found in the source, in plain words.
    """

    kind: Kind
    array: Array
    classes: tuple[str, ...]
    found: str

    def class_map(self) -> NDArray[np.uint8]:
        """Return the class index of each pixel, (H, W) uint8.

        Instances become 0 and 1. A stack becomes a class map only if no pixel has two classes,
        and either every pixel has one, or class 0 is named "background" and takes the rest.
        The one plane of a single class becomes 0 and 1.

        Raises
        ------
        LabelError
            If a stack's classes overlap or leave pixels without a class.
        """
        if self.kind == "classes":
            return np.asarray(self.array, np.uint8)
        if self.kind == "instances":
            return np.asarray(self.array != 0, np.uint8)
        if len(self.classes) == 1:
            return np.asarray(self.array[0], np.uint8)
        per_pixel = self.array.sum(axis=0)
        if (per_pixel > 1).any():
            raise LabelError(
                f"{(per_pixel > 1).mean():.1%} of the pixels carry more than one of the classes "
                f"{', '.join(self.classes)}, so there is no class map: use the multi-label stack."
            )
        if (per_pixel == 0).any() and not has_background(self.classes):
            raise LabelError(
                f"{(per_pixel == 0).mean():.1%} of the pixels carry none of the classes "
                f"{', '.join(self.classes)}: name the first class background to give them one."
            )
        return np.asarray(self.array.argmax(axis=0), np.uint8)

    def instances(self) -> NDArray[np.int32]:
        """Return the objects, (H, W) int32, 0 = background.

        An instance map is returned unchanged. In a class map, each 4-connected region of a
        class other than class 0 is an object, numbered class by class: with 4 neighbors a
        border one pixel wide separates two objects even where it runs diagonally. A stack
        counts likewise, plane by plane, if its planes do not overlap.

        Raises
        ------
        LabelError
            If a stack's classes overlap: an object map holds one object per pixel.
        """
        if self.kind == "instances":
            return np.asarray(self.array, np.int32)
        if self.kind == "classes":
            return label_objects(self.array).labels
        planes = self.array[1:] if has_background(self.classes) else self.array
        if (planes.sum(axis=0) > 1).any():
            raise LabelError(
                "The classes of this multi-label stack overlap, so its objects do not fit into "
                "one map: take the objects of each plane by itself."
            )
        numbers = np.arange(1, len(planes) + 1).reshape(-1, 1, 1)
        return label_objects((planes * numbers).sum(axis=0)).labels

    def stack(self) -> NDArray[np.bool_]:
        """Return one plane per class, (K, H, W) bool.

        Instances are the second of two classes, or the only one.
        """
        if self.kind == "multilabel":
            return np.asarray(self.array, np.bool_)
        if self.kind == "instances" and len(self.classes) == 1:
            return np.asarray(self.array[np.newaxis] != 0, np.bool_)
        indices = np.arange(len(self.classes)).reshape(-1, 1, 1)
        planes: NDArray[np.bool_] = self.class_map()[np.newaxis] == indices
        return planes


@dataclass(frozen=True)
class Request:
    """The checked arguments of read_labels."""

    classes: tuple[str, ...]
    kind: Kind | None
    colors: tuple[Color, ...] | None
    page: int
    size: tuple[int, int] | None
    threshold: float | None

    def labels(self, kind: Kind, array: Array, found: str) -> Labels:
        """Make Labels of the classes asked for."""
        return Labels(kind, array, self.classes, found)


def has_background(classes: Sequence[str]) -> bool:
    """Whether class 0 is named "background" and so takes the pixels of no other class."""
    return len(classes) > 1 and classes[0].strip().lower() == "background"


def multilabel(planes: NDArray[np.bool_], name: str, part: str, request: Request) -> Labels:
    """One mask per class, (P, H, W) bool, as a multi-label stack; ``part`` is what one is called.

    Raises
    ------
    LabelError
        If there is not one for each class (a first class named "background" may lack its own).
    """
    count = len(request.classes)
    found = f"{counted(len(planes), part)}: one mask per class"
    if len(planes) == count - 1 and has_background(request.classes):
        planes = np.concatenate([~planes.any(axis=0, keepdims=True), planes])
        found += ", the background is what they leave over"
    elif len(planes) != count:
        raise LabelError(
            f"{name} has {counted(len(planes), part)}, but "
            f"{counted(count, 'class', 'classes')} ({', '.join(request.classes)}) need one each."
        )
    overlap = float((planes.sum(axis=0) > 1).mean())
    found += f" ({', '.join(request.classes)})"
    found += f"; {overlap:.1%} of the pixels have several" if overlap else "; none overlap"
    return request.labels("multilabel", planes, found)
