"""What a run leaves behind: its settings, split, log, checkpoints, figures and card.

================  ==========================================================================
settings.json     every setting; reads as a recipe does
split.json        names of the images trained on and kept out
log.jsonl         a line for each validation
curves.png        the same, drawn
logs/             the same, for TensorBoard
checkpoint/       what resuming needs
best/, last/      model repositories on disk; best/ also holds metrics.json, a card of it and a
                  sample to verify it by
metrics.json      figures of best/ on all that was kept out
samples.png       a few of those images, their truth, what best/ says of them, and its errors
================  ==========================================================================
"""

import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from hf_unet.cards.card import METRICS, SETTINGS, card_of
from hf_unet.cards.parts import merge_card, parts_of, read_card
from hf_unet.errors import AbsentFileError
from hf_unet.exports.files import write_whole
from hf_unet.model import load_network
from hf_unet.network import SegmentationNetwork
from hf_unet.repositories.pretrained import CONFIG, Repository
from hf_unet.repositories.sample_tile import made_again, make_sample, read_sample, write_sample
from hf_unet.training.pairs import Pair
from hf_unet.training.settings import Settings, SettingsError, read_settings
from hf_unet.training.splits import SPLIT, Split, hold_out, read_split

CHECKPOINT = "checkpoint"
REPLACED = "checkpoint.old"
LOG = "log.jsonl"


def check_folder(output: Path, settings: Settings, *, resume: bool) -> None:
    """Tell whether a run may be written there; nothing is.

    Raises
    ------
    FileExistsError
        If it holds a run already and ``resume`` is not asked for.
    SettingsError
        If ``resume`` is, and the settings are of another network, optimizer or split than the
        run's: its checkpoint would not fit, or what it was trained on would count as kept out.
    """
    if not resume and any((output / name).exists() for name in (CHECKPOINT, REPLACED, METRICS)):
        raise FileExistsError(
            f"The run folder {output.name} holds a run already. Use --resume to go on with it, "
            "or give another --output."
        )
    if resume and (output / SETTINGS).is_file():
        stored = read_settings(output / SETTINGS)
        for name, of in _FIXED.items():
            if of(stored) != of(settings):
                raise SettingsError(
                    f"The run in {output.name} was begun with other settings of {name}, which "
                    "cannot change on the way: resume it as it was begun, or give another --output."
                )


_FIXED: dict[str, Callable[[Settings], Any]] = {
    "its network": lambda settings: settings.network,
    "its optimizer": lambda settings: (settings.optimizer.name, bool(settings.optimizer.ema)),
    "its split": lambda settings: (
        settings.data.group,
        settings.data.holdout,
        settings.data.holdout_every,
        settings.data.holdout_first,
        settings.data.folds,
        settings.data.fold,
        settings.data.split,
    ),
}
"""What a checkpoint and the figures of a run rest on."""


def split_of(output: Path, pairs: Sequence[Pair], settings: Settings, *, resume: bool) -> Split:
    """The split of a run: as it was drawn when the run began, if it is resumed.

    Drawn anew, it would differ once an image came or went, and images that the network has seen
    would count as kept out.

    Raises
    ------
    DataError
        If the data cannot be split so, or images of the run are no longer there.
    """
    if resume and (output / SPLIT).is_file():
        return read_split(output / SPLIT, pairs)
    return hold_out(pairs, settings.data)


def prepare_folder(output: Path, settings: Settings, split: Split, *, resume: bool) -> None:
    """Make the run folder and write what is known before the first step."""
    output.mkdir(parents=True, exist_ok=True)
    settings.save(output / SETTINGS)
    if not resume:  # what a run left that stopped before its first checkpoint
        (output / LOG).unlink(missing_ok=True)
    split.save(output / SPLIT)


def find_checkpoint(output: Path) -> Path | None:
    """The last whole checkpoint, also where a run was stopped while it exchanged two."""
    for name in (CHECKPOINT, REPLACED):
        if (output / name).is_dir():
            return output / name
    return None


def save_checkpoint(accelerator: Accelerator, output: Path) -> None:
    """Write the checkpoint whole beside the old one, then change names."""
    fresh, current, replaced = (
        output / name for name in (f"{CHECKPOINT}.partial", CHECKPOINT, REPLACED)
    )
    if accelerator.is_main_process:
        shutil.rmtree(fresh, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(fresh))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if current.exists():
            shutil.rmtree(replaced, ignore_errors=True)
            os.replace(current, replaced)
        os.replace(fresh, current)
        shutil.rmtree(replaced, ignore_errors=True)


def append_log(output: Path, line: Mapping[str, Any]) -> None:
    """Add a line to log.jsonl."""
    with open(output / LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def cut_log(output: Path, step: int) -> None:
    """Drop the lines after ``step``, which a resumed run is going to write again.

    So is a last line that the run was stopped in the middle of.
    """
    log = output / LOG
    if log.exists():
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        kept = [line for line in whole if json.loads(line)["step"] <= step]
        write_whole(log, "".join(kept).encode())


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
    """Write metrics.json."""
    text = json.dumps(metrics, indent=2) + "\n"
    write_whole(folder / METRICS, text.encode())


def write_card(
    repository: Path, metrics: Mapping[str, Any], name: str, settings: Settings | None = None
) -> None:
    """Write README.md of a model repository on disk from what lies in it and its figures.

    ``name`` is the one that the card's example loads the model by; ``settings`` take the place of
    those in the folder. What people wrote into an older card, around its marked parts, stays.
    """
    path = repository / "README.md"
    told = None if settings is None else asdict(settings)
    card = str(card_of(repository, repo_id=name, metrics=metrics, settings=told))
    if path.is_file() and parts_of(before := read_card(path)):
        card = merge_card(before, card)
    write_whole(path, card.encode())


def write_config(repository: Path, network: SegmentationNetwork) -> None:
    """Write config.json of a model repository again, and leave its weights as they are stored."""
    write_whole(repository / CONFIG, network.config_text.encode())


def renew_sample(repository: Path) -> None:
    """Write the sample of a model repository on disk for its weights and config as they now are.

    Of the image that it has, or else of a drawing.
    """
    network = load_network(repository)
    try:
        sample = made_again(read_sample(repository), network)
    except AbsentFileError:
        sample = make_sample(network)
    write_sample(repository, sample)


def write_settings(repository: Path, settings: Settings) -> None:
    """Write settings.json of a model repository, without paths of this machine."""
    run = settings.run
    if run.init:
        settings = replace(settings, run=replace(run, init=Repository(run.init).title))
    settings.save(repository / SETTINGS)


def runs_before(init: str) -> list[dict[str, Any]]:
    """The courses of the runs that the weights of ``run.init`` came from, oldest first.

    Empty for new weights, and for a model whose metrics are not in a folder here.

    Raises
    ------
    SettingsError
        If the metrics do not record how the model was trained.
    """
    path = Path(init) / METRICS
    if not init or not path.is_file():
        return []
    kept = ("steps", "best_step", "batch", "hours", "machine", "precision")
    try:
        training = json.loads(path.read_text(encoding="utf-8"))["training"]
        last = {key: training[key] for key in kept} | {"init": training.get("init")}
        return [*training["before"], last]
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"The {METRICS} of run.init = {path.parent.name} does not say how it was trained. "
            "Train it again with this version, or start from a copy without that file."
        ) from error


def machine_name(device: torch.device) -> str:
    """What a run was computed on, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"the GPU of a Mac ({platform.machine()})"
    return f"{os.cpu_count()} CPU cores ({platform.machine()})"
