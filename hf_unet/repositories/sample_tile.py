"""A small image and what a network says of it, kept beside the weights: sample.safetensors.

Whoever loads the network can segment the image again and see whether this machine says the same:
`hf_unet.verification`. Unless somebody gives an image that may be passed on, it is a drawing.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hf_unet.errors import ImageError, ModelError
from hf_unet.exports.files import write_whole
from hf_unet.geometry import Geometry
from hf_unet.images import ScienceImage, read_image
from hf_unet.provenance import Provenance
from hf_unet.repositories.pretrained import Repository
from hf_unet.segmentation import Segmentation

SAMPLE = "sample.safetensors"

FORMAT = 1
"""Version of the file's form. It grows when an older reader would take it for something else."""

DRAWN = "Drawn by hf-unet: no data"
"""Source of the image where none was given."""

SIDE = 128
"""Of a sample at most, in pixels: a few objects, and four tiles of the paper's network."""

BYTES = 600_000
"""That image and probabilities may take; an image of many channels or classes is cut smaller."""

LARGEST_FILE = 16_000_000
"""Bytes that are read: far above what is written here, and nothing to a machine's memory."""

_KEY = "hf_unet_sample"
# One text, since safetensors writes several in an order of its own: equal samples, equal files.
_IMAGE, _PROBABILITIES = "image", "probabilities"
_KINDS = ("U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")


class SampledNetwork(Protocol):
    """What a sample needs to know of a network: `hf_unet.network.SegmentationNetwork`."""

    @property
    def in_channels(self) -> int:
        """Channels of its images."""

    @property
    def mask_classes(self) -> tuple[str, ...]:
        """Classes of its results."""

    @property
    def geometry(self) -> Geometry:
        """Margin and grid, for tiles that meet within the sample."""

    def provenance(self) -> Provenance:
        """Its arguments among other things."""

    def segment(self, image: object, tile: tuple[int, int]) -> Segmentation:
        """Probabilities of the image."""


@dataclass(frozen=True, eq=False)
class SampleTile:
    """An image and the probabilities that a network gave it.

    Attributes
    ----------
    image : (C, H, W) ScienceImage
        As `hf_unet.read_image` gives it: own dtype and values, bit depth and name remembered.
    probabilities : (K, H, W) float32 array
        0 .. 1, as `hf_unet.Segmentation.probabilities` holds them.
    tile : (int, int)
        Height and width of the tiles' input, in pixels: the sample is segmented in several.
    settings : mapping
        The network's arguments then, as config.json has them.
    source : str
        Where the image comes from and under which terms, in words.
    """

    image: ScienceImage
    probabilities: NDArray[np.float32]
    tile: tuple[int, int]
    settings: Mapping[str, Any]
    source: str


def make_sample(
    model: SampledNetwork, image: object = None, *, source: str | None = None
) -> SampleTile:
    """Segment the middle of an image, and keep both.

    Parameters
    ----------
    model : SegmentationNetwork
        In single precision on a CPU, which rounds least.
    image : path, bytes, PIL image, array or tensor, optional
        Anything that `hf_unet.read_image` reads; at most `SIDE` pixels a side are kept of it. It
        is published with the model. None: `drawn_pattern`.
    source : str, optional
        Where the image comes from and under which terms. Needed with an image.

    Raises
    ------
    ImageError
        If the image cannot be read, does not suit the network, or comes without a source.

    Examples
    --------
    >>> from hf_unet import UNet
    >>> sample = make_sample(UNet(base_channels=2, depth=2))
    >>> sample.image.shape, sample.probabilities.shape, sample.source
    ((1, 128, 120), (2, 128, 120), 'Drawn by hf-unet: no data')
    """
    if image is None:
        picture, source = drawn_pattern(model.in_channels), DRAWN
    else:
        picture = read_image(image)
        if not source:
            raise ImageError(
                "A sample is published with its model: say where the image comes from and under "
                "which terms it may be passed on (source=...), or leave it out for a drawing."
            )
    height, width = _size(picture, len(model.mask_classes))
    top, left = (picture.shape[1] - height) // 2, (picture.shape[2] - width) // 2
    cut = ScienceImage(
        picture[:, top : top + height, left : left + width], picture.bit_depth, name=picture.name
    )
    tile = _tile(height, model.geometry), _tile(width, model.geometry)
    result = model.segment(cut, tile)
    settings = model.provenance().settings
    return SampleTile(cut, result.probabilities, result.plan.side, settings, source)


def made_again(sample: SampleTile, model: SampledNetwork) -> SampleTile:
    """The sample of the same image for a network that has changed."""
    return make_sample(model, sample.image, source=sample.source)


