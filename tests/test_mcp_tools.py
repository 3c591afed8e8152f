"""The demo's endpoints as tools, called by the protocol's own client as an assistant would."""

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
import tifffile
from PIL import Image

pytest.importorskip("mcp", reason="the packages of the extra mcp are not installed")

import gradio.mcp
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, ImageContent, TextContent

from hf_unet import UNet, boundary_weight_map
from hf_unet.demo.given_files import FencedBlocks
from hf_unet.demo.models import loading
from hf_unet.demo.page import build
from hf_unet.demo.programs import endpoints, tools
from hf_unet.demo.programs.calls import CURRENT, as_call
from hf_unet.instances import separate_touching
from hf_unet.labels import read_labels
from hf_unet.metrics import dice_per_class

pytestmark = pytest.mark.bundled

EXAMPLES = Path(__file__).resolve().parent.parent / "spaces" / "examples"
IMAGE, TRUTH = EXAMPLES / "nuclei.tif", EXAMPLES / "nuclei_truth.tif"

PATIENCE = 30.0
"""Seconds until a test gives up; it passes long before."""


@contextmanager
def served(make: Callable[[], gr.Blocks], folder: Path) -> Iterator[str]:
    """The address of a page that is made and launched with its tools, its files in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setattr(gradio.mcp, "GradioMCPServer", gradio.mcp.GradioMCPServer)  # put back again
        tools.serve_tools()
        page = make()
        _, url, _ = page.launch(
            prevent_thread_lock=True,
            quiet=True,
            server_name="127.0.0.1",
            show_error=False,
            mcp_server=True,
        )
        try:
            yield url
        finally:
            page.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(lambda: build().queue(max_size=32), tmp_path_factory.mktemp("gradio")) as url:
        yield url


@pytest.fixture(scope="module")
def result():
    return UNet.from_pretrained(loading.MODELS / "nuclei").segment(IMAGE)


async def asked(address: str, question: Any) -> Any:
    async with (
        streamable_http_client(f"{address}gradio_api/mcp/") as (read, write, _),
        ClientSession(read, write) as session,
    ):
        await session.initialize()
        return await question(session)


def ask(address: str, question: Any) -> Any:
    """Ask in a thread of its own: browser tests may have left a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(asked(address, question))).result()


def call(address: str, tool: str, **arguments: Any) -> CallToolResult:
    answer: CallToolResult = ask(address, lambda session: session.call_tool(tool, arguments))
    return answer


def uploaded(address: str, path: Path) -> str:
    """The address that the assistants' tool for uploads gives."""
    with path.open("rb") as file:
        answer = httpx.post(f"{address}gradio_api/upload", files={"files": file})
    return f"{address}gradio_api/file={answer.json()[0]}"


def as_text(path: Path, kind: str = "image/tiff") -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def texts(answer: CallToolResult) -> list[str]:
    assert not answer.isError, answer.content
    return [one.text for one in answer.content if isinstance(one, TextContent)]


def test_tools_say_what_they_do_and_what_they_take(address):
    listed = ask(address, lambda session: session.list_tools()).tools
    assert [tool.name for tool in listed] == [one.__name__ for one in endpoints.ENDPOINTS]
    for tool in listed:
        assert tool.description and "Args" not in tool.description
        properties = tool.inputSchema["properties"]
        for name, schema in properties.items():
            assert schema["description"].endswith("."), (tool.name, name)
        assert set(tool.inputSchema.get("required", ())) <= set(properties)
    segment = next(tool for tool in listed if tool.name == "segment").inputSchema
    assert segment["required"] == ["image"]
    assert segment["properties"]["image"]["type"] == "string"
    assert "required" not in segment["properties"]["image"]  # of the file it no longer is
    assert segment["properties"]["page"] == {
        "type": "integer",
        "description": "Page of a file of several pages, from 1.",
        "default": 1,
    }


def test_models_and_what_they_are_for(address):
    assert json.loads(*texts(call(address, "models"))) == loading.bundled_models()
    about = json.loads(*texts(call(address, "about_model", model="vnc-organelles")))
    assert about["multilabel"] is True and "synapses" in about["classes"]
    assert about["finds"].startswith("Finds membranes") and about["limits"] and about["terms"]


@pytest.mark.parametrize("given", [uploaded, lambda address, path: as_text(path)])
def test_an_image_is_segmented_and_judged(address, result, given):
    answer = call(
        address, "segment", image=given(address, IMAGE), truth=given(address, TRUTH), page=1
    )
    pictures = [one for one in answer.content if isinstance(one, ImageContent)]
    mask, overlay = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one.data)))) for one in pictures
    )
    assert (mask == result.mask).all() and (overlay == np.asarray(result.overlay())).all()
    *_, figures = texts(answer)
    truth = read_labels(TRUTH, result.classes).class_map()
    dice = dice_per_class(truth, result.mask)
    assert list(json.loads(figures)["figures"]["dice"].values()) == dice.tolist()


def test_a_weight_map_is_given_by_its_address(address):
    answer = call(address, "weight_map", labels=uploaded(address, TRUTH), w0=7)
    assert [one.type for one in answer.content] == ["text"]
    weights = tifffile.imread(io.BytesIO(httpx.get(*texts(answer)).content))
    instances = separate_touching(tifffile.imread(TRUTH).astype(np.int32))
    assert np.array_equal(weights, boundary_weight_map(instances, w0=7))


def test_many_images_are_a_list(address):
    files = [uploaded(address, IMAGE), uploaded(address, TRUTH)]
    _, figures = texts(call(address, "segment_many", files=files))
    (row,) = json.loads(figures)["rows"]
    assert row["image"] == "nuclei.tif" and row["ground_truth"] == "nuclei_truth.tif"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"image": as_text(IMAGE), "model": "none"}, "There is no model 'none'"),
        ({"image": as_text(IMAGE), "truth": "truth.tif"}, "begins with https:// or http://"),
        ({"image": "http://127.0.0.1:1/x.png"}, "no server of the public Internet"),
        ({"image": as_text(IMAGE), "truth": "http://127.0.0.1:1/x.png"}, "of the public Internet"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(address, arguments, sentence):
    answer = call(address, "segment", **arguments)
    assert answer.isError
    assert sentence in answer.content[0].text  # type: ignore[union-attr]


@pytest.mark.parametrize("told", [False, True], ids=["answer alone", "progress as well"])
def test_a_client_that_hangs_up_has_cancelled_its_call(tmp_path: Path, told: bool) -> None:
    begun, stopped = Event(), Event()

    def endless() -> str:
        """Work without end."""
        begun.set()
        if CURRENT.get().stop.wait(2 * PATIENCE):
            stopped.set()
        return "done"

    async def hear(*progress: Any) -> None:
        """Be told of progress: then Gradio waits for the answer in another way."""

    async def hang_up(session: ClientSession) -> None:
        calling = asyncio.ensure_future(
            session.call_tool("endless", {}, progress_callback=hear if told else None)
        )
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        assert not await asyncio.to_thread(stopped.wait, 0.5)
        calling.cancel()

    def page() -> gr.Blocks:
        with FencedBlocks(analytics_enabled=False) as blocks:
            gr.api(as_call(endless))
        return blocks

    with served(page, tmp_path) as url:
        ask(url, hang_up)
        assert stopped.wait(PATIENCE)
