"""Where a network and a result come from, and what result.json says of it."""

import copy
import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import HubServer
from PIL import Image

from hf_unet import __version__
from hf_unet.errors import ModelError, ResultError
from hf_unet.images import read_image
from hf_unet.model import UNet, load_network
from hf_unet.provenance import FORMAT, Origin, Record, array_sha256, as_json, read_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    UNet(base_channels=2, depth=1, min_area=3).save_pretrained(tmp_path / "models" / "cells")
    return tmp_path / "models" / "cells"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def saved(folder: Path, **arguments: Any) -> Path:
    """A result of page 1 of a stack; returns its folder."""
    place = folder.parent.parent
    pages = [Image.fromarray(np.full((30, 40), value, np.uint8)) for value in (10, 20)]
    pages[1].putpixel((3, 4), 200)
    pages[0].save(place / "stack.tif", save_all=True, append_images=pages[1:])
    result = UNet.from_pretrained(folder).segment(place / "stack.tif", page=1, **arguments)
    return result.save(place / "result")


# --- networks --------------------------------------------------------------------------------


def test_a_network_of_a_folder_knows_its_name_and_weights(folder: Path) -> None:
    for name in (folder, f"{folder}/", str(folder / ".." / "cells")):
        origin = UNet.from_pretrained(name).origin
        assert origin == Origin("cells", None, digest(folder / "model.safetensors"))


def test_a_network_that_was_not_loaded_has_no_origin() -> None:
    assert UNet(base_channels=1, depth=1).origin is None


