"""An image by its address or from the clipboard, both as if dropped."""

import atexit
import shutil
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from hf_unet.demo.actions import take_image
from hf_unet.demo.addresses import Fetcher
from hf_unet.demo.viewer import asset
from hf_unet.demo.words import with_sentences

KEPT_SECONDS = 3600
"""After which what was fetched is deleted, as Gradio deletes what was uploaded."""

FETCHER = Fetcher()

AT_ONCE = 4
"""Images that are fetched at a time; others wait."""


def address_box() -> gr.Textbox:
    """Where an address is pasted; to be rendered where it shall stand."""
    return gr.Textbox(
        label="or the address of an image",
        placeholder="https://",
        max_lines=1,
        max_length=2000,
        elem_id="address",
        render=False,
    )


def wire_address(box: gr.Textbox, inputs: list[Any], outputs: list[Any]) -> Any:
    """Let an address be taken as the image; the event after which it is there.

    Parameters
    ----------
    box : Textbox
    inputs : list of Component
        What `take_address` takes besides the address: paths of the truth judged by, and given.
    outputs : list of Component
        The places of image and truth.
    """
    return box.submit(
        take_address,
        [box, *inputs],
        [box, *outputs],
        api_visibility="private",
        show_progress="hidden",  # its mark of an error would hide the address
        concurrency_limit=AT_ONCE,
    )


def wire_paste(page: gr.Blocks) -> None:
    """Let an image that is pasted anywhere on the page be taken as if dropped."""
    page.load(None, None, None, js=asset("paste.js"), api_visibility="private")


@with_sentences
def take_address(address: str | None, judged: str | None, truth: str | None) -> list[Any]:
    """Fetch an image; it is the image now, and the box is free for the next address."""
    gr.Info("Fetching the image.", duration=3)
    forget_old(shelf(), KEPT_SECONDS)
    path = FETCHER.fetch(address or "", shelf() / uuid.uuid4().hex)
    return ["", *take_image(str(path), judged, truth)]


@cache
def shelf() -> Path:
    """A folder for what was fetched, which is deleted with the process."""
    folder = Path(tempfile.mkdtemp(prefix="hf-unet-fetched-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def forget_old(folder: Path, seconds: float) -> None:
    """Delete what was put into a folder longer ago than this."""
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > seconds:
            shutil.rmtree(path, ignore_errors=True)
