"""Everything a training run is told, read from a recipe and saved with the run."""

import dataclasses
import json
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hf_unet.exports.files import write_whole

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


FLIPS = ("none", "horizontal", "both", "all")
"""Positions in which a tile may be shown; `AugmentationSettings` says which each means."""


class SettingsError(ValueError):
    """A recipe cannot be used; the message names the key and what would be right."""


@dataclass(frozen=True)
class DataSettings:
    """What to learn from, and what to keep out.

    ``layout`` is one of `hf_unet.training.layouts.LAYOUTS`, which say what each reads; empty: look.
    ``images`` and ``labels`` are folders or files below the data folder; empty: folders of the
    usual names, such as ``images`` and ``masks``. ``kind`` says what the
    labels are ("classes", "instances", "multilabel"; None: look). ``silver`` lets a Cell Tracking
    Challenge sequence use the annotation that was computed where a person made none. ``partial``
    names pictures (or files, for all their pages) of which not every object was annotated: what is
    not, teaches nothing there.

    Kept out of training for validation is, of the pictures in sorted order, every
    ``holdout_every``-th from ``holdout_first`` on (-4 with ``holdout_every`` 1: the last four); or
    with ``folds`` = k, the share number ``fold`` (0 .. k-1) of k; or the groups named in
    ``holdout``; or what the file ``split`` says, a split.json that a run wrote. ``group`` is a
    regular expression whose match in a picture's name (its first parenthesis, if it has one) is
    the patient, sequence or well it belongs to: groups are kept out whole. Without it the pages of
    one file are a group, but those of the layout "stacks".

    ``balance`` draws dark, bright and coloured images more evenly than they occur. ``separate``
    turns the pixels where instances touch into background. ``border`` is the width in pixels of
    the border class of a network that has one. ``offset`` is how far the labels lie below and to
    the right of what they mark, in pixels (negative: above, to the left): a flip leaves them there.
    ``repositories`` names the dataset repositories on the Hub that hold these images, if any do:
    the model's card links to them.
    """

    layout: str = ""
    images: str = ""
    labels: str = ""
    kind: str | None = None
    threshold: float | None = None
    silver: bool = False
    partial: tuple[str, ...] = ()
    group: str = ""
    holdout: tuple[str, ...] = ()
    holdout_every: int = 10
    holdout_first: int = 0
    folds: int = 0
    fold: int = 0
    split: str = ""
    balance: bool = False
    separate: bool = False
    border: float = 3.0
    offset: tuple[float, float] = (0.0, 0.0)
    terms: str = ""
    citation: str = ""
    name: str = ""
    repositories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _at_least(self, 1, "holdout_every")
        _at_least(self, 0, "folds", "fold")
        _above_zero(self, "border")
        if self.folds == 1 or (self.folds and self.fold >= self.folds):
            raise SettingsError(
                f"data.fold is 0 .. data.folds - 1, of at least two folds, not fold {self.fold} "
                f"of {self.folds}."
            )
        for name in self.repositories:
            if not re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII):
                raise SettingsError(
                    f"data.repositories names datasets on the Hub as user/name, not {name!r}."
                )
        if self.holdout and not self.group:
            raise SettingsError("data.holdout names groups: say by data.group what a group is.")
        try:
            re.compile(self.group)
        except re.error as error:
            raise SettingsError(
                f"data.group = {self.group!r} is no regular expression: {error}."
            ) from error


@dataclass(frozen=True)
class AugmentationSettings:
    """How a drawn tile is changed. Lengths in pixels, amounts as fractions of the grey range.

    ``warp`` is the share of tiles that are rotated, scaled and deformed at all; the others keep
    the texture of an image that was never interpolated, which is what the network will be shown.

    ``flip`` says in which positions a tile is shown: "none" as it is; "horizontal" left and right
    exchanged in every second; "both" top and bottom as well, for itself; "all" one of the eight
    flips and quarter turns of the square.
    """

    warp: float = 1.0
    elastic_sigma: float = 10.0
    elastic_grid: int = 3
    rotate: bool = True
    flip: str = "all"
    scale: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.1
    contrast: float = 0.2
    gamma: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    color: float = 0.0
    to_grey: float = 0.0
    invert: float = 0.0

    def __post_init__(self) -> None:
        _at_least(self, 2, "elastic_grid")
        _one_of(self, "flip", FLIPS)
        amounts = ("brightness", "contrast", "gamma", "noise", "blur", "color")
        _at_least(self, 0, "elastic_sigma", *amounts)
        for name in ("warp", "to_grey", "invert"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"augmentation.{name} is a probability from 0 to 1.")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise SettingsError(
                "augmentation.scale is the smallest and the largest factor, such as [0.8, 1.25], "
                f"not {list(self.scale)}."
            )


