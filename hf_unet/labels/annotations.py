"""Polygon annotations -> Labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.images import MAX_PIXELS
from hf_unet.labels.ground_truth import Labels, Request, has_background
from hf_unet.labels.polygons import read_polygons, region_mask
from hf_unet.labels.values import counted


def labels_of_polygons(source: bytes | dict[str, Any], name: str, request: Request) -> Labels:
    """Draw the regions of a polygon file by the rules of ``read_labels``."""
    file = read_polygons(source, name)
    size = file.size or request.size
    if size is None:
        raise LabelError(f"{name} does not state the image's size: pass size=(height, width).")
    if size[0] * size[1] > MAX_PIXELS:
        raise LabelError(f"{name} is for an image of {size[1]} x {size[0]} pixels: too many.")
    classes = request.classes
    lowered = {label.lower(): index for index, label in enumerate(classes)}
    any_label = classes == ("background", "foreground")
    placed: list[tuple[int, NDArray[np.bool_]]] = []
    left_out = 0
    for region in file.regions:
        index = lowered.get(region.label.strip().lower())
        if index is None and region.label.strip().lower() == "ignore":
            left_out += 1
            continue
        if index is None and not any_label:
            known = ", ".join(sorted({r.label for r in file.regions}))
            raise LabelError(
                f"{name} has regions labeled {known}, but the classes are {', '.join(classes)}: "
                f"there is no class {region.label}."
            )
        mask = region_mask(region, size)
        beyond = np.concatenate(region.paths)
        if (beyond.max(axis=0) <= 0).any() or (beyond.min(axis=0) >= size[::-1]).any():
            raise LabelError(
                f"A region labeled {region.label} in {name} lies outside the image of "
                f"{size[1]} x {size[0]} pixels: is this the annotation of another image?"
            )
        placed.append((1 if index is None else index, mask))
    parts = sorted({region.label for region in file.regions})
    found = f"{counted(len(file.regions), 'region')} labeled {', '.join(parts)}"
    found += f", {counted(left_out, 'region')} to ignore left out" if left_out else ""
    if request.kind == "instances":
        ids = np.zeros(size, np.int32)
        objects = [mask for index, mask in placed if index or not has_background(classes)]
        for number, mask in enumerate(objects, 1):
            ids[mask] = number
        overlap = int((np.sum(objects, axis=0, dtype=np.int64) > 1).sum()) if objects else 0
        found += f" ({overlap} pixels in several, the last has them)" if overlap else ""
        return request.labels("instances", ids, f"{found}: {counted(len(objects), 'instance')}")
    planes = np.zeros((len(classes), *size), np.bool_)
    for index, mask in placed:
        planes[index] |= mask
    if has_background(classes):
        planes[0] |= ~planes.any(axis=0)
    labels = request.labels("multilabel", planes, f"{found}: classes {', '.join(classes)}")
    overlap = (planes.sum(axis=0) > 1).any()
    if request.kind == "classes" or (
        request.kind is None and has_background(classes) and not overlap
    ):
        return request.labels("classes", labels.class_map(), labels.found)
    return labels
