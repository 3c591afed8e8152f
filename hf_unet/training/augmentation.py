"""Augmentation: what may happen to a tile without changing what it shows.

Written as albumentations transforms, which move image and labels alike. Tiles are (H, W, C)
float32 here, labels (H, W) or (H, W, K); labels are never interpolated.
"""

from functools import lru_cache
from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from hf_unet.training.settings import AugmentationSettings

INTERPOLATION = cv2.INTER_CUBIC
"""Of moved images. Linear interpolation smooths their noise away, and a network that has seen only
smooth images misses on others: one trained so on ISBI 2012 had a pixel error of 0.0837 on sections
kept out, and of 0.0751 on the same ones blurred by 0.6 pixels."""


class Flip(A.DualTransform):
    """One of the flips and quarter turns of a square, each as likely.

    Where labels lie half a pixel above what they mark, a flip would put them below, and a network
    that has seen both learns neither. So they are moved back, by whole pixels: what is left of
    twice the offset is at most half a pixel.

    Parameters
    ----------
    which : str
        One of `hf_unet.training.settings.FLIPS` but "none".
    offset : tuple of float
        How far the labels lie below and to the right of what they mark, in pixels.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def __init__(self, which: str, offset: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__(p=1.0)
        quarters = {"horizontal": (0,), "both": (0, 2), "all": (0, 1, 2, 3)}[which]
        self.symmetries = [(mirrored, turns) for mirrored in (False, True) for turns in quarters]
        self.offset = np.array(offset)

    def get_params(self) -> dict[str, Any]:
        """Draw one."""
        return {"symmetry": self.symmetries[self.random_generator.integers(len(self.symmetries))]}

    def apply(self, img: NDArray[Any], symmetry: tuple[bool, int], **_: Any) -> NDArray[Any]:
        """Turn the image."""
        mirrored, quarters = symmetry
        return np.ascontiguousarray(np.rot90(img[:, ::-1] if mirrored else img, quarters))

    def apply_to_mask(
        self, mask: NDArray[Any], symmetry: tuple[bool, int], **_: Any
    ) -> NDArray[Any]:
        """Turn the labels, and move them to where they lay; the rim is repeated."""
        turned = self.apply(mask, symmetry)
        mirrored, quarters = symmetry
        down, right = self.offset * (1, -1 if mirrored else 1)
        for _turn in range(quarters):  # counterclockwise: what lay to the right lies above
            down, right = -right, down
        rows, columns = np.rint(self.offset - (down, right)).astype(int)
        if not (rows or columns):
            return turned
        height, width = turned.shape[:2]
        y = np.clip(np.arange(height) - rows, 0, height - 1)
        x = np.clip(np.arange(width) - columns, 0, width - 1)
        return np.ascontiguousarray(turned[y[:, None], x])


class ElasticDeformation(A.DualTransform):
    """The paper's elastic deformation (Ronneberger et al. 2015, section 3.1).

    Displacement vectors are drawn from a Gaussian on a coarse grid over the tile and carried to
    every pixel by bicubic interpolation.

    Parameters
    ----------
    sigma : float
        Standard deviation of the displacement in each direction, in pixels; the paper's is 10.
    grid : int
        Nodes of the grid along each axis; the paper's is 3.
    p : float
        Probability.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def __init__(self, sigma: float = 10.0, grid: int = 3, p: float = 1.0) -> None:
        super().__init__(p=p)
        self.sigma = sigma
        self.grid = grid

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the displacements, (H, W) float32 for x and for y."""
        height, width = params["shape"][:2]
        nodes = self.random_generator.normal(0, self.sigma, (2, self.grid, self.grid))
        x, y = (grow_bicubic(plane.astype(np.float32), height, width) for plane in nodes)
        return {
            "map_x": x + np.arange(width, dtype=np.float32)[None, :],
            "map_y": y + np.arange(height, dtype=np.float32)[:, None],
        }

    def apply(
        self, img: NDArray[Any], map_x: NDArray[Any], map_y: NDArray[Any], **_: Any
    ) -> NDArray[Any]:
        """Move the image, interpolated bicubically."""
        return _remap(img, map_x, map_y, INTERPOLATION)

    def apply_to_mask(
        self, mask: NDArray[Any], map_x: NDArray[Any], map_y: NDArray[Any], **_: Any
    ) -> NDArray[Any]:
        """Move the labels, each pixel to its nearest."""
        return _remap(mask, map_x, map_y, cv2.INTER_NEAREST)


def grow_bicubic(nodes: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Interpolate a coarse grid, its outer nodes on the corners, to every pixel, bicubically.

    Examples
    --------
    >>> field = grow_bicubic(np.float32([[0, 1, 2]] * 3), 5, 5)
    >>> [round(float(value), 3) for value in field[0]]
    [0.0, 0.438, 1.0, 1.562, 2.0]
    """
    rows, columns = cubic_weights(nodes.shape[0], height), cubic_weights(nodes.shape[1], width)
    # As a sum of outer products, since a threaded matrix product would wait for busy cores.
    field = np.zeros((height, width), np.float32)
    for row, line in zip(rows.T, nodes, strict=True):
        field += row[:, None] * (columns * line).sum(axis=1)
    return field


