"""A run folder or a model folder to a folder that holds all of a model repository."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from hf_unet.cards.card import CARD, METRICS, SETTINGS, card_of
from hf_unet.cards.parts import merge_card, parts_of, read_card
from hf_unet.cards.picture import PICTURE, write_picture_of
from hf_unet.exports.files import write_whole
from hf_unet.model import load_network
from hf_unet.network import SegmentationNetwork
from hf_unet.onnx import export_onnx
from hf_unet.publishing.refusals import PublishError
from hf_unet.repositories.pretrained import CONFIG, ONNX, WEIGHTS
from hf_unet.repositories.sample_tile import SAMPLE, make_sample, write_sample
from hf_unet.verification import verify_repository

BEST = "best"
EXAMPLES = "examples"
"""Folder of images that the demo offers with the model, if it has one."""


_UNKNOWN = {METRICS: "what the model can do", SETTINGS: "how the model was trained"}


@dataclass(frozen=True)
class SampleImage:
    """An image to show and to verify the model by, which is published with it.

    Attributes
    ----------
    path : Path
    source : str
        Where it is from, and under which terms it may be passed on.
    """

    path: Path
    source: str


def assemble(
    run: Path,
    repo_id: str,
    folder: Path,
    *,
    sample: SampleImage | None = None,
    onnx: bool = False,
) -> tuple[Path, ...]:
    """Write a whole model repository into an empty folder, and verify it.

    Parameters
    ----------
    run : Path
        A run folder, of which ``best/`` is taken, or the folder of a model.
    repo_id : str
        ``org/name``: what the card loads the model by.
    folder : Path
        New or empty.
    sample : SampleImage, optional
        An image for sample.safetensors and picture.png. None: those that the model has; without,
        the sample is a drawing, and the card shows no picture.
    onnx : bool
        Also write onnx/model.onnx, see `hf_unet.onnx`.

    Returns
    -------
    tuple of Path
        The files, relative to the folder, in the order of the alphabet.

    Raises
    ------
    PublishError
        If the run or one of its files is missing, or the repository is not what it says.
    ModelError, ImageError
        If the model cannot be loaded, the card cannot be made, or the image not be segmented.
    """
    model = find_model(run)
    if folder.exists() and any(folder.iterdir()):
        raise PublishError(f"The folder {folder.name} is not empty. Give a new one.")
    needed = {name: _found(model, run, name) for name in (METRICS, SETTINGS)}
    network = load_network(model)
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in (needed | {name: model / name for name in (CONFIG, WEIGHTS)}).items():
        shutil.copyfile(path, folder / name)
    _add_sample(network, model, folder, sample)
    if onnx:
        export_onnx(network, folder / ONNX)
    if (model / EXAMPLES).is_dir():
        shutil.copytree(model / EXAMPLES, folder / EXAMPLES)
    card = str(card_of(folder, repo_id=repo_id))
    if (model / CARD).is_file() and parts_of(written := read_card(model / CARD)):
        card = merge_card(written, card)  # what somebody wrote into it here
    write_whole(folder / CARD, card.encode())
    check(folder)
    return tuple(sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()))


def find_model(run: Path) -> Path:
    """The folder of a run's model.

    Raises
    ------
    PublishError
        If there is none.
    """
    for folder in (run / BEST, run):
        if (folder / CONFIG).is_file():
            return folder
    if not run.is_dir():
        raise PublishError(f"There is no folder {run.name!r} at the path given. Give a run folder.")
    raise PublishError(
        f"The folder {run.name} holds neither {BEST}/ nor {CONFIG}: it is no run and no model. "
        "Give a folder that train/train.py or save_pretrained wrote."
    )


def check(folder: Path) -> None:
    """Refuse a repository that does not hold what it says.

    Raises
    ------
    PublishError
        With the first sentence of `hf_unet.verification.verify_repository` on what is wrong.
    """
    checked = verify_repository(folder)
    if not checked.holds:
        raise PublishError(f"The model is not what it says. {checked.faults[0]}")


def _found(model: Path, run: Path, name: str) -> Path:
    # Figures of an unfinished run are of none of its weights; its settings may name folders here.
    places = (model / name, run / name) if name == METRICS else (model / name,)
    for path in places:
        if path.is_file():
            return path
    raise PublishError(
        f"{run.name} holds no {name}, so {_UNKNOWN[name]} is not known. Let the run end "
        "(train/train.py --resume), or compute it with train/evaluate.py --update."
    )


def _add_sample(
    network: SegmentationNetwork, model: Path, folder: Path, sample: SampleImage | None
) -> None:
    """Write sample.safetensors, and picture.png where there is an image for it."""
    if sample is not None:
        made = make_sample(network, sample.path, source=sample.source)
        write_sample(folder, made)
        write_picture_of(network.segment(sample.path), folder, sample.source)
        return
    if (model / SAMPLE).is_file():
        shutil.copyfile(model / SAMPLE, folder / SAMPLE)
    else:
        write_sample(folder, make_sample(network))
    if (model / PICTURE).is_file():
        shutil.copyfile(model / PICTURE, folder / PICTURE)