def drawn_pattern(channels: int) -> ScienceImage:
    """Discs, rings and lines of several sizes on a grained, uneven ground: the same each time.

    Parameters
    ----------
    channels : int
        Each is shifted a little against the one before.

    Returns
    -------
    (channels, SIDE, SIDE) ScienceImage of uint8

    Examples
    --------
    >>> pattern = drawn_pattern(3)
    >>> pattern.shape, pattern.dtype.name, int(pattern.min()), int(pattern.max())
    ((3, 128, 128), 'uint8', 0, 225)
    """
    rows, columns = np.mgrid[:SIDE, :SIDE]
    grey = 50.0 + 30.0 * rows / SIDE
    for row, column, radius, height in (
        (30, 28, 15, 130), (30, 60, 15, 120), (26, 102, 9, 90), (64, 22, 6, 150),
        (70, 66, 20, 110), (72, 104, 12, 140), (106, 34, 17, 70), (108, 82, 8, 130),
        (104, 110, 11, 100),
    ):  # fmt: skip
        inside = radius - np.hypot(rows - row, columns - column)
        grey += height * np.clip(inside / 2, 0, 1)
        grey -= 40 * np.exp(-((inside / 1.5) ** 2))  # a dark rim, as of a membrane
    for slope, start in ((0.35, 48), (-0.6, 150)):
        grey -= 35 * np.exp(-(((rows - slope * columns - start) / 1.5) ** 2))
    # A grain that needs no generator of random numbers: a product of primes, folded.
    grey += (rows * 7919 + columns * 104729 + rows * columns * 31) % 23 - 11
    picture = np.clip(grey, 0, 255).astype(np.uint8)
    planes = [np.roll(picture, (index % 5, index % 7), axis=(0, 1)) for index in range(channels)]
    return ScienceImage(np.stack(planes), bit_depth=8)


def write_sample(folder: str | Path, sample: SampleTile) -> None:
    """Write sample.safetensors into a model repository, whole or not at all.

    Equal samples give equal files.
    """
    about = {
        "format": FORMAT,
        "bit_depth": sample.image.bit_depth,
        "name": sample.image.name,
        "source": sample.source,
        "tile": list(sample.tile),
        "settings": dict(sample.settings),
    }
    tensors = {
        _IMAGE: np.asarray(sample.image),
        _PROBABILITIES: np.ascontiguousarray(sample.probabilities, np.float32),
    }
    write_whole(Path(folder) / SAMPLE, save(tensors, metadata={_KEY: json.dumps(about)}))


def read_sample(repository: Repository | str | Path) -> SampleTile:
    """Read sample.safetensors of a model repository, strictly. Nothing is unpickled.

    Parameters
    ----------
    repository : Repository, str or Path
        A text or a path is a folder, or a name on the Hub.

    Raises
    ------
    ModelError
        If there is none, or it is damaged, something else, or of a later form.
    """
    if not isinstance(repository, Repository):
        repository = Repository(str(repository))
    path = repository.file(SAMPLE)
    title = repository.title
    damaged = ModelError(
        f"The {SAMPLE} of {title} is truncated or damaged. Download it again, or leave it out."
    )
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError(
                f"The {SAMPLE} of {title} has {path.stat().st_size:,} bytes: no sample is larger "
                f"than {LARGEST_FILE:,}."
            )
        with safe_open(path, framework="np") as file:
            about = _about(file.metadata() or {}, title)
            if set(file.keys()) != {_IMAGE, _PROBABILITIES}:
                raise damaged
            slices = [file.get_slice(name) for name in (_IMAGE, _PROBABILITIES)]
            shapes = [tuple(one.get_shape()) for one in slices]
            fits = (
                all(len(shape) == 3 and min(shape) > 0 for shape in shapes)
                and shapes[0][1:] == shapes[1][1:]
                and slices[0].get_dtype() in _KINDS
                and slices[1].get_dtype() == "F32"
            )
            if not fits:
                raise damaged
            pixels, probabilities = file.get_tensor(_IMAGE), file.get_tensor(_PROBABILITIES)
    except (SafetensorError, OSError) as error:
        raise damaged from error
    if not (np.isfinite(pixels).all() and ((probabilities >= 0) & (probabilities <= 1)).all()):
        raise damaged
    image = ScienceImage(pixels, about["bit_depth"], name=about["name"])
    height, width = about["tile"]
    return SampleTile(image, probabilities, (height, width), about["settings"], about["source"])


def _about(metadata: Mapping[str, str], title: str) -> dict[str, Any]:
    """What the file says of itself, checked."""
    try:
        about = json.loads(metadata[_KEY])
        form = about["format"]
        if not _whole(form):
            raise TypeError
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(
            f"The {SAMPLE} of {title} was not written by hf-unet: it does not say what it holds."
        ) from error
    if form > FORMAT:
        raise ModelError(
            f"The {SAMPLE} of {title} was written by a newer version of hf-unet, and this one may "
            "misread it. Upgrade with `pip install --upgrade hf-unet`."
        )
    name, tile = about.get("name"), about.get("tile")
    fits = (
        _whole(about.get("bit_depth"))
        and (name is None or isinstance(name, str))
        and isinstance(about.get("source"), str)
        and isinstance(tile, list)
        and len(tile) == 2
        and all(_whole(side) for side in tile)
        and isinstance(about.get("settings"), dict)
    )
    if not fits:
        raise ModelError(
            f"The {SAMPLE} of {title} is damaged: it no longer says how it was made. Download it "
            "again, or leave it out."
        )
    return dict(about)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _size(image: ScienceImage, classes: int) -> tuple[int, int]:
    """Height and width to keep: not square, so that the two cannot be mistaken for each other."""
    per_pixel = len(image) * image.itemsize + classes * np.float32().itemsize
    side = min(SIDE, max(1, math.isqrt(BYTES // per_pixel)))
    return min(image.shape[1], side), min(image.shape[2], side - side // 16)


def _tile(length: int, geometry: Geometry) -> int:
    """Side of tiles of which two meet within the length, where the network's grid allows."""
    half = -(-length // 2)
    return geometry.input_size(-(-half // geometry.grid) * geometry.grid)