@lru_cache(maxsize=16)
def cubic_weights(nodes: int, length: int) -> NDArray[np.float32]:
    """(length, nodes) matrix of cubic convolution (R. Keys 1981, a = -1/2), edges repeated."""
    position = np.linspace(0, nodes - 1, length)
    first = np.floor(position).astype(int) - 1
    weights = np.zeros((length, nodes), np.float32)
    for neighbour in range(4):
        x = np.abs(position - (first + neighbour))
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        share = np.where(x <= 1, near, np.where(x < 2, far, 0))
        np.add.at(weights, (np.arange(length), np.clip(first + neighbour, 0, nodes - 1)), share)
    return weights


class GreyValueShift(A.ImageOnlyTransform):
    """Change brightness, contrast, gamma and the balance of colours; nothing is clipped.

    Parameters
    ----------
    brightness, contrast, gamma, color : float
        Largest change: added, factor 2**u, exponent 2**u on values in 0 .. 1, and a factor
        2**u of its own for each channel, with u uniform in plus or minus the argument.
    """

    def __init__(
        self, brightness: float, contrast: float, gamma: float, color: float, p: float = 1.0
    ) -> None:
        super().__init__(p=p)
        self.brightness = brightness
        self.contrast = contrast
        self.gamma = gamma
        self.color = color

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the amounts."""
        draw = self.random_generator.uniform
        channels = params["shape"][2] if len(params["shape"]) > 2 else 1
        factor = 2.0 ** (
            draw(-self.contrast, self.contrast) + draw(-self.color, self.color, channels)
        )
        return {
            "shift": np.float32(draw(-self.brightness, self.brightness)),
            "factor": factor.astype(np.float32),
            "exponent": np.float32(2.0 ** draw(-self.gamma, self.gamma)),
        }

    def apply(
        self, img: NDArray[Any], shift: float, factor: NDArray[Any], exponent: float, **_: Any
    ) -> NDArray[Any]:
        """Change the image."""
        if self.gamma:
            img = np.sign(img) * np.abs(img) ** exponent
        mean = img.mean(dtype=np.float32)
        changed: NDArray[np.float32] = (img - mean) * factor + mean + shift
        return changed


class Noise(A.ImageOnlyTransform):
    """Add Gaussian noise of a standard deviation uniform in 0 .. ``most``."""

    def __init__(self, most: float, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.most = most

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the noise."""
        deviation = self.random_generator.uniform(0, self.most)
        noise = self.random_generator.standard_normal(params["shape"], dtype=np.float32)
        return {"noise": noise * np.float32(deviation)}

    def apply(self, img: NDArray[Any], noise: NDArray[Any], **_: Any) -> NDArray[Any]:
        """Change the image."""
        noisy: NDArray[np.float32] = img + noise
        return noisy


