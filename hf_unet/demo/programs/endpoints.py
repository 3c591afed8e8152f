"""What programs may ask of the demo, by name: through ``gradio_client``, HTTP or MCP.

Nothing is remembered between two calls: each brings its files and gets its answer. The page's own
events are not among them. Docstrings have the form that Gradio reads ("Args:", a line for each
argument), as it shows them to those who ask what there is.
"""

import tempfile
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio import FileData
from gradio.events import api
from gradio.utils import get_upload_folder
from numpy.typing import NDArray

from hf_unet.demo.actions import new_file
from hf_unet.demo.batch.rows import mean_scores
from hf_unet.demo.batch.segmenting import segment_batch
from hf_unet.demo.given_files import path_of
from hf_unet.demo.labs.weights import check_pixels, weights_as_tiff
from hf_unet.demo.models.loading import bundled_models, first_model, load_model, told_of
from hf_unet.demo.models.names import parse_hub_name
from hf_unet.demo.programs.calls import CURRENT, as_call, stop_session
from hf_unet.demo.segmenting import Stopped, segment_within, stoppable
from hf_unet.demo.uploads import for_visitors, read_page, read_truth
from hf_unet.errors import ImageError
from hf_unet.exports import write_mask_png, write_stack_tiff
from hf_unet.instances import separate_touching
from hf_unet.judgement import overlap_of
from hf_unet.labels import Labels, read_labels
from hf_unet.seams import compare_stitchings
from hf_unet.segmentation import Segmentation
from hf_unet.weight_map import boundary_weight_map

Answer = dict[str, Any]

MODEL = first_model()


def offer(page: gr.Blocks) -> None:
    """Make the endpoints part of the page that is being laid out."""
    for function in ENDPOINTS:
        api(as_call(function))
    page.unload(stop_session)


def models() -> list[str]:
    """Names of the bundled models. Any endpoint also takes org/name of one on the Hub.

    What each of them finds, about_model says: ask it before choosing one.
    """
    return bundled_models()


def about_model(model: str = MODEL) -> Answer:
    """What a model finds, for which images it was trained, its classes and its terms of use.

    The classes are in the order of their indices in a mask; where they may overlap (multilabel),
    of the pages of the mask. What a model of the Hub finds is said in its card only.

    Args:
        model: Name of a bundled model, or org/name or org/name@revision on the Hub.
    """
    network = load_model(str(model))
    about: Answer = {
        "classes": list(network.mask_classes),
        "multilabel": network.multilabel,
        "channels": network.in_channels,
    }
    if model in bundled_models():
        return {**told_of(model), **about}
    return {"card": parse_hub_name(model).page, **about}


def segment(
    image: FileData, truth: FileData | None = None, model: str = MODEL, page: int = 1
) -> tuple[FileData, FileData, Answer]:
    """Segment an image. Gives the mask, the overlay (PNG), and the figures.

    The mask is a PNG of class indices, or of a multi-label model a TIFF with a page for each
    class. The figures are those of result.json, among them the area of each class, its Dice and
    IoU if a ground truth was given, and else the Dice that the model itself expects.

    Args:
        image: PNG, TIFF, JPEG, BMP, WebP; 8 or 16 bits, float, several pages.
        truth: Ground truth of the image's size: a mask, instances, or polygons as JSON.
        model: Name of a bundled model, or org/name or org/name@revision on the Hub.
        page: Page of a file of several pages, from 1.
    """
    result, labels = _segmented(image, truth, model, page)
    stem = Path(result.image.name or "image").stem
    if result.multilabel:
        mask = new_file(f"{stem}-mask.tif")
        write_stack_tiff(mask, result.mask, result.classes)
    else:
        mask = new_file(f"{stem}-mask.png")
        write_mask_png(mask, result.mask)
    overlay = new_file(f"{stem}-overlay.png")
    result.overlay().save(overlay)
    return _file(mask), _file(overlay), result.summary(_figures(result, labels))


