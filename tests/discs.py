"""Data that tests of training make: bright discs on a dark, noisy ground, each an instance."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

SIDE = 48


def draw_discs(
    random: np.random.Generator, side: int = SIDE, count: int = 4, touching: bool = False
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """An image (side, side) and its instances; discs may touch only if they are asked to."""
    rows, columns = np.mgrid[:side, :side]
    instances = np.zeros((side, side), np.uint16)
    for number in range(1, count + 1):
        for _ in range(50):
            row, column = random.uniform(5, side - 5, 2)
            disc = (rows - row) ** 2 + (columns - column) ** 2 <= random.uniform(4, 7) ** 2
            if touching or not instances[disc].any():
                instances[disc & (instances == 0)] = number
                break
    image = 60.0 + 120.0 * (instances > 0) + random.normal(0, 12, (side, side))
    return image.clip(0, 255).astype(np.uint8), instances


def make_data(folder: Path, count: int = 8, side: int = SIDE, seed: int = 0) -> Path:
    """A data folder: image/NN.tif and label/NN.tif, the labels instances."""
    random = np.random.default_rng(seed)
    for name in ("image", "label"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        image, instances = draw_discs(random, side)
        tifffile.imwrite(folder / "image" / f"{number:02}.tif", image)
        tifffile.imwrite(folder / "label" / f"{number:02}.tif", instances)
    return folder
