"""The demo: upload an image, see its mask, its Dice and its weight map. Calls hf_unet and draws.

Run it with ``python app.py``; on a Space the same file is run. Every function stands at module
level and is also an endpoint for gradio_client.
"""

import os
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import cv2
import gradio as gr
import numpy as np
from numpy.typing import NDArray

from hf_unet.demo.mcp_server import wants_mcp
from hf_unet.demo.models import EXAMPLES, bundled_models, load_model
from hf_unet.display import displayed, draw_tiles, window_of
from hf_unet.errors import ImageError
from hf_unet.images import ScienceImage, read_image
from hf_unet.instances import separate_touching
from hf_unet.labels import Labels, read_labels
from hf_unet.metrics import average_precision, class_counts, scores_per_image
from hf_unet.network import SegmentationNetwork
from hf_unet.seams import compare_seams
from hf_unet.segmentation import Segmentation
from hf_unet.tiles import mirror_indices
from hf_unet.weight_map import instance_distances, weight_map_from_distances

HERE = Path(__file__).resolve().parent
MAX_PIXELS = 100_000_000
SHOWN_SIDE = 2048
"""Pictures in the page are shrunk to this side; files to download never are."""

TITLE = """# U-Net
Segment a microscope image by overlap-tile, as in [Ronneberger, Fischer and Brox (2015)](https://arxiv.org/abs/1505.04597).
Images may have 8 or 16 bits, floats or several pages; what you upload is read as it is."""

EXAMPLE_ROWS = (
    ("Nuclei, 16 bits, with ground truth", "nuclei.tif", "nuclei_truth.tif", "nuclei"),
    ("Nuclei, 8 bits", "nuclei_8bit.png", None, "nuclei"),
)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Shown:
    """What one person's page shows, kept for the sliders and the download."""

    result: Segmentation
    model: str
    name: str
    distances: tuple[NDArray[np.float32], NDArray[np.float32]]
    source: str


Function = TypeVar("Function", bound=Callable[..., Any])


