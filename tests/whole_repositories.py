"""A model repository that carries everything: card, figures and sample of a network not trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from discs import make_data
from safetensors.torch import load_file, save_file
from small_networks import drawn

from hf_unet.model import load_network
from hf_unet.training.figures import kept_out
from hf_unet.training.measuring import measure
from hf_unet.training.run_folder import renew_sample, write_card, write_metrics, write_settings
from hf_unet.training.settings import settings_from

COURSE: dict[str, Any] = {
    "steps": 0,
    "best_step": 0,
    "batch": 2,
    "init": None,
    "before": [],
    "hours": 0.0,
    "machine": "no machine",
    "precision": "fp32",
}


def make_repository(folder: Path) -> tuple[Path, Path]:
    """Write ``net``, a whole repository, and ``data``, what its figures are of."""
    settings = settings_from(
        {
            "network": {"classes": ["background", "disc"], "base_channels": 4, "depth": 1},
            "data": {"kind": "instances", "holdout_every": 4, "name": "Discs", "terms": "none"},
            "card": {"license": "cc0-1.0", "summary": "Finds discs.", "limits": "Only discs."},
        }
    )
    data, net = make_data(folder / "data"), folder / "net"
    drawn(classes=("background", "disc")).save_pretrained(net)
    model = load_network(net)
    pairs, others = kept_out(model, settings.data, data)
    measured = measure(model, settings, pairs, train_images=others).metrics
    metrics = measured | {"training": COURSE}
    write_metrics(net, metrics)
    write_card(net, metrics, "org/net")
    write_settings(net, settings)
    renew_sample(net)
    return net, data


def edit_json(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def edit_card(folder: Path, old: str, new: str) -> None:
    text = (folder / "README.md").read_text()
    assert old in text
    (folder / "README.md").write_text(text.replace(old, new, 1))


def change_weight(folder: Path, difference: float) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["contracting.0.0.weight"][0, 0, 0, 0] += difference
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def stored(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
