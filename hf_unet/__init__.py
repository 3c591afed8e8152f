"""The U-Net of Ronneberger, Fischer and Brox (2015), with its overlap-tile and weight map.

The public names are fetched on first use, so that importing the package, or only its metrics,
does not wait for torch.

Examples
--------
>>> from hf_unet import UNet
>>> UNet().output_size(572)
388
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hf_unet.errors import ImageError, LabelError, ModelError

if TYPE_CHECKING:
    from hf_unet.images import read_image
    from hf_unet.model import UNet
    from hf_unet.segmentation import Segmentation
    from hf_unet.weight_map import boundary_weight_map

__version__ = "0.1.0"

__all__ = [
    "ImageError",
    "LabelError",
    "ModelError",
    "Segmentation",
    "UNet",
    "__version__",
    "boundary_weight_map",
    "read_image",
]

_HOMES = {
    "Segmentation": "hf_unet.segmentation",
    "UNet": "hf_unet.model",
    "boundary_weight_map": "hf_unet.weight_map",
    "read_image": "hf_unet.images",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
