"""The versions that CI tests, looked up among the vulnerabilities that PyPI knows of.

Skipped where the network does not lead there.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pip_audit", reason="pip-audit, which looks up vulnerabilities, is absent")

ROOT = Path(__file__).resolve().parent.parent

ACCEPTED: dict[str, str] = {}
"""Advisories that do not concern this package, each with the reason why."""


def audit(requirements: Path) -> list[dict[str, Any]]:
    """What pip-audit found of each pinned requirement; nothing is installed or resolved."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--format", "json"]
    quiet = ["--progress-spinner", "off", "--timeout", "5"]
    try:
        run = subprocess.run(
            [*command, *quiet, "--requirement", requirements],
            capture_output=True,
            text=True,
            timeout=240,
        )
        found: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        pytest.skip("pip-audit does not reach PyPI's list of vulnerabilities from here")
    return found


@pytest.mark.slow
def test_no_version_that_was_tested_has_a_known_vulnerability(tmp_path: Path) -> None:
    # One first: behind a mirror without advisories, pip-audit is told that nothing is known.
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    one = tmp_path / "one.txt"
    one.write_text(next(pin for pin in pins if pin.startswith("pillow==")))
    if "vulns" not in audit(one)[0]:
        pytest.skip("the package index that is reached from here has no list of vulnerabilities")
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {flaw['fix_versions']}"
        for package in audit(ROOT / "constraints.txt")
        for flaw in package.get("vulns", ())
        if flaw["id"] not in ACCEPTED
    ]
    assert found == []
