"""The training loop: draws in, a run folder out."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from hf_unet.model import UNet, crop
from hf_unet.repositories.placement import set_precision
from hf_unet.repositories.pretrained import Repository
from hf_unet.training.datasets import check_split, find_pairs
from hf_unet.training.draws import Draws
from hf_unet.training.evaluation import evaluate
from hf_unet.training.measuring import measure
from hf_unet.training.objective import choose_loss
from hf_unet.training.optimization import (
    build_average,
    build_optimizer,
    build_schedule,
)
from hf_unet.training.reports import draw_curves
from hf_unet.training.run_folder import (
    LOG,
    append_log,
    check_folder,
    cut_log,
    find_checkpoint,
    machine_name,
    prepare_folder,
    renew_sample,
    runs_before,
    save_checkpoint,
    split_of,
    write_card,
    write_config,
    write_metrics,
    write_settings,
)
from hf_unet.training.samples import draw_samples
from hf_unet.training.settings import Settings, SettingsError
from hf_unet.training.splits import Split
from hf_unet.training.starting import start_network
from hf_unet.training.tracking import logged_numbers, start_accelerator, start_tracker
from hf_unet.training.tuning import tune


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


@dataclass
class Progress:
    """Where a run is; saved with each checkpoint."""

    step: int = 0
    best: float = -math.inf
    best_step: int = 0
    seconds: float = 0.0

    def over(self, settings: Settings) -> bool:
        """Whether all steps are done, or no better figure came for as long as patience lasts."""
        run = settings.run
        waited = self.step - self.best_step
        return self.step >= run.steps or 0 < run.patience * run.validate_every <= waited

    def state_dict(self) -> dict[str, Any]:
        """As accelerate saves it."""
        return vars(self).copy()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As accelerate loads it."""
        vars(self).update(state)


