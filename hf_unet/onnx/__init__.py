"""A network as one ONNX file. Stands in for the package of this name until that is here."""

from pathlib import Path

from hf_unet.errors import ModelError
from hf_unet.network import SegmentationNetwork


def export_onnx(model: SegmentationNetwork, path: str | Path) -> None:
    """Refuse to write a network as an ONNX file."""
    raise ModelError("This version of hf-unet cannot write ONNX files.")
