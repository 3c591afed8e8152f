"""A network as one ONNX file: written, checked against PyTorch, and segmenting without it.

The modules of this folder import the library of the same name as ``import onnx``.
"""

from hf_unet.onnx.export import OnnxExport, export_onnx
from hf_unet.onnx.network import OnnxNetwork, find_onnx

__all__ = ["OnnxExport", "OnnxNetwork", "export_onnx", "find_onnx"]
