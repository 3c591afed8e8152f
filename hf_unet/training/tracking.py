"""Where a run's figures are sent while it goes on: TensorBoard, or any tracker of Accelerate's."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from accelerate.utils import ProjectConfiguration

from hf_unet.training.optimization import choose_precision
from hf_unet.training.settings import Settings, SettingsError

LOGS = "logs"


def start_accelerator(settings: Settings, output: Path) -> Accelerator:
    """Accelerate as the settings ask for it; nothing is written yet.

    Raises
    ------
    SettingsError
        If Accelerate does not know the tracker, or its package is not installed.
    """
    name = settings.run.tracker
    if name and name not in LOGGER_TYPE_TO_CLASS:
        known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
        raise SettingsError(f"run.tracker is one of {known}, or empty for none, not {name!r}.")
    if name and not _is_installed(name):
        raise SettingsError(
            f'run.tracker = "{name}" needs a package of that name: run `pip install {name}`, or '
            'set run.tracker = "".'
        )
    return Accelerator(
        mixed_precision=choose_precision(settings.run.precision),
        log_with=name or None,
        project_config=ProjectConfiguration(str(output), logging_dir=str(output / LOGS)),
    )


def start_tracker(accelerator: Accelerator, settings: Settings, output: Path) -> None:
    """Open the run's log in the tracker, if there is one, with the settings."""
    if settings.run.tracker:
        accelerator.init_trackers(output.resolve().name, config=_flat(asdict(settings)))


def logged_numbers(figures: Mapping[str, Any], before: str = "") -> dict[str, float]:
    """Every number in nested figures, under its keys joined by slashes.

    Examples
    --------
    >>> logged_numbers({"step": 3, "pooled": {"dice": {"cell": 0.5}, "convention": "..."}})
    {'step': 3, 'pooled/dice/cell': 0.5}
    """
    numbers: dict[str, float] = {}
    for key, value in figures.items():
        if isinstance(value, Mapping):
            numbers |= logged_numbers(value, f"{before}{key}/")
        elif isinstance(value, (int, float)):
            numbers[f"{before}{key}"] = value
    return numbers


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings as trackers take them: one level of numbers and texts."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{key}.")
        else:
            plain = isinstance(value, (int, float, str))
            flat[f"{before}{key}"] = value if plain else json.dumps(value)
    return flat


def _is_installed(tracker: str) -> bool:
    names = {"tensorboard": ("tensorboard", "tensorboardX"), "comet_ml": ("comet_ml",)}
    return any(find_spec(name) is not None for name in names.get(tracker, (tracker,)))
