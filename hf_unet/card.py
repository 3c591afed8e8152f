"""metrics.json and a template in, a model card out. No figure on a card is typed by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hf_unet.errors import ModelError

HERE = Path(__file__).parent

CARD = "README.md"

METRICS = "metrics.json"
"""The figures of a model repository."""

KEPT_OUT = "kept out of training"
"""The split by which our results are told from others in a card's model-index."""

UNTRAINED = "No figures have been computed for this network: it was saved without metrics."


def template() -> str:
    """The text of model_card.md: beside this package when installed, above it in a checkout."""
    packaged = HERE / "model_card.md"
    return (packaged if packaged.is_file() else HERE.parent / "model_card.md").read_text("utf-8")


def render_card(
    config: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    *,
    repo_id: str = "org/name",
    parameters: int | None = None,
) -> ModelCard:
    """Fill the template.

    Parameters
    ----------
    config : mapping
        A network's config.json.
    metrics : mapping, optional
        A run's metrics.json. None: the card says that there are no figures.
    repo_id : str
        Name or folder to load the model by, as shown in the example.
    parameters : int, optional
        Number of the network's parameters. None: as the metrics say.

    Raises
    ------
    ModelError
        If the metrics lack a figure that the card shows; names it.

    Examples
    --------
    >>> from hf_unet import UNet
    >>> card = render_card(UNet(base_channels=4, depth=1).config)
    >>> card.data.library_name
    'hf-unet'
    """
    try:
        fields = _untrained() if metrics is None else _measured(metrics, config)
        card_data = _card_data(metrics, repo_id)
        if parameters is None and metrics is not None:
            parameters = metrics["parameters"]
    except KeyError as error:
        raise ModelError(
            f"metrics.json lacks {error.args[0]!r}, which the card shows. Run "
            "train/evaluate.py to compute it."
        ) from error
    classes = ", ".join(config["classes"])
    card: ModelCard = ModelCard.from_template(
        card_data=card_data,
        template_str=template(),
        title=repo_id.rsplit("/", maxsplit=1)[-1],
        repo_id=repo_id,
        normalization=config["normalization"],
        parameters="" if parameters is None else f" of {parameters:,} parameters",
        expected=_expected(config, metrics),
        **{"summary": f"Segments {classes} in images of {config['in_channels']} channel(s)."}
        | fields,
    )
    return card


def _card_data(metrics: Mapping[str, Any] | None, repo_id: str) -> ModelCardData:
    results = [] if metrics is None else _eval_results(metrics)
    return ModelCardData(
        library_name="hf-unet",
        pipeline_tag="image-segmentation",
        license=None if metrics is None else metrics["license"],
        license_name=None if metrics is None else metrics.get("license_name") or None,
        tags=[
            "image-segmentation",
            "semantic-segmentation",
            "biomedical",
            "microscopy",
            "unet",
            "model_hub_mixin",
            "pytorch_model_hub_mixin",
        ],
        model_name=repo_id.rsplit("/", maxsplit=1)[-1] if results else None,
        eval_results=results or None,
    )


def _eval_results(metrics: Mapping[str, Any]) -> list[EvalResult]:
    validation, data = metrics["validation"], metrics["data"]
    figures = [
        (f"Dice ({name}, per image)", "dice", value)
        for name, value in validation["per_image"]["dice"].items()
        if value is not None
    ]
    figures.append(("Pixel error", "pixel_error", validation["pixel_error"]))
    if "average_precision_50" in validation:
        figures.append(
            ("AP at IoU 0.5", "average_precision_50", validation["average_precision_50"])
        )
    if "seg" in validation:
        figures.append(("SEG", "seg", validation["seg"]))
    if "membranes" in validation:
        figures.append(("V_rand (thinned)", "v_rand", validation["membranes"]["v_rand_thinned"]))
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type="images",
            dataset_name=data["name"],
            dataset_split=KEPT_OUT,
            metric_type=kind,
            metric_name=title,
            metric_value=round(value, 6),
        )
        for title, kind, value in figures
    ]


