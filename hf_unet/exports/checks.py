"""What may be exported: instances, multi-label stacks, and the names that go with them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hf_unet.errors import LabelError


def check_instances(instances: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Give the instances as (H, W) int64; LabelError unless 2-D, whole and not negative."""
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
    return ids.astype(np.int64)


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
