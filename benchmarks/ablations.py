"""What each idea of the paper is worth: ISBI 2012 with and without it, one small run for each.

python benchmarks/ablations.py --data DIR --steps 800

Every run has the same network, data, seed and number of steps. The table goes to
benchmarks/ABLATIONS.md. Small and short runs show what helps early and with little capacity; they
say nothing of what a full training reaches.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_unet import UNet
from hf_unet.images import match_channels, normalize
from hf_unet.training.datasets import find_pairs
from hf_unet.training.loop import train
from hf_unet.training.measuring import measure
from hf_unet.training.settings import Settings, settings_from
from hf_unet.training.splits import hold_out

HERE = Path(__file__).resolve().parent

BASE: dict[str, dict[str, Any]] = {
    "network": {
        "classes": ["membrane", "cell"],
        "base_channels": 8,
        "norm": "batch",
        "dropout": 0.2,
        "normalization": "standardize",
    },
    "data": {"images": "image", "labels": "label", "kind": "classes", "holdout_first": -4}
    | {"holdout_every": 1, "name": "ISBI 2012"},
    "augmentation": {"elastic_sigma": 10.0, "brightness": 0.3, "contrast": 0.3},
    "loss": {"w0": 10.0, "sigma": 5.0, "class_weights": [1.0, 1.0]},
    "optimizer": {"name": "adamw", "learning_rate": 0.002, "warmup": 50, "cosine": True}
    | {"clip": 1.0, "ema": 0.99},
    "run": {"batch": 2, "output": 260, "keep": "pixel_error", "membranes": True, "tracker": ""},
}

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "all of it": {},
    "without the boundary weight map": {"loss": {"w0": 0.0}},
    "without elastic deformation": {"augmentation": {"elastic_sigma": 0.0}},
    "without skip connections": {},
}


def main() -> int:
    """Run what has not been run yet, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with image and label")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each, of different seeds")
    parser.add_argument("--output", type=Path, default=Path("runs/ablations"))
    arguments = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(arguments.seeds):
        for name, changes in VARIANTS.items():
            settings = _settings(changes, arguments.steps, seed)
            folder = arguments.output / f"{name.replace(' ', '-')}-{arguments.steps}-{seed}"
            if not (folder / "metrics.json").is_file():
                with no_skips() if name == "without skip connections" else nullcontext():
                    train(settings, arguments.data, folder, resume=True)
            metrics = json.loads((folder / "metrics.json").read_text())
            rows.setdefault(name, []).append(_figures(metrics["validation"]["membranes"]))
            if name == "all of it":
                variants = _variants_of_use(folder / "best", settings, arguments.data)
                for title, figures in variants.items():
                    rows.setdefault(title, []).append(figures)
    table = _table(rows, arguments)
    (HERE / "ABLATIONS.md").write_text(table, encoding="utf-8")
    print(table)
    return 0


def _settings(changes: dict[str, dict[str, Any]], steps: int, seed: int) -> Settings:
    table = {section: dict(values) for section, values in BASE.items()}
    for section, values in changes.items():
        table[section] |= values
    table["run"] |= {"steps": steps, "validate_every": max(1, steps // 4), "seed": seed}
    return settings_from(table)


@contextmanager
def no_skips() -> Iterator[None]:
    """Put zeros in place of what is copied over to the expansive path, in every U-Net."""

    def cut(module: nn.Module, inputs: tuple[Any, ...]) -> Any:
        first = module[0] if isinstance(module, nn.Sequential) and len(module) else None
        if isinstance(first, nn.Conv2d) and first.in_channels == 2 * first.out_channels:
            (x,) = inputs
            copied = x.shape[1] // 2  # crop and concatenate: the copied channels come first
            return torch.cat((torch.zeros_like(x[:, :copied]), x[:, copied:]), dim=1)
        return None

    handle = nn.modules.module.register_module_forward_pre_hook(cut)
    try:
        yield
    finally:
        handle.remove()


def _variants_of_use(best: Path, settings: Settings, data: Path) -> dict[str, dict[str, float]]:
    """The same network averaged over the eight symmetries, and with zeros for the mirror image."""
    model = UNet.from_pretrained(best)
    pairs = hold_out(find_pairs(data, settings.data, model.mask_classes), settings.data).validation
    averaging = UNet.from_pretrained(best, test_time_averaging=True)
    averaged = measure(averaging, settings, pairs, train_images=0).metrics
    errors: dict[str, list[float]] = {"mirrored": [], "zeros": []}
    for pair in pairs:
        truth = pair.labels.class_map()
        rim = np.ones(truth.shape, np.bool_)
        rim[model.margin : -model.margin, model.margin : -model.margin] = False
        scaled = normalize(match_channels(pair.image, model.in_channels), model.normalization)
        for name, mode in (("mirrored", "reflect"), ("zeros", "constant")):
            errors[name].append(_rim_error(model, scaled, truth, rim, mode))
    return {
        "with test-time averaging": _figures(averaged["validation"]["membranes"]),
        "within 92 pixels of the rim, mirrored": {
            "pixel_error": float(np.mean(errors["mirrored"]))
        },
        "within 92 pixels of the rim, zeros": {"pixel_error": float(np.mean(errors["zeros"]))},
    }


def _rim_error(model: UNet, scaled: Any, truth: Any, rim: Any, mode: str) -> float:
    """Pixel error near the rim, the whole image in one piece."""
    height, width = truth.shape
    sides = [model.input_size(length) for length in (height, width)]
    pads = [
        (model.margin, side - model.margin - length)
        for side, length in zip(sides, (height, width), strict=True)
    ]
    padded = np.pad(scaled, [(0, 0), *pads], mode=mode)  # type: ignore[call-overload]
    decided = model.predict(padded[None])[0].argmax(axis=0)[:height, :width]
    return float((decided != truth)[rim].mean())


def _figures(membranes: dict[str, Any]) -> dict[str, float]:
    names = ("pixel_error", "rand_error", "warping_error", "v_rand_thinned")
    return {name: membranes[name] for name in names}


def _table(rows: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> str:
    names = ("pixel_error", "rand_error", "warping_error", "v_rand_thinned")
    lines = [
        "# Ablations",
        "",
        "ISBI 2012, sections 00-19 for training and 20-23 kept out: a U-Net of 8 base channels, "
        f"{arguments.steps} steps of two tiles, {arguments.seeds} run(s) of each, on "
        f"{os.cpu_count()} CPU cores. Written by `python benchmarks/ablations.py --data DIR "
        f"--steps {arguments.steps} --seeds {arguments.seeds}`.",
        "",
        "| | pixel error | Rand error | warping error | V_rand thinned |",
        "|---|---|---|---|---|",
    ]
    for title, runs in rows.items():
        cells = []
        for name in names:
            values = [run[name] for run in runs if name in run]
            cells.append(_cell(values, 6 if name == "warping_error" else 4))
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(values: list[float], digits: int) -> str:
    if not values:
        return ""
    spread = f" ({min(values):.{digits}f}-{max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
