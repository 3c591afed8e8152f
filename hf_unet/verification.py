"""Does a model repository hold what it says? Its sample, figures, card and export are checked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hf_unet.errors import AbsentFileError, ModelError
from hf_unet.model import load_network
from hf_unet.network import SegmentationNetwork
from hf_unet.onnx import OnnxNetwork, find_onnx
from hf_unet.onnx.export import LARGEST_DIFFERENCE
from hf_unet.repositories.claims import Verification
from hf_unet.repositories.pretrained import ONNX, WEIGHTS, Repository
from hf_unet.repositories.sample_tile import read_sample

__all__ = ["Verification", "verify_loaded", "verify_repository"]


def verify_repository(
    name: str | Path, revision: str | None = None, **options: Any
) -> Verification:
    """Load a network and check what its repository claims of it.

    - The sample (``sample.safetensors``) is segmented again, and compared to rounding.
    - The figures (``metrics.json``) must be of these weights, by their SHA-256.
    - The card (``README.md``) must show these figures, in its text and in its header.
    - The export (``onnx/model.onnx``), if there is one, must be of these weights, and say of the
      sample what they say.

    Parameters
    ----------
    name : str or Path
        A folder, or a name on the Hub such as ``org/name``.
    revision : str, optional
        Branch, tag or commit on the Hub.
    **options
        As `hf_unet.UNet.from_pretrained` takes them, for instance ``device``.

    Returns
    -------
    Verification
        Its ``holds`` says whether all was checked and is right, its ``sentences`` what was found.

    Raises
    ------
    ModelError
        If the network itself cannot be loaded.

    Examples
    --------
    >>> import tempfile
    >>> from hf_unet import UNet
    >>> from hf_unet.repositories.sample_tile import make_sample, write_sample
    >>> model = UNet(base_channels=2, depth=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = model.save_pretrained(folder)
    ...     write_sample(folder, make_sample(model.eval()))
    ...     checked = verify_repository(folder)
    >>> checked.reproduces, checked.changed_pixels, checked.holds
    (True, 0, False)
    >>> checked.unchecked[0].partition(" holds ")[2]
    'no metrics.json, so which figures the network reached could not be checked.'
    """
    return verify_loaded(load_network(name, revision=revision, **options))


def verify_loaded(network: SegmentationNetwork) -> Verification:
    """The same of a network that is loaded already: `network.verify()`, and the export.

    Raises
    ------
    ModelError
        If the network was not loaded from a repository, or has been changed since.
    """
    checked = network.verify()
    repository = network.repository
    assert repository is not None  # or there was nothing to verify it by
    try:
        repository.file(ONNX)
    except ModelError:  # a repository need not have one; offline it may be stored elsewhere only
        return checked
    try:
        difference = _difference_of_export(network, repository)
    except ModelError as error:
        return replace(checked, export_differs=(str(error),))
    said = f"{ONNX} is of these weights, and its probabilities of the sample differ by at most"
    return replace(checked, right=(*checked.right, f"{said} {difference:.2g}."))


def _difference_of_export(network: SegmentationNetwork, repository: Repository) -> float:
    """Of any probability of the sample, between what the two record and say.

    Raises
    ------
    ModelError
        If the export is not of the network, is damaged, or says something else of the sample.
    """
    file, origin = find_onnx(
        repository.name,
        repository.revision,
        token=repository.token,
        cache_dir=repository.cache_dir,
        local_files_only=repository.local_files_only,
    )
    loaded = network.origin
    if loaded is not None and file.weights_sha256 not in (None, loaded.sha256):
        raise ModelError(
            f"{ONNX} was exported from other weights than those of {WEIGHTS}. Export it again: "
            "hf-unet export."
        )
    try:
        sample = read_sample(repository)
    except AbsentFileError as error:  # told by `verify`
        raise ModelError(f"Without a sample, {ONNX} could not be checked.") from error
    result = OnnxNetwork(file, origin).segment(sample.image, sample.tile)
    difference = float(np.abs(result.probabilities - sample.probabilities).max())
    if not difference <= LARGEST_DIFFERENCE:  # nor where it is no number
        raise ModelError(
            f"{ONNX} says something else of the sample than {WEIGHTS}: probabilities differ by up "
            f"to {difference:.2g}. Export it again: hf-unet export."
        )
    return difference
