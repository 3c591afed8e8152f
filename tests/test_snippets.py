"""The code that a page shows, run as it stands: it makes the same mask to the last pixel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hub_server import HubServer
from PIL import Image
from small_networks import drawn, picture

from hf_unet.cli import main
from hf_unet.model import load_network
from hf_unet.snippets import Snippet

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, whose masks are not of one class, and a stack."""
    drawn().save_pretrained(tmp_path / "my models" / "net")
    pages = np.stack([picture(50, 41, seed=seed) for seed in range(3)])
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_python(code: str) -> None:
    exec(compile(code, "snippet", "exec"), {"__name__": "__main__"})


def run_shell(line: str) -> None:
    """Let bash take the line apart, and give hf-unet what it makes of it."""
    words = bash(line, "import json, sys; print(json.dumps(sys.argv[1:]))")
    assert main(json.loads(words)) == 0


def bash(line: str, command: str) -> str:
    """Run a line in bash, in which ``hf-unet`` is a command in Python; returns what it prints."""
    folder = Path("commands")
    folder.mkdir(exist_ok=True)
    program = folder / "hf-unet"
    program.write_text(f"#!{sys.executable} -Werror\n{command}\n")
    program.chmod(0o755)
    path = f"{folder.resolve()}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    run = subprocess.run(
        ["bash", "-c", line], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return run.stdout


def assert_same(snippet: Snippet, expected: np.ndarray) -> None:
    folder = Path(snippet.output) / Path(snippet.image).stem
    for run, code in ((run_python, snippet.python), (run_shell, snippet.shell)):
        run(code)
        mask = np.array(Image.open(folder / "mask.png"))
        assert 0 < mask.mean() < 1 and np.array_equal(mask, expected)
        shutil.rmtree(folder)


def test_they_run_in_processes_of_their_own(place: Path) -> None:
    snippet = Snippet("my models/net", "stack.tif", page=1)
    expected = load_network("my models/net").segment("stack.tif", page=1).mask
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", snippet.python]
    subprocess.run(command, env=environment, check=True)
    assert np.array_equal(np.array(Image.open("results/stack/mask.png")), expected)
    shutil.rmtree("results")
    printed = bash(snippet.shell, "import sys, hf_unet.cli; sys.exit(hf_unet.cli.main())")
    assert printed.startswith("stack.tif  41 x 50 pixels")
    assert np.array_equal(np.array(Image.open("results/stack/mask.png")), expected)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {}),
        ({"thresholds": (np.float64(0.45),), "min_area": 2}, {"page": 2, "tile": (28, 36)}),
        ({"seed_threshold": None}, {"tile": 40, "test_time_averaging": True}),
    ],
    ids=["plain", "changed", "averaged"],
)
def test_both_codes_make_the_same_mask(
    place: Path, changes: dict[str, Any], options: dict[str, Any]
) -> None:
    model = load_network("my models/net", **changes)
    expected = model.segment("stack.tif", **options).mask
    assert_same(Snippet("my models/net", "stack.tif", changes=changes, **options), expected)


def test_a_model_of_the_hub_by_its_revision(hub: HubServer, place: Path) -> None:
    folder = place / "my models" / "net"
    repository = hub.add("lab/cells")
    commit = repository.put({path.name: path.read_bytes() for path in folder.iterdir()}).oid
    repository.put({"config.json": b"{}"})  # the newest cannot be loaded
    expected = load_network(folder).segment("stack.tif").mask
    assert_same(Snippet("lab/cells", "stack.tif", revision=commit), expected)


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted" & $HOME `date`.png',
        "-dash --output=x.png",
        "line\nbreak\\t.png",
        "ümläut 細胞 \u202e.png",
        "'''triple'''#;.png",
        "{brace} %s.png",
    ],
)
def test_odd_names_are_names(place: Path, name: str) -> None:
    pixels = tifffile.imread(place / "stack.tif")[0]
    Image.fromarray(pixels).save(place / name)
    os.rename(place / "my models", place / "$(touch gone) 'x'")
    model = "$(touch gone) 'x'/net"
    expected = load_network(model).segment(pixels).mask
    assert_same(Snippet(model, name, output="-out put's"), expected)
    assert not (place / "gone").exists()


def test_a_no_to_averaging_is_said_too() -> None:
    snippet = Snippet("m", "a.png", test_time_averaging=False)
    assert "test_time_averaging=False" in snippet.python
    assert "--no-average" in snippet.shell
    plain = Snippet("m", "a.png")
    assert "average" not in plain.python + plain.shell
