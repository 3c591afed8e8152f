"""What PyTorch makes of a network: a graph for any size, or compiled code, that says the same."""

import copy
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import drawn, picture
from torch import Tensor
from torch.export import Dim

from hf_unet import ModelError, UNet

KINDS: dict[str, dict[str, Any]] = {
    "valid": {"depth": 2},
    "blocks": {"depth": 1, "downsampling": 2},
    "padded, blocks": {"depth": 1, "downsampling": 3, "padding": "same"},
    "valid, batch norm, one class": {"depth": 2, "norm": "batch", "classes": ("cell",)},
    "padded": {"depth": 2, "padding": "same", "in_channels": 3},
    "padded, batch norm, multi-label": {
        "padding": "same",
        "norm": "batch",
        "classes": ("lung", "heart", "rib"),
        "multilabel": True,
    },
}

each = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    """No test meets what another has compiled."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def images(model: UNet, batch: int = 2, height: int = 3, width: int = 5) -> Tensor:
    """A batch of noise with sides that the network accepts, in steps above the smallest."""
    generator = torch.Generator().manual_seed(height + width)
    sides = [model.geometry.smallest + steps * model.geometry.grid for steps in (height, width)]
    return torch.rand(batch, model.in_channels, *sides, generator=generator)


SIZES = [(2, 3, 5), (3, 7, 2)]
"""Steps of `images`; the second is another than what was exported or compiled first."""


# --- torch.export ----------------------------------------------------------------------------


@each
@pytest.mark.parametrize("with_gradients", [False, True])
def test_an_exported_network_says_the_same_at_any_size(kind: str, with_gradients: bool) -> None:
    model = drawn(**KINDS[kind])
    free = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    with torch.set_grad_enabled(with_gradients):
        program = torch.export.export(model, (images(model),), dynamic_shapes=(free,))
    with torch.no_grad():
        for size in SIZES:
            batch = images(model, *size)
            torch.testing.assert_close(program.module()(batch), model(batch), rtol=0, atol=1e-5)


@each
def test_sides_can_be_given_as_the_geometry_says_them(kind: str) -> None:
    model = drawn(**KINDS[kind])
    grid, offset = model.geometry.grid, model.geometry.offset
    least = max(2, (model.geometry.smallest + offset) // grid)
    rows, columns = (Dim(name, min=least) for name in ("rows", "columns"))
    sides = {0: Dim("batch"), 2: grid * rows - offset, 3: grid * columns - offset}
    program = torch.export.export(model, (images(model),), dynamic_shapes=(sides,))
    with torch.no_grad():
        for size in SIZES:
            batch = images(model, *size)
            torch.testing.assert_close(program.module()(batch), model(batch), rtol=0, atol=1e-5)


@each
def test_an_exported_network_refuses_what_the_network_refuses(kind: str) -> None:
    model = drawn(**KINDS[kind])
    free = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    program = torch.export.export(model, (images(model),), dynamic_shapes=(free,)).module()
    wrong = images(model)[..., :-1]
    with pytest.raises(ModelError):
        model(wrong)
    with pytest.raises(AssertionError, match="Guard failed"):
        program(wrong)


def test_an_exported_network_can_be_saved_and_loaded(tmp_path: Path) -> None:
    model = drawn(norm="batch")
    batch = images(model)
    torch.export.save(torch.export.export(model, (batch,)), tmp_path / "net.pt2")
    program = torch.export.load(tmp_path / "net.pt2")
    with torch.no_grad():
        torch.testing.assert_close(program.module()(batch), model(batch), rtol=0, atol=1e-5)


# --- torch.compile ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "backend"), [*((kind, "eager") for kind in KINDS), (list(KINDS)[1], "aot_eager")]
)
def test_a_compiled_network_says_the_same_in_one_graph(kind: str, backend: str) -> None:
    model = drawn(**KINDS[kind])
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    for gradients in (False, True):
        with torch.set_grad_enabled(gradients):
            for size in SIZES:
                batch = images(model, *size)
                torch.testing.assert_close(compiled(batch), model(batch), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="there is no C++ compiler here"
)
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of torch's own compiler
@pytest.mark.filterwarnings("ignore:`isinstance.treespec:FutureWarning")
def test_the_default_compiler_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of processes
    model = drawn(norm="batch")
    expected = model.segment(picture(60, 52))
    model.compile(fullgraph=True)
    result = model.segment(picture(60, 52))
    np.testing.assert_allclose(result.probabilities, expected.probabilities, rtol=0, atol=1e-5)


@each
def test_a_network_compiled_in_place_segments_and_learns(kind: str) -> None:
    model = drawn(**KINDS[kind])
    plain = copy.deepcopy(model)
    calls: list[int] = []

    def counting(graph: torch.fx.GraphModule, _: list[Tensor]) -> Any:
        calls.append(len(graph.graph.nodes))
        return graph.forward

    model.compile(backend=counting, fullgraph=True)
    image = picture(70, 61)
    result, expected = model.segment(image, tile=40), plain.segment(image, tile=40)
    assert calls  # it was the compiled code that ran
    np.testing.assert_allclose(result.probabilities, expected.probabilities, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(result.instances, expected.instances)
    model.train()
    model(images(model)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_network_saves_clean_names_and_loads(tmp_path: Path, in_place: bool) -> None:
    model = drawn(norm="batch")
    compiled: Any = torch.compile(model, backend="eager")
    if in_place:
        model.compile(backend="eager")
        compiled = model
    compiled(images(model))
    compiled.save_pretrained(tmp_path / "net")
    loaded = UNet.from_pretrained(tmp_path / "net")
    assert loaded.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    image = picture(50, 41)
    np.testing.assert_array_equal(compiled.segment(image).mask, loaded.segment(image).mask)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_compiled_network_is_copied_with_its_origin(tmp_path: Path, copied: Any) -> None:
    drawn().save_pretrained(tmp_path)
    model = UNet.from_pretrained(tmp_path)
    model.compile(backend="eager")
    other = copied(model)
    assert other.origin == model.origin is not None
    batch = images(model)
    torch.testing.assert_close(other(batch), model(batch))


def test_a_compiled_network_says_which_sizes_fit() -> None:
    model = drawn()
    compiled = torch.compile(model, backend="eager")
    compiled(images(model))
    with pytest.raises(ModelError, match="does not fit this network"):
        compiled(images(model)[..., :-1])
