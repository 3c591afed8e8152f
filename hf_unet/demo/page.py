"""The page: its parts, and which function each of them calls."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from hf_unet.demo import actions, parts
from hf_unet.demo.address_part import address_box, wire_address, wire_paste
from hf_unet.demo.batch.part import batch_tab, wire_batch
from hf_unet.demo.given_files import FencedBlocks
from hf_unet.demo.judging import choose_judgement, score_painted, show_judgement
from hf_unet.demo.parts import SIGMA, W0
from hf_unet.demo.programs import endpoints
from hf_unet.demo.viewer import asset

TITLE = """# U-Net
Segment microscope images by overlap-tile, as in [Ronneberger, Fischer and Brox
(2015)](https://arxiv.org/abs/1505.04597). What you upload is read as it is: 8 or 16 bits, floats,
several pages."""

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Of events that are over before a progress could be read."""

AS_LEFT = f"""(token, ...typed) => {{
  const limits = {[list(W0), list(SIGMA)]};
  return [token, ...typed.map((n, k) => Math.min(Math.max(n, limits[k][0]), limits[k][1]))];
}}"""
"""JavaScript that sends w0 and sigma as their fields show them once they are left."""

AT_ONCE = 2
"""Images segmented at a time, so that a small one need not wait for a large one."""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""Events of the page; programs have endpoints of their own."""


def build() -> gr.Blocks:
    """Lay out the page and wire it."""
    page = FencedBlocks(
        title="U-Net", delete_cache=(3600, 3600), analytics_enabled=False, fill_width=True
    )
    with page:
        endpoints.offer(page)  # first, so that their names are theirs
        token = gr.State(None)
        opened = gr.State("segment")
        gr.Markdown(TITLE, elem_id="title")
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=280, elem_id="given"):
                address = address_box()
                given = parts.inputs(address)
            with (
                gr.Column(scale=4, min_width=320, elem_id="shown"),
                gr.Tabs(elem_id="tabs"),
            ):
                found = parts.found()
                judging = parts.judge_lab()
                weights = parts.weight_lab()
                tiles = parts.tile_lab()
                taken = parts.take_away()
                many = batch_tab()
        _wire(page, token, opened, given, address, found, judging, weights, tiles, taken)
        wire_paste(page)
        wire_batch(page, many, given.model)
    return page


def looks() -> dict[str, Any]:
    """Theme and style sheet, for ``launch``."""
    theme = gr.themes.Default(primary_hue="blue", neutral_hue="slate")
    return {"theme": theme, "css": asset("page.css")}


def _wire(
    page: gr.Blocks,
    token: gr.State,
    opened: gr.State,
    given: parts.Inputs,
    address: gr.Textbox,
    found: parts.Found,
    judging: parts.JudgeLab,
    weights: parts.WeightLab,
    tiles: parts.TileLab,
    taken: parts.TakeAway,
) -> None:
    result = [token, found.view, found.words, found.table]
    weight_inputs, weight_outputs = (
        [token, weights.w0, weights.sigma],
        [weights.view, weights.words],
    )
    tile_outputs = [tiles.view, tiles.seen, tiles.words]
    figures = [judging.words, judging.table]
    judge_outputs = [*figures, judging.against, judging.view]
    code = [taken.python, taken.shell]
    labs = [*judge_outputs, *weight_outputs, *tile_outputs, *code]
    blank = [*result, *labs, tiles.table, tiles.changed]

    def draw_opened(
        opened: str, token: str | None, w0: float, sigma: float, side: str
    ) -> dict[Any, Any]:
        """Draw the tab that is open; the others are drawn when they are opened."""
        shows: dict[str, tuple[list[Any], Callable[[], Any]]] = {
            "judge": (judge_outputs, lambda: show_judgement(token)),
            "weights": (weight_outputs, lambda: actions.show_weights(token, w0, sigma)),
            "tiles": (tile_outputs, lambda: actions.show_tiles(token, side)),
            "take": (code, lambda: actions.show_code(token)),
        }
        if token is None or opened not in shows:
            return {taken.shell: gr.skip()}
        outputs, show = shows[opened]
        return dict(zip(outputs, show(), strict=True))

    draw: dict[str, Any] = {
        "fn": draw_opened,
        "inputs": [opened, *weight_inputs, tiles.side],
        "outputs": labs,
        **QUIET,
    }

    truth_places = [given.truth, given.truth_path, given.remove, given.judged]

    def wipe(truth: str | None, request: gr.Request) -> list[Any]:
        """Stop what is segmented for this visitor; nothing of it stays beside what is new."""
        actions.stop(request)
        return [*[None] * len(blank), gr.Button(interactive=False), truth]

    def begin(event: Any) -> Any:
        """Segment at an event, with the ground truth that is there when it is done."""
        outputs = [*blank, judging.painted.button, given.judged]
        wiped = event(wipe, given.truth_path, outputs, queue=False, **QUIET)
        segmented = wiped.then(
            actions.segment,
            [given.image_path, given.truth_path, given.model, given.page],
            [*result, *truth_places],
            show_progress_on=found.view,
            concurrency_limit=AT_ONCE,
            trigger_mode="multiple",  # the one before, which was stopped, may not have ended
            **PRIVATE,
        )
        truth = [token, given.truth_path]
        caught_up = segmented.success(actions.catch_up, truth, [*result, *truth_places], **QUIET)
        caught_up.then(**draw)
        return segmented

    places = [given.image, given.image_path, given.page, *truth_places]
    uploaded = given.image.upload(
        actions.take_image, [given.image, given.judged, given.truth_path], places, **QUIET
    )
    fetched = wire_address(address, [given.judged, given.truth_path], places)
    offers = [given.examples, given.offered, given.about]
    chosen = given.model.change(  # `input` comes at every leaving of the box
        actions.choose_model,
        [given.model, given.image_path, given.offered],
        [*places, *offers],
        **QUIET,
    )
    example = given.examples.click(
        actions.take_example, [given.examples, given.offered], places, **QUIET
    )
    starts = (
        given.run.click,
        uploaded.then,
        fetched.success,
        given.page.input,  # `release` does not come from the keyboard
        chosen.success,
        example.success,
    )
    running = [begin(event) for event in starts]
    given.stop.click(actions.stop, None, None, queue=False, cancels=running, **PRIVATE)
    page.unload(actions.stop)
    attached = [*result, *truth_places]
    given.truth.upload(actions.attach_truth, [token, given.truth], attached, **QUIET).success(
        **draw
    )
    given.remove.click(
        lambda token: actions.attach_truth(token, None), token, attached, **QUIET
    ).success(**draw)
    page.load(
        actions.open_example,
        None,
        [*result, *places, *offers],
        show_progress_on=found.view,
        **PRIVATE,
    )
    for tab in (found.tab, judging.tab, weights.tab, tiles.tab, taken.tab):
        name = str(tab.id)
        tab.select(lambda name=name: name, None, opened, queue=False, **QUIET).then(**draw)

    for slider in (weights.w0, weights.sigma):
        slider.change(  # `input` comes neither from its reset nor when it mends what was typed
            actions.show_weights,
            weight_inputs,
            weight_outputs,
            js=AS_LEFT,
            trigger_mode="always_last",
            concurrency_limit=4,
            **QUIET,
        )
    _hands_over(weights.save, actions.save_weights, weight_inputs)
    tiles.side.input(actions.show_tiles, [token, tiles.side], tile_outputs, **QUIET)
    tiles.view.pixel(actions.click_tile, [token, tiles.side], tile_outputs, **QUIET)
    seams = [tiles.changed, tiles.table]
    tested = tiles.test.click(
        actions.compare_seams, token, tiles.tested, show_progress_on=seams, **PRIVATE
    )
    tested.success(actions.show_seams, [tiles.tested, token], seams, **QUIET)
    painted = [*figures, judging.against, judging.painted.file, judging.painted.button]
    judging.view.painted(score_painted, token, painted, **QUIET)
    judging.against.input(choose_judgement, [token, judging.against], figures, **QUIET)
    judging.painted.button.click(None, None, None, js=judging.painted.press, **QUIET)
    _hands_over(taken.save, actions.download, [token])


def _hands_over(save: parts.Download, make: Callable[..., str], inputs: list[Any]) -> None:
    """Make a file at a click, then give it to the browser."""
    made = save.button.click(make, inputs, save.file, show_progress_on=save.button, **PRIVATE)
    made.success(None, None, None, js=save.press, **QUIET)
