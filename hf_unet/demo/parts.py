"""What stands on the page, part by part. What it does is wired in `page`."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from hf_unet.demo.labs.judge import HEADERS as JUDGE_HEADERS
from hf_unet.demo.models.loading import bundled_models, first_model
from hf_unet.demo.viewer import viewer
from hf_unet.demo.words import CLASS_HEADERS

SEAM_HEADERS = [
    "tiles put together by",
    "tiles",
    "step",
    "largest difference",
    "pixels that change class",
]
FILES = """One zip with

- `mask.png`, the class index of each pixel (a multi-page `mask.tif` where classes overlap), and
  `probabilities.tif`;
- `instances.tif`, which ImageJ opens in colour; `objects.geojson` for QuPath; `coco.json`; run
  lengths in `rle.csv`; measurements of each object in `objects.csv`;
- `overlay.png`, and `result.json`, from which `hf-unet segment --from result.json` makes the same
  mask again.
"""
NO_TRUTH = "Ground truth (optional)"
TRUTH, PAINTED = "the ground truth", "the mask painted by hand"
"""What a result can be judged against."""

W0, SIGMA = (0, 30), (0.5, 30)
"""Limits of the weight map's sliders."""

AS_SEGMENTED = "as segmented"
TILE_SIDES = [AS_SEGMENTED, "252", "380", "572", "764", "1020"]


@dataclass(frozen=True)
class Download:
    """A button that makes a file and hands it over, at one click.

    Gradio's own button hands over what was made before. So ``button`` makes it, and then
    presses ``file``, which nobody sees.
    """

    button: gr.Button
    file: gr.DownloadButton

    @property
    def press(self) -> str:
        """JavaScript that presses the unseen button."""
        return f"() => document.querySelector('#{self.file.elem_id}')?.click()"


def download(label: str, name: str, **looks: Any) -> Download:
    """A download, its button called ``name`` on the page."""
    button = gr.Button(label, elem_id=name, **looks)
    return Download(button, gr.DownloadButton(elem_id=f"{name}-file", visible="hidden"))


@dataclass(frozen=True)
class Inputs:
    """The column on the left.

    ``image`` and ``truth`` are where files are dropped, always ready for the next; what was
    dropped last stands in ``image_path`` and ``truth_path``. ``offered`` are the examples that
    go with the model, ``judged`` is the ground truth that an image was last segmented with.
    """

    image: gr.File
    image_path: gr.State
    page: gr.Slider
    truth: gr.File
    truth_path: gr.State
    judged: gr.State
    remove: gr.Button
    model: gr.Dropdown
    about: gr.Markdown
    examples: gr.Dataset
    offered: gr.State
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
        value=first_model(),
        allow_custom_value=True,
        label="Model",
        info="A bundled one, or org/name on the Hub",
        elem_id="model",
    )
    with gr.Accordion("About this model", open=False, elem_id="about-model"):
        about = gr.Markdown(elem_id="about", label="About this model")
    with gr.Row():
        run = gr.Button("Segment", variant="primary", elem_id="segment", min_width=80)
        stop = gr.Button("Stop", elem_id="stop", min_width=60)
    examples = gr.Dataset(
        components=[gr.Textbox(render=False)],
        samples=[["Nuclei"]],
        type="index",
        label="Examples",
        elem_id="examples",
    )
    paths = gr.State(None), gr.State(None), gr.State(None)
    offered = gr.State(())
    return Inputs(
        image, paths[0], page, truth, *paths[1:], remove, model, about, examples, offered, run, stop
    )


@dataclass(frozen=True)
class Found:
    """The tab of what was found."""

    tab: gr.Tab
    view: gr.HTML
    words: gr.Markdown
    table: gr.Dataframe


def found() -> Found:
    """The image and what was found in it."""
    with gr.Tab("Segment", id="segment", elem_id="tab-segment") as tab:
        view = viewer("view", "Choose an image: it is segmented at once.")
        words = gr.Markdown(elem_id="findings", label="Findings", min_height=56)
        table = _table(CLASS_HEADERS, "Classes", "table")
    return Found(tab, view, words, table)


@dataclass(frozen=True)
class JudgeLab:
    """The tab of figures."""

    tab: gr.Tab
    against: gr.Radio
    words: gr.Markdown
    table: gr.Dataframe
    view: gr.HTML
    painted: Download


def judge_lab() -> JudgeLab:
    """Dice and its kin, where the mask errs, and a mask to paint."""
    with gr.Tab("Judge", id="judge", elem_id="tab-judge") as tab:
        against = gr.Radio([TRUTH, PAINTED], label="Against", elem_id="against", visible=False)
        words = gr.Markdown(elem_id="judge-words", label="What is judged")
        table = _table(JUDGE_HEADERS, "Figures of each class", "judge-table")
        view = viewer("judge", "Segment an image to judge its mask.")
        painted = download("Download the painted mask", "save-painted", interactive=False)
    return JudgeLab(tab, against, words, table, view, painted)


@dataclass(frozen=True)
class TakeAway:
    """The tab of files and code."""

    tab: gr.Tab
    save: Download
    python: gr.Code
    shell: gr.Code


def take_away() -> TakeAway:
    """Everything as files, and the code that makes it again."""
    with gr.Tab("Take away", id="take", elem_id="tab-take") as tab:
        gr.Markdown(FILES, elem_id="files")
        save = download("Download everything (zip)", "download", variant="primary")
        gr.Markdown(
            "### Use this in code\nThe same mask, to the last pixel; `models/` is that of a clone "
            "of this project."
        )
        python = gr.Code(language="python", label="Python", elem_id="python", interactive=False)
        shell = gr.Code(language="shell", label="Shell", elem_id="shell", interactive=False)
    return TakeAway(tab, save, python, shell)


@dataclass(frozen=True)
class WeightLab:
    """The tab of the boundary weight map."""

    tab: gr.Tab
    w0: gr.Slider
    sigma: gr.Slider
    view: gr.HTML
    words: gr.Markdown
    save: Download


def weight_lab() -> WeightLab:
    """Equation 2, map by map."""
    with gr.Tab("Weight map", id="weights", elem_id="tab-weights") as tab:
        with gr.Row():
            w0 = gr.Slider(*W0, 10, step=0.5, label="w0", elem_id="w0")
            sigma = gr.Slider(*SIGMA, 5, step=0.5, label="sigma (pixels)", elem_id="sigma")
        view = viewer("weights", "Segment an image to see its weight map.")
        words = gr.Markdown(elem_id="weight-words", label="About the maps")
        save = download("Download w (TIFF)", "save-weights")
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
    tested: gr.State


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
        tested = gr.State(None)  # within the tab: what lies between two tabs is counted as one
    return TileLab(tab, side, words, view, seen, test, table, changed, tested)


def _table(headers: list[str], label: str, name: str) -> gr.Dataframe:
    return gr.Dataframe(
        headers=headers, datatype="str", interactive=False, label=label, elem_id=name, wrap=True
    )