def test_a_network_of_the_hub_knows_its_commit(hub: HubServer, folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    repository = hub.add("lab/cells")
    first = repository.put(files).oid
    repository.name_tag("v1", "main")
    torch.manual_seed(2)
    UNet(base_channels=2, depth=1).save_pretrained(folder)
    second = repository.put({path.name: path.read_bytes() for path in folder.iterdir()}).oid
    origins = {
        revision: load_network("lab/cells", revision=revision).origin
        for revision in (None, "main", "v1", first)
    }
    weights = hashlib.sha256(files["model.safetensors"]).hexdigest()
    assert origins["v1"] == origins[first] == Origin("lab/cells", first, weights)
    assert origins[None] == origins["main"]
    assert origins[None] == Origin("lab/cells", second, digest(folder / "model.safetensors"))


def test_config_and_weights_are_of_one_commit(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = hub.add("lab/cells")
    first = repository.put({path.name: path.read_bytes() for path in folder.iterdir()}).oid
    import hf_unet.repositories.storage

    read_config = hf_unet.repositories.storage.read_config

    def read_and_move(repository_: Any) -> dict[str, Any]:
        config = read_config(repository_)
        repository.put({"model.safetensors": b"another network's"})  # main moves in between
        return config

    monkeypatch.setattr(hf_unet.repositories.storage, "read_config", read_and_move)
    origin = load_network("lab/cells").origin
    assert origin == Origin("lab/cells", first, digest(folder / "model.safetensors"))


@pytest.mark.parametrize("how", ["step", "batch norm", "load_state_dict", "in place"])
def test_a_network_that_has_learnt_is_no_longer_the_one_loaded(tmp_path: Path, how: str) -> None:
    UNet(base_channels=2, depth=1, norm="batch").save_pretrained(tmp_path)
    model = UNet.from_pretrained(tmp_path)
    model.segment(np.zeros((20, 20)))
    assert model.origin is not None
    if how == "step":
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.ones(1, 1, 28, 28)).sum().backward()
        assert model.origin is not None
        optimizer.step()
    elif how == "batch norm":
        model.train()(torch.ones(1, 1, 28, 28))
    elif how == "load_state_dict":
        model.load_state_dict(UNet(base_channels=2, depth=1, norm="batch").state_dict())
    else:
        with torch.no_grad():
            model.classifier.bias.add_(1)
    assert model.origin is None
    assert model.segment(np.zeros((20, 20))).summary()["model"] is None


def test_moving_and_inference_change_nothing(folder: Path) -> None:
    model = UNet.from_pretrained(folder)
    for moved in (model.half(), model.float(), model.to("cpu"), model.eval()):
        assert moved.origin is not None
    with torch.inference_mode():
        assert UNet.from_pretrained(folder).origin is not None


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, copy.copy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_copy_knows_what_its_model_knew(folder: Path, copied: Callable[[UNet], UNet]) -> None:
    model = UNet.from_pretrained(folder)
    other = copied(model)
    assert other.origin == model.origin is not None
    with torch.no_grad():
        other.classifier.bias.add_(1)
    assert other.origin is None
    assert copied(other).origin is None


def test_weights_that_vanish_while_loading_are_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> str:
        raise OSError("Input/output error")

    monkeypatch.setattr("hf_unet.repositories.pretrained.file_sha256", fail)
    with pytest.raises(ModelError, match=r"model\.safetensors of cells cannot be read"):
        UNet.from_pretrained(folder)


# --- images ----------------------------------------------------------------------------------


def test_an_image_knows_the_name_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "my cells.tif"
    Image.new("L", (5, 4), 7).save(path)
    assert read_image(path).name == read_image(str(path)).name == "my cells.tif"
    assert read_image(read_image(path)).name == "my cells.tif"
    assert read_image(path.read_bytes()).name is None
    assert read_image(np.zeros((4, 5))).name is None


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f4", "?"])
def test_the_digest_is_of_values_type_and_shape(dtype: str) -> None:
    array = np.arange(24).reshape(4, 6).astype(dtype)
    same = [array.copy(), np.asfortranarray(array), array.astype(array.dtype.newbyteorder("<"))]
    assert {array_sha256(one) for one in same} == {array_sha256(array)}
    other = [array.T, array.reshape(6, 4), array.astype("<i8"), np.where(array == 1, 0, array)]
    assert array_sha256(array) not in {array_sha256(one.astype(one.dtype)) for one in other}


def test_the_digest_does_not_depend_on_the_file(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (9, 8), np.uint8)
    for name in ("a.png", "b.tif", "c.bmp"):
        Image.fromarray(pixels).save(tmp_path / name)
    digests = {array_sha256(read_image(path)) for path in tmp_path.iterdir()}
    assert digests == {array_sha256(pixels[None])}


# --- result.json -----------------------------------------------------------------------------


def test_result_json_says_what_the_result_is_made_of(folder: Path) -> None:
    place = saved(folder, tile=(28, 36), test_time_averaging=True)
    text = (place / "result.json").read_text(encoding="utf-8")
    assert str(folder.parent) not in text and "/tmp" not in text
    content = json.loads(text)
    assert (content["format"], content["hf_unet_version"]) == (FORMAT, __version__)
    assert content["model"] == {
        "name": "cells",
        "revision": None,
        "sha256": digest(folder / "model.safetensors"),
    }
    pixels = read_image(folder.parent.parent / "stack.tif", page=1)
    assert content["image"] == {
        "name": "stack.tif",
        "page": 1,
        "pages": 2,
        "channels": 1,
        "dtype": "uint8",
        "sha256": array_sha256(pixels),
    }
    config = json.loads((folder / "config.json").read_text())
    del config["model_class"], config["hf_unet_version"]
    assert config["test_time_averaging"] is False
    assert content["settings"] == config | {"test_time_averaging": True}  # as it was used
    assert content["tile"]["side"] == [28, 36]
    assert (content["device"], content["runtime"]) == ("cpu", "torch")
    assert read_record(place) == read_record(place / "result.json")
    assert read_record(place) == Record(
        model=Origin("cells", None, digest(folder / "model.safetensors")),
        image="stack.tif",
        page=1,
        pixels_sha256=array_sha256(pixels),
        tile=(28, 36),
        settings=content["settings"],
        device="cpu",
        mask_sha256=content["mask_sha256"],
    )


def test_settings_that_were_changed_at_loading_are_those_recorded(folder: Path) -> None:
    model = UNet.from_pretrained(folder, min_area=9, thresholds=(0.25,))
    settings = model.segment(np.zeros((20, 20))).summary()["settings"]
    assert (settings["min_area"], settings["thresholds"]) == (9, [0.25])


def test_as_json_keeps_what_json_has() -> None:
    assert as_json({1: (True, None, "a", np.int64(3), [np.inf])}, "x") == {
        "1": [True, None, "a", 3, [None]]
    }
    with pytest.raises(ResultError, match=r"x\.a is a set"):
        as_json({"a": {1}}, "x")


def refusal(path: Path) -> str:
    with pytest.raises(ResultError) as caught:
        read_record(path)
    message = str(caught.value)
    assert message.startswith(("result.json", "There is no result.json")) and message.endswith(".")
    assert "/" not in message
    return message


def test_a_damaged_result_json_is_a_sentence(folder: Path) -> None:
    path = saved(folder) / "result.json"
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 37):  # the last two bytes are a brace and a line end
        path.write_bytes(whole[:length])
        assert "damaged: it cannot be read as JSON" in refusal(path)
    path.write_bytes(b"\xff\xfe")
    assert "damaged" in refusal(path)
    path.write_text("[" * 100_000)
    assert "damaged" in refusal(path)
    path.unlink()
    assert "There is no result.json" in refusal(path)


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"format": "1"}', '{"format": 0}'])
def test_another_json_or_one_without_provenance_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    assert "does not say how its mask was made" in refusal(tmp_path / "result.json")


