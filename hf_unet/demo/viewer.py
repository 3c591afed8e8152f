"""The viewer: canvases that show a scene pixel by pixel, with zoom, intensity window and paint.

Its JavaScript lies in ``assets/`` and asks `region` for the pixels in sight.
"""

import base64
import gzip
import operator
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import gradio as gr
from fastapi import Response

from hf_unet.demo.shown import scene_of
from hf_unet.errors import ImageError

SCRIPTS = (
    "scene.js",
    "camera.js",
    "drawing.js",
    "readout.js",
    "paint.js",
    "brush.js",
    "controls.js",
    "touch.js",
    "viewer.js",
)
"""In the order in which they build upon one another."""


def viewer(name: str, empty: str, *, height: str | None = None) -> gr.HTML:
    """A viewer whose value is a described scene, or None.

    Its events are ``pixel`` (a pixel was clicked: ``scene``, ``x``, ``y``) and ``painted`` (a
    mask was painted: ``scene``, ``runs``), for scenes that ask for them.

    Parameters
    ----------
    name : str
        Its id on the page.
    empty : str
        What it says while there is nothing to show.
    height : str, optional
        Of its canvases, as CSS writes it.
    """
    style = f' style="--viewer-height: {escape(height)}"' if height else ""
    return gr.HTML(
        value=None,
        html_template=f'<div class="viewer" data-empty="{escape(empty)}"{style}></div>',
        css_template=asset("viewer.css"),
        js_on_load="\n".join(asset(script) for script in SCRIPTS),
        server_functions=[region],
        elem_id=name,
        label=name,
        apply_default_css=False,
    )


@cache
def asset(name: str) -> str:
    """Text of a file in ``assets/``."""
    return (files("hf_unet.demo") / "assets" / name).read_text("utf-8")


def region(asked: dict[str, Any]) -> Response:
    """Pixels for a viewer, packed by gzip: base64 in a JSON text, for Gradio's page reads no other.

    Parameters
    ----------
    asked : dict
        ``scene``, ``layers`` (their keys), ``top``, ``left``, ``height``, ``width`` and ``step``.
    """
    try:
        numbers = [operator.index(asked[k]) for k in ("top", "left", "height", "width", "step")]
        packed = scene_of(str(asked["scene"])).region([str(k) for k in asked["layers"]], *numbers)
    except (KeyError, TypeError):
        return Response("The page asked for pixels in a way that is not known.", 400)
    except ImageError as error:
        return Response(str(error), 410)
    # Packed before it is text, which packs worse and slower.
    text = b'"' + base64.b64encode(gzip.compress(packed, compresslevel=1)) + b'"'
    return Response(text, media_type="application/json", headers={"Cache-Control": "no-store"})
