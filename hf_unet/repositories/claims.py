"""What a model repository claims of its network, against what holds here.

It claims that the network says of a sample what the sample records, that the figures are of these
weights, and that the card shows the figures. `hf_unet.verification` loads a repository for it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from hf_unet.cards.card import CARD, METRICS
from hf_unet.cards.differences import card_differences
from hf_unet.errors import AbsentFileError, ImageError, ModelError
from hf_unet.masks import decide
from hf_unet.provenance import Origin
from hf_unet.repositories.pretrained import WEIGHTS, Repository, read_config
from hf_unet.repositories.sample_tile import SAMPLE, SampledNetwork, SampleTile, read_sample

WEIGHTS_DIGEST = "weights_sha256"
"""Of metrics.json: SHA-256 of the model.safetensors that the figures are of."""

LARGEST_TEXT = 1_000_000
"""Bytes of a card or a metrics.json that are read."""

# How far probabilities may lie from the recorded ones, by the digits that an arithmetic keeps. Of
# the bundled networks and their samples, measured: 2e-6 in single precision on CPUs of several
# instruction sets, with and without oneDNN, on one thread and two; 3e-3 where a convolution rounds
# to 10 binary digits (TF32, a CUDA GPU's default in single precision, and half precision); 5e-2
# where it rounds to 7 (bfloat16). Each limit leaves room for deeper networks, and lies far below
# what another network says: weights changed by a hundredth each move a probability by 0.02 to 0.6,
# by a thousandth 0.002 to 0.08. Weights stored in half precision are the same numbers everywhere.
ROUNDED = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-1}
ROUNDED_ON_GPU = 1e-2


class ClaimedNetwork(SampledNetwork, Protocol):
    """What has to be known of a network to check what is claimed of it."""

    @property
    def origin(self) -> Origin | None:
        """Where its weights are from."""

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """What makes its mask."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Its weights."""


@dataclass(frozen=True)
class Verification:
    """Whether a model repository is what it says.

    Attributes
    ----------
    name : str
        Name on the Hub; of a folder its last part.
    device : str
        What the sample was segmented on: "cpu", "cuda" or "mps".
    reproduces : bool
        Whether this machine says of the sample what it records, to rounding. False also where
        that could not be checked.
    largest_difference : float or None
        Of any probability of the sample, 0 .. 1. None: it could not be segmented.
    changed_pixels : int or None
        Pixels of the sample that change their class, over all classes if these may overlap.
    tolerance : float
        Largest difference that counts as rounding on this device in this precision.
    sample_differs, figures_differ, card_differs, export_differs : tuple of str
        A sentence for each thing that is not as the sample, metrics.json and the card say, and on
        an ONNX file that is not of the same network (see `hf_unet.verification`).
    unchecked : tuple of str
        A sentence for each thing that could not be checked, since a file is missing.
    right : tuple of str
        A sentence for each thing that is as it should be.
    """

    name: str
    device: str
    reproduces: bool
    largest_difference: float | None
    changed_pixels: int | None
    tolerance: float
    sample_differs: tuple[str, ...] = ()
    figures_differ: tuple[str, ...] = ()
    card_differs: tuple[str, ...] = ()
    export_differs: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    right: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether all was checked and nothing differs."""
        return self.reproduces and not self.faults

    @property
    def faults(self) -> tuple[str, ...]:
        """Every sentence about what differs or could not be checked."""
        differences = self.sample_differs + self.figures_differ + self.card_differs
        return differences + self.export_differs + self.unchecked

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, what holds first."""
        return self.right + self.faults


def verify_network(model: ClaimedNetwork, repository: Repository) -> Verification:
    """Check what a repository claims of the network that was loaded from it.

    Parameters
    ----------
    model : SegmentationNetwork
        With an ``origin``.
    repository : Repository
        At the commit that the network was loaded from.
    """
    parameter = next(model.parameters())
    device = parameter.device.type
    tolerance = ROUNDED.get(parameter.dtype, ROUNDED[torch.bfloat16])
    if device != "cpu":
        tolerance = max(tolerance, ROUNDED_ON_GPU)
    found = _Found()
    if _has(repository, SAMPLE, "whether this machine reproduces it", found):
        _check_sample(model, repository, tolerance, found)
    has_figures = _has(repository, METRICS, "which figures the network reached", found)
    has_card = _has(repository, CARD, "whether its card shows the figures", found)
    if has_figures:
        _check_figures(model, repository, has_card, found)
    return Verification(
        name=repository.title,
        device=device,
        reproduces=found.difference is not None and not found.sample,
        largest_difference=found.difference,
        changed_pixels=found.changed,
        tolerance=tolerance,
        sample_differs=tuple(found.sample),
        figures_differ=tuple(found.figures),
        card_differs=tuple(found.card),
        unchecked=tuple(found.unchecked),
        right=tuple(found.right),
    )


@dataclass
class _Found:
    """What a verification has come to so far."""

    difference: float | None = None
    changed: int | None = None
    sample: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    card: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    right: list[str] = field(default_factory=list)


