"""The page: its parts, and which function each of them calls."""

from typing import Any

import gradio as gr

from hf_unet.demo import actions, endpoints, parts
from hf_unet.demo.address_part import address_box, wire_address, wire_paste
from hf_unet.demo.batch_part import batch_tab, wire_batch

TITLE = """# U-Net
Segment microscope images by overlap-tile, as in [Ronneberger, Fischer and Brox
(2015)](https://arxiv.org/abs/1505.04597). What you upload is read as it is: 8 or 16 bits, floats,
several pages."""

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Of events that are over before a progress could be read."""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""Events of the page; programs have endpoints of their own."""


def build() -> gr.Blocks:
    """Lay out the page and wire it."""
    page = gr.Blocks(
        title="U-Net", delete_cache=(3600, 3600), analytics_enabled=False, fill_width=True
    )
    with page:
        endpoints.offer()  # first, so that their names are theirs
        token = gr.State(None)
        opened = gr.State("segment")
        gr.Markdown(TITLE)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=280):
                address = address_box()
                given = parts.inputs(address)
            with gr.Column(scale=4, min_width=320), gr.Tabs(elem_id="tabs"):
                found = parts.found()
                weights = parts.weight_lab()
                tiles = parts.tile_lab()
                many = batch_tab()
        _wire(page, token, opened, given, address, found, weights, tiles)
        wire_paste(page)
        wire_batch(page, many, given.model)
    return page


def _wire(
    page: gr.Blocks,
    token: gr.State,
    opened: gr.State,
    given: parts.Inputs,
    address: gr.Textbox,
    found: parts.Found,
    weights: parts.WeightLab,
    tiles: parts.TileLab,
) -> None:
    result = [token, found.view, found.words, found.table]
    weight_inputs, weight_outputs = (
        [token, weights.w0, weights.sigma],
        [weights.view, weights.words],
    )
    tile_outputs = [tiles.view, tiles.seen, tiles.words]
    labs = [*weight_outputs, *tile_outputs, tiles.table, tiles.changed]
    blank = [*result, *labs, found.save, weights.save]

    def draw_opened(
        opened: str, token: str | None, w0: float, sigma: float, side: str
    ) -> dict[Any, Any]:
        """Draw the tab that is open; the others are drawn when they are opened."""
        if token is None or opened == "segment":
            return {found.save: gr.skip()}
        if opened == "weights":
            drawn: Any = actions.show_weights(token, w0, sigma)
            return dict(zip(weight_outputs, drawn, strict=True))
        return dict(zip(tile_outputs, actions.show_tiles(token, side), strict=True))

    draw: dict[str, Any] = {
        "fn": draw_opened,
        "inputs": [opened, *weight_inputs, tiles.side],
        "outputs": [*labs, found.save],
        **QUIET,
    }

    def begin(event: Any) -> Any:
        """Segment at an event: nothing of the image before stays beside a new one."""
        wiped = event(lambda: [None] * len(blank), None, blank, **QUIET)
        segmented = wiped.then(
            actions.segment,
            [given.image_path, given.truth_path, given.model, given.page],
            result,
            show_progress_on=found.view,
            **PRIVATE,
        )
        segmented.success(**draw)
        return segmented

    truth_places = [given.truth, given.truth_path, given.remove]
    places = [given.image, given.image_path, given.page, *truth_places]
    uploaded = given.image.upload(
        actions.take_image, [given.image, token, given.truth_path], places, **QUIET
    )
    fetched = wire_address(address, [token, given.truth_path], places)
    starts = (
        given.run.click,
        uploaded.then,
        fetched.success,
        given.page.release,
        given.model.input,
    )
    running = [begin(event) for event in starts]
    given.stop.click(actions.stop, None, None, queue=False, cancels=running, **PRIVATE)
    page.unload(actions.stop)
    for taken in (
        given.truth.upload(actions.take_truth, given.truth, truth_places, **QUIET),
        given.remove.click(lambda: actions.take_truth(None), None, truth_places, **QUIET),
    ):
        judged = taken.then(actions.attach_truth, [token, given.truth_path], result, **QUIET)
        judged.success(**draw)
    page.load(
        actions.open_example, None, [*result, *places], show_progress_on=found.view, **PRIVATE
    )
    for tab in (found.tab, weights.tab, tiles.tab):
        name = str(tab.id)
        tab.select(lambda name=name: name, None, opened, queue=False, **QUIET).then(**draw)

    for slider in (weights.w0, weights.sigma):
        slider.input(
            actions.show_weights,
            weight_inputs,
            weight_outputs,
            trigger_mode="always_last",
            concurrency_limit=4,
            **QUIET,
        )
    weights.save.click(actions.save_weights, weight_inputs, weights.save, **PRIVATE)
    tiles.side.input(actions.show_tiles, [token, tiles.side], tile_outputs, **QUIET)
    tiles.view.pixel(actions.click_tile, [token, tiles.side], tile_outputs, **QUIET)
    tiles.test.click(actions.compare_seams, token, [tiles.changed, tiles.table], **PRIVATE)
    found.save.click(actions.download, token, found.save, **PRIVATE)
