"""What a model card says of the training: its data, course and settings, its time and energy."""

from collections.abc import Mapping
from typing import Any

UNTOLD = (
    "Only the time was recorded. For the energy in kWh multiply the hours by the watts that the "
    "machine drew, and divide by 1000; for the CO2 multiply that by what a kWh emits where it "
    "stood. With `card.watts` and `card.grams_per_kwh` in the recipe the card does so."
)


def data_text(metrics: Mapping[str, Any]) -> str:
    """The images trained on, whose they are, and under which terms the model may be used.

    Raises
    ------
    KeyError
        If metrics.json lacks one of them; its argument is the name.
    """
    data = metrics["data"]
    repositories = data.get("repositories", [])
    places = ", ".join(f"[{name}](https://huggingface.co/datasets/{name})" for name in repositories)
    licence = metrics.get("license_name") or metrics["license"]
    link = metrics.get("license_link")
    lines = [
        f"{data['train_images']} images of: {data['name']}{f' ({places})' if places else ''}. "
        f"{data['validation_images']} more were kept out of training.",
        "",
        f"- Terms of the images: {data['terms']}.",
        f"- Licence of the model: {f'[{licence}]({link})' if link else licence}.",
        f"- To cite: {data['citation']}.",
    ]
    return "\n".join(lines)


def course_text(training: Mapping[str, Any]) -> str:
    """How the weights came about, the runs they started from included.

    Raises
    ------
    KeyError
        If a run does not say how long it was, and on what; its argument is the name.
    """
    runs = [*training["before"], training]
    base = first_weights(training)
    text = f"From the weights of {_link(base)}. " if base else ""
    if len(runs) == 1:
        text += (
            f"{training['steps']:,} steps of {training['batch']} tiles in "
            f"{training['hours']:.2f} hours on {training['machine']}, {training['precision']} "
            "precision. "
        )
    else:
        hours = sum(run["hours"] for run in runs)
        text += f"{len(runs)} runs, each from the weights of the one before, {hours:.2f} hours:\n\n"
        text += "\n".join(
            [
                "| run | steps | tiles a step | hours | machine | precision |",
                "|---|---|---|---|---|---|",
                *(
                    f"| {number} | {run['steps']:,} | {run['batch']} | {run['hours']:.2f} "
                    f"| {run['machine']} | {run['precision']} |"
                    for number, run in enumerate(runs, start=1)
                ),
                "",
                "",
            ]
        )
    last = " of the last run" if len(runs) > 1 else ""
    return (
        f"{text}The checkpoint is that of step {training['best_step']:,}{last}. `settings.json` "
        f"holds every setting{last}."
    )


def first_weights(training: Mapping[str, Any]) -> str | None:
    """The model whose weights the first run began with, if it was not new ones.

    Examples
    --------
    >>> first_weights({"init": "best", "before": [{"init": "org/cells"}]})
    'org/cells'
    """
    runs = [*training["before"], training]
    name: str | None = runs[0].get("init")
    return name


def settings_text(settings: Mapping[str, Any]) -> str:
    """What a run was told, as far as it fits into a table.

    Parameters
    ----------
    settings : mapping
        settings.json of the run.

    Raises
    ------
    KeyError
        If a setting is missing; its argument is the name.
    """
    run, optimizer, loss = settings["run"], settings["optimizer"], settings["loss"]
    rows = {
        "loss": _loss(loss),
        "optimizer": _optimizer(optimizer),
        "tiles": f"{run['batch'] * run['accumulate']} a step, each decides {run['output']} x "
        f"{run['output']} pixels",
        "augmentation": _augmentation(settings["augmentation"]),
        "checkpoint": f"the best by {run['keep'].replace('_', ' ')} of those after every "
        f"{run['validate_every']} steps"
        f"{'; thresholds chosen on the same images' if run['tune'] else ''}",
        "seed": f"{run['seed']}",
    }
    return "\n".join(
        ["| setting | value |", "|---|---|", *(f"| {name} | {row} |" for name, row in rows.items())]
    )


