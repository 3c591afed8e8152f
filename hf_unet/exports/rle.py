"""Run-length encoding of masks, in Kaggle's convention and in its row-major twin."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hf_unet.errors import LabelError
from hf_unet.exports.checks import by_instance, check_stack, names_by_id
from hf_unet.exports.files import write_csv

Order = Literal["column-major", "row-major"]
RLE_COLUMNS = ("label", "id", "order", "first_pixel", "height", "width", "rle")


def encode_rle(mask: npt.ArrayLike, order: Order = "column-major") -> str:
    """Write the runs of True pixels as "start length start length ...", counted from 1.

    Parameters
    ----------
    mask
        (H, W) boolean, or numbers of which all but 0 count as True.
    order
        "column-major" (Kaggle: pixel 2 lies below pixel 1) or "row-major" (pixel 2 lies to the
        right of pixel 1).

    Returns
    -------
    str
        Empty if no pixel is True.

    Examples
    --------
    >>> encode_rle([[0, 1, 1], [0, 1, 0]])
    '3 3'
    >>> encode_rle([[0, 1, 1], [0, 1, 0]], order="row-major")
    '2 2 5 1'
    """
    array = np.asarray(mask)
    if array.ndim != 2:
        raise LabelError(f"A mask must be 2-D to be run-length coded; this has {array.ndim} axes.")
    return encode_instances_rle(array != 0, order).get(1, "")


def encode_instances_rle(instances: npt.ArrayLike, order: Order = "column-major") -> dict[int, str]:
    """Write the run-length code of every instance, from one pass over the pixels.

    Parameters
    ----------
    instances
        (H, W) whole numbers or booleans, 0 = background.
    order
        As in `encode_rle`.

    Returns
    -------
    dict
        Instance id, ascending, -> its code as of `encode_rle`.

    Examples
    --------
    >>> encode_instances_rle([[0, 4], [2, 4]])
    {2: '2 1', 4: '3 2'}
    """
    runs = instance_runs(instances, order)
    from_one = np.array([1, 0])
    return {
        instance: " ".join(map(str, (pairs + from_one).ravel().tolist()))
        for instance, pairs in runs.items()
    }


def instance_runs(
    instances: npt.ArrayLike, order: Order = "column-major"
) -> dict[int, npt.NDArray[np.int64]]:
    """Find the runs of every instance, from one pass over the pixels.

    Parameters
    ----------
    instances
        (H, W) whole numbers or booleans, 0 = background.
    order
        As in `encode_rle`.

    Returns
    -------
    dict
        Instance id, ascending, -> (n, 2) int64: first pixel, counted from 0, and length of each
        run, in their order. A run goes on from the end of one column (or row) to the next.

    Examples
    --------
    >>> {n: runs.tolist() for n, runs in instance_runs([[0, 4], [2, 4]]).items()}
    {2: [[1, 1]], 4: [[2, 2]]}
    """
    array = np.asarray(instances)
    flat = array.ravel(order=_memory_order(order))
    if flat.size == 0:
        return {}
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    values = flat[starts]
    inside = values != 0
    values, starts, lengths = values[inside], starts[inside], lengths[inside]
    by_value = np.argsort(values, kind="stable")
    runs = np.stack([starts[by_value], lengths[by_value]], axis=1)
    ids, first = np.unique(values[by_value], return_index=True)
    bounds = [*first.tolist(), len(runs)]
    return {int(instance): runs[bounds[n] : bounds[n + 1]] for n, instance in enumerate(ids)}


def decode_rle(
    rle: str, shape: tuple[int, int], order: Order = "column-major"
) -> npt.NDArray[np.bool_]:
    """Draw the mask that a run-length code describes: the inverse of `encode_rle`.

    Parameters
    ----------
    rle
        "start length start length ...", counted from 1.
    shape
        (H, W) of the mask in pixels.
    order
        The order in which the pixels were counted, as in `encode_rle`.

    Returns
    -------
    ndarray
        (H, W) bool.

    Raises
    ------
    LabelError
        The code is not made of pairs of whole numbers, or leaves the image.

    Examples
    --------
    >>> decode_rle("3 3", (2, 3)).astype(int).tolist()
    [[0, 1, 1], [0, 1, 0]]
    """
    try:
        numbers = [int(word) for word in rle.split()]
    except ValueError:
        raise LabelError("A run-length code holds whole numbers and spaces only.") from None
    if len(numbers) % 2:
        raise LabelError(
            f"A run-length code holds pairs of start and length; this one has {len(numbers)} "
            "numbers, so one is missing."
        )
    height, width = shape
    size = height * width
    mask = np.zeros(size, dtype=bool)
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        if start < 1 or length < 1 or start - 1 + length > size:
            raise LabelError(
                f"The run of {length} pixels from pixel {start} does not fit an image of "
                f"{width} x {height} pixels; give the size of the image that was coded."
            )
        mask[start - 1 : start - 1 + length] = True
    return mask.reshape(shape, order=_memory_order(order))


@dataclass(frozen=True)
class RleRow:
    """One line of a run-length CSV.

    Attributes
    ----------
    label
        Class name.
    id
        Instance id; for a multi-label stack the class's number, from 1.
    order
        "column-major" (Kaggle) or "row-major".
    shape
        (H, W) of the image.
    rle
        "start length start length ...", counted from 1.
    """

    label: str
    id: int
    order: Order
    shape: tuple[int, int]
    rle: str

    def mask(self) -> npt.NDArray[np.bool_]:
        """Draw the object: (H, W) bool."""
        return decode_rle(self.rle, self.shape, self.order)


def write_rle_csv(
    path: str | os.PathLike[str],
    masks: npt.ArrayLike,
    names: Mapping[int, str] | Sequence[str],
    order: Order = "column-major",
) -> None:
    """Write one run-length code a line, under a header that is the first line.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    masks
        (H, W) instances, or (L, H, W) where they overlap: one line for each. Or a (K, H, W) bool
        stack: one line for each class, with an empty code where a class is absent.
    names
        Class names. For instances: id -> name, or a sequence in the order of ascending ids. For
        a stack: K names.
    order
        "column-major" is Kaggle's: pixel 1 is the top left one, pixel 2 lies below it.
        "row-major": pixel 2 lies to its right. The file says which, in a column of its own
        beside ``first_pixel``, which is always 1.

    Raises
    ------
    LabelError
        Names and masks do not fit each other, or the masks are not of one of the two forms.
    """
    array = np.asarray(masks)
    if array.ndim == 3 and array.dtype == np.bool_:
        array = check_stack(array, list(names.values() if isinstance(names, Mapping) else names))
        codes = {k: encode_rle(mask, order) for k, mask in enumerate(array, start=1)}
    else:
        codes = by_instance(array, lambda plane: encode_instances_rle(plane, order))
    named = names_by_id(codes, names)
    height, width = array.shape[-2:]
    rows = [(named[n], n, order, 1, height, width, rle) for n, rle in codes.items()]
    write_csv(path, RLE_COLUMNS, rows)


def read_rle_csv(path: str | os.PathLike[str]) -> tuple[RleRow, ...]:
    """Read what `write_rle_csv` wrote; LabelError if another program wrote it otherwise."""
    name = Path(path).name
    # A large object's code exceeds the 128 KiB that csv allows a field, so the limit is set here.
    limit = csv.field_size_limit(2**31 - 1)
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            header, *lines = csv.reader(file)
    except (ValueError, csv.Error):
        header, lines = [], []
    finally:
        csv.field_size_limit(limit)
    if tuple(header) != RLE_COLUMNS:
        raise LabelError(f"{name} does not begin with the columns {', '.join(RLE_COLUMNS)}.")
    try:
        return tuple(map(_row, lines))
    except ValueError as error:
        raise LabelError(f"{name} is damaged or follows another convention: {error}.") from None


def _row(line: list[str]) -> RleRow:
    label, instance, order, first_pixel, height, width, rle = line
    orders: dict[str, Order] = {"column-major": "column-major", "row-major": "row-major"}
    if order not in orders or first_pixel != "1":
        raise ValueError(f"it counts pixels in {order} order from {first_pixel}")
    return RleRow(label, int(instance), orders[order], (int(height), int(width)), rle)


def _memory_order(order: Order) -> Literal["F", "C"]:
    if order not in ("column-major", "row-major"):
        raise LabelError(f"The order {order!r} is neither 'column-major' nor 'row-major'.")
    return "F" if order == "column-major" else "C"