def _has(repository: Repository, name: str, what: str, found: _Found) -> bool:
    """Whether a file is to be had; if not, says what could not be checked."""
    try:
        repository.file(name)
    except AbsentFileError:
        found.unchecked.append(
            f"The model {repository.title} holds no {name}, so {what} could not be checked."
        )
    except ModelError as error:
        found.unchecked.append(f"{error} So {what} could not be checked.")
    else:
        return True
    return False


def _check_sample(
    model: ClaimedNetwork, repository: Repository, tolerance: float, found: _Found
) -> None:
    try:
        sample = read_sample(repository)
        found.sample += _changed_settings(sample, model.provenance().settings)
        found.difference, found.changed = _compare(model, sample)
    except (ImageError, ModelError) as error:
        found.sample.append(str(error))
        return
    device = next(model.parameters()).device.type
    if not found.difference <= tolerance:  # nor where it is no number
        found.sample.append(
            f"The sample is not reproduced on {device}: probabilities differ by up to "
            f"{found.difference:.2g}, of which rounding explains {tolerance:g}, and "
            f"{_changing(found.changed)}."
        )
    elif not found.sample:
        found.right.append(
            f"The sample is reproduced on {device}: probabilities differ by at most "
            f"{found.difference:.2g}, and {_changing(found.changed)}."
        )


def _changed_settings(sample: SampleTile, settings: Mapping[str, Any]) -> list[str]:
    """Arguments of the network that were others when the sample was made."""
    return [
        f"The sample was made with {name} = {json.dumps(value)}, and the network has "
        f"{json.dumps(settings[name]) if name in settings else 'no such argument'}."
        for name, value in sample.settings.items()
        if name != "colors" and (name not in settings or settings[name] != value)
    ]


def _compare(model: ClaimedNetwork, sample: SampleTile) -> tuple[float, int]:
    """Segment a sample again: largest difference in probability, and pixels of another class."""
    result = model.segment(sample.image, sample.tile)
    if result.probabilities.shape != sample.probabilities.shape:
        raise ModelError(
            f"The {SAMPLE} holds probabilities of shape {sample.probabilities.shape}, and the "
            f"network's have {result.probabilities.shape}: it is the sample of another network."
        )
    before, now = (
        decide(probabilities, multilabel=result.multilabel, thresholds=model.thresholds)
        for probabilities in (sample.probabilities, result.probabilities)
    )
    difference = np.abs(result.probabilities - sample.probabilities).max()
    return float(difference), int((before != now).sum())


def _check_figures(
    model: ClaimedNetwork, repository: Repository, has_card: bool, found: _Found
) -> None:
    weights = model.origin.sha256 if model.origin is not None else "unknown"
    try:
        metrics = read_metrics(repository)
        digest = metrics.get(WEIGHTS_DIGEST)
        if digest is None:
            found.unchecked.append(
                f"The {METRICS} of {repository.title} does not say which weights its figures are "
                "of, so that could not be checked. Write it again with train/evaluate.py --update."
            )
        elif digest != weights:
            found.figures.append(
                f"The figures are not of these weights: {METRICS} names those of the SHA-256 "
                f"{digest!s:.16}..., and {WEIGHTS} has {weights:.16}...."
            )
        else:
            found.right.append(f"The figures of {METRICS} are of these weights.")
    except ModelError as error:
        found.figures.append(str(error))
        return
    if has_card:
        try:
            text = _text(repository, CARD)
        except ModelError as error:
            found.card.append(str(error))
        else:
            found.card += card_differences(text, read_config(repository), metrics)
            if not found.card:
                found.right.append(f"The card shows the figures of {METRICS}.")


def read_metrics(repository: Repository) -> dict[str, Any]:
    """Read metrics.json.

    Raises
    ------
    ModelError
        If it is missing, or is no JSON object.
    """
    text = _text(repository, METRICS)
    try:
        metrics = json.loads(text)
    except (ValueError, RecursionError):
        metrics = None
    if not isinstance(metrics, dict):
        raise ModelError(
            f"The {METRICS} of {repository.title} is damaged: it is no JSON object. Download it "
            "again, or compute the figures with train/evaluate.py."
        )
    return metrics


def _text(repository: Repository, name: str) -> str:
    """A file of text, of a size that people write."""
    path = repository.file(name)
    try:
        if path.stat().st_size <= LARGEST_TEXT:
            return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"The {name} of {repository.title} cannot be read as text. Download it again."
        ) from error
    raise ModelError(f"The {name} of {repository.title} has more than {LARGEST_TEXT:,} bytes.")


def _changing(pixels: int) -> str:
    """How many pixels change their class, as the end of a sentence.

    Examples
    --------
    >>> _changing(0), _changing(1), _changing(1200)
    ('no pixel changes its class', '1 pixel changes its class', '1,200 pixels change their class')
    """
    if pixels > 1:
        return f"{pixels:,} pixels change their class"
    return f"{'1' if pixels else 'no'} pixel changes its class"
