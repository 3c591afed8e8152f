"""The network that a run begins with: new weights, or a published one's as far as they fit."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hf_unet.errors import ModelError
from hf_unet.model import UNet
from hf_unet.repositories.pretrained import Repository
from hf_unet.training.settings import Settings, SettingsError
from hf_unet.training.widening import widen

DECISIONS = ("thresholds", "colors", "border", "seed_threshold", "seed_depth", "seed_area")
"""Arguments that belong to a network's classes, and are not taken over to other ones."""


@dataclass(frozen=True)
class Start:
    """A network to train.

    Attributes
    ----------
    network : UNet
        In training mode.
    fresh : tuple of str
        What of it has new weights although it starts from a trained one, in words.
    """

    network: UNet
    fresh: tuple[str, ...] = ()


def start_network(settings: Settings) -> Start:
    """The network that the recipe's [network] asks for, with new weights or those of ``run.init``.

    A network to start from may have other classes or channels: a class of the same name keeps its
    weights, and a first convolution for other channels is new. It may have half the
    ``base_channels``: see `hf_unet.training.widening`. All else must be the same.

    Raises
    ------
    SettingsError
        If there is no such argument; names it.
    ModelError
        If an argument's value makes no network, or ``run.init`` does not fit it.
    """
    known = list(inspect.signature(UNet).parameters)
    if unknown := sorted(set(settings.network) - set(known)):
        raise SettingsError(
            f"recipe [network] has a key {unknown[0]!r}; known are {', '.join(known)}."
        )
    if not settings.run.init:
        return Start(UNet(**settings.network))
    teacher = UNet.from_pretrained(settings.run.init)
    changed = settings.network
    if changed.get("base_channels") == 2 * teacher.base_channels:
        teacher = widen(teacher, torch.Generator().manual_seed(settings.run.seed))
    arguments: dict[str, Any] = {name: getattr(teacher, name) for name in known}
    arguments["calibration"] = None  # it holds for the weights that it was fitted to
    if tuple(changed.get("classes", teacher.classes)) != teacher.classes:
        defaults = inspect.signature(UNet).parameters
        arguments |= {name: defaults[name].default for name in DECISIONS}
    network = UNet(**arguments | changed)
    fresh = _take_over(network, teacher, Repository(settings.run.init).title)
    return Start(network.train(), tuple(fresh))


@torch.no_grad()
def _take_over(network: UNet, teacher: UNet, title: str) -> list[str]:
    """Copy the weights that fit; returns what does not, in words."""
    fresh: list[str] = []
    given = teacher.state_dict()
    for name, value in network.state_dict().items():
        if name.startswith("classifier."):
            fresh += _take_over_classes(value, given[name], network, teacher)
        elif name in given and given[name].shape == value.shape:
            value.copy_(given[name])
        elif name == "contracting.0.0.weight" and value.shape[0] == given[name].shape[0]:
            fresh.append(
                f"the first convolution: {title} takes {teacher.in_channels} channels, this "
                f"network {network.in_channels}"
            )
        else:
            raise ModelError(
                f"The weights of {title} do not fit the network of the recipe: {name} has the "
                f"shape {tuple(value.shape)}. Only its classes and channels may differ from those "
                "of the network it starts from, and its width, which may be twice as large."
            )
    return list(dict.fromkeys(fresh))


def _take_over_classes(value: Tensor, given: Tensor, network: UNet, teacher: UNet) -> list[str]:
    """Copy the rows of the classes that both know."""
    rows = {name: row for row, name in enumerate(teacher.classes)}
    fresh = []
    for row, name in enumerate(network.classes):
        if name in rows and value.shape[1:] == given.shape[1:]:
            value[row] = given[rows[name]]
        else:
            fresh.append(f"the class {name}")
    return fresh
