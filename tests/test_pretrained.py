"""Saving and strict loading: bit for bit, or a sentence that says why not; never a random net."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from httpx2 import ConnectError, Response
from hub_server import HubServer, asks
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

import hf_unet.repositories.pretrained
import hf_unet.repositories.storage
from hf_unet.arguments import LATER
from hf_unet.errors import ModelError
from hf_unet.model import UNet, load_network
from hf_unet.network import SegmentationNetwork

SETTINGS: dict[str, Any] = {
    "in_channels": 2,
    "classes": ("background", "cell"),
    "base_channels": 2,
    "depth": 1,
    "padding": "same",
    "norm": "batch",
    "dropout": 0.25,
    "multilabel": True,
    "normalization": "standardize",
    "thresholds": (0.25, 0.75),
    "colors": ("#010203", "#FFEEDD"),
    "min_area": 7,
    "border": False,
    "seed_threshold": 0.75,
    "seed_depth": 1.5,
    "seed_area": 5,
    "test_time_averaging": True,
    "calibration": ((0.75, -0.5), None),
    "downsampling": 2,
}


@pytest.fixture
def model() -> UNet:
    torch.manual_seed(5)
    net = UNet(**SETTINGS)
    net(torch.randn(3, 2, 8, 8))  # so that batch norm has statistics to keep
    return net.eval()


@pytest.fixture
def folder(model: UNet, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "net")
    return tmp_path / "net"


def refusal(name: str | Path, **options: Any) -> str:
    """The sentence with which loading fails; it never shows where on the disk a model lies."""
    with pytest.raises(ModelError) as caught:
        UNet.from_pretrained(name, **options)
    message = str(caught.value)
    assert "/tmp" not in message and str(Path.home()) + "/" not in message
    assert message[0].isupper() or message[0] == "'" or message.startswith(("config", "model."))
    assert message.endswith(".")
    return message


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        if value is ...:
            del config[name]
        else:
            config[name] = value
    (folder / "config.json").write_text(json.dumps(config))


def change_weights(folder: Path, **changes: Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors")
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del weights[key]
        else:
            weights[key] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


# --- the round trip --------------------------------------------------------------------------


def test_the_round_trip_is_bit_equal(model: UNet, folder: Path) -> None:
    loaded = UNet.from_pretrained(folder)
    assert type(loaded) is UNet and not loaded.training
    before, after = model.state_dict(), loaded.state_dict()
    assert list(before) == list(after)
    for name, value in before.items():
        assert after[name].dtype == value.dtype and torch.equal(after[name], value), name
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    images = torch.randn(1, 2, 16, 16)
    assert torch.equal(model(images), loaded(images))
    assert loaded.config == model.config
    for name, value in SETTINGS.items():
        assert getattr(loaded, name) == value and type(getattr(loaded, name)) is type(value)


def test_config_json_is_complete(folder: Path) -> None:
    import hf_unet

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config.pop("model_class") == "UNet"
    assert config.pop("hf_unet_version") == hf_unet.__version__
    assert config == json.loads(json.dumps(SETTINGS))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]


def test_the_papers_config_needs_no_argument(tmp_path: Path) -> None:
    config = UNet(base_channels=1).config
    assert config["classes"] == ["background", "foreground"]
    assert (config["thresholds"], config["colors"], config["norm"]) == (None, None, None)


def test_a_loaded_net_is_saved_and_loaded_again(folder: Path, tmp_path: Path) -> None:
    UNet.from_pretrained(folder).save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_loading_keeps_no_hold_on_the_file(folder: Path) -> None:
    loaded = UNet.from_pretrained(folder)
    expected = {name: value.clone() for name, value in loaded.state_dict().items()}
    content = (folder / "model.safetensors").read_bytes()
    with (folder / "model.safetensors").open("r+b") as file:
        file.write(bytes(len(content)))
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, expected[name])


def test_loading_draws_nothing(folder: Path) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    UNet.from_pretrained(folder)
    assert torch.equal(torch.get_rng_state(), state)


def test_loading_does_not_wait_for_torchs_compiler(folder: Path) -> None:
    code = (
        "import sys; from hf_unet import UNet; UNet.from_pretrained(sys.argv[1]);"
        "assert 'torch._dynamo' not in sys.modules"
    )
    root = Path(hf_unet.repositories.storage.__file__).parent.parent.parent
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=root)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_float32(folder: Path, dtype: torch.dtype) -> None:
    # Copies: some versions of the library give views of a file that is about to change.
    weights = {k: v.clone() for k, v in load_file(folder / "model.safetensors").items()}
    stored = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
    save_file(stored, folder / "model.safetensors")
    for name, value in UNet.from_pretrained(folder).state_dict().items():
        assert value.dtype == weights[name].dtype
        assert torch.equal(value, stored[name].to(value.dtype))


def test_a_half_precision_net_saves_half_the_bytes(model: UNet, folder: Path) -> None:
    size = (folder / "model.safetensors").stat().st_size
    model.half().save_pretrained(folder)
    assert (folder / "model.safetensors").stat().st_size < size
    assert next(UNet.from_pretrained(folder).parameters()).dtype == torch.float32


def test_channels_last_weights_are_saved_as_they_are(model: UNet, tmp_path: Path) -> None:
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    model.to(memory_format=torch.channels_last).save_pretrained(tmp_path)  # type: ignore[call-overload]
    for name, value in UNet.from_pretrained(tmp_path).state_dict().items():
        assert torch.equal(value, expected[name])


def test_arguments_can_be_changed_at_loading(folder: Path) -> None:
    loaded = UNet.from_pretrained(folder, thresholds=[0.4, 0.6], min_area=0)
    assert loaded.thresholds == (0.4, 0.6) and loaded.config["thresholds"] == [0.4, 0.6]
    assert loaded.min_area == 0 and loaded.normalization == "standardize"
    assert "'strict'" in refusal(folder, strict=False)
    assert "thresholds are 2" in refusal(folder, thresholds=[0.4])
    # What the weights do not fit is refused, whoever said it.
    assert "has shape" in refusal(folder, base_channels=3)
    assert "lacks" in refusal(folder, depth=2)


def test_load_network_finds_the_class(folder: Path) -> None:
    assert type(load_network(folder)) is UNet
    assert type(SegmentationNetwork.from_pretrained(folder)) is UNet


# --- saving over what is there -----------------------------------------------------------------


def test_saving_again_replaces_weights_and_keeps_a_hand_edited_card(
    model: UNet, folder: Path
) -> None:
    (folder / "README.md").write_text("written by hand")
    with torch.no_grad():
        model.classifier.weight.add_(1)
    model.min_area = 8
    model.save_pretrained(folder)
    loaded = UNet.from_pretrained(folder)
    assert torch.equal(loaded.classifier.weight, model.classifier.weight)
    assert loaded.min_area == 8
    assert (folder / "README.md").read_text() == "written by hand"


@pytest.mark.parametrize("failing", ["save", "write_whole", "render_card", "dumps"])
def test_a_save_that_fails_leaves_the_old_net(
    model: UNet, folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    with torch.no_grad():
        model.classifier.weight.add_(1)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    where = json if failing == "dumps" else hf_unet.repositories.storage
    monkeypatch.setattr(where, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(folder)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == old
    UNet.from_pretrained(folder)


def test_a_full_disk_leaves_no_half_file(
    model: UNet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        model.save_pretrained(folder)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == old


def test_a_config_cannot_be_foisted_on_a_net(model: UNet, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="follows from the network's arguments"):
        model.save_pretrained(tmp_path / "new", config={"depth": 9})
    assert not (tmp_path / "new").exists()


def test_weights_are_readable_by_others_as_the_config_is(folder: Path) -> None:
    modes = {path.stat().st_mode for path in folder.iterdir()}
    assert len(modes) == 1


# --- what is refused: the folder ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"The model net holds no {name}" in refusal(folder)
    (folder / name).mkdir()
    assert f"The model net holds no {name}" in refusal(folder)


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "last.ckpt", "net.pth"])
def test_a_pickle_is_never_loaded(folder: Path, pickle: str, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    torch.save(Trap(), folder / pickle)
    assert f"holds {pickle} but no model.safetensors. Pickled weights can run code" in refusal(
        folder
    )
    assert not trap.exists()
    # Nor under the name of the weights.
    shutil.copy(folder / pickle, folder / "model.safetensors")
    assert "truncated or no safetensors file" in refusal(folder)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./no/such/net", "There is no folder 'net'"),
        ("no/such/net", "There is no folder 'net'"),
        ("~/net", "There is no folder 'net'"),
        ("", "neither a folder here nor a valid name"),
        ("two words", "neither a folder here nor a valid name"),
        ("org/--net", "neither a folder here nor a valid name"),
        ("org/net.", "neither a folder here nor a valid name"),
        ("\0", "neither a folder here nor a valid name"),
        ("n" * 200, "neither a folder here nor a valid name"),
        ("org/net", "config.json of org/net is not stored on this machine"),
        ("net", "config.json of net is not stored on this machine"),
    ],
)
def test_a_name_that_leads_nowhere(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert said in refusal(name, cache_dir=tmp_path)


def test_a_file_is_no_folder(folder: Path) -> None:
    assert "'model.safetensors' is a file. Give the folder" in refusal(folder / "model.safetensors")


# --- what is refused: the config ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe{}", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'"UNet"', "is not a JSON object"),
        (b"{}", "of no class that this library knows"),
        (b'{"model_class": "SegNet"}', "of class 'SegNet'; wanted is UNet"),
        (b'{"model_class": ["UNet"]}', "of class ['UNet']"),
        (b'{"model_class": "SegmentationNetwork"}', "of class 'SegmentationNetwork'"),
        (b'{"model_class": "UNet"}', "lacks 'in_channels'"),
        (b'{"architectures": ["BertModel"]}', "Load it with the library that made it"),
    ],
)
def test_a_foreign_or_damaged_config(folder: Path, content: bytes, said: str) -> None:
    (folder / "config.json").write_bytes(content)
    message = refusal(folder)
    assert said in message and "The config.json of net" in message


@pytest.mark.parametrize("name", [n for n in SETTINGS if n not in LATER])
def test_each_argument_must_be_in_the_config(folder: Path, name: str) -> None:
    change_config(folder, **{name: ...})
    assert refusal(folder).startswith(f"The config.json of net lacks {name!r}")


@pytest.mark.parametrize(("name", "meant"), [("calibration", None), ("downsampling", 1)])
def test_a_repository_older_than_an_argument_means_what_there_was_before(
    folder: Path, name: str, meant: object
) -> None:
    change_config(folder, **{name: ...})
    assert getattr(UNet.from_pretrained(folder), name) == meant


def test_a_key_of_a_later_version_is_named(folder: Path) -> None:
    change_config(folder, attention=True, hf_unet_version="9.1")
    message = refusal(folder)
    assert "'attention'" in message and "written by hf-unet 9.1" in message
    assert message.endswith('upgrade with `pip install "hf-unet>=9.1"`.')


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("value", ["no", -1, 10**12, 1e400, [[]], {}, [1, 2, 3]], ids=repr)
def test_a_wrong_type_in_the_config_is_named(folder: Path, name: str, value: Any) -> None:
    change_config(folder, **{name: value})
    if name in ("min_area", "seed_area") and value == 10**12:
        # No object is that large, but the number is right.
        assert getattr(UNet.from_pretrained(folder), name) == value
        return
    message = refusal(folder)
    assert message.startswith("The model net cannot be built from its config.json: ")
    assert name in message


# --- what is refused: the weights ----------------------------------------------------------------


def test_a_missing_tensor_is_named(folder: Path) -> None:
    change_weights(folder, classifier__bias=None)
    assert "lacks 1 of the network's tensors, first classifier.bias" in refusal(folder)


def test_a_missing_statistic_is_named(folder: Path) -> None:
    change_weights(folder, bottleneck__1__running_var=None)
    assert "first bottleneck.1.running_var" in refusal(folder)


def test_an_extra_tensor_is_named(folder: Path) -> None:
    change_weights(folder, head__weight=torch.zeros(2), ema__x=torch.zeros(1))
    assert "2 tensors that the network has no place for, first ema.x" in refusal(folder)


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    change_weights(folder, classifier__weight=torch.zeros(3, 2, 1, 1))
    assert "classifier.weight has shape (3, 2, 1, 1); its config.json makes it (2, 2, 1, 1)" in (
        refusal(folder)
    )
    change_weights(folder, classifier__weight=torch.zeros(1, 4, 1, 1))  # as many values
    assert "classifier.weight has shape" in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.float8_e4m3fn])
def test_quantised_weights_are_not_taken_for_weights(folder: Path, dtype: torch.dtype) -> None:
    change_weights(folder, classifier__weight=torch.zeros(2, 2, 1, 1).to(dtype))
    assert "classifier.weight is stored as" in refusal(folder)


def test_a_config_of_another_net_does_not_fit(folder: Path) -> None:
    change_config(folder, base_channels=4)
    assert "belong to two networks" in refusal(folder)


def test_truncated_weights_at_every_length(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    lengths = {*range(20), *range(20, len(content), 97), header - 1, header, header + 1}
    for length in sorted(lengths | {len(content) - 1}):
        path.write_bytes(content[:length])
        assert "truncated or no safetensors file" in refusal(folder), length
    path.write_bytes(content + b"\0")
    assert "truncated or no safetensors file" in refusal(folder)
    path.write_bytes(content)
    UNet.from_pretrained(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04K\x01.",
        b"PK\x03\x04" + bytes(100),
        b"<!DOCTYPE html><title>404</title>" * 20,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        bytes(10_000),
        b"\xff" * 10_000,
        (2).to_bytes(8, "little") + b"{}",
        (9).to_bytes(8, "little") + b'{"a":"b"}',
    ],
)
def test_a_foreign_file_in_place_of_the_weights(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    message = refusal(folder)
    assert "no safetensors file" in message or "lacks" in message


def test_damaged_headers_never_give_a_net_that_differs(model: UNet, folder: Path) -> None:
    """Each byte of the header spoilt in turn: an error, or the net as it was."""
    path = folder / "model.safetensors"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    expected = model.state_dict()
    for position in range(0, header, 31):
        damaged = bytearray(content)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        try:
            loaded = UNet.from_pretrained(folder).state_dict()
        except ModelError:
            continue
        assert all(torch.equal(loaded[name], value) for name, value in expected.items()), position


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_may_not_be_read(folder: Path, name: str) -> None:
    (folder / name).chmod(0)
    refusal(folder)


# --- the Hub ----------------------------------------------------------------------------------


@pytest.fixture
def closed_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A Hub that nobody answers for, and that is not waited for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return port


@pytest.mark.usefixtures("closed_port")
@pytest.mark.parametrize(
    "options",
    [{}, {"revision": "v1"}, {"local_files_only": True}, {"force_download": True}],
    ids=str,
)
def test_a_hub_that_does_not_answer(tmp_path: Path, options: dict[str, Any]) -> None:
    message = refusal("org/net", cache_dir=tmp_path, token=False, **options)
    assert "config.json of org/net" in message and "give a local folder" in message
    assert ("at revision 'v1'" in message) == ("revision" in options)


@pytest.mark.usefixtures("closed_port")
@pytest.mark.parametrize("name", ["models/typo", "typo"])
def test_a_name_mistyped_offline_is_not_waited_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    said = refusal(name, cache_dir=tmp_path, token=False)
    assert f"config.json of {name} is not stored on this machine" in said
    assert sum(pauses) <= 2  # the client alone pauses 23 seconds


@pytest.mark.usefixtures("closed_port")
def test_a_folder_mistyped_is_told_what_lies_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, folder.parent / "models" / "nuclei")
    (folder.parent / "models" / "notes").mkdir()
    monkeypatch.chdir(folder.parent)
    said = refusal("models/nuclie", cache_dir=folder.parent / "cache")
    assert said.endswith("or give a local folder, such as models/nuclei.")


def test_a_connection_that_fails_once_is_tried_again(
    hub: HubServer, model: UNet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("org/net").put({path.name: path.read_bytes() for path in folder.iterdir()})
    answer, asked = hf_unet.repositories.pretrained.get_hf_file_metadata, []

    def fail_once(*given: Any, **options: Any) -> Any:
        asked.append(given)
        if len(asked) == 1:
            raise ConnectError("no route")
        return answer(*given, **options)

    monkeypatch.setattr(hf_unet.repositories.pretrained, "get_hf_file_metadata", fail_once)
    hub.answer_next(503, asks("HEAD", "model.safetensors"))
    hub.cut_next(asks("GET", "model.safetensors"))
    loaded = UNet.from_pretrained("org/net")
    assert len(asked) == 2
    assert hub.faults.waiting == []
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value)


@pytest.mark.usefixtures("closed_port")
def test_a_local_folder_never_asks_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(hf_unet.repositories.pretrained, "hf_hub_download", fail)
    UNet.from_pretrained(folder, revision="main", force_download=True)
    monkeypatch.chdir(folder.parent)
    UNet.from_pretrained("net")
    (folder / "model.safetensors").unlink()
    assert "holds no model.safetensors" in refusal("net")


def hub_error(kind: type[Exception]) -> Exception:
    """An error as huggingface_hub raises it."""
    error: Any = kind.__new__(kind)
    error.response = Response(404)
    Exception.__init__(error, "404 Client Error.\nmore")
    raised: Exception = error
    return raised


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (hub_error(GatedRepoError), "accept its terms"),
        (hub_error(RepositoryNotFoundError), "There is no repository org/net on the Hub"),
        (hub_error(RevisionNotFoundError), "has no revision 'v1'"),
        (hub_error(EntryNotFoundError), "The model org/net holds no config.json"),
        (LocalEntryNotFoundError("x"), "is not stored on this machine"),
        (OSError("disk quota exceeded"), "could not be fetched from the Hub: disk quota exceeded."),
        (ValueError(""), "could not be fetched from the Hub: ValueError."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_hub_says_is_put_into_a_sentence(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(hf_unet.repositories.pretrained, "hf_hub_download", fail)
    assert said in refusal("org/net", revision="v1")


def test_both_files_are_fetched_with_what_was_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def fetch(name: str, filename: str, **options: Any) -> str:
        asked.append((name, filename, options))
        return str(folder / filename)

    monkeypatch.setattr(hf_unet.repositories.pretrained, "hf_hub_download", fetch)
    options = {
        "revision": "v2",
        "token": "hf_x",
        "cache_dir": tmp_path,
        "force_download": True,
        "local_files_only": False,
    }
    UNet.from_pretrained("org/net", **options)
    assert asked == [("org/net", name, options) for name in ("config.json", "model.safetensors")]


def test_the_base_of_the_networks_is_none_of_them(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_class": "SegmentationNetwork"}))
    with pytest.raises(ModelError, match="of class 'SegmentationNetwork'; wanted is UNet"):
        load_network(folder)


def test_the_revision_is_the_second_argument(folder: Path) -> None:
    assert isinstance(UNet.from_pretrained(folder, None), UNet)
