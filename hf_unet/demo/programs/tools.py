"""The endpoints as tools for assistants: Gradio's server for them, its answers and schemas mended.

To be imported only where `hf_unet.demo.programs.mcp_server` found that it is wanted and can be had.
"""

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import gradio.mcp
from anyio.to_thread import run_sync
from gradio.mcp import GradioMCPServer as Gradios

from hf_unet.demo.given_files import is_file

LARGEST_PICTURE = 3_000_000
"""Bytes of a picture that stands among the answers itself, beside its address."""


class ToolServer(Gradios):
    """Gradio's server, each output of a tool an answer of its own, and figures as JSON."""

    async def _execute_tool_without_progress(self, job: Any) -> list[Any]:
        # Gradio 6.31 gives all outputs as one text here, and each for itself only to those who
        # ask to be told of progress: then no picture would be among the answers.
        waiting = run_sync(job.result, abandon_on_cancel=True)  # it ends with the job
        output = await _unless_gone(job, waiting)
        return list(output) if isinstance(output, tuple) else [output]

    async def _execute_tool_with_progress(self, job: Any, progress_token: str | int) -> Any:
        told = super()._execute_tool_with_progress(job, progress_token)
        return await _unless_gone(job, told)

    @staticmethod
    def get_image(file_path: str) -> Any:
        """What Gradio finds, of a file that assistants can show: none reads TIFF."""
        path = Path(file_path)
        if path.suffix != ".png" or not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
            return None
        return Gradios.get_image(file_path)

    def postprocess_output_data(self, data: Any, root_url: str) -> list[Any]:
        """Pictures, addresses of files, and texts; what is no text is written as JSON."""
        written = [one if isinstance(one, str) or is_file(one) else json.dumps(one) for one in data]
        return list(super().postprocess_output_data(written, root_url))

    def simplify_filedata_schema(self, schema: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """Schemas without what they keep of files that have become texts."""
        simple, positions = super().simplify_filedata_schema(schema)
        return _without_leftovers(simple), positions


async def _unless_gone(job: Any, answer: Awaitable[Any]) -> Any:
    """The answer to a client; one that has hung up has cancelled what it asked for.

    That is what the protocol (2026-07-28, "Cancellation") makes of it. Gradio 6.31 leaves such a
    job in the queue, where it works for nobody.
    """
    try:
        return await answer
    except asyncio.CancelledError:
        job.cancel()
        raise


def serve_tools() -> None:
    """Let the next page that is launched with ``mcp_server=True`` have this server."""
    gradio.mcp.GradioMCPServer = ToolServer  # type: ignore[misc]


def _without_leftovers(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_leftovers(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_leftovers(value)
        for key, value in node.items()
        if not (key == "required" and node.get("type") == "string")
    }
