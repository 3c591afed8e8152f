"""Class maps, multi-label stacks and instances as image files, and back."""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from hf_unet.errors import LabelError
from hf_unet.exports.checks import check_planes, check_stack
from hf_unet.exports.files import whole_file, write_whole

_PAGE_NAME = 285  # TIFF 6.0
_COLOR_MAP = 320
_LARGEST_TIFF = 2**32 - 2**25
"""Bytes; beyond them only BigTIFF has room, which ImageJ opens through Bio-Formats."""


def write_mask_png(path: str | os.PathLike[str], mask: npt.ArrayLike) -> None:
    """Write a class map as a grey PNG whose values are the class indices.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    mask
        (H, W) class indices 0 .. 255. The picture looks black where there are few classes: it
        is data, not a view.

    Raises
    ------
    LabelError
        The mask is not 2-D, not of whole numbers, or leaves 0 .. 255.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biu":
        raise LabelError(
            "A class map must be a 2-D array of whole numbers to be written as PNG; this one has "
            f"shape {array.shape} and type {array.dtype}."
        )
    if array.min() < 0 or array.max() > 255:
        raise LabelError(
            f"A class map in an 8-bit PNG holds 0 to 255; this one holds {array.min()} to "
            f"{array.max()}. Write instances with write_instances_tiff."
        )
    stream = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(stream, format="PNG")
    write_whole(path, stream.getvalue())


def read_mask_png(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Read what `write_mask_png` wrote: (H, W) uint8 class indices."""
    with Image.open(path) as image:
        if image.mode != "L":
            raise LabelError(
                f"{Path(path).name} is not an 8-bit grey PNG (its mode is {image.mode}), so its "
                "values are not class indices."
            )
        return np.array(image, dtype=np.uint8)


def write_stack_tiff(
    path: str | os.PathLike[str], stack: npt.ArrayLike, classes: Sequence[str]
) -> None:
    """Write a multi-label stack as a TIFF of one page for each class, 255 inside and 0 outside.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    stack
        (K, H, W) bool; classes may overlap.
    classes
        K names. Each page bears its own (tag PageName, UTF-8), and the first page's description
        lists them all as JSON.

    Raises
    ------
    LabelError
        The stack is not (K, H, W) with K names, or is empty.
    """
    array = check_stack(stack, classes)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for k, name in enumerate(classes):
            encoded = name.encode() + b"\0"
            writer.write(
                array[k].astype(np.uint8) * 255,
                photometric="minisblack",
                compression="zlib",
                contiguous=False,
                metadata=None,
                description=json.dumps({"classes": list(classes)}) if k == 0 else None,
                extratags=[(_PAGE_NAME, 2, len(encoded), encoded, True)],
            )
    write_whole(path, stream.getvalue())


