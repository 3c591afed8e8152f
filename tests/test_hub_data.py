"""Data on the Hub: fetched by the real client from the tests' Hub, or a sentence says why not."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest
from discs import draw_discs, make_data
from hub_server import HubServer, asks
from huggingface_hub import HfApi, constants
from PIL import Image

from hf_unet.cli import main as command_line
from hf_unet.training import hub_data
from hf_unet.training.datasets import find_pairs
from hf_unet.training.hub_data import resolve_data
from hf_unet.training.pairs import DataError
from hf_unet.training.settings import DataSettings

ROOT = Path(__file__).resolve().parent.parent
NAME = "tester/cells"
SOURCE = f"hub:{NAME}"


@pytest.fixture
def cells(hub: HubServer) -> HubServer:
    """The Hub with a small public data set, tagged v1 and changed since."""
    repository = hub.add(NAME, "dataset")
    repository.put({"notes.txt": b"old", "images/1.png": b"png"})
    repository.name_tag("v1", "main")
    repository.put({"notes.txt": b"new"})
    return hub


def refusal(source: str = SOURCE, **options: Any) -> str:
    """The sentence with which a source is refused; it shows no place on the disk."""
    with pytest.raises(DataError) as caught:
        resolve_data(source, **options)
    message = str(caught.value)
    assert "/tmp" not in message and "127.0.0.1" not in message and "\n" not in message
    assert (message[0].isupper() or message[0] == "'") and message.endswith(".")
    return message


# --- what can be had ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["data/cells", "/data/cells", ".", "none/such", "datahub:x/y"])
def test_a_local_path_stays_as_it_is(hub: HubServer, path: str) -> None:
    for source in (path, Path(path)):
        assert resolve_data(source) == Path(path)
    assert hub.requests == []


@pytest.mark.parametrize("private", [False, True])
def test_images_and_masks_go_up_and_are_found(
    hub: HubServer, tmp_path: Path, private: bool
) -> None:
    random = np.random.default_rng(0)
    drawn = {}
    for part in ("images", "masks"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for name in ("a", "b", "c"):
        image, instances = draw_discs(random, 24, 2)
        drawn[name] = image, instances > 0
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{name}.png")
        mask = np.where(instances > 0, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{name}.png")
    (tmp_path / "data" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Cells\n")
    token = hub.token("tester")
    api = HfApi(token=token)
    api.create_repo(NAME, repo_type="dataset", private=private)
    api.upload_folder(repo_id=NAME, repo_type="dataset", folder_path=tmp_path / "data")
    assert len(hub.seen("PUT")) == 6  # the pictures, by LFS

    folder = resolve_data(SOURCE, token=token)
    assert folder.name == hub.repository(NAME, "dataset").at("main").oid
    settings = DataSettings(images="images", labels="masks")
    pairs = find_pairs(folder, settings, ("background", "cell"))
    assert len(pairs) == 3
    for pair, (image, inside) in zip(pairs, drawn.values(), strict=True):
        assert np.array_equal(pair.image[0], image)
        assert np.array_equal(pair.labels.class_map() == 1, inside) and inside.any()


@pytest.mark.usefixtures("cells")
def test_a_revision_is_a_branch_a_tag_or_a_commit(cells: HubServer) -> None:
    repository = cells.repository(NAME, "dataset")
    repository.name_branch("try/other", "main")
    repository.put({"notes.txt": b"tried"}, "try/other")
    for revision, expected in [
        ("", b"new"),
        ("@main", b"new"),
        ("@v1", b"old"),
        (f"@{repository.at('v1').oid}", b"old"),
        ("@try/other", b"tried"),
    ]:
        assert (resolve_data(SOURCE + revision) / "notes.txt").read_bytes() == expected
    assert (resolve_data(Path(SOURCE + "@v1")) / "notes.txt").read_bytes() == b"old"


def test_the_newest_is_fetched_and_what_did_not_change_is_kept(cells: HubServer) -> None:
    first = resolve_data(SOURCE)
    assert resolve_data(SOURCE) == first
    before = len(cells.seen("GET", "/resolve/"))
    assert before == 3  # both files and .gitattributes, once
    cells.repository(NAME, "dataset").put({"notes.txt": b"newest"})
    second = resolve_data(SOURCE)
    assert second != first and (second / "notes.txt").read_bytes() == b"newest"
    assert (second / "images" / "1.png").read_bytes() == b"png"
    assert len(cells.seen("GET", "/resolve/")) == before + 1


def hide(hub: HubServer, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Let the Hub be of no more use."""
    if how == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif how == "gone":
        hub.stop()
    elif how == "removed":
        hub.remove(NAME, "dataset")
    elif how == "private":
        hub.repository(NAME, "dataset").private = True
    elif how == "trouble":
        hub.answer_next(503, asks("GET", "/api/datasets/"))
    elif how == "cut":
        hub.drop_next(asks("GET", "/api/datasets/"), times=9)


