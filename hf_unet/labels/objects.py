"""Annotated objects, each with a name and pixels -> Labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.images import MAX_PIXELS
from hf_unet.labels import advice
from hf_unet.labels.ground_truth import Labels, Request, coverage, has_background
from hf_unet.labels.values import counted


@dataclass(frozen=True, eq=False)
class Patch:
    """The pixels of one object, on the part of the image that holds them.

    Attributes
    ----------
    top, left : int
        Where in the image ``mask`` begins, in pixels.
    mask : (h, w) bool array
    """

    top: int
    left: int
    mask: NDArray[np.bool_]

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the image."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class AnnotatedObject(Protocol):
    """One object as its annotator left it."""

    @property
    def label(self) -> str:
        """The name its annotator gave it."""

    def draw(self, size: tuple[int, int]) -> Patch:
        """Pixels of the object in an image of this (height, width); LabelError if none can be."""


def labels_of_objects(
    objects: Sequence[AnnotatedObject],
    size: tuple[int, int] | None,
    name: str,
    request: Request,
    unknown: Sequence[AnnotatedObject] = (),
) -> Labels:
    """Draw objects by the rules of ``read_labels``, one after the other.

    Parameters
    ----------
    objects : sequence of AnnotatedObject
    size : (height, width) or None
        Of the image, in pixels, if the file states it; else it has to be in ``request``.
    name : str
        What messages call the file.
    request : Request
    unknown : sequence of AnnotatedObject
        Regions of which nothing is known but the objects in them; their labels do not count.

    Raises
    ------
    LabelError
        If a label is none of the classes, or the size is not known or too large.
    """
    size = size or request.size
    if size is None:
        raise LabelError(f"{name} does not state the image's size.", advice.FOR_UNKNOWN_SIZE)
    if size[0] * size[1] > MAX_PIXELS:
        raise LabelError(f"{name} is for an image of {size[1]} x {size[0]} pixels: too many.")
    placed, left_out = _class_of_each(objects, name, request.classes)
    parts = sorted({item.label for item in objects})
    found = counted(len(objects), "region") + (f" labeled {', '.join(parts)}" if parts else "")
    found += f", {counted(left_out, 'region')} to ignore left out" if left_out else ""
    found += f", {counted(len(unknown), 'region')} unknown" if unknown else ""
    if request.kind == "instances":
        ids, count, shared = _instances(placed, size, first=int(has_background(request.classes)))
        found += f" ({shared} pixels in several, the last has them)" if shared else ""
        labels = request.labels("instances", ids, f"{found}: {counted(count, 'instance')}")
    else:
        labels = _classes(placed, size, found, request)
    return replace(labels, known=_known(labels, unknown, size)) if unknown else labels


def _known(
    labels: Labels, unknown: Sequence[AnnotatedObject], size: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Where regions leave nothing unknown.

    A pixel of an annotated object is known, but where it may be of other classes as well.
    """
    known = np.ones(size, np.bool_)
    for region in unknown:
        patch = region.draw(size)
        known[patch.place] &= ~patch.mask
    planes = labels.array[int(has_background(labels.classes)) :]
    if labels.kind != "multilabel":
        known |= labels.array != 0
    elif len(planes) == 1:
        known |= planes[0]
    return None if known.all() else known


def _class_of_each(
    objects: Sequence[AnnotatedObject], name: str, classes: tuple[str, ...]
) -> tuple[list[tuple[int, AnnotatedObject]], int]:
    """Each object with the index of its class, and how many are to be ignored."""
    lowered = {label.lower(): index for index, label in enumerate(classes)}
    any_label = classes == ("background", "foreground")
    placed = []
    for item in objects:
        label = item.label.strip().lower()
        index = lowered.get(label)
        if index is None and label == "ignore":
            continue
        if index is None and not any_label:
            known = ", ".join(sorted({other.label for other in objects}))
            raise LabelError(
                f"{name} has regions labeled {known}, but the classes are {', '.join(classes)}: "
                f"there is no class {item.label}."
            )
        placed.append((1 if index is None else index, item))
    return placed, len(objects) - len(placed)


def _instances(
    placed: Sequence[tuple[int, AnnotatedObject]], size: tuple[int, int], first: int
) -> tuple[NDArray[np.int32], int, int]:
    """Ids of the objects of classes from ``first`` on, their number, and the pixels of several."""
    ids = np.zeros(size, np.int32)
    shared = np.zeros(size, np.bool_)
    count = 0
    for index, item in placed:
        patch = item.draw(size)
        if index < first:
            continue
        count += 1
        shared[patch.place] |= patch.mask & (ids[patch.place] != 0)
        ids[patch.place][patch.mask] = count
    return ids, count, int(shared.sum())


def _classes(
    placed: Sequence[tuple[int, AnnotatedObject]],
    size: tuple[int, int],
    found: str,
    request: Request,
) -> Labels:
    """A class map where that is asked for or no classes overlap; else a stack."""
    classes = request.classes
    planes = np.zeros((len(classes), *size), np.bool_)
    for index, item in placed:
        patch = item.draw(size)
        planes[index][patch.place] |= patch.mask
    covered, shared = coverage(planes)
    if has_background(classes):
        planes[0] |= ~covered
    labels = request.labels("multilabel", planes, f"{found}: classes {', '.join(classes)}")
    if request.kind == "classes" or (
        request.kind is None and has_background(classes) and not shared.any()
    ):
        return request.labels("classes", labels.class_map(), labels.found)
    return labels
