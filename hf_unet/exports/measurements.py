"""Instances -> a table of measurements, one object a row."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage import measure

from hf_unet.errors import LabelError
from hf_unet.exports.checks import check_instances, names_by_id
from hf_unet.exports.files import write_csv


def region_table(
    instances: npt.ArrayLike, image: npt.ArrayLike | None = None
) -> dict[str, npt.NDArray[Any]]:
    """Measure every instance.

    Parameters
    ----------
    instances
        (H, W) ids, 0 = background.
    image
        (C, H, W) or (H, W), any number type: adds the columns ``mean_intensity_1`` ...
        ``mean_intensity_C``, in the image's own units.

    Returns
    -------
    dict
        Columns of one length, by ascending id: ``id``; ``area`` in pixels; ``centroid_y`` and
        ``centroid_x`` in pixels from the *center* of the top left pixel, as scikit-image has
        them (add 0.5 for the corner, where outlines are measured from); ``eccentricity`` of the
        ellipse of equal second moments, 0 (circle) to 1 (line); mean intensities.

    Raises
    ------
    LabelError
        Image and instances differ in size, or the instances are not a 2-D array.

    Examples
    --------
    >>> table = region_table([[0, 3, 3], [0, 3, 3]], image=[[9, 1, 2], [9, 3, 4]])
    >>> {name: column.tolist() for name, column in table.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'id': [3], 'area': [4], 'centroid_y': [0.5], 'centroid_x': [1.5], 'eccentricity': [0.0],
     'mean_intensity_1': [2.5]}
    """
    ids = check_instances(instances)
    properties = ["label", "num_pixels", "centroid", "eccentricity"]
    renamed = {
        "label": "id",
        "num_pixels": "area",
        "centroid-0": "centroid_y",
        "centroid-1": "centroid_x",
        "eccentricity": "eccentricity",
    }
    intensity = None
    if image is not None:
        array = np.asarray(image)
        channels = array[np.newaxis] if array.ndim == 2 else array
        if channels.ndim != 3 or channels.shape[1:] != ids.shape:
            raise LabelError(
                f"The image, {array.shape}, and the instances, {ids.shape}, differ in size; "
                "give the image that was segmented, as (channels, height, width)."
            )
        properties.append("intensity_mean")
        for c in range(len(channels)):
            renamed[f"intensity_mean-{c}"] = f"mean_intensity_{c + 1}"
        intensity = np.moveaxis(channels, 0, -1)
    regionprops_table: Callable[..., dict[str, npt.NDArray[Any]]] = measure.regionprops_table
    table = regionprops_table(ids, intensity, properties=properties)
    return {name: table[key] for key, name in renamed.items()}


def write_objects_csv(
    path: str | os.PathLike[str],
    instances: npt.ArrayLike,
    image: npt.ArrayLike | None = None,
    class_of: Mapping[int, str] | Sequence[str] | None = None,
) -> None:
    """Write the measurements of `region_table`, one object a line, under a header.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    instances, image
        As in `region_table`.
    class_of
        Class names, as in `write_geojson`; adds the column ``label`` after ``id``.
    """
    table = region_table(instances, image)
    if class_of is not None:
        names = names_by_id(table["id"].tolist(), class_of)
        labels = np.array(list(names.values()), dtype=object)
        table = {"id": table.pop("id"), "label": labels, **table}
    columns = [column.tolist() for column in table.values()]
    write_csv(path, tuple(table), zip(*columns, strict=True))
