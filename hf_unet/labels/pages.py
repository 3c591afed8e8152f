"""One label image -> Labels: its pages, values, palette or colors."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.labels import advice
from hf_unet.labels.evidence import left_out_value, looks_scattered, looks_smoothed, may_be_classes
from hf_unet.labels.files import LabelPages, open_pages
from hf_unet.labels.ground_truth import Labels, Request, has_background, multilabel
from hf_unet.labels.palettes import labels_of_indices
from hf_unet.labels.values import (
    as_grey,
    as_mask,
    class_indices,
    class_keys,
    color_keys,
    color_name,
    counted,
    described,
    refusal,
    value_left_out,
    whole_numbers,
)

Array: TypeAlias = NDArray[Any]


def labels_of_image(source: object, name: str, request: Request) -> Labels:
    """Read one label image by the rules of ``read_labels``."""
    count = len(request.classes)
    sizes: set[int] | None = set()
    if request.kind == "multilabel":
        sizes = None if count > 1 else set()
    elif request.kind is None and request.colors is None:
        sizes = {n for n in (count, count - has_background(request.classes)) if n > 1}
    opened = open_pages(source, page=request.page, stack_sizes=sizes, name=name)
    if len(opened.pages) > 1:
        stacked = _from_stack(opened, request)
        if stacked is not None:
            return stacked
    labels = _from_page(opened, request)
    if opened.page_count > 1:
        found = f"page {request.page} of {opened.page_count} (from 0): {labels.found}"
        return request.labels(labels.kind, labels.array, found)
    return labels


def _from_stack(opened: LabelPages, request: Request) -> Labels | None:
    """All pages as one mask per class; None if kind is open and they are something else."""
    masks = []
    for index, page in enumerate(opened.pages):
        name = f"Page {index} of {opened.name}"
        try:
            values = labels_of_indices(
                page, opened.palette_of(index), name, threshold=request.threshold
            )
            masks.append(as_mask(values, name, request.threshold))
        except LabelError:
            if request.kind == "multilabel":
                raise
            return None
    if len({mask.shape for mask in masks}) > 1:
        if request.kind == "multilabel":
            raise LabelError(f"The pages of {opened.name} differ in size.")
        return None
    planes = np.stack(masks)
    complete = len(planes) == len(request.classes) and has_background(request.classes)
    if request.kind is None and complete and (planes[0] == planes[1:].any(axis=0)).any():
        return None
    return multilabel(planes, opened.name, "page", request)


def _from_page(opened: LabelPages, request: Request) -> Labels:
    values, name = opened.pages[0], opened.name
    if request.colors is not None:
        return _from_colors(values, opened, request)
    values = labels_of_indices(
        as_grey(values),
        opened.palette_of(0),
        name,
        count=len(request.classes),
        threshold=request.threshold,
    )
    if request.threshold is not None:
        return _from_threshold(values, name, request)
    if values.ndim == 3:
        return _from_colors(values, opened, request)
    values = whole_numbers(values, name)
    if request.kind == "instances":
        return _instances(values, opened, request)
    if len(request.classes) == 1:
        return _one_class(as_mask(values, name, None), values, request)
    indices = class_indices(values, name, request.classes)
    if indices is not None:
        return _class_map(indices, described(np.unique(values)), request)
    if request.kind is None and len(request.classes) == 2 and not opened.lossy:
        return _guessed_instances(values, opened, request)
    raise refusal(values, name, request.classes, opened.lossy)


def _guessed_instances(values: Array, opened: LabelPages, request: Request) -> Labels:
    """Instances in a label of two classes, if its values can hardly be anything else."""
    found, name = np.unique(values), opened.name
    top = left_out_value(values)
    if top is not None:
        raise value_left_out(name, found, top)
    if found[0] != 0 or looks_smoothed(values):
        raise refusal(values, name, request.classes, opened.lossy)
    names = ", ".join(request.classes)
    if found.tolist() == [0, 1, 2] and not has_background(request.classes):
        raise LabelError(
            f"{name} holds {described(found)}: they may be {names} above a background of 0, or two "
            "objects.",
            advice.FOR_CLASSES_ABOVE_ZERO,
        )
    if may_be_classes(values):
        raise LabelError(
            f"{name} holds {described(found)} for two classes ({names}), and by how they lie they "
            "may be classes as well as objects.",
            advice.FOR_CLASSES_OR_OBJECTS,
        )
    return _instances(values, opened, request)


def _class_map(indices: Array, what: str, request: Request) -> Labels:
    """Return a class map, as a stack of its classes if that was asked for."""
    found = f"{what}: {counted(len(request.classes), 'class', 'classes')} "
    found += f"({', '.join(request.classes)})"
    present = np.unique(indices)
    if len(present) == 1:
        found = f"{what}: every pixel is {request.classes[present[0]]}"
    labels = request.labels("classes", indices.astype(np.uint8), found)
    if request.kind == "multilabel":
        return request.labels("multilabel", labels.stack(), found)
    return labels


def _one_class(mask: NDArray[np.bool_], values: Array, request: Request) -> Labels:
    if request.kind == "classes":
        raise LabelError(
            f"A class map needs two classes at least, and {request.classes[0]} is the only one: "
            "name the background too."
        )
    found = f"{described(np.unique(values))}: one class ({request.classes[0]})"
    return request.labels("multilabel", mask[np.newaxis], found)


def _from_threshold(values: Array, name: str, request: Request) -> Labels:
    mask = as_mask(values, name, request.threshold)
    what = f"{described(np.unique(as_grey(values)))}, above {request.threshold:g} foreground"
    if request.kind == "instances":
        raise LabelError("A threshold makes a mask, not instances: leave one of the two out.")
    if len(request.classes) == 1:
        return _one_class(mask, values, request)
    if len(request.classes) > 2:
        raise LabelError(
            f"A threshold parts {name} into two classes, but "
            f"{counted(len(request.classes), 'class', 'classes')} are named "
            f"({', '.join(request.classes)})."
        )
    return _class_map(mask.astype(np.uint8), what, request)


def _instances(values: Array, opened: LabelPages, request: Request) -> Labels:
    found = np.unique(values)
    if found[0] < 0:
        raise LabelError(f"{opened.name} holds {described(found)}: instance ids are not negative.")
    if looks_scattered(values) or (opened.lossy and len(found) > 2):
        raise LabelError(
            f"{opened.name} holds {described(found)}, scattered as in an anti-aliased or "
            "JPEG-compressed mask or a photograph; an object is in few pieces, all of one value.",
            advice.for_scattered_ids(found),
        )
    count = int((found != 0).sum())
    what = f"{described(found)}: {count} instance{'' if count == 1 else 's'}"
    return request.labels("instances", values.astype(np.int32), what)


def _from_colors(values: Array, opened: LabelPages, request: Request) -> Labels:
    """Colors as classes or, asked for, as instances."""
    name, count = opened.name, len(request.classes)
    palette = opened.palette_of(0)
    if values.ndim == 2 and palette is not None:
        if values.max() >= len(palette):
            raise LabelError(f"{name} uses palette entries that its palette does not have.")
        values = palette[values]
    if values.ndim == 2:
        if values.dtype.kind == "b":
            values = values.astype(np.uint8) * np.uint8(255)
        whole = whole_numbers(values, name)
        if whole.min() < 0 or whole.max() > 255:
            found = described(np.unique(whole))
            raise LabelError(f"{name} holds {found}: class colors are of 0..255.")
        values = np.repeat(whole.astype(np.uint8)[:, :, np.newaxis], 3, axis=2)
    found_keys, keys = color_keys(values)
    listed = ", ".join(color_name(int(key)) for key in found_keys[:6])
    listed += ", ..." if len(found_keys) > 6 else ""
    if request.kind == "instances":
        return _color_instances(keys, name, listed, opened.lossy, request)
    if request.colors is not None:
        order = class_keys(request.colors)
        strange = ~np.isin(keys, order)
        if strange.any():
            example = color_name(int(keys[strange][0]))
            wanted = ", ".join(color_name(key) for key in order)
            raise LabelError(
                f"{name} holds {counted(len(found_keys), 'color')} ({listed}); "
                f"{strange.mean():.1%} of the pixels, such as {example}, have none of the class "
                f"colors {wanted}. Add the missing color, or save the label without smoothing or "
                "JPEG."
            )
    elif count == 2 and len(found_keys) == 1:
        order = [0, int(found_keys[0])]
    elif len(found_keys) == count and found_keys[0] == 0:
        order = sorted(found_keys.tolist(), key=lambda k: (k & 255, k >> 8 & 255, k >> 16))
    elif len(found_keys) > 256:
        raise LabelError(
            f"{name} holds {len(found_keys)} different colors, as a photograph or a JPEG does; a "
            "label has one flat color per class or object. Choose the label file, or save it again "
            "as PNG or TIFF."
        )
    else:
        raise LabelError(
            f"{name} holds {counted(len(found_keys), 'color')} ({listed}) for "
            f"{counted(count, 'class', 'classes')} ({', '.join(request.classes)}).",
            advice.FOR_COLORS,
        )
    indices = np.zeros(keys.shape, np.uint8)
    for index, key in enumerate(order):
        indices[keys == key] = index
    what = f"{counted(len(found_keys), 'color')} ("
    what += ", ".join(
        f"{color_name(key)} = {label}"
        for key, label in zip(order, request.classes, strict=False)
        if key in found_keys
    )
    return _class_map(indices, what + ")", request)


def _color_instances(
    keys: NDArray[np.int64], name: str, listed: str, lossy: bool, request: Request
) -> Labels:
    found = np.unique(keys)
    background = class_keys(request.colors)[0] if request.colors else 0
    if lossy or looks_smoothed(keys):
        raise LabelError(
            f"{name} holds {counted(len(found), 'color')} ({listed}), scattered as in a JPEG or a "
            "photograph: save the instances again as PNG or TIFF, one flat color each."
        )
    if background not in found and 0xFFFFFF in found and request.colors is None:
        raise LabelError(
            f"{name} has no black background, but white in it.", advice.FOR_WHITE_BACKGROUND
        )
    ids = np.where(keys == background, 0, keys)
    if background != 0 and 0 in found:
        raise LabelError(
            f"{name} has black objects on {color_name(background)}: black stands for id 0, so "
            "give them another color."
        )
    count = int((found != background).sum())
    what = f"{counted(len(found), 'color')} ({listed}): {counted(count, 'instance')}, "
    what += "ids are red + 256 green + 65536 blue"
    return request.labels("instances", ids.astype(np.int32), what)
