"""A data folder -> pairs, whatever its layout, and whether they can be learnt from."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_unet.training.layouts import LAYOUTS, recognise
from hf_unet.training.pairs import DataError, Pair
from hf_unet.training.settings import DataSettings, RunSettings, SettingsError
from hf_unet.training.splits import Split

NOTHING_KNOWN = "{} is annotated in part and holds no object, so nothing of it is known."


def find_pairs(folder: Path, settings: DataSettings, classes: Sequence[str]) -> tuple[Pair, ...]:
    """Find the annotated images of a data folder.

    Parameters
    ----------
    folder : Path
    settings : DataSettings
        ``layout``, ``images``, ``labels``, ``kind``, ``silver`` and ``partial`` are used.
    classes : sequence of str
        Names of the network's classes.

    Raises
    ------
    DataError
        If a folder is missing or empty, or an image has no label; names the first such.
    SettingsError
        If there is no such layout.
    """
    names = tuple(classes)
    pairs = LAYOUTS[layout_of(folder, settings, names)](folder, settings, names)
    check_partial({name for pair in pairs for name in (pair.name, pair.together)}, settings)
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def check_partial(pictures: Collection[str], settings: DataSettings) -> None:
    """`DataError` unless ``data.partial`` names such pictures as there are."""
    if unknown := [name for name in settings.partial if name not in pictures]:
        raise DataError(f"data.partial names {unknown[0]}, which is not in the data.")


def layout_of(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> str:
    """Name of the layout of a data folder: as set, or by what lies in it.

    Raises
    ------
    DataError
        If there is no such folder.
    SettingsError
        If there is no such layout.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder.resolve().name}.")
    layout = settings.layout or recognise(folder, settings, classes)
    if layout not in LAYOUTS:
        raise SettingsError(f"data.layout is one of {', '.join(LAYOUTS)}, not {layout!r}.")
    return layout


def appearance(image: NDArray[np.float32]) -> str:
    """Tell a scaled (C, H, W) image's look: "color", "bright" or "dark"."""
    if len(image) >= 3 and float(np.ptp(image, axis=0).mean()) > 0.05:
        return "color"
    return "bright" if float(np.median(image)) > 0.5 else "dark"


def check_split(split: Split, run: RunSettings, in_channels: int) -> None:
    """Read every pair, so that what does not fit is said before the first step.

    Parameters
    ----------
    split : Split
    run : RunSettings
        ``keep`` = "average_precision" or "seg" needs labels that are instances, and objects.
    in_channels : int
        Of the network.

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
    for pair in split.validation:  # those trained on are matched as the draws take them in
        pair.matched(in_channels)
        known = pair.truth.known
        if known is not None and not known.any():
            raise DataError(
                f"{NOTHING_KNOWN.format(pair.name)} It cannot be kept out: take it away."
            )
    compared = split.validation[: run.validate_images or None]
    kinds = {pair.labels.kind for pair in compared}
    if run.keep in ("average_precision", "seg") and "instances" not in kinds:
        raise DataError(
            f'run.keep = "{run.keep}" needs labels that are instances, and those kept out '
            f'of training are {", ".join(sorted(kinds))}. Set run.keep = "dice".'
        )
    if run.keep in ("average_precision", "seg") and not any(
        _counts(pair, run.keep) for pair in compared
    ):
        where = "annotated in full " if run.keep == "average_precision" else ""
        raise DataError(
            f'run.keep = "{run.keep}" needs a picture {where}with objects among those that are '
            'kept out of training, and there is none. Keep others out, or set run.keep = "dice".'
        )


def _counts(pair: Pair, figure: str) -> bool:
    """Whether a pair adds to a figure of objects; one annotated in part has no false objects."""
    if pair.labels.kind != "instances" or not pair.labels.array.any():
        return False
    return figure == "seg" or pair.truth.known is None
