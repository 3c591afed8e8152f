"""Instances -> a table of measurements, one object a row."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage import measure

from hf_unet.errors import LabelError
from hf_unet.exports.checks import check_planes, names_by_id
from hf_unet.exports.files import write_csv

Table = dict[str, npt.NDArray[Any]]

_SHAPE = {
    "label": "id",
    "num_pixels": "area",
    "centroid-1": "centroid_x",
    "centroid-0": "centroid_y",
    "bbox-1": "left",
    "bbox-0": "top",
    "bbox-3": "right",
    "bbox-2": "bottom",
    "eccentricity": "eccentricity",
    "equivalent_diameter_area": "equivalent_diameter",
}
"""scikit-image's columns and ours."""

_INTENSITY = {"intensity_mean": "mean", "intensity_min": "min", "intensity_max": "max"}


def region_table(
    instances: npt.ArrayLike,
    image: npt.ArrayLike | None = None,
    probability: npt.ArrayLike | None = None,
) -> Table:
    """Measure every instance.

    Parameters
    ----------
    instances
        (H, W) ids, 0 = background; or (L, H, W) where objects overlap.
    image
        (C, H, W) or (H, W), any number type: adds the columns ``mean_intensity_1``,
        ``min_intensity_1``, ``max_intensity_1``, ... of each channel, in the image's own units.
    probability
        (L, H, W) or (H, W), like the instances: how probable the class is that a pixel has there.
        Adds the column ``mean_probability``.

    Returns
    -------
    dict
        Columns of one length, by ascending id: ``id``; ``area`` in pixels; ``centroid_x`` and
        ``centroid_y`` in pixels from the *center* of the top left pixel, as scikit-image has
        them (add 0.5 for the corner, where outlines are measured from); ``left``, ``top``,
        ``right`` and ``bottom`` of the bounding box, in pixels from that corner;
        ``eccentricity`` of the ellipse of equal second moments, 0 (circle) to 1 (line);
        ``equivalent_diameter`` of the circle of equal area; intensities; probability.

    Raises
    ------
    LabelError
        Image or probability and instances differ in size, or the instances are no such array.

    Examples
    --------
    >>> table = region_table([[0, 3, 3], [0, 3, 3]], image=[[9, 1, 2], [9, 3, 4]])
    >>> {name: round(column.item(), 3) for name, column in table.items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'id': 3, 'area': 4, 'centroid_x': 1.5, 'centroid_y': 0.5,
     'left': 1, 'top': 0, 'right': 3, 'bottom': 2,
     'eccentricity': 0.0, 'equivalent_diameter': 2.257,
     'mean_intensity_1': 2.5, 'min_intensity_1': 1, 'max_intensity_1': 4}
    """
    planes = check_planes(instances)
    channels = None if image is None else np.asarray(image)
    if channels is not None:
        channels = channels[np.newaxis] if channels.ndim == 2 else channels
        _refuse_another_size("image", channels, planes.shape[1:])
    chances: Sequence[npt.NDArray[Any] | None] = [None] * len(planes)
    if probability is not None:
        stack = np.asarray(probability)
        stack = stack[np.newaxis] if stack.ndim == 2 else stack
        _refuse_another_size("probability", stack, planes.shape[1:])
        if len(stack) != len(planes):
            raise LabelError(
                f"There are {len(planes)} planes of instances, but {len(stack)} of probability; "
                "give one for each."
            )
        chances = list(stack)
    tables = [_measured(ids, channels, chance) for ids, chance in zip(planes, chances, strict=True)]
    joined = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    order = np.argsort(joined["id"], kind="stable")
    if (np.diff(joined["id"][order]) == 0).any():
        raise LabelError("An instance is in two planes of the stack. Number each object once.")
    return {name: column[order] for name, column in joined.items()}


def write_objects_csv(
    path: str | os.PathLike[str],
    table: Mapping[str, npt.NDArray[Any]],
    class_of: Mapping[int, str] | Sequence[str] | None = None,
) -> None:
    """Write measurements, one object a line, under a header.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    table
        From `region_table`.
    class_of
        Class names, as in `write_geojson`; adds the column ``class`` after ``id``.
    """
    columns = {name: column.tolist() for name, column in table.items()}
    if class_of is not None:
        names = names_by_id(columns["id"], class_of)
        columns = {"id": columns.pop("id"), "class": list(names.values()), **columns}
    write_csv(path, tuple(columns), zip(*columns.values(), strict=True))


def _measured(
    ids: npt.NDArray[Any],
    channels: npt.NDArray[Any] | None,
    probability: npt.NDArray[Any] | None,
) -> Table:
    """Columns of one plane, by ascending id."""
    renamed = dict(_SHAPE)
    properties = list(dict.fromkeys(name.partition("-")[0] for name in _SHAPE))
    intensity = None
    if channels is not None:
        properties += _INTENSITY
        for c in range(len(channels)):
            renamed |= {
                f"{name}-{c}": f"{ours}_intensity_{c + 1}" for name, ours in _INTENSITY.items()
            }
        intensity = np.moveaxis(channels, 0, -1)
    regionprops_table: Callable[..., Table] = measure.regionprops_table
    found = regionprops_table(ids, intensity, properties=properties)
    table = {ours: found[name] for name, ours in renamed.items()}
    if channels is not None and channels.dtype.kind in "iu":
        # scikit-image gives the extremes of whole numbers as floats.
        extremes = [name for name in table if name.startswith(("min_", "max_"))]
        table |= {name: table[name].astype(channels.dtype) for name in extremes}
    if probability is not None:
        inside = ids > 0
        sums = np.bincount(ids[inside], weights=probability[inside])
        table["mean_probability"] = sums[table["id"]] / table["area"]
    return table


def _refuse_another_size(what: str, channels: npt.NDArray[Any], size: tuple[int, ...]) -> None:
    if channels.ndim != 3 or channels.shape[1:] != size:
        raise LabelError(
            f"The {what}, {channels.shape}, and the instances, {size}, differ in size; give that "
            "of the image that was segmented, as (channels, height, width)."
        )
