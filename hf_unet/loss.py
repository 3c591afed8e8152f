"""Losses: logits, target and weights in, one number out."""

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
    energy = functional.cross_entropy(logits.float(), target, reduction="none")
    return (energy if weights is None else energy * weights).mean()


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
    energy = functional.binary_cross_entropy_with_logits(
        logits.float(), target.float(), reduction="none"
    )
    if weights is None:
        return energy.mean()
    return (energy * (weights if weights.ndim == 4 else weights[:, None])).mean()


def soft_dice_loss(probabilities: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """One minus the soft Dice coefficient, averaged over classes (Milletari et al. 2016).

    Dice = (2 sum p g + s) / (sum p^2 + sum g^2 + s) with the sums over all pixels of the batch,
    so that a class absent from one image does not make it noise.

    Parameters
    ----------
    probabilities, target : (N, K, H, W) float tensors in 0 .. 1
    smooth : float
        s, in pixels.

    Examples
    --------
    >>> import torch
    >>> target = torch.tensor([[[[0.0, 1.0]]]])
    >>> soft_dice_loss(target, target).item()
    0.0
    """
    over = (0, 2, 3)
    overlap = (probabilities * target).sum(over)
    size = probabilities.square().sum(over) + target.square().sum(over)
    return (1 - (2 * overlap + smooth) / (size + smooth)).mean()


def dice_cross_entropy(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum of `weighted_cross_entropy` and `soft_dice_loss` (as in nnU-Net, Isensee et al. 2021).

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[[20.0, -20.0]], [[-20.0, 20.0]]]])
    >>> round(dice_cross_entropy(logits, torch.tensor([[[0, 1]]])).item(), 4)
    0.0
    """
    one_hot = functional.one_hot(target, logits.shape[1]).movedim(-1, 1).float()
    dice = soft_dice_loss(logits.float().softmax(dim=1), one_hot)
    return weighted_cross_entropy(logits, target, weights) + dice


def dice_binary_cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Sum of `weighted_binary_cross_entropy` and `soft_dice_loss`, for classes that may overlap.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[[20.0]], [[20.0]]]])
    >>> round(dice_binary_cross_entropy(logits, torch.ones(1, 2, 1, 1)).item(), 4)
    0.0
    """
    dice = soft_dice_loss(logits.float().sigmoid(), target.float())
    return weighted_binary_cross_entropy(logits, target, weights) + dice
