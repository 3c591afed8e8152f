"""Runs as processes of their own: killed, out of room, and several that share one run."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from discs import make_data
from safetensors.torch import load_file
from test_training_loop import log_of, same_weights

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "train" / "train.py"

RECIPE = """
[network]
classes = ["background", "disc"]
base_channels = 4
depth = 1
dropout = {dropout}
norm = {norm}
[data]
kind = "instances"
holdout_every = 3
[augmentation]
elastic_sigma = 1.0
[loss]
w0 = 2.0
sigma = 2.0
class_weights = [1, 1]
[optimizer]
name = "adamw"
learning_rate = 0.01
ema = 0.9
[run]
steps = {steps}
batch = 2
output = 32
validate_every = 4
precision = "fp32"
workers = {workers}
tracker = ""
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("processes") / "data", count=7)


def write_recipe(folder: Path, **changes: object) -> Path:
    values = {"dropout": 0.5, "norm": '"batch"', "steps": 16, "workers": 0} | changes
    text = RECIPE.format(**values)
    text = text.replace("norm = None\n", "")
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(recipe: Path, data: Path, run: Path, *more: str) -> list[str]:
    arguments = ("--recipe", str(recipe), "--data", str(data), "--output", str(run))
    return [sys.executable, str(TRAIN), *arguments, *more]


def finish(line: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line, env=environment(), capture_output=True, text=True, timeout=250, **options
    )


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(2500):
        if path.exists():
            return
        assert process.poll() is None, "the run ended before it was to be stopped"
        time.sleep(0.1)
    raise AssertionError(f"no {path.name} after 250 s")


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "Ctrl-C"])
def test_a_killed_run_resumes_to_the_same_weights(
    data: Path, tmp_path: Path, signal_number: int
) -> None:
    recipe = write_recipe(tmp_path, steps=16, workers=1)
    whole = finish(command(recipe, data, tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr
    run = tmp_path / "cut"
    process = subprocess.Popen(
        command(recipe, data, run),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(run / "checkpoint", process)
    process.send_signal(signal_number)
    assert process.wait(60) != 0 or log_of(run)[-1]["step"] == 16  # unless it was faster
    resumed = finish(command(recipe, data, run, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    assert [line["step"] for line in log_of(run)] == [4, 8, 12, 16]
    assert same_weights(tmp_path / "whole" / "last", run / "last")
    assert same_weights(tmp_path / "whole" / "best", run / "best")


def test_a_full_disk_leaves_the_last_checkpoint_whole(data: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, steps=8)
    run = tmp_path / "run"
    assert finish(command(recipe, data, run)).returncode == 0
    before = {
        path.relative_to(run): path.read_bytes()
        for path in (run / "checkpoint").rglob("*")
        if path.is_file()
    }

    def little_room() -> None:
        """Let no file grow beyond 4 kB: writing fails as on a full disk."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    longer = write_recipe(tmp_path, steps=16)
    stopped = finish(command(longer, data, run, "--resume"), preexec_fn=little_room)
    assert stopped.returncode == 1
    assert "cannot be written: File too large" in stopped.stderr and "--resume" in stopped.stderr
    assert str(tmp_path) not in stopped.stderr.splitlines()[-1]
    after = {
        path.relative_to(run): path.read_bytes()
        for path in (run / "checkpoint").rglob("*")
        if path.is_file()
    }
    assert after == before
    resumed = finish(command(longer, data, run, "--resume"))
    assert resumed.returncode == 0, resumed.stderr
    whole = tmp_path / "whole"
    assert finish(command(longer, data, whole)).returncode == 0
    assert same_weights(whole / "last", run / "last")


def test_two_processes_learn_and_score_as_one(data: Path, tmp_path: Path) -> None:
    """Each takes half of a batch and half of the images kept out, and no image counts twice."""
    recipe = write_recipe(tmp_path, steps=8, dropout=0.0, norm=None)
    one = finish(command(recipe, data, tmp_path / "one"))
    assert one.returncode == 0, one.stderr
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu"]
    launch += ["--main_process_port", "0"]
    two = finish([*launch, *command(recipe, data, tmp_path / "two")[1:]])
    assert two.returncode == 0, two.stderr
    first, second = (log_of(tmp_path / name) for name in ("one", "two"))
    assert [line["images"] for line in second] == [3, 3]  # of seven every third
    for mine, other in zip(first, second, strict=True):
        assert mine["pixel_error"] == pytest.approx(other["pixel_error"], abs=2e-3)
        assert mine["per_image"]["dice"]["disc"] == pytest.approx(
            other["per_image"]["dice"]["disc"], abs=5e-3
        )
    weights = [load_file(tmp_path / name / "last" / "model.safetensors") for name in ("one", "two")]
    for name, value in weights[0].items():
        assert float((value - weights[1][name]).abs().max()) < 1e-3, name
    metrics = json.loads((tmp_path / "two" / "metrics.json").read_text())
    assert metrics["validation"]["images"] == 3 and metrics["training"]["batch"] == 2


def test_a_batch_that_cannot_be_shared_is_refused(data: Path, tmp_path: Path) -> None:
    from hf_unet.training.loop import _share
    from hf_unet.training.settings import SettingsError

    assert _share(6, 3) == 2
    with pytest.raises(SettingsError, match="3 tiles cannot be shared evenly among 2 processes"):
        _share(3, 2)
