"""Train a U-Net on a folder of images and labels.

accelerate launch train/train.py --recipe train/recipes/isbi2012.toml --data DIR
"""

import argparse
import json
import sys
from pathlib import Path

from hf_unet.memory import reuse_memory
from hf_unet.training.hub_data import resolve_data
from hf_unet.training.loop import DivergedError, train
from hf_unet.training.settings import read_settings


def main() -> int:
    """Run the command line; 0 when trained, 1 when something does not fit."""
    reuse_memory()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", type=Path, help="a TOML file, or settings.json of a run")
    parser.add_argument(
        "--data", required=True, help="folder of annotated images, or hub:user/name"
    )
    parser.add_argument("--output", type=Path, help="run folder (default: runs/<recipe>)")
    parser.add_argument("--init", metavar="MODEL", help="start from its weights: folder or name")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument(
        "--set",
        action="append",
        metavar="SECTION.KEY=VALUE",
        help="change one setting, e.g. run.steps=2000; may be repeated",
    )
    arguments = parser.parse_args()
    if arguments.recipe is None and not (arguments.resume and arguments.output):
        parser.error("give --recipe, or --resume with --output")
    output = arguments.output or Path("runs") / arguments.recipe.stem
    try:
        changes = list(arguments.set or ())
        if arguments.init:
            changes.append(f"run.init={json.dumps(arguments.init)}")
        settings = read_settings(arguments.recipe or output / "settings.json", changes)
        data = resolve_data(arguments.data)
        best = train(settings, data, output, resume=arguments.resume)
    except (ValueError, DivergedError, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"The run folder cannot be written: {error.strerror or type(error).__name__}. What "
            "was saved before is whole; mend that, and go on with --resume.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("Stopped. Go on with --resume.", file=sys.stderr)
        return 130
    print(f"The best checkpoint is in {best}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
