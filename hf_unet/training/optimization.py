"""How the weights move: optimizer, learning rate, averaged weights, precision."""

import math

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hf_unet.training.settings import OptimizerSettings

LAST_RATE = 0.01
"""Where the cosine ends, as a share of the learning rate."""


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> Optimizer:
    """SGD with momentum, the paper's, or AdamW."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.name == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    return torch.optim.SGD(
        model.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay
    )


def build_schedule(optimizer: Optimizer, settings: OptimizerSettings, steps: int) -> LambdaLR:
    """Linear warm-up, then constant or half a cosine, over ``steps`` steps."""

    def factor(step: int) -> float:
        if step < settings.warmup:
            return (step + 1) / settings.warmup
        if not settings.cosine:
            return 1.0
        done = (step - settings.warmup) / max(1, steps - settings.warmup)
        return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return LambdaLR(optimizer, factor)


Tensors = tuple[Tensor, ...] | list[Tensor]


def build_average(model: nn.Module, decay: float) -> AveragedModel | None:
    """Exponential moving average of weights and batch-norm statistics; None for a decay of 0.

    The first steps count more, by a decay of (1 + n) / (10 + n) at step n while that is smaller:
    else a short run would end with little but the weights that it began with.
    """
    if not decay:
        return None

    def average(averages: Tensors, values: Tensors, count: Tensor | int) -> None:
        steps = int(count)
        step = get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))  # type: ignore[no-untyped-call]
        step(averages, values, count)

    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def choose_precision(wanted: str) -> str:
    """Accelerate's name of a precision: bf16 where the processor computes in it, if "auto"."""
    if wanted != "auto":
        return "no" if wanted == "fp32" else wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"
