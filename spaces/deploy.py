"""Put the demo on a Space of the Hub: python spaces/deploy.py NAME

A Space is a folder: the demo, the package, the networks that go along, examples, what to install,
and a README whose header says how to run it. The folder is assembled anew each time, and what an
earlier one held and this one does not is taken off the Space.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from httpx2 import HTTPError
from huggingface_hub import HfApi, SpaceCard, SpaceHardware, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

ROOT = Path(__file__).resolve().parent.parent

PARTS = {
    "app.py": "app.py",
    "hf_unet": "hf_unet",
    "model_card.md": "model_card.md",
    "requirements.txt": "requirements.txt",
    "LICENSE": "LICENSE",
    # A folder named spaces would be taken for the package of that name, which Gradio asks for.
    "spaces/examples": "examples",
}
"""What every Space needs besides its README and models, and what it is called there."""

MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "metrics.json",
    "settings.json",
    "README.md",
    "picture.png",
    "sample.safetensors",
)

LARGEST_SPACE = 1_000_000_000
"""Bytes of all files: the Hub's limit for the repository of a Space."""

_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
_PRELOAD = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<commit>[0-9a-f]{40}))?", re.ASCII)


class DeployError(ValueError):
    """The Space cannot be assembled or uploaded; the message says what to do."""


@dataclass(frozen=True)
class Model:
    """A bundled network, and under which terms it is passed on."""

    folder: Path
    licence: str

    @property
    def name(self) -> str:
        return self.folder.name


# --- the folder -----------------------------------------------------------------------------------


def choose_models(wanted: Sequence[str] | None) -> list[Model]:
    """The bundled networks to send along: those named, or all.

    A network without terms in its card may not be passed on: it is refused by name, and left out
    where all are asked for.
    """
    known = {path.parent.name: path.parent for path in sorted(ROOT.glob("models/*/config.json"))}
    chosen = []
    for name in known if wanted is None else wanted:
        if name not in known:
            raise DeployError(f"There is no bundled model {name!r}. There are {', '.join(known)}.")
        licence = licence_of(known[name])
        if licence is not None:
            chosen.append(Model(known[name], licence))
        elif wanted is not None:
            raise DeployError(
                f"The card of {name} names no licence, so it may not be passed on. Add its terms "
                "to README.md, or leave the model out."
            )
    if not chosen:
        raise DeployError("A Space needs at least one model. Name some of those in models/.")
    return chosen


