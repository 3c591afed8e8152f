"""``hf-unet export``: a network as one ONNX file."""

import argparse
from pathlib import Path

from hf_unet.commands.segment import argument_change


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    parser.set_defaults(verb=export)
    parser.add_argument(
        "model",
        metavar="NAME",
        help="a folder such as models/nuclei, or a name on the Hub such as org/name",
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE", help="the file to write, .onnx"
    )
    parser.add_argument(
        "--revision", metavar="NAME", help="branch, tag or commit of the model on the Hub"
    )
    parser.add_argument(
        "--set",
        action="append",
        type=argument_change,
        metavar="NAME=VALUE",
        help="change an argument of the model, for instance thresholds=[0.4]",
    )


def export(chosen: argparse.Namespace) -> int:
    """Write a network as one ONNX file, once onnxruntime gives what PyTorch gives."""
    from hf_unet.model import load_network  # torch is only waited for where it is needed
    from hf_unet.onnx import export_onnx

    network = load_network(chosen.model, revision=chosen.revision, **dict(chosen.set or ()))
    made = export_onnx(network, chosen.output)
    print(
        f"{made.path.name}  {made.size / 1e6:.1f} MB  probabilities differ from PyTorch's by at "
        f"most {made.largest_difference:.1e}"
    )
    return 0
