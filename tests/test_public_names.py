"""The names and signatures that others build on: a change here is a change for every user."""

import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import hf_unet

ROOT = Path(__file__).resolve().parent.parent

PUBLIC = [
    "ImageError",
    "LabelError",
    "ModelError",
    "Segmentation",
    "UNet",
    "__version__",
    "boundary_weight_map",
    "read_image",
]
METRICS = [
    "dice_per_class",
    "iou_per_class",
    "pixel_error",
    "rand_error",
    "seg_score",
    "warping_error",
]


def test_the_public_names_are_these() -> None:
    assert hf_unet.__all__ == PUBLIC
    assert {name for name in dir(hf_unet) if not name.startswith("_")} >= set(PUBLIC[:5])


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_there(name: str) -> None:
    value = getattr(hf_unet, name)
    assert name == "__version__" or value.__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Unet'"):
        hf_unet.Unet  # noqa: B018


@pytest.mark.parametrize("name", ["ImageError", "LabelError", "ModelError"])
def test_the_errors_are_value_errors(name: str) -> None:
    assert issubclass(getattr(hf_unet, name), ValueError)


@pytest.mark.parametrize("name", METRICS)
def test_the_metrics_take_truth_then_prediction(name: str) -> None:
    metric = getattr(import_module("hf_unet.metrics"), name)
    assert list(inspect.signature(metric).parameters)[:2] == ["truth", "prediction"]


def test_the_defaults_of_unet_are_the_paper() -> None:
    parameters = inspect.signature(hf_unet.UNet.__init__).parameters
    expected = {
        "in_channels": 1,
        "classes": ("background", "foreground"),
        "base_channels": 64,
        "depth": 4,
        "padding": "valid",
        "norm": None,
        "dropout": 0.5,
        "multilabel": False,
    }
    assert {name: parameters[name].default for name in expected} == expected
    assert list(parameters)[1 : 1 + len(expected)] == list(expected)


def test_the_defaults_of_the_weight_map() -> None:
    parameters = inspect.signature(hf_unet.boundary_weight_map).parameters
    assert {name: value.default for name, value in parameters.items()} == {
        "instances": inspect.Parameter.empty,
        "w0": 10.0,
        "sigma": 5.0,
        "class_weights": None,
        "inside": False,
    }


def test_segment_takes_tile_batch_size_and_progress() -> None:
    parameters = inspect.signature(hf_unet.UNet.segment).parameters
    assert list(parameters)[1] == "image"
    for name in ("tile", "batch_size", "progress"):
        assert parameters[name].default is None


def test_the_result_has_what_the_design_promises() -> None:
    for name in ("mask", "probabilities", "instances"):
        fields = hf_unet.Segmentation.__dataclass_fields__
        assert name in fields or isinstance(getattr(hf_unet.Segmentation, name), property)
    assert callable(hf_unet.Segmentation.overlay)
    assert callable(hf_unet.Segmentation.save)


def test_the_model_loads_and_saves_by_the_hubs_verbs() -> None:
    for verb in ("from_pretrained", "push_to_hub", "save_pretrained"):
        assert callable(getattr(hf_unet.UNet, verb))


def test_importing_prints_nothing_and_leaves_torch_alone() -> None:
    code = "import hf_unet, sys; assert 'torch' not in sys.modules; hf_unet.read_image"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_requirements_hold_the_packages_own_dependencies() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 has it, 3.10 has not")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["demo"]]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    written = [line for line in lines if line and not line.startswith("#")]
    assert written == [line.replace("'", '"') for line in wanted]
