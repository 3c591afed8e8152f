"""Where a result comes from: network, image and settings, so that it can be made again."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import ResultError

RESULT = "result.json"

FORMAT = 1
"""Version of result.json's form. It grows when an older reader would make another mask."""

DEVICES = ("cpu", "cuda", "mps")

RUNTIMES = ("torch", "onnxruntime")
"""What may run a network."""


@dataclass(frozen=True)
class Origin:
    """Where the weights of a network were loaded from.

    Attributes
    ----------
    name : str
        Name on the Hub, such as ``org/name``; of a local folder or file its last part.
    revision : str or None
        The commit on the Hub, 40 hexadecimal digits, whatever branch or tag was asked for.
        None: a local folder or file.
    sha256 : str
        Of model.safetensors, or of the ONNX file that was run, 64 hexadecimal digits.
    """

    name: str
    revision: str | None
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """What a network was when it made a result.

    Attributes
    ----------
    model : Origin or None
        None: its weights were not loaded, or have been changed since.
    settings : mapping
        The arguments of the network (see `hf_unet.UNet`), as JSON has them, with
        ``test_time_averaging`` as it was used.
    device : str
        What it ran on: "cpu", "cuda" or "mps". Devices round differently.
    runtime : str
        What ran it: "torch" or "onnxruntime". They round differently, too.
    """

    model: Origin | None
    settings: Mapping[str, Any]
    device: str
    runtime: str = "torch"


@dataclass(frozen=True)
class Record:
    """What a result.json says of how its mask was made.

    Attributes
    ----------
    model : Origin
    image : str or None
        File name of the image, without its folder. None: it was no file.
    page : int
        Page of the file, from 0.
    pixels_sha256 : str
        `array_sha256` of the page as it was read.
    tile : (int, int)
        Height and width of the tiles' input, in pixels.
    settings : mapping
        As in `Provenance`.
    device : str
    mask_sha256 : str
        `array_sha256` of the mask.
    runtime : str
        As in `Provenance`.
    """

    model: Origin
    image: str | None
    page: int
    pixels_sha256: str
    tile: tuple[int, int]
    settings: Mapping[str, Any]
    device: str
    mask_sha256: str
    runtime: str = "torch"


def array_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and values, the same on every machine.

    Examples
    --------
    >>> array_sha256(np.zeros((2, 3), np.uint8))[:16]
    '172b4357d86da6cc'
    """
    plain = np.asarray(array)
    ordered = np.ascontiguousarray(plain, plain.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{ordered.dtype.str} {ordered.shape}\n".encode())
    digest.update(ordered.reshape(-1).view(np.uint8).data)  # a view: nothing is copied
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(2**16))
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(block):
            digest.update(block[:length])
    return digest.hexdigest()


def as_json(value: Any, name: str) -> Any:
    """A value as JSON has it: NumPy's numbers and arrays as plain ones, NaN and infinity as null.

    Raises
    ------
    ResultError
        If JSON has no such value; ``name`` says which it is.

    Examples
    --------
    >>> as_json({"dice": np.float64(0.5), "iou": [float("nan")]}, "figures")
    {'dice': 0.5, 'iou': [None]}
    """
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): as_json(item, f"{name}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item, name) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    raise ResultError(
        f"{name} is a {type(value).__name__}, which {RESULT} cannot hold. Give numbers, texts, "
        "and lists and mappings of them."
    )


def read_record(path: str | Path) -> Record:
    """Read from a result.json how its mask was made.

    Parameters
    ----------
    path : str or Path
        The file that `hf_unet.Segmentation.save` wrote, or its folder.

    Raises
    ------
    ResultError
        If there is no such file, it is damaged, was written by a newer version, or does not
        say enough to make the mask again.
    """
    path = Path(path)
    path = path / RESULT if path.is_dir() else path
    name = path.name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(f"There is no {name}. Give the {RESULT} of a saved result.") from None
    except (OSError, ValueError, RecursionError):
        raise ResultError(
            f"{name} is damaged: it cannot be read as JSON. Save the result again."
        ) from None
    form = content.get("format") if isinstance(content, dict) else None
    if form is None or not _is_whole(form, 1):
        raise ResultError(
            f"{name} does not say how its mask was made: it is no {RESULT} of hf-unet, or one of "
            "an early version. Segment the image again."
        )
    if form > FORMAT:
        raise ResultError(
            f"{name} was written by the newer version {content.get('hf_unet_version')!s:.20} of "
            "hf-unet, and this one may misread it. Upgrade with `pip install --upgrade hf-unet`."
        )
    if content.get("model", ...) is None:
        raise ResultError(
            f"{name} does not name its model: the network was not loaded from a model repository, "
            "or was changed after. Save the network, load it and segment the image again."
        )
    return _record(content, name)


def _record(content: dict[str, Any], name: str) -> Record:
    def entry(*keys: str) -> Any:
        value: Any = content
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def checked(fits: bool, *keys: str) -> None:
        if not fits:
            raise ResultError(
                f"{name} is damaged: its {'.'.join(keys)} is missing or no longer what was "
                "written. Save the result again."
            )

    digests = []
    for keys in (("model", "sha256"), ("image", "sha256"), ("mask_sha256",)):
        digests.append(entry(*keys))
        checked(_is_hex(digests[-1], 64), *keys)
    model, revision = entry("model", "name"), entry("model", "revision")
    checked(isinstance(model, str) and model != "", "model", "name")
    checked(revision is None or _is_hex(revision, 40), "model", "revision")
    # A folder is named by its last part: a name that leads elsewhere was put there by hand.
    checked(
        revision is not None or (model not in ("..", ".") and Path(model).name == model),
        "model",
        "name",
    )
    image, page = entry("image", "name"), entry("image", "page")
    is_name = isinstance(image, str) and image == Path(image).name
    checked(image is None or is_name, "image", "name")
    checked(_is_whole(page, 0), "image", "page")
    settings, tile, device = entry("settings"), entry("tile", "side"), entry("device")
    checked(isinstance(settings, dict), "settings")
    checked(
        isinstance(tile, list) and len(tile) == 2 and all(_is_whole(side, 1) for side in tile),
        *("tile", "side"),
    )
    checked(device in DEVICES, "device")
    runtime = content.get("runtime", "torch")  # all that there was at first
    checked(runtime in RUNTIMES, "runtime")
    return Record(
        model=Origin(model, revision, digests[0]),
        image=image,
        page=page,
        pixels_sha256=digests[1],
        tile=(tile[0], tile[1]),
        settings=settings,
        device=device,
        mask_sha256=digests[2],
        runtime=runtime,
    )


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", value) is not None


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
