"""Data that is a repository on the Hub -> a folder on this machine."""

import errno
from dataclasses import dataclass
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_unet.training.pairs import DataError

SCHEME = "hub:"
"""What the name of data on the Hub starts with."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def resolve_data(source: str | Path, *, token: str | None = None) -> Path:
    """Find the folder of a data source, which for one on the Hub is fetched first.

    Parameters
    ----------
    source : str or Path
        A path on this machine, or ``hub:user/name`` or ``hub:user/name@revision``: a data set
        repository on the Hub, at a branch, tag or commit; without one, the newest.
    token : str, optional
        For private and gated repositories. Without: that of ``hf auth login``, if
        there is one.

    Returns
    -------
    Path
        A local path as it was given, whether there is such or not; else the folder of the
        fetched files, whose name is that of the commit. What was fetched once is kept and only
        compared from then on; where the Hub cannot be reached or does not show the repository
        (any more), the kept files serve without it.

    Raises
    ------
    DataError
        If the repository cannot be had, and why.

    Examples
    --------
    >>> resolve_data("data/cells").as_posix()
    'data/cells'
    >>> resolve_data("hub:cells")
    Traceback (most recent call last):
        ...
    hf_unet.training.pairs.DataError: 'hub:cells' names no data on the Hub. Write it as \
hub:user/name, or hub:user/name@revision.
    """
    if not str(source).startswith(SCHEME):
        return Path(source)
    wanted = _parse(str(source))
    try:
        try:
            return wanted.fetch(token)
        except HTTPError as error:
            # The client looks for what it has kept after some failures of the network only.
            if isinstance(error, HfHubHTTPError):
                raise
            return wanted.fetch(token, online=False)
    except HFValidationError as error:
        raise _malformed(str(source)) from error
    except GatedRepoError as error:
        raise DataError(
            f"The data {wanted.name} asks you to accept its terms first: open its page on the "
            "Hub, accept them, and log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise DataError(wanted.hidden(logged_in=error.response.status_code != 401)) from error
    except RevisionNotFoundError as error:
        raise DataError(
            f"The data {wanted.name} has no revision {wanted.revision!r}. Leave it out for the "
            "newest, or give a branch, tag or commit that exists."
        ) from error
    except LocalEntryNotFoundError as error:
        raise DataError(
            f"The data {wanted.title} is not stored on this machine, or not whole, and "
            f"{_obstacle(error)}. Try again when it can be, or give a local folder."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise DataError(
                f"The Hub does not accept the token with which the data {wanted.name} was asked "
                "for. Log in again with `hf auth login`, with a token that may read it."
            ) from error
        raise DataError(
            f"The data {wanted.title} could not be fetched: the Hub answered {status}. "
            "Try again later, or give a local folder."
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise DataError(
                f"There is no room on the disk for the data {wanted.title}. Make room, or set "
                "HF_HOME to a folder on a larger disk."
            ) from error
        reason = str(error.strerror or error).partition("\n")[0].rstrip(".")
        raise DataError(f"The data {wanted.title} could not be stored: {reason}.") from error


@dataclass(frozen=True)
class _Wanted:
    """A data set repository and its revision, None for the newest."""

    name: str
    revision: str | None

    @property
    def title(self) -> str:
        return f"{self.name} at revision {self.revision!r}" if self.revision else self.name

    def fetch(self, token: str | None, *, online: bool = True) -> Path:
        return Path(
            snapshot_download(
                self.name,
                repo_type="dataset",
                revision=self.revision,
                token=token,
                local_files_only=not online,
            )
        )

    def hidden(self, *, logged_in: bool) -> str:
        """Why it may not be there; the Hub does not tell a private one from none."""
        if logged_in:
            return (
                f"There is no data set {self.name} on the Hub that your token may read. Check "
                "the name; if it is private, use a token of an account that has access."
            )
        return (
            f"There is no public data set {self.name} on the Hub. Check the name; if it is "
            "private, log in with `hf auth login`."
        )


def _parse(source: str) -> _Wanted:
    name, at, revision = source.removeprefix(SCHEME).partition("@")
    # A name without a user is valid to the client, as a few old repositories have one.
    if "/" not in name or bool(revision) != bool(at):
        raise _malformed(source)
    return _Wanted(name, revision or None)


def _malformed(source: str) -> DataError:
    return DataError(
        f"{source!r} names no data on the Hub. Write it as hub:user/name, or "
        "hub:user/name@revision."
    )


def _obstacle(error: LocalEntryNotFoundError) -> str:
    """Why the Hub was of no help, as a part of a sentence."""
    cause = error.__cause__
    if isinstance(cause, HfHubHTTPError):
        return f"the Hub could not serve it: it answered {cause.response.status_code}"
    if isinstance(cause, OfflineModeIsEnabled):
        return "the Hub must not be asked: HF_HUB_OFFLINE is set"
    return "the Hub cannot be reached"
