"""What strangers may send to the demo: names that are HTML, paths, and nonsense to every event."""

import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import httpx
import pytest
from demo_pages import noise, shown_with, small_network, two_squares
from PIL import Image

from hf_unet.demo import uploads
from hf_unet.demo.actions import show_code
from hf_unet.demo.page import build
from hf_unet.demo.uploads import read_page
from hf_unet.demo.words import as_html, findings, in_sentences, plain
from hf_unet.errors import ImageError

ROOT = Path(__file__).resolve().parent.parent

PATHS = re.compile(r"root:x:|site-packages|Traceback|" + re.escape(str(ROOT)))
"""A file's content, or a place on this machine that was not named by the one who asks."""


MARKED = {"meta": {"_type": "gradio.FileData"}}

NONSENSE = [
    None,
    "../../../../etc/passwd",
    -1e300,
    ["/etc/passwd"],
    {"path": "/etc/passwd", **MARKED},
    {"path": "/proc/self/environ", **MARKED},
    [{"path": "/etc/passwd", **MARKED}],
    {"scene": "../x", "runs": [[1e9, "a"]], "x": "a", "y": None},
]


def ask(demo_address: str, event: int, values: list[object], session: str) -> str:
    """All that the page is told of one event, with those values."""
    body = {"data": values, "fn_index": event, "session_hash": session, "event_data": values[:1]}
    joined = httpx.post(f"{demo_address}gradio_api/queue/join", json=body, timeout=60)
    if joined.status_code != 200:
        return joined.text
    told = []
    data = f"{demo_address}gradio_api/queue/data"
    with httpx.stream("GET", data, params={"session_hash": session}, timeout=60) as stream:
        for line in stream.iter_lines():
            told.append(line)
            if '"process_completed"' in line or '"close_stream"' in line:
                break
    return "\n".join(told)


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_no_event_tells_a_path_whatever_it_is_given(demo_address, nonsense):
    config = httpx.get(f"{demo_address}config").json()
    events = [one for one in config["dependencies"] if one["backend_fn"]]
    assert len(events) > 20
    for event in events:
        values = [nonsense] * len(event["inputs"])
        told = ask(demo_address, event["id"], values, f"s{event['id']}")
        assert not PATHS.search(told), (event["api_name"], told[:2000])


@pytest.mark.parametrize("name", ["<img src=http://evil.test/x.png>", "![x](http://evil.test/x)"])
def test_a_name_is_text_wherever_it_is_shown(name):
    assert "<" not in plain(name) and "![" not in plain(name) and "](" not in plain(name)
    assert "<" not in as_html(name)


def test_a_sentence_that_quotes_html_is_text_in_a_notice():
    with pytest.raises(Exception, match=r"&lt;b&gt;\.tif is no image") as caught, in_sentences():
        raise ImageError("<b>.tif is no image.")
    assert "<b>" not in str(caught.value)


def test_what_a_ground_truth_says_of_itself_is_text():
    network = small_network()
    bare = shown_with(network, noise(), two_squares())
    found = "1 region labeled ![x](http://evil.test/x.png) <img src=x>"
    words = findings(replace(bare, labels=replace(bare.labels, found=found)))
    assert "1 region labeled" in words and "<" not in words and "](" not in words


def test_code_for_what_is_no_longer_kept_has_a_sentence():
    with pytest.raises(gr.Error, match="no longer kept"):
        show_code("a token that is gone")


def test_limits_of_pixels_and_pages_have_sentences(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "large.png")
    frames = [Image.new("L", (4, 4), n) for n in range(3)]
    frames[0].save(tmp_path / "pages.tif", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(uploads, "MOST_PIXELS", 1000)
    monkeypatch.setattr(uploads, "MOST_PAGES", 2)
    with pytest.raises(ImageError, match=r"large\.png .*pixels"):
        read_page(str(tmp_path / "large.png"), 1)
    with pytest.raises(ImageError, match=r"pages\.tif has 3 pages; this page takes up to 2"):
        read_page(str(tmp_path / "pages.tif"), 1)


def test_a_file_that_is_too_large_is_refused_at_the_door(tmp_path):
    page = build()
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", max_file_size=1000
    )
    try:
        sent = httpx.post(f"{url}gradio_api/upload", files={"files": ("a.tif", bytes(2000))})
        assert sent.status_code == 413 and "maximum allowed size of 1000 bytes" in sent.text
    finally:
        page.close()


@pytest.mark.parametrize("name", ["../../escaped.png", "/tmp/escaped.png", "..\\escaped.png"])
def test_an_upload_stays_in_its_folder(demo_address, name, tmp_path_factory):
    sent = httpx.post(f"{demo_address}gradio_api/upload", files={"files": (name, b"content")})
    (path,) = sent.json()
    served = tmp_path_factory.getbasetemp()
    assert Path(path).resolve().is_relative_to(served) and ".." not in Path(path).parts
