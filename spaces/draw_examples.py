"""Draw the synthetic examples of the demo, and their ground truth: python spaces/draw_examples.py

The images that four of the bundled networks learnt from may not be passed on. So that these
networks have something to show all the same, each gets a drawing in the manner of its own
microscope: a drawing, no data, and called synthetic wherever it appears. The same seeds give the
same files.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

EXAMPLES = Path(__file__).resolve().parent / "examples"
SIDE = 512

Grey = NDArray[np.float64]
Mask = NDArray[np.bool_]


# --- what the drawings are made of -------------------------------------------------------------


def smooth_noise(rng: np.random.Generator, sigma: float, side: int = SIDE) -> Grey:
    """Noise of mean 0 and standard deviation 1, whose grain is ``sigma`` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal((side, side)), sigma, mode="wrap")
    return (noise - noise.mean()) / noise.std()


def bent_grid(rng: np.random.Generator, amplitude: float, sigma: float) -> tuple[Grey, Grey]:
    """Coordinates of the pixels, displaced smoothly, so that what is straight becomes bent."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)
    return (
        rows + amplitude * smooth_noise(rng, sigma),
        columns + amplitude * smooth_noise(rng, sigma),
    )


def crowded_cells(rng: np.random.Generator, count: int) -> tuple[NDArray[np.intp], Grey]:
    """Cells that fill the plane, as Voronoi cells do, and each pixel's distance to a border.

    Some are large and some small: half of the seeds lie in crowds.
    """
    rows, columns = bent_grid(rng, 5.0, 10.0)
    seeds = rng.uniform(-40, SIDE + 40, (count, 2))
    crowds = rng.uniform(0, SIDE, (4, 2))
    dense = count // 2
    seeds[:dense] = crowds[np.arange(dense) % 4] + rng.normal(0, 80, (dense, 2))
    _, cell = cKDTree(seeds).query(np.stack([rows, columns], axis=-1))
    border = ndimage.maximum_filter(cell, 2) != ndimage.minimum_filter(cell, 2)
    return cell, ndimage.distance_transform_edt(~border)


def blob(
    rng: np.random.Generator, center: tuple[float, float], radius: float, ragged: float
) -> Grey:
    """A ragged disc as a height: 1 at its centre, 0 at its rim, below outside."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    y, x = rows - center[0], columns - center[1]
    angle = np.arctan2(y, x)
    rim = np.ones_like(angle)
    for wave in range(2, 12):
        rim += ragged / wave * np.cos(wave * angle + rng.uniform(0, 2 * np.pi)) * rng.normal()
    return 1 - np.hypot(y, x) / (radius * np.maximum(rim, 0.3))


def as_bytes(picture: Grey) -> NDArray[np.uint8]:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


# --- electron microscopy ------------------------------------------------------------------------


def tissue(rng: np.random.Generator, count: int, width: float) -> tuple[Grey, Mask, Grey]:
    """Neural tissue in section: its grey values, where membranes are, distance to them."""
    cell, inside = crowded_cells(rng, count)
    membrane = inside <= width / 2
    shade = rng.normal(150, 10, count)[cell]
    grey = shade + 10 * smooth_noise(rng, 2.5) + 5 * smooth_noise(rng, 12)
    grey -= 115 * np.exp(-((inside / (width / 2)) ** 2))
    return grey, membrane, inside


def finish(rng: np.random.Generator, grey: Grey) -> NDArray[np.uint8]:
    """The blur and the grain of a section's photograph."""
    return as_bytes(ndimage.gaussian_filter(grey, 0.8) + rng.normal(0, 11, grey.shape))


