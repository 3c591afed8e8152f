"""A palette image's indices: whether they are the labels, or the colors they stand for."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.labels import advice

Array: TypeAlias = NDArray[Any]
Palette: TypeAlias = NDArray[np.uint8]


def labels_of_indices(
    values: Array,
    palette: Palette | None,
    name: str,
    *,
    count: int = 2,
    threshold: float | None = None,
) -> Array:
    """(H, W) palette indices -> what labels are to be read from: indices, greys or colors.

    A palette that begins with black was made for labels, as PASCAL VOC's: its indices are the
    classes. A program that reduces a picture to its colors, as Pillow's ``quantize`` does,
    numbers them as it likes, so that black, the background, has any index. Such a picture is
    read as it would be without a palette.

    Parameters
    ----------
    values : (H, W) array
        Indices; anything else is returned as it is.
    palette : (N, 3) uint8 array or None
        The color of each index.
    name : str
        What messages call the file.
    count : int
        How many classes there are.
    threshold : float, optional
        If one is given, greys are looked up whatever the palette begins with: it parts greys.

    Returns
    -------
    ``values``, or (H, W) bool for black and white, (H, W) uint8 greys or (H, W, 3) uint8 colors.

    Raises
    ------
    LabelError
        If index 0 and the colors name two backgrounds, and nothing says which is right.
    """
    if palette is None or values.ndim != 2 or values.max() >= len(palette):
        return values
    used = np.unique(values)
    is_grey = bool((palette[used] == palette[used, :1]).all())
    if not palette[0].any():
        if is_grey and set(palette[used, 0].tolist()) == {0, 255}:
            return np.asarray(palette[values][:, :, 0] > 0, np.bool_)
        by_color = False
    else:
        # A lone color whose palette holds no other is an object everywhere, as in a picture.
        is_alone = len(used) == 1 and used[0] == 0 and not palette[1:].any()
        by_color = is_alone or not palette[used].any(axis=1).all()
        if not is_grey and not is_alone:
            _check_background(used, palette, name, count)
    if is_grey:
        by_color = by_color or threshold is not None
        return palette[values][:, :, 0] if by_color else values
    return palette[values] if by_color else values


def _check_background(used: Array, palette: Palette, name: str, count: int) -> None:
    """Refuse colors that leave open whether index 0 is the background.

    An object's color at index 0 and black elsewhere are no doubt: a picture's palette. But
    with more than two classes it may be the palette of classes, one of them black; and white at
    index 0 is as often the background as black is.
    """
    first_is_white = bool((palette[0] == 255).all())
    black = used[~palette[used].any(axis=1)]
    white = used[(palette[used] == 255).all(axis=1)]
    if black.size and (first_is_white or count > 2):
        index, color = black[0], "black"
    elif white.size and not (black.size or first_is_white) and count <= 2:
        index, color = white[0], "white"
    else:
        return
    first = "white" if first_is_white else str(tuple(palette[0].tolist()))
    raise LabelError(
        f"{name} has a palette in which index 0, the background of a label, is {first}, and "
        f"{color}, the background of a picture, is index {index}: which is right cannot be known.",
        advice.FOR_PALETTES,
    )
