"""From a run to the Hub: in one commit, tagged, or not at all and with a sentence that says why."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from figures import METRICS, write_run
from hub_server import HubServer, Repository, asks
from hub_server.faults import Fault
from huggingface_hub import HfApi, constants
from PIL import Image
from small_networks import drawn, picture

from hf_unet.cards.parts import parts_of
from hf_unet.errors import ModelError
from hf_unet.model import UNet
from hf_unet.publishing import Publication, PublishError, SampleImage, assemble, publish
from hf_unet.repositories.sample_tile import make_sample, read_sample, write_sample

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "train" / "publish.py"
NET = "tester/cells"
FILES = {
    "README.md", "config.json", "metrics.json", "model.safetensors", "sample.safetensors",
    "settings.json",
}  # fmt: skip


@pytest.fixture
def model() -> UNet:
    return drawn(classes=("background", "cell"), base_channels=2)


@pytest.fixture
def run(model: UNet, tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", model)


@pytest.fixture
def token(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the owner of ``tester/...``, who is logged in."""
    token = hub.token()
    monkeypatch.setenv("HF_TOKEN", token)
    return token


@pytest.fixture
def image(tmp_path: Path) -> SampleImage:
    Image.fromarray(picture(60, 80)).save(tmp_path / "cells.png")
    return SampleImage(tmp_path / "cells.png", "Ann's own, CC0")


@pytest.fixture
def sent(run: Path, tmp_path: Path) -> Callable[..., Publication]:
    """Assemble the run, and publish it."""
    count = iter(range(99))

    def send(sample: SampleImage | None = None, **options: Any) -> Publication:
        folder = tmp_path / f"assembled{next(count)}"
        assemble(run, NET, folder, sample=sample)
        return publish(folder, options.pop("name", NET), **options)

    return send


def train_on(run: Path, model: UNet) -> None:
    """Let the run have other weights, and figures of them."""
    with torch.no_grad():
        model.classifier.weight.mul_(1.5)
    write_run(run, model)


def repository(hub: HubServer) -> Repository:
    return hub.repository(NET)


def refusal(send: Callable[..., Publication], **options: Any) -> str:
    with pytest.raises(PublishError) as caught:
        send(**options)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message and "/tmp" not in message
    return message


# --- the folder ----------------------------------------------------------------------------------


