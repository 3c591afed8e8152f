"""Networks from the tests' own Hub, by the real client: the right one, or a sentence that says why.

What the client by itself does is in test_hub_server.py, strict reading in test_pretrained.py.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from hub_server import HubServer, Repository, asks
from huggingface_hub import constants

from hf_unet.errors import ModelError
from hf_unet.model import UNet
from hf_unet.provenance import file_sha256

NET = "tester/net"
FILES = ("config.json", "model.safetensors")


def small_net(seed: int) -> UNet:
    torch.manual_seed(seed)
    return UNet(base_channels=4, depth=1).eval()


def files_of(network: UNet, folder: Path) -> dict[str, bytes]:
    network.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def first(tmp_path: Path) -> dict[str, bytes]:
    return files_of(small_net(1), tmp_path / "first")


@pytest.fixture
def second(tmp_path: Path) -> dict[str, bytes]:
    return files_of(small_net(2), tmp_path / "second")


@pytest.fixture
def published(hub: HubServer, first: dict[str, bytes]) -> Repository:
    repository = hub.add(NET)
    repository.put(first)
    return repository


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The client's pauses before it tries again, which are noted and not waited for."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


def refusal(name: str = NET, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        UNet.from_pretrained(name, **options)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and "/tmp" not in message
    return message


def same(network: UNet, seed: int) -> bool:
    expected = small_net(seed).state_dict()
    return all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def asked(hub: HubServer) -> list[str]:
    return [f"{request.method} {request.path.rpartition('/')[2]}" for request in hub.requests]


def stored_files() -> set[str]:
    """Names in the cache's snapshots, which are what loading reads."""
    return {path.name for path in Path(constants.HF_HUB_CACHE).glob("*/snapshots/*/*")}


# --- what is asked for ------------------------------------------------------------------------


def test_two_files_are_fetched_and_no_other(hub: HubServer, published: Repository) -> None:
    # What other libraries would run or unpickle lies beside them.
    published.put({"modeling.py": b"raise SystemExit", "pytorch_model.bin": b"\x80\x04K\x01."})
    assert same(UNet.from_pretrained(NET), 1)
    # The first question is whether there is a Hub at all: the client alone waits 23 seconds.
    assert asked(hub) == [
        "HEAD config.json",
        "HEAD config.json",
        "GET config.json",
        "HEAD model.safetensors",
        "GET model.safetensors",
    ]
    assert stored_files() == set(FILES)


def test_a_second_load_asks_only_whether_the_branch_moved(
    hub: HubServer, published: Repository, second: dict[str, bytes]
) -> None:
    UNet.from_pretrained(NET)
    hub.requests.clear()
    assert same(UNet.from_pretrained(NET), 1)
    assert asked(hub) == ["HEAD config.json"]
    published.put(second)
    hub.requests.clear()
    assert same(UNet.from_pretrained(NET), 2)
    # Both have the same config, so that only the weights move.
    assert asked(hub) == ["HEAD config.json", "HEAD model.safetensors", "GET model.safetensors"]


def test_a_commit_that_is_stored_is_not_asked_for(hub: HubServer, published: Repository) -> None:
    commit = published.at("main").oid
    UNet.from_pretrained(NET, commit)
    hub.requests.clear()
    assert same(UNet.from_pretrained(NET, commit), 1)
    assert asked(hub) == []


