"""JSON that came from elsewhere, read more strictly than Python does."""

import json
from typing import Any


class JsonError(ValueError):
    """The text is no JSON."""


class RepeatedNameError(JsonError):
    """An object says what the message names twice, of which Python would take the last."""


def parse_json(content: bytes) -> Any:
    """Parse a text in UTF-8 whose objects say each thing once.

    Raises
    ------
    JsonError
        If it is no such text, nests too deeply, or holds what no text can: half a surrogate pair.

    Examples
    --------
    >>> parse_json(b'{"depth": 4}')
    {'depth': 4}
    """
    try:
        value = json.loads(content.decode(), object_pairs_hook=_once)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except JsonError:
        raise
    except (ValueError, RecursionError) as error:
        raise JsonError(str(error)) from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise RepeatedNameError(name)
        content[name] = value
    return content
