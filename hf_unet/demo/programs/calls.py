"""Calls by programs: each works in a thread, and ends before its next tile once nobody waits."""

import asyncio
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

import gradio as gr
from anyio.to_thread import run_sync
from gradio.context import LocalContext

from hf_unet.demo.words import in_sentences


@dataclass(frozen=True)
class Call:
    """What a program asked for, while it is worked on.

    Attributes
    ----------
    stop : Event
        Set when the call was cancelled, or the client that made it has gone.
    folder : Path
        For what has to be fetched; it goes with the call.
    """

    stop: threading.Event
    folder: Path


CURRENT: ContextVar[Call] = ContextVar("call")
"""The call that is worked on here."""

_running: defaultdict[str, set[threading.Event]] = defaultdict(set)
"""By session; touched in the server's one loop only."""


def as_call(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """A function as Gradio calls it for programs, to which it tells its mistakes in sentences.

    While it works, `CURRENT` tells it when to stop.
    """

    def answered(*arguments: Any, **named: Any) -> Any:
        with in_sentences(written=str):
            return function(*arguments, **named)

    @wraps(function)
    async def called(*arguments: Any, **named: Any) -> Any:
        session = _session(LocalContext.request.get(None))
        with tempfile.TemporaryDirectory(prefix="hf-unet-call-") as folder:
            call = Call(threading.Event(), Path(folder))
            CURRENT.set(call)
            _running[session].add(call.stop)
            work = asyncio.ensure_future(run_sync(partial(answered, *arguments, **named)))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                # A thread cannot be broken off. Its place in the queue is its own until it ends.
                call.stop.set()
                await asyncio.wait([work])
                work.exception()  # seen: nobody waits for it
                raise
            finally:
                _running[session].discard(call.stop)
                if not _running[session]:
                    del _running[session]

    return called


async def stop_session(request: gr.Request) -> None:
    """Stop what a client asked for that has gone."""
    for stop in _running.get(_session(request), ()):
        stop.set()


def _session(request: gr.Request | None) -> str:
    return str(getattr(request, "session_hash", None) or "")
