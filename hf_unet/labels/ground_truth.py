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
    known : (H, W) bool array or None
        Where the labels say what is there; the rest neither teaches nor counts. None: everywhere.
    """

    kind: Kind
    array: Array
    classes: tuple[str, ...]
    found: str
    known: NDArray[np.bool_] | None = None

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
        planes = np.asarray(self.array, np.bool_)
        covered, shared = coverage(planes)
        if shared.any():
            raise LabelError(
                f"{shared.mean():.1%} of the pixels carry more than one of the classes "
                f"{', '.join(self.classes)}, so there is no class map: use the multi-label stack."
            )
        if not covered.all() and not has_background(self.classes):
            raise LabelError(
                f"{1 - covered.mean():.1%} of the pixels carry none of the classes "
                f"{', '.join(self.classes)}: name the first class background to give them one."
            )
        indices = np.zeros(covered.shape, np.uint8)
        for index, plane in enumerate(planes):
            indices[plane] = index
        return indices

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
        if coverage(planes)[1].any():
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


def checked_request(
    classes: Sequence[str],
    kind: Kind | None = None,
    colors: Sequence[Color] | None = None,
    page: int = 0,
    size: tuple[int, int] | None = None,
    threshold: float | None = None,
) -> Request:
    """What is asked of a label file; LabelError if it is no question."""
    names = (classes,) if isinstance(classes, str) else tuple(classes)
    if not 1 <= len(names) <= 256 or not all(isinstance(name, str) for name in names):
        raise LabelError("Classes are named by a list of 1 to 256 names.")
    if len(set(names)) < len(names):
        raise LabelError(f"Two classes have the same name ({', '.join(names)}).")
    if kind is not None and kind not in KINDS:
        raise LabelError(f"There is no label kind {kind!r}: it is one of {', '.join(KINDS)}.")
    if kind == "instances" and len(names) > 2:
        raise LabelError(
            f"Instances belong to one class besides the background, not to "
            f"{counted(len(names), 'class', 'classes')} ({', '.join(names)})."
        )
    if colors is not None and kind != "instances" and len(colors) != len(names):
        raise LabelError(
            f"{counted(len(colors), 'color')} given for "
            f"{counted(len(names), 'class', 'classes')} ({', '.join(names)}): give one each."
        )
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise LabelError(f"The size {size} is not (height, width) in pixels.")
    return Request(
        names,
        kind,
        None if colors is None else tuple(colors),
        page,
        None if size is None else (int(size[0]), int(size[1])),
        threshold,
    )


def check_size(size: tuple[int, ...], request: Request, name: str) -> None:
    """Refuse a label of another (height, width) than the one asked for."""
    if request.size is not None and size != request.size:
        (height, width), (rows, columns) = size, request.size
        raise LabelError(
            f"{name} is {width} x {height} pixels (width x height), but its image is "
            f"{columns} x {rows}: use the label that belongs to this image."
        )


def has_background(classes: Sequence[str]) -> bool:
    """Whether class 0 is named "background" and so takes the pixels of no other class."""
    return len(classes) > 1 and classes[0].strip().lower() == "background"


def coverage(planes: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where any of K planes is True, and where several are: two (H, W) bool arrays.

    Examples
    --------
    >>> coverage(np.array([[[True, True, False]], [[False, True, False]]]))
    (array([[ True,  True, False]]), array([[False,  True, False]]))
    """
    covered = np.zeros(planes.shape[1:], np.bool_)
    shared = np.zeros(planes.shape[1:], np.bool_)
    for plane in planes:  # plane by plane is many times faster than along the first axis
        shared |= covered & plane
        covered |= plane
    return covered, shared


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
    overlap = float(coverage(planes)[1].mean())
    found += f" ({', '.join(request.classes)})"
    found += f"; {overlap:.1%} of the pixels have several" if overlap else "; none overlap"
    return request.labels("multilabel", planes, found)