def save_all(
    image: FileData, truth: FileData | None = None, model: str = MODEL, page: int = 1
) -> FileData:
    """Segment an image. Gives a zip of everything: mask, probabilities, instances, run lengths.

    In it lie also COCO, GeoJSON, measurements of the objects, the overlay and result.json, from
    which the same mask can be made again.

    Args:
        image: PNG, TIFF, JPEG, BMP, WebP; 8 or 16 bits, float, several pages.
        truth: Ground truth, whose Dice and IoU then stand in result.json.
        model: Name of a bundled model, or org/name or org/name@revision on the Hub.
        page: Page of a file of several pages, from 1.
    """
    result, labels = _segmented(image, truth, model, page)
    archive = new_file(f"{Path(result.image.name or 'image').stem}-segmented.zip")
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        result.save(folder, figures=_figures(result, labels))
        for path in sorted(Path(folder).iterdir()):
            file.write(path, path.name)
    return _file(archive)


def measured_dice(
    image: FileData, truth: FileData, model: str = MODEL, page: int = 1
) -> dict[str, float | None]:
    """Dice of each class against a ground truth; null for a class that neither holds.

    Args:
        image: The image that the truth is of.
        truth: Ground truth of the image's size.
        model: Name of a bundled model, or org/name or org/name@revision on the Hub.
        page: Page of a file of several pages, from 1.
    """
    result, labels = _segmented(image, truth, model, page)
    if labels is None:
        raise ImageError("Give a ground truth; without one, expected_dice answers.")
    return _by_class(result, overlap_of(result, labels).dice)


def expected_dice(
    image: FileData, model: str = MODEL, page: int = 1
) -> dict[str, float | None] | None:
    """Dice of each class that the model itself expects, without a ground truth.

    How well that held is in the model's card. Null for a class that was not found, and as a whole
    for a model that makes no such estimate.

    Args:
        image: PNG, TIFF, JPEG, BMP, WebP; 8 or 16 bits, float, several pages.
        model: Name of a bundled model, or org/name or org/name@revision on the Hub.
        page: Page of a file of several pages, from 1.
    """
    result, _ = _segmented(image, None, model, page)
    return None if result.expected_dice is None else _by_class(result, result.expected_dice)


def weight_map(
    labels: FileData | None = None,
    image: FileData | None = None,
    model: str = MODEL,
    page: int = 1,
    w0: float = 10.0,
    sigma: float = 5.0,
) -> FileData:
    """The boundary weight map of equation 2, as a TIFF of float32.

    Of labels; or, if an image is given instead, of the instances that a model finds in it. Touching
    instances are parted by a border of background first, as for training.

    Args:
        labels: A mask or instances, such as a ground truth.
        image: An image to segment, where there are no labels.
        model: What to segment the image with.
        page: Page of a file of several pages, from 1.
        w0: Weight of the boundary term.
        sigma: Its width, in pixels.
    """
    w0, sigma = _number(w0, "w0"), _number(sigma, "sigma")
    if labels is not None:
        path = _path(labels)
        with for_visitors():
            found = read_labels(path, page=_page(page) - 1)
        instances, name = found.instances(), Path(path).stem
    else:
        result, _ = _segmented(image, None, model, page)
        instances, name = result.instances, Path(result.image.name or "image").stem
    check_pixels(*instances.shape)
    weights = boundary_weight_map(separate_touching(instances), w0=w0, sigma=sigma)
    target = new_file(f"{name}-weight-map.tif")
    target.write_bytes(weights_as_tiff(weights, w0, sigma))
    return _file(target)


