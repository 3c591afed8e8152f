"""The demo's models: any by name, each refusal in a sentence of its own, each loaded once."""

import json
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer, asks
from huggingface_hub import constants, hf_hub_download

from hf_unet import UNet
from hf_unet.demo.models import loading, repositories
from hf_unet.demo.models.cache import ModelCache, weight_bytes
from hf_unet.demo.models.names import HubName, parse_hub_name
from hf_unet.demo.models.repositories import HubListings, Listing, UnreachableError
from hf_unet.errors import ModelError

NET = "lab/cells"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(7)
    UNet(base_channels=1, depth=1).eval().save_pretrained(tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from another test."""
    monkeypatch.setattr(loading, "_cache", ModelCache(loading.MEMORY))
    monkeypatch.setattr(loading, "_listings", HubListings())
    monkeypatch.delenv("SPACE_ID", raising=False)


def publish(hub: HubServer, files: dict[str, bytes], name: str = NET, **options: Any) -> None:
    hub.add(name, **options).put(files)


def refusal(name: str | None) -> str:
    """The sentence for the page: it ends as one, and shows no place on this machine."""
    with pytest.raises(ModelError) as caught:
        loading.load_model(name)
    message = str(caught.value)
    assert message.endswith(".") and "/tmp" not in message and str(Path.home()) not in message
    return message


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("org/name", "org/name", None),
        ("  org/name.v1-x_y  ", "org/name.v1-x_y", None),
        ("org/name@main", "org/name", "main"),
        ("org/name @ refs/pr/1", "org/name", "refs/pr/1"),
        ("https://huggingface.co/org/name", "org/name", None),
        ("https://huggingface.co/org/name/", "org/name", None),
        ("http://www.huggingface.co/org/name?library=x#usage", "org/name", None),
        ("https://huggingface.co/org/name/tree/v1.0", "org/name", "v1.0"),
        ("https://huggingface.co/org/name/blob/main/config.json", "org/name", "main"),
        ("https://huggingface.co/org/name/tree/refs%2Fpr%2F2", "org/name", "refs/pr/2"),
        ("https://huggingface.co/org/name/discussions", "org/name", None),
        ("huggingface.co/org/name", "org/name", None),
        ("hf.co/org/name/commit/" + "a" * 40, "org/name", "a" * 40),
    ],
)
def test_a_name_or_address_is_understood(text: str, repository: str, revision: str | None) -> None:
    assert parse_hub_name(text) == HubName(repository, revision)
    assert parse_hub_name(str(HubName(repository, revision))) == HubName(repository, revision)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is no model ''"),
        (None, "There is no model ''"),
        ("name", "There is no model 'name'"),
        ("a/b/c", "There is no model 'a/b/c'"),
        ("/etc/passwd", "There is no model"),
        ("../secrets/net", "There is no model"),
        ("~/net", "There is no model"),
        ("./org/name", "There is no model"),
        ("org/na me", "There is no model"),
        ("org\\name", "There is no model"),
        ("org/name\0", "There is no model"),
        ("örg/name", "There is no model"),
        ("org/" + "n" * 300, "There is no model"),
        ("org/name@", "'' is no revision"),
        ("org/name@../../x", "is no revision"),
        ("org/name@main/../../x", "is no revision"),
        ("org/name@/etc", "is no revision"),
        ("org/name@a b", "is no revision"),
        ("https://huggingface.co/org/name/tree/..%2F..%2Fx", "is no revision"),
        ("https://huggingface.co", "There is no model"),
        ("https://huggingface.co/datasets/org/name", "is the address of a data set"),
        ("https://huggingface.co/spaces/org/name", "is the address of a Space"),
        ("https://example.com/org/name", "is not an address on the Hub"),
        ("https://huggingface.co.evil.com/org/name", "is not an address on the Hub"),
        ("http://[::1/org/name", "is not an address on the Hub"),
        ("file:///etc/passwd", "is not an address on the Hub"),
    ],
)
def test_what_is_no_name_is_told(text: str | None, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_hub_name(text)
    assert said in str(caught.value) and str(caught.value).endswith(".")
    assert len(str(caught.value)) < 300


def test_a_folder_of_this_machine_is_no_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "org").mkdir()
    folder.rename(folder.parent / "org" / "net")
    monkeypatch.chdir(folder.parent)
    assert "There is no model 'org/net'" in refusal("org/net")
    for name in (str(folder.parent / "org" / "net"), "./org/net", "org/../org/net"):
        with pytest.raises(ModelError, match="There is no model"):
            loading.load_model(name)


# --- bundled models ---------------------------------------------------------------------------


def test_where_no_model_is_bundled_none_is_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MODELS", tmp_path)
    with pytest.raises(ModelError) as caught:
        loading.load_model("nuclei")
    assert str(caught.value) == (
        "There is no model 'nuclei'. None is bundled here: choose org/name on the Hub."
    )


@pytest.mark.bundled
def test_bundled_models_come_by_name_and_once() -> None:
    assert "nuclei" in loading.bundled_models()
    first = loading.load_model("phc-u373")
    assert first.classes == ("background", "cell") and not first.training
    assert loading.load_model("phc-u373") is first
    for name in ("cells", "", None):
        assert f"There is no model {name or ''!r}. Choose dic-hela, em-membranes" in refusal(name)


def test_a_bundled_model_that_was_replaced_is_loaded_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MODELS", folder.parent)
    first = loading.load_model("net")
    os.utime(folder / "model.safetensors", (1, 1))
    assert loading.load_model("net") is not first


# --- the Hub: what is there -------------------------------------------------------------------


def test_a_model_of_the_hub_is_loaded(hub: HubServer, files: dict[str, bytes]) -> None:
    publish(hub, files)
    first = loading.load_model(NET)
    assert loading.load_model(f"https://huggingface.co/{NET}") is first
    expected = UNet(base_channels=1, depth=1).state_dict()
    assert first.state_dict().keys() == expected.keys()
    # One question, and each of the two files once.
    assert len(hub.seen("GET", "/api/models/")) == 1
    assert len(hub.seen("GET", "/resolve/")) == 2


def test_revisions_are_told_apart(
    hub: HubServer, files: dict[str, bytes], folder: Path, tmp_path: Path
) -> None:
    publish(hub, files)
    repository = hub.repository(NET)
    repository.name_tag("v1", "main")
    UNet(base_channels=2, depth=1).save_pretrained(tmp_path / "second")
    newer = {path.name: path.read_bytes() for path in (tmp_path / "second").iterdir()}
    repository.put(newer)
    old, new = loading.load_model(f"{NET}@v1"), loading.load_model(NET)
    assert (old.base_channels, new.base_channels) == (1, 2)  # type: ignore[attr-defined]
    assert loading.load_model(f"{NET}@{repository.at('v1').oid}") is old
    assert loading.load_model(f"{NET}@main") is new


def test_a_branch_is_looked_up_again_and_a_commit_is_not(
    hub: HubServer, files: dict[str, bytes]
) -> None:
    now = 0.0
    listings = HubListings(fresh_for=600, clock=lambda: now)
    publish(hub, files)
    branch, commit = HubName(NET, "main"), HubName(NET, hub.repository(NET).at("main").oid)
    first = listings.find(branch)
    assert listings.find(commit).commit == first.commit == commit.revision
    hub.repository(NET).put({"notes.txt": b"new"})
    now = 599.0
    assert listings.find(branch) == first
    now = 601.0
    second = listings.find(branch)
    assert second.commit == hub.repository(NET).at("main").oid != first.commit
    assert listings.find(commit).commit == first.commit
    assert len(hub.seen("GET", "/api/models/")) == 3


def test_what_was_looked_up_is_not_remembered_without_end(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubListings, "REMEMBERED", 2)
    listings = HubListings()
    publish(hub, files)
    for tag in ("a", "b", "c"):
        hub.repository(NET).name_tag(tag, "main")
        listings.find(HubName(NET, tag))
    assert len(listings._known) == 2


def test_a_hub_that_is_gone_leaves_what_was_loaded(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, files)
    UNet.from_pretrained(NET)
    loaded = loading.load_model(NET)
    hub.stop()
    monkeypatch.setattr(loading._listings, "fresh_for", 0)
    assert loading.load_model(NET) is loaded
    # Another process finds the files of the first download, which was by the same name.
    monkeypatch.setattr(loading, "_cache", ModelCache(loading.MEMORY))
    monkeypatch.setattr(loading, "_listings", HubListings())
    again = loading.load_model(NET)
    assert again is not loaded
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_what_becomes_private_is_not_shown_any_longer(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, files)
    loading.load_model(NET)
    hub.repository(NET).private = True
    monkeypatch.setattr(loading._listings, "fresh_for", 0)
    assert "There is no public model" in refusal(NET)


# --- the Hub: what is refused, and how ---------------------------------------------------------


def test_missing_and_private_are_answered_alike(hub: HubServer, files: dict[str, bytes]) -> None:
    publish(hub, files, "lab/secret", private=True)
    missing, private = refusal("lab/nothing"), refusal("lab/secret")
    assert missing.replace("nothing", "secret") == private
    assert "There is no public model lab/secret on the Hub. Check the name" in private
    assert "log in with `hf auth login`" in private


def test_a_private_model_is_read_with_ones_own_login_but_never_with_a_spaces(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, files, "tester/secret", private=True)
    monkeypatch.setenv("HF_TOKEN", hub.token())
    monkeypatch.setenv("SPACE_ID", "tester/demo")
    assert "a private one cannot be shown here" in refusal("tester/secret")
    assert all("authorization" not in request.headers for request in hub.seen())
    monkeypatch.delenv("SPACE_ID")
    assert loading.load_model("tester/secret").classes == ("background", "foreground")


@pytest.mark.parametrize("space", [False, True])
def test_a_gated_model(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, space: bool
) -> None:
    publish(hub, files, gated="auto")
    if space:
        monkeypatch.setenv("SPACE_ID", "lab/demo")
    message = refusal(NET)
    assert "accept" in message and "terms first" in message
    assert ("a machine of your own" in message) == space
    assert ("hf auth login" in message) != space


def test_a_missing_revision(hub: HubServer, files: dict[str, bytes]) -> None:
    publish(hub, files)
    assert refusal(f"{NET}@v9").startswith(f"The model {NET} has no revision 'v9'. Leave it out")
    assert "has no revision" in refusal(f"{NET}@{'0' * 40}")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "last.ckpt", "net.pth", "best.pt", "m.pkl"])
def test_a_pickle_is_never_loaded(
    hub: HubServer, files: dict[str, bytes], folder: Path, tmp_path: Path, name: str
) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    del files["model.safetensors"]
    publish(hub, {**files, name: pickle.dumps(Trap())})
    said = f"{NET} holds {name} but no model.safetensors. Pickled weights can run code"
    assert said in refusal(NET)
    assert not hub.seen("GET", "/resolve/")  # it did not even come here
    # Nor under the name of the weights, nor beside them.
    hub.repository(NET).put({"model.safetensors": pickle.dumps(Trap())})
    loading._listings.fresh_for = 0
    assert "is truncated or no safetensors file" in refusal(NET)
    hub.repository(NET).put(
        {"model.safetensors": (tmp_path / "net/model.safetensors").read_bytes()}
    )
    loading.load_model(NET)
    assert not [request for request in hub.seen("GET", "/resolve/") if name in request.path]
    assert not trap.exists()


def test_what_is_of_no_library_at_all(hub: HubServer) -> None:
    publish(hub, {"README.md": b"# Notes"})
    assert f"{NET} holds no config.json, so it is no model of this library" in refusal(NET)
    hub.repository(NET).put({"config.json": b"{}"})
    loading._listings.fresh_for = 0
    assert f"{NET} holds no model.safetensors, so it is no model of this library" in refusal(NET)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["BertModel"]}, 'of the transformers library ("BertModel")'),
        ({"model_type": "segformer"}, 'of the transformers library ("segformer")'),
        ({"_class_name": "UNet2DModel"}, 'of the diffusers library ("UNet2DModel")'),
        ({"encoder": "resnet34"}, "of no class that this library knows"),
        ({"model_class": "SegNet"}, "is of class 'SegNet'; wanted is UNet"),
        ([], "is not a JSON object"),
    ],
)
def test_a_model_of_another_library(
    hub: HubServer, files: dict[str, bytes], config: Any, said: str
) -> None:
    publish(hub, {**files, "config.json": json.dumps(config).encode()})
    assert said in refusal(NET)
    assert not hub.seen("GET", "model.safetensors")  # its weights were not fetched


def test_too_large_is_refused_before_it_is_fetched(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, files)
    monkeypatch.setattr(repositories, "LARGEST_WEIGHTS", len(files["model.safetensors"]) - 1)
    assert "the demo loads at most" in refusal(NET)
    monkeypatch.setattr(repositories, "LARGEST_WEIGHTS", len(files["model.safetensors"]))
    monkeypatch.setattr(repositories, "LARGEST_CONFIG", 10)
    assert f"The config.json of {NET} is 0 MB large" in refusal(NET)
    assert not hub.seen("GET", "/resolve/")
    assert repositories.LARGEST_WEIGHTS
    monkeypatch.setattr(repositories, "LARGEST_CONFIG", 10_000)
    monkeypatch.setattr(repositories, "LARGEST_TILE", 100)
    assert "of memory for its smallest tile of" in refusal(NET)


def test_sizes_are_said_in_megabytes() -> None:
    with pytest.raises(ModelError, match=r"weights of org/name are 1,234 MB; .* at most 500 MB"):
        repositories.check_files(
            HubName("org/name"), {"config.json": 1, "model.safetensors": 1_234_000_000}
        )


def test_damaged_weights(hub: HubServer, files: dict[str, bytes]) -> None:
    publish(hub, {**files, "model.safetensors": files["model.safetensors"][:-1]})
    assert f"The model.safetensors of {NET} is truncated" in refusal(NET)


# --- the Hub: out of reach ---------------------------------------------------------------------


def no_waiting(seconds: float) -> None:
    raise AssertionError(f"the client waits {seconds} s for another try")


def test_a_hub_out_of_reach_is_told_at_once(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", no_waiting)
    hub.stop()
    said = f"The Hub cannot be reached from here at the moment, so {NET} cannot be loaded."
    assert said in refusal(NET)


def test_a_hub_out_of_reach_is_not_asked_for_the_rest_of_a_model(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, files)
    hf_hub_download(NET, "config.json")
    hub.stop()
    monkeypatch.setattr(time, "sleep", no_waiting)
    assert f"model.safetensors of {NET} at revision" in refusal(NET)


def test_a_silent_hub_is_not_waited_for(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, files)
    monkeypatch.setattr(repositories, "HUB_TIMEOUT", 0.2)
    monkeypatch.setattr(time, "sleep", no_waiting)
    held = threading.Event()
    hub.before_next(lambda: held.wait(4), asks("GET", "/api/models/"))  # then it would be well
    try:
        assert "The Hub cannot be reached" in refusal(NET)
    finally:
        held.set()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_in_trouble_is_asked_once(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    publish(hub, files)
    monkeypatch.setattr(time, "sleep", no_waiting)
    hub.answer_next(status, asks("GET", "/api/models/"))
    assert f"it answered {status}. Try again in a minute" in refusal(NET)
    assert len(hub.seen()) == 1
    loading.load_model(NET)  # which is all well again


def test_offline_by_order(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "The Hub cannot be reached from here" in refusal(NET)
    assert not hub.seen()


def test_an_answer_without_a_commit(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(hub, {})
    # A page of a hotel's network, where the Hub should be.
    hub.answer_next(200, asks("GET", "/api/models/"))
    assert "The Hub" in refusal(NET)


# --- on a Space ---------------------------------------------------------------------------------


def test_a_space_keeps_no_visitors_model_on_its_disk(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPACE_ID", "lab/demo")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    publish(hub, files)
    loading.load_model(NET)
    assert list(scratch.iterdir()) == []
    assert not list((tmp_path / "hf_home").rglob("model.safetensors"))


def test_a_space_uses_what_was_fetched_when_it_was_built(
    hub: HubServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, files)
    UNet.from_pretrained(NET)
    fetched = len(hub.seen("GET", "/resolve/"))
    monkeypatch.setenv("SPACE_ID", "lab/demo")
    loading.load_model(NET)
    assert len(hub.seen("GET", "/resolve/")) == fetched


# --- kept in memory ------------------------------------------------------------------------------


def small(base: int = 1) -> UNet:
    return UNet(base_channels=base, depth=1).eval()


def test_the_cache_is_bounded_by_bytes_and_drops_the_oldest() -> None:
    one = weight_bytes(small())
    cache = ModelCache(capacity=2 * one)
    a, b = cache.get("a", small), cache.get("b", small)
    assert cache.get("a", small) is a  # now b is the oldest
    cache.get("c", small)
    assert cache.bytes_kept == 2 * one
    assert cache.get("a", small) is a
    assert cache.get("b", small) is not b
    large = cache.get("large", lambda: small(8))
    assert weight_bytes(large) > cache.capacity
    assert cache.get("large", small) is large
    assert cache.bytes_kept == weight_bytes(large)


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """What each of ``count`` threads gets that start as one: a result or an error."""
    start, got = threading.Barrier(count), []

    def run() -> None:
        start.wait()
        try:
            got.append(work())
        except Exception as error:
            got.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return got


def test_two_who_ask_at_once_load_once() -> None:
    cache, loads = ModelCache(10**9), []

    def slowly() -> UNet:
        loads.append(1)
        time.sleep(0.2)
        return small()

    got = in_threads(8, lambda: cache.get("a", slowly))
    assert len(loads) == 1 and len(got) == 8
    assert all(network is got[0] for network in got)


def test_different_models_load_side_by_side() -> None:
    cache, both = ModelCache(10**9), threading.Barrier(2, timeout=20)
    keys = iter(["a", "b"])

    def load() -> UNet:
        both.wait()  # passes only if the other is loading, too
        return small()

    got = in_threads(2, lambda: cache.get(next(keys), load))
    assert all(isinstance(network, UNet) for network in got)


def test_a_failure_is_told_to_all_who_wait_and_forgotten() -> None:
    cache, loads = ModelCache(10**9), []

    def fail() -> UNet:
        loads.append(1)
        time.sleep(0.2)
        raise ModelError("Damaged.")

    got = in_threads(4, lambda: cache.get("a", fail))
    assert len(loads) == 1 and [str(error) for error in got] == ["Damaged."] * 4
    assert isinstance(cache.get("a", small), UNet)


def test_one_model_of_the_hub_for_many_who_ask_at_once(
    hub: HubServer, files: dict[str, bytes]
) -> None:
    publish(hub, files)
    got = in_threads(6, lambda: loading.load_model(NET))
    assert all(network is got[0] for network in got)
    assert len(hub.seen("GET", "model.safetensors")) == 1


def test_the_unreachable_is_an_error_of_models() -> None:
    assert issubclass(UnreachableError, ModelError)
    assert Listing("0" * 40).sizes == {}
