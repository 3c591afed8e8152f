"""Programs take large tensors in huge pages, and one pass has the memory of the one before."""

import os
import platform
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from hf_unet import memory
from hf_unet.cli import main
from hf_unet.memory import HUGE_PAGES, reuse_memory

ROOT = Path(__file__).resolve().parent.parent
MODES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="this system's memory is not managed by glibc"
)

START = """
import resource
from threading import Thread
import hf_unet  # imports torch
from hf_unet.memory import give_back_memory, reuse_memory
{call}
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
"""

TOUCH = """
before = faults()
kept = [torch.ones(2**24) for _ in range(4)]
print(faults() - before)
"""

PASSES = """
def one_pass():  # of 192 MB
    layers = [torch.ones(2**24) for _ in range(3)]

def visit():
    thread = Thread(target=one_pass)
    thread.start()
    thread.join()

for _ in range(8):  # until what small things lie between has found its place
    visit()
before = faults()
for _ in range(8):
    visit()
print(faults() - before)
"""

GIVEN_BACK = """
layers = [torch.ones(2**24) for _ in range(3)]
above = torch.ones(2**20)  # so that they do not lie at the heap's end
del layers
before = resident()
give_back_memory()
print(before - resident())
"""


def printed(code: str, call: str, **settings: str) -> int:
    """What a program of its own prints; `call` is how it starts."""
    ours = (HUGE_PAGES, "MALLOC_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-c", START.format(call=call) + code],
        cwd=ROOT,
        env=environment | settings,
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
    assert printed(TOUCH, "reuse_memory()") < printed(TOUCH, "") / 4


@on_glibc
def test_passes_of_different_threads_use_the_same_memory() -> None:
    small_pages = {HUGE_PAGES: "0"}  # so that what is mapped anew is counted
    assert printed(PASSES, "reuse_memory()", **small_pages) < printed(PASSES, "", **small_pages) / 4


@on_glibc
def test_memory_can_be_given_back() -> None:
    assert printed(GIVEN_BACK, "reuse_memory()") > 0.9 * 3 * 2**26


def test_choices_that_were_made_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HUGE_PAGES, "0")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "100000")
    monkeypatch.setattr(memory, "_of_glibc", lambda name: pytest.fail(f"{name} was called"))
    reuse_memory()
    assert os.environ[HUGE_PAGES] == "0"


def test_systems_without_glibc_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HUGE_PAGES, "1")
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("a library was sought"))
    reuse_memory()
    memory.give_back_memory()


@pytest.mark.parametrize("program", ["hf-unet", "train/train.py", "train/evaluate.py"])
def test_programs_ask_for_it(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HUGE_PAGES, raising=False)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")  # the tests' own memory stays as it is
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit):
        main(["--help"]) if program == "hf-unet" else runpy.run_path(
            str(ROOT / program), run_name="__main__"
        )
    assert os.environ.pop(HUGE_PAGES) == "1"
