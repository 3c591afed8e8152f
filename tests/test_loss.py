"""Losses against their equations, summed pixel by pixel."""

import math
from collections.abc import Callable

import pytest
import torch

from hf_unet.loss import (
    binary_dice_loss,
    binary_focal_loss,
    dice_binary_cross_entropy,
    dice_cross_entropy,
    dice_loss,
    focal_loss,
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
        focal_loss(logits, torch.tensor([[[1]]])),
        binary_focal_loss(logits, torch.tensor([[[[0.0]], [[1.0]]]])),
    ):
        assert loss.dtype == torch.float32 and loss > 100 and torch.isfinite(loss)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(gradient).all() and gradient.any()


def test_focal_loss_by_hand() -> None:
    # Odds of 1, 3 and 9 to 1 for class 1: p = 1/2, 3/4 and 9/10.
    logits = torch.tensor([[[[0.0, 0.0, 0.0]], [[0.0, math.log(3), math.log(9)]]]])
    target = torch.tensor([[[1, 1, 0]]])
    weights = torch.tensor([[[1.0, 2.0, 10.0]]])
    expected = (
        1.0 * (1 / 2) ** 2 * math.log(2)
        + 2.0 * (1 / 4) ** 2 * math.log(4 / 3)
        + 10.0 * (9 / 10) ** 2 * math.log(10)
    ) / 3
    assert focal_loss(logits, target, weights).item() == pytest.approx(expected, rel=1e-6)
    cubed = ((1 / 2) ** 3 * math.log(2) + (1 / 4) ** 3 * math.log(4 / 3)) / 2
    loss = focal_loss(logits[..., :2], target[..., :2], gamma=3)
    assert loss.item() == pytest.approx(cubed, rel=1e-6)


def test_binary_focal_loss_by_hand() -> None:
    logits = torch.tensor([[[[0.0]], [[math.log(3)]]]])
    target = torch.tensor([[[[1.0]], [[0.0]]]])
    first, second = (1 / 2) ** 2 * math.log(2), (3 / 4) ** 2 * math.log(4)
    loss = binary_focal_loss(logits, target)
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)
    by_pixel, by_class = torch.tensor([[[3.0]]]), torch.tensor([[[[3.0]], [[5.0]]]])
    loss = binary_focal_loss(logits, target, by_pixel)
    assert loss.item() == pytest.approx((3 * first + 3 * second) / 2, rel=1e-6)
    loss = binary_focal_loss(logits, target, by_class)
    assert loss.item() == pytest.approx((3 * first + 5 * second) / 2, rel=1e-6)


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    logits, target, weights = drawn()
    planes = torch.stack([target == index for index in range(3)], dim=1).float()
    for given in (None, weights):
        loss = focal_loss(logits, target, given, gamma=0)
        assert torch.equal(loss, weighted_cross_entropy(logits, target, given))
        loss = binary_focal_loss(logits, planes, given, gamma=0)
        assert torch.equal(loss, weighted_binary_cross_entropy(logits, planes, given))


@pytest.mark.parametrize("gamma", [0, 0.5, 1, 2, 5])
def test_focal_loss_is_smooth_where_the_network_is_sure_and_right(gamma: float) -> None:
    for sure in (5.0, 7.0, 12.0, 60.0, 300.0):  # from about 17 on, p is 1 in single precision
        logits = torch.tensor([[[[-sure]], [[sure]]]], requires_grad=True)
        loss = focal_loss(logits, torch.tensor([[[1]]]), gamma=gamma)
        planes = torch.tensor([[[[0.0]], [[1.0]]]])
        binary = binary_focal_loss(logits, planes, gamma=gamma)
        (gradient,) = torch.autograd.grad(loss + binary, logits)
        assert torch.isfinite(gradient).all() and gradient.abs().max() < 0.02
        # So close to p = 1, 1 - p and -log p are one number.
        energy = weighted_cross_entropy(logits, torch.tensor([[[1]]])).item()
        assert loss.item() == pytest.approx(energy ** (gamma + 1), rel=1e-3, abs=1e-30)
        if sure > 10:
            present = logits[:, 1:], planes[:, 1:]
            energy = weighted_binary_cross_entropy(*present).item()
            loss = binary_focal_loss(*present, gamma=gamma)
            assert loss.item() == pytest.approx(energy ** (gamma + 1), rel=1e-3, abs=1e-36)


