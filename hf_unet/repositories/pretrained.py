"""Find and fetch the files of a model repository, and read its config.json.

Strict where huggingface_hub's own mixin is lenient: there a config that cannot be fetched is only
logged and missing weights are left as they were drawn, so a random network may come back. Here
each of these is a `ModelError`. Nothing is ever unpickled.
"""

import os
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from httpx2 import ConnectError, ConnectTimeout, HTTPError
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_unet.errors import AbsentFileError, ModelError, first_line
from hf_unet.provenance import Origin, file_sha256
from hf_unet.repositories.strict_json import JsonError, RepeatedNameError, parse_json

CONFIG = constants.CONFIG_NAME
WEIGHTS = constants.SAFETENSORS_SINGLE_FILE
ONNX = "onnx/model.onnx"
"""Where a repository has the same network as ONNX, if it does."""

SECONDS_TO_ANSWER = 4.0
"""That the Hub has to accept a connection, before it counts as out of reach."""

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before a download is tried again that the Hub answered with an error of its own."""

LARGEST_CONFIG = 2**20
"""Bytes of a config.json, whose usual size is one thousandth of this."""


@dataclass(frozen=True)
class Repository:
    """Where a model comes from: a local folder, or a name on the Hub and how to reach it."""

    name: str
    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False
    _fetched: dict[str, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def is_folder(self) -> bool:
        """Whether the name is that of a local folder; then the network is never asked."""
        return os.path.isdir(self.name)

    @property
    def title(self) -> str:
        """The name to show: of a folder its last part only."""
        return Path(self.name).resolve().name or "/" if self.is_folder else self.name

    def file(self, filename: str) -> Path:
        """The path of one file of the repository, fetched from the Hub once if need be.

        Raises
        ------
        ModelError
            If the repository, the revision or the file is not to be had, and why.
        """
        if self.is_folder:
            path = Path(self.name) / filename
            if not path.is_file():
                raise self._lacks(filename, os.listdir(self.name))
            return path
        if os.path.isfile(self.name):
            raise ModelError(
                f"{Path(self.name).name!r} is a file. Give the folder that holds {CONFIG} and "
                f"{WEIGHTS}, or a name on the Hub such as org/name."
            )
        if _looks_like_a_path(self.name):
            raise ModelError(
                f"There is no folder {Path(self.name).name!r} at the path given. Give a folder "
                f"that holds {CONFIG} and {WEIGHTS}, or a name on the Hub such as org/name."
            )
        if filename not in self._fetched:
            self._fetched[filename] = Path(self._download(filename))
        return self._fetched[filename]

    def _download(self, filename: str) -> str:
        try:
            if filename == CONFIG:
                self._check_reachable()
            return self._fetch(filename)
        # ValueError: a forced download, offline.
        except (EntryNotFoundError, HTTPError, OSError, ValueError) as error:
            # What the Hub answered is the cause, where the client speaks of its cache.
            told = error.__cause__ if isinstance(error.__cause__, HfHubHTTPError) else error
            raise self._refusal(filename, told) from error

    def _fetch(self, filename: str) -> str:
        """Let the client download; it does not try again by itself when a GET meets a 5xx."""
        for pause in (*PAUSES, None):
            try:
                return hf_hub_download(
                    self.name,
                    filename,
                    revision=self.revision,
                    token=self.token,
                    cache_dir=self.cache_dir,
                    force_download=self.force_download,
                    local_files_only=self.local_files_only,
                )
            except HfHubHTTPError as error:
                if pause is None or _status(error) < 500:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable: the last turn returns or raises")

    def _refusal(self, filename: str, error: BaseException) -> ModelError:
        """What an error of the client means, in a sentence."""
        at = f" at revision {self.revision!r}" if self.revision else ""
        what = f"{filename} of {self.name}{at}"
        if isinstance(error, HFValidationError):
            return ModelError(
                f"{self.name!r} is neither a folder here nor a valid name on the Hub. "
                "Names on the Hub look like org/name."
            )
        if isinstance(error, GatedRepoError):
            return ModelError(
                f"The repository {self.name} asks you to accept its terms first: open its page "
                "on the Hub, accept them, and log in with `hf auth login`."
            )
        if isinstance(error, RepositoryNotFoundError):
            return ModelError(
                f"There is no repository {self.name} on the Hub that you may read. Check the "
                "name; if it is private, log in with `hf auth login` or pass token=."
            )
        if isinstance(error, RevisionNotFoundError):
            return ModelError(
                f"The repository {self.name} has no revision {self.revision!r}. Leave it out for "
                "the newest, or give a branch, tag or commit that exists."
            )
        if isinstance(error, LocalEntryNotFoundError):
            return ModelError(
                f"{what} is not stored on this machine, and the Hub cannot be reached or must not "
                f"be asked. Go online once, or give a local folder{self._neighbours()}."
            )
        if isinstance(error, EntryNotFoundError):
            return self._lacks(filename, ())
        if isinstance(error, HfHubHTTPError) and _status(error) == 401:
            return ModelError(
                f"The Hub does not accept the token that {self.name} was asked for with. Log in "
                "anew with `hf auth login`, or pass token=False for what everybody may read."
            )
        if isinstance(error, HfHubHTTPError):
            return ModelError(
                f"{what} could not be fetched: the Hub answers with the error {_status(error)}. "
                "Try again in a while, or give a local folder."
            )
        return ModelError(
            f"{what} could not be fetched from the Hub: {first_line(error)} Try again, or give a "
            "local folder."
        )

    def _check_reachable(self) -> None:
        """Ask the Hub for a config that is not stored here; `LocalEntryNotFoundError` if offline.

        The client would ask six times in 23 seconds, for what often is a folder's name mistyped.
        Weights, which come after the config, are left to the client and all its patience.
        """
        if self.local_files_only or constants.is_offline_mode():
            return
        stored = try_to_load_from_cache(self.name, CONFIG, self.cache_dir, self.revision)
        if isinstance(stored, str) and not self.force_download:
            return
        url = hf_hub_url(self.name, CONFIG, revision=self.revision)
        for is_last in (False, True):
            try:
                get_hf_file_metadata(url, token=self.token, timeout=SECONDS_TO_ANSWER)
            except (ConnectError, ConnectTimeout) as error:
                if is_last:
                    raise LocalEntryNotFoundError(str(error)) from error
                time.sleep(1.0)
            except (HTTPError, OSError):  # an answer, if a bad one: the client says which
                return
            else:
                return

    def _neighbours(self) -> str:
        """Models that lie where a folder of this name would, if it is one mistyped."""
        parent = Path(self.name).parent
        names = sorted(path.parent.name for path in parent.glob(f"*/{CONFIG}"))
        here = [(parent / name).as_posix() for name in names[:5]]
        return f", such as {', '.join(here)}" if here else ""

    def _lacks(self, filename: str, listing: list[str] | tuple[()]) -> ModelError:
        pickles = [name for name in listing if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
        if filename == WEIGHTS and pickles:
            return AbsentFileError(
                f"The model {self.title} holds {pickles[0]} but no {WEIGHTS}. Pickled weights "
                "can run code and are never loaded: ask its author for safetensors."
            )
        if filename == ONNX:
            return AbsentFileError(
                f"The model {self.title} holds no {ONNX}. Make the file of it with hf-unet export."
            )
        return AbsentFileError(
            f"The model {self.title} holds no {filename}, so it was not saved by this library "
            "or is incomplete. Save it again with save_pretrained, or download all its files."
        )


def pinned(repository: Repository) -> Repository:
    """The repository at the commit that its config.json came from, so that its files agree.

    A branch may move between two files. A folder is given back as it is.

    Raises
    ------
    ModelError
        As `Repository.file`.
    """
    if repository.is_folder:
        return repository
    # The client's cache keeps the files of a commit in a folder of the commit's name.
    commit = repository.file(CONFIG).parent.name
    return replace(repository, revision=commit) if _is_commit(commit) else repository


def kept(repository: Repository) -> Repository:
    """The repository as it can be read later: from any folder, and not fetched again by force."""
    name = os.path.abspath(repository.name) if repository.is_folder else repository.name
    return replace(repository, name=name, force_download=False)


def read_origin(repository: Repository) -> Origin:
    """Name, commit and SHA-256 of the weights of a `pinned` repository.

    Raises
    ------
    ModelError
        As `Repository.file`.
    """
    path = repository.file(WEIGHTS)
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise ModelError(f"The {WEIGHTS} of {repository.title} cannot be read.") from error
    revision = None if repository.is_folder else repository.revision
    return Origin(repository.title, revision, digest)


def read_config(repository: Repository) -> dict[str, Any]:
    """Read config.json.

    Raises
    ------
    ModelError
        If it is missing, is no JSON object, or says something twice.
    """
    whose = f"The {CONFIG} of {repository.title}"
    try:
        with repository.file(CONFIG).open("rb") as file:
            content = file.read(LARGEST_CONFIG + 1)
    except OSError as error:
        raise _damaged(whose) from error
    return parse_config(content, whose)


def parse_config(content: bytes, whose: str) -> dict[str, Any]:
    """Parse what a config.json holds; ``whose`` says in errors which one it is.

    Raises
    ------
    ModelError
        If it is no JSON object, says something twice, or is too large to describe a network.
    """
    if len(content) > LARGEST_CONFIG:
        raise ModelError(
            f"{whose} is larger than {LARGEST_CONFIG:,} bytes, so it describes no network of "
            "this library. Download or save the model again."
        )
    try:
        config = parse_json(content)
    except RepeatedNameError as error:
        raise ModelError(f"{whose} says {str(error)!r:.80} twice. Save the model again.") from error
    except JsonError as error:
        raise _damaged(whose) from error
    if not isinstance(config, dict):
        raise ModelError(f"{whose} is not a JSON object.")
    return config


def _damaged(whose: str) -> ModelError:
    return ModelError(
        f"{whose} is damaged: it cannot be read as JSON. Download or save the model again."
    )


def _looks_like_a_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _is_commit(name: str) -> bool:
    return re.fullmatch("[0-9a-f]{40}", name) is not None


def _status(error: HfHubHTTPError) -> int:
    return error.response.status_code
