"""The package with the lowest versions that pyproject.toml names, in an environment of its own.

    make lowest

Torch is the exception: pip's torch brings CUDA with it, so the version of constraints.txt stands
in for it. What is tested is what the versions below reach: arrays, images, files, the network,
the Hub and a training run. Takes two to three minutes, most of it installing.
"""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent

AS_TESTED = ("torch", "hypothesis", "pandas", "pytest", "pytest-timeout")
"""Of the versions in constraints.txt: torch, and what only tests need."""

TESTS = (
    "augmentation",
    "averaging",
    "calibration",
    "coco",
    "display",
    "exports",
    "images",
    "instances",
    "labels",
    "loading_from_hub",
    "metrics_matching",
    "metrics_membranes",
    "loading_precision",
    "model",
    "pretrained",
    "segmentation",
    "training_settings",
    "weight_map",
)

REQUIREMENT = re.compile(
    r"(?P<name>[\w-]+)(?:>=|==)(?P<version>[\d.]+)(?:,<[\d.]+)?(?P<marker>;.*)?"
)


def lowest(requirements: list[str]) -> list[str]:
    """Each requirement pinned to the lowest version that it allows.

    Torch and what only tests need are left out.
    """
    pins = []
    for requirement in requirements:
        found = REQUIREMENT.fullmatch(requirement)
        assert found is not None, f"{requirement} names no lowest version"
        if found["name"] not in AS_TESTED:
            pins.append(f"{found['name']}=={found['version']}{found['marker'] or ''}")
    return pins


def as_tested(names: tuple[str, ...]) -> list[str]:
    """The pins of constraints.txt for these packages."""
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    found = [pin for pin in pins if re.split("[=;]", pin)[0] in names]
    assert len(found) == len(names)
    return found


def test_requirements_are_pinned_to_what_they_allow_at_least() -> None:
    assert lowest(["a>=2.0,<3", "b-c==1.2.3", "torch>=2.8", "d>=1; python_version < '3.11'"]) == [
        "a==2.0",
        "b-c==1.2.3",
        "d==1; python_version < '3.11'",
    ]
    with pytest.raises(AssertionError, match="anything names no lowest version"):
        lowest(["anything"])


@pytest.mark.slow
@pytest.mark.install
@pytest.mark.timeout(1200)
def test_the_lowest_versions_do(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = lowest(project["dependencies"] + project["optional-dependencies"]["train"])
    constraints = tmp_path / "lowest.txt"
    constraints.write_text("\n".join([*pins, *as_tested(AS_TESTED)]))
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-compile", "-r", constraints],
        check=True,
        env=clean,
    )
    # Old versions warn of newer ones among their own needs, which is not ours to mend.
    options = ["-q", "-p", "no:cacheprovider", "-o", "filterwarnings=default"]
    tests = [f"tests/test_{name}.py" for name in TESTS]
    tests.append("tests/test_training_loop.py::test_a_run_folder_holds_all_of_it")
    run = subprocess.run(
        [python, "-m", "pytest", *options, "-m", "not slow and not data", *tests],
        cwd=ROOT,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