def read_stack_tiff(
    path: str | os.PathLike[str],
) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Read what `write_stack_tiff` wrote: ((K, H, W) bool, the K class names)."""
    with tifffile.TiffFile(path) as file:
        stack = np.stack([page.asarray() for page in file.pages]) != 0
        description = file.pages.first.description
    try:
        classes = tuple(json.loads(description)["classes"])
    except (ValueError, KeyError, TypeError):
        raise LabelError(f"{Path(path).name} does not name the classes of its pages.") from None
    return stack, classes


def write_probabilities_tiff(
    path: str | os.PathLike[str], probabilities: npt.ArrayLike, classes: Sequence[str]
) -> None:
    """Write probabilities as a float32 TIFF that ImageJ opens as a stack with named channels.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    probabilities
        (K, H, W), 0 .. 1.
    classes
        K names.

    Raises
    ------
    LabelError
        The probabilities are not (K, H, W) with K names, or not numbers of floating point.

    Notes
    -----
    Not compressed, which every version of ImageJ reads; of more than 4 GB a BigTIFF, which
    ImageJ reads by Bio-Formats.
    """
    array = np.asarray(probabilities)
    if array.ndim != 3 or array.size == 0 or array.dtype.kind != "f" or len(array) != len(classes):
        raise LabelError(
            "Probabilities are an array of floats (classes, height, width) with a name for each "
            f"class; this one has shape {array.shape}, type {array.dtype} and {len(classes)} names."
        )
    metadata = {
        "axes": "CYX",
        "mode": "grayscale",
        "min": 0.0,
        "max": 1.0,
        "Ranges": (0.0, 1.0) * len(array),
        "Labels": list(classes),
    }
    large = array.size * 4 > _LARGEST_TIFF
    with whole_file(path) as file:
        tifffile.imwrite(
            file,
            array.astype(np.float32, copy=False),
            bigtiff=large,
            imagej=not large,
            photometric="minisblack",
            metadata={"axes": "CYX", "Labels": list(classes)} if large else metadata,
        )


def read_probabilities_tiff(
    path: str | os.PathLike[str],
) -> tuple[npt.NDArray[np.float32], tuple[str, ...]]:
    """Read what `write_probabilities_tiff` wrote: ((K, H, W) float32, the K class names)."""
    with tifffile.TiffFile(path) as file:
        array = file.asarray()
        metadata = file.imagej_metadata or (file.shaped_metadata or ({},))[0]
        names = metadata.get("Labels")
        if array.dtype != np.float32 or names is None:
            raise LabelError(f"{Path(path).name} holds no probabilities with named classes.")
    names = [names] if isinstance(names, str) else names
    return array.reshape(len(names), *array.shape[-2:]), tuple(names)


def write_instances_tiff(
    path: str | os.PathLike[str], instances: npt.ArrayLike, planes: Sequence[str] | None = None
) -> None:
    """Write instances as a TIFF that ImageJ opens in colors, with every id unchanged.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    instances
        (H, W) ids, 0 = background, up to 2**24; or (L, H, W) where objects overlap, which become
        the channels of a stack.
    planes
        L names for the channels.

    Raises
    ------
    LabelError
        The instances are not such an array, negative, or too large.

    Notes
    -----
    uint16; float32 if an id exceeds 65535, since ImageJ has no wider whole numbers. Not
    compressed, which every version of ImageJ reads. The display range is 0 to the largest id,
    but at most 255: ImageJ has 256 colors, and a wider range would draw the first objects as
    black as the background. Ids from 255 on therefore share a color, their numbers do not.
    """
    ids = check_planes(instances)
    largest = int(ids.max())
    if largest > 2**24:
        raise LabelError(
            f"The largest instance number is {largest}; ImageJ's float pixels keep whole numbers "
            f"only up to {2**24}. Number the objects from 1 on."
        )
    shown = float(min(max(largest, 1), 255))
    lut = _label_colors()
    metadata = {
        "min": 0.0,
        "max": shown,
        "Ranges": (0.0, shown) * len(ids),
        "LUTs": [lut] * len(ids),
    }
    if len(ids) > 1:
        metadata |= {"axes": "CYX", "mode": "color"}  # one channel at a time, in its colors
        if planes is not None:
            metadata["Labels"] = list(planes)
    with whole_file(path) as file:
        tifffile.imwrite(
            file,
            (ids if len(ids) > 1 else ids[0]).astype(np.uint16 if largest <= 65535 else np.float32),
            imagej=True,
            photometric="minisblack",
            metadata=metadata,
            # ImageJ takes a single plane's colors from the TIFF tag, several channels' from "LUTs".
            extratags=[(_COLOR_MAP, 3, lut.size, (lut.astype(np.uint16) * 257).ravel(), True)],
        )


def read_instances_tiff(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """Read what `write_instances_tiff` wrote: (H, W) or (L, H, W) int32 ids."""
    array = tifffile.imread(path)
    if array.ndim not in (2, 3) or array.dtype not in (np.uint16, np.float32):
        raise LabelError(f"{Path(path).name} holds no instances as this package writes them.")
    return array.astype(np.int32)


def _label_colors() -> npt.NDArray[np.uint8]:
    """(3, 256) uint8: black, then 255 distinct bright colors, neighbors unlike each other."""
    # Golden-ratio steps round the hue circle keep consecutive ids far apart; the brightness
    # cycles too, so that hues that come close again still differ.
    n = np.arange(256)
    hue = (n * 0.618033988749895) % 1
    value = 255 - 45 * (n % 3)
    saturation = 0.95 - 0.3 * (n % 2)
    # HSV -> RGB: each channel is a clipped triangle wave of the hue.
    wave = np.abs((hue + np.array([[0], [2 / 3], [1 / 3]])) % 1 * 6 - 3) - 1
    lut: npt.NDArray[np.uint8] = np.round(
        value * (1 - saturation * (1 - np.clip(wave, 0, 1)))
    ).astype(np.uint8)
    lut[:, 0] = 0
    return lut
