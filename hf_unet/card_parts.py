"""A card's text in parts."""

import re

_NAMES = {
    "Use it": "use",
    "What it was given and what it reached": "figures",
    "The Dice it expects": "expected-dice",
    "How it was trained": "training",
    "Limits": "limits",
    "Paper": "paper",
}


def parts_of(text: str) -> dict[str, str]:
    r"""The parts of a card by name, in their order; without header and title.

    Examples
    --------
    >>> parts_of("# Cells\n\nFinds cells.\n\n## Limits\n\nOnly cells.")
    {'summary': 'Finds cells.', 'limits': 'Only cells.'}
    """
    body = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    summary, *rest = re.split(r"^## (.+)$", body, flags=re.MULTILINE)
    if not rest:
        return {}
    parts = {"summary": re.sub(r"^# .+$", "", summary, flags=re.MULTILINE).strip()}
    for heading, words in zip(rest[::2], rest[1::2], strict=True):
        parts[_NAMES.get(heading.strip(), heading.strip())] = words.strip()
    return parts