@dataclass(frozen=True)
class LossSettings:
    """``name`` is one of `hf_unet.training.objective.LOSSES`; the rest shapes w(x), eq. 2.

    ``class_weights`` is w_c, one number for each class; empty, it is 1 / frequency over the
    training set, scaled so that a class of average frequency has 1. ``w0`` = 0 and
    ``class_weights`` = [1, 1] weigh all pixels alike. Classes that overlap have no border between
    them, so they need ``w0`` = 0.
    """

    name: str = "weighted_cross_entropy"
    w0: float = 10.0
    sigma: float = 5.0
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _at_least(self, 0, "w0")
        _above_zero(self, "sigma")
        if any(weight < 0 for weight in self.class_weights):
            raise SettingsError("loss.class_weights are numbers of at least 0.")


@dataclass(frozen=True)
class OptimizerSettings:
    """SGD with ``momentum``, or AdamW; warm-up, then constant or cosine."""

    name: str = "sgd"
    learning_rate: float = 0.001
    momentum: float = 0.99
    weight_decay: float = 0.0
    warmup: int = 0
    cosine: bool = False
    clip: float = 0.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        _one_of(self, "name", ("sgd", "adamw"))
        _above_zero(self, "learning_rate")
        _at_least(self, 0, "momentum", "weight_decay", "warmup", "clip", "ema")
        if self.ema >= 1 or self.momentum >= 1:
            raise SettingsError("optimizer.ema and optimizer.momentum are below 1.")


@dataclass(frozen=True)
class RunSettings:
    """Length and pace. ``output`` is the side of the block that a training tile decides.

    A step takes ``batch`` tiles, shared among the processes, ``accumulate`` times before the
    weights move. ``validate_images`` = 0 validates on all that were kept out. ``keep`` names the
    figure by which the best checkpoint is chosen; after ``patience`` validations without a better
    one the run stops (0: never). ``tune`` chooses the thresholds of the best checkpoint by what
    was kept out, and calibrates it. ``membranes`` adds the figures of the ISBI 2012 challenge to
    those of the end. ``half`` stores the best checkpoint in half precision, but for batch norm, and
    measures it so.
    ``tracker`` is any that Accelerate knows, such as "wandb"; empty: none. ``init`` is a model, a
    folder or a name on the Hub, whose weights the run starts from; empty: from new ones.

    From the share ``freeze_norm`` of the run on, batch norm uses its running statistics in
    training as it does afterwards (1: never). Where images differ much, dark fluorescence from
    bright stains, those of a small batch are far from them, and a network that has only learnt
    with the batch's own is another one in use.
    """

    steps: int = 10_000
    batch: int = 1
    accumulate: int = 1
    output: int = 388
    validate_every: int = 500
    validate_images: int = 0
    keep: str = "dice"
    patience: int = 0
    tune: bool = False
    membranes: bool = False
    half: bool = False
    tracker: str = "tensorboard"
    seed: int = 0
    init: str = ""
    freeze_norm: float = 1.0
    precision: str = "auto"
    workers: int = 1

    def __post_init__(self) -> None:
        _at_least(self, 1, "steps", "batch", "accumulate", "output", "validate_every")
        _at_least(self, 0, "validate_images", "patience", "seed", "workers")
        if not 0 <= self.freeze_norm <= 1:
            raise SettingsError("run.freeze_norm is a share of the run, from 0 to 1.")
        _one_of(self, "keep", ("dice", "average_precision", "seg", "pixel_error"))
        _one_of(self, "precision", ("auto", "fp32", "bf16", "fp16"))


@dataclass(frozen=True)
class CardSettings:
    """What the model card says that cannot be computed.

    ``license`` is an identifier that the Hub knows ("cc0-1.0"), or "other" with a
    ``license_name`` of your own and the address of its text, ``license_link``. ``summary`` says
    what the model is for, ``limits`` where it fails. ``watts``, what the machine drew, and
    ``grams_per_kwh``, the CO2 of a kWh there, let the card reckon energy and CO2 from the hours;
    0: not known.
    """

    license: str = "unknown"
    license_name: str = ""
    license_link: str = ""
    summary: str = ""
    limits: str = "Unknown: measure it on your own images before you rely on it."
    watts: float = 0.0
    grams_per_kwh: float = 0.0

    def __post_init__(self) -> None:
        _at_least(self, 0, "watts", "grams_per_kwh")


