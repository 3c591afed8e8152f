"""What happens when something on the page is touched. Each function stands for one event."""

import tempfile
import uuid
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from hf_unet.demo.labs.judge import figures_of
from hf_unet.demo.labs.tiles import (
    pixel_of,
    seam_scene,
    seam_table,
    seen_scene,
    sight,
    tile_scene,
    tile_words,
)
from hf_unet.demo.labs.weights import weight_scene, weight_tiff, weight_words
from hf_unet.demo.models.examples import Example
from hf_unet.demo.models.loading import bundled_examples, bundled_models, examples_of, load_model
from hf_unet.demo.opening import opening
from hf_unet.demo.parts import NO_TRUTH
from hf_unet.demo.segmenting import JOBS, segment_upload, segmentation_scene, with_truth
from hf_unet.demo.shown import Shown, described, shown_of
from hf_unet.demo.uploads import MOST_PAGES, pages_of
from hf_unet.demo.words import about_model, class_table, findings, warn, with_sentences
from hf_unet.errors import ImageError, LabelError, ModelError
from hf_unet.seams import compare_stitchings
from hf_unet.snippets import Snippet
from hf_unet.tiles import TilePlan

Described = dict[str, object]

KEEP_RESULT: list[Any] = [gr.skip()] * 4
"""For token, scene, words and table, where they stay as they are."""

KEEP_TRUTH: list[Any] = [gr.skip()] * 4
"""For what `take_truth` gives, likewise."""


def visitor_of(request: gr.Request | None) -> str:
    """Who asks: one page of one browser."""
    return str(getattr(request, "session_hash", None) or "")


@with_sentences
def segment(
    image: str | None,
    truth: str | None,
    model: str,
    page: float | None,
    request: gr.Request,
    progress: Any = gr.Progress(),  # noqa: B008  gradio finds it here
) -> list[Any]:
    """Segment what was uploaded: token, scene, words and table, and the ground truth's places.

    A ground truth that does not fit is put away with its sentence; it never stops an image.
    """

    def segmented(truth: str | None) -> str:
        return segment_upload(
            image,
            truth,
            model,
            page,
            visitor=visitor_of(request),
            progress=lambda done, total: progress((done, total), unit="tiles"),
        )

    try:
        token, places = segmented(truth), KEEP_TRUTH
    except LabelError as error:
        warn(error)
        token, places = segmented(None), take_truth(None)
    return [token, *show_segmentation(token), *places]


@with_sentences
def open_example() -> tuple[Any, ...]:
    """What the page opens with: the result of an example, its files as if dropped, and others."""
    token, example = opening()
    examples = bundled_examples_of(example.model)
    told = about_model(example.model)
    *places, _ = _given(example)
    judged = None if example.truth is None else str(example.truth)
    return token, *show_segmentation(token), *places, judged, *_offered(examples), told


@with_sentences
def choose_model(model: str, image: str | None, offered: Sequence[Example]) -> list[Any]:
    """Another model was chosen: its examples are offered, and take the place of another's.

    One without examples is shown another's image, but not the truth: that is in other classes.
    """
    examples = examples_for(model)
    given: list[Any] = [gr.skip()] * 7
    if image in [str(example.image) for example in offered]:
        given = _given(examples[0]) if examples else take_image(image, None, None)
    return [*given, *_offered(examples), about_model(model)]


@with_sentences
def take_example(index: int, offered: Sequence[Example]) -> list[Any]:
    """An example was chosen: its files as if dropped."""
    if not 0 <= index < len(offered):
        raise ImageError("There is no such example. Choose another one.")
    return _given(offered[index])


def examples_for(model: str) -> tuple[Example, ...]:
    """Examples that go with a model; none where they cannot be had."""
    try:
        return examples_of(model, new_file("example").parent)
    except ModelError:  # said when the model itself is asked for
        return ()


def bundled_examples_of(model: str) -> tuple[Example, ...]:
    """Examples of a bundled model."""
    return tuple(example for example in bundled_examples() if example.model == model)


def _given(example: Example) -> list[Any]:
    truth = None if example.truth is None else str(example.truth)
    return take_image(str(example.image), None, truth)


def _offered(examples: Sequence[Example]) -> list[Any]:
    samples = [[example.label] for example in examples]
    return [gr.Dataset(samples=samples, visible=bool(samples)), tuple(examples)]


@with_sentences
def attach_truth(token: str | None, dropped: str | None) -> Sequence[Any]:
    """Another ground truth, or none, beside what is shown; nothing is segmented again.

    If it does not fit, its sentence is shown and the one before stays; it may be that of the image
    that comes next.
    """
    if token is None:  # it is for the image that comes
        return [*KEEP_RESULT, *take_truth(dropped)]
    try:
        token = with_truth(token, dropped)
    except LabelError as error:
        warn(error)
        return [*KEEP_RESULT, *take_truth(dropped, label="Ground truth of the next image")]
    return [token, *show_segmentation(token), *take_truth(dropped, used=True)]


@with_sentences
def catch_up(token: str | None, truth: str | None) -> Sequence[Any]:
    """The ground truth as it is now, if it was changed while the image was segmented."""
    if shown_of(token).truth == truth:
        return [*KEEP_RESULT, *KEEP_TRUTH]
    return attach_truth(token, truth)


