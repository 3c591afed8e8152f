"""Losses: logits, target and weights in, one number out."""

import torch
from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Pixel-wise cross-entropy of a softmax, weighted by a map: eq. 1 of Ronneberger et al. 2015.

    E = sum_x w(x) log p_l(x)(x), with the sign that makes it a loss, and divided by the number
    of pixels, so that a learning rate holds for tiles of any size.

    Parameters
    ----------
    logits : (N, K, H, W) float tensor
    target : (N, H, W) int64 tensor
        Class index, 0 .. K-1.
    weights : (N, H, W) float tensor, optional
        w(x), for instance from `hf_unet.boundary_weight_map`. None: 1 everywhere.

    Returns
    -------
    Scalar tensor.

    Examples
    --------
    >>> import torch
    >>> logits = torch.zeros(1, 2, 1, 2)
    >>> target = torch.tensor([[[0, 1]]])
    >>> round(weighted_cross_entropy(logits, target).item(), 4)  # log 2
    0.6931
    >>> round(weighted_cross_entropy(logits, target, torch.tensor([[[3.0, 0.0]]])).item(), 4)
    1.0397
    """
    return _weighted_mean(_energy(logits, target), weights)


def weighted_binary_cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of one sigmoid per class, for classes that may overlap.

    Parameters
    ----------
    logits, target : (N, K, H, W) float tensors
        Target values are 0 or 1.
    weights : (N, H, W) or (N, K, H, W) float tensor, optional

    Examples
    --------
    >>> import torch
    >>> loss = weighted_binary_cross_entropy(torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1))
    >>> round(loss.item(), 4)
    0.6931
    """
    return _weighted_mean(_binary_energy(logits, target), weights)


def focal_loss(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, gamma: float = 2.0
) -> Tensor:
    """Cross-entropy that counts less where the network is right: Lin et al. 2017, eq. 5.

    FL(p) = -w (1 - p)^gamma log p, with p the softmax's probability of the pixel's true class,
    averaged over the pixels. The paper's alpha, one number for each class, is part of w here.

    Parameters
    ----------
    logits : (N, K, H, W) float tensor
    target : (N, H, W) int64 tensor
        Class index, 0 .. K-1.
    weights : (N, H, W) float tensor, optional
        None: 1 everywhere.
    gamma : float
        At least 0, which makes it `weighted_cross_entropy`; 2 was best in the paper.

    Returns
    -------
    Scalar tensor.

    References
    ----------
    .. [1] Lin, T.-Y. et al. (2017). Focal loss for dense object detection. arXiv:1708.02002

    Examples
    --------
    >>> import torch
    >>> logits = torch.zeros(1, 2, 1, 1)  # p = 1/2, so log 2 / 4
    >>> round(focal_loss(logits, torch.tensor([[[1]]])).item(), 4)
    0.1733
    """
    return _weighted_mean(_focused(_energy(logits, target), gamma), weights)


def binary_focal_loss(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, gamma: float = 2.0
) -> Tensor:
    """`focal_loss` of one sigmoid per class, for classes that may overlap.

    Parameters
    ----------
    logits, target : (N, K, H, W) float tensors
        Target values are 0 or 1.
    weights : (N, H, W) or (N, K, H, W) float tensor, optional
    gamma : float

    Examples
    --------
    >>> import torch
    >>> loss = binary_focal_loss(torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1), gamma=1)
    >>> round(loss.item(), 4)  # log 2 / 2
    0.3466
    """
    return _weighted_mean(_focused(_binary_energy(logits, target), gamma), weights)


def _energy(logits: Tensor, target: Tensor) -> Tensor:
    """-log p of each pixel's class, p of a softmax: (N, H, W)."""
    return functional.cross_entropy(logits.float(), target, reduction="none")


def _binary_energy(logits: Tensor, target: Tensor) -> Tensor:
    """-log p of what each class is at each pixel, p of a sigmoid: (N, K, H, W)."""
    return functional.binary_cross_entropy_with_logits(
        logits.float(), target.float(), reduction="none"
    )


