"""In which precision and where a network is loaded, what is too large, and later versions."""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_networks import drawn, picture

from hf_unet.errors import ModelError
from hf_unet.model import UNet
from hf_unet.repositories.safetensors_file import BLOCK, DamagedFileError, read_header, read_values
from hf_unet.repositories.weights import WEIGHTS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    drawn(norm="batch").save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def refusal(folder: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        UNet.from_pretrained(folder, **options)
    assert str(caught.value).endswith((".", ".`."))
    return str(caught.value)


def kinds(network: UNet) -> dict[str, torch.dtype]:
    """Of a convolution, of batch norm and of its counter."""
    state = network.state_dict()
    names = ("0.weight", "1.running_var", "1.num_batches_tracked")
    return {name: state[f"contracting.0.{name}"].dtype for name in names}


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


# --- precision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("by_name", [False, True])
def test_weights_come_as_they_were_asked_for(
    folder: Path, dtype: torch.dtype, by_name: bool
) -> None:
    asked = str(dtype).removeprefix("torch.") if by_name else dtype
    network = UNet.from_pretrained(folder, dtype=asked)
    norm = torch.float64 if dtype == torch.float64 else torch.float32
    assert list(kinds(network).values()) == [dtype, norm, torch.int64]
    weights = load_file(folder / WEIGHTS)
    for name, value in network.state_dict().items():
        assert torch.equal(value, weights[name].to(value.dtype)), name


def test_the_default_is_single_precision_whatever_is_stored(folder: Path) -> None:
    network = UNet.from_pretrained(folder, dtype=torch.bfloat16)
    network.save_pretrained(folder)
    size = (folder / WEIGHTS).stat().st_size
    again = UNet.from_pretrained(folder)
    assert list(kinds(again).values()) == [torch.float32, torch.float32, torch.int64]
    again.save_pretrained(folder)
    assert (folder / WEIGHTS).stat().st_size > size


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_is_stored_can_be_kept(folder: Path, dtype: torch.dtype) -> None:
    UNet.from_pretrained(folder, dtype=dtype).save_pretrained(folder)
    before = (folder / WEIGHTS).read_bytes()
    kept = UNet.from_pretrained(folder, dtype="stored")
    assert kinds(kept)["0.weight"] == dtype
    kept.save_pretrained(folder)
    assert (folder / WEIGHTS).read_bytes() == before


def test_of_several_precisions_that_is_kept_which_holds_all(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    for name in weights:
        if name.startswith("classifier."):
            weights[name] = weights[name].half()
        elif name.startswith("up."):
            weights[name] = weights[name].bfloat16()
    save_file(weights, folder / WEIGHTS)
    network = UNet.from_pretrained(folder, dtype="stored")
    assert {value.dtype for value in network.parameters()} == {torch.float32}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "stored"])
def test_masks_hardly_depend_on_precision(folder: Path, dtype: str) -> None:
    image = picture(104, 104)
    exact = UNet.from_pretrained(folder).segment(image)
    other = UNet.from_pretrained(folder, dtype=dtype).segment(image)
    assert other.probabilities.dtype == np.float32
    assert np.abs(other.probabilities - exact.probabilities).max() < 0.15
    assert (other.mask != exact.mask).mean() < 0.02


@pytest.mark.bundled
def test_the_bundled_nuclei_in_bfloat16() -> None:
    """The figures of the docstring of ``from_pretrained``, with room for other machines."""
    image = ROOT / "spaces" / "examples" / "nuclei.tif"
    exact, other = (
        UNet.from_pretrained(ROOT / "models" / "nuclei", dtype=dtype).segment(image).mask
        for dtype in ("float32", "bfloat16")
    )
    assert exact.shape == (512, 512)
    assert 0 < (exact != other).sum() < 300
    dice = 2 * (exact & other).sum() / (exact.sum() + other.sum())
    assert 0.998 < dice < 1


@pytest.mark.parametrize(
    "dtype", [None, "half", "int8", torch.int64, torch.float8_e4m3fn, 16, "", ["float32"]], ids=repr
)
def test_a_precision_that_is_none(folder: Path, dtype: Any) -> None:
    said = refusal(folder, dtype=dtype)
    assert said.startswith("dtype is a torch.dtype or a name of float32, float16, bfloat16")


