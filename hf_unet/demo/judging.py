"""What happens in the tab Judge: figures against the ground truth or a mask painted by hand.

Which of the two is looked at is kept with the result, so that whatever draws the tab again shows
the same.
"""

from pathlib import Path

import gradio as gr

from hf_unet.demo.actions import Described, new_file
from hf_unet.demo.labs.judge import judge_scene, judge_table, judge_words, painted_labels
from hf_unet.demo.parts import PAINTED, TRUTH
from hf_unet.demo.shown import Shown, described, shown_of
from hf_unet.demo.words import with_sentences
from hf_unet.exports import write_mask_png, write_stack_tiff
from hf_unet.judgement import judge

Table = list[list[str]]


@with_sentences
def show_judgement(token: str | None) -> tuple[str, Table, gr.Radio, Described]:
    """Words, figures, what they are against, and the scene of where the mask errs."""
    shown = shown_of(token)
    scene = shown.scene("judge", judge_scene)
    return *_figures(shown), _against(shown), described(str(token), "judge", scene)


@with_sentences
def choose_judgement(token: str | None, against: str | None) -> tuple[str, Table]:
    """Words and figures against what was chosen of the two."""
    shown = shown_of(token)
    shown.by_hand.looked_at = against == PAINTED and shown.by_hand.judgement is not None
    return _figures(shown)


@with_sentences
def score_painted(
    token: str | None, event: gr.EventData
) -> tuple[str, Table, gr.Radio, str, gr.Button]:
    """Words and figures against a mask painted in the page, and that mask to download."""
    shown = shown_of(token)
    labels = painted_labels(shown, event.runs)
    shown.by_hand.judgement = judge(shown.result, labels, shown.name)
    shown.by_hand.looked_at = True
    stem = Path(shown.name).stem
    if labels.kind == "multilabel":
        path = new_file(f"{stem}-painted.tif")
        write_stack_tiff(path, labels.stack(), labels.classes)
    else:
        path = new_file(f"{stem}-painted.png")
        write_mask_png(path, labels.class_map())
    return *_figures(shown), _against(shown), str(path), gr.Button(interactive=True)


def _figures(shown: Shown) -> tuple[str, Table]:
    by_hand = shown.by_hand
    judgement = by_hand.judgement if by_hand.looked_at else shown.judgement
    words = judge_words(shown, judgement, PAINTED if by_hand.looked_at else TRUTH)
    return words, judge_table(shown, judgement)


def _against(shown: Shown) -> gr.Radio:
    """The choice, where there are two to choose from."""
    both = shown.by_hand.judgement is not None and shown.labels is not None
    return gr.Radio(value=PAINTED if shown.by_hand.looked_at else TRUTH, visible=both)
