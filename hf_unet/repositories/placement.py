"""Where a network's weights lie and in which precision: what a caller may ask for."""

from typing import Any

import torch
from torch import nn

from hf_unet.errors import ModelError

STORED = "stored"
"""The precision of the file, whatever it is."""

PRECISIONS = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


def checked_dtype(dtype: Any) -> torch.dtype | None:
    """The precision to load weights in; None: as they are stored.

    Parameters
    ----------
    dtype : torch.dtype or str
        A dtype of `PRECISIONS`, or its name; or "stored".

    Raises
    ------
    ModelError
        If it is none of these.

    Examples
    --------
    >>> checked_dtype("bfloat16"), checked_dtype("stored")
    (torch.bfloat16, None)
    """
    if isinstance(dtype, torch.dtype) and dtype in PRECISIONS.values():
        return dtype
    if isinstance(dtype, str) and dtype in PRECISIONS:
        return PRECISIONS[dtype]
    if isinstance(dtype, str) and dtype == STORED:
        return None
    raise ModelError(
        f'dtype is a torch.dtype or a name of {", ".join(PRECISIONS)}, or "{STORED}" for that of '
        f"the file, not {dtype!r:.80}."
    )


def checked_device(device: Any) -> torch.device:
    """A device that is here and holds values.

    Raises
    ------
    ModelError
        If torch knows no such device, or it is not in this machine.

    Examples
    --------
    >>> checked_device("cpu")
    device(type='cpu')
    """
    try:
        known = torch.device(device)
        torch.empty(0, device=known)
    # What torch raises depends on the device: NotImplementedError is a RuntimeError.
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"There is no device {device!r:.80} here. Give one that torch can use on this "
            'machine, such as "cpu".'
        ) from error
    if known.type == "meta":
        raise ModelError('The device "meta" holds no values. Give one that does, such as "cpu".')
    return known


def weight_layers(network: nn.Module) -> list[nn.Module]:
    """The layers whose weights may be of low precision: all but batch norm.

    A variance may lie above the range of float16, and what batch norm holds is little.
    """
    layers = [module for module in network.modules() if not any(module.children())]
    return [layer for layer in layers if not isinstance(layer, nn.BatchNorm2d)]


def set_precision(network: nn.Module, dtype: torch.dtype) -> None:
    """Convert the weights of a network in place; batch norm keeps float32, or gets more.

    Examples
    --------
    >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    >>> set_precision(network, torch.bfloat16)
    >>> network[0].weight.dtype, network[1].weight.dtype
    (torch.bfloat16, torch.float32)
    """
    _convert(network, torch.promote_types(dtype, torch.float32))
    for layer in weight_layers(network):
        _convert(layer, dtype)


def _convert(module: nn.Module, dtype: torch.dtype) -> None:
    """Convert a module where it is not of that type; asking torch for nothing takes memory too."""
    values = [*module.parameters(), *module.buffers()]
    if any(value.is_floating_point() and value.dtype != dtype for value in values):
        module.to(dtype)
