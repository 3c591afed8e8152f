"""A safetensors file: what its header says, checked, and its values, a block at a time.

The safetensors library maps the whole file into memory beside the tensors that it makes of it.
Read a block at a time, weights take no more memory than they fill in the end.
"""

import math
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hf_unet.repositories.strict_json import JsonError, parse_json

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}
"""Types that hold a network's weights and counters without further data. The quantised ones, of
8 bits and fewer, need scales that are stored elsewhere."""

LARGEST_HEADER = 2**20
"""Bytes; the paper's network has a header of 4 kB."""

LARGEST_NUMBER, MOST_DIMENSIONS = 2**48, 8
"""Of a shape; more bytes than any file has."""

BLOCK = 2**14
"""Values that are converted together. Four times as many left holes of up to 1.5 MB among weights
of their size, now and then."""

_LENGTH = 8
"""Bytes at the file's start that hold the length of its header."""


class DamagedFileError(ValueError):
    """The file is truncated, or no safetensors file."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of the file.

    Attributes
    ----------
    dtype : str
        As the file names it: "F16", "F32", ...
    shape : tuple of int
    start, end : int
        Its bytes, counted from the start of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(file: BufferedReader) -> dict[str, StoredTensor]:
    """What a safetensors file holds, by name.

    Parameters
    ----------
    file : BufferedReader
        Open for reading bytes.

    Raises
    ------
    DamagedFileError
        If the header is no header, or the tensors do not fill the rest of the file, one after
        another without gaps, each with as many bytes as its shape takes.
    """
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH), "little")
    if size < _LENGTH or length > min(size - _LENGTH, LARGEST_HEADER):
        raise DamagedFileError("The header is longer than the file.")
    try:
        header = parse_json(file.read(length))
    except JsonError as error:
        raise DamagedFileError("The header is no JSON.") from error
    if not isinstance(header, dict):
        raise DamagedFileError("The header is no JSON object.")
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise DamagedFileError("The metadata is not made of texts.")
    first = _LENGTH + length
    tensors = {name: _tensor(entry, first) for name, entry in header.items()}
    end = first
    for tensor in sorted(tensors.values(), key=lambda one: (one.start, one.end)):
        if tensor.start != end:
            raise DamagedFileError("The tensors do not lie one after another.")
        end = tensor.end
    if end != size:
        raise DamagedFileError("The tensors do not fill the file.")
    return tensors


def read_values(file: BufferedReader, stored: StoredTensor, into: Tensor) -> bool:
    """Read a tensor's values, converted to the dtype of the tensor that they are read into.

    Parameters
    ----------
    file : BufferedReader
    stored : StoredTensor
        Of this file, and of a dtype in `DTYPES`.
    into : contiguous tensor on the CPU
        Of the stored shape.

    Returns
    -------
    bool
        Whether every value is a finite number there.

    Raises
    ------
    DamagedFileError
        If the file has become shorter since its header was read.
    """
    kind = DTYPES[stored.dtype]
    values = _as_array(into).reshape(-1)
    buffer = values
    if kind != into.dtype:
        buffer = _as_array(torch.empty(min(BLOCK, len(values)), dtype=kind))
    finite = True
    file.seek(stored.start)
    for first in range(0, len(values), BLOCK):
        block = values[first : first + BLOCK]
        raw = block if buffer is values else buffer[: len(block)]
        wanted = raw.view(np.uint8).data
        if file.readinto(wanted) != len(wanted):
            raise DamagedFileError("The file ends within a tensor.")
        if raw is not block:
            _convert(raw, kind, block, into.dtype)
        finite = finite and _is_finite(block, into.dtype)
    return finite


# NumPy does what it can, whose code is in memory already: torch's would take a first load of a
# process some megabytes more.


def _as_array(values: Tensor) -> NDArray[Any]:
    """The same memory as NumPy sees it; bfloat16, which it has not, as whole numbers."""
    return (values.view(torch.int16) if values.dtype == torch.bfloat16 else values).numpy()


def _as_tensor(values: NDArray[Any], dtype: torch.dtype) -> Tensor:
    """Undo `_as_array`."""
    return torch.from_numpy(values).view(dtype)


def _convert(
    values: NDArray[Any], kind: torch.dtype, into: NDArray[Any], dtype: torch.dtype
) -> None:
    if torch.bfloat16 in (kind, dtype):
        _as_tensor(into, dtype).copy_(_as_tensor(values, kind))
        return
    with np.errstate(over="ignore"):  # what becomes infinite is found by who asks for it
        np.copyto(into, values, casting="unsafe")


def _is_finite(values: NDArray[Any], dtype: torch.dtype) -> bool:
    if dtype == torch.bfloat16:
        extremes = _as_tensor(values, dtype).aminmax()  # NaN is least and largest
        return all(math.isfinite(value) for value in extremes)
    return bool(np.isfinite(values).all())


def _tensor(entry: Any, first: int) -> StoredTensor:
    """An entry of the header; ``first`` is where the tensors begin in the file."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise DamagedFileError("An entry is not what a tensor needs.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or not _are_whole(shape) or not _are_whole(offsets):
        raise DamagedFileError("An entry has values of wrong types.")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise DamagedFileError("A tensor ends before it starts.")
    start, end = offsets
    if dtype in DTYPES and end - start != math.prod(shape) * DTYPES[dtype].itemsize:
        raise DamagedFileError("A tensor has more or fewer bytes than its shape takes.")
    return StoredTensor(dtype, tuple(shape), first + start, first + end)


def _are_whole(values: Any) -> bool:
    """Whether this is a short list of whole numbers, so that their product is soon had."""
    return (
        isinstance(values, list)
        and len(values) <= MOST_DIMENSIONS
        and all(type(value) is int and 0 <= value <= LARGEST_NUMBER for value in values)
    )
