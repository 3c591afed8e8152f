"""What was read and found, in the page's words and tables."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from html import escape
from typing import Any, TypeVar

import gradio as gr
import numpy as np

from hf_unet.demo.models.loading import bundled_models, told_of
from hf_unet.demo.models.names import parse_hub_name
from hf_unet.demo.segmenting import Stopped
from hf_unet.demo.shown import Shown
from hf_unet.errors import ModelError
from hf_unet.judgement import overlap_of

Function = TypeVar("Function", bound=Callable[..., Any])


def as_html(text: str) -> str:
    """A text as the page's notices show it: they read HTML, and a sentence may quote some."""
    return escape(text, quote=False)


@contextmanager
def in_sentences(written: Callable[[str], str] = as_html) -> Iterator[None]:
    """Show what the library has to say of bad input in the page, in place of a stack trace."""
    try:
        yield
    except Stopped as stopped:
        raise gr.Error(
            written(str(stopped)), duration=4, title="Stopped", print_exception=False
        ) from stopped
    except ValueError as error:  # ImageError, LabelError, ModelError: sentences for people
        raise gr.Error(written(str(error)), duration=None, print_exception=False) from error


def with_sentences(function: Function) -> Function:
    """A function whose errors are shown as `in_sentences` does."""

    @wraps(function)
    def shown(*arguments: Any, **named: Any) -> Any:
        with in_sentences():
            return function(*arguments, **named)

    return shown  # type: ignore[return-value]


def warn(error: ValueError) -> None:
    """Show what the library has to say of something that was put aside; the rest goes on."""
    gr.Warning(as_html(str(error)), duration=None)


def plain(text: str) -> str:
    r"""A text that Markdown shows as it is: a name that holds HTML or a link is no such thing.

    Examples
    --------
    >>> plain("<b>_a_.tif")
    '&lt;b&gt;\\_a\\_.tif'
    """
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$:])", r"\\\1", safe)


def findings(shown: Shown) -> str:
    """What was read and found, in a few sentences."""
    result, plan = shown.result, shown.result.plan
    image, count = result.image, len(shown.result.objects.class_of)
    channels = "channel" if len(image) == 1 else "channels"
    of_pages = f", page {image.page + 1} of {image.pages}" if image.pages > 1 else ""
    tiles = "tile" if len(plan.tiles) == 1 else "tiles"
    words = (
        f"**{plain(shown.name)}**: {plan.width} x {plan.height} pixels, {len(image)} {channels} of "
        f"{image.bit_depth} bits{of_pages}. **Found:** {count:,} instances, in {len(plan.tiles)} "
        f"{tiles} of {plan.side[1]} x {plan.side[0]} pixels, margin {plan.margin}."
    )
    if shown.labels is not None:
        words += f" **Ground truth:** {plain(shown.labels.found)}."
    return words


def about_model(name: str) -> str:
    """What a model is for, under which terms, and where its card is."""
    if name not in bundled_models():
        try:
            hub = parse_hub_name(name)
        except ModelError:  # said when the model itself is asked for
            return ""
        return f"Its card: [{hub.repository}]({hub.page})"
    told = told_of(name)
    return f"{told['finds']} *Terms: {told['terms']}.*\n\n{told['limits']}"


CLASS_HEADERS = ["class", "area (pixels)", "share", "Dice", "IoU", "expected Dice"]


def class_table(shown: Shown) -> list[list[str]]:
    """Rows of `CLASS_HEADERS`; a dash for what cannot be told."""
    result, labels = shown.result, shown.labels
    total = result.plan.height * result.plan.width
    expected = result.expected_dice
    rows = [
        [name, f"{area:,}", f"{area / total:.1%}", "-", "-", "-"]
        for name, area in result.areas.items()
    ]
    if expected is not None:
        for row, value in zip(rows, expected, strict=True):
            row[5] = "absent" if np.isnan(value) else f"{value:.4f}"
    if labels is not None:
        scores = overlap_of(result, labels)
        for row, dice, iou in zip(rows, scores.dice, scores.iou, strict=True):
            row[3:5] = ["absent" if np.isnan(v) else f"{v:.4f}" for v in (dice, iou)]
    return rows
