"""Does a model repository hold what it says? Its sample, its figures and its card are checked."""

from pathlib import Path
from typing import Any

from hf_unet.model import load_network
from hf_unet.repositories.claims import Verification

__all__ = ["Verification", "verify_repository"]


def verify_repository(
    name: str | Path, revision: str | None = None, **options: Any
) -> Verification:
    """Load a network and check what its repository claims of it.

    - The sample (``sample.safetensors``) is segmented again, and compared to rounding.
    - The figures (``metrics.json``) must be of these weights, by their SHA-256.
    - The card (``README.md``) must show these figures, in its text and in its header.

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
    return load_network(name, revision=revision, **options).verify()