def change(path: Path, keys: tuple[str, ...], value: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    place = content
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(content))


def test_a_newer_form_is_refused_and_says_so(folder: Path) -> None:
    path = saved(folder) / "result.json"
    change(path, ("format",), FORMAT + 1)
    change(path, ("hf_unet_version",), "9.1.0")
    assert "written by the newer version 9.1.0 of hf-unet" in refusal(path)


def test_a_result_of_before_there_were_runtimes_is_one_of_torch(folder: Path) -> None:
    path = saved(folder) / "result.json"
    before = read_record(path)
    change(path, ("runtime",), ...)
    assert read_record(path) == before and before.runtime == "torch"


def test_keys_that_say_nothing_of_the_mask_may_be_added(folder: Path) -> None:
    path = saved(folder) / "result.json"
    before = read_record(path)
    change(path, ("notes",), "day 3, well B")
    assert read_record(path) == before


def test_a_result_of_no_known_model_is_refused(tmp_path: Path) -> None:
    result = UNet(base_channels=1, depth=1).segment(np.zeros((20, 20)))
    assert "does not name its model" in refusal(result.save(tmp_path) / "result.json")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("model",), 3),
        (("model", "name"), ...),
        (("model", "name"), ""),
        (("model", "name"), "../cells"),
        (("model", "name"), ".."),
        (("model", "revision"), "main"),
        (("model", "sha256"), "abc"),
        (("image", "sha256"), ...),
        (("image", "name"), "/etc/passwd"),
        (("image", "page"), -1),
        (("image", "page"), True),
        (("mask_sha256",), None),
        (("settings",), None),
        (("tile", "side"), [572]),
        (("tile", "side"), [572, 0]),
        (("tile",), 572),
        (("device",), "tpu"),
        (("device",), ["cpu"]),
        (("runtime",), "tensorflow"),
        (("runtime",), ["torch"]),
    ],
)
def test_an_entry_that_was_changed_is_named(
    folder: Path, keys: tuple[str, ...], value: object
) -> None:
    path = saved(folder) / "result.json"
    change(path, keys, value)
    assert f"its {'.'.join(keys)}" in refusal(path)
