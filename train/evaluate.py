"""Compute the figures of a model on a folder of images and labels, and print them as JSON.

python train/evaluate.py models/nuclei --data DIR --recipe train/recipes/dsb2018-nuclei.toml
"""

import argparse
import json
import sys
from pathlib import Path

from hf_unet.cards.card import METRICS
from hf_unet.memory import reuse_memory
from hf_unet.model import load_network
from hf_unet.repositories.pretrained import Repository
from hf_unet.training.figures import kept_out, settings_of
from hf_unet.training.measuring import measure
from hf_unet.training.run_folder import (
    renew_sample,
    write_card,
    write_config,
    write_metrics,
    write_settings,
)
from hf_unet.training.tuning import tune


def main() -> int:
    """Run the command line; 0 when evaluated, 1 when something does not fit."""
    reuse_memory()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder of a model, or its name on the Hub")
    parser.add_argument(
        "--data", required=True, help="folder of annotated images, or hub:user/name"
    )
    parser.add_argument(
        "--recipe",
        "--settings",
        type=Path,
        help="the recipe (TOML) or settings.json it was trained by: says which images were kept "
        "out of training (default: MODEL/settings.json, and split.json in MODEL or its run)",
    )
    parser.add_argument(
        "--all", action="store_true", help="score every image: none of them was trained on"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    parser.add_argument(
        "--update",
        action="store_true",
        help="also write metrics.json, the sample and the card of MODEL",
    )
    parser.add_argument(
        "--tune",
        action="store_true",
        help="choose the thresholds anew by what was kept out, and calibrate; with --update both "
        "stay in MODEL",
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="calibrate anew, for the Dice that the model expects without a ground truth; no mask "
        "changes; with --update the calibration stays in MODEL",
    )
    parser.add_argument(
        "--set", action="append", metavar="SECTION.KEY=VALUE", help="change one setting"
    )
    arguments = parser.parse_args()
    folder = Path(arguments.model)
    if arguments.update and not folder.is_dir():
        parser.error("--update needs a model that is a folder here")
    if arguments.update and arguments.all:
        parser.error("a card shows figures of what was kept out of training: --update or --all")
    try:
        settings = settings_of(Repository(arguments.model), arguments.recipe, arguments.set)
        model = load_network(arguments.model, device=arguments.device)
        # Unless told otherwise, the split of its run, where that still lies beside the model.
        anew = arguments.recipe is not None or any(
            change.startswith("data.") for change in arguments.set or ()
        )
        scored, trained_on = kept_out(
            model, settings.data, arguments.data, every=arguments.all, anew=anew
        )
        if arguments.tune:
            chosen = tune(model, scored, settings.run.keep)
            model = load_network(arguments.model, device=arguments.device, **chosen)
        calibrated = arguments.tune or arguments.calibrate
        measured = measure(
            model,
            settings,
            scored,
            train_images=trained_on,
            calibrated=calibrated,
        )
        figures = measured.metrics
        if calibrated:
            model.calibration = measured.calibration
        # How it was trained is in its own metrics.json alone.
        before = folder / METRICS
        metrics = json.loads(before.read_text("utf-8")) | figures if before.is_file() else figures
        if arguments.update:
            if calibrated:
                write_config(folder, model)
            renew_sample(folder)
            write_card(folder, metrics, folder.as_posix(), settings)
            write_metrics(folder, metrics)
            write_settings(folder, settings)
        if arguments.output:
            arguments.output.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(metrics, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
