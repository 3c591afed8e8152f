"""config.json to the class that it names and that class's arguments, strictly."""

import inspect
import re
from collections.abc import Sequence
from typing import Any, TypeVar

from hf_unet.arguments import LATER, shortened
from hf_unet.errors import ModelError
from hf_unet.repositories.pretrained import CONFIG

Class = TypeVar("Class")

NOT_ARGUMENTS = {"model_class", "hf_unet_version"}


VERSION = re.compile(r"(\d{1,6}(?:\.\d{1,6}){0,3})(?:[a-z0-9.]{0,16})")


def parameters_of(kind: type) -> list[str]:
    """Names of the arguments of a class's constructor."""
    return [name for name in inspect.signature(kind.__init__).parameters if name != "self"]  # type: ignore[misc]


def later_version(config: dict[str, Any]) -> str | None:
    """The version that wrote a config, if that is later than this one.

    Examples
    --------
    >>> later_version({"hf_unet_version": "123.4"})
    '123.4'
    >>> later_version({"hf_unet_version": "0.0.1"})
    """
    from hf_unet import __version__

    written = config.get("hf_unet_version")
    if not isinstance(written, str) or not VERSION.fullmatch(written):
        return None
    return written if _release(written) > _release(__version__) else None


def advice(config: dict[str, Any], otherwise: str) -> str:
    """What to do about a config that cannot be used: its version is to be installed, if later."""
    from hf_unet import __version__

    later = later_version(config)
    if later is None:
        return otherwise
    return (
        f"It was written by hf-unet {later}, and this is {__version__}: upgrade with "
        f'`pip install "hf-unet>={later}"`.'
    )


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
        what = "of no class that this library knows"
        if named is not None:
            what = f"of class {shortened(named)}"
        raise ModelError(
            f"The {CONFIG} of {title} is {what}; wanted is {', '.join(by_name)}. "
            + advice(config, "Load it with the library that made it.")
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
    if unknown := sorted(set(config) - set(names) - NOT_ARGUMENTS):
        raise ModelError(
            f"The {CONFIG} of {title} holds {shortened(unknown[0])}, which this version of hf-unet "
            "does not know. "
            + advice(config, "Load it with the library that made it, or save the model again.")
        )
    if missing := [name for name in names if name not in given]:
        raise ModelError(
            f"The {CONFIG} of {title} lacks {missing[0]!r}. "
            + advice(config, "Save the model again with save_pretrained.")
        )
    return {name: given[name] for name in names}


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without what marks it as one before a release."""
    found = VERSION.fullmatch(version)
    numbers = [int(part) for part in found[1].split(".")] if found else []
    return tuple(numbers + [0] * (4 - len(numbers)))