def _weighted_mean(energy: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return energy.mean()
    return (energy * (_by_class(weights) if energy.ndim == 4 else weights)).mean()


def _focused(energy: Tensor, gamma: float) -> Tensor:
    """(1 - p)^gamma times the energy -log p."""
    wrong = -torch.expm1(-energy)  # 1 - p, to full precision where p is close to 1
    # Below the smallest float a power of less than 1 would have an infinite slope.
    return wrong.clamp_min(torch.finfo(energy.dtype).tiny) ** gamma * energy


def _by_class(weights: Tensor) -> Tensor:
    """Weights with an axis of classes: (N, H, W) holds for each class alike."""
    return weights if weights.ndim == 4 else weights[:, None]


def soft_dice_loss(
    probabilities: Tensor, target: Tensor, smooth: float = 1.0, weights: Tensor | None = None
) -> Tensor:
    """One minus the soft Dice coefficient, averaged over classes (Milletari et al. 2016).

    Dice = (2 sum w p g + s) / (sum w p^2 + sum w g^2 + s) with the sums over all pixels of the
    batch, so that a class absent from one image does not make it noise.

    Parameters
    ----------
    probabilities, target : (N, K, H, W) float tensors in 0 .. 1
    smooth : float
        s, in pixels.
    weights : (N, H, W) or (N, K, H, W) float tensor, optional
        w. Only how they differ within a class matters, but for s; a pixel of weight 0 does not
        count. None: 1 everywhere.

    Examples
    --------
    >>> import torch
    >>> target = torch.tensor([[[[0.0, 1.0]]]])
    >>> soft_dice_loss(target, target).item()
    0.0
    """
    over = (0, 2, 3)
    overlap = probabilities * target
    size = probabilities.square() + target.square()
    if weights is not None:
        overlap, size = overlap * _by_class(weights), size * _by_class(weights)
    return (1 - (2 * overlap.sum(over) + smooth) / (size.sum(over) + smooth)).mean()


def dice_loss(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """`soft_dice_loss` of a softmax, over all classes, the background too.

    Parameters
    ----------
    logits : (N, K, H, W) float tensor
    target : (N, H, W) int64 tensor
        Class index, 0 .. K-1.
    weights : (N, H, W) float tensor, optional
        How much each pixel counts in the sums of the coefficient.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[[20.0, -20.0]], [[-20.0, 20.0]]]])
    >>> round(dice_loss(logits, torch.tensor([[[0, 1]]])).item(), 4)
    0.0
    >>> round(dice_loss(logits, torch.tensor([[[1, 0]]])).item(), 4)  # 1 - 1 / (1 + 1 + 1)
    0.6667
    """
    one_hot = functional.one_hot(target, logits.shape[1]).movedim(-1, 1).float()
    return soft_dice_loss(logits.float().softmax(dim=1), one_hot, weights=weights)


def binary_dice_loss(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """`soft_dice_loss` of one sigmoid per class, for classes that may overlap.

    Parameters
    ----------
    logits, target : (N, K, H, W) float tensors
        Target values are 0 or 1.
    weights : (N, H, W) or (N, K, H, W) float tensor, optional
        How much each pixel counts in the sums of the coefficient.

    Examples
    --------
    >>> import torch
    >>> round(binary_dice_loss(torch.full((1, 1, 1, 1), 20.0), torch.ones(1, 1, 1, 1)).item(), 4)
    0.0
    """
    return soft_dice_loss(logits.float().sigmoid(), target.float(), weights=weights)


def dice_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum of `weighted_cross_entropy` and `dice_loss` (as in nnU-Net, Isensee et al. 2021).

    The Dice coefficient is not weighted; but a pixel of weight 0 counts in neither.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[[20.0, -20.0]], [[-20.0, 20.0]]]])
    >>> round(dice_cross_entropy(logits, torch.tensor([[[0, 1]]])).item(), 4)
    0.0
    """
    return weighted_cross_entropy(logits, target, weights) + dice_loss(
        logits, target, _counted(weights)
    )


def dice_binary_cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Sum of `weighted_binary_cross_entropy` and `binary_dice_loss`.

    The Dice coefficient is not weighted; but a pixel of weight 0 counts in neither.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[[20.0]], [[20.0]]]])
    >>> round(dice_binary_cross_entropy(logits, torch.ones(1, 2, 1, 1)).item(), 4)
    0.0
    """
    return weighted_binary_cross_entropy(logits, target, weights) + binary_dice_loss(
        logits, target, _counted(weights)
    )


def _counted(weights: Tensor | None) -> Tensor | None:
    """1 where a pixel has any weight, 0 where nothing is known of it."""
    return None if weights is None else (weights > 0).float()