def with_sentences(function: Function) -> Function:
    """Show what the library has to say of bad input in the page, in place of a stack trace."""

    @wraps(function)
    def shown(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except ValueError as error:  # ImageError, LabelError, ModelError: sentences for people
            raise gr.Error(str(error), duration=None, print_exception=False) from error

    return shown  # type: ignore[return-value]


@with_sentences
def segment(
    image: str | None,
    truth: str | None,
    model: str,
    page: float = 1,
    progress: Any = gr.Progress(),  # noqa: B008  gradio finds it here
) -> tuple[Shown, Picture, Picture, Picture, list[list[str]], str]:
    """Segment an image by overlap-tile and, if there is a ground truth, score it.

    Parameters
    ----------
    image
        File of the image: PNG, TIFF, JPEG, BMP, WebP or GIF, of any bit depth.
    truth
        File of the ground truth, of the same size: class map or instance labels. May be left out.
    model
        Name of a bundled model, or ``org/name`` on the Hub.
    page
        Page of a multi-page file, from 1.

    Returns
    -------
    Overlay, mask and tiles as pictures, the table of classes, and what was found in words.
    """
    if not image:
        raise ImageError("Choose an image first.")
    network = load_model(model)
    pixels = read_page(image, page)
    labels = read_truth(truth, network, pixels) if truth else None
    result = network.segment(pixels, progress=lambda n, of: progress((n, of), unit="tiles"))
    # Classes that overlap have no one instance to a pixel; the prediction has settled that.
    predicted = labels is None or labels.kind == "multilabel"
    instances = separate_touching(result.instances if predicted else labels.instances())
    shown = Shown(
        result=result,
        model=model,
        name=Path(image).stem,
        distances=instance_distances(instances),
        source="predicted mask" if predicted else "ground truth",
    )
    return (
        shown,
        shrunk(np.asarray(result.overlay())),
        shrunk(mask_picture(result)),
        tile_picture(result),
        table_of(result, labels),
        findings(result, labels, pixels),
    )


def read_page(path: str, page: float | None) -> ScienceImage:
    """A page of an image file, counted from 1 as people do."""
    number = 1 if page is None else int(page)
    first = read_image(path, max_pixels=MAX_PIXELS)
    if not 1 <= number <= first.pages:
        pages = "1 page" if first.pages == 1 else f"{first.pages} pages"
        raise ImageError(f"{Path(path).name} has {pages}: there is no page {number}.")
    return first if number == 1 else read_image(path, page=number - 1, max_pixels=MAX_PIXELS)


def read_truth(path: str, network: SegmentationNetwork, pixels: ScienceImage) -> Labels:
    """The ground truth in the network's classes; `LabelError` if it does not fit.

    Of a stack with as many pages as the image's, the same page.
    """
    if network.multilabel:
        return read_labels(path, network.mask_classes, kind="multilabel", size=pixels.shape[1:])
    page = pixels.page if pixels.pages > 1 and pages_of(path) == pixels.pages else 0
    return read_labels(path, network.mask_classes, page=page, size=pixels.shape[1:])


def pages_of(path: str) -> int:
    """Pages of an image file; 1 for what is no image, such as polygons."""
    try:
        return read_image(path, max_pixels=MAX_PIXELS).pages
    except ImageError:
        return 1


def table_of(result: Segmentation, labels: Labels | None) -> list[list[str]]:
    """Rows of class, area, share of the image, Dice and IoU (a dash without ground truth)."""
    total = result.plan.height * result.plan.width
    rows = [
        [name, f"{area:,}", f"{area / total:.1%}", "-", "-"] for name, area in result.areas.items()
    ]
    if labels is not None:
        truth = labels.stack() if result.multilabel else labels.class_map()
        scores = scores_per_image([class_counts(truth, result.mask, len(result.classes))])
        for row, dice, iou in zip(rows, scores.dice, scores.iou, strict=True):
            row[3:] = ["absent" if np.isnan(v) else f"{v:.4f}" for v in (dice, iou)]
    return rows


def findings(result: Segmentation, labels: Labels | None, pixels: ScienceImage) -> str:
    """What was read and found, in a few sentences."""
    plan, count = result.plan, len(result.objects.class_of)
    channels = "channel" if len(pixels) == 1 else "channels"
    lines = [
        f"**Image:** {plan.width} x {plan.height} pixels, {len(pixels)} {channels} of "
        f"{pixels.bit_depth} bits"
        + (f", page {pixels.page + 1} of {pixels.pages}" if pixels.pages > 1 else "")
        + f". **Found:** {count:,} instances in {len(plan.tiles)} "
        + ("tile" if len(plan.tiles) == 1 else "tiles")
        + f" of {plan.side[1]} x {plan.side[0]} pixels, margin {plan.margin}."
    ]
    if labels is None:
        lines.append("Upload a ground truth to see Dice and IoU.")
        return "\n\n".join(lines)
    lines.append(
        f"**Ground truth:** {labels.found}. Dice and IoU are of this one image; a class in "
        "neither truth nor prediction is called absent."
    )
    if labels.kind == "instances":
        precision = average_precision(labels.instances(), result.instances, (0.5,))[0]
        lines[-1] += f" Average precision of the instances at IoU 0.5: **{precision:.3f}**."
    return "\n\n".join(lines)


@with_sentences
def weight_map(shown: Shown | None, w0: float = 10.0, sigma: float = 5.0) -> tuple[Picture, str]:
    """Boundary weight map of the image segmented last: the paper's eq. 2.

    Parameters
    ----------
    w0
        Weight of the separation border, 0 or more.
    sigma
        Its width in pixels, above 0.

    Returns
    -------
    The map as a picture, and its range in words.
    """
    shown = segmented(shown)
    if w0 is None or sigma is None:
        raise ValueError("Give w0 and sigma a number.")
    weights = weight_map_from_distances(*shown.distances, w0=w0, sigma=sigma)
    low, high = float(weights.min()), float(weights.max())
    scaled = shrunk((weights - low) / max(high - low, 1e-6))
    colored = cv2.applyColorMap((scaled * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    legend = (
        f"w(x) = w_c(x) + {w0:g} exp(-(d1 + d2)² / (2 · {sigma:g}²)), from the {shown.source}: "
        f"black is **{low:.2f}**, yellow **{high:.2f}**. Touching instances are parted by a "
        "border of background first, as for training."
    )
    return cv2.cvtColor(colored, cv2.COLOR_BGR2RGB), legend


@with_sentences
def seam_test(shown: Shown | None) -> str:
    """Segment the image again in small tiles and in one piece, and compare the two.

    Returns
    -------
    The largest difference in probability, and how many pixels change their class.
    """
    shown = segmented(shown)
    image = shown.result.image
    test = compare_seams(load_model(shown.model), image)
    first = f" (its first {test.width} x {test.height} pixels)"
    part = "" if (test.height, test.width) == image.shape[1:] else first
    if test.tiles == 1:
        return "This image is too small to cut: it is one tile."
    return (
        f"This image{part} in {test.tiles} tiles of {test.side[1]} x {test.side[0]} pixels and in "
        f"one piece: the probabilities differ by at most **{test.largest_difference:.2g}**, and "
        f"**{test.changed_pixels}** pixels change their class."
    )


@with_sentences
def download(shown: Shown | None) -> str:
    """Everything about the image segmented last, as one zip.

    Returns
    -------
    Zip of the class mask (PNG), instances (TIFF), run lengths (CSV), outlines (GeoJSON), overlay
    and settings.
    """
    shown = segmented(shown)
    # In Gradio's own folder, which it empties: see delete_cache.
    place = Path(gr.utils.get_upload_folder()) / uuid.uuid4().hex
    place.mkdir(parents=True)
    archive = place / f"{shown.name}-segmented.zip"
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        for path in sorted(shown.result.save(folder).iterdir()):
            file.write(path, path.name)
    return str(archive)


def segmented(shown: Shown | None) -> Shown:
    """What the page shows, if it shows anything yet."""
    if shown is None:
        raise ImageError("Segment an image first.")
    return shown


def shrunk(picture: NDArray[Any]) -> NDArray[Any]:
    """The picture, its longer side at most ``SHOWN_SIDE`` pixels; no new values are mixed."""
    factor = -(-max(picture.shape[:2]) // SHOWN_SIDE)
    return np.ascontiguousarray(picture[::factor, ::factor])


def mask_picture(result: Segmentation) -> Picture:
    """The mask in the colours of its classes; of overlapping classes the last is on top."""
    picture = np.zeros((result.plan.height, result.plan.width, 3), np.uint8)
    for index, color in enumerate(result.rgb_colors.values()):
        picture[result.class_pixels(index)] = color
    return picture


def tile_picture(result: Segmentation) -> Picture:
    """The paper's figure 2: the mirrored image, what tiles decide, and what one of them sees."""
    plan, image = result.plan, result.image
    height, width = plan.height + 2 * plan.margin, plan.width + 2 * plan.margin
    factor = -(-max(height, width) // SHOWN_SIDE)
    rows = mirror_indices(-plan.margin, height, plan.height)[::factor]
    columns = mirror_indices(-plan.margin, width, plan.width)[::factor]
    mirrored = image[:, rows[:, None], columns]
    return draw_tiles(displayed(mirrored, window_of(image)), plan, factor)


def example_rows() -> list[list[str | int | None]]:
    """Files of the examples, image and truth, the model that they are for, and the page."""
    return [
        [str(EXAMPLES / image), None if truth is None else str(EXAMPLES / truth), model, 1]
        for _, image, truth, model in EXAMPLE_ROWS
    ]


def build() -> gr.Blocks:
    """Lay out the page."""
    with gr.Blocks(title="U-Net", delete_cache=(3600, 3600), analytics_enabled=False) as page:
        shown = gr.State(None)
        gr.Markdown(TITLE)
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                image = gr.File(label="Image", elem_id="image", height=120)
                truth = gr.File(label="Ground truth (optional)", elem_id="truth", height=120)
                model = gr.Dropdown(
                    bundled_models(),
                    value="nuclei",
                    allow_custom_value=True,
                    label="Model",
                    info="A bundled one, or org/name on the Hub",
                    elem_id="model",
                )
                number = gr.Number(1, minimum=1, precision=0, label="Page", elem_id="page")
                run = gr.Button("Segment", variant="primary", elem_id="segment")
                examples = gr.Examples(
                    example_rows(),
                    [image, truth, model, number],
                    example_labels=[label for label, *_ in EXAMPLE_ROWS],
                    api_name=False,
                )
            with gr.Column(scale=3, min_width=320):
                with gr.Tabs():
                    with gr.Tab("Overlay"):
                        overlay = _picture("overlay", "Overlay")
                    with gr.Tab("Mask"):
                        mask = _picture("mask", "Mask")
                    with gr.Tab("Weight map"):
                        with gr.Row():
                            w0 = gr.Slider(0, 30, 10, step=0.5, label="w0", elem_id="w0")
                            sigma = gr.Slider(
                                0.5, 30, 5, step=0.5, label="sigma (pixels)", elem_id="sigma"
                            )
                        weights = _picture("weights", "Boundary weight map")
                        legend = gr.Markdown(elem_id="legend", label="Formula and range")
                    with gr.Tab("Tiles"):
                        tiles = _picture("tiles", "Mirrored image and tiles")
                        gr.Markdown(
                            "**Yellow**: what each tile decides; together they are the image. "
                            "Beyond it lies the margin, filled by mirroring. **Blue**: what the "
                            "network sees to decide the first of them."
                        )
                        seams = gr.Button("Seam test: compare tiles with one piece")
                        seam_words = gr.Markdown(elem_id="seams", label="Seams")
                table = gr.Dataframe(
                    headers=["class", "area (pixels)", "share", "Dice", "IoU"],
                    datatype="str",
                    interactive=False,
                    label="Classes",
                    elem_id="table",
                )
                words = gr.Markdown(elem_id="findings", label="Findings")
                save = gr.DownloadButton("Download everything (zip)", elem_id="download")
        outputs = [shown, overlay, mask, tiles, table, words]
        inputs = [image, truth, model, number]
        # Nothing of the image before stays beside a new one, also when that cannot be segmented.
        blank = [*outputs, weights, legend, seam_words, save]
        nothing = [None] * len(blank)
        for start, segment_name, download_name in (
            (run.click, "segment", "download"),
            (examples.load_input_event.then, False, False),
        ):
            wiped = start(lambda: nothing, None, blank, api_name=False, show_progress="hidden")
            found = wiped.then(segment, inputs, outputs, api_name=segment_name)
            drawn = found.success(weight_map, [shown, w0, sigma], [weights, legend], api_name=False)
            drawn.success(download, shown, save, api_name=download_name)
        seams.click(seam_test, shown, seam_words, api_name="seam_test")
        for slider, name in ((w0, "weight_map"), (sigma, False)):
            slider.input(
                weight_map,
                [shown, w0, sigma],
                [weights, legend],
                api_name=name,
                trigger_mode="always_last",
                show_progress="hidden",
                concurrency_limit=4,
            )
    return page


def _picture(name: str, label: str) -> gr.Image:
    return gr.Image(
        format="png",  # the default, WebP, would mix colours
        image_mode=None,
        interactive=False,
        label=label,
        elem_id=name,
        buttons=["download", "fullscreen"],
        height=560,
    )


def main() -> None:
    """Open the page."""
    try:
        mcp_server = wants_mcp()
    except ValueError as error:
        sys.exit(f"app.py: {error}")
    build().queue(max_size=32).launch(
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate"),
        max_file_size="300mb",
        show_error=True,
        mcp_server=mcp_server,
        inbrowser="SPACE_ID" not in os.environ,
    )


if __name__ == "__main__":
    main()
