"""Run lengths as COCO files have them -> pixels.

A mask is read column by column, as the lengths of its runs of empty and full pixels in turn; the
first run is empty, if need be of length 0. The lengths stand in a list or, compressed, in a text.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.labels.objects import Patch

GROUPS = 7
"""Characters of the longest number: 35 bits hold more pixels than any image has."""


def decode_lengths(text: str, where: str = "the code") -> list[int]:
    """Run lengths of a compressed code.

    Parameters
    ----------
    text : str
        Each number is a row of groups of five bits, the lowest first. A group is the character
        48 + its bits, and 32 more if the number goes on; the highest bit of the last group is
        the sign. From the fourth on, a number is how much longer the run is than the run before
        the last, the last of its kind.
    where : str
        What messages call the code.

    Returns
    -------
    list of int
        As they are written: whether they are run lengths, `check_lengths` knows.

    Raises
    ------
    LabelError
        If a character is none of the code's, or a number is too long or cut short.

    Examples
    --------
    >>> decode_lengths("0611")
    [0, 6, 1, 7]
    >>> decode_lengths("0PP1")
    [0, 1024]
    """
    lengths: list[int] = []
    number, groups = 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise LabelError(
                f"The run lengths of {where} hold the character {character!r}; compressed ones "
                'hold none but those from "0" to "o".'
            )
        number |= (group & 31) << 5 * groups
        groups += 1
        if group & 32:
            if groups == GROUPS:
                raise LabelError(f"The run lengths of {where} hold a number beyond any image.")
            continue
        if group & 16:
            number -= 1 << 5 * groups
        lengths.append(number + lengths[-2] if len(lengths) > 2 else number)
        number, groups = 0, 0
    if groups:
        raise LabelError(f"The run lengths of {where} are cut short. Export the file again.")
    return lengths


def check_lengths(lengths: object, size: tuple[int, int], where: str) -> NDArray[np.int64]:
    """Run lengths that fill an image exactly.

    Parameters
    ----------
    lengths : object
        What should be a list of whole numbers.
    size : (height, width) in pixels
    where : str
        What messages call their object.

    Raises
    ------
    LabelError
        If they are no lengths, or do not add up to the image.

    Examples
    --------
    >>> check_lengths([1, 2, 3], (2, 3), "the object")
    array([1, 2, 3])
    """
    pixels = size[0] * size[1]
    try:
        array = np.asarray(lengths if lengths else [0])
    except ValueError:  # lists within the list
        array = np.empty(0)
    if not isinstance(lengths, list) or array.ndim != 1 or array.dtype.kind not in "iu":
        raise LabelError(
            f"The run lengths of {where} are no list of whole numbers, and no compressed text."
        )
    if array.min() < 0:
        raise LabelError(f"The run lengths of {where} hold a negative one. Export the file again.")
    # Each is compared before they are added, so that no sum is too large to be held.
    total = int(array.sum(dtype=np.int64)) if array.max() <= pixels else int(array.max())
    if total != pixels:
        least = "" if array.max() <= pixels else "at least "
        raise LabelError(
            f"The run lengths of {where} add up to {least}{total} pixels, but its image of "
            f"{size[1]} x {size[0]} pixels has {pixels}: is this the annotation of another image?"
        )
    return array.astype(np.int64)


def draw_runs(lengths: NDArray[np.int64], size: tuple[int, int]) -> Patch:
    """Pixels of the full runs, on the columns that hold any.

    Parameters
    ----------
    lengths : (N,) int64 array
        Of empty and full runs in turn, adding up to the image.
    size : (height, width) in pixels

    Examples
    --------
    >>> patch = draw_runs(np.array([3, 2, 1]), (2, 3))
    >>> patch.left, patch.mask.astype(int).tolist()
    (1, [[0, 1], [1, 0]])
    """
    height = size[0]
    full = np.arange(len(lengths)) % 2 == 1
    ends = np.cumsum(lengths)
    drawn = np.flatnonzero(full & (lengths > 0))
    if not drawn.size:
        return Patch(0, 0, np.zeros((0, 0), np.bool_))
    first = int(ends[drawn[0]] - lengths[drawn[0]]) // height
    last = -(-int(ends[drawn[-1]]) // height)
    bounds = np.clip(np.append(0, ends), first * height, last * height)
    mask = np.repeat(full, np.diff(bounds)).reshape(last - first, height).T
    return Patch(0, first, mask)


def draw_code(code: dict[str, Any], size: tuple[int, int], where: str) -> Patch:
    """Pixels of a run-length code with its size: ``{"size": [h, w], "counts": ...}``.

    Parameters
    ----------
    code : dict
        ``counts`` is a list of lengths, or a compressed text.
    size : (height, width)
        Of the image, in pixels.
    where : str
        What messages call the object.

    Raises
    ------
    LabelError
        If it is for an image of another size, or is no such code.
    """
    counts = code.get("counts")
    if "size" not in code or counts is None:
        raise LabelError(
            f'The run-length code of {where} lacks its size or its counts; right is {{"size": '
            '[height, width], "counts": ...}.'
        )
    if code["size"] not in (list(size), size):
        raise LabelError(
            f"The run-length code of {where} is for an image of the size {code['size']!r:.40}, but "
            f"its image has {list(size)} (height, width): is this the annotation of another image?"
        )
    if isinstance(counts, bytes):  # as pycocotools hands them over
        counts = counts.decode("latin-1")
    lengths = decode_lengths(counts, where) if isinstance(counts, str) else counts
    return draw_runs(check_lengths(lengths, size, where), size)