def test_focal_loss_of_half_precision_logits() -> None:
    logits, target, weights = drawn()
    half = focal_loss(logits.half(), target, weights)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(focal_loss(logits, target, weights).item(), rel=1e-2)


def test_dice_losses_by_hand() -> None:
    # p of class 1: 1/2 and 3/4; of class 0: 1/2 and 1/4. s = 1.
    logits = torch.tensor([[[[0.0, 0.0]], [[0.0, math.log(3)]]]])
    target = torch.tensor([[[0, 1]]])
    first = (2 * (1 / 2) + 1) / (1 / 4 + 1 / 16 + 1 + 1)
    second = (2 * (3 / 4) + 1) / (1 / 4 + 9 / 16 + 1 + 1)
    assert dice_loss(logits, target).item() == pytest.approx(1 - (first + second) / 2)
    # A pixel that weighs 3 is as three pixels.
    weights = torch.tensor([[[3.0, 1.0]]])
    thrice = [torch.cat([part[..., :1], part[..., :1], part], dim=-1) for part in (logits, target)]
    assert dice_loss(logits, target, weights).item() == pytest.approx(dice_loss(*thrice).item())
    # A sigmoid each: p = 1/2, 1/2 of the first class, 1/2 and 3/4 of the second.
    planes = torch.tensor([[[[1.0, 1.0]], [[0.0, 1.0]]]])
    first = (2 * 1 + 1) / (1 / 2 + 2 + 1)
    loss = binary_dice_loss(logits, planes)
    assert loss.item() == pytest.approx(1 - (first + second) / 2)
    by_class = torch.tensor([[[[1.0, 1.0]], [[0.0, 2.0]]]])
    second = (2 * 2 * (3 / 4) + 1) / (2 * 9 / 16 + 2 + 1)
    loss = binary_dice_loss(logits, planes, by_class)
    assert loss.item() == pytest.approx(1 - (first + second) / 2)


@pytest.mark.parametrize(
    "loss", [weighted_cross_entropy, focal_loss, dice_loss, dice_cross_entropy]
)
def test_a_pixel_of_weight_0_does_not_count(loss: Callable[..., torch.Tensor]) -> None:
    logits, target, weights = drawn()
    weights[:, 0] = 0
    other, otherwise = logits.clone(), target.clone()
    other[:, :, 0] += torch.randn(2, 3, 5)
    otherwise[:, 0] = 2 - otherwise[:, 0]
    assert torch.equal(loss(logits, target, weights), loss(other, otherwise, weights))
    assert loss(logits, target) != loss(other, otherwise)


@pytest.mark.parametrize(
    "loss",
    [
        weighted_binary_cross_entropy,
        binary_focal_loss,
        binary_dice_loss,
        dice_binary_cross_entropy,
    ],
)
def test_a_pixel_of_weight_0_does_not_count_in_a_class(loss: Callable[..., torch.Tensor]) -> None:
    logits, _, weights = drawn()
    target = (torch.rand(2, 3, 4, 5) > 0.5).float()
    by_class = weights[:, None].repeat(1, 3, 1, 1)
    by_class[:, 1, 0] = 0
    other, otherwise = logits.clone(), target.clone()
    other[:, 1, 0] += torch.randn(2, 5)
    otherwise[:, 1, 0] = 1 - otherwise[:, 1, 0]
    assert torch.equal(loss(logits, target, by_class), loss(other, otherwise, by_class))
    assert loss(logits, target, weights) != loss(other, otherwise, weights)
