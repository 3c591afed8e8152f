"""The rules that bring an image's values to a network's scale; a model's config names one.

A rule never clips: what is brighter than the rest stays so.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_unet.errors import ImageError

FloatImage = npt.NDArray[np.float32]


def scale_percentile(image: npt.NDArray[Any], bit_depth: int) -> FloatImage:
    """Rule "percentile": the 1st percentile becomes 0 and the 99.8th 1, all channels jointly.

    Nothing is clipped, so darker and brighter pixels lie below 0 and above 1. Where the two
    percentiles are equal (a few bright spots on an even background) the extremes take their
    place; a constant image becomes 0.

    Parameters
    ----------
    image : ndarray, shape (C, H, W), any real dtype
    bit_depth : int
        Not needed by this rule.

    Returns
    -------
    ndarray of float32, shape (C, H, W)

    Example
    -------
    >>> scale_percentile(np.full((1, 2, 2), 9), 8).max()
    np.float32(0.0)
    """
    values = _as_float(image)
    low, high = np.percentile(values, (1.0, 99.8))
    if not low < high:
        low, high = values.min(), values.max()
    if not low < high:
        return np.zeros(image.shape, np.float32)
    return _finite((values - low) / (high - low))


FAINT = 0.1
"""Share of the range below which "percentile-asinh" is about linear."""


def scale_percentile_asinh(image: npt.NDArray[Any], bit_depth: int) -> FloatImage:
    """Rule "percentile-asinh": as "percentile", then asinh(x / 0.1) / asinh(1 / 0.1).

    Compresses a wide dynamic range, as of fluorescence in which a few nuclei are ten times as
    bright as the rest: about linear near 0 and logarithmic above (Lupton, Gunn and Szalay, The
    Astronomical Journal 118:1406, 1999). 0 and 1 stay where they are, and nothing is clipped.

    Parameters
    ----------
    image : ndarray, shape (C, H, W), any real dtype
    bit_depth : int
        Not needed by this rule.

    Returns
    -------
    ndarray of float32, shape (C, H, W)

    Example
    -------
    >>> ramp = np.arange(1001).reshape(1, 1, -1)
    >>> [f"{x:.2f}" for x in scale_percentile_asinh(ramp, 16)[0, 0, [10, 109, 998]]]
    ['0.00', '0.29', '1.00']
    """
    scaled = scale_percentile(image, bit_depth)
    compressed: FloatImage = np.arcsinh(scaled / FAINT) / np.float32(np.arcsinh(1 / FAINT))
    return compressed


def standardize(image: npt.NDArray[Any], bit_depth: int) -> FloatImage:
    """Rule "standardize": mean 0 and standard deviation 1 over the image, all channels jointly.

    A constant image becomes 0. Parameters and result as in `scale_percentile`.

    Example
    -------
    >>> standardize(np.array([[[1, 3]]]), 8)
    array([[[-1.,  1.]]], dtype=float32)
    """
    values = _as_float(image)
    if values.min() == values.max():
        return np.zeros(image.shape, np.float32)
    centered = values - values.mean(dtype=np.float64)
    return _finite(centered / centered.std(dtype=np.float64))


def scale_bit_depth(image: npt.NDArray[Any], bit_depth: int) -> FloatImage:
    """Rule "bit-depth": value / (2**bit_depth - 1), so that the brightest storable value is 1.

    Raises
    ------
    ImageError
        For a float image, whose brightest value is not known.

    Example
    -------
    >>> scale_bit_depth(np.array([[[0, 4095]]], np.uint16), 12)
    array([[[0., 1.]]], dtype=float32)
    """
    # Luma of whole numbers is float of another width than its bit depth: that has a white.
    if image.dtype.kind == "f" and image.dtype.itemsize * 8 == bit_depth:
        raise ImageError(
            "The image holds floats, and this model scales by the bit depth of whole numbers. "
            "Save the image as 8-bit or 16-bit."
        )
    return _finite(_as_float(image) / (2.0**bit_depth - 1))


def keep_values(image: npt.NDArray[Any], bit_depth: int) -> FloatImage:
    """Rule "none": the values as they are, in float32.

    Example
    -------
    >>> keep_values(np.array([[[3]]], np.uint8), 8)
    array([[[3.]]], dtype=float32)
    """
    return _finite(np.asarray(image))


NORMALIZATIONS: dict[str, Callable[[npt.NDArray[Any], int], FloatImage]] = {
    "percentile": scale_percentile,
    "percentile-asinh": scale_percentile_asinh,
    "standardize": standardize,
    "bit-depth": scale_bit_depth,
    "none": keep_values,
}


def normalize(image: npt.NDArray[Any], rule: str) -> FloatImage:
    """Scale an image by the rule that a model's config names.

    Parameters
    ----------
    image : ndarray, shape (C, H, W)
        Its `bit_depth`, or else the width of its dtype, is what "bit-depth" divides by.
    rule : str
        A key of `NORMALIZATIONS`.

    Returns
    -------
    ndarray of float32, shape (C, H, W)

    Raises
    ------
    ImageError
        For an unknown rule, or values that the rule cannot scale.

    Example
    -------
    >>> normalize(np.array([[[0, 255]]], np.uint8), "bit-depth")
    array([[[0., 1.]]], dtype=float32)
    """
    if rule not in NORMALIZATIONS:
        raise ImageError(
            f"There is no normalization rule {rule!r}. The rules are: {', '.join(NORMALIZATIONS)}."
        )
    bit_depth = getattr(image, "bit_depth", 8 * image.dtype.itemsize)
    return NORMALIZATIONS[rule](image, bit_depth)


def _as_float(image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Plain float32, or float64 where float32 would round the samples."""
    small = image.dtype.itemsize <= 2 or image.dtype == np.float32
    return np.asarray(image, dtype=np.float32 if small else np.float64)


def _finite(values: npt.NDArray[Any]) -> FloatImage:
    """To float32; a value that float32 cannot hold is refused."""
    with np.errstate(over="ignore"):
        result = values.astype(np.float32)
    if result.dtype.kind == "f" and not np.isfinite(result).all():
        raise ImageError(
            "The image has values too large to scale. Check for a wrong unit or a broken pixel."
        )
    return result
