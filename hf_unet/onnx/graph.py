"""A network as an ONNX graph: its weights and what it does with them, for any height and width."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from hf_unet.errors import ModelError
from hf_unet.geometry import Geometry
from hf_unet.model import Convolutions
from hf_unet.network import SegmentationNetwork

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "images", "probabilities"

OPSET = 18
"""Version of ONNX's operators: the oldest that PyTorch writes."""


def draw_graph(network: SegmentationNetwork) -> "onnx.ModelProto":
    """Draw the graph of a network.

    Parameters
    ----------
    network : SegmentationNetwork
        In evaluation mode, on the CPU and in float32. Its batch norm is folded for good.

    Returns
    -------
    onnx.ModelProto
        From ``images``, (batch, in_channels, height, width) float32, to ``probabilities``,
        (batch, len(classes), height', width') float32. Sides are free as far as the network
        accepts them; the graph itself does not check them.

    Raises
    ------
    ModelError
        If the packages installed do not go together.
    """
    for module in network.modules():
        if isinstance(module, Convolutions):
            module.fold()
    geometry = network.geometry
    sides = [geometry.input_size(count * geometry.grid) for count in (3, 4)]
    images = torch.zeros(2, network.in_channels, *sides)  # no size of 1, which would be fixed
    dims = {0: Dim("batch"), 2: _accepted("rows", geometry), 3: _accepted("columns", geometry)}
    with torch.no_grad(), _without_advice():
        program = torch.export.export(_Probabilities(network), (images,), dynamic_shapes=(dims,))
        try:
            drawn: Any = torch.onnx.export(
                program,
                (images,),
                dynamo=True,
                external_data=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                verbose=False,
            )
        except ImportError as error:
            raise ModelError(
                f"PyTorch {torch.__version__} needs another onnxscript than the one installed: "
                "`pip install --upgrade onnxscript`."
            ) from error
    proto: onnx.ModelProto = drawn.model_proto
    _tidy(proto, type(network).__name__)
    _name_sides(proto, padded=geometry.lost == 0)
    return proto


class _Probabilities(nn.Module):
    """What `SegmentationNetwork.probabilities` says, as a module of its own."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.probabilities(images)


def _accepted(name: str, geometry: Geometry) -> Any:
    """The sides that a network accepts, as a dimension of `torch.export`."""
    # From 2 on: torch.export takes a size of 1, as of the bottleneck here, for a fixed one. The
    # graph it draws holds for 1 as well, and is checked with it.
    least = max(2, (geometry.smallest + geometry.offset) // geometry.grid)
    return geometry.grid * Dim(name, min=least) - geometry.offset


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep PyTorch's exporter from warning of its own code, and of packages that it does without.

    Its errors are raised as ever.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logger.setLevel(level)


def _tidy(proto: "onnx.ModelProto", name: str) -> None:
    """Take out what describes the run that drew the graph, the folders of this machine above all.

    What is left says what to compute. Sizes between layers follow from the operators.
    """
    proto.graph.name = name
    proto.doc_string = proto.graph.doc_string = ""
    del proto.metadata_props[:], proto.graph.metadata_props[:], proto.graph.value_info[:]
    values = [*proto.graph.input, *proto.graph.output]
    for part in [*proto.graph.node, *proto.graph.initializer, *values]:
        part.doc_string = ""
        del part.metadata_props[:]


def _name_sides(proto: "onnx.ModelProto", padded: bool) -> None:
    """Name the free sizes of what goes in and what comes out."""
    outer = ("height", "width")
    inner = outer if padded else ("output_height", "output_width")
    for value, sides in ((proto.graph.input[0], outer), (proto.graph.output[0], inner)):
        dims = value.type.tensor_type.shape.dim
        for dim, name in zip((dims[0], dims[2], dims[3]), ("batch", *sides), strict=True):
            dim.dim_param = name
