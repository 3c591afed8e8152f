"""hf-unet verify and train/sample.py: what they print, and their exit status."""

import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest
from hub_server import HubServer
from PIL import Image
from small_networks import picture
from whole_repositories import change_weight, edit_card, edit_json, stored

from hf_unet.cli import main
from hf_unet.verification import verify_repository

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_the_command_says_what_holds(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", copied, "--device", "cpu") == 0
    assert capsys.readouterr().out.splitlines() == [
        "The sample is reproduced on cpu: probabilities differ by at most 0, and no pixel changes "
        "its class.",
        "The figures of metrics.json are of these weights.",
        "The card shows the figures of metrics.json.",
        "net holds what it says.",
    ]


def test_the_command_fails_where_something_differs_or_is_missing(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_card(copied, "Finds discs.", "Finds cells.")
    (copied / "sample.safetensors").unlink()
    assert run("verify", copied, "--device", "cpu") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "The figures of metrics.json are of these weights."
    assert lines[-1] == "2 things to look at."
    (copied / "config.json").unlink()
    assert run("verify", copied) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "holds no config.json" in captured.err


def test_the_command_measures_again(
    copied: Path, whole: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = whole[1]
    assert run("verify", copied, "--data", data, "--device", "cpu") == 0
    assert f"The figures are those that {data} gives." in capsys.readouterr().out
    edit_json(copied / "metrics.json", lambda metrics: metrics["validation"].update(images=7))
    recipe = whole[0] / "settings.json"
    assert run("verify", copied, "--data", data, "--recipe", recipe, "--device", "cpu") == 1
    out = capsys.readouterr().out
    assert "validation.images is 7 in metrics.json, and 2 on this data.\n1 thing to look" in out
    assert run("verify", copied, "--data", copied, "--device", "cpu") == 1  # no images there
    assert capsys.readouterr().err.count("\n") == 1


def test_a_revision_and_a_recipe_without_data(
    hub: HubServer, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = hub.add("org/net")
    repository.put(stored(copied))
    repository.name_tag("v1", "main")
    repository.put({"README.md": b"Just words."})
    assert run("verify", "org/net", "--revision", "v1", "--device", "cpu") == 0
    assert run("verify", "org/net", "--device", "cpu") == 1
    assert capsys.readouterr().out.endswith("1 thing to look at.\n")
    with pytest.raises(SystemExit) as caught:
        run("verify", "org/net", "--recipe", "a.toml")
    assert caught.value.code == 2


def test_without_the_packages_of_training_only_figures_are_out_of_reach(copied: Path) -> None:
    program = (
        "import sys; sys.modules['accelerate'] = None; from hf_unet.cli import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "verify", str(copied), "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    command += ["--data", str(copied)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "To compute figures on data, the packages of training are needed, and accelerate is not "
        'installed: pip install "hf-unet[train]".\n'
    )


@pytest.mark.data
@pytest.mark.bundled
def test_a_bundled_models_figures_are_computed_on_the_data(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shared_data / "ctc" / "PhC-C2DH-U373"
    assert run("verify", ROOT / "models" / "phc-u373", "--data", data, "--device", "cpu") == 0
    assert f"The figures are those that {data} gives." in capsys.readouterr().out


# --- a sample by command -------------------------------------------------------------------------


def sample_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    script = run_path(str(ROOT / "train" / "sample.py"))["main"]
    monkeypatch.setattr(sys, "argv", ["sample.py", *map(str, arguments)])
    status: int = script()
    return status


def test_a_model_gets_another_sample_and_an_old_one_its_digest(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = copied.parent / "cells.png"
    Image.fromarray(picture(60, 50)).save(image)
    (copied / "sample.safetensors").unlink()
    edit_json(copied / "metrics.json", lambda metrics: metrics.pop("weights_sha256"))
    assert sample_command(monkeypatch, copied, "--image", image) == 1
    assert "say where the image comes from" in capsys.readouterr().err
    assert sample_command(monkeypatch, copied, "--image", image, "--source", "CC0") == 0
    assert "kB in sample.safetensors of net" in capsys.readouterr().out
    assert len(verify_repository(copied).faults) == 1  # the digest
    assert sample_command(monkeypatch, copied, "--trust-figures") == 0
    assert verify_repository(copied).holds
    change_weight(copied, 0.5)
    assert sample_command(monkeypatch, copied, "--trust-figures") == 1
    assert "names other weights than these" in capsys.readouterr().err
