"""What travels in the source distribution: the code, its tests and what they need; no weights."""

import ast
import re
import shutil
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

import pytest

pytest.importorskip("hatchling", reason="hatchling, which builds distributions, is not installed")

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from hf_unet import __version__

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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Contents of a built wheel, by name, with strangers lying in the folder it is built from."""
    place = tmp_path_factory.mktemp("wheel")
    copy = place / "checkout"
    shutil.copytree(ROOT / "hf_unet", copy / "hf_unet")
    shutil.copytree(ROOT / "tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "model_card.md", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    for stranger in STRANGERS:
        path = copy / "hf_unet" / stranger
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"not for others")
    (built,) = WheelBuilder(str(copy)).build(directory=str(place), versions=["standard"])
    with ZipFile(built) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


STRANGERS = (
    ".env",
    ".netrc",
    "token",
    "id_rsa.pem",
    "model.safetensors",
    "pytorch_model.bin",
    "demo/assets/visitor.png",
    "training/data.tif",
    "training/.ipynb_checkpoints/notes.ipynb",
)


def test_the_wheel_holds_the_package_and_nothing_else(wheel: dict[str, bytes]) -> None:
    sources = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "hf_unet").rglob("*")
        if path.suffix in (".py", ".css", ".js") or path.name == "py.typed"
    ]
    about = f"hf_unet-{__version__}.dist-info"
    assert sorted(wheel) == sorted(
        [
            *sources,
            "hf_unet/model_card.md",
            f"{about}/METADATA",
            f"{about}/RECORD",
            f"{about}/WHEEL",
            f"{about}/entry_points.txt",
            f"{about}/licenses/LICENSE",
        ]
    )
    assert len(sources) > 100 and "hf_unet/demo/assets/viewer.js" in sources
    assert sum(map(len, wheel.values())) < 2_000_000


# Of this machine: the checkout, who is logged in, the environment. In general: what opens doors.
HERE = {str(ROOT), f"{Path.home()}/", sys.prefix, tempfile.gettempdir()}
PRIVATE = re.compile(
    "|".join(
        [
            *map(re.escape, HERE),
            r"/(?:home|Users)/[a-z]|[A-Z]:\\Users",
            r"hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}",
            r"-----BEGIN [A-Z ]*PRIVATE KEY",
            r"(?i:password|secret|api_key)\s*=\s*[\"'][^\"']",
        ]
    )
)


@pytest.mark.parametrize(
    "text",
    [
        f"path = '{ROOT}/models'",
        "/home/ada/data",
        "token = 'hf_" + "a1" * 17 + "'",
        "-----BEGIN RSA PRIVATE KEY-----",
        "password = 'x'",
    ],
)
def test_what_is_private_is_seen(text: str) -> None:
    assert PRIVATE.search(text)


def test_the_wheel_asks_for_what_the_code_imports(wheel: dict[str, bytes]) -> None:
    metadata = wheel[f"hf_unet-{__version__}.dist-info/METADATA"].decode()
    asked = {
        re.split(r"[<>=!~;\[ ]", line.removeprefix("Requires-Dist: "))[0].lower().replace("_", "-")
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist: ")
    }
    roots = set()
    for name, content in wheel.items():
        if name.endswith(".py"):
            for node in ast.walk(ast.parse(content)):
                if isinstance(node, ast.Import):
                    roots |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    roots.add(node.module.partition(".")[0])
    roots -= {*sys.stdlib_module_names, "hf_unet"}
    roots -= {"anyio", "fastapi", "spaces"}  # what Gradio is made of, and what ZeroGPU brings
    named = {
        "PIL": "pillow",
        "cv2": "opencv-python-headless",
        "google": "onnx",  # whose protobuf it is
        "skimage": "scikit-image",
        "yaml": "pyyaml",
    }
    assert {named.get(root, root).replace("_", "-") for root in roots} <= asked