def test_a_run_becomes_a_whole_repository(run: Path, model: UNet, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cells"
    assert {file.as_posix() for file in assemble(run, NET, folder)} == FILES
    for name in ("config.json", "model.safetensors", "metrics.json", "settings.json"):
        assert (folder / name).read_bytes() == (run / "best" / name).read_bytes()
    parts = parts_of((folder / "README.md").read_text("utf-8"))
    assert f'from_pretrained("{NET}")' in parts["use"] and "AdamW" in parts["settings"]
    assert parts["picture"] == ""
    sample = read_sample(folder)
    assert sample.source == "Drawn by hf-unet: no data"
    again = model.segment(sample.image, sample.tile)
    np.testing.assert_allclose(again.probabilities, sample.probabilities, atol=1e-5)


def test_an_image_that_may_be_shown_is_shown(run: Path, tmp_path: Path, image: SampleImage) -> None:
    folder = tmp_path / "cells"
    files = {file.as_posix() for file in assemble(run, NET, folder, sample=image)}
    assert files == FILES | {"picture.png"}
    assert read_sample(folder).source == "Ann's own, CC0"
    with Image.open(folder / "picture.png") as shown:
        assert shown.size == (2 * 6 * 80 + 8, 6 * 60)
    card = (folder / "README.md").read_text("utf-8")
    assert "](picture.png)" in card and "The image: Ann's own, CC0." in card
    # What a model has, it keeps.
    (folder / "examples").mkdir()
    image.path.rename(folder / "examples" / "cells.png")
    again = {file.as_posix() for file in assemble(folder, NET, tmp_path / "again")}
    assert again == files | {"examples/cells.png"}
    for name in again:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_an_onnx_file_goes_along(run: Path, model: UNet, tmp_path: Path) -> None:
    from hf_unet.onnx import OnnxNetwork

    files = {file.as_posix() for file in assemble(run, NET, tmp_path / "cells", onnx=True)}
    assert files == FILES | {"onnx/model.onnx"}
    exported = OnnxNetwork.from_pretrained(tmp_path / "cells")
    np.testing.assert_allclose(
        exported.segment(picture(60, 60)).probabilities,
        model.segment(picture(60, 60)).probabilities,
        atol=1e-4,
    )


def test_words_that_somebody_wrote_here_go_along(run: Path, tmp_path: Path) -> None:
    card = run / "best" / "README.md"
    text = card.read_text("utf-8")
    words = "Ask Ann.\n\n<!-- hf-unet:limits -->"
    card.write_text(text.replace("<!-- hf-unet:limits -->", words), "utf-8")
    assemble(run, NET, tmp_path / "cells")
    written = (tmp_path / "cells" / "README.md").read_text("utf-8")
    assert words in written and "No figures" not in written and "Only cells." in written


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [
        ("metrics.json", "what the model can do is not known"),
        ("settings.json", "how the model was trained is not known"),
    ],
)
def test_what_is_not_known_is_not_published(
    run: Path, tmp_path: Path, gone: str, sentence: str
) -> None:
    (run / "best" / gone).unlink()
    if gone == "metrics.json":  # those of the run are of best/, too
        assemble(run, NET, tmp_path / "cells")
        (run / gone).unlink()
    with pytest.raises(PublishError, match=f"run holds no {gone}, so {sentence}"):
        assemble(run, NET, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_assembled(run: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="no folder 'none'"):
        assemble(tmp_path / "none", NET, tmp_path / "new")
    (tmp_path / "bare").mkdir()
    with pytest.raises(PublishError, match=r"bare holds neither best/ nor config\.json"):
        assemble(tmp_path / "bare", NET, tmp_path / "new")
    with pytest.raises(PublishError, match="run is not empty"):
        assemble(run, NET, run)
    figures = {name: value for name, value in METRICS.items() if name != "limits"}
    (run / "best" / "metrics.json").write_text(json.dumps(figures))
    with pytest.raises(ModelError, match=r"metrics\.json lacks 'limits'"):
        assemble(run, NET, tmp_path / "new")
    (run / "best" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="truncated"):
        assemble(run, NET, tmp_path / "newer")


def test_what_is_not_what_it_says_is_not_published(run: Path, model: UNet, tmp_path: Path) -> None:
    write_sample(run / "best", make_sample(model))
    assemble(run, NET, tmp_path / "cells")
    train_on(run, model)  # and the sample is that of the weights before
    with pytest.raises(PublishError, match=r"is not what it says\. The sample is not reproduced"):
        assemble(run, NET, tmp_path / "new")


# --- the Hub -------------------------------------------------------------------------------------


def test_a_run_is_published_in_one_commit_and_tagged(
    hub: HubServer, token: str, sent: Callable[..., Publication], model: UNet
) -> None:
    done = sent()
    head = repository(hub).at("main").oid
    assert done == Publication(
        repository=NET,
        address=f"{hub.endpoint}/{NET}",
        commit=head,
        tag="v1",
        pull_request=None,
        changed=True,
        left_out=(),
    )
    assert set(repository(hub).files()) == FILES and repository(hub).tags == {"v1": head}
    assert len(list(repository(hub).history())) == 2  # with the one that made it
    assert not repository(hub).private
    about = HfApi().model_info(NET)
    assert about.pipeline_tag == "image-segmentation" and about.library_name == "hf-unet"
    assert {"unet", "safetensors", "license:cc0-1.0"} <= set(about.tags or ())
    loaded = UNet.from_pretrained(NET, revision="v1")
    np.testing.assert_array_equal(
        loaded.segment(picture(60, 60)).mask, model.segment(picture(60, 60)).mask
    )


def test_the_next_version_gets_the_next_tag_and_keeps_the_words(
    hub: HubServer,
    token: str,
    sent: Callable[..., Publication],
    run: Path,
    model: UNet,
    image: SampleImage,
) -> None:
    first = sent(sample=image)
    text = repository(hub).files()["README.md"].decode()
    start, end = text.index("<!-- hf-unet:energy -->"), text.index("<!-- hf-unet:limits -->")
    text = f"{text[:start]}Ask Ann.\n\n{text[end:]}"
    edited = repository(hub).put(
        {"README.md": text.encode(), "notes.txt": b"ours", "onnx/model.onnx": b"old"}
    )
    train_on(run, model)
    second = sent()
    assert second.changed and (second.tag, second.left_out) == ("v2", ("energy",))
    files = repository(hub).files()
    # What is of the weights before is gone, and the card no longer shows the picture.
    assert set(files) == FILES | {"notes.txt"}
    card = files["README.md"].decode()
    assert "Ask Ann.\n\n<!-- hf-unet:limits -->" in card and "](picture.png)" not in card
    assert repository(hub).tags == {"v1": first.commit, "v2": second.commit}
    assert repository(hub).at("main").parent == edited.oid
    same = sent()
    assert not same.changed and (same.commit, same.tag) == (second.commit, "v2")
    assert set(repository(hub).tags) == {"v1", "v2"}
    named = sent(tag="paper")  # another name for the same state
    assert named.tag == "paper" and repository(hub).tags["paper"] == second.commit


def test_a_tag_that_is_taken_is_told_before(
    hub: HubServer, token: str, sent: Callable[..., Publication], run: Path, model: UNet
) -> None:
    sent(tag="v7")
    head = repository(hub).at("main").oid
    train_on(run, model)
    told = refusal(sent, tag="v7")
    assert f"The tag v7 of {NET} is there already, at the commit {head[:8]}" in told
    assert "leave it out for v8. Nothing was published." in told
    assert repository(hub).at("main").oid == head


def test_a_private_one_stays_private(
    hub: HubServer, token: str, sent: Callable[..., Publication]
) -> None:
    sent(private=True)
    assert repository(hub).private
    sent()
    assert repository(hub).private
    repository(hub).private = False
    assert "everybody may read it" in refusal(sent, private=True)


def test_a_pull_request_changes_nothing_by_itself(
    hub: HubServer,
    token: str,
    sent: Callable[..., Publication],
    run: Path,
    model: UNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "to which to propose a change" in refusal(sent, create_pr=True)
    assert not hub.repositories
    sent()
    before = repository(hub).files()
    train_on(run, model)
    monkeypatch.setenv("HF_TOKEN", hub.token("visitor"))
    done = sent(create_pr=True)
    assert done.pull_request == f"{hub.endpoint}/{NET}/discussions/1" and done.tag is None
    assert repository(hub).files() == before and set(repository(hub).tags) == {"v1"}
    proposed = repository(hub).files("refs/pr/1")
    assert proposed["model.safetensors"] == (run / "best" / "model.safetensors").read_bytes()


# --- refusals ------------------------------------------------------------------------------------


def test_each_refusal_has_its_sentence_and_leaves_nothing(
    hub: HubServer, sent: Callable[..., Publication], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "You are not logged in to the Hub. Run `hf auth login`" in refusal(sent)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    assert "The Hub does not accept your token." in refusal(sent)
    monkeypatch.setenv("HF_TOKEN", hub.token(role="read"))
    assert "Your token may only read." in refusal(sent)
    monkeypatch.setenv("HF_TOKEN", hub.token(orgs=("lab",)))
    told = refusal(sent, name="other/cells")
    assert "The name other is not yours on the Hub: you may publish under tester, lab." in told
    assert "'a b/c' is no name for a repository" in refusal(sent, name="a b/c")
    assert "'a tag' is no name for a tag." in refusal(sent, tag="a tag")
    assert "'cells' does not say whose it is" in refusal(sent, name="cells")
    for status, sentence in [
        (429, "The Hub has had too many requests"),
        (500, "The Hub has trouble: it answered 500."),
        (503, "The Hub has trouble: it answered 503."),
        (418, "The Hub refused tester/cells: it answered 418."),
    ]:
        hub.answer_next(status, asks("GET", "/api/whoami-v2"))
        assert sentence in refusal(sent)
    assert not hub.repositories
    assert sent(name="lab/cells").repository == "lab/cells"
    hub.remove("lab/cells")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refusal(sent)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.stop()
    assert "The Hub cannot be reached." in refusal(sent)
    assert not hub.repositories


@pytest.mark.parametrize(
    ("status", "method", "path", "sentence"),
    [
        (500, "POST", "/commit/", "The Hub has trouble: it answered 500."),
        (429, "POST", "/commit/", "too many requests"),
        (403, "POST", "/commit/", f"Your token may not write {NET}."),
        (403, "POST", "/api/repos/create", f"Your token may not write {NET}."),
        (400, "PUT", "/lfs/", f"The Hub refused {NET}: it answered 400."),
        (410, "POST", "/preupload/", f"The Hub refused {NET}: it answered 410."),
        (400, "POST", "/api/validate-yaml", "Invalid metadata in README.md"),
    ],
)
def test_what_fails_on_the_way_leaves_nothing_behind(
    hub: HubServer,
    token: str,
    sent: Callable[..., Publication],
    run: Path,
    model: UNet,
    status: int,
    method: str,
    path: str,
    sentence: str,
) -> None:
    hub.answer_next(status, asks(method, path))
    told = refusal(sent)
    assert sentence in told and told.endswith("Nothing was published.")
    assert not hub.repositories  # not even an empty one
    sent()
    before = repository(hub).files()
    if path == "/api/repos/create":
        return  # it is there now
    train_on(run, model)
    hub.answer_next(status, asks(method, path))
    assert refusal(sent).endswith("Nothing was published.")
    assert repository(hub).files() == before and set(repository(hub).tags) == {"v1"}


@pytest.mark.parametrize("lost", ["question", "answer"])
def test_a_connection_that_breaks_is_tried_again(
    hub: HubServer, token: str, sent: Callable[..., Publication], lost: str
) -> None:
    (hub.drop_next if lost == "question" else hub.cut_next)(asks("POST", "/commit/"))
    done = sent()
    assert set(repository(hub).files()) == FILES
    assert len(list(repository(hub).history())) == 2
    assert repository(hub).tags == {"v1": done.commit}


def test_what_has_arrived_nevertheless_is_told(
    hub: HubServer, token: str, sent: Callable[..., Publication]
) -> None:
    def fail() -> None:
        hub.answer_next(500, asks("GET", f"{NET}$"))

    commit = Fault(asks("POST", "/commit/"), before=fail, kept=0.5)  # done, but nobody hears of it
    hub.faults.waiting.append(commit)
    told = refusal(sent)
    assert told.startswith("The Hub has trouble: it answered 500.")
    assert f"Yet something has arrived at {hub.endpoint}/{NET}. Run the same command" in told
    assert sent().tag == "v1" and len(list(repository(hub).history())) == 2


def test_an_empty_repository_that_stays_is_told(
    hub: HubServer, token: str, sent: Callable[..., Publication]
) -> None:
    hub.answer_next(500, asks("POST", "/commit/"))
    hub.answer_next(403, asks("DELETE", "/api/repos/delete"))
    told = refusal(sent)
    assert told.endswith(f"An empty repository {NET} may have been left on the Hub.")
    assert sent().tag == "v1"


def test_a_tag_that_fails_says_what_is_there_and_how_to_go_on(
    hub: HubServer, token: str, sent: Callable[..., Publication]
) -> None:
    hub.answer_next(500, asks("POST", "/tag/"))
    told = refusal(sent)
    head = repository(hub).at("main").oid
    assert f"The model is at {hub.endpoint}/{NET}, whole, as the commit {head}" in told
    assert f"`hf repos tag create {NET} v1 --revision {head}`." in told
    assert set(repository(hub).files()) == FILES and not repository(hub).tags
    again = sent()  # as it says
    assert not again.changed and repository(hub).tags == {"v1": head}


def test_a_card_that_cannot_be_merged_stops_all(
    hub: HubServer, token: str, sent: Callable[..., Publication]
) -> None:
    damaged = {"README.md": b"<!-- hf-unet:limits -->\nmine"}
    hub.add(NET).put(damaged)
    assert "lacks its partner" in refusal(sent)
    assert repository(hub).files() == damaged


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module: it is run by its path, and is in no package."""
    found = importlib.util.spec_from_file_location("publish_script", SCRIPT)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_a_dry_run_lists_every_file_and_asks_nothing(
    hub: HubServer, script: ModuleType, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(run), "--repo", NET, "--space", "tester/demo", "--dry-run"]) == 0
    told = capsys.readouterr().out
    listed = told.partition("The Space")[0]
    for name in FILES:
        assert f"kB  {name}\n" in listed
    size = (run / "best" / "model.safetensors").stat().st_size
    assert f"{size / 1000:,.1f} kB  model.safetensors\n" in listed
    assert "kB  in 6 files\n" in listed and "  models/cells/model.safetensors\n" in told
    assert told.endswith("Nothing was published: this is what would be.\n")
    assert not hub.requests


def test_the_command_runs_as_a_process(
    hub: HubServer, run: Path, image: SampleImage, token: str, tmp_path: Path
) -> None:
    command = [sys.executable, str(SCRIPT), str(run), "--repo", NET, "--private"]
    command += ["--sample", str(image.path), "--source", image.source]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    head = repository(hub).at("main").oid
    assert done.stdout.endswith(
        f"Published: {hub.endpoint}/{NET}\n"
        f"This version: {hub.endpoint}/{NET}/tree/v1 (commit {head[:8]})\n"
    )
    assert repository(hub).private and set(repository(hub).files()) == FILES | {"picture.png"}


def test_the_command_says_what_is_wrong(
    hub: HubServer, script: ModuleType, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([str(run), "--repo", NET]) == 1
    assert capsys.readouterr().err.startswith("publish: You are not logged in to the Hub.")
    for wrong, sentence in [
        (["--sample", "a.png"], "an image is published with its source"),
        (["--create-pr", "--tag", "v1"], "a pull request is only a proposal"),
        (["--create-pr", "--space", "a/b"], "a pull request is only a proposal"),
    ]:
        with pytest.raises(SystemExit):
            script.main([str(run), "--repo", NET, *wrong])
        assert sentence in capsys.readouterr().err
    assert not hub.requests


def test_the_command_says_which_parts_have_no_place(
    hub: HubServer,
    script: ModuleType,
    run: Path,
    token: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.add(NET).put({"README.md": b"<!-- hf-unet:limits -->\n<!-- /hf-unet:limits -->\n"})
    assert script.main([str(run), "--repo", NET]) == 0
    told = capsys.readouterr().out
    assert "has no place for: title, summary, use, data, figures," in told
    assert "<!-- hf-unet:figures -->\n\n<!-- /hf-unet:figures -->" in told
    assert script.main([str(run), "--repo", NET]) == 0
    assert f"Nothing is new at: {hub.endpoint}/{NET}\n" in capsys.readouterr().out


def test_a_pull_request_is_proposed_by_the_command(
    hub: HubServer,
    script: ModuleType,
    run: Path,
    token: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.add(NET)
    assert script.main([str(run), "--repo", NET, "--create-pr"]) == 0
    assert f"Proposed: {hub.endpoint}/{NET}/discussions/1\n" in capsys.readouterr().out


def test_a_space_shows_the_model(
    hub: HubServer,
    script: ModuleType,
    run: Path,
    token: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert script.main([str(run), "--repo", NET, "--space", "tester/demo", "--private"]) == 0
    assert capsys.readouterr().out.endswith(f"Its demo: {hub.endpoint}/spaces/tester/demo\n")
    space = hub.repository("tester/demo", "space")
    assert space.private
    files = space.files()
    assert {name for name in files if name.startswith("models/")} == {
        f"models/cells/{name}" for name in FILES
    }
    assert f"models:\n- {NET}\n" in files["README.md"].decode()
    for name, content in files.items():
        path = tmp_path / "space" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    opens = (
        "from hf_unet.demo.opening import prepare\n"
        "example, result, _ = prepare()\n"
        "print(example.label, result.image.shape, result.classes)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", opens],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path / "space",
        env=os.environ | {"PYTHONPATH": str(tmp_path / "space")},
    )
    assert shown.stdout == "Sample of cells (1, 128, 120) ('background', 'cell')\n", shown.stderr


def test_a_space_that_fails_says_that_the_model_is_there(
    hub: HubServer,
    script: ModuleType,
    run: Path,
    token: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.add("tester/demo", "space", sdk="docker")
    assert script.main([str(run), "--repo", NET, "--space", "tester/demo"]) == 1
    told = capsys.readouterr()
    assert f"Published: {hub.endpoint}/{NET}\n" in told.out
    assert "The model is published, its demo is not. There is a Space tester/demo" in told.err


def test_a_model_without_terms_gets_no_space(
    hub: HubServer,
    script: ModuleType,
    run: Path,
    token: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = run / "best" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"license": "unknown"}))
    assert script.main([str(run), "--repo", NET, "--space", "tester/demo"]) == 1
    assert "The card of cells names no licence" in capsys.readouterr().err
    assert not hub.repositories
