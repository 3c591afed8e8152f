"""Instances -> COCO's JSON, which `hf_unet.labels.read_coco` and annotation tools read."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_unet.errors import LabelError
from hf_unet.exports.checks import by_instance, check_planes, names_by_id
from hf_unet.exports.files import write_json_rows
from hf_unet.exports.rle import instance_runs


def write_coco(
    path: str | os.PathLike[str],
    instances: npt.ArrayLike,
    class_of: Mapping[int, str] | Sequence[str],
    categories: Sequence[str],
    image: str,
) -> None:
    """Write every instance as an annotation of COCO, its pixels as exact run lengths.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    instances
        (H, W) ids, 0 = background; or (L, H, W) where objects overlap.
    class_of
        Class names: id -> name, or a sequence in the order of ascending ids.
    categories
        All names of classes, also of those that are not there; their ids count from 1.
    image
        File name of the image.

    Raises
    ------
    LabelError
        An instance has no class name, or one that is no category; or the instances are not whole
        numbers of two or three axes.

    Notes
    -----
    The run lengths are COCO's uncompressed ones: column by column, empty and full in turn, empty
    first. Unlike polygons they keep holes and pieces. ``iscrowd`` is 0: each is one object.
    ``bbox`` is [x, y, width, height] in pixels. An annotation's id is the instance's.
    """
    planes = check_planes(instances)
    height, width = planes.shape[1:]
    runs = by_instance(planes, instance_runs)
    names = names_by_id(runs, class_of)
    number_of = {name: number for number, name in enumerate(categories, start=1)}
    if unknown := [name for name in names.values() if name not in number_of]:
        raise LabelError(
            f"An instance is of the class {unknown[0]}, but the categories are "
            f"{', '.join(categories)}; give all of them."
        )
    annotations = [
        {
            "id": instance,
            "image_id": 1,
            "category_id": number_of[names[instance]],
            "segmentation": {"size": [height, width], "counts": _counts(pairs, height * width)},
            "area": int(pairs[:, 1].sum()),
            "bbox": _box(pairs, height),
            "iscrowd": 0,
        }
        for instance, pairs in runs.items()
    ]
    content = {
        "info": {"description": f"Objects found in {image} by hf-unet"},
        "images": [{"id": 1, "file_name": image, "width": width, "height": height}],
        "categories": [{"id": number, "name": name} for name, number in number_of.items()],
    }
    write_json_rows(path, content, "annotations", annotations)


def _counts(runs: npt.NDArray[np.int64], pixels: int) -> list[int]:
    """Lengths of empty and full runs in turn, from (n, 2) starts and lengths of full ones."""
    starts, lengths = runs.T
    ends = starts + lengths
    counts = np.empty(2 * len(runs) + 1, np.int64)
    counts[0] = starts[0]
    counts[1::2] = lengths
    counts[2:-1:2] = starts[1:] - ends[:-1]
    counts[-1] = pixels - ends[-1]
    listed: list[int] = (counts if counts[-1] else counts[:-1]).tolist()
    return listed


def _box(runs: npt.NDArray[np.int64], height: int) -> list[Any]:
    """[x, y, width, height] of column-major runs."""
    first, last = runs[:, 0], runs.sum(axis=1) - 1
    left, right = int(first[0] // height), int(last[-1] // height)
    top, bottom = int((first % height).min()), int((last % height).max())
    if (first // height != last // height).any():  # from the foot of a column to the next's head
        top, bottom = 0, height - 1
    return [left, top, right - left + 1, bottom - top + 1]
