"""Slow, plain definitions that the fast code is compared with; nothing of hf_unet is used here."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def walk(position: int, length: int) -> int:
    """The pixel that is seen `position` steps from pixel 0, turning round at either end.

    >>> [walk(p, 3) for p in range(-3, 6)]
    [1, 2, 1, 0, 1, 2, 1, 0, 1]
    """
    if length == 1:
        return 0
    pixel, direction = 0, 1 if position > 0 else -1
    for _ in range(abs(position)):
        # Leftwards from pixel 0 the first step already turns round.
        if not 0 <= pixel + direction < length:
            direction = -direction
        pixel += direction
    return pixel


def mirrored(
    image: NDArray[Any], top: int, left: int, height: int, width: int
) -> NDArray[np.float32]:
    """A rectangle of a (C, H, W) image and of its mirror images all around."""
    rows = [walk(top + row, image.shape[1]) for row in range(height)]
    columns = [walk(left + column, image.shape[2]) for column in range(width)]
    return np.stack([image[:, row][:, columns] for row in rows], axis=1).astype(np.float32)


def size_after(side: int, depth: int, padded: bool) -> int | None:
    """Side of a U-Net's output, counted layer by layer; None if some layer does not fit."""
    lost = 0 if padded else 4  # two 3x3 convolutions
    skips = []
    for _ in range(depth):
        side -= lost
        skips.append(side)
        if side <= 0 or side % 2:
            return None
        side //= 2
    side -= lost
    for skip in reversed(skips):
        if side <= 0:
            return None
        side *= 2
        if side > skip or (skip - side) % 2:
            return None
        side -= lost
    return side if side > 0 else None


def unet(
    state: Mapping[str, Tensor],
    images: Tensor,
    *,
    depth: int,
    pad: int,
    drop: Callable[[Tensor], Tensor] = lambda x: x,
) -> Tensor:
    """Figure 1 of the paper, written out with plain functions on the network's weights."""

    def convolutions(name: str, x: Tensor) -> Tensor:
        layers = sorted({int(key.split(".")[-2]) for key in state if key.startswith(f"{name}.")})
        for layer in layers:
            values = {
                key.rsplit(".", maxsplit=1)[1]: value
                for key, value in state.items()
                if key.startswith(f"{name}.{layer}.")
            }
            if "running_mean" in values:
                mean, variance, scale, shift = (
                    values[part][:, None, None]
                    for part in ("running_mean", "running_var", "weight", "bias")
                )
                x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
            else:
                x = functional.conv2d(x, values["weight"], values.get("bias"), padding=pad)
            if layer + 1 not in layers:  # after the norm, where there is one
                x = x.clamp(min=0)
        return x

    x, skips = images, []
    for level in range(depth):
        x = convolutions(f"contracting.{level}", x)
        if level == depth - 1:
            x = drop(x)
        skips.append(x)
        x = functional.max_pool2d(x, 2)
    x = drop(convolutions("bottleneck", x))
    for level in range(depth):
        x = functional.conv_transpose2d(
            x, state[f"up.{level}.weight"], state[f"up.{level}.bias"], stride=2
        )
        skip = skips[depth - 1 - level]
        rows, columns = ((s - t) // 2 for s, t in zip(skip.shape[2:], x.shape[2:], strict=True))
        # Copy and crop: as much is cut from the top as from the bottom.
        assert skip.shape[2] == x.shape[2] + 2 * rows and skip.shape[3] == x.shape[3] + 2 * columns
        middle = skip[:, :, rows : rows + x.shape[2], columns : columns + x.shape[3]]
        x = convolutions(f"expansive.{level}", torch.cat([middle, x], dim=1))
    return functional.conv2d(x, state["classifier.weight"], state["classifier.bias"])