class Invert(A.ImageOnlyTransform):
    """Exchange dark and bright: 1 - value."""

    def apply(self, img: NDArray[Any], **_: Any) -> NDArray[Any]:
        """Change the image."""
        return np.float32(1) - img


class Grey(A.ImageOnlyTransform):
    """Replace the channels by their mean."""

    def apply(self, img: NDArray[Any], **_: Any) -> NDArray[Any]:
        """Change the image."""
        return np.repeat(img.mean(axis=2, keepdims=True, dtype=np.float32), img.shape[2], axis=2)


class Blur(A.ImageOnlyTransform):
    """Gaussian blur of a sigma uniform in 0 .. ``most`` pixels; below 0.1 nothing would change."""

    def __init__(self, most: float, p: float = 0.3) -> None:
        super().__init__(p=p)
        self.most = most

    def get_params(self) -> dict[str, Any]:
        """Draw sigma."""
        return {"sigma": float(self.random_generator.uniform(0, self.most))}

    def apply(self, img: NDArray[Any], sigma: float, **_: Any) -> NDArray[Any]:
        """Change the image."""
        if sigma < 0.1:
            return img
        blurred = cv2.GaussianBlur(img, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        return blurred.reshape(img.shape)


def build_augmentation(
    settings: AugmentationSettings, offset: tuple[float, float] = (0.0, 0.0)
) -> A.Compose:
    """The transforms that the settings ask for; give each draw its ``set_random_state``.

    ``offset`` is that of the labels, in pixels down and to the right; see `Flip`.

    Not ``set_random_seed``: that gives every transform the same numbers (albumentations 2.0.8).
    """
    transforms: list[A.BasicTransform | A.BaseCompose] = []
    if settings.flip != "none":
        transforms.append(Flip(settings.flip, offset))
    warps: list[A.BasicTransform] = []
    low, high = settings.scale
    if settings.rotate or low != high:
        angle = 180.0 if settings.rotate else 0.0
        warps.append(
            A.Affine(
                rotate=(-angle, angle),
                scale=(low, high),
                keep_ratio=True,  # or height and width would each be scaled by a factor of its own
                interpolation=INTERPOLATION,
                mask_interpolation=cv2.INTER_NEAREST,
                border_mode=cv2.BORDER_REFLECT_101,
                p=0.5 if low == high else 0.8,
            )
        )
    if settings.elastic_sigma:
        warps.append(ElasticDeformation(settings.elastic_sigma, settings.elastic_grid))
    if warps:
        transforms.append(A.Sequential(warps, p=settings.warp))
    if settings.blur:
        transforms.append(Blur(settings.blur))
    if settings.to_grey:
        transforms.append(Grey(p=settings.to_grey))
    if settings.invert:
        transforms.append(Invert(p=settings.invert))
    shifts = (settings.brightness, settings.contrast, settings.gamma, settings.color)
    if any(shifts):
        transforms.append(GreyValueShift(*shifts))
    if settings.noise:
        transforms.append(Noise(settings.noise))
    return A.Compose(transforms)


def _remap(
    array: NDArray[Any], map_x: NDArray[Any], map_y: NDArray[Any], interpolation: int
) -> NDArray[Any]:
    # Some OpenCV releases map no int32, and ids above 2**24 do not survive as float32 values; so
    # the same 32 bits are moved under another name, which nearest-neighbour only copies.
    ids = array.dtype == np.int32
    source = np.ascontiguousarray(array).view(np.float32) if ids else array
    parts = [source] if source.ndim == 2 else np.split(source, range(4, source.shape[2], 4), axis=2)
    moved = [  # OpenCV interpolates bicubically at most four channels at a time
        cv2.remap(part, map_x, map_y, interpolation, borderMode=cv2.BORDER_REFLECT_101)
        for part in parts
    ]
    joined = moved[0] if len(moved) == 1 else np.dstack(moved)
    return joined.view(array.dtype).reshape(array.shape)
