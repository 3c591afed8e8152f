"""``hf-unet segment``: images to folders of results, or a saved result made again."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_unet.commands.terminal import FAILED, CommandError, StatusLine, say
from hf_unet.provenance import RESULT, Record, read_record

if TYPE_CHECKING:
    from hf_unet.segmentation import Segmentation
    from hf_unet.segmenter import Segmenter
    from hf_unet.tiles import Progress

FIXED = ("revision", "page", "tile", "average", "set")
"""Options that a result.json answers."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    parser.set_defaults(verb=segment, complain=parser.error)
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="IMAGE", help="a file, or a folder of images"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="a folder such as models/nuclei, or a name on the Hub such as org/name",
    )
    parser.add_argument(
        "--onnx",
        metavar="NAME",
        help="in place of --model: an ONNX file, or a folder or name on the Hub that holds "
        "onnx/model.onnx; computes by onnxruntime, on the CPU",
    )
    parser.add_argument(
        "--revision", metavar="NAME", help="branch, tag or commit of the model on the Hub"
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="DIR",
        help="results of a.tif go to DIR/a: mask, probabilities, instances, outlines, run "
        "lengths, COCO, measurements, overlay, result.json",
    )
    parser.add_argument(
        "--from",
        dest="record",
        type=Path,
        metavar="RESULT",
        help="make the result of this result.json again, by the same model, page, tiles and "
        "settings; IMAGE is looked for here and beside it, unless it is given",
    )
    parser.add_argument(
        "--tile",
        type=_tile,
        metavar="N",
        help="side of a tile in pixels, or HEIGHTxWIDTH (default: by memory)",
    )
    parser.add_argument(
        "--batch-size", type=_positive, metavar="N", help="tiles at a time (default: by memory)"
    )
    parser.add_argument("--page", type=_whole, metavar="N", help="page of multi-page files, from 0")
    parser.add_argument(
        "--average",
        action=argparse.BooleanOptionalAction,
        help="average over flips and rotations, at eight times the cost (default: as the model "
        "says)",
    )
    parser.add_argument(
        "--set",
        action="append",
        type=argument_change,
        metavar="NAME=VALUE",
        help="change an argument of the model, for instance min_area=20 or thresholds=[0.4]",
    )
    parser.add_argument(
        "--no-probabilities",
        dest="probabilities",
        action="store_false",
        help="leave out probabilities.tif: four bytes for each pixel and class",
    )
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where to compute (default: a GPU if there is one; with --from what it was then)",
    )


def segment(chosen: argparse.Namespace) -> int:
    """Segment images, each into a folder of its own below ``--output``."""
    if chosen.model is not None and chosen.onnx is not None:
        chosen.complain("--model and --onnx are two ways to name the network: give one")
    if chosen.onnx is not None and chosen.device not in ("auto", "cpu"):
        chosen.complain(f"--onnx computes on the CPU: leave out --device {chosen.device}")
    if chosen.record is not None:
        return _segment_again(chosen)
    if (chosen.model is None and chosen.onnx is None) or not chosen.images:
        chosen.complain("an IMAGE and --model or --onnx are needed, or --from")
    images = _find_images(chosen.images)
    _refuse_same_stem(images)
    network = _load(chosen)
    failed = 0
    for number, path in enumerate(images, start=1):

        def result(progress: "Progress", path: Path = path) -> "Segmentation":
            return network.segment(
                path,
                tile=chosen.tile,
                batch_size=chosen.batch_size,
                progress=progress,
                page=chosen.page or 0,
                test_time_averaging=chosen.average,
            )

        place = f"{number} of {len(images)}: " if len(images) > 1 else ""
        try:
            print(_save(result, path, chosen, place), flush=True)
        except (ValueError, OSError, MemoryError) as error:
            say(error, path)
            failed += 1
    if failed and len(images) > 1:
        print(f"{failed} of {len(images)} images could not be segmented.", file=sys.stderr)
    return FAILED if failed else 0


def _load(chosen: argparse.Namespace) -> "Segmenter":
    """The network that ``--model`` or ``--onnx`` names."""
    changes = dict(chosen.set or ())
    if chosen.onnx is not None:
        from hf_unet.onnx import OnnxNetwork

        return OnnxNetwork.from_pretrained(chosen.onnx, chosen.revision, **changes)
    from hf_unet.model import load_network  # torch is only waited for where it is needed

    device = usable_device(chosen.device)
    return load_network(chosen.model, revision=chosen.revision, device=device, **changes)


