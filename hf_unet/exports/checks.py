"""What may be exported: instances, multi-label stacks, and the names that go with them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from hf_unet.errors import LabelError

Value = TypeVar("Value")


def check_planes(instances: npt.ArrayLike) -> npt.NDArray[Any]:
    """Give instances as (L, H, W) int32 or int64, from one plane (H, W) or from several.

    LabelError unless they are whole and not negative.
    """
    ids = np.asarray(instances)
    if ids.ndim != 3:
        return check_instances(ids)[np.newaxis]
    if len(ids) == 0:
        raise LabelError("The stack of instances has no plane; give one at least.")
    return check_instances(ids.reshape(-1, ids.shape[-1])).reshape(ids.shape)


def by_instance(
    instances: npt.ArrayLike, describe: Callable[[npt.NDArray[Any]], dict[int, Value]]
) -> dict[int, Value]:
    """Put together what ``describe`` says of each plane of instances, by ascending id.

    LabelError if an id is in two planes: it would be two objects.
    """
    found: dict[int, Value] = {}
    for plane in check_planes(instances):
        here = describe(plane)
        if twice := found.keys() & here.keys():
            raise LabelError(
                f"Instance {min(twice)} is in two planes of the stack. Number the objects of all "
                "planes from 1 on, each number once."
            )
        found |= here
    return dict(sorted(found.items()))


def check_instances(instances: npt.ArrayLike) -> npt.NDArray[Any]:
    """Give the instances as (H, W) int32 or int64; LabelError unless 2-D, whole, not negative."""
    ids = np.asarray(instances)
    if ids.ndim != 2 or ids.size == 0 or ids.dtype.kind not in "biu":
        raise LabelError(
            "Instances must be a 2-D array of whole numbers, 0 = background; "
            f"this one has shape {ids.shape} and type {ids.dtype}."
        )
    if ids.min() < 0:
        raise LabelError(
            f"Instance numbers must not be negative; the smallest is {ids.min()}. "
            "Use 0 for background and one positive number for each object."
        )
    # Those of a hundred megapixels are copied only where they must be.
    return ids if ids.dtype == np.int32 else ids.astype(np.int64)


def check_stack(stack: npt.ArrayLike, classes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Give the stack as (K, H, W) bool; LabelError unless it has one mask for each name."""
    array = np.asarray(stack)
    if array.ndim != 3 or array.size == 0 or array.dtype.kind not in "biu":
        raise LabelError(
            "A multi-label stack must be an array of (classes, height, width) in yes and no; this "
            f"one has shape {array.shape} and type {array.dtype}."
        )
    if len(array) != len(classes):
        raise LabelError(
            f"The stack has {len(array)} masks, but {len(classes)} class names are given; "
            "give one name for each mask."
        )
    return array.astype(np.bool_)


def names_by_id(ids: Iterable[int], names: Mapping[int, str] | Sequence[str]) -> dict[int, str]:
    """Give each id, in this order, its name from a mapping or a sequence in the same order."""
    wanted = list(ids)
    if isinstance(names, Mapping):
        missing = [n for n in wanted if n not in names]
        if missing:
            raise LabelError(f"Instance {missing[0]} has no class name; give one for every id.")
        return {n: names[n] for n in wanted}
    if isinstance(names, str) or len(names) != len(wanted):
        count = 1 if isinstance(names, str) else len(names)
        raise LabelError(
            f"There are {len(wanted)} instances, but {count} class names are given; give one for "
            "each instance, in the order of their numbers, or a mapping from number to name."
        )
    return dict(zip(wanted, names, strict=True))
