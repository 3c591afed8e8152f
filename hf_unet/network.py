"""What every network of this library is: a module of PyTorch that is stored, and that segments.

A network class says what it does to an image's size (`geometry`) and scores a batch (`forward`);
it gets the rest from here, and nothing outside asks which network it is.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hf_unet.errors import ModelError
from hf_unet.repositories.claims import Verification, verify_network
from hf_unet.repositories.storage import StoredNetwork
from hf_unet.segmenter import Segmenter


class SegmentationNetwork(StoredNetwork, Segmenter):
    """Base of the networks: images of any size to masks.

    A subclass takes the arguments of `Segmenter` and its own, keeps each in an attribute of the
    same name (together they are ``config.json``), and defines `geometry`,
    `activation_bytes_per_pixel` and ``forward``. See `hf_unet.UNet` for what the arguments mean.
    """

    def __init__(self, **arguments: Any) -> None:
        StoredNetwork.__init__(self)
        Segmenter.__init__(self, **arguments)

    @property
    def device_type(self) -> str:
        """What it runs on: "cpu", "cuda" or "mps"."""
        return next(self.parameters()).device.type

    def verify(self) -> Verification:
        """Check that the repository this network was loaded from is what it says.

        Its sample is segmented again, its figures must be of these weights, and its card must
        show them. See `hf_unet.verification.verify_repository`.

        Raises
        ------
        ModelError
            If the network was not loaded from a repository, or has been changed since.
        """
        repository = self.repository
        if repository is None:
            raise ModelError(
                "There is nothing to verify this network by: it was not loaded from a model "
                "repository, or its weights were changed since. Save it, load it with "
                "from_pretrained and verify that."
            )
        return verify_network(self, repository)

    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities of a batch of scaled images, on whatever device and differentiable.

        Parameters
        ----------
        images : (N, in_channels, H, W) float tensor
            As ``forward`` takes them.

        Returns
        -------
        (N, len(classes), H', W') float32 tensor, 0 .. 1: a softmax over the classes, or a sigmoid
        each if ``multilabel`` or if there is only one.
        """
        logits: Tensor = self(images).float()
        independent = self.multilabel or len(self.classes) == 1
        return logits.sigmoid() if independent else logits.softmax(dim=1)

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch of scaled tiles, whether or not the network is being trained.

        Parameters
        ----------
        batch : (N, in_channels, h, w) float32 array
            With sides that `geometry` accepts.

        Returns
        -------
        (N, len(classes), h', w') float32 array, 0 .. 1
        """
        parameter = next(self.parameters())
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            with torch.inference_mode():
                images = torch.from_numpy(batch).to(parameter.device, parameter.dtype)
                found = self.probabilities(images.contiguous(memory_format=torch.channels_last))
                array: NDArray[np.float32] = found.cpu().numpy()
        finally:
            for module in training:  # each by itself: some layers may have been frozen
                module.training = True
        return array

    def _free_pixels(self) -> int:
        """Pixels of input that the device's free memory holds, at half of it."""
        device = next(self.parameters()).device
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
        elif device.type == "mps":
            free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        else:
            return super()._free_pixels()
        return max(1, free // 2 // self.activation_bytes_per_pixel)
