"""One ONNX file of this library: graph and config, told apart from all else that ends in .onnx."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_unet import __version__
from hf_unet.errors import ModelError
from hf_unet.network import SegmentationNetwork
from hf_unet.onnx.extra import require
from hf_unet.repositories.pretrained import parse_config

if TYPE_CHECKING:
    import onnx

CONFIG, VERSION, WEIGHTS = "hf_unet_config", "hf_unet_version", "hf_unet_weights_sha256"
"""What a file says of itself: config.json's text, who wrote it, and, if they were loaded from a
model.safetensors, the digest of that."""

LARGEST = 2**31 - 1
"""Bytes of one ONNX file."""


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file of this library holds.

    Attributes
    ----------
    title : str
        What to call it.
    config : dict
        As in config.json.
    weights_sha256 : str or None
        Of the model.safetensors that it was made from. None: the network was not loaded from one.
    sha256 : str
        Of the file itself.
    content : bytes
    """

    title: str
    config: dict[str, Any]
    weights_sha256: str | None
    sha256: str
    content: bytes = field(repr=False)


def describe(proto: "onnx.ModelProto", network: SegmentationNetwork) -> None:
    """Put into a graph what makes its file enough to segment."""
    proto.producer_name, proto.producer_version = "hf-unet", __version__
    texts = {CONFIG: network.config_text, VERSION: __version__}
    if network.origin is not None:
        texts[WEIGHTS] = network.origin.sha256
    for key, text in texts.items():
        proto.metadata_props.add(key=key, value=text)


def read_onnx(path: Path, title: str) -> OnnxFile:
    """Read an ONNX file that `hf_unet.onnx.export_onnx` wrote.

    Parameters
    ----------
    path : Path
    title : str
        What to call it in errors.

    Raises
    ------
    ModelError
        If it is no ONNX file, not one of this library, or has parts in other files.
    """
    require("onnx")
    import onnx
    from google.protobuf.message import DecodeError

    proto = onnx.ModelProto()
    try:
        if path.stat().st_size > LARGEST:
            raise ModelError(f"{title} is larger than 2 GB, which no ONNX file is.")
        content = path.read_bytes()
        proto.ParseFromString(content)
        texts = {prop.key: prop.value for prop in proto.metadata_props}
    except OSError as error:
        raise ModelError(f"{title} cannot be read: {error.strerror}.") from error
    except (DecodeError, UnicodeDecodeError) as error:
        raise _no_onnx(title) from error
    if not proto.graph.node:  # an empty file is a message without a word
        raise _no_onnx(title)
    if CONFIG not in texts:
        raise ModelError(
            f"{title} is an ONNX file of another library: it lacks the config of a network of "
            "hf-unet. Run it with the library that made it."
        )
    if proto.functions or any(map(_lies_elsewhere, _tensors(proto.graph))):
        raise ModelError(
            f"{title} has parts in other files or functions of its own, which are never read. "
            "Export the network again: hf-unet export."
        )
    config = parse_config(texts[CONFIG].encode(), f"The config in {title}")
    digest = hashlib.sha256(content).hexdigest()
    return OnnxFile(title, config, texts.get(WEIGHTS), digest, content)


def _tensors(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """All tensors that a graph holds, those in its nodes and in graphs within them included."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _lies_elsewhere(tensor: "onnx.TensorProto") -> bool:
    return bool(tensor.external_data) or tensor.data_location == tensor.EXTERNAL


def _no_onnx(title: str) -> ModelError:
    return ModelError(
        f"{title} is no ONNX file, or is truncated. Export the network again: hf-unet export."
    )


def damaged(title: str) -> ModelError:
    """The error of a file whose parts contradict each other."""
    return ModelError(
        f"{title} is damaged: its graph and its config do not belong together. Export the network "
        "again: hf-unet export."
    )
