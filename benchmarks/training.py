"""A step of training against MONAI's and a plain PyTorch U-Net, and the draws against the step.

    python benchmarks/training.py [--width 16] [--side 256] [--batch 2] [--turns 7]

A step is what a training loop repeats: forward, loss, backward, AdamW. All networks are of the
same width, depth and precision and get the same batch. The last level of MONAI's takes half as
many channels again, so the operations of each are shown too. "As trained" is what
hf_unet.training.loop does to a network, which is to keep its weights and values channels last; the
others are as their authors write them, and once more with channels last, to tell the network from
the memory layout. Only ours drops out, as the paper does: what that costs is shown too.

The contestants take turns, so that a busy machine slows all of them, and ratios are medians over
the turns. Where other work shares the cores, single times mean little: compare only the ratios,
and set OMP_NUM_THREADS=1, for threads that wait for one another on busy cores measure the waiting.
The draws are made by one process on one thread, as a worker of the loop makes them, with elastic
deformation and the boundary weight map.
"""

import argparse
import importlib.util
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate
from torch.utils.flop_counter import FlopCounterMode
from weight_map import Seconds, cells, ratios, seconds  # beside this file; it also finds hf_unet

from hf_unet.loss import weighted_cross_entropy
from hf_unet.model import UNet, best_device, crop
from hf_unet.training.datasets import find_pairs
from hf_unet.training.draws import Draws
from hf_unet.training.settings import settings_from

DEPTH = 4
CLASSES = ("background", "cell")
HAS_MONAI = importlib.util.find_spec("monai") is not None
Batch = dict[str, Tensor]


class PlainUNet(nn.Module):
    """The textbook's code: a list of double convolutions down, up-convolutions and skips up."""

    def __init__(self, width: int, padding: int, norm: bool) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(
            self.double(before, after, padding, norm) for before, after in pairwise([1, *widths])
        )
        self.pool = nn.MaxPool2d(2)
        self.rise = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
        self.up = nn.ModuleList(self.double(2 * w, w, padding, norm) for w in widths[-2::-1])
        self.last = nn.Conv2d(width, len(CLASSES), 1)

    @staticmethod
    def double(before: int, after: int, padding: int, norm: bool) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels in (before, after):
            layers.append(nn.Conv2d(channels, after, 3, padding=padding))
            layers.extend([nn.BatchNorm2d(after)] if norm else [])
            layers.append(nn.ReLU(inplace=True))
        return nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, double in enumerate(self.down):
            x = double(x if level == 0 else self.pool(x))
            skips.append(x)
        skips.pop()
        for rise, double in zip(self.rise, self.up, strict=True):
            x = rise(x)
            x = double(torch.cat([crop(skips.pop(), like=x), x], dim=1))
        return self.last(x)


class Contestant(NamedTuple):
    name: str
    net: nn.Module
    channels_last: bool


def padded_networks(width: int) -> Iterator[Contestant]:
    def ours(dropout: float = 0.5) -> UNet:
        return UNet(1, CLASSES, width, DEPTH, padding="same", norm="batch", dropout=dropout)

    yield Contestant("UNet, as trained", ours(), True)
    yield Contestant("plain U-Net", PlainUNet(width, 1, norm=True), False)
    if HAS_MONAI:
        basic_unet = importlib.import_module("monai.networks.nets").BasicUNet
        features = [width * 2**level for level in range(DEPTH + 1)] + [width]
        for channels_last in (False, True):
            net = basic_unet(2, 1, len(CLASSES), features, ("relu", {"inplace": True}), "batch")
            name = "MONAI BasicUNet" + ", channels last" * channels_last
            yield Contestant(name, net, channels_last)
    yield Contestant("plain U-Net, channels last", PlainUNet(width, 1, norm=True), True)
    yield Contestant("UNet, channels first", ours(), False)
    yield Contestant("UNet, no dropout", ours(dropout=0.0), True)


def valid_networks(width: int) -> Iterator[Contestant]:
    """The paper's network, which MONAI has none of."""

    def ours(dropout: float = 0.5) -> UNet:
        return UNet(1, CLASSES, width, DEPTH, dropout=dropout)

    yield Contestant("UNet, as trained", ours(), True)
    yield Contestant("plain U-Net", PlainUNet(width, 0, norm=False), False)
    yield Contestant("plain U-Net, channels last", PlainUNet(width, 0, norm=False), True)
    yield Contestant("UNet, channels first", ours(), False)
    yield Contestant("UNet, no dropout", ours(dropout=0.0), True)


