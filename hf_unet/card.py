"""metrics.json and a template in, a model card out. No figure on a card is typed by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hf_unet.errors import ModelError

HERE = Path(__file__).parent

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
        fields = _untrained() if metrics is None else _measured(metrics)
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
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type="images",
            dataset_name=data["name"],
            dataset_split="kept out of training",
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


def _measured(metrics: Mapping[str, Any]) -> dict[str, str]:
    data, training, validation = metrics["data"], metrics["training"], metrics["validation"]
    rows = [
        f"| {name} | {_figure(validation['per_image']['dice'][name])} "
        f"| {_figure(validation['per_image']['iou'][name])} "
        f"| {_figure(validation['pooled']['dice'][name])} "
        f"| {_figure(validation['pooled']['iou'][name])} |"
        for name in validation["per_image"]["dice"]
    ]
    more = [f"Pixel error: {_figure(validation['pixel_error'])}."]
    if "average_precision_50" in validation:
        more.append(
            f"Average precision of instances at IoU 0.5: "
            f"{_figure(validation['average_precision_50'])}, the mean over images."
        )
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


def _figure(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"
