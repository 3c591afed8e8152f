"""A scene: planes of pixels that a viewer draws over one another, sent to the page as they are.

Nothing is compressed with loss, stretched or turned into a picture on the way: the page gets the
values themselves, so that it can show the intensity, class and probability under the pointer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from hf_unet.display import percentiles_of, window_of
from hf_unet.errors import ImageError

MOST_SAMPLES = 4_000_000
"""Of one plane in one answer; the page asks for fewer, and for closer ones when it zooms in."""

MOST_PAINTED = 16_000_000
"""Samples of one layer asked for alone: painting takes one whole."""

MOST_PROBABILITIES = 8
"""Classes whose probabilities are shown under the pointer; of more, that of the mask alone."""

MOST_OVERLAPPING = 32
"""Classes that overlap, a bit each, in one plane; of more the first are drawn, and none painted."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One thing to draw.

    Attributes
    ----------
    key : str
        Its name within the scene.
    kind : {"image", "indices", "bits", "objects", "scalar", "probability"}
        How it is drawn: intensities, classes that exclude each other, classes that overlap,
        numbered objects, a heat map, or not at all (shown under the pointer only).
    label : str
        Its name for people.
    data : (P, H, W) array, uint8, uint16, uint32 or float32
    settings : dict
        What the page needs besides, fit for JSON: names, colours, ranges.
    """

    key: str
    kind: str
    label: str
    data: NDArray[Any]
    settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def identity(self) -> str:
        """Changes with the data, so that a page fetches each but once."""
        return uuid4().hex

    def described(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {
            "key": self.key,
            "id": self.identity,
            "kind": self.kind,
            "label": self.label,
            "dtype": self.data.dtype.name,
            "planes": len(self.data),
            **self.settings,
        }


@dataclass(frozen=True, eq=False)
class Scene:
    """Layers of one size, and what is drawn over them.

    Attributes
    ----------
    layers : tuple of Layer
        From the lowest to the highest.
    image : str
        The same for scenes of the same image: then the page does not move.
    settings : dict
        What the page needs besides, fit for JSON: panes, boxes, points, hidden layers.
    """

    layers: tuple[Layer, ...]
    image: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.layers[0].data.shape[1:]
        return int(height), int(width)

    @property
    def nbytes(self) -> int:
        """Memory of its layers, in bytes."""
        return sum(layer.data.nbytes for layer in self.layers)

    def described(self, token: str) -> dict[str, Any]:
        """What the page is told; it fetches the pixels themselves by ``token``."""
        height, width = self.size
        return {
            "scene": token,
            "image": self.image,
            "height": height,
            "width": width,
            "layers": [layer.described() for layer in self.layers],
            **self.settings,
        }

    def region(
        self, keys: Sequence[str], top: int, left: int, height: int, width: int, step: int
    ) -> bytes:
        """Samples of some layers: every ``step``-th pixel of a rectangle, plane after plane.

        Parameters
        ----------
        keys : sequence of str
            Of the layers, in the order wanted, each once.
        top, left, height, width : int
            The rectangle in pixels, within the scene.
        step : int

        Returns
        -------
        Little-endian, each plane row by row and filled up to a multiple of four bytes.

        Raises
        ------
        ImageError
            If there is no such layer or rectangle, or it holds more than `MOST_SAMPLES`, of a layer
            alone `MOST_PAINTED`.
        """
        rows, columns = self.size
        known = {layer.key: layer for layer in self.layers}
        fits = 0 <= top < top + height <= rows and 0 <= left < left + width <= columns
        asked_once = len(set(keys)) == len(keys) and set(keys) <= set(known)
        if not fits or step < 1 or not asked_once:
            raise ImageError("The page asked for a part that this picture does not have.")
        most = MOST_PAINTED if len(keys) == 1 else MOST_SAMPLES
        if -(-height // step) * -(-width // step) > most:
            raise ImageError("The page asked for more pixels at once than are sent.")
        pieces: list[bytes] = []
        for key in keys:
            for plane in known[key].data:
                sampled = plane[top : top + height : step, left : left + width : step]
                piece = np.ascontiguousarray(sampled, sampled.dtype.newbyteorder("<")).tobytes()
                pieces += [piece, bytes(-len(piece) % 4)]
        return b"".join(pieces)


def image_layer(image: NDArray[Any], key: str = "image") -> Layer:
    """Intensities of a (C, H, W) image of any dtype; of more than three channels the first three.

    The page gets 8- and 16-bit values as they are, others as float32, those beyond its range as
    the farthest that it has.
    """
    shown = image[:3]
    if shown.dtype not in (np.uint8, np.uint16):
        farthest = np.finfo(np.float32)
        if shown.dtype == np.float64:
            shown = np.clip(shown, farthest.min, farthest.max)
        shown = shown.astype(np.float32)
    settings = {
        "window": list(window_of(shown)),
        "percentiles": list(percentiles_of(shown)),
        "limits": [float(shown.min()), float(shown.max())],
    }
    return Layer(key, "image", "Image", shown, settings)


def class_layer(
    mask: NDArray[Any],
    classes: Sequence[str],
    colors: Sequence[str],
    *,
    key: str,
    label: str,
    with_background: bool = True,
) -> Layer:
    """A class map (H, W), or a stack (K, H, W) of classes that overlap.

    Parameters
    ----------
    mask : (H, W) uint8 array of class indices, or (K, H, W) bool array
    classes, colors : sequence of str
        Names and "#rrggbb" of each.
    key, label : str
    with_background : bool
        Whether index 0 of a class map is a background, which is not drawn.
    """
    settings: dict[str, Any] = {"names": list(classes), "colors": list(colors)}
    if mask.ndim == 2:
        settings["first"] = int(with_background)
        return Layer(key, "indices", label, mask.astype(np.uint8, copy=False)[None], settings)
    drawn = mask[:MOST_OVERLAPPING]
    settings = {name: values[:MOST_OVERLAPPING] for name, values in settings.items()}
    dtype = next(t for t in (np.uint8, np.uint16, np.uint32) if len(drawn) <= 8 * t().itemsize)
    bits = np.zeros(mask.shape[1:], dtype)
    for index, plane in enumerate(drawn):
        bits |= np.where(plane, dtype(1 << index), dtype(0))
    return Layer(key, "bits", label, bits[None], settings | {"first": 0})


def object_layer(
    instances: NDArray[np.int32], *, key: str = "objects", label: str = "object"
) -> Layer:
    """Numbered objects, (H, W), 0 the background."""
    dtype = np.uint16 if instances.max(initial=0) < 2**16 else np.uint32
    return Layer(key, "objects", label, instances.astype(dtype)[None], {"label_many": "Instances"})


def probability_layer(probabilities: NDArray[np.float32], classes: Sequence[str]) -> Layer:
    """Probabilities for the pointer, (K, H, W), in steps of 1/255."""
    shown, names = probabilities, list(classes)
    if len(shown) > MOST_PROBABILITIES:
        shown, names = probabilities.max(axis=0)[None], ["of the class"]
    elif len(shown) == 1 and len(names) == 2:
        names = names[1:]
    quantised = (shown * 255 + np.float32(0.5)).astype(np.uint8)
    return quantised_layer(quantised, names)


def quantised_layer(planes: NDArray[np.uint8], names: Sequence[str]) -> Layer:
    """The same of (K, H, W) planes that are in those steps already."""
    return Layer("probability", "probability", "Probability", planes, {"names": list(names)})


def scalar_layer(
    values: NDArray[np.float32], *, key: str, label: str, title: str, unit: str = ""
) -> Layer:
    """A heat map of (H, W) values; infinite ones are drawn as the highest."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    settings = {"range": [low, high], "title": title, "unit": unit}
    return Layer(key, "scalar", label, values.astype(np.float32, copy=False)[None], settings)
