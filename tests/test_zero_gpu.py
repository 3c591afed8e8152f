"""A GPU that is lent: marked where there is one to lend, untouched elsewhere."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from hf_unet import UNet
from hf_unet.demo import zero_gpu
from hf_unet.demo.zero_gpu import gpu_seconds, lends_gpu, seconds_to_segment, segment_on_gpu
from hf_unet.images import ScienceImage, read_image

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """ZeroGPU, as far as a function can tell; what was asked for is recorded."""
    record: list[tuple[str, int]] = []
    fake = ModuleType("spaces")

    def lend(*, duration: Callable[..., int]) -> Callable[[Any], Any]:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                record.append((function.__name__, duration(*arguments, **named)))
                arguments, named = pickle.loads(pickle.dumps((arguments, named)))
                return pickle.loads(pickle.dumps(function(*arguments, **named)))

            return call

        return decorate

    fake.GPU = lend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", fake)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    return record


class Steps:
    """Progress that can travel to another process."""

    def __call__(self, done: int, total: int) -> None:
        assert 0 < done <= total


def picture(height: int, width: int) -> ScienceImage:
    noise = np.random.default_rng(0).integers(0, 255, (height, width), np.uint8)
    return read_image(noise)


@pytest.fixture
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(base_channels=2, depth=2).eval()


def test_elsewhere_nothing_changes_and_spaces_is_not_imported(
    monkeypatch: pytest.MonkeyPatch, network: UNet
) -> None:
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)

    def work() -> int:
        return 3

    assert lends_gpu(duration=lambda: 1)(work) is work
    image = picture(40, 50)
    result = segment_on_gpu(network, image, tile=60, progress=lambda done, total: None)
    assert (result.probabilities == network.segment(image, tile=60).probabilities).all()
    code = "import hf_unet.demo.models.loading, sys; assert 'spaces' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_marked_function_asks_for_what_its_arguments_need(asked: list[tuple[str, int]]) -> None:
    @lends_gpu(duration=lambda text, times=1: 10 * len(text) * times)
    def work(text: str, times: int = 1) -> str:
        return text * times

    assert work("ab") == "ab" and work("abc", times=2) == "abcabc"
    assert asked == [("work", 20), ("work", 60)]


def test_segmenting_travels_to_the_gpus_process_and_back(
    asked: list[tuple[str, int]], network: UNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UNet, "to", lambda self, device: self)  # no GPU here
    marked = lends_gpu(duration=seconds_to_segment)(segment_on_gpu)
    image = picture(100, 90)
    result = marked(network, image, tile=60, progress=Steps())
    expected = network.segment(image, tile=60)
    assert (result.probabilities == expected.probabilities).all()
    assert (result.instances == expected.instances).all()
    assert asked == [("segment_on_gpu", 11)]


def test_seconds_follow_the_tiles_and_the_width_of_the_network() -> None:
    narrow, paper = UNet(base_channels=16), UNet()
    seconds = [
        gpu_seconds(paper.plan(side, side, tile=572), paper.activation_bytes_per_pixel)
        for side in (384, 3840, 7680)
    ]
    # 1, 100 and 400 tiles of 572 x 572 pixels: 0.06, 5.9 and 24 s, and 10 to start.
    assert seconds == [11, 16, 34]
    plan = narrow.plan(7680, 7680, tile=572)
    assert gpu_seconds(plan, narrow.activation_bytes_per_pixel) == 16
    assert gpu_seconds(plan, narrow.activation_bytes_per_pixel, passes=8) == 58
    assert gpu_seconds(plan, paper.activation_bytes_per_pixel, passes=8) == zero_gpu.LONGEST


def test_seconds_heed_the_networks_own_averaging() -> None:
    plain, averaging = UNet(base_channels=16), UNet(base_channels=16, test_time_averaging=True)
    image = picture(3000, 3000)
    one, eight = (seconds_to_segment(network, image, 572) for network in (plain, averaging))
    assert one < eight == seconds_to_segment(plain, image, 572, test_time_averaging=True)
    assert seconds_to_segment(averaging, image, 572, test_time_averaging=False) == one


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("1", True), ("True", True), ("false", False), ("", 0)]
)
def test_spaces_says_by_a_variable_whether_it_lends(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", value)
    assert zero_gpu.on_zero_gpu() == expected


@pytest.mark.bundled
def test_models_wait_on_the_cpu_where_gpus_are_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_unet.demo.models import loading

    monkeypatch.setattr(loading, "_cache", loading.ModelCache(10**9))
    monkeypatch.setattr(loading, "best_device", lambda: "meta")  # ZeroGPU pretends to have CUDA
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert next(loading.load_model("phc-u373").parameters()).device.type == "cpu"
