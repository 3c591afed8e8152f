"""``hf-unet verify``: whether a model repository holds what it says."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hf_unet.commands.segment import usable_device
from hf_unet.commands.terminal import FAILED, CommandError, StatusLine

if TYPE_CHECKING:
    from hf_unet.network import SegmentationNetwork


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    parser.set_defaults(verb=verify, complain=parser.error)
    parser.add_argument(
        "model", metavar="NAME", help="a folder such as models/nuclei, or a name such as org/name"
    )
    parser.add_argument(
        "--revision", metavar="NAME", help="branch, tag or commit of the model on the Hub"
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="also compute the figures again, on these annotated images (or hub:user/name); needs "
        "the extra train",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="with --data: the recipe or settings.json that says which images were kept out of "
        "training (default: settings.json of the model)",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where to compute (default: a GPU if there is one)",
    )


def verify(chosen: argparse.Namespace) -> int:
    """Segment the sample of a model again, and compare card and figures; exit status 0 if right.

    A line for each thing that was checked, and for each that differs or could not be checked.
    """
    if chosen.recipe is not None and chosen.data is None:
        chosen.complain("--recipe says which images of --data were kept out of training")
    from hf_unet.model import load_network
    from hf_unet.verification import verify_loaded

    model = load_network(
        chosen.model, revision=chosen.revision, device=usable_device(chosen.device)
    )
    verification = verify_loaded(model)
    for sentence in verification.sentences:
        print(sentence, flush=True)
    wrong = len(verification.faults)
    if chosen.data is not None:
        wrong += _verify_figures(model, chosen.data, chosen.recipe)
    if wrong:
        print(f"{wrong} thing{'s' * (wrong != 1)} to look at.")
        return FAILED
    print(f"{verification.name} holds what it says.")
    return 0


def _verify_figures(model: "SegmentationNetwork", data: str, recipe: Path | None) -> int:
    """Measure again and tell what differs, and how many figures that are."""
    try:
        from hf_unet.training.figures import figure_faults
    except ModuleNotFoundError as error:
        raise CommandError(
            f"To compute figures on data, the packages of training are needed, and {error.name} is "
            'not installed: pip install "hf-unet[train]".'
        ) from error
    status = StatusLine()
    status.show("segmenting what was kept out of training")
    try:
        faults = figure_faults(model, data, recipe)
    finally:
        status.clear()
    for sentence in faults or (f"The figures are those that {data} gives.",):
        print(sentence, flush=True)
    return len(faults)
