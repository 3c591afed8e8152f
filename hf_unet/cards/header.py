"""A model card's YAML header: what is generated of it, beside what people added."""

from collections.abc import Mapping
from typing import Any

import yaml

from hf_unet.errors import ModelError

KEPT_OUT = "kept out of training"
"""The split by which the results that are generated are told from others in a model-index."""

UNKNOWN = "unknown"
"""The licence of a recipe that names none."""

_LISTS = ("tags", "datasets")
_TERMS = ("license", "license_name", "license_link")
_INDEX = "model-index"


def merge_headers(existing: str, generated: str) -> str:
    r"""Bring what was generated into the header of a card that people have edited.

    Parameters
    ----------
    existing, generated : str
        YAML, without the two lines of dashes around it.

    Returns
    -------
    str
        What ``generated`` says, and beside it, in their own places and words, the keys that only
        ``existing`` has. Tags and data sets that it alone names stay, too, and so do results of
        its model-index that are not of what was kept out of training. Of a licence that has
        changed no name or link is left; where the new one is unknown or none, it is as it was.

    Raises
    ------
    ModelError
        If ``existing`` is not YAML, or no table of keys.

    Examples
    --------
    >>> print(merge_headers("language: en  # of the words\ntags: [mine]\n", "tags:\n- unet\n"))
    language: en  # of the words
    tags:
    - unet
    - mine
    <BLANKLINE>
    """
    old, new = _mapping(existing), _mapping(generated)
    wanted = old | {key: _both(key, old.get(key), value) for key, value in new.items()}
    if new.get("license", UNKNOWN) == UNKNOWN:
        wanted |= {key: old[key] for key in _TERMS if key in old}
    elif new.get("license") != old.get("license"):
        wanted = {key: value for key, value in wanted.items() if key not in _TERMS or key in new}
    if _INDEX in old:
        wanted[_INDEX] = _index(old[_INDEX], new.get(_INDEX, []))
        if not wanted[_INDEX]:
            del wanted[_INDEX]
    text = _spliced(existing, old, wanted)
    if wanted == new and ("#" not in existing or "#" not in text):
        return generated  # nobody added anything that stays: the order of the keys as ever
    return text if _reads_as(text, wanted) else _dumped(wanted)


def _mapping(text: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelError(
            "The header of the card, between its first two lines of three dashes, is not YAML. "
            "Mend it, or take it out."
        ) from error
    if value is not None and not isinstance(value, dict):
        raise ModelError(
            "The header of the card, between its first two lines of three dashes, is no table of "
            "keys and values. Mend it, or take it out."
        )
    return value or {}


def _both(key: str, old: Any, new: Any) -> Any:
    """The generated value; of a list of names also those that were there beside it."""
    if key not in _LISTS or old is None:
        return new
    beside = old if isinstance(old, list) else [old]
    return [*new, *(one for one in beside if one not in new)]


def _index(old: Any, new: list[dict[str, Any]]) -> list[Any]:
    """The generated results, and those of others: a model-index is a list of named models."""
    models = [model | {"results": list(model["results"])} for model in new]
    for model in old if isinstance(old, list) else []:
        results = model.get("results") if isinstance(model, dict) else None
        others = [one for one in results or () if not _is_generated(one)]
        if others and models:
            models[0]["results"] += others
        elif others:
            models.append(model | {"results": others})
    return models


def _is_generated(result: Any) -> bool:
    dataset = result.get("dataset") if isinstance(result, dict) else None
    return isinstance(dataset, dict) and dataset.get("split") == KEPT_OUT


def _spliced(existing: str, old: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The old text, in which only the lines of keys that changed are others.

    Exact for keys on lines of their own, as they are in every card but the strangest; empty where
    keys cannot be told from their lines.
    """
    lines = existing.splitlines(keepends=True)
    root = yaml.compose(existing)
    starts = [key.start_mark.line for key, _ in root.value] if root is not None else []
    if len(starts) != len(old):  # a key twice, or several by "<<"
        return ""
    text = "".join(lines[: starts[0]] if starts else lines)
    for number, key in enumerate(old):
        block = lines[starts[number] : starts[number + 1] if number + 1 < len(starts) else None]
        after = len(block)
        while after and (not block[after - 1].strip() or block[after - 1].startswith("#")):
            after -= 1
        if key in wanted:
            kept = wanted[key] == old[key]
            text += "".join(block[:after]) if kept else _dumped({key: wanted[key]})
        text += "".join(block[after:])
    if text and not text.endswith("\n"):
        text += "\n"
    added = {key: value for key, value in wanted.items() if key not in old}
    return text + (_dumped(added) if added else "")


def _reads_as(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == wanted)
    except yaml.YAMLError:
        return False


def _dumped(values: Mapping[str, Any]) -> str:
    return str(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