@dataclass(frozen=True)
class Settings:
    """A recipe: what is learnt, by which network, and how."""

    network: dict[str, Any] = field(default_factory=dict)
    data: DataSettings = field(default_factory=DataSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    run: RunSettings = field(default_factory=RunSettings)
    card: CardSettings = field(default_factory=CardSettings)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_whole(path, (json.dumps(dataclasses.asdict(self), indent=2) + "\n").encode())


def read_settings(path: Path, changes: list[str] | None = None) -> Settings:
    """Read a recipe (TOML) or the settings.json of a run.

    Parameters
    ----------
    path : Path
    changes : list of str, optional
        ``section.key=value`` each, the value in TOML's notation: ``run.steps=2000``.

    Raises
    ------
    SettingsError
        If the file cannot be read, or a section, key or value does not fit; names it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise SettingsError(
            f"The recipe {path.name} cannot be opened: {error.strerror}."
        ) from error
    except ValueError as error:  # what both parsers raise, and what no UTF-8 text raises
        raise SettingsError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise SettingsError(f"{path.name} is no table of sections such as [data] and [run].")
    for change in changes or ():
        _apply(table, change)
    return settings_from(table, path.name)


def settings_from(table: dict[str, Any], name: str = "recipe") -> Settings:
    """Check a table of sections and make the settings of it.

    Examples
    --------
    >>> settings_from({"run": {"steps": 500}}).run.steps
    500
    >>> settings_from({"run": {"step": 500}})
    Traceback (most recent call last):
        ...
    hf_unet.training.settings.SettingsError: recipe [run] has a key 'step'; known are ...
    """
    hints = get_type_hints(Settings)
    if unknown := sorted(set(table) - set(hints)):
        raise SettingsError(
            f"{name} has a section [{unknown[0]}]; known are {', '.join(sorted(hints))}."
        )
    for section, value in table.items():
        if not isinstance(value, dict):
            raise SettingsError(f"{name} has a value {section}; right is a section [{section}].")
    return Settings(
        network=dict(table.get("network", {})),
        **{
            section: _section(hints[section], table.get(section, {}), f"{name} [{section}]")
            for section in set(hints) - {"network"}
        },
    )


Section = TypeVar("Section")


def _section(kind: type[Section], table: dict[str, Any], where: str) -> Section:
    hints = get_type_hints(kind)
    if unknown := sorted(set(table) - set(hints)):
        raise SettingsError(
            f"{where} has a key {unknown[0]!r}; known are {', '.join(sorted(hints))}."
        )
    return kind(
        **{key: _value(hints[key], value, f"{where} {key}") for key, value in table.items()}
    )


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check one value against the type its field declares."""
    if hint == tuple[str, ...]:
        if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
            raise SettingsError(f"{where} is a list of texts, not {value!r}.")
        return tuple(value)
    if get_origin(hint) is tuple:
        count = None if Ellipsis in get_args(hint) else len(get_args(hint))
        if (
            not isinstance(value, list | tuple)
            or not all(_is_number(one) for one in value)
            or (count is not None and len(value) != count)
        ):
            numbers = "numbers" if count is None else f"{count} numbers"
            raise SettingsError(f"{where} is a list of {numbers}, not {value!r}.")
        return tuple(float(one) for one in value)
    allowed = get_args(hint) or (hint,)
    if float in allowed and _is_number(value):
        return float(value)
    if type(value) not in allowed or type(value) is float:  # NaN and infinity
        raise SettingsError(f"{where} is {_TYPE_NAMES[allowed[0]]}, not {value!r}.")
    return value


_TYPE_NAMES = {
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    str: "a text",
}


def _is_number(value: object) -> bool:
    finite = isinstance(value, (int, float)) and math.isfinite(value)
    return finite and not isinstance(value, bool)


def _name(section: object) -> str:
    return type(section).__name__.removesuffix("Settings").lower()


def _at_least(section: object, least: int, *keys: str) -> None:
    for key in keys:
        if (value := getattr(section, key)) < least:
            raise SettingsError(f"{_name(section)}.{key} is at least {least}, not {value}.")


def _above_zero(section: object, key: str) -> None:
    if not (value := getattr(section, key)) > 0:
        raise SettingsError(f"{_name(section)}.{key} is above 0, not {value}.")


def _one_of(section: object, key: str, known: tuple[str, ...]) -> None:
    if (value := getattr(section, key)) not in known:
        raise SettingsError(f"{_name(section)}.{key} is one of {', '.join(known)}, not {value!r}.")


def _apply(table: dict[str, Any], change: str) -> None:
    name, _, value = change.partition("=")
    section, _, key = name.strip().partition(".")
    if not value.strip() or not key:
        raise SettingsError(f"A change has the form section.key=value, not {change!r}.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()  # a text without its quotation marks
    values = table.setdefault(section, {})
    if not isinstance(values, dict):
        raise SettingsError(f"The recipe has a value {section}; right is a section [{section}].")
    values[key] = parsed