def _segment_again(chosen: argparse.Namespace) -> int:
    """Make the result of ``--from`` again, and say whether its mask is the same."""
    for name in FIXED:
        if getattr(chosen, name) is not None:
            chosen.complain(f"--{name} does not go with --from: the result.json says it")
    if len(chosen.images) > 1:
        chosen.complain("--from makes one result again: give one IMAGE at most")
    record = read_record(chosen.record)
    if chosen.onnx is not None and record.runtime != "onnxruntime":
        raise CommandError(
            "The result was made by PyTorch, and by an ONNX file it might not be the same: leave "
            "out --onnx, or give --model."
        )
    path = chosen.images[0] if chosen.images else _recorded_image(record, chosen.record)
    before = chosen.record if chosen.record.is_dir() else chosen.record.parent
    if before.resolve() == (chosen.output / path.stem).resolve():
        raise CommandError(
            f"The result would overwrite the one it is made from, in {path.stem}: choose another "
            "--output."
        )
    from hf_unet.reproduction import Reproduction, reproduce

    made: list[Reproduction] = []

    def result(progress: "Progress") -> "Segmentation":
        made.append(
            reproduce(
                record,
                path,
                model=chosen.onnx if chosen.model is None else chosen.model,
                device=usable_device(chosen.device, record.device),
                batch_size=chosen.batch_size,
                progress=progress,
            )
        )
        return made[0].result

    try:
        line = _save(result, path, chosen)
    except MemoryError as error:
        say(error, path)
        return FAILED
    identical = made[0].identical
    print(f"{line}  identical" if identical else line, flush=True)
    if not identical:
        print(
            f"The mask of {path.name} is not identical to the recorded one, which was made on "
            f"{record.device}: other machines and versions of {record.runtime} round differently.",
            file=sys.stderr,
        )
    return 0 if identical else FAILED


def _save(
    make: Callable[["Progress"], "Segmentation"],
    path: Path,
    chosen: argparse.Namespace,
    place: str = "",
) -> str:
    """Make a result and save it, telling how far it is; returns the line to print."""
    import torch

    started, status = time.monotonic(), StatusLine()
    try:
        result = make(lambda n, of: status.show(f"{place}{path.name}, tile {n} of {of}"))
        status.show(f"{place}{path.name}, writing")
        result.save(chosen.output / path.stem, probabilities=chosen.probabilities)
    except torch.OutOfMemoryError as error:
        raise MemoryError from error
    finally:
        status.clear()
    height, width = result.plan.height, result.plan.width
    count = len(result.whole_objects.class_of)
    seconds = time.monotonic() - started
    line = f"{path.name}  {width} x {height} pixels  {count} instances  {seconds:.1f} s"
    if result.image.pages > 1 and chosen.page is None and chosen.record is None:
        line += f"  (page 0 of 0 to {result.image.pages - 1}: --page takes another)"
    return line


def _recorded_image(record: Record, place: Path) -> Path:
    """The image that a record names, here or beside the record."""
    folder, name = (place, RESULT) if place.is_dir() else (place.parent, place.name)
    if record.image is None:
        raise CommandError(f"{name} does not name its image: give the file as IMAGE.")
    for path in (Path(record.image), folder / record.image):
        if path.is_file():
            return path
    raise CommandError(
        f"{name} was made from {record.image}, which is neither here nor beside it: give "
        "the file as IMAGE."
    )


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


def usable_device(wanted: str, recorded: str | None = None) -> str:
    """The device asked for; for "auto" the one recorded, if it is here, else the fastest."""
    import torch

    from hf_unet.model import best_device

    usable = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return recorded if recorded is not None and usable[recorded] else best_device()
    if not usable[wanted]:
        raise CommandError(f"There is no {wanted} device here: use --device auto.")
    return wanted


def argument_change(text: str) -> tuple[str, Any]:
    """A changed argument, its value as JSON has it or else a text."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip().isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} has not the form NAME=VALUE")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value


def _tile(text: str) -> int | tuple[int, int]:
    height, separator, width = text.partition("x")
    return (_positive(height), _positive(width)) if separator else _positive(height)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return int(text)


def _positive(text: str) -> int:
    if (number := _whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return number