def step_of(one: Contestant, batch: Batch, device: str, bf16: bool) -> Callable[[], None]:
    layout = torch.channels_last if one.channels_last else torch.contiguous_format
    net = one.net.train().to(device, memory_format=layout)
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    images = batch["image"].contiguous(memory_format=layout)
    optimizer = torch.optim.AdamW(net.parameters())

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = net(images)
        logits = crop(logits, like=batch["target"])
        weighted_cross_entropy(logits, batch["target"], batch["weights"]).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def operations(net: nn.Module, images: Tensor) -> float:
    """Floating-point operations of one forward pass over one image, in 10^9."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images[:1])
    return counter.get_total_flops() / 1e9


def make_data(folder: Path, side: int, count: int = 4) -> Path:
    """Images of touching ellipses, one more than a tile wide, and their instances."""
    random = np.random.default_rng(0)
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for number in range(count):
        labels = np.rot90(cells(side + 64, (side + 64) ** 2 // 1300), number)
        image = 60 + 120.0 * (labels > 0) + random.normal(0, 12, labels.shape)
        tifffile.imwrite(folder / "images" / f"{number}.tif", image.clip(0, 255).astype(np.uint8))
        tifffile.imwrite(folder / "labels" / f"{number}.tif", labels.astype(np.uint16))
    return folder


def draws_of(model: UNet, folder: Path, side: int) -> Draws:
    """Tiles of ``side`` pixels or the next larger that suit a network, as the paper draws them."""
    output = max(1, side - 2 * model.margin)
    settings = settings_from({"data": {"kind": "instances"}, "run": {"output": output}})
    return Draws(
        find_pairs(folder, settings.data, CLASSES),
        model.geometry,
        in_channels=1,
        normalization=model.normalization,
        classes=len(CLASSES),
        multilabel=False,
        settings=settings,
        count=10_000,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def drawing(draws: Draws, batch: int) -> Callable[[], None]:
    numbers = iter(range(len(draws)))

    def draw() -> None:
        with one_thread():
            for _ in range(batch):
                draws[next(numbers)]

    return draw


def take_turns(calls: dict[str, Callable[[], None]], turns: int) -> dict[str, list[Seconds]]:
    """Times of each call; each turn begins with another one, since the first finds cold caches."""
    for call in calls.values():
        call()
    measured: dict[str, list[Seconds]] = {name: [] for name in calls}
    for turn in range(turns):
        names = list(calls)
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            measured[name].append(seconds(calls[name]))
    return measured


def compare(
    title: str,
    networks: Callable[[int], Iterator[Contestant]],
    options: argparse.Namespace,
    bf16: bool,
) -> None:
    device, width, size = best_device(), options.width, options.batch
    found = list(networks(width))
    ours = found[0].net
    assert isinstance(ours, UNet)
    with tempfile.TemporaryDirectory() as folder:
        draws = draws_of(ours, make_data(Path(folder), options.side), options.side)
    batch = default_collate([draws[number] for number in range(size)])
    counted = {one.name: operations(one.net.eval(), batch["image"]) for one in found}
    calls = {one.name: step_of(one, batch, device, bf16) for one in found}
    measured = take_turns({**calls, "draws": drawing(draws, size)}, options.turns)
    print(
        f"\n{title}, {width}..{width * 2**DEPTH} channels, {size} tiles of {draws.input_side} "
        f"pixels, {'bf16' if bf16 else 'fp32'} on {device}"
    )
    print(f"  {'':30} images/s  times as long  processor  parameters  GFLOP forward")
    for one in found:
        times = measured[one.name]
        rate = size / statistics.median(time.wall for time in times)
        parameters = sum(parameter.numel() for parameter in one.net.parameters())
        longer = ratios(times, measured[found[0].name])
        print(
            f"  {one.name:30} {rate:8.2f}  {longer.wall:13.2f}  {longer.processor:9.2f}  "
            f"{parameters:10,} {counted[one.name]:14.2f}"
        )
    rate = size / statistics.median(time.wall for time in measured["draws"])
    ahead = ratios(measured[found[0].name], measured["draws"])
    print(
        f"  {'draws, one process':30} {rate:8.2f}  {ahead.wall:.1f} times as fast as the step "
        f"({ahead.processor:.1f} in processor time)"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16, help="channels of the first level")
    parser.add_argument("--side", type=int, default=256, help="of a tile, in pixels")
    parser.add_argument("--batch", type=int, default=2, help="tiles in a step")
    parser.add_argument("--turns", type=int, default=7)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    load = f", {os.getloadavg()[0]:.1f} jobs running before" if hasattr(os, "getloadavg") else ""
    print(f"torch {torch.__version__} with {torch.get_num_threads()} threads{load}")
    if not HAS_MONAI:
        print("MONAI is not installed: the comparison with its BasicUNet is left out.")
    for bf16 in (False, True):
        compare("Padded, batch norm", padded_networks, options, bf16)
    for bf16 in (False, True):
        compare("The paper's valid convolutions", valid_networks, options, bf16)


if __name__ == "__main__":
    main()
