"""A network as one ONNX file: over the whole overlap-tile path it says what PyTorch says."""

import copy
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from small_networks import bright, drawn, picture

from hf_unet import ModelError, Segmentation, UNet, __version__
from hf_unet.onnx import OnnxExport, OnnxNetwork, export_onnx

ROOT = Path(__file__).resolve().parent.parent

TOLERANCE = 1e-4

KINDS: dict[str, dict[str, Any]] = {
    "valid": {"depth": 2, "classes": ("background", "cell")},
    "blocks": {"depth": 1, "downsampling": 2},
    "padded, blocks": {"depth": 1, "downsampling": 3, "padding": "same"},
    "valid, batch norm, one class": {"depth": 2, "norm": "batch", "classes": ("cell",)},
    "padded, three channels": {"depth": 2, "padding": "same", "in_channels": 3},
    "padded, batch norm, multi-label": {
        "padding": "same",
        "norm": "batch",
        "in_channels": 3,
        "classes": ("lung", "heart", "rib"),
        "multilabel": True,
        "thresholds": (0.4, 0.5, 0.6),
    },
    "border": {
        "norm": "batch",
        "classes": ("background", "cell", "border"),
        "border": True,
        "thresholds": (0.55,),
        "seed_threshold": 0.4,
        "calibration": ((1.1, 0.2), None),
        "test_time_averaging": True,
    },
}


@dataclass
class Pair:
    """A network of PyTorch, and what was exported of it."""

    torch: UNet
    onnx: OnnxNetwork
    path: Path
    made: OnnxExport


