"""What a run minimises: a loss chosen by name from `hf_unet.loss`."""

from collections.abc import Callable

from torch import Tensor

from hf_unet.loss import (
    binary_dice_loss,
    binary_focal_loss,
    dice_binary_cross_entropy,
    dice_cross_entropy,
    dice_loss,
    focal_loss,
    weighted_binary_cross_entropy,
    weighted_cross_entropy,
)
from hf_unet.training.settings import SettingsError

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "weighted_cross_entropy": weighted_cross_entropy,
    "dice_cross_entropy": dice_cross_entropy,
    "dice": dice_loss,
    "focal": focal_loss,
}
"""For classes that exclude each other: target (N, H, W) int64."""

BINARY_LOSSES: dict[str, Loss] = {
    "weighted_cross_entropy": weighted_binary_cross_entropy,
    "dice_cross_entropy": dice_binary_cross_entropy,
    "dice": binary_dice_loss,
    "focal": binary_focal_loss,
}
"""For a sigmoid each: target (N, K, H, W) float."""


def choose_loss(name: str, *, multilabel: bool, channels: int) -> Loss:
    """The loss of this name, in the form that suits the network's output.

    Raises
    ------
    SettingsError
        If there is none of this name.
    """
    if name not in LOSSES:
        raise SettingsError(f"loss.name is one of {', '.join(LOSSES)}, not {name!r}.")
    if multilabel:
        return BINARY_LOSSES[name]
    if channels == 1:
        binary = BINARY_LOSSES[name]
        return lambda logits, target, weights: binary(logits, target[:, None], weights)
    return LOSSES[name]
