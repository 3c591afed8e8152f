"""Files that programs give: uploads, addresses and ``data:`` texts, each to where it lies here.

Gradio would fetch an address by itself: public ones only, but of any size, and for as long as it
takes. Here the demo's own fetcher does, and what was uploaded to this page is taken as it lies.
"""

import base64
import binascii
import mimetypes
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import gradio as gr
from anyio.to_thread import run_sync
from gradio.utils import get_upload_folder, is_in_or_equal

from hf_unet.demo.addresses import Fetcher
from hf_unet.demo.uploads import LARGEST_FILE
from hf_unet.demo.words import in_sentences
from hf_unet.errors import ImageError

FETCHER = Fetcher()

UPLOADS = "/gradio_api/file="
"""In the address of what was uploaded to a page of Gradio's, before its path there."""


class FencedBlocks(gr.Blocks):
    """Blocks of which no event makes Gradio fetch an address: what is there has been fetched."""

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], *rest: Any, **named: Any
    ) -> Any:
        """As ``gr.Blocks`` has it, with files in place of their addresses."""
        here = [await self._fetched(value) for value in inputs]
        return await super().preprocess_data(block_fn, here, *rest, **named)

    async def _fetched(self, value: Any) -> Any:
        if isinstance(value, list):
            return [await self._fetched(one) for one in value]
        if not isinstance(value, dict):
            return value
        if not is_file(value):
            return {key: await self._fetched(one) for key, one in value.items()}
        if not _is_address(str(value.get("path"))):
            return value
        with in_sentences(written=str):
            path = await run_sync(_path_at, value["path"], Path(get_upload_folder()))
        self.upload_file_set.add(path)  # Gradio deletes these in time
        return {**value, "path": path, "url": None}


def is_file(value: object) -> bool:
    """Whether a value is Gradio's description of a file: only what has this mark it looks at."""
    meta = value.get("meta") if isinstance(value, dict) else None
    return isinstance(meta, dict) and meta.get("_type") == "gradio.FileData"


def path_of(given: object, folder: Path) -> str:
    """Where a file lies that a program gave.

    Parameters
    ----------
    given : dict or str
        What ``gradio_client.handle_file`` makes, after Gradio has looked at it; the address of a
        file; or the file itself, as a ``data:`` text. Assistants give texts.
    folder : Path
        For what has to be fetched or decoded first.

    Raises
    ------
    ImageError
        If it is none of these, is no upload to this page, or cannot be fetched.
    """
    if given is None:
        raise ImageError("Choose an image first.")
    if isinstance(given, str):
        if given.startswith("data:"):
            return str(_decoded(given, folder))
        if _is_address(given):
            return _path_at(given, folder)
    if not isinstance(given, dict) or not is_file(given):
        raise ImageError(
            "Files are given by gradio_client.handle_file(path), or as text by an address that "
            "begins with https:// or http://."
        )
    path = str(given["path"])
    if not _is_upload(path):
        raise ImageError("There is no such upload. Upload the file again.")
    return path


def _path_at(address: str, folder: Path) -> str:
    """What is at an address; if it was uploaded to this very page, where it lies."""
    _, mark, rest = urlsplit(address).path.partition(UPLOADS)
    if mark and _is_upload(path := unquote(rest)):
        return path
    return str(FETCHER.fetch(address, folder / uuid.uuid4().hex))


def _decoded(text: str, folder: Path) -> Path:
    head, _, body = text.partition(",")
    kind, *options = head.removeprefix("data:").split(";")
    try:
        content = (
            base64.b64decode(body, validate=True) if "base64" in options else unquote_to_bytes(body)
        )
    except binascii.Error as error:
        raise ImageError(
            "The data: text is no base64. Encode the file again, or give its address."
        ) from error
    if len(content) > LARGEST_FILE:
        raise ImageError(f"A file has at most {LARGEST_FILE / 1e6:,.0f} MB. Cut it into pieces.")
    place = folder / uuid.uuid4().hex
    place.mkdir()
    path = place / f"image{mimetypes.guess_extension(kind) or ''}"
    path.write_bytes(content)
    return path


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _is_upload(path: str) -> bool:
    return is_in_or_equal(path, get_upload_folder()) and Path(path).is_file()