def train(settings: Settings, data: Path, output: Path, *, resume: bool = False) -> Path:
    """Train a network by the settings, and score the best checkpoint on what was kept out.

    Parameters
    ----------
    settings : Settings
    data : Path
        Folder that holds the folders of images and labels.
    output : Path
        The run folder; `hf_unet.training.run_folder` says what it will hold.
    resume : bool
        Go on from the run folder's last checkpoint, if there is one.

    Returns
    -------
    The folder of the best checkpoint, a model repository that ``UNet.from_pretrained`` loads.

    Raises
    ------
    DataError, LabelError, ImageError, ModelError, SettingsError
        Before the first step, if the data, the labels or the settings do not fit.
    FileExistsError
        If the run folder holds a run and ``resume`` is not asked for.
    DivergedError
        If the loss becomes infinite or NaN; names the draws of that batch.
    """
    accelerator = start_accelerator(settings, output)
    check_folder(output, settings, resume=resume)
    set_seed(settings.run.seed)
    start = start_network(settings)
    model = start.network
    before = runs_before(settings.run.init)  # now, so that what is amiss is said before the work
    loss_of = choose_loss(
        settings.loss.name, multilabel=model.multilabel, channels=len(model.classes)
    )
    tiles = _share(settings.run.batch, accelerator.num_processes)
    pairs = find_pairs(data, settings.data, model.mask_classes)
    split = split_of(output, pairs, settings, resume=resume)
    if split.note:
        accelerator.print(split.note)
    check_split(split, settings.run, model.in_channels)
    draws_per_step = settings.run.batch * settings.run.accumulate
    draws = Draws(
        split.train,
        model.geometry,
        in_channels=model.in_channels,
        normalization=model.normalization,
        classes=max(len(model.classes), len(model.mask_classes)),
        multilabel=model.multilabel,
        border=model.border,
        settings=settings,
        count=settings.run.steps * draws_per_step,
    )
    for pair in split.train:
        pair.forget()  # the draws have what they need
    if accelerator.is_main_process:
        prepare_folder(output, settings, split, resume=resume)
    accelerator.wait_for_everyone()
    start_tracker(accelerator, settings, output)
    for part in start.fresh:
        accelerator.print(f"New weights for {part}.")

    averaged = build_average(model, settings.optimizer.ema)
    optimizer = build_optimizer(model, settings.optimizer)
    schedule = build_schedule(optimizer, settings.optimizer, settings.run.steps)
    progress = Progress()
    net = model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    net, optimizer = accelerator.prepare(net, optimizer)
    if averaged is not None:
        averaged.to(accelerator.device)
        accelerator.register_for_checkpointing(averaged)
    accelerator.register_for_checkpointing(schedule, progress)
    if resume and (checkpoint := find_checkpoint(output)) is not None:
        accelerator.load_state(str(checkpoint))
    if resume and accelerator.is_main_process:  # also a run stopped before its first checkpoint
        cut_log(output, progress.step)

    bar = tqdm(
        initial=progress.step,
        total=settings.run.steps,
        disable=not accelerator.is_local_main_process,
        desc="training",
        smoothing=0.05,
    )
    started = time.monotonic() - progress.seconds
    losses: list[float] = []
    net.train()
    batches = _batches(draws, accelerator, settings, tiles, first=progress.step * draws_per_step)
    while not progress.over(settings):
        if progress.step >= settings.run.freeze_norm * settings.run.steps:
            freeze_norm(net)
        for turn in range(settings.run.accumulate):
            batch = next(batches)
            last = turn + 1 == settings.run.accumulate
            with contextlib.nullcontext() if last else accelerator.no_sync(net):
                with accelerator.autocast():
                    logits = net(batch["image"])
                # A padded network also answers for the margin, which is only context: see Draws.
                logits = crop(logits, like=batch["target"])
                loss = loss_of(logits, batch["target"], batch["weights"])
                losses.append(_finite(loss, progress.step, draws))
                accelerator.backward(loss / settings.run.accumulate)
        if settings.optimizer.clip:
            accelerator.clip_grad_norm_(net.parameters(), settings.optimizer.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if averaged is not None:
            averaged.update_parameters(accelerator.unwrap_model(net))
        progress.step += 1
        bar.update()
        if progress.step % settings.run.validate_every and progress.step < settings.run.steps:
            continue
        progress.seconds = time.monotonic() - started
        current = accelerator.unwrap_model(net if averaged is None else averaged.module)
        rate = float(schedule.get_last_lr()[0])
        shown = _validate(current, settings, split, output, progress, losses, rate, accelerator)
        bar.set_postfix(shown)
        losses.clear()
        accelerator.wait_for_everyone()
        save_checkpoint(accelerator, output)
    bar.close()
    if accelerator.is_main_process:
        _finish(settings, split, output, progress, accelerator, before)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return output / "best"


def freeze_norm(net: nn.Module) -> None:
    """Let batch norm use its running statistics, and leave them as they are."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _share(batch: int, processes: int) -> int:
    """Tiles of a batch for each process."""
    if batch % processes:
        raise SettingsError(
            f"run.batch = {batch} tiles cannot be shared evenly among {processes} processes: "
            f"set run.batch to a multiple of {processes}."
        )
    return batch // processes


def _batches(
    draws: Draws, accelerator: Accelerator, settings: Settings, tiles: int, *, first: int
) -> Iterator[dict[str, Tensor]]:
    """Give this process its share of each batch of draws, from number ``first`` on."""
    loader = DataLoader(
        Subset(draws, range(first, len(draws))),
        batch_size=tiles,
        num_workers=settings.run.workers,
        worker_init_fn=_one_thread,
        pin_memory=accelerator.device.type == "cuda",
        # Its own, or else it would take a number from the generator that drops out, and a resumed
        # run would drop out other values than one that was never stopped.
        generator=torch.Generator().manual_seed(settings.run.seed),
    )
    yield from accelerator.prepare(loader)


def _one_thread(_: int) -> None:
    """Leave the other cores to the network: a worker is one process of several."""
    import cv2

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _finite(loss: Tensor, step: int, draws: Draws) -> float:
    value = float(loss.item())
    if not math.isfinite(value):
        run = draws.settings.run
        first = step * run.batch * run.accumulate
        numbers = range(first, first + run.batch * run.accumulate)
        names = ", ".join(dict.fromkeys(draws.name(number) for number in numbers))
        raise DivergedError(
            f"The loss is {value} at step {step + 1}, in the draws {numbers[0]} to {numbers[-1]} "
            f"from {names}. Lower optimizer.learning_rate, or set optimizer.clip = 1."
        )
    return value


def _validate(
    model: UNet,
    settings: Settings,
    split: Split,
    output: Path,
    progress: Progress,
    losses: list[float],
    rate: float,
    accelerator: Accelerator,
) -> dict[str, str]:
    """Score the network as it is now, log it, keep it; returns what the bar shows."""
    if accelerator.num_processes > 1:  # batch norm's statistics are each process's own
        for value in model.state_dict().values():
            value.copy_(broadcast(value))
    pairs = split.validation[: settings.run.validate_images or None]
    result = evaluate(model, pairs, accelerator=accelerator, test_time_averaging=False)
    figure = result.figure(settings.run.keep)
    loss = float(np.mean(losses))
    better = figure > progress.best
    if better:
        progress.best, progress.best_step = figure, progress.step
    line = {
        "step": progress.step,
        "seconds": round(progress.seconds, 1),
        "loss": loss,
        "learning_rate": rate,
        **result.summary(),
    }
    accelerator.log(logged_numbers(line), step=progress.step)
    if accelerator.is_main_process:
        append_log(output, line)
        draw_curves(output / LOG, output / "curves.png", best_step=progress.best_step)
        model.save_pretrained(output / "last")
        if better:
            model.save_pretrained(output / "best")
    return {"loss": f"{loss:.4f}", settings.run.keep: f"{abs(figure):.4f}"}


def _finish(
    settings: Settings,
    split: Split,
    output: Path,
    progress: Progress,
    accelerator: Accelerator,
    before: list[dict[str, Any]],
) -> None:
    """Tune and score the best checkpoint on all that was kept out; write what is known of it."""
    best = UNet.from_pretrained(output / "best", device=accelerator.device)
    if settings.run.tune:
        chosen = tune(best, split.validation, settings.run.keep)
        best = UNet.from_pretrained(output / "best", device=accelerator.device, **chosen)
        best.save_pretrained(output / "best")
    if settings.run.half:
        set_precision(best, torch.float16)
        best.save_pretrained(output / "best")
    # Loaded as it will be by others, so that its figures name the weights they are of.
    best = UNet.from_pretrained(output / "best", device=accelerator.device)
    measured = measure(
        best,
        settings,
        split.validation,
        train_images=len(split.train),
        calibrated=settings.run.tune,
    )
    if settings.run.tune:
        best.calibration = measured.calibration
        write_config(output / "best", best)
    renew_sample(output / "best")
    metrics = measured.metrics | {
        "training": {
            "steps": progress.step,
            "best_step": progress.best_step,
            "batch": settings.run.batch * settings.run.accumulate,
            "init": Repository(settings.run.init).title if settings.run.init else None,
            "before": before,
            "hours": round(progress.seconds / 3600, 3),
            "device": accelerator.device.type,
            "machine": machine_name(accelerator.device),
            "precision": "fp32"
            if accelerator.mixed_precision == "no"
            else accelerator.mixed_precision,
            "torch": torch.__version__,
        }
    }
    draw_samples(measured.samples, output / "samples.png")
    write_metrics(output, metrics)
    write_metrics(output / "best", metrics)
    write_settings(output / "best", settings)
    write_card(output / "best", metrics, f"path/to/{output.resolve().name}", settings)
