"""Publish a trained model on the Hub: its weights, card, figures and a sample, in one commit.

python train/publish.py runs/mine --repo org/name
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from hf_unet.cards.parts import marked
from hf_unet.memory import reuse_memory
from hf_unet.publishing import Publication, PublishError, SampleImage, assemble, publish

DEPLOY = Path(__file__).resolve().parent.parent / "spaces" / "deploy.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when published, 1 when something does not fit."""
    reuse_memory()
    options = _parse(arguments)
    sample = None if options.sample is None else SampleImage(options.sample, options.source)
    name = options.repo.rpartition("/")[2]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            model, space = Path(scratch) / "model" / name, Path(scratch) / "space"
            files = assemble(options.run, options.repo, model, sample=sample, onnx=options.onnx)
            print(f"{options.repo} is verified, and holds:")
            _list(model, files)
            if options.space:
                deploy = _deploy_script()
                parts = deploy.assemble(space, published=model, repository=options.repo)
            if options.dry_run:
                if options.space:
                    print(f"The Space {options.space} holds:")
                    _list(space, parts)
                print("Nothing was published: this is what would be.")
                return 0
            done = publish(
                model,
                options.repo,
                private=options.private,
                create_pr=options.create_pr,
                tag=options.tag,
            )
            _tell(done)
            if options.space:
                address = _deploy(deploy, space, options)
                print(f"Its demo: {address}")
    except (ValueError, OSError) as error:
        print(f"publish: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder (its best/ is taken), or a model's")
    parser.add_argument("--repo", required=True, metavar="ORG/NAME", help="where on the Hub")
    parser.add_argument(
        "--private", action="store_true", help="let only you, or your organisation, see a new one"
    )
    parser.add_argument(
        "--create-pr", action="store_true", help="propose it to a repository that is there"
    )
    parser.add_argument(
        "--tag", help="of this version (default: the next free one of v1, v2, v3, ...)"
    )
    parser.add_argument(
        "--sample",
        type=Path,
        metavar="IMAGE",
        help="an image that may be published: the card shows it segmented, and others verify the "
        "model by a part of it (default: a drawing, and no picture)",
    )
    parser.add_argument(
        "--source", metavar="WORDS", help="where that image is from, and under which terms"
    )
    parser.add_argument("--onnx", action="store_true", help="also export onnx/model.onnx")
    parser.add_argument(
        "--space",
        metavar="ORG/NAME",
        help="also put its demo on this Space, as private as it",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list the files and their sizes, ask no Hub"
    )
    options = parser.parse_args(arguments)
    if (options.sample is None) != (options.source is None):
        parser.error("an image is published with its source: give --sample and --source")
    if options.create_pr and (options.tag or options.space or options.private):
        parser.error(
            "a pull request is only a proposal: give --tag, --space and --private once it is merged"
        )
    return options


def _list(folder: Path, files: Sequence[Path]) -> None:
    sizes = [(folder / file).stat().st_size for file in files]
    for size, file in zip(sizes, files, strict=True):
        print(f"{size / 1000:>12,.1f} kB  {file.as_posix()}")
    print(f"{sum(sizes) / 1000:>12,.1f} kB  in {len(files)} files")


def _tell(done: Publication) -> None:
    if done.pull_request:
        print(f"Proposed: {done.pull_request}")
    else:
        news = "Published" if done.changed else "Nothing is new at"
        print(f"{news}: {done.address}")
        print(f"This version: {done.address}/tree/{done.tag} (commit {done.commit:.8})")
    if done.left_out:
        print(
            f"The card on the Hub has no place for: {', '.join(done.left_out)}. To have it back, "
            f"put these lines where it shall stand:\n\n{marked(dict.fromkeys(done.left_out, ''))}"
        )


def _deploy_script() -> ModuleType:
    """The script that puts the demo on a Space: it lies beside the package, and is in none."""
    found = importlib.util.spec_from_file_location("deploy_script", DEPLOY)
    if found is None or found.loader is None or not DEPLOY.is_file():
        raise PublishError(
            "A Space is deployed from a checkout of this project, with spaces/deploy.py in it. "
            "Leave --space out, or run this from one."
        )
    module = importlib.util.module_from_spec(found)
    sys.modules["deploy_script"] = module  # its dataclasses look for it there
    found.loader.exec_module(module)
    return module


def _deploy(deploy: ModuleType, folder: Path, options: argparse.Namespace) -> str:
    try:
        address: str = deploy.upload(folder, options.space, public=not options.private)
    except deploy.DeployError as error:
        raise PublishError(
            f"The model is published, its demo is not. {error} To go on, run the same command "
            "again."
        ) from error
    return address


if __name__ == "__main__":
    sys.exit(main())