def take_image(image: str | None, judged: str | None, truth: str | None) -> list[Any]:
    """A file was dropped: it is the image now, and the place is free for the next one.

    The ground truth that an image before was ``judged`` by does not stay for this one.
    """
    if truth == judged:
        truth = None
    pages = min(pages_of(image), MOST_PAGES) if image else 1
    slider = gr.Slider(maximum=max(2, pages), value=1, visible=pages > 1)
    return [_dropped("Image", image), image, slider, *take_truth(truth)]


def take_truth(truth: str | None, *, used: bool = False, label: str = "Ground truth") -> list[Any]:
    """A file was dropped, or put away: it is the ground truth now.

    ``used``: it judges the image that is shown, and so will not stay for the next one.
    """
    place = _dropped(label, truth) if truth else gr.File(value=None, label=NO_TRUTH)
    return [place, truth, gr.Button(visible=truth is not None), truth if used else None]


def _dropped(label: str, path: str | None) -> gr.File:
    return gr.File(value=None, label=f"{label}: {Path(path).name}" if path else label)


def show_segmentation(token: str) -> tuple[Described, str, list[list[str]]]:
    """Scene, words and table of a result."""
    shown = shown_of(token)
    scene = described(token, "segment", shown.scene("segment", segmentation_scene))
    return scene, findings(shown), class_table(shown)


def stop(request: gr.Request) -> None:
    """Stop this visitor's segmentation before its next tile."""
    JOBS.stop(visitor_of(request))


@with_sentences
def show_weights(token: str | None, w0: float, sigma: float) -> tuple[Described, str]:
    """The weight-map lab's scene and words."""
    shown = shown_of(token)
    scene = weight_scene(shown, w0, sigma)
    return described(str(token), "weights", scene), weight_words(shown)


@with_sentences
def save_weights(token: str | None, w0: float, sigma: float) -> str:
    """The weight map as a TIFF to download."""
    shown = shown_of(token)
    path = new_file(f"{Path(shown.name).stem}-weight-map.tif")
    path.write_bytes(weight_tiff(shown, w0, sigma))
    return str(path)


@with_sentences
def show_tiles(token: str | None, side: str) -> tuple[Described, None, str]:
    """The overlap-tile lab's scene and words, before a pixel was clicked."""
    shown = shown_of(token)
    plan = lab_plan(shown, side)
    shown.scenes["tiles"] = scene = tile_scene(shown, plan)
    return described(str(token), "tiles", scene), None, tile_words(plan, 0, 0)


@with_sentences
def click_tile(
    token: str | None, side: str, event: gr.EventData
) -> tuple[Described, Described, str]:
    """The tile that decides the clicked pixel, and what that pixel can depend on."""
    shown = shown_of(token)
    plan = lab_plan(shown, side)
    x, y = pixel_of(plan, int(event.x), int(event.y))
    clicked = sight(load_model(shown.model), x, y)
    shown.scenes["tiles"] = tiles = tile_scene(shown, plan, clicked)
    shown.scenes["seen"] = seen = seen_scene(shown, clicked)
    words = tile_words(plan, x, y)
    return described(str(token), "tiles", tiles), described(str(token), "seen", seen), words


def lab_plan(shown: Shown, side: str) -> TilePlan:
    """The tiles that were used, or such of another side."""
    plan = shown.result.plan
    if not side.isdecimal():
        return plan
    return load_model(shown.model).plan(plan.height, plan.width, int(side))


@with_sentences
def compare_seams(token: str | None) -> tuple[str, list[list[str]]]:
    """Three ways to put tiles together against the image in one piece: whose, and the table."""
    shown = shown_of(token)
    ways = compare_stitchings(load_model(shown.model), shown.result.image)
    if ways[0].tiles == 1:
        raise ImageError("This image is too small to cut: it is one tile.")
    shown.scenes["seams"] = seam_scene(shown, ways)
    return str(token), seam_table(ways)


@with_sentences
def show_seams(tested: tuple[str, list[list[str]]], token: str | None) -> Sequence[Any]:
    """Scene and table of a seam test, unless another image has come in its place meanwhile."""
    before, table = tested
    shown = shown_of(before)
    if token is None or shown_of(token).result is not shown.result:
        return [gr.skip()] * 2
    return described(before, "seams", shown.scenes["seams"]), table


@with_sentences
def show_code(token: str | None) -> tuple[str, str]:
    """Python and shell that make the same mask."""
    shown = shown_of(token)
    origin = load_model(shown.model).origin
    bundled = shown.model in bundled_models()
    snippet = Snippet(
        model=f"models/{shown.model}" if bundled or origin is None else origin.name,
        revision=None if bundled or origin is None else origin.revision,
        image=shown.name,
        page=shown.result.image.page,
    )
    return snippet.python, snippet.shell


@with_sentences
def download(token: str | None) -> str:
    """Everything about the image segmented last, as one zip."""
    shown = shown_of(token)
    figures = figures_of(shown)
    archive = new_file(f"{Path(shown.name).stem}-segmented.zip")
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        for path in sorted(shown.result.save(folder, figures=figures).iterdir()):
            file.write(path, path.name)
    return str(archive)


def new_file(name: str) -> Path:
    """A place for a file to download, in Gradio's own folder, which it empties by itself."""
    place = Path(gr.utils.get_upload_folder()) / uuid.uuid4().hex
    place.mkdir(parents=True)
    return place / name
