"""Probabilities of a batch's results, for the pointer: on disk, in the steps that it shows.

The zip holds them only if asked, and then as four times as many bytes as are shown.
"""

from pathlib import Path

import numpy as np

from hf_unet.demo.scenes import Layer, probability_layer, quantised_layer
from hf_unet.segmentation import Segmentation

MOST_KEPT = 32_000_000
"""Pixels times classes of one image; of larger ones no probabilities are kept."""


def keep_probabilities(path: Path, result: Segmentation) -> int:
    """Write the probabilities of a result; the bytes that they take, 0 if they are too many.

    Parameters
    ----------
    path : Path
        Of the file to write, ending in ``.npz``.
    result : Segmentation
    """
    if result.probabilities.size > MOST_KEPT:
        return 0
    layer = probability_layer(result.probabilities, result.classes)
    np.savez_compressed(path, planes=layer.data, names=np.array(layer.settings["names"]))
    return path.stat().st_size


def kept_probabilities(path: Path) -> list[Layer]:
    """The layer that `keep_probabilities` wrote, or none."""
    if not path.is_file():
        return []
    with np.load(path, allow_pickle=False) as file:
        planes, names = file["planes"], file["names"].tolist()
    return [quantised_layer(planes, names)]
