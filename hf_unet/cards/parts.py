"""A model card's marked parts: what is written by command, among what people write.

A part stands between two comments, each on a line of its own, which no page shows::

    <!-- hf-unet:figures -->
    | class | Dice per image |
    <!-- /hf-unet:figures -->

`parts_of` reads the parts of a card, and `merge_card` writes them anew in a card that people have
edited: their words around the parts stay, and so do the keys they added to its header.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from hf_unet.cards.header import merge_headers
from hf_unet.errors import ModelError

TITLE = "title"
"""The part that a card without marks has already, in its own words."""

_MARK = re.compile(
    r"^[ \t]*<!--[ \t]*(?P<end>/?)hf-unet:(?P<name>[a-z][a-z-]*)[ \t]*-->[ \t]*$", re.MULTILINE
)
_HEADER = re.compile(r"\A\s*^---[ \t]*\n(?P<yaml>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


def parts_of(text: str) -> dict[str, str]:
    r"""Read the marked parts of a model card.

    Parameters
    ----------
    text : str
        The card, with its header or without.

    Returns
    -------
    dict
        The text of each part by its name, in the order of the card, without the blank lines
        around it, its lines ended by "\n". Empty for a card without marks.

    Raises
    ------
    ModelError
        If a mark lacks the other one of its pair, stands inside of another part, or occurs twice.

    Examples
    --------
    >>> parts_of("Mine.\n<!-- hf-unet:limits -->\nOnly cells.\n<!-- /hf-unet:limits -->\n")
    {'limits': 'Only cells.'}
    """
    body = _unified(text)
    return {name: body[start:end].strip("\n") for name, (start, end) in _located(body).items()}


def merge_card(existing: str, generated: str) -> str:
    r"""Write a card's parts anew, and leave the rest of it as people wrote it.

    Parameters
    ----------
    existing : str
        The card as it is, with whatever people wrote.
    generated : str
        A card that `hf_unet.cards.card.render_card` has made.

    Returns
    -------
    str
        ``existing``, in which

        - a part that both have holds what ``generated`` says;
        - a part that only ``existing`` has, and all text around parts, is as it was;
        - a part that only ``generated`` has is left out, since somebody took it out: see
          `left_out`. To have it back, put its two marks where it shall stand;
        - the header says what the new one says, and keeps the keys, tags, data sets and results
          that only the old one has: see `hf_unet.cards.header.merge_headers`.

        A card without any mark keeps all its text, and the parts follow below it.

    Raises
    ------
    ModelError
        If marks of ``existing`` do not pair, or its header is not YAML.

    Examples
    --------
    >>> new = "<!-- hf-unet:limits -->\nOnly cells.\n<!-- /hf-unet:limits -->\n"
    >>> print(merge_card("Ask Ann.\n\n" + new.replace("Only cells", "None"), new), end="")
    Ask Ann.
    <BLANKLINE>
    <!-- hf-unet:limits -->
    Only cells.
    <!-- /hf-unet:limits -->
    """
    ending = "\r\n" if "\r\n" in existing else "\n"
    old_header, old_body = _split(_unified(existing))
    new_header, new_body = _split(_unified(generated))
    header = merge_headers(old_header, new_header)
    body = _merge_bodies(old_body, new_body)
    merged = f"---\n{header.strip()}\n---\n{body}" if header.strip() else body
    return merged.replace("\n", ending)


def left_out(merged: str, generated: str) -> tuple[str, ...]:
    r"""Name the parts that a card lacks of those that were generated with something in them.

    Examples
    --------
    >>> left_out("Mine.", "<!-- hf-unet:limits -->\nNone.\n<!-- /hf-unet:limits -->")
    ('limits',)
    """
    present = parts_of(merged)
    return tuple(name for name, text in parts_of(generated).items() if text and name not in present)


def marked(parts: Mapping[str, str]) -> str:
    """Put marks around texts, a blank line between one part and the next; undoes `parts_of`."""
    return "\n\n".join(
        f"<!-- hf-unet:{name} -->\n{text}\n<!-- /hf-unet:{name} -->" for name, text in parts.items()
    )


def read_card(path: Path) -> str:
    """The text of a card on disk, its line endings as they are.

    Raises
    ------
    ModelError
        If it is no text in UTF-8.
    """
    return card_text(path.read_bytes())


def card_text(content: bytes) -> str:
    """The text of a card's bytes.

    Raises
    ------
    ModelError
        If it is no text in UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError("The card, README.md, is no text in UTF-8. Save it so.") from error


def _merge_bodies(existing: str, generated: str) -> str:
    new = parts_of(generated)
    old = _located(existing)
    if not old:
        if not existing.strip():
            return generated
        added = {name: text for name, text in new.items() if name != TITLE}
        return f"{existing.rstrip()}\n\n{marked(added)}\n"
    body = existing
    for name, (start, end) in reversed(old.items()):  # from the end, so that places stay
        if name in new:
            body = f"{body[:start]}{new[name]}\n{body[end:]}"
    return body


def _located(body: str) -> dict[str, tuple[int, int]]:
    """Where the text of each part begins and ends, in the order of the card."""
    opened: re.Match[str] | None = None
    found: dict[str, tuple[int, int]] = {}
    for mark in _MARK.finditer(body):
        name = mark["name"]
        if mark["end"]:
            if opened is None or opened["name"] != name:
                raise _unpaired(name, "end", "begin")
            found[name] = opened.end() + 1, mark.start()
            opened = None
        elif opened is not None:
            raise _unpaired(opened["name"], "begin", "end")
        elif name in found:
            raise ModelError(
                f"The card has two parts marked {name!r}. Take one of them out, with its marks."
            )
        else:
            opened = mark
    if opened is not None:
        raise _unpaired(opened["name"], "begin", "end")
    return found


def _unpaired(name: str, found: str, lacking: str) -> ModelError:
    sign = {"begin": f"<!-- hf-unet:{name} -->", "end": f"<!-- /hf-unet:{name} -->"}
    return ModelError(
        f"In the card, the mark {sign[found]} lacks its partner {sign[lacking]}. Put that back, "
        "or take both out."
    )


def header_of(text: str) -> str:
    """The YAML of a card's header, "" where there is none."""
    return _split(_unified(text))[0]


def _split(text: str) -> tuple[str, str]:
    """The YAML of a card's header, and its body."""
    header = _HEADER.match(text)
    return (header["yaml"], text[header.end() :]) if header else ("", text)


def _unified(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
