"""Folders of images and labels -> pairs, and which of them are kept out of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_unet.images import ScienceImage, match_channels, normalize, read_image
from hf_unet.labels import Labels, read_labels
from hf_unet.training.settings import DataSettings, RunSettings

IMAGE_SUFFIXES = frozenset(
    (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".pgm", ".ppm", ".jp2")
)

LABEL_SUFFIXES = IMAGE_SUFFIXES | {".npy", ".json", ".geojson"}


class DataError(ValueError):
    """A data folder cannot be learnt from; the message says what to mend."""


@dataclass(frozen=True)
class Pair:
    """One annotated image, read when first asked for and then kept.

    Attributes
    ----------
    image_file, label_file : Path
    classes : tuple of str
        Names of the network's classes.
    kind : str or None
        What the label file holds; None: look.
    """

    image_file: Path
    label_file: Path
    classes: tuple[str, ...]
    kind: str | None

    @cached_property
    def image(self) -> ScienceImage:
        """(C, H, W), the file's own values."""
        return read_image(self.image_file)

    @cached_property
    def labels(self) -> Labels:
        """The ground truth, of the image's size."""
        return read_labels(
            self.label_file,
            self.classes,
            kind=self.kind,  # type: ignore[arg-type]
            size=(self.image.shape[1], self.image.shape[2]),
        )

    def scaled(self, in_channels: int, normalization: str) -> NDArray[np.float32]:
        """(in_channels, H, W) float32 image as the network gets it."""
        return normalize(match_channels(self.image, in_channels), normalization)

    @property
    def name(self) -> str:
        """Stem of the image file."""
        return self.image_file.stem


@dataclass(frozen=True)
class Split:
    """Pairs to train on and pairs kept out."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]


def find_pairs(folder: Path, settings: DataSettings, classes: Sequence[str]) -> tuple[Pair, ...]:
    """Match the images and labels of a data folder by stem.

    Raises
    ------
    DataError
        If a folder is missing or empty, or an image has no label; names the first such.
    """
    images = _by_stem(folder / settings.images, IMAGE_SUFFIXES)
    labels = _by_stem(folder / settings.labels, LABEL_SUFFIXES)
    unlabelled = sorted(set(images) - set(labels))
    if unlabelled:
        raise DataError(
            f"{len(unlabelled)} of {len(images)} images in {settings.images} have no label of the "
            f"same name in {settings.labels}, first {images[unlabelled[0]].name}. Add the labels, "
            "or take the images away."
        )
    return tuple(
        Pair(images[stem], labels[stem], tuple(classes), settings.kind) for stem in sorted(images)
    )


def list_files(folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Files with these endings in a folder, sorted; hidden ones are left out.

    Raises
    ------
    DataError
        If there is no such folder, or no such file in it.
    """
    name = folder.resolve().name
    if not folder.is_dir():
        raise DataError(f"There is no folder {name} in {folder.resolve().parent.name}.")
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in suffixes and path.is_file() and not path.name.startswith(".")
    ]
    if not files:
        raise DataError(f"The folder {name} holds no images or labels that can be read.")
    return files


def _by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in list_files(folder, suffixes):
        if path.stem in found:
            raise DataError(
                f"The folder {folder.name} holds {found[path.stem].name} and {path.name}: files "
                "are matched by the name before the ending, so keep one of the two."
            )
        found[path.stem] = path
    return found


def hold_out(pairs: Sequence[Pair], settings: DataSettings) -> Split:
    """Keep every ``holdout_every``-th pair out, from ``holdout_first`` on.

    Raises
    ------
    DataError
        If nothing would be left on one of the sides.
    """
    kept_out = set(range(len(pairs))[settings.holdout_first :: settings.holdout_every])
    split = Split(
        tuple(pair for index, pair in enumerate(pairs) if index not in kept_out),
        tuple(pair for index, pair in enumerate(pairs) if index in kept_out),
    )
    if not split.train or not split.validation:
        raise DataError(
            f"Of {len(pairs)} pairs, {len(split.validation)} would be kept out of training. "
            "Set data.holdout_every and data.holdout_first so that both sides have some."
        )
    return split


def appearance(image: NDArray[np.float32]) -> str:
    """Tell a scaled (C, H, W) image's look: "color", "bright" or "dark"."""
    if len(image) >= 3 and float(np.ptp(image, axis=0).mean()) > 0.05:
        return "color"
    return "bright" if float(np.median(image)) > 0.5 else "dark"


def check_split(split: Split, run: RunSettings) -> None:
    """Read every pair, so that what does not fit is said before the first step.

    Parameters
    ----------
    split : Split
    run : RunSettings
        ``keep`` = "average_precision" needs labels that are instances.

    Raises
    ------
    ImageError, LabelError
        If an image or a label cannot be read, or a label is not of its image's size.
    DataError
        If there is nothing to learn, or nothing to choose the best checkpoint by.
    """
    some = False
    for pair in split.train:
        some |= bool((pair.labels.array != 0).any())
    if not some:
        raise DataError("None of the labels holds any foreground: there is nothing to learn.")
    for pair in split.validation:
        pair.labels  # noqa: B018  read, so that it raises now
    kinds = {pair.labels.kind for pair in split.validation[: run.validate_images or None]}
    if run.keep == "average_precision" and "instances" not in kinds:
        raise DataError(
            'run.keep = "average_precision" needs labels that are instances, and those kept out '
            f'of training are {", ".join(sorted(kinds))}. Set run.keep = "dice".'
        )
