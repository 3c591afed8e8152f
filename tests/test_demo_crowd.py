"""Twenty visitors at once: memory stays within its bound, and nobody sees another's result."""

import gzip
import json
import threading
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import tifffile
from demo_pages import noise, put_models, small_network

from hf_unet.demo import segmenting, shown
from hf_unet.demo.labs.weights import weight_scene
from hf_unet.demo.segmenting import JOBS, segment_upload, segmentation_scene
from hf_unet.demo.shown import Shown, described, shown_of
from hf_unet.demo.store import Store
from hf_unet.demo.viewer import region
from hf_unet.errors import ImageError

VISITORS = 20
BOUND = 3_000_000
SIDE = 120


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store[Shown]:
    """A store that holds the results of some visitors, not of all."""
    put_models(tmp_path / "models", monkeypatch, small=small_network())
    store: Store[Shown] = Store(BOUND, "Segment the image again.")
    monkeypatch.setattr(segmenting, "KEPT", store)
    monkeypatch.setattr(shown, "KEPT", store)
    return store


def seen(scene: dict[str, object], layer: str, dtype: str) -> np.ndarray:
    """A layer of a scene, as the page fetches it."""
    whole = {"top": 0, "left": 0, "height": SIDE, "width": SIDE, "step": 1}
    answer = region({"scene": scene["scene"], "layers": [layer], **whole})
    if answer.status_code == 410:
        raise ImageError(bytes(answer.body).decode())
    packed = b64decode(json.loads(bytes(answer.body)))
    return np.frombuffer(gzip.decompress(packed), dtype).reshape(SIDE, SIDE)


def test_twenty_at_once_each_see_their_own_within_the_bound(
    kept: Store[Shown], tmp_path: Path
) -> None:
    network = small_network()
    images = [noise(SIDE, SIDE, seed=number) for number in range(VISITORS)]
    masks = [network.segment(image).mask for image in images]
    assert len({mask.tobytes() for mask in masks}) == VISITORS, "they could not be told apart"
    for number, image in enumerate(images):
        tifffile.imwrite(tmp_path / f"{number}.tif", image)
    barrier = threading.Barrier(VISITORS)
    faults: list[str] = []
    answers = {"seen": 0, "given up": 0}
    counting = threading.Lock()

    def visit(number: int) -> None:
        barrier.wait()
        for _ in range(3):
            path = str(tmp_path / f"{number}.tif")
            token = segment_upload(path, None, "small", 1, visitor=str(number))
            try:
                mine = shown_of(token)
                scene = described(token, "segment", mine.scene("segment", segmentation_scene))
                weight_scene(mine, 10, 5)
                if not np.array_equal(seen(scene, "image", "<u2"), images[number]):
                    faults.append(f"{number} sees another image")
                if not np.array_equal(seen(scene, "mask", "u1"), masks[number]):
                    faults.append(f"{number} sees another mask")
                outcome = "seen"
            except ImageError as gone:  # given up for another's, which is said in a sentence
                if str(gone) != "Segment the image again.":
                    faults.append(str(gone))
                outcome = "given up"
            with counting:
                answers[outcome] += 1

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(VISITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sum(answers.values()) == 3 * VISITORS, "a visitor fell over"
    assert answers["seen"] > 0
    assert len(JOBS) == 0
    kept.keep(shown_of(segment_upload(str(tmp_path / "0.tif"), None, "small", 1)))
    assert kept.nbytes <= BOUND
    assert 1 < len(kept) < 3 * VISITORS, "the bound was never reached"