@pytest.mark.parametrize("how", ["offline", "gone", "removed", "private", "trouble", "cut"])
def test_what_was_fetched_serves_without_the_hub(
    cells: HubServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    folder = resolve_data(SOURCE)
    hide(cells, monkeypatch, how)
    assert resolve_data(SOURCE) == folder
    assert (folder / "notes.txt").read_bytes() == b"new"
    if how not in ("removed", "private", "trouble", "cut"):
        assert "not stored on this machine" in refusal(SOURCE + "@v1")


# --- what cannot ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "hub:",
        "hub:cells",
        "hub:/cells",
        "hub:tester/",
        "hub:tester/cells/images",
        "hub:tester/two words",
        "hub:tester/..",
        "hub:tester/cells@",
        "hub:@v1",
        "hub:https://huggingface.co/datasets/tester/cells",
    ],
)
def test_a_malformed_name(hub: HubServer, source: str) -> None:
    assert refusal(source) == (
        f"{source!r} names no data on the Hub. Write it as hub:user/name, or "
        "hub:user/name@revision."
    )
    assert hub.requests == []


@pytest.mark.parametrize("kind", [None, "model"])
def test_no_such_repository(hub: HubServer, kind: str | None) -> None:
    if kind:
        hub.add(NAME, kind)  # of that name, but no data set
    assert refusal() == (
        "There is no public data set tester/cells on the Hub. Check the name; if it is private, "
        "log in with `hf auth login`."
    )
    assert "that your token may read" in refusal(token=hub.token("tester"))


def test_a_private_repository(cells: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cells.repository(NAME, "dataset").private = True
    assert "if it is private, log in with `hf auth login`" in refusal()
    assert refusal(token=cells.token("visitor")) == (
        "There is no data set tester/cells on the Hub that your token may read. Check the name; "
        "if it is private, use a token of an account that has access."
    )
    assert refusal(token="hf_unknown") == (
        "The Hub does not accept the token with which the data tester/cells was asked for. Log in "
        "again with `hf auth login`, with a token that may read it."
    )
    monkeypatch.setenv("HF_TOKEN", cells.token("tester", "read"))
    assert (resolve_data(SOURCE) / "notes.txt").read_bytes() == b"new"


def test_a_gated_repository(cells: HubServer) -> None:
    repository = cells.repository(NAME, "dataset")
    repository.gated = "manual"
    visitor = cells.token("visitor")
    for token in (None, visitor):
        assert refusal(token=token) == (
            "The data tester/cells asks you to accept its terms first: open its page on the Hub, "
            "accept them, and log in with `hf auth login`."
        )
    repository.admitted.add("visitor")
    assert (resolve_data(SOURCE, token=visitor) / "notes.txt").read_bytes() == b"new"


@pytest.mark.usefixtures("cells")
@pytest.mark.parametrize("revision", ["v9", "a/b", "0" * 40])
def test_an_unknown_revision(revision: str) -> None:
    assert refusal(f"{SOURCE}@{revision}") == (
        f"The data tester/cells has no revision '{revision}'. Leave it out for the newest, or "
        "give a branch, tag or commit that exists."
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("offline", "and the Hub must not be asked: HF_HUB_OFFLINE is set."),
        ("gone", "and the Hub cannot be reached."),
        ("trouble", "and the Hub could not serve it: it answered 503."),
        ("cut", "and the Hub cannot be reached."),
    ],
)
@pytest.mark.parametrize("revision", ["", "v1"])
def test_nothing_stored_and_no_hub(
    cells: HubServer, monkeypatch: pytest.MonkeyPatch, how: str, said: str, revision: str
) -> None:
    hide(cells, monkeypatch, how)
    message = refusal(f"{SOURCE}@{revision}" if revision else SOURCE)
    at = f" at revision '{revision}'" if revision else ""
    assert message.startswith(f"The data tester/cells{at} is not stored on this machine, or not")
    assert said in message and message.endswith("Try again when it can be, or give a local folder.")