def test_a_folder_of_the_name_is_taken_and_the_hub_not_asked(
    hub: HubServer, published: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_net(2).save_pretrained(tmp_path / NET)
    monkeypatch.chdir(tmp_path)
    assert same(UNet.from_pretrained(NET, revision="main", force_download=True), 2)
    assert hub.requests == []


@pytest.mark.parametrize("wrong", [{"dtype": "float12"}, {"device": "toaster"}], ids=str)
def test_a_wrong_argument_is_told_before_anything_is_fetched(
    hub: HubServer, published: Repository, wrong: dict[str, str]
) -> None:
    assert next(iter(wrong.values())) in refusal(**wrong)
    assert hub.requests == []


# --- which one it is --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["branch", "tag", "commit", "pull request"])
def test_a_revision_by_each_of_its_names(
    published: Repository, second: dict[str, bytes], kind: str
) -> None:
    old = published.at("main").oid
    published.name_branch("old", None)
    published.name_tag("v1", "main")
    published.put(second)
    names = {
        "branch": ("old", 1),
        "tag": ("v1", 1),
        "commit": (old, 1),
        "pull request": ("refs/pr/1", 2),
    }
    name, seed = names[kind]
    if kind == "pull request":
        published.branches["refs/pr/1"] = published.branches["main"]
    loaded = UNet.from_pretrained(NET, name)
    assert same(loaded, seed) and loaded.origin is not None
    assert loaded.origin.revision == (old if seed == 1 else published.at("main").oid)
    assert same(UNet.from_pretrained(NET), 2)


def test_a_revision_that_is_not_there(published: Repository) -> None:
    assert "has no revision 'v9'" in refusal(revision="v9")


def test_a_private_repository(
    hub: HubServer, first: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(NET, private=True).put(first)
    owner, stranger = hub.token("tester", "read"), hub.token("someone")
    for token in (None, False, stranger):
        said = refusal(token=token)
        assert said.startswith("There is no repository tester/net on the Hub that you may read")
    assert "The Hub does not accept the token" in refusal(token="hf_invalid")
    assert stored_files() == set()
    assert same(UNet.from_pretrained(NET, token=owner), 1)
    monkeypatch.setenv("HF_TOKEN", owner)
    assert same(UNet.from_pretrained(NET, force_download=True), 1)


def test_a_repository_that_lacks_a_file(hub: HubServer, first: dict[str, bytes]) -> None:
    repository = hub.add(NET)
    repository.put({"pytorch_model.bin": b"\x80\x04K\x01."})
    assert "The model tester/net holds no config.json" in refusal()
    repository.put({"config.json": first["config.json"]})
    assert "The model tester/net holds no model.safetensors" in refusal()


# --- what goes wrong on the way ---------------------------------------------------------------


def test_an_interrupted_download_is_continued(
    hub: HubServer, published: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # the client's own is 10 MiB
    hub.cut_next(asks("GET", "model.safetensors"))
    assert same(UNet.from_pretrained(NET), 1)
    ranges = [request.headers.get("range") for request in hub.seen("GET", "model.safetensors")]
    assert ranges[0] is None and ranges[1] is not None and ranges[1] > "bytes=1000-"
    assert len(ranges) == 2 and not hub.faults.waiting


@pytest.mark.usefixtures("impatient")
def test_a_download_that_breaks_off_for_good_leaves_no_half_file(
    hub: HubServer, published: Repository
) -> None:
    hub.cut_next(asks("GET", "model.safetensors"), times=50)
    assert "model.safetensors of tester/net at revision" in refusal()
    assert stored_files() == {"config.json"}
    hub.faults.waiting.clear()
    assert same(UNet.from_pretrained(NET), 1)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("name", FILES)
def test_a_hub_in_trouble_is_asked_again(
    hub: HubServer, published: Repository, impatient: list[float], status: int, name: str
) -> None:
    hub.answer_next(status, asks("GET", name), times=2)
    assert same(UNet.from_pretrained(NET), 1)
    assert len(hub.seen("GET", name)) == 3 and len(impatient) == 2


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_hub_in_lasting_trouble_is_told_of(
    hub: HubServer, published: Repository, status: int, name: str, method: str
) -> None:
    hub.answer_next(status, asks(method, name), times=50)
    said = refusal()
    assert said.startswith(f"{name} of tester/net") and f"the error {status}." in said
    assert "Try again in a while, or give a local folder" in said
    assert name not in stored_files()
    hub.faults.waiting.clear()
    assert same(UNet.from_pretrained(NET), 1)


def test_trouble_after_a_first_load_is_not_noticed(
    hub: HubServer, published: Repository, impatient: list[float]
) -> None:
    UNet.from_pretrained(NET)
    hub.answer_next(503, asks("HEAD", "config.json"), times=50)
    assert same(UNet.from_pretrained(NET), 1)
    assert impatient == []


def test_a_repository_that_disappears_is_served_by_the_cache(
    hub: HubServer, published: Repository
) -> None:
    UNet.from_pretrained(NET)
    hub.remove(NET)
    assert same(UNet.from_pretrained(NET), 1)
    assert "There is no repository tester/net" in refusal(force_download=True)


def test_a_repository_that_disappears_between_its_files(
    hub: HubServer, published: Repository
) -> None:
    hub.before_next(lambda: hub.remove(NET), asks("HEAD", "model.safetensors"))
    assert "There is no repository tester/net" in refusal()


@pytest.mark.parametrize("how", ["argument", "setting", "nobody answers"])
def test_without_a_network_the_cache_is_read(
    hub: HubServer, published: Repository, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    UNet.from_pretrained(NET)
    hub.requests.clear()
    options: dict[str, Any] = {}
    if how == "argument":
        options["local_files_only"] = True
    elif how == "setting":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        hub.stop()
    loaded = UNet.from_pretrained(NET, **options)
    assert same(loaded, 1) and hub.requests == []
    assert loaded.origin is not None and loaded.origin.revision == published.at("main").oid


@pytest.mark.usefixtures("impatient")
def test_half_a_model_in_the_cache_is_told_of_offline(
    hub: HubServer, published: Repository
) -> None:
    hub.drop_next(asks("", "model.safetensors"), times=50)
    refusal()
    hub.stop()
    said = refusal(local_files_only=True)
    assert said.startswith("model.safetensors of tester/net") and "not stored on this mach" in said


# --- several at once --------------------------------------------------------------------------


def at_once(load: Callable[[], UNet], count: int) -> list[UNet]:
    start = Barrier(count)

    def run(_: int) -> UNet:
        start.wait()
        return load()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_threads_that_load_into_an_empty_cache(hub: HubServer, published: Repository) -> None:
    loaded = at_once(lambda: UNet.from_pretrained(NET), 8)
    assert all(same(network, 1) for network in loaded)
    assert stored_files() == set(FILES)
    assert not list(Path(constants.HF_HUB_CACHE).glob("**/*.incomplete"))


def test_threads_that_load_a_folder(first: dict[str, bytes], tmp_path: Path) -> None:
    folder = tmp_path / "first"
    loaded = at_once(lambda: UNet.from_pretrained(folder), 8)
    assert all(same(network, 1) for network in loaded)
    pointers = {network.classifier.weight.data_ptr() for network in loaded}
    assert len(pointers) == 8  # each has weights of its own


def test_processes_that_load_into_an_empty_cache(
    hub: HubServer, published: Repository, tmp_path: Path
) -> None:
    code = (
        "import sys, torch; from hf_unet import UNet\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"model = UNet.from_pretrained({NET!r})\n"
        "print(model.origin.sha256)"
    )
    root = Path(__file__).resolve().parent.parent
    loading = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for _ in range(3)
    ]
    for process in loading:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in loading:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=120)[0].strip() for process in loading]
    assert set(printed) == {file_sha256(tmp_path / "first" / "model.safetensors")}
    assert stored_files() == set(FILES)