def licence_of(folder: Path) -> str | None:
    """The licence that a model's card names."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    about = SpaceCard.load(card, ignore_metadata_errors=True).data.to_dict()
    licence = about.get("license_name") if about.get("license") == "other" else about.get("license")
    return str(licence) if licence else None


def choose_folder(folder: Path) -> Model:
    """The network of any folder, to send along: its card must name its terms."""
    licence = licence_of(folder)
    if licence in (None, "unknown"):
        raise DeployError(
            f"The card of {folder.name} names no licence, so it may not be passed on. Name it by "
            "[card] license in the recipe, or in README.md."
        )
    return Model(folder, str(licence))


def render_readme(
    models: Sequence[Model], preloaded: Sequence[str] = (), linked: Sequence[str] = ()
) -> str:
    """The Space's README: our header and words, and the networks with their terms.

    Parameters
    ----------
    models
        That go along.
    preloaded
        Models on the Hub, ``org/name`` or ``org/name@COMMIT``, that the Space fetches when it is
        built; visitors wait for none of them.
    linked
        Models on the Hub that go along: their pages name the Space.
    """
    card = SpaceCard.load(ROOT / "spaces" / "README.md")
    if linked:
        card.data["models"] = list(linked)
    if preloaded:
        wanted = [preload(name) for name in preloaded]
        card.data["models"] = [*linked, *(repository for repository, _ in wanted)]
        card.data["preload_from_hub"] = [
            f"{repository} config.json,model.safetensors {commit}".strip()
            for repository, commit in wanted
        ]
    rows = "\n".join(f"| {model.name} | {model.licence} |" for model in models)
    card.text = f"{card.text.rstrip()}\n\n| model | terms |\n|---|---|\n{rows}\n"
    return str(card)


def preload(name: str) -> tuple[str, str]:
    """Repository and commit of ``org/name`` or ``org/name@COMMIT``; "" is the newest commit."""
    parts = _PRELOAD.fullmatch(name)
    if parts is None:
        raise DeployError(
            f"{name!r} cannot be preloaded. Write org/name, or org/name@ and the 40 digits of a "
            "commit."
        )
    return parts["repository"], parts["commit"] or ""


def assemble(
    folder: Path,
    models: Sequence[str] | None = None,
    preloaded: Sequence[str] = (),
    *,
    published: Path | None = None,
    repository: str | None = None,
) -> list[Path]:
    """Write the Space into a folder that is new or empty.

    Parameters
    ----------
    folder, models, preloaded
        As `choose_models` and `render_readme` take them.
    published, repository
        The folder of a model in place of the bundled ones, and its name on the Hub. Its sample
        becomes an example.

    Returns
    -------
    The files, relative to the folder, in the order of the alphabet.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DeployError(f"{folder} is there already. Name a folder that is new or empty.")
    if published is None:
        chosen, linked = choose_models(models), []
    else:
        chosen, linked = [choose_folder(published)], [repository] if repository else []
    readme = render_readme(chosen, preloaded, linked)
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in PARTS.items():
        source, target = ROOT / part, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=_LEFT_OUT)
        else:
            shutil.copyfile(source, target)
    for model in chosen:
        target = folder / "models" / model.name
        target.mkdir(parents=True)
        for name in MODEL_FILES:
            if (model.folder / name).is_file():
                shutil.copyfile(model.folder / name, target / name)
    if published is not None:
        add_example(folder / "examples", published)
    (folder / "README.md").write_text(readme, encoding="utf-8")
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    size = sum((folder / file).stat().st_size for file in files)
    if size > LARGEST_SPACE:
        raise DeployError(
            f"The Space would be {size / 1e6:,.0f} MB large, and the Hub takes at most "
            f"{LARGEST_SPACE / 1e6:,.0f} MB. Name fewer models."
        )
    return files