def test_a_weight_too_large_for_half_precision(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["classifier.weight"].view(-1)[3] = 70_000.0
    weights["contracting.0.1.running_var"][0] = 1e9  # batch norm is not asked
    save_file(weights, folder / WEIGHTS)
    said = refusal(folder, dtype="float16")
    assert "classifier.weight has values that are no finite numbers as float16" in said
    assert UNet.from_pretrained(folder, dtype="bfloat16").classifier.weight.isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["classifier.bias", "contracting.1.3.weight", "up.0.weight"])
def test_weights_that_are_no_numbers(folder: Path, name: str, value: float) -> None:
    weights = load_file(folder / WEIGHTS)
    weights[name if name in weights else "bottleneck.3.weight"].view(-1)[-1] = value
    save_file(weights, folder / WEIGHTS)
    said = refusal(folder)
    assert "no finite numbers as float32" in said and "its training failed" in said


def test_tensors_of_more_than_a_block_are_read_to_the_end(tmp_path: Path) -> None:
    values = torch.arange(2 * BLOCK + 7, dtype=torch.float64)
    save_file({"x": values, "y": values.flip(0).float()}, tmp_path / WEIGHTS)
    for dtype in (torch.float32, torch.float64):
        with (tmp_path / WEIGHTS).open("rb") as file:
            held = read_header(file)
            into = {name: torch.empty(len(values), dtype=dtype) for name in "xy"}
            assert all(read_values(file, held[name], into[name]) for name in "xy")
        assert torch.equal(into["x"], values.to(dtype))
        assert torch.equal(into["y"], values.flip(0).to(dtype))


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2 * BLOCK)}, tmp_path / WEIGHTS)
    with (tmp_path / WEIGHTS).open("rb") as file:
        held = read_header(file)
        os.truncate(tmp_path / WEIGHTS, 5 * BLOCK)
        with pytest.raises(DamagedFileError, match="ends within a tensor"):
            read_values(file, held["x"], torch.empty(2 * BLOCK))


# --- device -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["toaster", "cuda:99", "cpu:x", "", 3.5, None], ids=repr)
def test_a_device_that_is_not_here(folder: Path, device: Any) -> None:
    assert refusal(folder, device=device).startswith(f"There is no device {device!r} here")


def test_a_device_without_values(folder: Path) -> None:
    assert refusal(folder, device="meta").startswith('The device "meta" holds no values')


@pytest.mark.gpu
def test_weights_go_to_the_device(folder: Path) -> None:
    from hf_unet.model import best_device

    if best_device() == "cpu":
        pytest.skip("there is no GPU")
    network = UNet.from_pretrained(folder, device=best_device(), dtype="float16")
    assert {value.device.type for value in network.state_dict().values()} == {best_device()}
    image = picture(104, 104)
    expected = UNet.from_pretrained(folder).segment(image)
    assert (network.segment(image).mask != expected.mask).mean() < 0.02


# --- what is too large --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base_channels": 4096, "depth": 8}, "lacks"),
        ({"base_channels": 4096}, "classifier.weight has shape|has shape"),
        ({"depth": 8}, "lacks"),
        ({"in_channels": 4096}, "contracting.0.0.weight has shape"),
        ({"classes": [str(index) for index in range(255)]}, "classifier.weight has shape"),
        ({"classes": [str(index) for index in range(5000)]}, "classes are 1 to 255"),
        ({"base_channels": 10**9}, "base_channels is a whole number of at least 1 and at most"),
        ({"depth": 64}, "depth is a whole number of at least 1 and at most 8"),
    ],
    ids=str,
)
@pytest.mark.timeout(20)
def test_a_config_of_a_network_that_no_memory_holds(
    folder: Path, changes: dict[str, Any], said: str
) -> None:
    change_config(folder, **changes)
    message = refusal(folder)
    assert any(part in message for part in said.split("|")) and len(message) < 400


