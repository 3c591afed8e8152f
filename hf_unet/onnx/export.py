"""A network written as one ONNX file, once it is known to say what PyTorch says."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hf_unet.errors import ModelError
from hf_unet.exports.files import write_whole
from hf_unet.network import SegmentationNetwork
from hf_unet.onnx.extra import require
from hf_unet.onnx.file import LARGEST, describe
from hf_unet.onnx.graph import draw_graph
from hf_unet.onnx.session import Session

LARGEST_DIFFERENCE = 1e-4
"""Between the probabilities of the two, beyond which a file is not kept."""


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX file that was written.

    Attributes
    ----------
    path : Path
    size : int
        In bytes.
    largest_difference : float
        Between its probabilities and PyTorch's, over inputs of several sizes.
    """

    path: Path
    size: int
    largest_difference: float


def export_onnx(model: SegmentationNetwork, path: str | Path) -> OnnxExport:
    """Write a network as one ONNX file, from which `hf_unet.onnx.OnnxNetwork` segments.

    It holds the graph in float32, batch norm folded, with free height, width and batch, and in its
    ``metadata_props`` the text of config.json. It takes scaled tiles and gives probabilities, as
    `SegmentationNetwork.predict` does.

    Parameters
    ----------
    model : SegmentationNetwork
        It is left as it is.
    path : str or Path
        The file, ``.onnx``. Its folder is made if need be. It is written whole or not at all.

    Returns
    -------
    OnnxExport

    Raises
    ------
    ModelError
        If the name does not end in .onnx, packages are missing, the network is too large for one
        file, or onnxruntime finds other probabilities than PyTorch: by more than 1e-4.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from hf_unet import UNet
    >>> with TemporaryDirectory() as folder:
    ...     made = export_onnx(UNet(base_channels=2, depth=1), f"{folder}/cells.onnx")
    >>> made.largest_difference < 1e-4
    True
    """
    require("onnx", "onnxscript", "onnxruntime")
    path = Path(path)
    if path.suffix != ".onnx":
        raise ModelError(f"An ONNX file is named something.onnx, not {path.name}.")
    if sum(4 * tensor.numel() for tensor in model.state_dict().values()) > LARGEST - 2**20:
        raise ModelError("The network is larger than the 2 GB that one ONNX file may hold.")
    plain = copy.deepcopy(model).to("cpu", torch.float32).eval()
    proto = draw_graph(copy.deepcopy(plain))
    describe(proto, model)
    content: bytes = proto.SerializeToString()
    difference = _difference(plain, Session(content, path.name))
    if not difference <= LARGEST_DIFFERENCE:  # also if it is no number
        raise ModelError(
            f"Probabilities by onnxruntime differ from PyTorch's by {difference:.2g}, more than "
            f"{LARGEST_DIFFERENCE:g}, so {path.name} was not written. Try another version of "
            "onnxruntime."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return OnnxExport(path, len(content), difference)


def _difference(model: SegmentationNetwork, session: Session) -> float:
    """The largest over a few inputs; infinite where one of the two gives no numbers."""
    differences = [
        np.abs(session.run(batch) - model.predict(batch)).max(initial=0.0)
        for batch in _batches(model)
    ]
    return float(max(np.nan_to_num(differences, nan=np.inf)))


def _batches(model: SegmentationNetwork) -> Iterator[NDArray[np.float32]]:
    """Noise about the scale of images, in other batches and sides than the graph was drawn with."""
    random, geometry = np.random.default_rng(0), model.geometry
    for batch, height, width in ((1, 1, 1), (2, 1, 5), (3, 4, 2)):
        sides = [geometry.smallest + (count - 1) * geometry.grid for count in (height, width)]
        yield random.normal(0.5, 0.5, (batch, model.in_channels, *sides)).astype(np.float32)