def test_a_download_that_stops_half_way_is_no_data(cells: HubServer) -> None:
    resolve_data(f"{SOURCE}@v1")
    # The newest revision's changed file cannot be fetched, and the Hub is gone after that.
    cells.before_next(lambda: cells.answer_next(502, asks("GET")), asks("HEAD", "notes"))
    assert refusal() == (
        "The data tester/cells could not be fetched: the Hub answered 502. Try again later, or "
        "give a local folder."
    )
    cells.stop()
    assert "is not stored on this machine, or not whole, and the Hub cannot be reached" in refusal()
    assert (resolve_data(f"{SOURCE}@v1") / "notes.txt").read_bytes() == b"old"


def test_a_repository_that_disappears_on_the_way(cells: HubServer) -> None:
    cells.before_next(lambda: cells.remove(NAME, "dataset"), asks("HEAD", "/resolve/"))
    assert "There is no public data set tester/cells on the Hub" in refusal()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left", "/tmp/x"), "There is no room on the disk"),
        (OSError(errno.EDQUOT, "Quota exceeded", "/tmp/x"), "There is no room on the disk"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/tmp/x"),
            "stored: Permission denied.",
        ),
        (OSError("Of size 3, not 5 (x).\nTry again"), "stored: Of size 3, not 5 (x)."),
    ],
)
def test_what_the_disk_says_is_put_into_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(hub_data, "snapshot_download", fail)
    assert said in refusal() and "tester/cells" in refusal()


def test_a_disk_that_is_really_full(cells: HubServer, tmp_path: Path) -> None:
    unshare, home = shutil.which("unshare"), Path(os.environ["HF_HOME"])
    home.mkdir()
    alone = [str(unshare), "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = 'mount -t tmpfs -o size=256k none "$1"'
    tried = unshare and subprocess.run([*alone, mount, "sh", str(home)], capture_output=True)
    if not tried or tried.returncode:
        pytest.skip("a small disk cannot be mounted here")
    cells.repository(NAME, "dataset").put({"large.bin": bytes(1_000_000)})
    code = (
        "from hf_unet.training.hub_data import resolve_data\n"
        "try:\n"
        f"    resolve_data({SOURCE!r})\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    command = [*alone, f'{mount} && exec "$2" -c "$3"', "sh", str(home), sys.executable, code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == (
        "There is no room on the disk for the data tester/cells. Make room, or set HF_HOME to a "
        "folder on a larger disk.\n"
    )


def test_the_trainer_and_the_check_learn_from_the_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """``--data hub:user/name`` from the command line to a model and its figures."""
    data = make_data(tmp_path / "data", count=4)
    content = {
        path.relative_to(data).as_posix(): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file()
    }
    hub.add(NAME, "dataset").put(content)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[network]\nclasses = ["ground", "disc"]\nbase_channels = 2\ndepth = 1\n'
        '[data]\nkind = "instances"\nholdout_every = 2\n[loss]\nw0 = 0\n'
        '[run]\nsteps = 2\noutput = 32\nworkers = 0\ntracker = ""\nprecision = "fp32"\n'
    )
    run = tmp_path / "run"
    for script, arguments in (
        ("train", ["--recipe", str(recipe), "--data", SOURCE, "--output", str(run)]),
        ("evaluate", [str(run / "best"), "--data", SOURCE]),
    ):
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
        assert run_path(str(ROOT / "train" / f"{script}.py"))["main"]() == 0
    assert '"images": 2' in capsys.readouterr().out
    assert command_line(["check-masks", SOURCE, "--recipe", str(recipe)]) == 0
    assert "4 pairs that can be read" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["train.py", "--recipe", str(recipe), "--data", "hub:x/none"])
    assert run_path(str(ROOT / "train" / "train.py"))["main"]() == 1
    assert "x/none" in capsys.readouterr().err
