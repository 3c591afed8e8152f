"""Why a model cannot be published, in a sentence: what the Hub answers, and what to do."""

from httpx2 import HTTPError
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

TROUBLE = (HTTPError, OSError, RuntimeError, HFValidationError)
"""What the client raises where the Hub refuses, fails or cannot be reached."""

_ANSWERS = {
    401: "The Hub does not accept your token. Run `hf auth login` with one that may write, or set "
    "HF_TOKEN.",
    403: "Your token may not write {name}. Use a token with the role write that covers it.",
    404: "There is no repository {name} any more that your token may see.",
    412: "Somebody else changes {name} at this moment. Try again when they are done.",
    429: "The Hub has had too many requests from you or your network. Wait some minutes, then try "
    "again.",
}


class PublishError(ValueError):
    """A model cannot be published; the message says why, and what there is on the Hub."""


def refusal(name: str, error: BaseException) -> str:
    """What went wrong at the Hub, in one or two sentences.

    Parameters
    ----------
    name : str
        The repository.
    error : exception
        One of `TROUBLE`.

    Examples
    --------
    >>> refusal("org/net", ConnectionRefusedError())
    'The Hub cannot be reached. Try again when you are online.'
    >>> refusal("org/net", OSError(28, "No space left on device"))
    'A file on this machine cannot be read or written: No space left on device.'
    """
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__  # the client says by it which file it was at
    if isinstance(error, HFValidationError):
        return (
            f"{name!r} is no name for a repository. Use org/name, of letters, digits, '-', '_' and "
            "'.'."
        )
    if isinstance(error, OfflineModeIsEnabled):
        return "The Hub must not be asked: HF_HUB_OFFLINE is set. Unset it to publish."
    if isinstance(error, OSError) and not isinstance(error, HTTPError | ConnectionError):
        return f"A file on this machine cannot be read or written: {error.strerror or error}."
    if not isinstance(error, HfHubHTTPError):
        return "The Hub cannot be reached. Try again when you are online."
    status = error.response.status_code
    if status in _ANSWERS:
        return _ANSWERS[status].format(name=name)
    if status >= 500:
        return f"The Hub has trouble: it answered {status}. Try again later."
    return f"The Hub refused {name}: it answered {status}."
