"""Programs take large tensors in huge pages: far fewer pages are touched for the first time."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from hf_unet.cli import main
from hf_unet.huge_pages import VARIABLE, use_huge_pages

ROOT = Path(__file__).resolve().parent.parent
MODES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

TOUCH = """
import resource
import hf_unet  # imports torch
from hf_unet.huge_pages import use_huge_pages
{call}
import torch
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
kept = [torch.ones(2**24) for _ in range(4)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_touched(call: str) -> int:
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", TOUCH.format(call=call)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not MODES.is_file() or "[madvise]" not in MODES.read_text("utf-8"),
    reason="this system gives no huge pages, or gives them unasked",
)
def test_large_tensors_lie_in_huge_pages() -> None:
    assert pages_touched("use_huge_pages()") < pages_touched("") / 4


def test_a_choice_that_was_made_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    use_huge_pages()
    assert os.environ[VARIABLE] == "0"


@pytest.mark.parametrize("program", ["hf-unet", "train/train.py", "train/evaluate.py"])
def test_programs_ask_for_them(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit):
        main(["--help"]) if program == "hf-unet" else runpy.run_path(
            str(ROOT / program), run_name="__main__"
        )
    assert os.environ.pop(VARIABLE) == "1"
