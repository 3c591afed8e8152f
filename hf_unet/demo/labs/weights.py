"""The weight-map lab: d1, d2, w_c and w of equation 2 side by side, to the pixel."""

from io import BytesIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from hf_unet.demo.scenes import Layer, Scene, scalar_layer
from hf_unet.demo.segmenting import image_of
from hf_unet.demo.shown import Shown
from hf_unet.errors import ImageError
from hf_unet.weight_map import weight_map_from_distances

MOST_PIXELS = 25_000_000

FORMULA = "w = {{w_c}} + {w0:g} · exp(-({{d1}} + {{d2}})² / (2 · {sigma:g}²)) = {{w}}"


def weight_scene(shown: Shown, w0: float, sigma: float) -> Scene:
    """The four maps; only w is made anew when a slider moves.

    Raises
    ------
    ImageError
        If the image has more than `MOST_PIXELS`.
    ValueError
        If w0 or sigma is no number in its range.
    """
    d1, d2 = distances(shown)
    w = weight_map(shown, w0, sigma)
    before = shown.scenes.get("weights")
    steady = before.layers[:3] if before else _steady(d1, d2)
    formula = FORMULA.format(w0=w0, sigma=sigma)
    scene = Scene(
        (*steady, scalar_layer(w, key="w", label="w", title="w = w_c + boundary term")),
        image_of(shown),
        {"panes": [["d1"], ["d2"], ["w_c"], ["w"]], "formula": formula, "look": "weights"},
    )
    shown.scenes["weights"] = scene
    return scene


def _steady(d1: NDArray[np.float32], d2: NDArray[np.float32]) -> tuple[Layer, ...]:
    balance = weight_map_from_distances(d1, d2, w0=0)
    return (
        scalar_layer(d1, key="d1", label="d1", title="d1, to the nearest instance", unit="px"),
        scalar_layer(d2, key="d2", label="d2", title="d2, to the second nearest", unit="px"),
        scalar_layer(balance, key="w_c", label="w_c", title="w_c, class balance"),
    )


def distances(shown: Shown) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """d1 and d2, for images that the lab takes."""
    check_pixels(*shown.result.image.shape[1:])
    return shown.distances


def check_pixels(height: int, width: int) -> None:
    """`ImageError` if an image has more than `MOST_PIXELS`."""
    if height * width > MOST_PIXELS:
        raise ImageError(
            f"The weight-map lab takes images of up to {MOST_PIXELS // 1_000_000} megapixels, and "
            f"this one has {height * width // 1_000_000}. In code, boundary_weight_map takes any."
        )


def weight_map(shown: Shown, w0: float | None, sigma: float | None) -> NDArray[np.float32]:
    """The map w, (H, W); `ValueError` if w0 or sigma is no number in its range, or was cleared."""
    if w0 is None or sigma is None:
        raise ValueError("Give w0 and sigma a number.")
    return weight_map_from_distances(*distances(shown), w0=w0, sigma=sigma)


def weight_tiff(shown: Shown, w0: float, sigma: float) -> bytes:
    """The map as a TIFF file: see `weights_as_tiff`."""
    return weights_as_tiff(weight_map(shown, w0, sigma), w0, sigma)


def weights_as_tiff(weights: NDArray[np.float32], w0: float, sigma: float) -> bytes:
    """A float32 TIFF, with its settings in the description."""
    file = BytesIO()
    description = f"boundary weight map, w0={w0:g}, sigma={sigma:g} pixels"
    tifffile.imwrite(
        file, weights, compression="zlib", description=description, photometric="minisblack"
    )
    return file.getvalue()


def weight_words(shown: Shown) -> str:
    """What the maps are of, in a sentence."""
    source = "predicted mask" if shown.predicted else "ground truth"
    count = np.count_nonzero(np.unique(shown.instances))
    return (
        f"From the {count:,} instances of the {source}. Touching instances are parted by a border "
        "of background first, as for training; there d1 + d2 is small, so w is large, and the "
        "network learns to keep them apart. Point at a pixel to see its numbers in the formula."
    )
