"""Whether a model repository holds what it says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_unet.model import load_network
from hf_unet.sample_tile import read_sample


@dataclass(frozen=True)
class Verification:
    """What was found. Stands in for the module of this name until that is here."""

    holds: bool
    faults: tuple[str, ...] = ()


def verify_repository(
    name: str | Path, revision: str | None = None, **options: Any
) -> Verification:
    """Load a network, and segment its sample again."""
    network = load_network(name, revision=revision, **options)
    sample = read_sample(name)
    again = network.segment(sample.image, sample.tile)
    if np.abs(again.probabilities - sample.probabilities).max() <= 1e-4:
        return Verification(holds=True)
    return Verification(holds=False, faults=("The sample is not reproduced.",))
