"""Give a model a sample: a small image and what the network says of it, to verify it by.

python train/sample.py runs/mine/best --image IMAGE --source "A. Nobody 2024, CC BY 4.0"

Training ends with a sample that is a drawing, so that nobody's data is published. An image that may
be passed on shows more: at most 128 x 128 pixels of its middle are kept.
"""

import argparse
import sys
from pathlib import Path

from hf_unet.cards.card import METRICS
from hf_unet.errors import ModelError
from hf_unet.model import load_network
from hf_unet.repositories.claims import WEIGHTS_DIGEST, read_metrics
from hf_unet.repositories.pretrained import Repository
from hf_unet.repositories.sample_tile import SAMPLE, make_sample, write_sample
from hf_unet.training.run_folder import write_metrics


def main() -> int:
    """Run the command line; 0 when written, 1 when something does not fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of a model")
    parser.add_argument("--image", type=Path, help="an image that may be published (a drawing)")
    parser.add_argument("--source", help="where the image comes from, and its terms")
    parser.add_argument(
        "--trust-figures",
        action="store_true",
        help=f"write into a {METRICS} that does not say which weights its figures are of, as "
        "those of early versions, that they are of these",
    )
    arguments = parser.parse_args()
    folder = arguments.model
    try:
        model = load_network(folder)
        write_sample(folder, make_sample(model, arguments.image, source=arguments.source))
        if arguments.trust_figures:
            trust_figures(folder, model.origin.sha256)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{(folder / SAMPLE).stat().st_size / 1000:,.0f} kB in {SAMPLE} of {folder.name}")
    return 0


def trust_figures(folder: Path, sha256: str) -> None:
    """Say in metrics.json that its figures are of these weights; never against what it says."""
    metrics = read_metrics(Repository(str(folder)))
    if metrics.get(WEIGHTS_DIGEST) not in (None, sha256):
        raise ModelError(
            f"The {METRICS} of {folder.name} names other weights than these: compute its figures "
            "with train/evaluate.py --update."
        )
    version = {"hf_unet_version": metrics.get("hf_unet_version")}
    write_metrics(folder, version | {WEIGHTS_DIGEST: sha256} | metrics | {WEIGHTS_DIGEST: sha256})


if __name__ == "__main__":
    sys.exit(main())
