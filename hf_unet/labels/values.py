"""What the values of a label page mean: classes, instance ids, one mask, or damage."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_unet.colors import is_color, rgb
from hf_unet.errors import LabelError
from hf_unet.labels import advice
from hf_unet.labels.evidence import left_out_value, looks_scattered, looks_smoothed

Array: TypeAlias = NDArray[Any]
Color: TypeAlias = int | str | tuple[int, int, int]

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Put a count in words: "two classes", "125 instances"."""
    word = _COUNTS[number] if number < len(_COUNTS) else str(number)
    return f"{word} {noun if number == 1 else plural or noun + 's'}"


def described(found: Array) -> str:
    """Distinct values in words: "values 0 and 255", "values 0..125", "the single value 0"."""
    words = [f"{value:g}" if found.dtype.kind == "f" else str(int(value)) for value in found[:6]]
    if len(found) == 1:
        return f"the single value {words[0]}"
    if len(found) == 2:
        return f"values {words[0]} and {words[1]}"
    if len(found) <= 6:
        return "values " + ", ".join(words)
    last = f"{found[-1]:g}" if found.dtype.kind == "f" else str(int(found[-1]))
    without_gaps = found.dtype.kind != "f" and int(found[-1]) - int(found[0]) == len(found) - 1
    return f"values {words[0]}..{last}" + ("" if without_gaps else f" ({len(found)} different)")


def whole_numbers(values: Array, name: str) -> Array:
    """Values as integers or bools; LabelError if some are fractions, not numbers, or huge."""
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise LabelError(f"{name} holds values that are not numbers (NaN or infinity).")
        if (values != np.rint(values)).any():
            raise LabelError(
                f"{name} holds fractions ({described(np.unique(values))}), as a probability map "
                "does; labels are whole numbers.",
                advice.FOR_FRACTIONS,
            )
        if np.abs(values).max() < 2**53:
            values = values.astype(np.int64)
    if values.dtype.kind != "b" and values.max() > np.iinfo(np.int32).max:
        raise LabelError(f"{name} holds values up to {values.max()}; labels end at 2147483647.")
    return values


def as_grey(page: Array) -> Array:
    """Reduce a grey picture stored as (H, W, 3) to (H, W); leave real colors as they are.

    Channels that differ by at most 16 somewhere are the trace of a JPEG's chroma, as long as
    the page is bright enough not to hold small numbers in one channel.
    """
    if page.ndim == 2:
        return page
    spread = page.max(axis=2) - page.min(axis=2)
    if not spread.any():
        return page[:, :, 0]
    if spread.max() <= 16 and page.max() >= 128 and spread.max() < page.max() // 8:
        luminance: Array = np.rint(page @ np.array([0.299, 0.587, 0.114])).astype(page.dtype)
        return luminance
    return page


