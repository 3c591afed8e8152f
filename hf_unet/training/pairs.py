"""One annotated image: where it and its ground truth lie, and what they hold when read."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import ImageError, LabelError
from hf_unet.images import ScienceImage, match_channels, normalize, read_image
from hf_unet.labels import CocoFile, Labels, read_labels
from hf_unet.labels.ground_truth import Kind

Size = tuple[int, int]

COVERED = 0.5
"""Share of a computed object's pixels that annotated ones must cover for it to be annotated."""


class DataError(ValueError):
    """Data cannot be learnt from; the message says what to mend."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of an image.

    Attributes
    ----------
    labels : Labels
    known : (H, W) bool array or None
        Where the labels say what is there. None: everywhere.
    """

    labels: Labels
    known: NDArray[np.bool_] | None = None


class Source(Protocol):
    """Where the ground truth of one image comes from."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def read(self, classes: Sequence[str], kind: Kind | None, size: Size) -> Truth:
        """The ground truth, for an image of ``size`` = (height, width)."""


@dataclass(frozen=True)
class OneFile:
    """A file, a page of one, or a folder of masks: whatever `hf_unet.labels.read_labels` reads.

    ``whole`` says that all pages are of one image, so that they have to be one mask per class.
    """

    path: Path
    page: int = 0
    threshold: float | None = None
    partial: bool = False
    whole: bool = False

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    def read(self, classes: Sequence[str], kind: Kind | None, size: Size) -> Truth:
        """Read it."""
        labels = read_labels(
            self.path, classes, kind=kind, page=self.page, size=size, threshold=self.threshold
        )
        if self.whole and labels.kind != "multilabel":
            raise LabelError(
                f"{self.name} has several pages, which are not one mask per class, and its image "
                "has one. Leave the page that belongs to the image."
            )
        if not self.partial:
            return Truth(labels, labels.known)
        annotated = labels.array != 0
        if annotated.ndim == 3:
            annotated = annotated.any(axis=0)
        return Truth(labels, annotated if labels.known is None else annotated & labels.known)


@dataclass(frozen=True)
class ClassMasks:
    """A mask for each class, in the classes' order."""

    paths: tuple[Path, ...]
    threshold: float | None = None

    @property
    def name(self) -> str:
        """Name of the first file."""
        return self.paths[0].name

    def read(self, classes: Sequence[str], kind: Kind | None, size: Size) -> Truth:
        """Read them all as a multi-label stack, or as the kind asked for."""
        labels = read_labels(
            list(self.paths),
            classes,
            kind=kind or "multilabel",
            size=size,
            threshold=self.threshold,
        )
        return Truth(labels)


@dataclass(frozen=True, eq=False)
class CocoImage:
    """What a COCO file says of one image."""

    file: CocoFile
    image: str

    @property
    def name(self) -> str:
        """Name of the image in the file."""
        return self.image

    def read(self, classes: Sequence[str], kind: Kind | None, size: Size) -> Truth:
        """Draw its annotations."""
        labels = self.file.labels(self.image, classes, kind=kind, size=size)
        return Truth(labels, labels.known)


@dataclass(frozen=True)
class FilePage:
    """A page of an image file, from 0."""

    path: Path
    page: int = 0


