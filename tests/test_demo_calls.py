"""Calls by programs end when nobody waits for them any more."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import gradio as gr
import pytest
import tifffile
from demo_pages import noise, small_network
from gradio import FileData
from gradio_client import Client
from gradio_client.utils import Status

from hf_unet.demo.batch import segmenting
from hf_unet.demo.given_files import FencedBlocks
from hf_unet.demo.programs import calls, endpoints
from hf_unet.demo.programs.calls import CURRENT, Call, as_call
from hf_unet.demo.segmenting import Stopped, stoppable
from hf_unet.images import read_image

PATIENCE = 30.0
"""Seconds until a test gives up; it passes long before."""


class Work:
    """Tiles that are worked on one after another for as long as nobody stops it."""

    def __init__(self) -> None:
        self.begun, self.folder, self.ended_by = Event(), Path(), "nothing"
        self.ended = Event()

    def __call__(self) -> str:
        """Work."""
        self.folder = CURRENT.get().folder
        assert self.folder.is_dir()
        report = stoppable(CURRENT.get().stop, lambda done, total: None)
        try:
            for tile in range(10_000):
                self.begun.set()
                report(tile, 10_000)
                time.sleep(0.01)
        except Stopped as stopped:
            self.ended_by = str(stopped)
            raise
        finally:
            self.ended.set()
        return "done"


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def address(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("GRADIO_HEARTBEAT_INTERVAL", "1")

    def endless() -> str:
        """Work without end."""
        return work()

    def short() -> str:
        """No work."""
        return "done"

    with FencedBlocks(analytics_enabled=False) as page:
        gr.api(as_call(endless))
        gr.api(as_call(short))
        page.unload(calls.stop_session)
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield url
    page.close()


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def test_a_cancelled_call_ends_before_its_next_tile(address, work):
    client = Client(address, verbose=False)
    job = client.submit(api_name="/endless")
    assert work.begun.wait(PATIENCE)
    # Before the client has heard of its beginning, it cannot name what it wants cancelled.
    assert eventually(lambda: job.status().code is Status.PROCESSING)
    job.cancel()
    assert work.ended.wait(PATIENCE)
    assert work.ended_by.startswith("Stopped after")
    assert eventually(lambda: not work.folder.exists())
    assert eventually(lambda: not calls._running)
    assert client.predict(api_name="/short") == "done"
    # The place in the queue is free again.
    work.begun.clear()
    client.submit(api_name="/endless")
    assert work.begun.wait(PATIENCE)
    client.close()


def test_a_call_ends_whose_client_has_gone(address, work):
    client = Client(address, verbose=False)
    client.submit(api_name="/endless")
    other = Client(address, verbose=False)
    assert work.begun.wait(PATIENCE)
    assert not work.ended.wait(0.2)
    client.close()
    assert work.ended.wait(PATIENCE)
    assert work.ended_by.startswith("Stopped after")
    other.close()


@pytest.fixture
def cancelled(tmp_path: Path) -> Iterator[None]:
    """A call that was cancelled already."""
    stop = threading.Event()
    stop.set()
    token = CURRENT.set(Call(stop, tmp_path))
    yield
    CURRENT.reset(token)


@pytest.mark.usefixtures("cancelled")
def test_the_endpoints_heed_it(monkeypatch):
    network, image = small_network(), read_image(noise())
    monkeypatch.setattr(endpoints, "load_model", lambda name: network)
    monkeypatch.setattr(endpoints, "read_page", lambda path, page: image)
    monkeypatch.setattr(endpoints, "path_of", lambda given, folder: "image.tif")
    file: FileData = {"path": "image.tif"}  # type: ignore[typeddict-item]
    for ask in (endpoints.segment, endpoints.save_all, endpoints.expected_dice):
        with pytest.raises(Stopped, match="Stopped after"):
            ask(file, model="small")


@pytest.mark.usefixtures("cancelled")
def test_a_batch_that_was_cancelled_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "image.tif", noise())
    monkeypatch.setattr(segmenting, "load_model", lambda name: small_network())
    monkeypatch.setattr(endpoints, "path_of", lambda given, folder: str(tmp_path / "image.tif"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    with pytest.raises(Stopped, match="Stopped after 0 of 1 images"):
        endpoints.segment_many([{"path": "image.tif"}])  # type: ignore[typeddict-item]
    gc.collect()  # a batch's files go with it
    assert not list((tmp_path / "gradio").rglob("*.zip"))
