"""The figures of a model repository: measured again on the data, and compared with metrics.json."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from hf_unet.cards.card import METRICS, SETTINGS
from hf_unet.errors import AbsentFileError, ModelError
from hf_unet.network import SegmentationNetwork
from hf_unet.repositories.claims import read_metrics
from hf_unet.repositories.pretrained import Repository
from hf_unet.training.datasets import find_pairs
from hf_unet.training.hub_data import resolve_data
from hf_unet.training.measuring import measure
from hf_unet.training.pairs import Pair
from hf_unet.training.settings import DataSettings, Settings, SettingsError, read_settings
from hf_unet.training.splits import SPLIT, Split, hold_out, read_split

# What rounding may move. A pixel whose two likeliest classes are about as likely changes its class:
# on the bundled networks' samples none of 100,000 in single precision on CPUs of several kinds,
# up to 3 of 10,000 where convolutions round to 10 binary digits, as on a GPU. So a figure of pixels
# moves by less than 1e-4, which a card would show. A figure of objects moves in steps: one object
# in a hundred of one image in five that crosses a limit of IoU is 2e-3.
PIXELS = 1e-4
OBJECTS = 2e-3
COARSER = 10
"""Times as much, where convolutions do not have the digits of single precision."""

OF_OBJECTS = {"average_precision", "average_precision_50", "seg", "membranes", "expected_dice"}
"""Figures of objects, and those that are fitted or sought: also of them the intervals."""

_LEFT_OUT = {"threshold"}  # at which a figure was best: of equals it may be another


def kept_out(
    model: SegmentationNetwork,
    settings: DataSettings,
    data: str | Path,
    *,
    every: bool = False,
    anew: bool = False,
) -> tuple[tuple[Pair, ...], int]:
    """Find annotated images that a network was not trained on.

    Parameters
    ----------
    model : SegmentationNetwork
    settings : DataSettings
        Of its training.
    data : str or Path
        A folder, or ``hub:user/name``.
    every : bool
        Take all: it was trained on none of them. Else those that split.json in the model's folder
        or in that of its run names, or if there is none, those that ``settings`` keep out.
    anew : bool
        Split by ``settings`` even so.

    Returns
    -------
    tuple
        The pairs, and how many others the network was trained on.

    Raises
    ------
    DataError, LabelError, ImageError
        If the data cannot be read or does not fit.
    """
    pairs = find_pairs(resolve_data(data), settings, model.mask_classes)
    if every:
        return tuple(pairs), 0
    split = None if anew else _drawn(model.repository, pairs)
    if split is None:
        split = hold_out(pairs, settings)
    return split.validation, len(split.train)


def _drawn(repository: Repository | None, pairs: Sequence[Pair]) -> Split | None:
    """The split that a model on disk was trained by, if its run's folder still holds it.

    Drawn anew, it would differ once an image came or went. It is not in the repository itself,
    which may be published: the names of files can be those of patients.
    """
    if repository is None or not repository.is_folder:
        return None
    folder = Path(repository.name).resolve()
    for path in (folder / SPLIT, folder.parent / SPLIT):
        if path.is_file():
            return read_split(path, pairs)
    return None


def settings_of(
    repository: Repository, recipe: Path | None = None, changes: list[str] | None = None
) -> Settings:
    """Settings of a model's training: a recipe, or else settings.json of its repository.

    Raises
    ------
    ModelError, SettingsError
        If there are none, or they cannot be used.
    """
    if recipe is None:
        try:
            recipe = repository.file(SETTINGS)
        except AbsentFileError as error:
            raise SettingsError(
                f"The model {repository.title} holds no {SETTINGS} that says what was kept out of "
                "its training: give its recipe (--recipe FILE)."
            ) from error
    return read_settings(recipe, changes)


def figure_faults(
    model: SegmentationNetwork, data: str | Path, recipe: Path | None = None
) -> tuple[str, ...]:
    """Measure a network again, and compare with the metrics.json of its repository.

    Parameters
    ----------
    model : SegmentationNetwork
        As it was loaded from its repository.
    data : str or Path
        The images and labels that its figures are of: a folder, or ``hub:user/name``.
    recipe : Path, optional
        None: settings.json of the repository. Says what was kept out of training.

    Returns
    -------
    tuple of str
        A sentence for each figure that differs by more than rounding explains.

    Raises
    ------
    ModelError, SettingsError, DataError, LabelError, ImageError
        If there is nothing to compare, or the data or the settings do not fit.
    """
    repository = model.repository
    if repository is None:
        raise ModelError("The network is not as it was loaded from a model repository.")
    stored = read_metrics(repository)
    settings = settings_of(repository, recipe)
    pairs, trained_on = kept_out(model, settings.data, data, anew=recipe is not None)
    measured = measure(model, settings, pairs, train_images=trained_on).metrics
    parameter = next(model.parameters())
    exact = parameter.device.type == "cpu" and parameter.dtype in (torch.float32, torch.float64)
    return figure_differences(stored, measured, coarser=1 if exact else COARSER)


def figure_differences(
    stored: Mapping[str, Any], measured: Mapping[str, Any], *, coarser: float = 1
) -> tuple[str, ...]:
    """Compare two metrics.json, one recorded and one measured.

    How long tiles were, how a network was trained and what a card says in words is not compared.

    Parameters
    ----------
    stored, measured : mapping
    coarser : float
        How many times further figures may lie apart than `PIXELS` and `OBJECTS` say.

    Examples
    --------
    >>> was = {"validation": {"pixel_error": 0.031, "seg": 0.7121}}
    >>> figure_differences(was, {"validation": {"pixel_error": 0.029, "seg": 0.7122}})
    ('validation.pixel_error is 0.031 in metrics.json, and 0.029 on this data.',)
    """
    sentences = []
    now = dict(_figures(measured))
    for path, value in _figures(stored):
        name = ".".join(path)
        if path not in now:
            sentences.append(f"{name} is {_shown(value)} in {METRICS}, and was not found again.")
        elif not _close(path, value, now[path], coarser):
            sentences.append(
                f"{name} is {_shown(value)} in {METRICS}, and {_shown(now[path])} on this data."
            )
    return tuple(sentences)


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], float | None]]:
    """Every figure below "validation", and how many images it is of, with the way to it."""
    about = metrics.get("data")
    if isinstance(about, Mapping):
        for name in ("train_images", "validation_images"):
            if isinstance(count := about.get(name), int):
                yield ("data", name), count
    yield from _numbers(metrics.get("validation"), ("validation",))


def _numbers(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float | None]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            if name not in _LEFT_OUT:
                yield from _numbers(one, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _numbers(one, (*path, str(number)))
    elif value is None or isinstance(value, int | float):
        yield path, value


def _close(
    path: tuple[str, ...], stored: float | None, measured: float | None, coarser: float
) -> bool:
    if stored is None or measured is None:
        return stored is measured
    of_objects = not OF_OBJECTS.isdisjoint(path)
    limit = coarser * (OBJECTS if of_objects else PIXELS)
    if isinstance(stored, int):  # images are counted, and pixels where membranes split and merge
        limit = coarser * 0.01 * stored + 2 if "membranes" in path and path[-1] != "sections" else 0
    return abs(measured - stored) <= limit


def _shown(value: float | None) -> str:
    return "absent" if value is None else f"{value:.6g}"
