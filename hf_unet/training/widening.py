"""A network made twice as wide without changing what it says (Chen et al., Net2Net, 2016).

Every channel becomes two that are equal. What reads them shares its weights out between the two
at random, so that the twins get unlike gradients and part in training.
"""

import torch
from torch import Tensor

from hf_unet.model import UNet

LEAST_SHARE = 0.1
"""What either of a pair gets at least of a weight."""


@torch.no_grad()
def widen(network: UNet, generator: torch.Generator) -> UNet:
    """A network of twice the ``base_channels`` that gives the same probabilities.

    Parameters
    ----------
    network : UNet
        Left as it is.
    generator : torch.Generator
        Draws the shares.

    Returns
    -------
    UNet
        All other arguments are those of ``network``.

    Examples
    --------
    >>> narrow = UNet(base_channels=2, depth=1, norm="batch").eval()
    >>> wide = widen(narrow, torch.Generator().manual_seed(0)).eval()
    >>> images = torch.randn(1, 1, 40, 40)
    >>> wide.base_channels, torch.allclose(wide(images), narrow(images), atol=1e-5)
    (4, True)
    """
    arguments = network.config
    for name in ("model_class", "hf_unet_version"):
        arguments.pop(name)
    wide = UNet(**arguments | {"base_channels": 2 * network.base_channels})
    given = network.state_dict()
    for name, value in wide.state_dict().items():
        value.copy_(_widened(name, given[name], value.shape, generator))
    return wide


def _widened(name: str, given: Tensor, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """A parameter or statistic of the wider network."""
    if given.ndim == 0:  # the number of batches that batch norm has seen
        return given
    reading = 0 if name.startswith("up.") else 1  # of a transposed convolution the inputs are first
    for dim in range(min(given.ndim, 2)):
        if given.shape[dim] == shape[dim]:
            continue  # the image's channels, or the classes
        # The first layer of a level on the way up reads the skip and, after it, what came up.
        joined = name.startswith("expansive.") and name.split(".")[2] == "0" and dim == reading
        parts = given.chunk(2, dim) if joined and given.ndim > 1 else (given,)
        share = given.ndim > 1 and dim == reading
        given = torch.cat([_twice(part, dim, generator, share=share) for part in parts], dim)
    return given


def _twice(part: Tensor, dim: int, generator: torch.Generator, *, share: bool) -> Tensor:
    if not share:
        return torch.cat([part, part], dim)
    first = LEAST_SHARE + (1 - 2 * LEAST_SHARE) * torch.rand(part.shape, generator=generator)
    return torch.cat([part * first, part * (1 - first)], dim)