def _untrained() -> dict[str, str]:
    return {
        "figures": UNTRAINED,
        "training": "Nothing is recorded of its training.",
        "limits": "Unknown: measure it on your own images before you rely on it.",
    }


def _measured(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    data, training, validation = metrics["data"], metrics["training"], metrics["validation"]
    intervals = validation.get("intervals", {})
    bounds = intervals.get("per_image", {}).get("dice", {})
    rows = [
        f"| {name} | {_figure(validation['per_image']['dice'][name], bounds.get(name))} "
        f"| {_figure(validation['per_image']['iou'][name])} "
        f"| {_figure(validation['pooled']['dice'][name])} "
        f"| {_figure(validation['pooled']['iou'][name])} |"
        for name in validation["per_image"]["dice"]
    ]
    more = [f"Pixel error: {_figure(validation['pixel_error'], intervals.get('pixel_error'))}."]
    more += _instances(validation, intervals)
    more += _looks(validation.get("looks", {}))
    if "membranes" in validation:
        more += _membranes(validation["membranes"])
    if intervals:
        more.append("In brackets: 95 % bootstrap intervals over images.")
    if chosen := _chosen(config):
        more.append(f"Chosen on these images: {chosen}.")
    if config.get("test_time_averaging"):
        more.append("Each figure is of the mean over eight flips and rotations of the image.")
    seams = metrics["overlap_tile"]
    more.append(
        f"Overlap-tile, measured: an image of {seams['width']} x {seams['height']} pixels in "
        f"{seams['tiles']} tiles and in one piece differs by at most "
        f"{seams['largest_difference']:.2g} in probability, and {seams['changed_pixels']} pixels "
        "change their class."
    )
    figures = "\n".join(
        [
            f"Trained on {data['train_images']} images of: {data['name']}. The figures are of "
            f"{data['validation_images']} images kept out of training, by which the checkpoint was "
            "chosen.",
            "",
            "| class | Dice per image | IoU per image | Dice pooled | IoU pooled |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"- {validation['per_image']['convention']}.",
            f"- {validation['pooled']['convention']}.",
            *[f"- {line}" for line in more],
            "",
            f"Data: {data['terms']}. {data['citation']}.",
        ]
    )
    return {
        "summary": metrics["summary"],
        "figures": figures,
        "training": _course(training),
        "limits": metrics["limits"],
    }


def _course(training: Mapping[str, Any]) -> str:
    """How the weights came about, the runs they started from included."""
    runs = [*training["before"], training]
    courses = [
        f"{run['steps']:,} steps of {run['batch']} tiles in {run['hours']:.2f} hours on "
        f"{run['machine']}, {run['precision']} precision"
        for run in runs
    ]
    start = ""
    if len(runs) > 1:
        hours = sum(run["hours"] for run in runs)
        start = f"In {len(runs)} runs, each from the weights of the one before, {hours:.2f} hours: "
    elif training["init"]:
        start = f"From the weights of {training['init']}: "
    return (
        f"{start}{'; then '.join(courses)}. The checkpoint is that of step "
        f"{training['best_step']:,}. `settings.json` holds every setting"
        f"{' of the last run' if len(runs) > 1 else ''}."
    )


def _instances(validation: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[str]:
    """What is said of instances, where they were scored."""
    lines = []
    if "average_precision_50" in validation:
        bounds = intervals.get("average_precision_50")
        line = (
            f"Average precision of instances at IoU 0.5: "
            f"{_figure(validation['average_precision_50'], bounds)}, the mean over images"
        )
        others = [
            f"{value:.4f} at {threshold}"
            for threshold, value in validation.get("average_precision", {}).items()
            if threshold != "0.5"
        ]
        lines.append(f"{line}; {', '.join(others)}." if others else f"{line}.")
    if "seg" in validation:
        figure = _figure(validation["seg"], intervals.get("seg"))
        lines.append(f"SEG of the Cell Tracking Challenge: {figure}.")
    return lines


def _looks(looks: Mapping[str, Any]) -> list[str]:
    """What is said of dark, bright and coloured images alone, where there are several kinds."""
    if len(looks) < 2:
        return []
    parts = []
    for look, figures in looks.items():
        name, value = "pixel error", figures["pixel_error"]
        bounds = figures["intervals"]["pixel_error"]
        if "average_precision_50" in figures:
            name, value = "average precision at IoU 0.5", figures["average_precision_50"]
            bounds = figures["intervals"]["average_precision_50"]
        word = {"color": "coloured"}.get(look, look)
        parts.append(f"{name} {_figure(value, bounds)} of the {figures['images']} {word} ones")
    return [f"By the look of the images: {'; '.join(parts)}."]


def _membranes(figures: Mapping[str, Any]) -> list[str]:
    """What is said of a stack of membrane maps."""
    best = figures["best"]
    return [
        f"As the ISBI 2012 challenge scores, at threshold 0.5 or as chosen: warping error "
        f"{figures['warping_error']:.6f} ({figures['splits']} pixels of splits, "
        f"{figures['merges']} of merges), V_rand (thinned) {figures['v_rand_thinned']:.4f}, "
        f"V_info (thinned) {figures['v_info_thinned']:.4f}.",
        f"At the best threshold, as its leader board does: pixel error "
        f"{best['pixel_error']['value']:.4f}, V_rand {best['v_rand_thinned']['value']:.4f}, "
        f"V_info {best['v_info_thinned']['value']:.4f}.",
    ]


def _chosen(config: Mapping[str, Any]) -> str:
    """Thresholds that turn probabilities into masks and objects, in words."""
    parts = []
    if config.get("thresholds"):
        limits = ", ".join(f"{value:g}" for value in config["thresholds"])
        parts.append(f"the probability from which on a pixel belongs to its class, {limits}")
    if config.get("seed_threshold"):
        parts.append(f"that from which on it is a seed of an object, {config['seed_threshold']:g}")
    if config.get("seed_depth"):
        parts.append(f"the depth of a seed, {config['seed_depth']:g} pixels")
    return "; ".join(parts)


def _expected(config: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    """What the network's own estimate of its Dice is worth."""
    if not config.get("calibration"):
        return "Its probabilities are not calibrated, so it makes no estimate of its own Dice."
    what = (
        "Without a ground truth, `result.expected_dice` is the network's own estimate of the Dice "
        "of each class in an image, from its calibrated probabilities."
    )
    measured = {} if metrics is None else metrics["validation"].get("expected_dice", {})
    known = {name: one for name, one in measured.get("classes", {}).items() if one}
    if not known:
        return f"{what} How well it holds has not been measured."
    differences = ", ".join(
        f"{one['mean_difference']:.3f} for {name} (at most {one['largest_difference']:.3f})"
        for name, one in known.items()
    )
    rows = [
        f"| {name} | {one['images']} | {one['expected']:.4f} | {one['measured']:.4f} "
        f"| {one['mean_difference']:.4f} | {one['largest_difference']:.4f} "
        f"| {one['without_estimate']:.4f} | {_figure(one['correlation'], absent='-')} |"
        for name, one in known.items()
    ]
    return "\n".join(
        [
            f"{what} On the images kept out of training, each with the calibration of the others, "
            f"it was off on average by {differences}.",
            "",
            "| class | images | Dice expected | Dice measured | mean difference "
            "| largest difference | without the estimate | correlation |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"- {measured['convention']}.",
            "- Without the estimate: the mean difference left to one who expects of each image "
            "what the others scored on average. Where it is as small, the estimate does not tell "
            "these images apart.",
            "- On images unlike these it may be far off: it cannot know what it was never shown.",
        ]
    )


def _figure(
    value: float | None, bounds: Sequence[float] | None = None, *, absent: str = "absent"
) -> str:
    if value is None:
        return absent
    around = "" if bounds is None else f" ({bounds[0]:.4f} - {bounds[1]:.4f})"
    return f"{value:.4f}{around}"
