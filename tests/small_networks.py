"""Networks of a few weights that nobody trained, and pictures in which they find something."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from hf_unet.images import normalize, read_image
from hf_unet.model import UNet


def drawn(seed: int = 2, **arguments: Any) -> UNet:
    """A network in whose masks every class occurs."""
    torch.manual_seed(seed)
    model = UNet(**({"base_channels": 4, "depth": 1} | arguments)).eval()
    side = 104 if model.geometry.accepts(104) else model.geometry.nearest(104)[1]
    scaled = normalize(read_image(picture(side, side)), "percentile")
    images = torch.from_numpy(scaled).expand(1, model.in_channels, -1, -1)
    if model.norm is not None:
        with torch.no_grad():
            model.train()(images)  # statistics that are not 0 and 1
        model.eval()
    with torch.no_grad():  # centre and scale the scores, so that every class occurs
        scores = model(images)
        mean, deviation = scores.mean(dim=(0, 2, 3)), scores.std(dim=(0, 2, 3))
        assert model.classifier.bias is not None
        model.classifier.bias.sub_(mean).div_(deviation)
        model.classifier.weight.div_(deviation[:, None, None, None])
    return model


def bright() -> UNet:
    """A network that finds what is bright: one weight of each layer is 1, the rest 0."""
    network = UNet(base_channels=1, depth=1, normalization="bit-depth")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for block in (network.contracting[0], network.expansive[0]):
            for layer in block:
                if isinstance(layer, torch.nn.Conv2d):
                    layer.weight[0, 0, 1, 1] = 1
        network.classifier.weight[1] = 2
        network.classifier.bias[1] = -1
    return network


def picture(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blobs of a few pixels on a dark ground."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = gaussian_filter(noise, [2 if side > 4 else 0 for side in shape])
    scaled = (smooth - smooth.min()) / np.ptp(smooth) * 255
    return np.asarray(scaled.round(), np.uint8)
