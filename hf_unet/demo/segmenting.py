"""Segmenting for a page: tiles that report and can be stopped, and the scene of the result."""

import threading
from pathlib import Path

from hf_unet.demo.models.loading import load_model
from hf_unet.demo.scenes import (
    Layer,
    Scene,
    class_layer,
    image_layer,
    object_layer,
    probability_layer,
)
from hf_unet.demo.shown import KEPT, Shown, shown_of
from hf_unet.demo.uploads import read_page, read_truth
from hf_unet.demo.zero_gpu import on_zero_gpu, segment_on_gpu
from hf_unet.errors import ImageError
from hf_unet.images import ScienceImage
from hf_unet.judgement import true_mask
from hf_unet.memory import give_back_memory
from hf_unet.network import SegmentationNetwork
from hf_unet.segmentation import Segmentation
from hf_unet.tiles import Progress

MOST_PROBABILITIES = 800_000_000
"""Pixels times classes of one image: 3.2 GB, and about as much again while it is segmented."""

LARGE = 4_000_000
"""Pixels of an image beyond which the memory it took is given back, not kept for the next one."""


class Stopped(ImageError):
    """A visitor stopped the segmentation."""


class Jobs:
    """What is being segmented for whom, so that each can be stopped. Safe to use from threads."""

    def __init__(self) -> None:
        self._running: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def begin(self, visitor: str) -> threading.Event:
        """Note a new job of a visitor, and stop that visitor's old one.

        Those who come without a name have nothing in common, and do not stop each other.
        """
        event = threading.Event()
        if not visitor:
            return event
        with self._lock:
            old = self._running.get(visitor)
            self._running[visitor] = event
        if old is not None:
            old.set()
        return event

    def end(self, visitor: str, event: threading.Event) -> None:
        """Forget a job that has come to its end."""
        with self._lock:
            if self._running.get(visitor) is event:
                del self._running[visitor]

    def stop(self, visitor: str) -> bool:
        """Stop a visitor's job before its next tile; whether there was one."""
        with self._lock:
            event = self._running.get(visitor)
        if event is not None:
            event.set()
        return event is not None

    def __len__(self) -> int:
        return len(self._running)


JOBS = Jobs()


def stoppable(event: threading.Event, progress: Progress) -> Progress:
    """A progress that ends the work when the event is set: tiles not yet begun are not."""

    def report(done: int, total: int) -> None:
        if event.is_set():
            raise Stopped(f"Stopped after {done} of {total} tiles.")
        progress(done, total)

    return report


def segment_upload(
    image: str | None,
    truth: str | None,
    model: str,
    page: float | None,
    *,
    visitor: str = "",
    progress: Progress = lambda done, total: None,
) -> str:
    """Segment an uploaded file; the token of what is to be shown.

    Raises
    ------
    ValueError
        `ImageError`, `LabelError` or `ModelError` in words for the visitor; `Stopped` if stopped.
    """
    event = JOBS.begin(visitor)
    try:
        pixels = read_page(image, page)
        network = load_model(model)
        labels = read_truth(truth, network, pixels) if truth else None
        progress(0, len(network.plan(*pixels.shape[1:]).tiles))
        result = segment_within(network, pixels, stoppable(event, progress))
        if event.is_set():  # after the last tile, while objects were parted
            raise Stopped("Stopped.")
        name = Path(str(image)).name
        return KEPT.keep(Shown(result, labels, model, name, truth or None))
    finally:
        JOBS.end(visitor, event)


def segment_within(
    network: SegmentationNetwork, pixels: ScienceImage, progress: Progress | None = None
) -> Segmentation:
    """Segment within the demo's bounds, on a lent GPU where there is one.

    Free memory is given back after a large image, and otherwise kept for the next.

    Raises
    ------
    ImageError
        If the probabilities of all classes would be more than `MOST_PROBABILITIES`, or the image
        does not suit the network.
    """
    height, width = pixels.shape[1:]
    if len(network.classes) * height * width > MOST_PROBABILITIES:
        raise ImageError(
            f"{len(network.classes)} classes of {height * width / 1e6:.0f} megapixels are more "
            "than this page can hold. Cut the image into pieces, or use hf-unet segment."
        )
    try:
        # A lent GPU works in another process, to which no progress and no stop can be given.
        return segment_on_gpu(network, pixels, progress=None if on_zero_gpu() else progress)
    finally:
        if height * width > LARGE:
            give_back_memory()


def with_truth(token: str | None, truth: str | None) -> str:
    """The result of a token beside another ground truth, or none; the token of both."""
    shown = shown_of(token)
    network = load_model(shown.model)
    labels = read_truth(truth, network, shown.result.image) if truth else None
    return KEPT.keep(shown.beside(labels, truth or None))


def segmentation_scene(shown: Shown) -> Scene:
    """Image, mask, objects and probabilities, and the truth if there is one."""
    result, labels = shown.result, shown.labels
    layers = [image_layer(result.image), mask_layer(shown)]
    hidden = ["objects"]
    layers.append(object_layer(result.instances))
    if labels is not None:
        layers.append(truth_layer(shown))
        hidden.append("truth")
    layers.append(probability_layer(result.probabilities, result.classes))
    return Scene(
        tuple(layers), image_of(shown), {"hidden": hidden, "look": "segment" + str(len(layers))}
    )


def mask_layer(shown: Shown) -> Layer:
    """The predicted mask."""
    result = shown.result
    layer = class_layer(result.mask, result.classes, result.colors, key="mask", label="Prediction")
    if not result.multilabel:
        layer.settings["outlines"] = "objects"
    return layer


def truth_layer(shown: Shown) -> Layer:
    """The ground truth as a mask."""
    result, labels = shown.result, shown.labels
    assert labels is not None
    truth = true_mask(result, labels)
    return class_layer(truth, result.classes, result.colors, key="truth", label="Ground truth")


def image_of(shown: Shown) -> str:
    """The same for all scenes of one image: then the page keeps its place and its window."""
    image = shown.result.image
    return f"{shown.name} {image.page} {image.shape} {id(image)}"