def energy_text(metrics: Mapping[str, Any]) -> str:
    """Hours and machine; energy and CO2 only where the recipe says what to reckon with.

    Parameters
    ----------
    metrics : mapping
        metrics.json: the course below "training", and below "assumed" ``watts`` and
        ``grams_per_kwh``, 0 or absent where they are not known.
    """
    training, assumed = metrics["training"], metrics.get("assumed", {})
    runs = [*training["before"], training]
    machines = ", ".join(dict.fromkeys(run["machine"] for run in runs))
    hours = sum(run["hours"] for run in runs)
    text = f"Training took {hours:.2f} hours on {machines}."
    if not (watts := assumed.get("watts")):
        return f"{text} {UNTOLD}"
    text += (
        f" At {watts:g} watts, as its author states, that is {hours * watts / 1000:.3g} kWh: "
        "reckoned, not measured, and without runs that led to nothing."
    )
    if grams := emitted_grams(metrics):
        each = assumed["grams_per_kwh"]
        text += f" At {each:g} g of CO2 for each kWh it is {grams:.3g} g of CO2."
    return text


def emitted_grams(metrics: Mapping[str, Any]) -> float | None:
    """Grams of CO2 by the assumptions that the recipe states; None if it states none.

    Examples
    --------
    >>> two_hours = {"before": [{"hours": 1.5}], "hours": 0.5}
    >>> assumed = {"watts": 500, "grams_per_kwh": 300}
    >>> emitted_grams({"training": two_hours, "assumed": assumed})
    300.0
    """
    assumed, training = metrics.get("assumed", {}), metrics["training"]
    watts, grams = assumed.get("watts"), assumed.get("grams_per_kwh")
    if not watts or not grams:
        return None
    hours = sum(run["hours"] for run in (*training["before"], training))
    return float(hours * watts / 1000 * grams)


def _loss(loss: Mapping[str, Any]) -> str:
    text = str(loss["name"]).replace("_", " ")
    if loss["w0"]:
        text += f", boundary weights with w0 = {loss['w0']:g} and sigma = {loss['sigma']:g} pixels"
    weights = ", ".join(f"{weight:g}" for weight in loss["class_weights"])
    return f"{text}; classes weighted by {weights or '1 / frequency'}"


def _optimizer(optimizer: Mapping[str, Any]) -> str:
    name = {"sgd": "SGD", "adamw": "AdamW"}[optimizer["name"]]
    parts = [name, f"learning rate {optimizer['learning_rate']:g}"]
    if name == "SGD":
        parts.append(f"momentum {optimizer['momentum']:g}")
    parts.append(f"weight decay {optimizer['weight_decay']:g}")
    if optimizer["warmup"]:
        parts.append(f"{optimizer['warmup']} steps of warm-up")
    parts.append("cosine" if optimizer["cosine"] else "constant rate")
    if optimizer["clip"]:
        parts.append(f"gradients clipped at a norm of {optimizer['clip']:g}")
    if optimizer["ema"]:
        parts.append(f"mean of the weights with a decay of {optimizer['ema']:g}")
    return ", ".join(parts)


def _augmentation(augmentation: Mapping[str, Any]) -> str:
    low, high = augmentation["scale"]
    bent = [f"bent (elastic deformation, sigma {augmentation['elastic_sigma']:g} pixels)"]
    if augmentation["rotate"]:
        bent.append("turned")
    if low != high:
        bent.append(f"scaled by {low:g} to {high:g}")
    parts = [f"{augmentation['warp']:.0%} of the tiles {', '.join(bent)}"]
    parts.append(f"flips: {augmentation['flip']}")
    for name in ("brightness", "contrast", "gamma", "noise", "blur", "color", "to_grey", "invert"):
        if augmentation[name]:
            parts.append(f"{name.replace('_', ' ')} {augmentation[name]:g}")
    return "; ".join(parts)


def _link(name: str) -> str:
    """A model's name, and where it is on the Hub if its name is one of there."""
    return f"[{name}](https://huggingface.co/{name})" if "/" in name else name
