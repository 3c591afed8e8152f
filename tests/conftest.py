"""What several test files need: a quiet, offline process, and the real data where it is present."""

import os
import shutil
from pathlib import Path

import pytest
from browser_fixtures import chromium, demo_address, visit  # noqa: F401
from hub_fixtures import hub  # noqa: F401

# Set before the libraries are imported, because they read these once: no test reaches for the
# network, reports its use, or opens a window.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
if at_once := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):  # they share the cores
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs the bundled models where there are none: in a source distribution."""
    if any((ROOT / "models").glob("*/config.json")):
        return
    for item in items:
        served = "demo_address" in getattr(item, "fixturenames", ())
        if served or item.get_closest_marker("bundled") is not None:
            item.add_marker(pytest.mark.skip(reason="the bundled models are absent"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images, ``../shared/data`` beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data (../shared/data) is absent")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model repository that carries everything, and the data that its figures are of."""
    from whole_repositories import make_repository

    return make_repository(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copied(whole: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of that repository, to be changed."""
    return Path(shutil.copytree(whole[0], tmp_path / "net"))
