"""model.safetensors into a network, strictly; nothing is unpickled."""

import os
from collections.abc import Iterable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from hf_unet.errors import ModelError
from hf_unet.repositories.placement import set_precision, weight_layers
from hf_unet.repositories.pretrained import CONFIG, WEIGHTS, Repository
from hf_unet.repositories.safetensors_file import (
    DTYPES,
    DamagedFileError,
    StoredTensor,
    read_header,
    read_values,
)


def read_weights(
    repository: Repository, network: nn.Module, device: torch.device, dtype: torch.dtype | None
) -> None:
    """Give a network the weights of model.safetensors: exactly its tensors, of their shapes.

    Nothing is allocated before the file is known to hold what the network needs.

    Parameters
    ----------
    repository : Repository
    network : nn.Module
        On the meta device; it is on ``device`` afterwards.
    device : torch.device
    dtype : torch.dtype or None
        As `hf_unet.repositories.placement.set_precision` takes it. None: as the file has it; if it
        has several, the smallest that holds them all.

    Raises
    ------
    ModelError
        If the file is missing, truncated or foreign, lacks a tensor, holds one too many, one
        of another shape, or values that are no numbers; names the first such tensor. Also if
        they would not fit into memory.
    """
    path = repository.file(WEIGHTS)
    title = repository.title
    try:
        with path.open("rb") as file:
            held = read_header(file)
            _check(held, network.state_dict(), title)
            set_precision(network, dtype or _widest(held, network))
            expected = network.state_dict()
            if device.type == "cpu":
                _check_memory(expected.values(), title)
            weights = {}
            for name, tensor in expected.items():
                values = torch.empty(tensor.shape, dtype=tensor.dtype)
                if not read_values(file, held[name], into=values):
                    raise ModelError(
                        f"In the {WEIGHTS} of {title}, {name} has values that are no finite "
                        f"numbers as {str(tensor.dtype).removeprefix('torch.')}. Load it as "
                        "float32; if that does not help, it is damaged or its training failed."
                    )
                weights[name] = values.to(device)
    except (DamagedFileError, OSError) as error:
        raise ModelError(
            f"The {WEIGHTS} of {title} is truncated or no safetensors file. Download it again."
        ) from error
    except (RuntimeError, MemoryError) as error:  # the first is torch's
        raise ModelError(
            f"The weights of {title} could not be put into the memory of the device {device}. "
            "Close other programs, or give another device."
        ) from error
    network.load_state_dict(weights, strict=True, assign=True)


def _check(held: Mapping[str, StoredTensor], expected: Mapping[str, Tensor], title: str) -> None:
    """Whether the file's header is that of this network; `ModelError` if not."""
    if missing := sorted(set(expected) - set(held)):
        raise ModelError(
            f"The {WEIGHTS} of {title} lacks {len(missing)} of the network's tensors, "
            f"first {missing[0]}. It belongs to another network than its {CONFIG}."
        )
    if foreign := sorted(set(held) - set(expected)):
        raise ModelError(
            f"The {WEIGHTS} of {title} holds {len(foreign)} tensors that the network has no place "
            f"for, first {foreign[0]!s:.80}. It belongs to another network than its {CONFIG}."
        )
    for name, tensor in expected.items():
        stored = held[name]
        kind = DTYPES.get(stored.dtype)
        if kind is None or kind.is_floating_point != tensor.is_floating_point():
            raise ModelError(
                f"In the {WEIGHTS} of {title}, {name} is stored as {stored.dtype!s:.20}, from "
                "which its values cannot be had back. Save the model in 16 or 32 bits."
            )
        if stored.shape != tuple(tensor.shape):
            raise ModelError(
                f"In the {WEIGHTS} of {title}, {name} has shape {stored.shape}; its {CONFIG} "
                f"makes it {tuple(tensor.shape)}. The two files belong to two networks."
            )


def _widest(held: Mapping[str, StoredTensor], network: nn.Module) -> torch.dtype:
    """The smallest type that holds all weights as they are stored, batch norm left aside."""
    layers = {id(value) for layer in weight_layers(network) for value in layer.parameters()}
    kinds = [
        DTYPES[held[name].dtype]
        for name, value in network.named_parameters()
        if id(value) in layers
    ]
    return reduce(torch.promote_types, kinds)


def _check_memory(tensors: Iterable[Tensor], title: str) -> None:
    """Refuse weights that this machine cannot hold: the system would end the whole program."""
    size = sum(tensor.nbytes for tensor in tensors)
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on Windows
        return
    if size > memory:
        raise ModelError(
            f"The weights of {title} take {size / 1e9:,.0f} GB, and this machine has "
            f"{memory / 1e9:,.0f} GB of memory. Load it on a larger one."
        )
