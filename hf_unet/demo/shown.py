"""What one person's page shows: a result, its ground truth, and the scenes made of them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hf_unet.demo.scenes import Scene
from hf_unet.demo.store import Store
from hf_unet.errors import ImageError
from hf_unet.instances import separate_touching
from hf_unet.judgement import Judgement, judge
from hf_unet.labels import Labels
from hf_unet.segmentation import Segmentation
from hf_unet.weight_map import instance_distances

KEPT_BYTES = 1_500_000_000
"""Memory for what pages show, of all visitors together. A 512 x 512 result takes about 6 MB."""


@dataclass
class ByHand:
    """What a mask painted in the page said of a result.

    Attributes
    ----------
    judgement : Judgement or None
        Of the mask that was scored last.
    looked_at : bool
        Whether the page shows it, in place of that against the ground truth.
    """

    judgement: Judgement | None = None
    looked_at: bool = False


@dataclass(frozen=True, eq=False)
class Shown:
    """One result and what a page needs to show it.

    Attributes
    ----------
    result : Segmentation
    labels : Labels or None
        The ground truth, in the classes of the result.
    model : str
        Name of the model as the page knows it.
    name : str
        File name of the image, without its folder.
    truth : str or None
        Where the ground truth's file lies, as the page knows it.
    scenes : dict of str to Scene
        What viewers look at, by the name of their place on the page.
    by_hand : ByHand
    """

    result: Segmentation
    labels: Labels | None
    model: str
    name: str
    truth: str | None = None
    scenes: dict[str, Scene] = field(default_factory=dict)
    by_hand: ByHand = field(default_factory=ByHand)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def beside(self, labels: Labels | None, truth: str | None) -> "Shown":
        """The same result with another ground truth, which is then looked at, or with none.

        What was said by a mask painted for it stays true, and stays to be looked at.
        """
        by_hand = ByHand(self.by_hand.judgement, self.by_hand.looked_at and labels is None)
        return Shown(self.result, labels, self.model, self.name, truth, by_hand=by_hand)

    @property
    def predicted(self) -> bool:
        """Whether objects are those of the prediction, for want of a ground truth that has them.

        Classes that overlap have no one object to a pixel; there the prediction has settled it.
        """
        return self.labels is None or self.labels.kind == "multilabel"

    @cached_property
    def instances(self) -> NDArray[np.int32]:
        """Objects of truth, or else prediction; those that touch are parted, as in training."""
        if self.labels is None or self.predicted:
            return separate_touching(self.result.instances)
        return separate_touching(self.labels.instances())

    @cached_property
    def judgement(self) -> Judgement | None:
        """The result against the ground truth; None without one."""
        return None if self.labels is None else judge(self.result, self.labels, self.name)

    @cached_property
    def distances(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """d1 and d2 of equation 2, in pixels."""
        return instance_distances(self.instances)

    def scene(self, place: str, make: Callable[["Shown"], Scene]) -> Scene:
        """The scene of a place, made at the first asking."""
        with self.lock:
            if place not in self.scenes:
                self.scenes[place] = make(self)
            return self.scenes[place]

    @property
    def nbytes(self) -> int:
        """Memory of all arrays, each counted once."""
        result = self.result
        arrays: list[NDArray[np.generic]] = [result.image, result.probabilities, result.mask]
        if result.evidence is not None:
            arrays.append(result.evidence)
        if self.labels is not None:
            arrays.append(self.labels.array)
        for scene in list(self.scenes.values()):
            arrays += [layer.data for layer in scene.layers]
        # Instances and distances are made when they are first asked for, and so is, where classes
        # overlap, a plane of whole objects for each.
        height, width = result.image.shape[1:]
        planes = 4 + (len(result.classes) if result.multilabel else 0)
        owners = {id(owner): owner.nbytes for owner in map(_owner, arrays)}
        return sum(owners.values()) + 4 * planes * height * width


def _owner(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The array whose memory this one looks at; of a view of a view the last one."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


ON_DISK = "on-disk"
"""The place of scenes whose result is not in memory."""

KEPT: Store[Shown] = Store(
    KEPT_BYTES,
    gone="This result is no longer kept here: memory is shared, and newer results took its place. "
    "Segment the image again.",
)


ALONE: Store[Scene] = Store(
    300_000_000, gone="This picture is no longer kept here. Choose it again in the table."
)
"""Scenes of results that are on disk, not in memory: those of many images at once."""


def shown_of(token: str | None) -> Shown:
    """What a page shows, by its token; `ImageError` if it shows nothing yet."""
    if not token:
        raise ImageError("Segment an image first.")
    return KEPT.get(token)


def described(token: str, place: str, scene: Scene) -> dict[str, object]:
    """A scene as a viewer takes it."""
    return scene.described(f"{token}/{place}")


def described_alone(scene: Scene) -> dict[str, object]:
    """A scene without a result in memory, kept in `ALONE`, as a viewer takes it."""
    return scene.described(f"{ALONE.keep(scene)}/{ON_DISK}")


def scene_of(name: str) -> Scene:
    """The scene that `described` or `described_alone` named."""
    token, _, place = name.partition("/")
    if place == ON_DISK:
        return ALONE.get(token)
    scenes = KEPT.get(token).scenes
    if place not in scenes:
        raise ImageError("There is no such picture. Segment the image again.")
    return scenes[place]