def as_mask(values: Array, name: str, threshold: float | None) -> NDArray[np.bool_]:
    """One (H, W) page -> its foreground, bool: 0 and one other value, or above ``threshold``.

    Pages of bools, or of nothing but 0 and 1, are masks already: the threshold leaves them.

    Raises
    ------
    LabelError
        If there are more values and no threshold, or the page is colored.
    """
    if values.dtype.kind == "b":
        return np.asarray(values, np.bool_)
    values = as_grey(values)
    if values.ndim == 3:
        raise LabelError(
            f"{name} is a color image with {counted(len(color_keys(values)[0]), 'color')}; "
            "a mask of one class or object is black and white."
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise LabelError(f"{name} holds values that are not numbers (NaN or infinity).")
    found = np.unique(values)
    if threshold is not None and threshold >= 1 and found[-1] < 1 and found[-1] > 0:
        raise LabelError(
            f"{name} holds fractions up to {found[-1]:g}, none above the threshold {threshold:g}: "
            "for probabilities it is a number such as 0.5."
        )
    if threshold is not None and not np.isin(found, (0, 1)).all():
        mask: NDArray[np.bool_] = values > threshold
        return mask
    if len(found) > 2 and (top := left_out_value(values)) is not None:
        raise value_left_out(name, found, top)
    if len(found) > 2 or (len(found) == 2 and found[0] != 0):
        raise LabelError(
            f"{name} holds {described(found)}; a mask of one class or object holds 0 and one "
            "other value. It looks anti-aliased or JPEG-compressed.",
            advice.for_smoothed(found),
        )
    return np.asarray(values != 0, np.bool_)


def class_indices(values: Array, name: str, classes: Sequence[str]) -> Array | None:
    """Whole-numbered (H, W) values -> class indices, or None if they are no class map.

    Right are values within 0..K-1; for two classes 0 and any other value, or only one other
    value; for more, all of K greys spread evenly from 0 to 255.
    """
    if values.dtype.kind == "b":
        return np.asarray(values, np.uint8)
    found, count = np.unique(values), len(classes)
    if found[0] < 0:
        raise LabelError(
            f"{name} holds {described(found)}: labels are not negative. Give pixels without a "
            "label the value 0."
        )
    if found[-1] < count:
        return np.asarray(values, np.uint8)
    if count == 2 and (len(found) == 1 or (len(found) == 2 and found[0] == 0)):
        return np.asarray(values != 0, np.uint8)
    even = np.rint(np.linspace(0, 255, count)).astype(np.int64)
    if count > 2 and np.array_equal(found, even):
        return np.asarray(np.searchsorted(even, values), np.uint8)
    return None


def value_left_out(name: str, found: Array, top: int) -> LabelError:
    """Return the error for values of which the last seems to mark pixels left out."""
    return LabelError(
        f"{name} holds {described(found)}: {top} seems to mark pixels that are left out (void, "
        "ignore), and a label here says of every pixel what it is.",
        advice.for_left_out(top),
    )


def refusal(values: Array, name: str, classes: Sequence[str], lossy: bool) -> LabelError:
    """Return the error for values that are neither classes nor instances."""
    found, count = np.unique(values), len(classes)
    right = f"{counted(count, 'class', 'classes')} ({', '.join(classes)}) need "
    right += f"values 0..{count - 1}"
    if count == 2:
        right += ", or 0 and one other value"
    top = None if lossy else left_out_value(values)
    if top is not None and len(found) <= count + 1:
        return value_left_out(name, found, top)
    smoothed = lossy or (len(found) > count and looks_smoothed(values))
    if smoothed:
        may_be_objects = count == 2 and found[0] == 0 and not lossy and not looks_scattered(values)
        return LabelError(
            f"{name} holds {described(found)}, scattered as in an anti-aliased or JPEG-compressed "
            f"mask or a photograph; {right}.",
            advice.for_smoothed(found, may_be_objects=may_be_objects),
        )
    finding = f"{name} holds {described(found)}, but {right}."
    if found[0] == 1 and found[-1] == count:
        return LabelError(f"{finding} Subtract 1 from the values, as classes count from 0.")
    if count == 2 and found[0] != 0:
        return LabelError(finding, advice.FOR_OBJECTS_ALONE)
    if len(found) <= count:
        return LabelError(finding, advice.FOR_STRANGE_VALUES)
    return LabelError(finding, advice.FOR_MANY_VALUES)


def color_keys(page: Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Colors as numbers R + 256 G + 65536 B: (the distinct ones, sorted; (H, W) of each pixel).

    The packing is that of COCO's panoptic masks.
    """
    if page.dtype.kind not in "bu" or page.max() > 255:
        raise LabelError("A color-coded label needs 8 bits per channel.")
    key = page.astype(np.int64) @ np.array([1, 256, 65536])
    return np.unique(key), key


def color_name(key: int) -> str:
    """Put a packed color in words: "black", "white" or "(255, 0, 0)"."""
    triple = (key & 255, key >> 8 & 255, key >> 16)
    return {(0, 0, 0): "black", (255, 255, 255): "white"}.get(triple, str(triple))


def class_keys(colors: Sequence[Color]) -> list[int]:
    """Class colors as packed numbers; "#rrggbb" is a color too, a single number a grey."""
    triples: list[tuple[int, ...]] = []
    for color in colors:
        if isinstance(color, str):
            triples.append(rgb(color) if is_color(color) else ())
        else:
            triples.append((color,) * 3 if isinstance(color, (int, np.integer)) else tuple(color))
    if not all(len(c) == 3 and all(0 <= v <= 255 for v in c) for c in triples):
        raise LabelError(
            'Class colors are (red, green, blue) triples or greys, each of 0..255, or "#rrggbb".'
        )
    keys = [int(r) + 256 * int(g) + 65536 * int(b) for r, g, b in triples]
    if len(set(keys)) < len(keys):
        raise LabelError("Two classes have the same color.")
    return keys
