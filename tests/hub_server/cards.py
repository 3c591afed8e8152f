"""A card's metadata, and the tags the Hub derives from it."""

import re
from typing import Any

import yaml

from hub_server.repositories import Commit, HubError

_HEADER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)^---[ \t]*$", re.DOTALL | re.MULTILINE)


def metadata(text: str) -> dict[str, Any]:
    """The YAML between the two lines of three dashes."""
    found = _HEADER.search(text)
    if not found:
        return {}
    try:
        header = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        raise HubError(400, f"Invalid YAML: {error}") from error
    if header is not None and not isinstance(header, dict):
        raise HubError(400, "YAML metadata must be an object")
    return header or {}


def card_of(commit: Commit) -> dict[str, Any]:
    """Metadata of a commit's README.md."""
    readme = commit.files.get("README.md")
    return metadata(readme.content.decode(errors="replace")) if readme else {}


def tags_of(card: dict[str, Any], commit: Commit) -> list[str]:
    """The card's own tags, and those that follow from its other fields and from the files."""
    tags = [card["library_name"]] if "library_name" in card else []
    if any(path.endswith(".safetensors") for path in commit.files):
        tags.append("safetensors")
    tags += _list(card.get("tags"))
    if "pipeline_tag" in card:
        tags.append(card["pipeline_tag"])
    for name in ("task_categories", "datasets", "license", "base_model"):
        tags += [f"{name.removesuffix('s')}:{value}" for value in _list(card.get(name))]
    return list(dict.fromkeys([*tags, "region:us"]))


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
