"""Files that programs give: nothing is fetched but by the demo's own fetcher, within its limits."""

import base64
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from local_server import address_of, serving

from hf_unet.demo import given_files
from hf_unet.demo.addresses import Fetcher
from hf_unet.demo.given_files import FencedBlocks, path_of
from hf_unet.demo.programs.calls import CURRENT, as_call
from hf_unet.errors import ImageError

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A server of the test's own that counts what it is asked for."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "image.bin").write_bytes(CONTENT)

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            self.server.asked.append(self.path)  # type: ignore[attr-defined]

    with serving(Handler) as server:
        yield server


def at(server: ThreadingHTTPServer) -> str:
    return f"{address_of(server)}/image.bin"


def content(file: gr.FileData) -> str:
    """What a file holds."""
    return Path(path_of(file, CURRENT.get().folder)).read_bytes().hex()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
    with FencedBlocks(analytics_enabled=False) as page:
        gr.api(as_call(content))
        place, told = gr.File(), gr.Textbox()
        place.upload(lambda path: path, place, told, api_visibility="private")
    _, url, _ = page.launch(prevent_thread_lock=True, quiet=True, server_name="127.0.0.1")
    yield url
    page.close()
    patch.undo()


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the loopback address be the Internet."""
    fetcher = Fetcher(may_reach=lambda address: True, largest=len(CONTENT))
    monkeypatch.setattr(given_files, "FETCHER", fetcher)


@pytest.mark.parametrize("given", [handle_file, str])
def test_an_address_is_fetched(address, files, reachable, given):
    got = Client(address, verbose=False).predict(given(at(files)), api_name="/content")
    assert bytes.fromhex(got) == CONTENT
    assert files.asked == ["/image.bin"]


@pytest.mark.parametrize("given", [handle_file, str])
def test_no_more_is_fetched_than_the_page_takes(address, files, monkeypatch, given):
    fetcher = Fetcher(may_reach=lambda address: True, largest=len(CONTENT) - 1)
    monkeypatch.setattr(given_files, "FETCHER", fetcher)
    with pytest.raises(AppError, match="larger than"):
        Client(address, verbose=False).predict(given(at(files)), api_name="/content")


@pytest.mark.parametrize("given", [handle_file, str])
def test_what_is_not_public_is_not_asked(address, files, given):
    with pytest.raises(AppError, match="no server of the public Internet"):
        Client(address, verbose=False).predict(given(at(files)), api_name="/content")
    assert files.asked == []


def test_the_pages_own_events_fetch_no_other_way(address, files, monkeypatch):
    # By hand, as no browser does: Gradio would fetch it, as it takes the loopback for public here.
    monkeypatch.setattr("safehttpx.is_public_ip", lambda address: True)
    config = httpx.get(f"{address}config").json()
    (own,) = [one["id"] for one in config["dependencies"] if one["api_visibility"] == "private"]
    body = {"fn_index": own, "session_hash": "x", "data": [handle_file(at(files))]}
    httpx.post(f"{address}gradio_api/queue/join", json=body).raise_for_status()
    told = httpx.get(f"{address}gradio_api/queue/data?session_hash=x", timeout=60).text
    assert "no server of the public Internet" in told
    assert files.asked == []


def test_an_upload_is_taken_by_its_address_here(address, tmp_path):
    path = tmp_path / "an image.bin"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        (place,) = httpx.post(f"{address}gradio_api/upload", files={"files": file}).json()
    own = f"{address}gradio_api/file={place.replace(' ', '%20')}"
    for given in (own, handle_file(own)):
        got = Client(address, verbose=False).predict(given, api_name="/content")
        assert bytes.fromhex(got) == CONTENT


def test_another_file_of_this_machine_is_not(address, tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    for place in (path, f"{get_upload_folder()}/../secret"):
        with pytest.raises(AppError, match="no server of the public Internet"):
            Client(address, verbose=False).predict(
                f"{address}gradio_api/file={place}", api_name="/content"
            )


def test_a_data_text_is_the_file_itself(tmp_path):
    text = f"data:image/png;base64,{base64.b64encode(CONTENT).decode()}"
    path = Path(path_of(text, tmp_path))
    assert path.read_bytes() == CONTENT and path.suffix == ".png"
    assert Path(path_of("data:,a%20b", tmp_path)).read_bytes() == b"a b"
    with pytest.raises(ImageError, match="is no base64"):
        path_of("data:image/png;base64,%%%", tmp_path)


def test_a_data_text_may_be_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(given_files, "LARGEST_FILE", 3)
    assert path_of("data:,abc", tmp_path)
    with pytest.raises(ImageError, match="Cut it into pieces"):
        path_of("data:,abcd", tmp_path)