@dataclass(frozen=True)
class TrackedFrame:
    """A frame of a Cell Tracking Challenge sequence, or a slice of one.

    Attributes
    ----------
    gold : FilePage or None
        Segmentation by people.
    silver : FilePage or None
        Segmentation by algorithms, fused.
    markers : FilePage or None
        Tracking annotation: a mark in every cell.
    fill : bool
        Take from ``silver`` the cells that ``gold`` lacks.
    partial : bool
        ``gold`` is known to lack cells.

    Notes
    -----
    A gold frame may hold a few of its cells only. It is recognised by cells of the silver
    segmentation, or marks, on which it has nothing. Where such a frame is not filled up, its
    empty pixels are unknown: they are no background.
    """

    gold: FilePage | None
    silver: FilePage | None = None
    markers: FilePage | None = None
    fill: bool = False
    partial: bool = False

    @property
    def name(self) -> str:
        """Name of the file that comes first."""
        first = self.gold or self.silver
        return first.path.name if first else ""

    def read(self, classes: Sequence[str], kind: Kind | None, size: Size) -> Truth:
        """Read the gold labels, and the silver ones where asked."""

        def instances(of: FilePage) -> Labels:
            return read_labels(of.path, classes, kind="instances", page=of.page, size=size)

        if self.gold is None:
            assert self.silver is not None  # a frame has one of the two
            labels = instances(self.silver)
            return Truth(
                Labels(labels.kind, labels.array, labels.classes, f"silver: {labels.found}")
            )
        gold = instances(self.gold)
        reference = self.silver if self.fill else self.markers or self.silver
        every = np.zeros_like(gold.array) if reference is None else instances(reference).array
        lacking = missing_objects(gold.array, every)
        if not lacking.size and not self.partial:
            return Truth(gold)
        if self.fill and self.silver is not None:
            filled = gold.array.copy()
            empty = np.isin(every, lacking) & (filled == 0)
            filled[empty] = every[empty] + filled.max()
            found = f"{gold.found}, and from silver what gold lacks"
            return Truth(Labels("instances", filled, gold.classes, found))
        found = f"{gold.found}, not all that are there: the rest teaches nothing"
        return Truth(Labels("instances", gold.array, gold.classes, found), gold.array != 0)


def missing_objects(some: NDArray[np.int32], every: NDArray[np.int32]) -> NDArray[np.int32]:
    """Ids in ``every`` of the objects that ``some`` does not have, sorted.

    Examples
    --------
    >>> missing_objects(np.int32([[7, 7, 0, 0]]), np.int32([[1, 1, 0, 2]]))
    array([2], dtype=int32)
    """
    ids, place, areas = np.unique(every, return_inverse=True, return_counts=True)
    covered = np.bincount(place.ravel(), weights=(some != 0).ravel(), minlength=len(ids))
    missing: NDArray[np.int32] = ids[(ids > 0) & (covered <= COVERED * areas)]
    return missing


@dataclass(frozen=True, eq=False)
class Pair:
    """One annotated image, read when first asked for and then kept until `forget`.

    Attributes
    ----------
    name : str
        Its name in the data set, of which there is no other.
    image_file : Path
    source : Source
        Of its ground truth.
    classes : tuple of str
        Names of the network's classes.
    kind : str or None
        What the labels hold; None: look.
    page : int
        Page of the image file, from 0.
    together : str
        What the pair belongs to with others that are much like it, such as the file whose pages
        they are: a split keeps them on one side unless groups are named. Empty: nothing.
    """

    name: str
    image_file: Path
    source: Source
    classes: tuple[str, ...]
    kind: Kind | None = None
    page: int = 0
    together: str = ""

    @cached_property
    def image(self) -> ScienceImage:
        """(C, H, W), the file's own values."""
        return read_image(self.image_file, page=self.page)

    @cached_property
    def truth(self) -> Truth:
        """The ground truth, of the image's size."""
        size = (self.image.shape[1], self.image.shape[2])
        try:
            return self.source.read(self.classes, self.kind, size)
        except LabelError as error:  # options stand in a recipe here, not in a call
            raise LabelError(error.in_recipe) from error

    @property
    def labels(self) -> Labels:
        """The labels of the ground truth."""
        return self.truth.labels

    def scaled(self, in_channels: int, normalization: str) -> NDArray[np.float32]:
        """(in_channels, H, W) float32 image as the network gets it."""
        return normalize(self.matched(in_channels), normalization)

    def matched(self, in_channels: int) -> NDArray[Any]:
        """The image with as many channels; an ImageError that names the pair if it has others."""
        try:
            return match_channels(self.image, in_channels)
        except ImageError as error:
            raise ImageError(f"{self.name}: {error}") from error

    def forget(self) -> None:
        """Let go of what was read."""
        for read in ("image", "truth"):
            self.__dict__.pop(read, None)
