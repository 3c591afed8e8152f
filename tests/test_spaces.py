"""The Space: its header, what it installs, its folder, and the way up to the Hub."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from hub_server import HubServer, asks
from huggingface_hub import SpaceHardware
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from hf_unet import UNet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.bundled

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "spaces" / "deploy.py"
NAME = "tester/u-net"


@pytest.fixture(scope="module")
def deploy() -> ModuleType:
    """The script as a module: it is run by its path, and is in no package."""
    found = importlib.util.spec_from_file_location("deploy_script", SCRIPT)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["deploy_script"] = module
    found.loader.exec_module(module)
    return module


def header_of(readme: str) -> dict[str, Any]:
    header: dict[str, Any] = yaml.safe_load(readme.split("---\n")[1])
    return header


# --- the header ---------------------------------------------------------------------------------

COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
REPOSITORY = r"[\w.-]+/[\w.-]+"


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_list_of(pattern: str, value: Any) -> bool:
    return isinstance(value, list) and all(re.fullmatch(pattern, entry) for entry in value)


# Every key that Spaces know and we use, and what it may hold.
KEYS = {
    "title": is_text,
    "emoji": lambda value: is_text(value) and len(value) <= 2 and not value.isascii(),
    "colorFrom": COLORS.__contains__,
    "colorTo": COLORS.__contains__,
    "sdk": {"gradio"}.__contains__,
    "sdk_version": lambda value: bool(re.fullmatch(r"\d+\.\d+\.\d+", value)),
    "python_version": {"3.10", "3.10.13", "3.12", "3.12.12"}.__contains__,  # those of ZeroGPU
    "app_file": lambda value: (ROOT / value).is_file(),
    "fullWidth": lambda value: isinstance(value, bool),
    "pinned": lambda value: isinstance(value, bool),
    "short_description": lambda value: is_text(value) and len(value) <= 60,
    "license": {"apache-2.0"}.__contains__,
    "tags": lambda value: is_list_of(r"[a-z0-9-]+", value),
    "suggested_hardware": {hardware.value for hardware in SpaceHardware}.__contains__,
    "startup_duration_timeout": lambda value: bool(re.fullmatch(r"[1-9]\d*[mh]", value)),
    "models": lambda value: is_list_of(REPOSITORY, value),
    "preload_from_hub": lambda value: is_list_of(
        REPOSITORY + r"( [\w./*,-]+( [0-9a-f]{40})?)?", value
    ),
}


def faults(header: dict[str, Any]) -> list[str]:
    """Keys that Spaces do not know, and such as hold what they may not."""
    return [name for name, value in header.items() if name not in KEYS or not KEYS[name](value)]


def test_the_header_is_one_that_spaces_accept() -> None:
    header = header_of((ROOT / "spaces" / "README.md").read_text("utf-8"))
    assert faults(header) == []
    assert set(KEYS) - set(header) == {"models", "preload_from_hub"}  # what goes along by itself
    pinned = dict(
        line.split(";")[0].strip().split("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    )
    assert header["sdk_version"] == pinned["gradio"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("python_version", 3.1),  # what YAML makes of 3.10 without quotes
        ("python_version", "3.11"),
        ("sdk_version", "6.31"),
        ("emoji", "U"),
        ("colorFrom", "black"),
        ("short_description", "x" * 61),
        ("suggested_hardware", "h100"),
        ("app_file", "demo.py"),
        ("suggested_storage", "small"),
        ("preload_from_hub", ["net"]),
    ],
)
def test_a_wrong_header_is_seen(key: str, value: Any) -> None:
    header = header_of((ROOT / "spaces" / "README.md").read_text("utf-8"))
    assert faults({**header, key: value}) == [key]


# --- what it installs -----------------------------------------------------------------------------


def test_requirements_hold_where_gpus_are_lent() -> None:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    needs = {
        need.name: need
        for need in (Requirement(line) for line in lines if line and not line.startswith("#"))
    }
    assert not any(specifier.operator == "==" for specifier in needs["torch"].specifier)
    for torch in ("2.8.0", "2.9.1", "2.10.0", "2.11.0"):  # what ZeroGPU lists
        assert torch in needs["torch"].specifier
    assert needs["gradio"].specifier.contains("6.31.0")
    assert "spaces" not in needs  # which Spaces bring, and nothing else needs
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for python in ("3.10.13", "3.12.12"):
        assert python in SpecifierSet(project["requires-python"])


# --- the folder -----------------------------------------------------------------------------------


def test_the_folder_holds_what_the_demo_needs_and_nothing_else(
    deploy: ModuleType, tmp_path: Path
) -> None:
    files = {path.as_posix() for path in deploy.assemble(tmp_path / "space")}
    assert files == {
        path.relative_to(tmp_path / "space").as_posix()
        for path in (tmp_path / "space").rglob("*")
        if path.is_file()
    }
    tops = {file.split("/")[0] for file in files}
    assert tops == {
        "LICENSE", "README.md", "app.py", "examples", "hf_unet", "model_card.md", "models",
        "requirements.txt",
    }  # fmt: skip
    assert {"hf_unet/demo/models/loading.py", "hf_unet/py.typed", "examples/examples.toml"} <= files
    assert not [file for file in files if "__pycache__" in file or "/." in file]
    for model in (ROOT / "models").iterdir():
        for path in model.iterdir():
            sent = tmp_path / "space" / "models" / model.name / path.name
            assert sent.read_bytes() == path.read_bytes()
    for name in ("app.py", "requirements.txt"):
        assert (tmp_path / "space" / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_readme_names_models_and_terms(deploy: ModuleType, tmp_path: Path) -> None:
    commit = "0123456789" * 4
    deploy.assemble(tmp_path / "space", ["nuclei"], ["lab/net", f"lab/other@{commit}"])
    readme = (tmp_path / "space" / "README.md").read_text("utf-8")
    header = header_of(readme)
    assert faults(header) == [] and header["python_version"] == "3.12"
    assert header["models"] == ["lab/net", "lab/other"]
    assert header["preload_from_hub"] == [
        "lab/net config.json,model.safetensors",
        f"lab/other config.json,model.safetensors {commit}",
    ]
    assert "| nuclei | cc0-1.0 |" in readme and "dic-hela" not in readme
    assert [path.name for path in (tmp_path / "space" / "models").iterdir()] == ["nuclei"]


def test_each_bundled_model_may_be_passed_on(deploy: ModuleType) -> None:
    terms = {model.name: model.licence for model in deploy.choose_models(None)}
    assert terms == {
        "dic-hela": "research-use-with-acknowledgement",
        "em-membranes": "non-commercial-segmentation-research",
        "nuclei": "cc0-1.0",
        "phc-u373": "research-use-with-acknowledgement",
        "vnc-organelles": "cc-by-nc-sa-3.0",
    }


def test_a_model_without_terms_stays(
    deploy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deploy, "ROOT", tmp_path)
    for name in ("bare", "mute"):
        UNet(base_channels=1, depth=1).save_pretrained(tmp_path / "models" / name)
    (tmp_path / "models" / "bare" / "README.md").unlink()
    (tmp_path / "models" / "mute" / "README.md").write_text("---\ntags: [x]\n---\n# Mute\n")
    with pytest.raises(deploy.DeployError, match="at least one model"):
        deploy.choose_models(None)
    with pytest.raises(deploy.DeployError, match="card of mute names no licence"):
        deploy.choose_models(["mute"])
    with pytest.raises(deploy.DeployError, match=r"no bundled model 'x'\. There are bare, mute"):
        deploy.choose_models(["x"])


def test_what_cannot_be_assembled(
    deploy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("all of it")
    with pytest.raises(deploy.DeployError, match="is there already"):
        deploy.assemble(tmp_path / "full")
    with pytest.raises(deploy.DeployError, match="'net' cannot be preloaded"):
        deploy.assemble(tmp_path / "new", ["nuclei"], ["net"])
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(deploy, "LARGEST_SPACE", 1_000_000)
    with pytest.raises(deploy.DeployError, match=r"would be \d+ MB large.* at most 1 MB"):
        deploy.assemble(tmp_path / "large", ["nuclei"])


# --- the Hub --------------------------------------------------------------------------------------


@pytest.fixture
def folder(deploy: ModuleType, tmp_path: Path) -> Path:
    deploy.assemble(tmp_path / "space", ["phc-u373"])
    return tmp_path / "space"


def held(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_space_is_made_private_and_filled(
    deploy: ModuleType, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token())
    address = deploy.upload(folder, NAME)
    assert address == f"{hub.endpoint}/spaces/{NAME}"
    space = hub.repository(NAME, "space")
    assert (space.sdk, space.private) == ("gradio", True)
    assert space.files() == held(folder)


def test_what_an_earlier_space_held_is_taken_off(
    deploy: ModuleType, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token())
    deploy.upload(folder, "u-net", public=True)  # a name without an owner is one's own
    space = hub.repository(NAME, "space")
    assert not space.private
    space.put({"models/old/config.json": b"{}", "hf_unet/gone.py": b""})
    (folder / "app.py").write_text("# newer")
    deploy.upload(folder, NAME)
    assert space.files() == held(folder)
    assert not space.private
    assert ".gitattributes" in space.at("main").files
    count = len(space.commits)
    deploy.upload(folder, NAME)  # with nothing new there is nothing to commit
    assert len(space.commits) == count


def test_a_space_that_is_something_else_is_not_overwritten(
    deploy: ModuleType, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token())
    hub.add(NAME, "space", sdk="gradio").put({"app.py": b"another demo"})
    with pytest.raises(deploy.DeployError, match="does not hold this demo"):
        deploy.upload(folder, NAME)
    assert hub.repository(NAME, "space").files()["app.py"] == b"another demo"
    hub.add("tester/image", "space", sdk="docker")
    with pytest.raises(deploy.DeployError, match="does not hold this demo"):
        deploy.upload(folder, "tester/image")


def test_hardware_is_asked_for_when_a_space_is_made(
    deploy: ModuleType, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.token())
    deploy.upload(folder, NAME, hardware="zero-a10g")
    (made,) = hub.seen("POST", "/api/repos/create")
    assert made.json()["hardware"] == "zero-a10g" and made.json()["visibility"] == "private"


def refusal(deploy: ModuleType, folder: Path, name: str = NAME) -> str:
    with pytest.raises(deploy.DeployError) as caught:
        deploy.upload(folder, name)
    message = str(caught.value)
    assert message.endswith(".") and str(folder) not in message
    return message


def test_each_refusal_of_the_hub_has_its_sentence(
    deploy: ModuleType, hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "You are not logged in to the Hub" in refusal(deploy, folder)
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    assert "does not accept your token" in refusal(deploy, folder)
    monkeypatch.setenv("HF_TOKEN", hub.token(role="read"))
    assert f"Your token may not write the Space {NAME}" in refusal(deploy, folder)
    monkeypatch.setenv("HF_TOKEN", hub.token())
    assert "may not write the Space other/u-net" in refusal(deploy, folder, "other/u-net")
    assert "is no name for a Space" in refusal(deploy, folder, "a b/c")
    hub.answer_next(402, asks("POST", "/api/repos/create"))
    assert "wants a paid plan" in refusal(deploy, folder)
    hub.answer_next(418, asks("POST", "/api/repos/create"))
    assert "it answered 418. Try again later" in refusal(deploy, folder)
    assert not hub.repositories
    hub.stop()
    assert "The Hub cannot be reached" in refusal(deploy, folder)


# --- the command ----------------------------------------------------------------------------------


def test_a_dry_run_lists_and_uploads_nothing(
    deploy: ModuleType, hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deploy.main(["u-net", "--dry-run", "--models", "nuclei,phc-u373"]) == 0
    listed = capsys.readouterr().out
    size = (ROOT / "models" / "nuclei" / "model.safetensors").stat().st_size
    line = re.escape(f"{size / 1000:,.1f} kB  models/nuclei/model.safetensors")
    assert re.search(f"^ +{line}$", listed, re.MULTILINE)
    assert "models/phc-u373/config.json" in listed and "dic-hela" not in listed
    assert re.search(r"kB  in \d+ files\n$", listed)
    assert not hub.seen()


def test_a_run_uploads_and_says_where(
    deploy: ModuleType,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert deploy.main([NAME, "--models", "phc-u373"]) == 1
    captured = capsys.readouterr()
    assert (
        captured.err.startswith("deploy: You are not logged in") and "Deployed" not in captured.out
    )
    monkeypatch.setenv("HF_TOKEN", hub.token())
    assert deploy.main([NAME, "--models", "phc-u373", "--public"]) == 0
    assert capsys.readouterr().out.endswith(f"Deployed to {hub.endpoint}/spaces/{NAME}\n")
    assert not hub.repository(NAME, "space").private


def test_the_script_runs_by_its_path(tmp_path: Path) -> None:
    output = tmp_path / "space"
    command = [sys.executable, str(SCRIPT)]
    subprocess.run(
        [*command, "--output", str(output), "--models", "phc-u373"], check=True, cwd=tmp_path
    )
    assert (output / "app.py").is_file()
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "name the Space, or say --dry-run" in told.stderr
