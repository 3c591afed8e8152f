"""The packages that ONNX needs, which are not installed with hf-unet itself."""

from importlib.util import find_spec

from hf_unet.errors import ModelError


def require(*packages: str) -> None:
    """Say in a sentence what is not installed.

    Parameters
    ----------
    *packages : str
        Names to import.

    Raises
    ------
    ModelError
        If one of them is not here, with the command that installs them all.

    Examples
    --------
    >>> require("numpy")
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ModelError(
            f"ONNX needs the package {missing[0]}, which is not installed. Install what it takes "
            'with `pip install "hf-unet[onnx]"`.'
        )
