"""metrics.json and a template in, a model card out. No figure on a card is typed by hand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from hf_unet.arguments import LATER
from hf_unet.cards.figures import expected_text, figures_text
from hf_unet.cards.header import KEPT_OUT
from hf_unet.cards.picture import PICTURE, picture_source
from hf_unet.cards.training import (
    course_text,
    data_text,
    emitted_grams,
    energy_text,
    first_weights,
    settings_text,
)
from hf_unet.errors import ModelError

PACKAGE = Path(__file__).parent.parent

CARD = "README.md"

METRICS = "metrics.json"
"""The figures of a model repository."""

SETTINGS = "settings.json"
"""How its network was trained."""

UNTRAINED = "No figures have been computed for this network: it was saved without metrics."

TAGS = (
    "image-segmentation",
    "semantic-segmentation",
    "biomedical",
    "microscopy",
    "unet",
    "model_hub_mixin",
    "pytorch_model_hub_mixin",
)


def template() -> str:
    """The text of model_card.md: beside this package when installed, above it in a checkout."""
    packaged = PACKAGE / "model_card.md"
    return (packaged if packaged.is_file() else PACKAGE.parent / "model_card.md").read_text("utf-8")


def render_card(
    config: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    *,
    repo_id: str = "org/name",
    parameters: int | None = None,
    settings: Mapping[str, Any] | None = None,
    picture: str | None = None,
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
    settings : mapping, optional
        A run's settings.json. None: the card has no table of settings.
    picture : str, optional
        Where the image of picture.png is from, in words. None: there is no such file beside the
        card, and it shows no picture.

    Returns
    -------
    ModelCard
        Its text is in marked parts, see `hf_unet.cards.parts`.

    Raises
    ------
    ModelError
        If the metrics or the settings lack what the card shows; names it.

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
    try:
        table = "" if settings is None else settings_text(settings)
    except KeyError as error:
        raise ModelError(
            f"settings.json lacks {error.args[0]!r}, which the card shows. Take the settings.json "
            "that the run wrote."
        ) from error
    classes = ", ".join(config["classes"])
    card: ModelCard = ModelCard.from_template(
        card_data=card_data,
        template_str=template(),
        title=repo_id.rsplit("/", maxsplit=1)[-1],
        repo_id=repo_id,
        normalization=config["normalization"],
        blocks=_blocks((LATER | dict(config))["downsampling"]),
        parameters="" if parameters is None else f" of {parameters:,} parameters",
        expected=expected_text(config, metrics),
        settings=table,
        picture="" if picture is None else _picture(picture),
        **{"summary": f"Segments {classes} in images of {config['in_channels']} channel(s)."}
        | fields,
    )
    return card


def card_of(
    repository: Path,
    *,
    repo_id: str,
    metrics: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> ModelCard:
    """Render the card of a model repository on disk from the files that lie in it.

    Parameters
    ----------
    repository : Path
        A folder with config.json, and what there is of metrics.json, settings.json and
        picture.png.
    repo_id : str
        As `render_card` takes it.
    metrics, settings : mapping, optional
        In place of those in the folder.

    Raises
    ------
    ModelError
        As `render_card`, or if one of the files cannot be read.
    """
    config = _read(repository / "config.json")
    if config is None:
        raise ModelError(f"The model {repository.name} holds no config.json: it has no card.")
    image = repository / PICTURE
    return render_card(
        config,
        _read(repository / METRICS) if metrics is None else metrics,
        repo_id=repo_id,
        settings=_read(repository / SETTINGS) if settings is None else settings,
        picture=picture_source(image) if image.is_file() else None,
    )


def _blocks(side: int) -> str:
    """What a network sees as one, where that is more than a pixel."""
    if side == 1:
        return ""
    return f" The network sees blocks of {side} x {side} pixels as one, and nothing thinner."


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} is damaged: it cannot be read as JSON.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path.name} is not a JSON object.")
    return value


def _card_data(metrics: Mapping[str, Any] | None, repo_id: str) -> ModelCardData:
    about: dict[str, Any] = {}
    if metrics is not None:
        name = repo_id.rsplit("/", maxsplit=1)[-1]
        about |= {
            "license": metrics["license"],
            "license_name": metrics.get("license_name") or None,
            "license_link": metrics.get("license_link") or None,
            "datasets": list(metrics["data"].get("repositories", [])) or None,
            "base_model": _base_model(metrics["training"]),
            "model_name": name,
            "eval_results": _eval_results(metrics),
        }
        if grams := emitted_grams(metrics):
            about["co2_eq_emissions"] = {
                "emissions": round(grams, 3),
                "source": "hours x watts x grams per kWh, as stated by the author",
                "hardware_used": metrics["training"]["machine"],
            }
    return ModelCardData(
        library_name="hf-unet", pipeline_tag="image-segmentation", tags=list(TAGS), **about
    )


def _base_model(training: Mapping[str, Any]) -> str | None:
    """The repository on the Hub that the weights come from; of a folder only its name is known."""
    base = first_weights(training)
    return base if base is not None and "/" in base else None


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
    repositories = data.get("repositories", [])
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=repositories[0] if repositories else "images",
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
        "data": "Nothing is recorded of it.",
        "figures": UNTRAINED,
        "training": "Nothing is recorded of its training.",
        "energy": "Nothing is recorded of it.",
        "limits": "Unknown: measure it on your own images before you rely on it.",
    }


def _measured(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    return {
        "data": data_text(metrics),
        "figures": figures_text(metrics, config),
        "training": course_text(metrics["training"]),
        "energy": energy_text(metrics),
        "summary": metrics["summary"],
        "limits": metrics["limits"],
    }


def _picture(source: str) -> str:
    words = f" The image: {source}." if source else ""
    return (
        f"![An image, and beside it the same with what the network found drawn over it]({PICTURE})"
        f"\n\nLeft an image, right what the network finds in it, each class in its colour.{words}"
    )
