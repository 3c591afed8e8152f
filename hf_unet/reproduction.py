"""A saved result made again, from what its result.json says."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_unet.errors import ResultError
from hf_unet.images import ScienceImage, read_image
from hf_unet.model import load_network
from hf_unet.onnx.network import OnnxNetwork, find_onnx
from hf_unet.provenance import Origin, Record, array_sha256
from hf_unet.repositories.pretrained import Repository, pinned, read_config, read_origin
from hf_unet.segmentation import Segmentation
from hf_unet.segmenter import Segmenter
from hf_unet.tiles import Progress

MODELS = "models"
"""Where a folder is also looked for that a record names by its last part."""


@dataclass(frozen=True, eq=False)
class Reproduction:
    """A result made again.

    Attributes
    ----------
    result : Segmentation
    identical : bool
        Whether its mask is the recorded one to the last pixel. On another device or machine
        probabilities differ by rounding, and with them a pixel here and there may.
    """

    result: Segmentation
    identical: bool


def reproduce(
    record: Record,
    image: object,
    *,
    model: str | Path | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Reproduction:
    """Make a result again: same model and revision, page, tiles and settings.

    Parameters
    ----------
    record : Record
        From `hf_unet.provenance.read_record`.
    image : path, bytes, PIL image, array or tensor
        What was segmented. Its file may be another, as long as the page holds the same pixels.
    model : str or Path, optional
        Folder or name on the Hub, if the model now lies elsewhere, or the ONNX file that the
        result was made with; the weights must be the same. None: the one recorded. A folder or
        file is looked for by its name here and in ``models``.
    device : str, optional
        None: the one recorded.
    batch_size, progress
        As `hf_unet.UNet.segment` takes them.
    **options
        As `hf_unet.UNet.from_pretrained` takes them, for instance ``token``.

    Returns
    -------
    Reproduction

    Raises
    ------
    ResultError
        If the pixels or the weights are not those recorded, or a setting is not known.
    ImageError, ModelError
        If the image or the model cannot be read.
    """
    pixels = _recorded_pixels(record, image)
    name = str(model) if model is not None else _recorded_name(record)
    same_name = name == record.model.name and not Path(name).is_dir()
    revision = record.model.revision if same_name else None
    network: Segmenter
    if record.runtime == "onnxruntime":
        file, origin = find_onnx(name, revision, **options)
        _check(record, origin, file.config)
        network = OnnxNetwork(file, origin, **record.settings)
    else:
        repository = pinned(Repository(name, revision=revision, **options))
        _check(record, read_origin(repository), read_config(repository))
        network = load_network(
            name,
            revision=repository.revision,
            device=device or record.device,
            **options,
            **record.settings,
        )
    result = network.segment(pixels, record.tile, batch_size, progress)
    return Reproduction(result, array_sha256(result.mask) == record.mask_sha256)


def _check(record: Record, origin: Origin, config: Mapping[str, Any]) -> None:
    """Raise `ResultError` if a model is not the recorded one, or lacks a setting."""
    if origin.sha256 != record.model.sha256:
        raise ResultError(
            f"The weights of {origin.name} are not those that the result was made with. "
            "Give the model as it was then, by its folder or its name on the Hub."
        )
    if unknown := sorted(set(record.settings) - set(config)):
        raise ResultError(
            f"The result was made with the setting {unknown[0]!r}, which this version of hf-unet "
            "does not know. Upgrade with `pip install --upgrade hf-unet`."
        )


def _recorded_pixels(record: Record, image: object) -> ScienceImage:
    pixels = read_image(image, page=0 if isinstance(image, ScienceImage) else record.page)
    if array_sha256(pixels) != record.pixels_sha256:
        given = pixels.name or "the image"
        which = f"page {record.page} of {record.image}" if record.image else "the image recorded"
        raise ResultError(
            f"The pixels of {given} are not those that the result was made from, {which}. Give "
            "the image as it was then."
        )
    return pixels


def _recorded_name(record: Record) -> str:
    """Where the recorded model lies: of a folder or file, only its last part is recorded."""
    name = record.model.name
    if record.model.revision is not None:
        return name
    is_file = record.runtime == "onnxruntime" and name.endswith(".onnx")
    for path in (Path(name), Path(MODELS) / name):
        if path.is_dir() or (is_file and path.is_file()):
            return str(path)
    place, option = ("file", "--onnx FILE") if is_file else ("folder", "--model FOLDER")
    raise ResultError(
        f"The result was made with a model in a {place} named {name}, which is neither here nor in "
        f"{MODELS}. Say where it lies ({option})."
    )
