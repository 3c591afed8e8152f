"""Several masks, as a list or a folder: one per class or one per object -> Labels."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.labels.files import MASK_SUFFIXES, open_pages, source_name
from hf_unet.labels.ground_truth import Labels, Request, has_background, multilabel
from hf_unet.labels.palettes import labels_of_indices
from hf_unet.labels.values import as_grey, as_mask, counted


def labels_of_folder(folder: Path, request: Request) -> Labels:
    """Read a folder of masks: named after the classes, else one mask per object."""
    if (folder / "masks").is_dir():
        folder = folder / "masks"
    try:
        files = [
            f for f in folder.iterdir() if f.suffix.lower() in MASK_SUFFIXES and f.name[0] != "."
        ]
    except OSError as error:
        raise LabelError(f"The folder {folder.name} cannot be read.") from error
    if not files:
        raise LabelError(f"The folder {folder.name} holds no mask images.")
    by_name = {re.sub(r"[\W_]+", " ", f.stem).strip().lower(): f for f in files}
    wanted = [re.sub(r"[\W_]+", " ", c).strip().lower() for c in request.classes]
    if request.kind != "instances" and all(c in by_name for c in wanted):
        return labels_of_masks([by_name[c] for c in wanted], f"the folder {folder.name}", request)
    if request.kind == "multilabel" or len(request.classes) > 2:
        raise LabelError(
            f"The folder {folder.name} does not hold one mask named after each of the classes "
            f"{', '.join(request.classes)}: name the files so, or give them as a list in order."
        )
    objects = _mask_objects(sorted(files), request)
    if request.kind == "classes":
        return request.labels("classes", objects.class_map(), objects.found)
    return objects


def labels_of_masks(sources: list[object], name: str, request: Request) -> Labels:
    """Read a list of masks: one per class in their order, or one per object."""
    if not sources:
        raise LabelError(f"{name[:1].upper()}{name[1:]} is empty.")
    count = len(request.classes)
    if request.kind == "instances" or (
        request.kind is None and count <= 2 and len(sources) > count
    ):
        return _mask_objects(sources, request)
    masks = _masks(sources, request)
    # One or two masks beside "background": objects, unless the first is the background's.
    beside_background = request.kind is None and count == 2 and has_background(request.classes)
    if beside_background and (len(masks) == 1 or (masks[0] == masks[1]).any()):
        return _objects(masks, request)
    labels = multilabel(np.stack(masks), name, "mask", request)
    if request.kind == "classes":
        return request.labels("classes", labels.class_map(), labels.found)
    return labels


def _mask_objects(sources: Sequence[object], request: Request) -> Labels:
    return _objects(_masks(sources, request), request)


def _objects(masks: Sequence[NDArray[np.bool_]], request: Request) -> Labels:
    """One mask per object; its id is its place in the list, from 1."""
    ids = np.zeros(masks[0].shape, np.int32)
    contested = 0
    for number, mask in enumerate(masks, 1):
        contested += int((ids[mask] != 0).sum())
        ids[mask] = number
    found = f"{counted(len(masks), 'mask')} of one object each: {counted(len(masks), 'instance')}"
    if contested:
        found += f"; {contested} pixels lie in several, the later one has them"
    return request.labels("instances", ids, found)


def _masks(sources: Sequence[object], request: Request) -> list[NDArray[np.bool_]]:
    masks: list[NDArray[np.bool_]] = []
    for index, source in enumerate(sources):
        name = source_name(source)
        name = f"mask {index} of the list" if name == "the label image" else name
        opened = open_pages(source, page=request.page, name=name)
        page = labels_of_indices(
            as_grey(opened.pages[0]), opened.palette_of(0), name, threshold=request.threshold
        )
        mask = as_mask(page, name, request.threshold)
        if masks and mask.shape != masks[0].shape:
            (height, width), (rows, columns) = mask.shape, masks[0].shape
            raise LabelError(
                f"{name} is {width} x {height} pixels, the first mask {columns} x {rows}: masks of "
                "one image have one size."
            )
        masks.append(mask)
    return masks
