"""What travels in the source distribution: the code, its tests and what they need; no weights."""

import re
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="hatchling, which builds distributions, is not installed")

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def source() -> dict[str, Path]:
    """Each file of the source distribution and where it lies; nothing is built."""
    builder = SdistBuilder(str(ROOT))
    return {
        Path(file.distribution_path).as_posix(): Path(file.path)
        for file in builder.recurse_included_files()
    }


def test_the_source_holds_what_a_packager_looks_for(source: dict[str, Path]) -> None:
    # Beside these, hatchling always adds pyproject.toml and .gitignore.
    tops = {path.partition("/")[0] for path in source}
    assert tops == {
        ".pre-commit-config.yaml",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "app.py",
        "benchmarks",
        "constraints.txt",
        "docs",
        "hf_unet",
        "model_card.md",
        "requirements.txt",
        "spaces",
        "tests",
        "train",
    }
    for path in ("spaces/deploy.py", "spaces/examples/nuclei.tif", "tests/hub_server/hub.py"):
        assert path in source
    assert "hf_unet/demo/assets/viewer.js" in source and "hf_unet/py.typed" in source


def test_every_page_and_picture_that_the_readme_leads_to_is_there(source: dict[str, Path]) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    links = set(re.findall(r"\]\((?!https?:|#)([^)#]+)", readme))
    assert links and {link for link in links if not link.startswith("models/")} <= set(source)


def test_no_weights_runs_or_caches_travel(source: dict[str, Path]) -> None:
    assert not [path for path in source if path.endswith((".safetensors", ".pyc"))]
    assert not [path for path in source if re.match(r"(models|runs|data|\.venv|\.ci)/", path)]
    assert sum(path.stat().st_size for path in source.values()) < 10_000_000


def test_the_wheel_holds_the_package_alone() -> None:
    files = {
        Path(file.distribution_path).as_posix()
        for file in WheelBuilder(str(ROOT)).recurse_included_files()
    }
    assert {"hf_unet/cli.py", "hf_unet/py.typed", "hf_unet/demo/assets/viewer.js"} <= files
    assert {path.partition("/")[0] for path in files} == {"hf_unet"}