def draw_membranes(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Membranes between cells; ground truth as in the ISBI challenge, 0 membrane, 255 cell."""
    grey, membrane, _ = tissue(rng, 160, 5.0)
    return finish(rng, grey), np.where(membrane, 0, 255).astype(np.uint8)


def draw_organelles(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Membranes and mitochondria: a plane of truth for each, and an empty one for synapses.

    What makes a synapse is too much for a drawing; the network rightly sees none.
    """
    grey, membrane, inside = tissue(rng, 60, 7.0)
    mitochondria = np.zeros_like(membrane)
    for _ in range(12):  # they lie deep inside cells
        deep = np.argwhere((inside > 24) & ~ndimage.binary_dilation(mitochondria, iterations=40))
        if not len(deep):
            break
        row, column = deep[rng.integers(len(deep))]
        height = blob(rng, (row, column), rng.uniform(17, 23), 0.12)
        body = height > 0
        stripes = np.sin(
            (np.mgrid[:SIDE, :SIDE] * rng.normal(0, 0.6, (2, 1, 1))).sum(axis=0)
            + 1.5 * smooth_noise(rng, 5)
        )
        grey[body] = (78 + 16 * stripes + 6 * smooth_noise(rng, 1.5))[body]
        grey[(height > 0) & (height < 0.14)] = 40
        mitochondria |= body
    truth = np.stack([membrane, mitochondria, np.zeros_like(membrane)])
    return finish(rng, np.clip(grey, 15, None)), truth.astype(np.uint8) * 255


# --- light microscopy -----------------------------------------------------------------------------


def draw_phase_contrast(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Cells apart from each other, dark with a bright halo; instances as truth."""
    grey = 84 + 2.0 * smooth_noise(rng, 60) + 1.2 * smooth_noise(rng, 1.0)
    truth = np.zeros((SIDE, SIDE), np.uint16)
    centers = [(90, 120), (110, 330), (250, 220), (265, 430), (400, 90), (420, 310)]
    for number, (row, column) in enumerate(centers, start=1):
        height = blob(rng, (row, column), rng.uniform(28, 36), 0.25)
        body = height > 0
        outside = ndimage.distance_transform_edt(~body)
        inside = ndimage.distance_transform_edt(body)
        grey += 34 * np.exp(-outside / 3.0) * ~body  # the halo
        rough = 7 * smooth_noise(rng, 1.3) + 5 * smooth_noise(rng, 4)
        grey = np.where(body, 70 + rough - 26 * np.exp(-inside / 3.5), grey)
        nucleus = blob(rng, (row + 4, column - 3), 9, 0.1)
        grey = np.where(nucleus > 0, 96 + 70 * np.sqrt(np.clip(nucleus, 0, 1)), grey)
        truth[body] = number
    return as_bytes(ndimage.gaussian_filter(grey, 0.7)), truth


def draw_interference_contrast(
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Cells that touch, in relief; instances as truth."""
    grey = 118 + 3.5 * rng.standard_normal((SIDE, SIDE))
    truth = np.zeros((SIDE, SIDE), np.uint16)
    centers = [(140, 150), (152, 255), (250, 120), (258, 222), (362, 175), (300, 330), (130, 400)]
    for number, (row, column) in enumerate(centers, start=1):
        height = blob(rng, (row, column), rng.uniform(54, 60), 0.08)
        body = (height > 0) & (truth == 0)
        inside = ndimage.distance_transform_edt(body)
        texture = 5 * smooth_noise(rng, 2.5) + 7 * smooth_noise(rng, 1.2)
        grey = np.where(body, 120 + texture, grey)
        rim = body & (inside < 8)
        grey = np.where(rim, 120 - 32 * np.cos(inside * 0.9) + 0.4 * texture, grey)
        for _ in range(10):
            angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(15, 36)
            spot = blob(rng, (row + radius * np.sin(angle), column + radius * np.cos(angle)), 4, 0)
            grey -= 70 * np.clip(spot, 0, 1) * body
            grey += 40 * np.clip(np.roll(spot, 4, axis=0), 0, 1) * body
        truth[body] = number
    return as_bytes(ndimage.gaussian_filter(grey, 0.8)), truth


# --- files ---------------------------------------------------------------------------------

Drawing = Callable[
    [np.random.Generator], tuple[NDArray[np.uint8], NDArray[np.uint8] | NDArray[np.uint16]]
]
DRAWINGS: dict[str, tuple[int, Drawing]] = {
    "synthetic_membranes": (3, draw_membranes),
    "synthetic_organelles": (5, draw_organelles),
    "synthetic_phase_contrast": (7, draw_phase_contrast),
    "synthetic_interference_contrast": (9, draw_interference_contrast),
}


def write_examples(folder: Path) -> list[Path]:
    """Write each drawing as NAME.png and its truth as NAME_truth.tif or NAME_truth.png."""
    written = []
    for name, (seed, draw) in DRAWINGS.items():
        image, truth = draw(np.random.default_rng(seed))
        written.append(folder / f"{name}.png")
        Image.fromarray(image).save(written[-1], optimize=True)
        if truth.ndim == 2 and truth.dtype == np.uint8:
            written.append(folder / f"{name}_truth.png")
            Image.fromarray(truth).save(written[-1], optimize=True)
        else:
            written.append(folder / f"{name}_truth.tif")
            tifffile.imwrite(
                written[-1], truth, photometric="minisblack", compression="zlib", metadata=None
            )
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the synthetic examples of the demo.")
    parser.add_argument("--output", type=Path, default=EXAMPLES, help="folder (spaces/examples)")
    for path in write_examples(parser.parse_args().output):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
