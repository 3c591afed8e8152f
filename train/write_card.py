"""Write a model's card anew from the files in its folder; nothing is measured.

python train/write_card.py models/nuclei --sample IMAGE --source "whose, and under which terms"
"""

import argparse
import json
import sys
from pathlib import Path

from hf_unet.cards.picture import write_picture_of
from hf_unet.memory import reuse_memory
from hf_unet.model import load_network
from hf_unet.training.run_folder import METRICS, write_card


def main() -> int:
    """Run the command line; 0 when written, 1 when something does not fit."""
    reuse_memory()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of a model, with its metrics.json")
    parser.add_argument("--name", help="what the card loads the model by (default: the folder)")
    parser.add_argument(
        "--sample", type=Path, metavar="IMAGE", help="also draw picture.png: this image, segmented"
    )
    parser.add_argument(
        "--source", metavar="WORDS", help="where that image is from, and under which terms"
    )
    arguments = parser.parse_args()
    folder = arguments.model
    if (arguments.sample is None) != (arguments.source is None):
        parser.error("a picture goes on the card with its source: give --sample and --source")
    try:
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        if arguments.sample is not None:
            result = load_network(folder).segment(arguments.sample)
            write_picture_of(result, folder, arguments.source)
        write_card(folder, metrics, arguments.name or folder.as_posix())
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Written: {folder / 'README.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