def seam_test(image: FileData, model: str = MODEL, page: int = 1) -> list[Answer]:
    """Compare ways to put tiles together with the image in one piece, on this very image.

    For each way: its name, tiles, step (height, width), the largest difference of a probability,
    and how many pixels change their class.

    Args:
        image: PNG, TIFF, JPEG, BMP, WebP; 8 or 16 bits, float, several pages.
        model: Name of a bundled model, or org/name or org/name@revision on the Hub.
        page: Page of a file of several pages, from 1.
    """
    ways = compare_stitchings(load_model(str(model)), read_page(_path(image), _page(page)))
    if ways[0].tiles == 1:
        raise ImageError("This image is too small to cut: it is one tile.")
    return [
        {
            "name": way.name,
            "tiles": way.tiles,
            "step": list(way.step),
            "largest_difference": float(way.largest_difference),
            "pixels_changed": int(way.changed.sum()),
        }
        for way in ways
    ]


def segment_many(
    files: list[FileData], model: str = MODEL, probabilities: bool = False
) -> tuple[FileData, Answer]:
    """Segment many images. Gives a zip, a folder for each, and the figures.

    The figures are a row for each image, and Dice per image and pooled of those that have a ground
    truth. A file that cannot be read has its reason in its row, and loses no other.

    Args:
        files: Images, their ground truths (as cell_01_mask.png is of cell_01.tif), zips of both.
        model: Name of a bundled model, or org/name or org/name@revision on the Hub.
        probabilities: Whether the zip is to hold the probabilities, which are large.
    """
    archive = Path(get_upload_folder()) / uuid.uuid4().hex / "segmented.zip"
    paths = [_path(file) for file in files or ()]
    *_, batch = segment_batch(
        paths, str(model), archive, event=CURRENT.get().stop, probabilities=probabilities
    )
    if CURRENT.get().stop.is_set():  # the zip goes with its batch
        raise Stopped(batch.note)
    target = new_file(archive.name)
    archive.replace(target)  # the batch takes its own folder with it
    means = mean_scores(batch.rows)
    figures: Answer = {"rows": [row.as_json(batch.names) for row in batch.rows]}
    if batch.note:
        figures["note"] = batch.note
    for name, scores in zip(("per_image", "pooled"), means or (), strict=False):
        figures[name] = {
            "dice": _named(batch.names, scores.dice),
            "iou": _named(batch.names, scores.iou),
            "convention": scores.convention,
        }
    return _file(target), figures


ENDPOINTS: tuple[Callable[..., Any], ...] = (
    models,
    about_model,
    segment,
    save_all,
    measured_dice,
    expected_dice,
    weight_map,
    seam_test,
    segment_many,
)


def _segmented(
    image: object, truth: object, model: str, page: int
) -> tuple[Segmentation, Labels | None]:
    pixels = read_page(_path(image), _page(page))
    network = load_model(str(model))
    labels = None if truth is None else read_truth(_path(truth), network, pixels)
    progress = stoppable(CURRENT.get().stop, lambda done, total: None)
    return segment_within(network, pixels, progress), labels


def _page(given: object) -> int:
    # Gradio does not hold programs to the types that it shows them.
    if not isinstance(given, (int, float)) or given != int(given):
        raise ImageError("The page is a whole number, counted from 1.")
    return int(given)


def _number(given: object, name: str) -> float:
    if not isinstance(given, (int, float)):
        raise ValueError(f"{name} is a number.")
    return float(given)


def _path(given: object) -> str:
    return path_of(given, CURRENT.get().folder)


def _file(path: Path) -> FileData:
    answer: FileData = FileData(path=str(path), orig_name=path.name).model_dump()  # type: ignore[assignment]
    return answer


def _figures(result: Segmentation, labels: Labels | None) -> Answer:
    if labels is None:
        expected = result.expected_dice
        return {} if expected is None else {"expected_dice": _by_class(result, expected)}
    scores = overlap_of(result, labels)
    return {
        "dice": _by_class(result, scores.dice),
        "iou": _by_class(result, scores.iou),
        "convention": "Dice and IoU of this one image; null for a class that neither holds",
    }


def _by_class(result: Segmentation, values: NDArray[np.float64]) -> dict[str, float | None]:
    return _named(result.classes, values)


def _named(names: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, float | None]:
    """By class, as JSON has it: NaN is null."""
    return {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(names, values, strict=True)
    }
