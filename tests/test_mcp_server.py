"""MCP is asked for by a variable, and its absence has a sentence."""

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from hf_unet.demo.programs import mcp_server
from hf_unet.demo.programs.mcp_server import VARIABLE, MissingExtraError, wants_mcp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("value", [None, "", "0"])
def test_nobody_gets_it_who_did_not_ask(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    monkeypatch.setattr(mcp_server, "find_spec", lambda name: None)
    assert wants_mcp() is False


def test_who_asks_gets_it_or_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    monkeypatch.setattr(mcp_server, "find_spec", lambda name: ModuleSpec(name, None))
    assert wants_mcp() is True
    monkeypatch.setattr(mcp_server, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "hf-unet\[mcp\]"'):
        wants_mcp()


def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "yes")
    with pytest.raises(ValueError, match="HF_UNET_MCP is 1 or 0, not 'yes'"):
        wants_mcp()


def test_the_demo_stops_with_the_sentence_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "perhaps")
    told = subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert told.stderr == "app.py: HF_UNET_MCP is 1 or 0, not 'perhaps'.\n"


def test_the_extra_is_the_demo_and_what_the_tests_call_it_with() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    needs = {name: set(map(Requirement, extras[name])) for name in ("demo", "mcp", "test")}
    (protocol,) = needs["mcp"] - needs["demo"]
    assert needs["demo"] < needs["mcp"]
    assert protocol.name == "mcp" and protocol in needs["test"]
