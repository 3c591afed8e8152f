"""Figures and settings of a run that never was, each value another one."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hf_unet.model import UNet
from hf_unet.provenance import file_sha256
from hf_unet.training.run_folder import write_metrics, write_settings
from hf_unet.training.settings import settings_from

CONFIG = UNet(base_channels=1, classes=("background", "cell")).config

METRICS: dict[str, Any] = {
    "summary": "Finds cells in pictures.",
    "license": "cc0-1.0",
    "parameters": 1234567,
    "limits": "Only cells.",
    "data": {
        "name": "Cells of 2018",
        "terms": "CC0",
        "citation": "A. Nobody, Cells",
        "train_images": 41,
        "validation_images": 9,
    },
    "training": {
        "steps": 12000,
        "batch": 2,
        "init": None,
        "before": [],
        "hours": 1.239,
        "machine": "two cores",
        "precision": "bf16",
        "best_step": 11000,
    },
    "overlap_tile": {
        "height": 300,
        "width": 400,
        "tiles": 6,
        "largest_difference": 3.4e-7,
        "changed_pixels": 0,
    },
    "validation": {
        "per_image": {
            "dice": {"background": 0.99123456789, "cell": 0.87654},
            "iou": {"background": 0.98, "cell": None},
            "convention": "An empty class counts as 1",
        },
        "pooled": {
            "dice": {"background": 0.9, "cell": 0.81},
            "iou": {"background": 0.85, "cell": 0.71},
            "convention": "Over all pixels",
        },
        "pixel_error": 0.0612,
        "average_precision_50": 0.7777,
    },
}


RECIPE = settings_from(
    {
        "augmentation": {"warp": 0.5, "scale": [0.8, 1.25], "noise": 0.05, "flip": "both"},
        "loss": {"w0": 10.0, "class_weights": [1, 2.5]},
        "optimizer": {"name": "adamw", "warmup": 100, "cosine": True, "clip": 1, "ema": 0.99},
        "run": {"batch": 2, "accumulate": 3, "output": 260, "keep": "average_precision"},
    }
)

SETTINGS = asdict(RECIPE)


def write_run(folder: Path, model: UNet) -> Path:
    """A run folder as training leaves it, as far as others read it."""
    best = folder / "best"
    model.save_pretrained(best)
    metrics = METRICS | {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weights_sha256": file_sha256(best / "model.safetensors"),
    }
    for place in (folder, best):
        write_metrics(place, metrics)
    write_settings(best, RECIPE)
    return folder
