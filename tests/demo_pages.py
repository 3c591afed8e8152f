"""What the demo's tests share: its examples, small models, and results as its pages hold them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hf_unet import UNet
from hf_unet.demo.models.loading import EXAMPLES
from hf_unet.demo.shown import Shown
from hf_unet.images import read_image
from hf_unet.labels import read_labels

IMAGE, TRUTH = EXAMPLES / "nuclei.tif", EXAMPLES / "nuclei_truth.tif"
OTHER = EXAMPLES / "nuclei_8bit.png"

CLASSES = ("background", "cell")


def small_network(**settings: object) -> UNet:
    """A network of two levels with chance weights that finds something in noise."""
    torch.manual_seed(3)
    chosen: dict[str, object] = {"in_channels": 1, "classes": CLASSES, "base_channels": 2}
    return UNet(**{**chosen, "depth": 2, **settings}).eval()  # type: ignore[arg-type]


def noise(height: int = 60, width: int = 70, seed: int = 0) -> NDArray[np.uint16]:
    """An image of blurred noise, (H, W), of 12 bits."""
    coarse = np.random.default_rng(seed).random((height // 4 + 2, width // 4 + 2))
    fine = np.kron(coarse, np.ones((4, 4)))[:height, :width]
    return np.asarray(fine * 4095).astype(np.uint16)


def two_squares(height: int = 60, width: int = 70) -> NDArray[np.uint16]:
    """Instances: two squares two pixels apart."""
    instances = np.zeros((height, width), np.uint16)
    instances[10:30, 10:30], instances[10:30, 32:50] = 1, 2
    return instances


def shown_with(
    network: UNet, image: NDArray[np.generic], truth: NDArray[np.generic] | None = None
) -> Shown:
    """A result as a page holds it, without files."""
    labels = None
    if truth is not None:
        kind = "multilabel" if network.multilabel else None
        labels = read_labels(truth, network.mask_classes, kind=kind)
    result = network.segment(read_image(image))
    return Shown(result=result, labels=labels, model="small", name="image.tif")


def put_models(folder: Path, monkeypatch: pytest.MonkeyPatch, **networks: UNet) -> None:
    """Make these the demo's bundled models, and no others."""
    from hf_unet.demo.models import loading
    from hf_unet.demo.models.cache import ModelCache

    for name, network in networks.items():
        network.save_pretrained(folder / name)
    monkeypatch.setattr(loading, "MODELS", folder)
    monkeypatch.setattr(loading, "_cache", ModelCache(loading.MEMORY))
