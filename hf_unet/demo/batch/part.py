"""The tab of many images: what stands in it, and what its parts do."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from hf_unet.demo.actions import visitor_of
from hf_unet.demo.batch.rows import cells_of, headers_of, mean_scores
from hf_unet.demo.batch.segmenting import BATCHES, MOST_IMAGES, Batch, scene_of_row, segment_batch
from hf_unet.demo.segmenting import JOBS
from hf_unet.demo.shown import described_alone
from hf_unet.demo.viewer import viewer
from hf_unet.demo.words import in_sentences, plain, with_sentences
from hf_unet.metrics import OverlapScores

ABOUT = f"""Up to {MOST_IMAGES} images, or zips of them, with the model that is chosen. A file such
as `cell_01_mask.png`, or `cell_01.png` in a folder `masks`, is the truth of `cell_01.tif`."""

EMPTY_HEADERS = ["#", "image", "size", "instances", "note"]

WIDTHS = {"#": "50px", "image": "220px", "size": "120px", "instances": "110px", "note": "460px"}
"""Of columns, so that a sentence can be read."""

MOST_LISTED = 5
"""Files that were not segmented, above the table."""

AT_ONCE = 2
"""Batches that are segmented at a time; the others wait."""


@dataclass(frozen=True)
class BatchTab:
    """The tab of many images."""

    tab: gr.Tab
    files: gr.File
    probabilities: gr.Checkbox
    run: gr.Button
    stop: gr.Button
    save: gr.DownloadButton
    words: gr.Markdown
    table: gr.Dataframe
    view: gr.HTML
    token: gr.State


def batch_tab() -> BatchTab:
    """Many images at once."""
    with gr.Tab("Many images", id="batch", elem_id="tab-batch") as tab:
        gr.Markdown(ABOUT)
        files = gr.File(
            label="Images, ground truths, zips",
            file_count="multiple",
            elem_id="batch-files",
            height=160,
        )
        with gr.Row():
            run = gr.Button(
                "Segment all", variant="primary", elem_id="batch-run", min_width=160, scale=0
            )
            stop = gr.Button("Stop", elem_id="batch-stop", min_width=100, scale=0)
            save = gr.DownloadButton(
                "Download all (zip)",
                elem_id="batch-save",
                interactive=False,
                min_width=240,
                scale=0,
            )
        probabilities = gr.Checkbox(
            label="Probabilities in the zip too (large)",
            elem_id="batch-probabilities",
            container=False,
        )
        words = gr.Markdown(elem_id="batch-words", label="Figures", min_height=100)
        table = gr.Dataframe(
            headers=EMPTY_HEADERS,
            datatype="str",
            interactive=False,
            label="Images: click a row to look at it",
            elem_id="batch-table",
            max_height=420,
            wrap=True,
        )
        view = viewer("batch-view", "Click a row of the table to look at its result.")
        token = gr.State(None)
    return BatchTab(tab, files, probabilities, run, stop, save, words, table, view, token)


def wire_batch(page: gr.Blocks, tab: BatchTab, model: gr.Dropdown) -> None:
    """Let the tab's buttons and its table do their work."""
    private: dict[str, Any] = {"api_visibility": "private"}
    shown = [tab.token, tab.table, tab.words, tab.save, tab.view]
    tab.run.click(
        run,
        [tab.files, model, tab.probabilities],
        shown,
        show_progress_on=tab.words,
        concurrency_limit=AT_ONCE,
        **private,
    )
    tab.stop.click(stop, None, None, queue=False, **private)
    page.unload(stop)
    tab.table.select(look_at, tab.token, tab.view, show_progress_on=tab.view, **private)


Shown = tuple[str | None, gr.Dataframe, str, gr.DownloadButton, Any]


def run(
    files: list[str] | None,
    model: str,
    probabilities: bool,
    request: gr.Request,
    progress: Any = gr.Progress(),  # noqa: B008  gradio finds it here
) -> Iterator[Shown]:
    """Segment all files; the table grows row by row."""
    visitor = visitor_of(request) + " batch"
    event = JOBS.begin(visitor)
    archive = Path(gr.utils.get_upload_folder()) / uuid.uuid4().hex / "segmented.zip"
    token, ended = None, False
    try:
        with in_sentences():
            for batch in segment_batch(
                files,
                model,
                archive,
                event=event,
                report=lambda share, line: progress(share, desc=line),
                probabilities=probabilities,
            ):
                token, ended = token or BATCHES.keep(batch), batch.ended
                yield token, *_shown(batch)
    finally:
        JOBS.end(visitor, event)
        if not ended:  # the page was closed, or something broke
            BATCHES.drop(token)


def _shown(batch: Batch) -> tuple[gr.Dataframe, str, gr.DownloadButton, None]:
    headers = headers_of(batch.rows, batch.names, batch.first)
    table = gr.Dataframe(
        headers=headers,
        column_widths=[WIDTHS.get(header, "130px") for header in headers],
        value=cells_of(batch.rows, batch.names, batch.first),
    )
    save = gr.DownloadButton(
        value=str(batch.archive) if batch.ended else None, interactive=batch.ended
    )
    return table, batch_words(batch), save, None


def batch_words(batch: Batch) -> str:
    """How many were segmented, and the means of those with a ground truth, each by its name."""
    refused = [row for row in batch.rows if row.refusal]
    done = len(batch.rows) - len(refused)
    words = f"**{done:,} {'image' if done == 1 else 'images'} segmented**"
    if refused:
        words += f", {len(refused):,} {'file' if len(refused) == 1 else 'files'} not"
    paragraphs = [f"{words}. {plain(batch.note)}"]
    listed = [f"- **{plain(row.name)}**: {plain(row.refusal)}" for row in refused[:MOST_LISTED]]
    if len(refused) > MOST_LISTED:
        listed.append("- and more, each with its note in the table")
    paragraphs.append("\n".join(listed))
    if (means := mean_scores(batch.rows)) is not None:
        paragraphs += [_scores(batch, scores) for scores in means]
    if any(row.expected is not None for row in batch.rows):
        paragraphs.append(
            "*Expected Dice* is the network's own estimate for images without a ground truth; how "
            "well it held is in the model's card."
        )
    return "\n\n".join(paragraphs)


def _scores(batch: Batch, scores: OverlapScores) -> str:
    figures = ", ".join(
        f"{plain(name)} **{dice:.4f}**" if dice == dice else f"{plain(name)} in none"
        for name, dice in list(zip(batch.names, scores.dice, strict=True))[batch.first :]
    )
    return f"{scores.convention}: {figures}."


def stop(request: gr.Request) -> None:
    """Stop this visitor's batch before its next tile."""
    JOBS.stop(visitor_of(request) + " batch")


@with_sentences
def look_at(token: str | None, event: gr.SelectData) -> dict[str, object]:
    """Show the result of the row that was clicked."""
    # By the number in its first cell, since a table can be sorted in the page.
    number = str((event.row_value or [""])[0])
    batch = BATCHES.get(token)
    return described_alone(scene_of_row(batch, int(number) if number.isdecimal() else 0))
