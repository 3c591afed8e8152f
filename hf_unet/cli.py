"""The command line ``hf-unet``: one function for each verb."""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hf_unet import __version__

if TYPE_CHECKING:
    from hf_unet.network import SegmentationNetwork
    from hf_unet.training.settings import DataSettings

FAILED = 1
"""Exit status where something does not fit; 2 is argparse's for a wrong command line."""


class CommandError(ValueError):
    """A command cannot be carried out; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name. None: those of the process.

    Returns
    -------
    Exit status: 0 when all went well, 1 when something did not, said in a sentence on stderr.
    """
    chosen = _parser().parse_args(arguments)
    try:
        status: int = chosen.verb(chosen)
    except KeyboardInterrupt:
        return 130  # as shells count: 128 and the number of the signal
    except (ValueError, OSError) as error:
        _say(error)
        return FAILED
    return status


def segment(chosen: argparse.Namespace) -> int:
    """Segment images, each into a folder of its own below ``--output``."""
    images = _find_images(chosen.images)
    _refuse_same_stem(images)
    from hf_unet.model import load_network  # torch is only waited for where it is needed

    network = load_network(chosen.model, device=_device(chosen.device))
    failed = 0
    for path in images:
        started = time.monotonic()
        try:
            line = _segment_one(network, path, chosen)
        except (ValueError, OSError, MemoryError) as error:
            _say(error, path)
            failed += 1
        else:
            print(f"{line}  {time.monotonic() - started:.1f} s", flush=True)
    if failed and len(images) > 1:
        print(f"{failed} of {len(images)} images could not be segmented.", file=sys.stderr)
    return FAILED if failed else 0


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


SHOWN = 5
"""Kinds of label that a summary lists."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hf-unet", description="U-Net segmentation of biomedical images."
    )
    parser.add_argument("--version", action="version", version=f"hf-unet {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_segment(verbs.add_parser("segment", help="segment images", description=segment.__doc__))
    _add_check_masks(
        verbs.add_parser(
            "check-masks",
            help="say what is wrong with annotated images",
            description="Read annotated images and say what is wrong with them, before a network "
            "is trained on them. Exit status 1 if anything has to be mended.",
        )
    )
    return parser


def _add_segment(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(verb=segment)
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="a file, or a folder of images"
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME",
        help="a folder such as models/nuclei, or a name on the Hub such as org/name",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="results of a.tif go to DIR/a: mask, instances, outlines, run lengths, overlay",
    )
    parser.add_argument(
        "--tile", type=_positive, metavar="N", help="side of a tile in pixels (default: by memory)"
    )
    parser.add_argument(
        "--batch-size", type=_positive, metavar="N", help="tiles at a time (default: by memory)"
    )
    parser.add_argument(
        "--page", type=_whole, default=0, metavar="N", help="page of multi-page files, from 0"
    )
    parser.add_argument(
        "--average",
        action="store_true",
        default=None,
        help="average over flips and rotations, at eight times the cost (default: as the model "
        "says)",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where to compute (default: a GPU if there is one)",
    )


def _add_check_masks(parser: argparse.ArgumentParser) -> None:
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


def _find_images(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those in the folders named, each once."""
    from hf_unet.training.files import list_files

    found: dict[Path, Path] = {}
    for path in paths:
        files = list_files(path) if path.is_dir() else [path]
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _refuse_same_stem(images: Iterable[Path]) -> None:
    first: dict[str, Path] = {}
    for path in images:
        # Folders of these names would be one on a Mac and on Windows.
        other = first.setdefault(path.stem.casefold(), path)
        if other is not path:
            raise CommandError(
                f"The results of {other} and {path} would go to one folder, {path.stem}: rename "
                "one, or segment them into two folders."
            )


def _segment_one(network: "SegmentationNetwork", path: Path, chosen: argparse.Namespace) -> str:
    """Segment and save one image; returns the line to print."""
    import torch

    try:
        result = network.segment(
            path,
            tile=chosen.tile,
            batch_size=chosen.batch_size,
            page=chosen.page,
            test_time_averaging=chosen.average,
        )
    except torch.OutOfMemoryError as error:
        raise MemoryError from error
    result.save(chosen.output / path.stem)
    height, width = result.plan.height, result.plan.width
    return f"{path.name}  {width} x {height} pixels  {len(result.objects.class_of)} instances"


def _device(wanted: str) -> str:
    import torch

    from hf_unet.model import best_device

    usable = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return best_device()
    if not usable[wanted]:
        raise CommandError(f"There is no {wanted} device here: use --device auto.")
    return wanted


def _say(error: BaseException, path: Path | None = None) -> None:
    """Print an error as one sentence on stderr."""
    text = str(error)
    if isinstance(error, MemoryError):
        text = "does not fit into memory. Choose a smaller --tile or --batch-size."
        text = text if path is None else f"{path.name} {text}"
    elif isinstance(error, OSError) and error.strerror:
        name = Path(error.filename).name if isinstance(error.filename, str) else "The output"
        text = f"{name} cannot be written or read: {error.strerror}."
    print(text, file=sys.stderr, flush=True)


def _data_settings(chosen: argparse.Namespace) -> tuple["DataSettings", tuple[str, ...]]:
    """The recipe's data settings and classes, if one is given, with what the command line says."""
    from dataclasses import replace

    from hf_unet.segmentation import names_of_mask
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
    return replace(settings, **given), chosen.classes or classes


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of different names such as A,B")
    return names


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def _positive(text: str) -> int:
    if (number := _whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
