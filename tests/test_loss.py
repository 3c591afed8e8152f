"""Losses against their equations, summed pixel by pixel."""

import math

import pytest
import torch

from hf_unet.loss import (
    dice_binary_cross_entropy,
    dice_cross_entropy,
    soft_dice_loss,
    weighted_binary_cross_entropy,
    weighted_cross_entropy,
)


def drawn(classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(classes)
    logits = 3 * torch.randn(2, classes, 4, 5)
    return logits, torch.randint(classes, (2, 4, 5)), torch.rand(2, 4, 5) * 10


def test_equation_1() -> None:
    logits, target, weights = drawn()
    energy = 0.0
    for n in range(2):
        for y in range(4):
            for x in range(5):
                odds = [math.exp(a) for a in logits[n, :, y, x].tolist()]
                p = odds[int(target[n, y, x])] / sum(odds)
                energy -= float(weights[n, y, x]) * math.log(p)
    loss = weighted_cross_entropy(logits, target, weights)
    assert loss.item() == pytest.approx(energy / (2 * 4 * 5), rel=1e-5)
    ones = torch.ones_like(weights)
    assert torch.equal(
        weighted_cross_entropy(logits, target), weighted_cross_entropy(logits, target, ones)
    )


def test_binary_cross_entropy_of_each_class() -> None:
    logits, _, weights = drawn()
    target = (torch.rand(2, 3, 4, 5) > 0.5).float()
    p = logits.double().sigmoid()
    energy = -(target * p.log() + (1 - target) * (1 - p).log())
    expected = (energy * weights[:, None]).sum() / (2 * 3 * 4 * 5)
    loss = weighted_binary_cross_entropy(logits, target, weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    by_class = weights[:, None].expand(-1, 3, -1, -1)
    assert weighted_binary_cross_entropy(logits, target, by_class).item() == pytest.approx(
        loss.item()
    )
    unweighted = weighted_binary_cross_entropy(logits, target)
    assert unweighted.item() == pytest.approx(energy.mean().item(), rel=1e-5)


def test_soft_dice_by_hand() -> None:
    p = torch.tensor([[[[0.5, 1.0]], [[0.0, 0.25]]]])
    g = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    # Class 1: 2 * 0.5 / (1.25 + 1); class 2: 2 * 0.25 / (0.0625 + 1); each with s = 1.
    expected = 1 - ((1 + 1) / (2.25 + 1) + (0.5 + 1) / (1.0625 + 1)) / 2
    assert soft_dice_loss(p, g).item() == pytest.approx(expected)
    assert soft_dice_loss(g, g, smooth=0.5).item() == 0
    assert soft_dice_loss(1 - g, g, smooth=0.0).item() == 1


def test_soft_dice_sums_over_the_batch() -> None:
    p, g = torch.rand(4, 2, 3, 3), (torch.rand(4, 2, 3, 3) > 0.5).float()
    beside = [torch.cat(list(part), dim=-1)[None] for part in (p, g)]
    assert soft_dice_loss(p, g).item() == pytest.approx(soft_dice_loss(*beside).item(), rel=1e-5)


def test_the_sums_are_sums() -> None:
    logits, target, weights = drawn()
    one_hot = torch.stack([target == index for index in range(3)], dim=1).float()
    dice = soft_dice_loss(logits.softmax(dim=1), one_hot)
    expected = weighted_cross_entropy(logits, target, weights) + dice
    assert dice_cross_entropy(logits, target, weights).item() == pytest.approx(expected.item())
    dice = soft_dice_loss(logits.sigmoid(), one_hot)
    expected = weighted_binary_cross_entropy(logits, one_hot, weights) + dice
    loss = dice_binary_cross_entropy(logits, one_hot, weights)
    assert loss.item() == pytest.approx(expected.item())


def test_large_logits_and_half_precision_stay_finite() -> None:
    logits = torch.tensor([[[[300.0]], [[-300.0]]]], dtype=torch.float16, requires_grad=True)
    for loss in (
        weighted_cross_entropy(logits, torch.tensor([[[1]]]), torch.tensor([[[12.0]]])),
        dice_cross_entropy(logits, torch.tensor([[[1]]])),
        dice_binary_cross_entropy(logits, torch.tensor([[[[0.0]], [[1.0]]]])),
    ):
        assert loss.dtype == torch.float32 and loss > 100 and torch.isfinite(loss)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(gradient).all() and gradient.any()


def test_a_pixel_of_weight_0_does_not_count() -> None:
    logits, target, weights = drawn()
    weights[:, 0] = 0
    other = logits.clone()
    other[:, :, 0] += torch.randn(2, 3, 5)
    assert torch.equal(
        weighted_cross_entropy(logits, target, weights),
        weighted_cross_entropy(other, target, weights),
    )