def huge_repository(folder: Path, **arguments: Any) -> None:
    """Config and weights that agree, of a network that fills a large disk; the file has holes."""
    with torch.device("meta"):
        network = UNet(**arguments)
    folder.mkdir()
    (folder / "config.json").write_text(network.config_text)
    header, end = {}, 0
    for name, value in network.state_dict().items():
        start, end = end, end + 2 * value.numel()
        header[name] = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with (folder / WEIGHTS).open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


@pytest.mark.timeout(20)
@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="there is no way to ask for the memory")
def test_weights_beyond_the_memory_of_this_machine_are_not_begun(tmp_path: Path) -> None:
    huge_repository(tmp_path / "net", base_channels=4096, depth=5)
    assert (tmp_path / "net" / WEIGHTS).stat().st_size > 1e12
    said = refusal(tmp_path / "net")
    assert "of memory. Load it on a larger one." in said
    # In half precision it is half as much, and still said so.
    half = refusal(tmp_path / "net", dtype="stored")
    sizes = [re.findall("take ([0-9,]+) GB", text)[0] for text in (said, half)]
    whole, less = (int(size.replace(",", "")) for size in sizes)
    assert whole > 1000 and whole == pytest.approx(2 * less, abs=1)


# --- configs of later versions ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": True},
        {"model_class": "UNet3D"},
        {"norm": "instance"},
        {"classes": [{"name": "cell"}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("version", ["0.1.1", "0.2.0.dev1", "1.0", "99"])
def test_the_version_to_install_is_named(
    folder: Path, changes: dict[str, Any], version: str
) -> None:
    change_config(folder, hf_unet_version=version, **changes)
    said = refusal(folder)
    assert f"It was written by hf-unet {version}, and this is 0.1.0" in said
    assert said.endswith(f'upgrade with `pip install "hf-unet>={version}"`.')


@pytest.mark.parametrize(
    "version",
    ["0.1.0", "0.0.9", "", None, 2, "1.0; rm -rf /", "9" * 5000, "9.9\n", ["9"]],
    ids=repr,
)
def test_no_version_is_named_that_is_none_or_not_later(folder: Path, version: Any) -> None:
    change_config(folder, hf_unet_version=version, attention=True)
    said = refusal(folder)
    assert "pip install" not in said and "holds 'attention'" in said


def test_a_later_version_that_says_nothing_new_is_loaded(folder: Path) -> None:
    change_config(folder, hf_unet_version="99.0")
    assert UNet.from_pretrained(folder).config["hf_unet_version"] == "0.1.0"


def test_what_the_caller_changed_is_not_blamed_on_the_version(folder: Path) -> None:
    change_config(folder, hf_unet_version="99.0")
    assert "pip install" not in refusal(folder, depth=0)


# --- configs that say too much --------------------------------------------------------------------


def test_a_config_that_says_something_twice(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"depth": 1', '"depth": 1, "depth": 2'))
    assert refusal(folder) == "The config.json of net says 'depth' twice. Save the model again."


def test_a_config_larger_than_any(folder: Path) -> None:
    with (folder / "config.json").open("a") as file:
        file.write(" " * 2**20)
    assert "is larger than 1,048,576 bytes" in refusal(folder)


def test_half_a_surrogate_pair_is_no_text(folder: Path) -> None:
    change_config(folder, classes=["background", "\ud83d"])
    assert "cannot be read as JSON" in refusal(folder)


@pytest.mark.parametrize("place", ["name", "dtype", "metadata"])
def test_half_a_surrogate_pair_is_no_text_in_weights_either(folder: Path, place: str) -> None:
    content = (folder / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    end = len(content) - 8 - length
    if place == "name":
        header["\ud83d"] = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}
    elif place == "dtype":
        header["classifier.bias"]["dtype"] = "\ud83d"
    else:
        header["__metadata__"] = {"\ud83d": "x"}
    text = json.dumps(header).encode()
    changed = struct.pack("<Q", len(text)) + text + content[8 + length :]
    (folder / WEIGHTS).write_bytes(changed)
    assert "truncated or no safetensors file" in refusal(folder)


def test_values_are_shown_in_short(folder: Path) -> None:
    nested: Any = []
    for _ in range(400):
        nested = [nested]
    for value in (nested, "x" * 100_000, 10**4000, list(range(100_000))):
        change_config(folder, depth=value)
        assert len(refusal(folder)) < 400
