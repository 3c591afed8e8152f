"""config.json to the class that it names and that class's arguments, strictly."""

import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

from hf_unet.errors import ModelError
from hf_unet.pretrained import CONFIG

Class = TypeVar("Class")

LATER: dict[str, Any] = {"calibration": None}
"""Arguments younger than the first version, and what a config.json without them means."""

NOT_ARGUMENTS = {"model_class", "hf_unet_version"}


def parameters_of(kind: type) -> list[str]:
    """Names of the arguments of a class's constructor."""
    return [name for name in inspect.signature(kind.__init__).parameters if name != "self"]  # type: ignore[misc]


def class_named(config: dict[str, Any], known: Sequence[type[Class]], title: str) -> type[Class]:
    """The class that a config names, of those known.

    Raises
    ------
    ModelError
        If it names none of them; ``title`` says whose config it is.
    """
    named = config.get("model_class")
    by_name = {kind.__name__: kind for kind in known}
    if not isinstance(named, str) or named not in by_name:
        what = "of no class that this library knows" if named is None else f"of class {named!r}"
        raise ModelError(
            f"The {CONFIG} of {title} is {what}; wanted is {', '.join(by_name)}. "
            "Load it with the library that made it."
        )
    return by_name[named]


def arguments_of(kind: type, config: dict[str, Any], title: str) -> dict[str, Any]:
    """The arguments of a class, each from the config.

    Raises
    ------
    ModelError
        If one is missing, or the config holds more than the class knows.
    """
    names, given = parameters_of(kind), LATER | config
    if missing := [name for name in names if name not in given]:
        raise ModelError(
            f"The {CONFIG} of {title} lacks {missing[0]!r}. Save the model again with "
            "save_pretrained."
        )
    if unknown := sorted(set(config) - set(names) - NOT_ARGUMENTS):
        raise ModelError(
            f"The {CONFIG} of {title} holds {unknown[0]!r}, which this version of hf-unet does "
            f"not know; it was written by version {config.get('hf_unet_version', 'unknown')}. "
            "Upgrade with `pip install --upgrade hf-unet`."
        )
    return {name: given[name] for name in names}
