"""Where a model card says something else than its metrics.json: part by part, figure by figure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from hf_unet.cards.card import METRICS, render_card
from hf_unet.cards.header import KEPT_OUT
from hf_unet.cards.parts import header_of, parts_of
from hf_unet.errors import ModelError

COMPARED = ("summary", "data", "figures", "expected-dice", "training", "energy", "limits")
"""Parts that follow from config.json and metrics.json alone."""

SHOWN = 60
"""Characters of a line that a sentence quotes."""

_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w])")


def card_differences(
    text: str, config: Mapping[str, Any], metrics: Mapping[str, Any]
) -> tuple[str, ...]:
    """Compare a card with the one that the figures make.

    Only what is generated is compared: the figures in the header's model-index, and those parts
    of the text that the card still has. What people wrote or added is theirs.

    Parameters
    ----------
    text : str
        The card, its header included.
    config, metrics : mapping
        config.json and metrics.json of the same repository.

    Returns
    -------
    tuple of str
        A sentence for each difference; empty if there is none.
    """
    try:
        right = str(render_card(config, metrics))
        wanted = parts_of(right)
    except ModelError as error:
        return (f"The card cannot be compared with its figures. {error}",)
    except (ValueError, TypeError, LookupError, AttributeError):
        return (f"The card cannot be compared with its figures: {METRICS} is damaged.",)
    try:
        found = parts_of(text)
        sentences = _index_differences(*(yaml.safe_load(header_of(card)) for card in (text, right)))
    except ModelError as error:
        return (str(error),)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ("The header of the card is damaged: it cannot be read as YAML.",)
    shared = [part for part in COMPARED if part in wanted and part in found]
    if not shared:
        return (f"The card holds none of the parts that {METRICS} makes.",)
    for part in shared:
        sentences += part_differences(part, found[part], wanted[part])
    return tuple(sentences)


def part_differences(part: str, given: str, right: str) -> list[str]:
    """Sentences on the lines of one part; where only numbers differ, on each number.

    Examples
    --------
    >>> part_differences("figures", "Dice 0.9218 of 60 images", "Dice 0.9216 of 60 images")
    ['The figures part of the card says 0.9218 where metrics.json has 0.9216.']
    """
    ours, theirs = (
        [line.rstrip() for line in text.splitlines() if line.strip()] for text in (right, given)
    )
    sentences = []
    for wanted, found in zip(ours, theirs, strict=False):
        if wanted == found:
            continue
        if _NUMBER.sub("#", wanted) != _NUMBER.sub("#", found):
            sentences.append(
                f"The {part} part of the card says {_quoted(found, wanted)} where {METRICS} has "
                f"{_quoted(wanted, found)}."
            )
            return sentences  # what follows may be shifted by a line
        sentences += [
            f"The {part} part of the card says {said} where {METRICS} has {has}."
            for has, said in zip(_NUMBER.findall(wanted), _NUMBER.findall(found), strict=True)
            if has != said
        ]
    shared = min(len(ours), len(theirs))
    if len(ours) > shared:
        line = _quoted(ours[shared])
        sentences.append(f"The {part} part of the card lacks {line}, which {METRICS} makes.")
    elif len(theirs) > shared:
        line = _quoted(theirs[shared])
        sentences.append(f"The {part} part of the card has {line}, which {METRICS} does not make.")
    return sentences


def _index_differences(given: Any, right: Any) -> list[str]:
    """Sentences on two headers' model-index; results of other splits are other people's."""
    wanted = dict(_results(right))
    found = dict(_results(given))
    if wanted and not found:
        return [f"The header of the card has no model-index with the figures of {METRICS}."]
    sentences = []
    for name, figures in wanted.items():
        if name not in found:
            sentences.append(
                f"The model-index of the card lacks {name}, {figures[-1]} in {METRICS}."
            )
            continue
        sentences += [
            f"The model-index of the card says {said} for {name} where {METRICS} has {has}."
            for has, said in zip(figures, found[name], strict=True)
            if has != said
        ]
    return sentences + [
        f"The model-index of the card has {name}, which {METRICS} has not."
        for name in found
        if name not in wanted
    ]


def _results(header: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Each figure of a model-index that is generated: its name; its data and its value."""
    for model in _listed(header, "model-index"):
        for result in _listed(model, "results"):
            data = result.get("dataset") if isinstance(result, dict) else None
            if isinstance(data, dict) and data.get("split") == KEPT_OUT:
                for metric in _listed(result, "metrics"):
                    if isinstance(metric, dict):
                        yield str(metric.get("name")), (data.get("name"), metric.get("value"))


def _listed(table: Any, name: str) -> list[Any]:
    """A list in a table of a header that people may have written."""
    value = table.get(name) if isinstance(table, dict) else None
    return value if isinstance(value, list) else []


def _quoted(line: str, other: str = "") -> str:
    """A line in quotes; of a long one, what stands about where it leaves the other."""
    pairs = enumerate(zip(line, other, strict=False))
    at = next((number for number, (one, two) in pairs if one != two), 0)
    first = max(0, min(at - SHOWN // 3, len(line) - SHOWN))
    before, after = "..." * (first > 0), "..." * (first + SHOWN < len(line))
    return repr(before + line[first : first + SHOWN] + after)
