"""The command line ``hf-unet``: its verbs are in `hf_unet.commands`."""

import argparse
import sys
from collections.abc import Sequence

from hf_unet import __version__
from hf_unet.commands import check_masks, export, segment, verify
from hf_unet.commands.terminal import FAILED, say
from hf_unet.memory import reuse_memory


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
    reuse_memory()
    chosen = _parser().parse_args(arguments)
    try:
        status: int = chosen.verb(chosen)
    except KeyboardInterrupt:
        return 130  # as shells count: 128 and the number of the signal
    except (ValueError, OSError) as error:
        say(error)
        return FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hf-unet", description="U-Net segmentation of biomedical images."
    )
    parser.add_argument("--version", action="version", version=f"hf-unet {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    segment.add_arguments(
        verbs.add_parser(
            "segment",
            help="segment images, or make a result again",
            description=segment.segment.__doc__,
        )
    )
    verify.add_arguments(
        verbs.add_parser(
            "verify",
            help="say whether a model repository holds what it says",
            description=verify.verify.__doc__,
        )
    )
    export.add_arguments(
        verbs.add_parser(
            "export",
            help="write a network as one ONNX file",
            description=export.export.__doc__,
        )
    )
    check_masks.add_arguments(
        verbs.add_parser(
            "check-masks",
            help="say what is wrong with annotated images",
            description="Read annotated images and say what is wrong with them, before a network "
            "is trained on them. Exit status 1 if anything has to be mended.",
        )
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
