"""What stands on the page, part by part. What it does is wired in `page`."""

from dataclasses import dataclass

import gradio as gr

from hf_unet.demo.models import bundled_models
from hf_unet.demo.viewer import viewer

CLASS_HEADERS = ["class", "area (pixels)", "share", "Dice", "IoU"]
SEAM_HEADERS = [
    "tiles put together by",
    "tiles",
    "step",
    "largest difference",
    "pixels that change class",
]
NO_TRUTH = "Ground truth (optional)"
AS_SEGMENTED = "as segmented"
TILE_SIDES = [AS_SEGMENTED, "252", "380", "572", "764", "1020"]


@dataclass(frozen=True)
class Inputs:
    """The column on the left.

    ``image`` and ``truth`` are where files are dropped, always ready for the next; what was
    dropped last stands in ``image_path`` and ``truth_path``.
    """

    image: gr.File
    image_path: gr.State
    page: gr.Slider
    truth: gr.File
    truth_path: gr.State
    remove: gr.Button
    model: gr.Dropdown
    run: gr.Button
    stop: gr.Button


def inputs(address: gr.Textbox) -> Inputs:
    """What a visitor brings and chooses; the box for an address stands below the image."""
    image = gr.File(label="Image", elem_id="image", height=132)
    address.render()  # type: ignore[no-untyped-call]
    page = gr.Slider(1, 2, 1, step=1, label="Page", elem_id="page", visible=False)
    truth = gr.File(label=NO_TRUTH, elem_id="truth", height=132)
    remove = gr.Button("Remove the ground truth", elem_id="remove", size="sm", visible=False)
    model = gr.Dropdown(
        bundled_models(),
        value="nuclei",
        allow_custom_value=True,
        label="Model",
        info="A bundled one, or org/name on the Hub",
        elem_id="model",
    )
    with gr.Row():
        run = gr.Button("Segment", variant="primary", elem_id="segment", min_width=80)
        stop = gr.Button("Stop", elem_id="stop", min_width=60)
    paths = gr.State(None), gr.State(None)
    return Inputs(image, paths[0], page, truth, paths[1], remove, model, run, stop)


@dataclass(frozen=True)
class Found:
    """The tab of what was found."""

    tab: gr.Tab
    view: gr.HTML
    words: gr.Markdown
    table: gr.Dataframe
    save: gr.DownloadButton


def found() -> Found:
    """The image and what was found in it."""
    with gr.Tab("Segment", id="segment", elem_id="tab-segment") as tab:
        view = viewer("view", "Choose an image: it is segmented at once.")
        words = gr.Markdown(elem_id="findings", label="Findings")
        table = _table(CLASS_HEADERS, "Classes", "table")
        save = gr.DownloadButton("Download everything (zip)", elem_id="download")
    return Found(tab, view, words, table, save)


@dataclass(frozen=True)
class WeightLab:
    """The tab of the boundary weight map."""

    tab: gr.Tab
    w0: gr.Slider
    sigma: gr.Slider
    view: gr.HTML
    words: gr.Markdown
    save: gr.DownloadButton


def weight_lab() -> WeightLab:
    """Equation 2, map by map."""
    with gr.Tab("Weight map", id="weights", elem_id="tab-weights") as tab:
        with gr.Row():
            w0 = gr.Slider(0, 30, 10, step=0.5, label="w0", elem_id="w0")
            sigma = gr.Slider(0.5, 30, 5, step=0.5, label="sigma (pixels)", elem_id="sigma")
        view = viewer("weights", "Segment an image to see its weight map.")
        words = gr.Markdown(elem_id="weight-words", label="About the maps")
        save = gr.DownloadButton("Download w (TIFF)", elem_id="save-weights")
    return WeightLab(tab, w0, sigma, view, words, save)


@dataclass(frozen=True)
class TileLab:
    """The tab of overlap-tile."""

    tab: gr.Tab
    side: gr.Dropdown
    words: gr.Markdown
    view: gr.HTML
    seen: gr.HTML
    test: gr.Button
    table: gr.Dataframe
    changed: gr.HTML


def tile_lab() -> TileLab:
    """The paper's figure 2, and the seam test."""
    with gr.Tab("Tiles", id="tiles", elem_id="tab-tiles") as tab:
        with gr.Row(equal_height=True):
            side = gr.Dropdown(
                TILE_SIDES, value=AS_SEGMENTED, label="Side of a tile (pixels)", elem_id="side"
            )
            words = gr.Markdown("Click a pixel.", elem_id="tile-words", label="The tile")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                view = viewer("tiles", "Segment an image to see its tiles.")
            with gr.Column(scale=1, min_width=260):
                seen = viewer("seen", "Click a pixel to see what it depends on.")
        test = gr.Button("Seam test: compare tiles with one piece", elem_id="seam-test")
        table = _table(SEAM_HEADERS, "Against the image in one piece", "seams")
        changed = viewer("changed", "The seam test marks pixels that change their class.")
    return TileLab(tab, side, words, view, seen, test, table, changed)


def _table(headers: list[str], label: str, name: str) -> gr.Dataframe:
    return gr.Dataframe(
        headers=headers, datatype="str", interactive=False, label=label, elem_id=name, wrap=True
    )
