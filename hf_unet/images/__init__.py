"""Any image a biologist has -> (C, H, W) with its own values, bit depth remembered."""

from hf_unet.images.normalization import NORMALIZATIONS, normalize
from hf_unet.images.reading import MAX_PIXELS, ScienceImage, match_channels, read_image

__all__ = [
    "MAX_PIXELS",
    "NORMALIZATIONS",
    "ScienceImage",
    "match_channels",
    "normalize",
    "read_image",
]