@pytest.fixture(scope="module", params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    model = drawn(**KINDS[request.param])
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    made = export_onnx(model, path)
    return Pair(model, OnnxNetwork.from_pretrained(path), path, made)


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of a small valid network, with its ONNX file."""
    folder = tmp_path_factory.mktemp("models") / "cells"
    drawn().save_pretrained(folder)
    export_onnx(UNet.from_pretrained(folder), folder / "onnx" / "model.onnx")
    return folder


def undecided(result: Segmentation, thresholds: tuple[float, ...] | None) -> NDArray[np.bool_]:
    """Where a probability lies so near to what decides that rounding may change the mask."""
    found = result.probabilities
    if result.multilabel or len(found) == 1:
        limits = np.reshape(thresholds or [0.5] * len(found), (-1, 1, 1))
        near = np.abs(found - limits) <= TOLERANCE
        return near if result.multilabel else near[0]
    if thresholds is not None:
        return np.asarray(np.abs(1 - found[0] - thresholds[0]) <= TOLERANCE)
    ordered = np.sort(found, axis=0)
    return np.asarray(ordered[-1] - ordered[-2] <= 2 * TOLERANCE)


def assert_alike(other: Segmentation, result: Segmentation, model: UNet) -> None:
    np.testing.assert_allclose(other.probabilities, result.probabilities, rtol=0, atol=TOLERANCE)
    changed = other.mask != result.mask
    assert not (changed & ~undecided(result, model.thresholds)).any()
    for name in ("classes", "colors", "multilabel", "plan", "calibration"):
        assert getattr(other, name) == getattr(result, name), name
    if not changed.any() and model.seed_threshold is None:
        np.testing.assert_array_equal(other.instances, result.instances)


# --- what it says ----------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("sides", [(0, 0), (0, 9), (5, 2)], ids=str)
def test_probabilities_are_those_of_pytorch(pair: Pair, batch: int, sides: tuple[int, int]) -> None:
    geometry = pair.torch.geometry
    height, width = (geometry.smallest + steps * geometry.grid for steps in sides)
    images = picture(batch, pair.torch.in_channels, height, width).astype(np.float32) / 255
    found = pair.onnx.predict(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pair.torch.predict(images), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((90, 131), {"tile": 64, "batch_size": 2}),
        ((61, 47), {"tile": (48, 40), "test_time_averaging": True}),
        ((7, 5), {}),
        ((3, 60, 52), {"test_time_averaging": False}),
    ],
    ids=str,
)
def test_an_image_is_segmented_alike(
    pair: Pair, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    image = picture(*shape, seed=3)
    result = pair.torch.segment(image, **options)
    assert_alike(pair.onnx.segment(image, **options), result, pair.torch)


def test_every_class_is_found(pair: Pair) -> None:
    assert all(pair.onnx.segment(picture(90, 90)).areas.values())  # or else masks would be alike


def test_a_network_set_by_hand_finds_what_is_bright(tmp_path: Path) -> None:
    export_onnx(bright(), tmp_path / "bright.onnx")
    image = np.full((4, 6), 20, np.uint8)
    image[1:3, 2:5] = 200
    result = OnnxNetwork.from_pretrained(tmp_path / "bright.onnx").segment(image)
    assert result.mask.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    score = 2 * 200 / 255 - 1
    assert result.probabilities[1, 1, 3] == pytest.approx(1 / (1 + np.exp(-score)), abs=1e-6)


def test_a_batch_that_does_not_fit_is_refused_as_by_pytorch(pair: Pair) -> None:
    side, channels = pair.torch.geometry.smallest, pair.torch.in_channels
    for shape in ((1, channels, side + 1, side), (1, channels + 1, side, side)):
        images = np.zeros(shape, np.float32)
        with pytest.raises(ModelError) as expected:
            pair.torch.predict(images)
        with pytest.raises(ModelError) as caught:
            pair.onnx.predict(images)
        assert str(caught.value) == str(expected.value)


def test_threads_may_share_a_network(valid: Path) -> None:
    network = OnnxNetwork.from_pretrained(valid)
    images = [picture(40 + 7 * seed, 50, seed=seed) for seed in range(4)]
    expected = [network.segment(image).probabilities for image in images]
    found: dict[int, NDArray[np.float32]] = {}

    def segment(index: int) -> None:
        found[index] = network.segment(images[index], tile=40).probabilities

    threads = [threading.Thread(target=segment, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, probabilities in enumerate(expected):
        np.testing.assert_allclose(found[index], probabilities, rtol=0, atol=1e-6)


def test_it_takes_as_many_threads_as_pytorch(valid: Path) -> None:
    before = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            session = OnnxNetwork.from_pretrained(valid)._session._session
            assert session.get_session_options().intra_op_num_threads == count
    finally:
        torch.set_num_threads(before)


def test_too_little_memory_is_a_memory_error(valid: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def run(self, *_: object) -> None:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 9")

    network = OnnxNetwork.from_pretrained(valid)
    monkeypatch.setattr(network._session, "_session", Full())
    with pytest.raises(MemoryError):
        network.segment(picture(20, 20))


# --- the file --------------------------------------------------------------------------------


def test_the_file_alone_says_all(pair: Pair) -> None:
    assert [path.name for path in pair.path.parent.iterdir()] == ["net.onnx"]
    assert pair.made == OnnxExport(
        pair.path, pair.path.stat().st_size, pair.made.largest_difference
    )
    assert pair.made.largest_difference <= TOLERANCE
    proto = onnx.load(pair.path)
    onnx.checker.check_model(proto, full_check=True)
    texts = {prop.key: prop.value for prop in proto.metadata_props}
    assert texts == {"hf_unet_config": pair.torch.config_text, "hf_unet_version": __version__}
    assert pair.onnx.config == pair.torch.config


def test_batch_height_and_width_are_free_and_named(pair: Pair) -> None:
    proto = onnx.load(pair.path)
    (images,), (probabilities,) = proto.graph.input, proto.graph.output
    padded = pair.torch.padding == "same"
    inner = ["height", "width"] if padded else ["output_height", "output_width"]
    for value, name, sizes in (
        (images, "images", ["batch", pair.torch.in_channels, "height", "width"]),
        (probabilities, "probabilities", ["batch", len(pair.torch.classes), *inner]),
    ):
        kind = value.type.tensor_type
        assert (value.name, kind.elem_type) == (name, onnx.TensorProto.FLOAT)
        assert [dim.dim_param or dim.dim_value for dim in kind.shape.dim] == sizes


def test_batch_norm_is_folded_and_every_operator_is_onnxs_own(pair: Pair) -> None:
    proto = onnx.load(pair.path)
    last = "Sigmoid" if pair.torch.multilabel or len(pair.torch.classes) == 1 else "Softmax"
    layers = {"Conv", "Relu", "MaxPool", "ConvTranspose", "Concat", last}
    if pair.torch.downsampling > 1:
        layers |= {"AveragePool", "Resize"}
    sizes = {"Shape", "Squeeze", "Reshape", "Sub", "Div", "Add", "Slice"}
    assert layers <= {node.op_type for node in proto.graph.node} <= layers | sizes
    assert {node.domain for node in proto.graph.node} == {""}
    weights = [one for one in proto.graph.initializer if "weight" in one.name]
    plain = UNet(**KINDS["valid"] | {"depth": pair.torch.depth})
    assert len(weights) == sum("weight" in name for name in plain.state_dict())


def test_nothing_of_this_machine_is_in_the_file(pair: Pair) -> None:
    content = pair.path.read_bytes()
    for place in (str(ROOT), torch.__file__.removesuffix("__init__.py"), str(Path.home()), ".py"):
        assert place.encode() not in content


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    UNet(base_channels=2, depth=1, norm="batch").save_pretrained(tmp_path / "net")
    model = UNet.from_pretrained(tmp_path / "net").train()
    model.bottleneck.eval()
    model.up.requires_grad_(False)
    before = copy.deepcopy(model)
    export_onnx(model, tmp_path / "net.onnx")
    assert str(model) == str(before) and model.origin == before.origin is not None
    for one, other in zip(model.modules(), before.modules(), strict=True):
        assert one.training == other.training
    for one, other in zip(model.parameters(), before.parameters(), strict=True):
        assert one.requires_grad == other.requires_grad and torch.equal(one, other)
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


def test_half_precision_is_written_in_float32(tmp_path: Path) -> None:
    model = drawn(norm="batch").half()
    export_onnx(model, tmp_path / "net.onnx")
    kinds = {one.data_type for one in onnx.load(tmp_path / "net.onnx").graph.initializer}
    assert kinds <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    image = picture(40, 40)
    found = OnnxNetwork.from_pretrained(tmp_path / "net.onnx").segment(image)
    assert_alike(found, model.float().segment(image), model)


def test_weights_of_a_repository_are_named_in_the_file(valid: Path) -> None:
    model, network = UNet.from_pretrained(valid), OnnxNetwork.from_pretrained(valid)
    texts = {
        prop.key: prop.value for prop in onnx.load(valid / "onnx" / "model.onnx").metadata_props
    }
    assert model.origin is not None and network.origin.name == "cells"
    assert texts["hf_unet_weights_sha256"] == model.origin.sha256 != network.origin.sha256


# --- what is not kept ------------------------------------------------------------------------


def test_a_graph_that_says_something_else_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hf_unet.onnx.graph import draw_graph

    monkeypatch.setattr("hf_unet.onnx.export.draw_graph", lambda _: draw_graph(drawn(seed=5)))
    path = tmp_path / "new" / "net.onnx"
    with pytest.raises(ModelError, match=r"differ from PyTorch's by [\d.]+, more than 0\.0001"):
        export_onnx(drawn(), path)
    assert not path.parent.exists()
    (tmp_path / "old.onnx").write_bytes(b"before")
    with pytest.raises(ModelError):
        export_onnx(drawn(), tmp_path / "old.onnx")
    assert (tmp_path / "old.onnx").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["old.onnx"]


def test_a_network_of_no_numbers_is_not_kept(tmp_path: Path) -> None:
    model = drawn()
    with torch.no_grad():
        model.classifier.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match="differ from PyTorch's by"):
        export_onnx(model, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["net", "net.pt", "net.onnx.zip"])
def test_another_ending_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"named something\.onnx, not"):
        export_onnx(drawn(), tmp_path / name)


def test_a_network_too_large_for_one_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_unet.onnx.export.LARGEST", 2**20 + 1000)
    with pytest.raises(ModelError, match="larger than the 2 GB"):
        export_onnx(drawn(), tmp_path / "net.onnx")


# --- the bundled networks --------------------------------------------------------------------


@pytest.mark.bundled
@pytest.mark.slow
def test_the_nuclei_of_the_example_are_the_same(tmp_path: Path) -> None:
    model = UNet.from_pretrained(ROOT / "models" / "nuclei")
    export_onnx(model, tmp_path / "nuclei.onnx")
    network = OnnxNetwork.from_pretrained(tmp_path / "nuclei.onnx")
    example = ROOT / "spaces" / "examples" / "nuclei.tif"
    result, other = model.segment(example), network.segment(example)
    assert_alike(other, result, model)
    # On the machine where this was written: 7e-7, and no pixel.
    assert np.abs(other.probabilities - result.probabilities).max() < 1e-5
    assert (other.mask != result.mask).sum() <= 2
    np.testing.assert_allclose(other.expected_dice, result.expected_dice, atol=1e-4)
    place = other.save(tmp_path / "result")
    content = json.loads((place / "result.json").read_text("utf-8"))
    assert content["runtime"] == "onnxruntime" and content["model"]["name"] == "nuclei.onnx"