def add_example(examples: Path, model: Path) -> None:
    """Let the page open with the sample of a model: an image that is published with it anyway."""
    import tifffile

    from hf_unet.repositories.sample_tile import SAMPLE, read_sample

    if not (model / SAMPLE).is_file():
        return
    sample = read_sample(model)
    name = f"{model.name}_sample.tif"
    pixels = np.moveaxis(np.asarray(sample.image), 0, -1)
    grey = pixels.shape[-1] == 1
    if not grey and pixels.shape[-1] != 3:
        return  # no file that everything shows
    tifffile.imwrite(
        examples / name,
        pixels[..., 0] if grey else pixels,
        photometric="minisblack" if grey else "rgb",
    )
    about = {
        "label": f"Sample of {model.name}",
        "image": name,
        "model": model.name,
        "licence": "see the source",
        "source": sample.source,
    }
    # A text of JSON is one of TOML, too.
    lines = [f"{key} = {json.dumps(value)}" for key, value in about.items()]
    with (examples / "examples.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(["", "[[example]]", *lines, ""]))


# --- the Hub --------------------------------------------------------------------------------------


def upload(folder: Path, name: str, *, public: bool = False, hardware: str | None = None) -> str:
    """Make the Space if there is none of that name, and make it hold what the folder holds.

    Parameters
    ----------
    folder
        As `assemble` wrote it.
    name
        ``name`` of an own Space, or ``org/name``.
    public, hardware
        Of a new Space; one that is there keeps what it has.

    Returns
    -------
    The address of its page.
    """
    api = HfApi()
    if get_token() is None:
        raise DeployError(
            "You are not logged in to the Hub. Run `hf auth login` with a token that may write, "
            "or set HF_TOKEN."
        )
    try:
        space = api.create_repo(
            name,
            repo_type="space",
            space_sdk="gradio",
            space_hardware=None if hardware is None else SpaceHardware(hardware),
            private=not public,
            exist_ok=True,
        )
        check_ours(api, space.repo_id)
        api.upload_folder(
            repo_id=space.repo_id,
            repo_type="space",
            folder_path=folder,
            commit_message="Deploy the demo of hf-unet",
            delete_patterns="*",  # what is there and not in the folder
        )
    except HFValidationError as error:
        raise DeployError(
            f"{name!r} is no name for a Space. Use name or org/name, of letters, digits, '-', '_' "
            "and '.'."
        ) from error
    except HfHubHTTPError as error:
        raise DeployError(_refusal(name, error)) from error
    except (HTTPError, OSError, RuntimeError) as error:  # the last of an upload amid the files
        raise DeployError(
            "The Hub cannot be reached from here, so nothing was deployed, or only in part. Try "
            "again when you are online."
        ) from error
    return str(space)


def check_ours(api: HfApi, space: str) -> None:
    """Refuse to overwrite a Space that is something else."""
    about = api.space_info(space)
    files = {file.rfilename for file in about.siblings or ()}
    new = files <= {".gitattributes", "README.md"}
    if about.sdk != "gradio" or not (new or "hf_unet/__init__.py" in files):
        raise DeployError(
            f"There is a Space {space} that does not hold this demo; it would be overwritten. "
            "Choose another name, or delete that Space first."
        )


def _refusal(name: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return (
            "The Hub does not accept your token. Run `hf auth login` with one that may write, or "
            "set HF_TOKEN."
        )
    if status == 402:
        return (
            f"The Hub wants a paid plan for the Space {name} on this hardware. Try "
            "--hardware zero-a10g, of which a free account may have two."
        )
    if status == 403:
        return (
            f"Your token may not write the Space {name}. Use a token with the role write, and a "
            "name that is yours or your organisation's."
        )
    return f"The Hub refused the Space {name}: it answered {status}. Try again later."


# --- the command ----------------------------------------------------------------------------------


def list_files(folder: Path, files: Sequence[Path]) -> str:
    """The files with their sizes in kB, and the sum."""
    sizes = [(folder / file).stat().st_size for file in files]
    lines = [
        f"{size / 1000:>10,.1f} kB  {file.as_posix()}"
        for size, file in zip(sizes, files, strict=True)
    ]
    return "\n".join([*lines, f"{sum(sizes) / 1000:>10,.1f} kB  in {len(files)} files"])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Put the demo on a Space of the Hub.",
        epilog="A new Space is private until you say --public. docs/spaces.md says more.",
    )
    parser.add_argument("name", nargs="?", help="the Space: name, or org/name")
    parser.add_argument("--models", help="bundled models to send along, as a,b (all)")
    parser.add_argument(
        "--preload",
        action="append",
        default=[],
        metavar="ORG/NAME[@COMMIT]",
        help="a model on the Hub to fetch when the Space is built; may be repeated",
    )
    parser.add_argument("--public", action="store_true", help="let everybody see a new Space")
    parser.add_argument(
        "--hardware",
        choices=[hardware.value for hardware in SpaceHardware],
        metavar="NAME",
        help="of a new Space, such as zero-a10g or cpu-basic (the Hub's default)",
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--dry-run", action="store_true", help="list the files, upload nothing")
    only.add_argument("--output", type=Path, help="only assemble the Space in this folder")
    options = parser.parse_args(arguments)
    if options.name is None and not (options.dry_run or options.output):
        parser.error("name the Space, or say --dry-run or --output FOLDER")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    models = None if options.models is None else options.models.split(",")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.output or Path(scratch) / "space"
            files = assemble(folder, models, options.preload)
            print(list_files(folder, files))
            if options.dry_run or options.output:
                return 0
            address = upload(folder, options.name, public=options.public, hardware=options.hardware)
            print(f"Deployed to {address}")
    except DeployError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
