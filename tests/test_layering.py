"""Data goes one way through hf_unet, and so do the imports: upwards only, layer by layer."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# From low to high. Modules of one line may use each other as long as no circle arises.
LAYERS = [
    {"errors"},
    {"colors", "file_names", "geometry", "memory", "masks", "snippets"},
    {"arguments"},
    {"images"},
    {"distances", "instance_sets", "instances", "labels", "loss", "metrics", "tiles"},
    {"averaging", "calibration", "weight_map"},
    {"display", "exports", "provenance"},
    {"cards", "segmentation"},
    {"repositories"},
    {"segmenter"},
    {"judgement", "network"},
    {"model", "seams"},
    {"onnx"},
    {"reproduction", "training", "verification"},
    {"commands", "publishing"},
    {"cli"},
    {"demo"},
]
LEVEL = {module: level for level, layer in enumerate(LAYERS) for module in layer}

FOREIGN = {"app", "benchmarks", "gradio", "gradio_client", "spaces", "tests", "train"}
# The demo's parts draw its page; nothing else may ask for a browser.
ALLOWED = {"demo": {"gradio"}}
# What hf_unet/__init__.py may give to its own modules: it stands above them all.
FROM_THE_TOP = {"__version__"}


def imported_names(source: str, package: str) -> Iterator[tuple[str, str]]:
    """Each import of a module's source, wherever it stands, as (module, name or "").

    `package` is the dotted package the source lies in; relative imports are resolved by it.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level]
            start = base if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def read_imports(folder: Path) -> dict[str, set[str]]:
    """For each first-level module of the package in `folder`: what its files import.

    A module of the package is given by its first-level name ("metrics" for
    hf_unet/metrics/overlap.py), the package itself by "hf_unet", anything else by its
    top-level name.
    """
    imports: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).with_suffix("").parts
        if inside == ("__init__",):
            continue
        package = ".".join([folder.name, *inside[:-1]])
        found = imports.setdefault(inside[0], set())
        for module, name in imported_names(path.read_text(encoding="utf-8"), package):
            top, *rest = module.split(".")
            if top != folder.name:
                found.add(top)
            elif rest:
                found.add(f"{top}.{rest[0]}")
            elif name in LEVEL:
                found.add(f"{top}.{name}")
            elif name not in FROM_THE_TOP:
                found.add(top)
    return {
        module: {name for name in names if name != f"{folder.name}.{module}"}
        for module, names in imports.items()
    }


def faults(imports: dict[str, set[str]]) -> list[str]:
    """Every sentence about an import that breaks the order; none is the aim."""
    sentences = []
    inner: dict[str, set[str]] = {}
    for module, names in imports.items():
        inner[module] = {name.partition(".")[2] for name in names if name.startswith("hf_unet.")}
        if module not in LEVEL:
            sentences.append(f"{module} has no place in LAYERS")
            continue
        for name in sorted(inner[module]):
            if LEVEL.get(name, len(LAYERS)) > LEVEL[module]:
                sentences.append(f"{module} imports {name}, which stands above it")
        if "hf_unet" in names:
            sentences.append(f"{module} imports from hf_unet itself, not from the module it needs")
        for name in sorted(names & FOREIGN - ALLOWED.get(module, set())):
            sentences.append(f"{module} imports {name}")
    try:
        TopologicalSorter(inner).prepare()
    except CycleError as error:
        sentences.append("a circle: " + " <- ".join(error.args[1]))
    return sentences


def test_the_package_imports_one_way() -> None:
    imports = read_imports(ROOT / "hf_unet")
    assert {"errors", "geometry", "tiles", "model"} <= imports.keys()
    assert faults(imports) == []


@pytest.mark.parametrize(
    ("module", "source", "sentence"),
    [
        ("tiles", "from hf_unet.model import UNet", "tiles imports model, which stands above it"),
        ("tiles", "import hf_unet.model", "tiles imports model, which stands above it"),
        ("tiles", "from . import model", "tiles imports model, which stands above it"),
        ("tiles", "from hf_unet import model", "tiles imports model, which stands above it"),
        ("tiles", "def f():\n    from .model import UNet", "tiles imports model, which stands"),
        ("metrics/rand", "from ..model import UNet", "metrics imports model, which stands above"),
        ("model", "from hf_unet import UNet", "model imports from hf_unet itself"),
        ("model", "import hf_unet", "model imports from hf_unet itself"),
        ("model", "import hf_unet.training.loop", "model imports training, which stands above it"),
        ("cli", "import gradio as gr", "cli imports gradio"),
        ("cli", "import hf_unet.demo.models.loading", "cli imports demo, which stands above it"),
        ("demo/page", "import app", "demo imports app"),
        ("cli", "from train.train import main", "cli imports train"),
        ("cli", "from tests import conftest", "cli imports tests"),
        ("cli", "import app", "cli imports app"),
        ("drawer", "", "drawer has no place in LAYERS"),
    ],
)
def test_a_backward_import_is_seen(tmp_path: Path, module: str, source: str, sentence: str) -> None:
    path = tmp_path / "hf_unet" / f"{module}.py"
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    (fault,) = faults(read_imports(tmp_path / "hf_unet"))
    assert fault.startswith(sentence)


def test_a_circle_in_one_layer_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "hf_unet"
    folder.mkdir()
    (folder / "tiles.py").write_text("from hf_unet import loss", encoding="utf-8")
    (folder / "loss.py").write_text("from .tiles import plan_tiles", encoding="utf-8")
    (fault,) = faults(read_imports(folder))
    assert fault.startswith("a circle:")


def test_the_good_forms_pass(tmp_path: Path) -> None:
    folder = tmp_path / "hf_unet"
    (folder / "metrics").mkdir(parents=True)
    (folder / "metrics" / "overlap.py").write_text(
        "import numpy as np\nfrom .contingency import table\nfrom ..errors import LabelError",
        encoding="utf-8",
    )
    (folder / "cli.py").write_text(
        "from hf_unet import __version__\nfrom hf_unet.model import UNet", encoding="utf-8"
    )
    imports = read_imports(folder)
    assert imports == {"metrics": {"numpy", "hf_unet.errors"}, "cli": {"hf_unet.model"}}
    assert faults(imports) == []
