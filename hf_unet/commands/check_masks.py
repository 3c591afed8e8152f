"""``hf-unet check-masks``: what is wrong with annotated images, before a network is trained."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hf_unet.commands.terminal import FAILED

if TYPE_CHECKING:
    from hf_unet.training.settings import DataSettings

SHOWN = 5
"""Kinds of label that a summary lists."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    parser.set_defaults(verb=check_masks)
    parser.add_argument("folder", metavar="DATA", help="the data folder, or hub:user/name")
    parser.add_argument(
        "--recipe", type=Path, metavar="FILE", help="check as a run by this recipe would read it"
    )
    parser.add_argument(
        "--layout",
        metavar="NAME",
        help="folders, stacks, class-folders, ctc, dsb or coco (default: look)",
    )
    parser.add_argument(
        "--images", metavar="NAME", help="folder or stack of the images in DIR (default: look)"
    )
    parser.add_argument(
        "--labels", metavar="NAME", help="folder, stack or COCO file in DIR (default: look)"
    )
    parser.add_argument(
        "--classes",
        type=_names,
        metavar="A,B",
        help="names of the classes in the order of their values (default: background,foreground)",
    )
    parser.add_argument(
        "--kind",
        choices=("classes", "instances", "multilabel"),
        help="what the labels hold (default: look)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="X", help="greys above this are the class"
    )
    parser.add_argument(
        "--group",
        metavar="PATTERN",
        help="regular expression for the patient, sequence or well in a name",
    )
    parser.add_argument("--split", metavar="FILE", help="a split.json to check")


def check_masks(chosen: argparse.Namespace) -> int:
    """Read annotated images as a training run would, and say what does not fit."""
    from hf_unet.training.checks import check_data
    from hf_unet.training.hub_data import resolve_data

    settings, classes = _data_settings(chosen)
    check = check_data(resolve_data(chosen.folder), settings, classes)
    print(
        f"{check.images} images, {check.labels} labels, {check.pairs} pairs that can be read "
        f"(layout: {check.layout})"
    )
    for found, count in check.found[:SHOWN]:
        print(f"  {count} x {found}")
    if len(check.found) > SHOWN:
        rest = sum(count for _, count in check.found[SHOWN:])
        print(f"  and {rest} that hold something else each")
    if check.pairs:
        shares = (f"{name} {share:.2%}" for name, share in check.shares)
        print(f"  pixels: {', '.join(shares)}")
    if check.kept_out:
        print(f"  {check.kept_out} of them would be kept out of training")
    for finding in check.findings:
        print(f"{'wrong' if finding.wrong else 'note'}: {finding.sentence}")
    wrong = sum(finding.wrong for finding in check.findings)
    print(f"{wrong} thing{'s' * (wrong != 1)} to mend" if wrong else "Nothing to mend")
    return FAILED if wrong else 0


def _data_settings(chosen: argparse.Namespace) -> tuple["DataSettings", tuple[str, ...]]:
    """The recipe's data settings and classes, if one is given, with what the command line says."""
    from dataclasses import replace

    from hf_unet.masks import names_of_mask
    from hf_unet.training.settings import DataSettings, read_settings

    settings = DataSettings()
    classes: tuple[str, ...] = ("background", "foreground")
    if chosen.recipe is not None:
        recipe = read_settings(chosen.recipe)
        settings = recipe.data
        network = recipe.network
        classes = names_of_mask(
            network.get("classes", classes),
            multilabel=network.get("multilabel", False),
            border=network.get("border", False),
        )
    given = {
        name: value
        for name in ("layout", "images", "labels", "kind", "threshold", "group", "split")
        if (value := getattr(chosen, name)) is not None
    }
    if chosen.classes:  # of a lone class, such as "cell", the rest is background
        classes = names_of_mask(chosen.classes, multilabel=chosen.kind == "multilabel")
    return replace(settings, **given), classes


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of different names such as A,B")
    return names
