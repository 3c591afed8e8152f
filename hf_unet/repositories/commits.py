"""A folder onto the Hub in one commit, the card in it merged with the one that is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
)
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

from hf_unet.cards.card import CARD
from hf_unet.cards.parts import card_text, left_out, merge_card

MOVED = 412
"""Status of the Hub's answer where somebody else's commit came first."""

Patterns = list[str] | str | None


@dataclass(frozen=True)
class Head:
    """A branch of a repository as it is now.

    Attributes
    ----------
    commit : str
        Its newest, 40 hexadecimal digits.
    files : tuple of str
        Paths of what it holds.
    card : str or None
        Text of its README.md, if it holds one.
    """

    commit: str
    files: tuple[str, ...]
    card: str | None


@dataclass(frozen=True)
class Upload:
    """What became of an upload.

    Attributes
    ----------
    info : CommitInfo
        As the client gives it.
    changed : bool
        Whether there was anything to commit: False if the Hub held it all already.
    left_out : tuple of str
        Parts of the generated card that the one on the Hub has no place for.
    """

    info: CommitInfo
    changed: bool
    left_out: tuple[str, ...]


def read_head(api: HfApi, repo_id: str, revision: str | None = None) -> Head:
    """Ask the Hub for a branch's newest commit, its files and its card.

    Raises
    ------
    ModelError
        If the card is no text.
    HfHubHTTPError, HTTPError
        As the client raises them.
    """
    about = api.model_info(repo_id, revision=revision)
    files = tuple(file.rfilename for file in about.siblings or ())
    if CARD not in files or about.sha is None:
        return Head(about.sha or "", files, None)
    path = hf_hub_download(
        repo_id, CARD, revision=about.sha, token=api.token, endpoint=api.endpoint
    )
    return Head(about.sha, files, card_text(Path(path).read_bytes()))


def commit_folder(
    api: HfApi,
    repo_id: str,
    folder: Path,
    message: str,
    *,
    revision: str | None = None,
    create_pr: bool = False,
    allow: Patterns = None,
    ignore: Patterns = None,
    delete: Patterns = None,
) -> Upload:
    """Upload a folder in one commit, and keep what people wrote into the card on the Hub.

    Parameters
    ----------
    api : HfApi
    repo_id : str
        A model repository that is there.
    folder : Path
    message : str
        Title of the commit.
    revision : str, optional
        Branch, or ``refs/pr/1`` for a pull request that is open. None: main.
    create_pr : bool
        Open a pull request from ``revision`` in place of moving it.
    allow, ignore, delete : str or list of str, optional
        Patterns of the files to upload, not to upload, and to take off the Hub where the folder
        does not have them.

    Notes
    -----
    The commit holds only for the state that the card was read from. Where somebody is faster, it
    is read and merged again.

    Raises
    ------
    ModelError
        If the card on the Hub cannot be merged; nothing is uploaded.
    HfHubHTTPError, HTTPError, RuntimeError
        As the client raises them; nothing is uploaded.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    wanted = list(filter_repo_objects(names, allow_patterns=allow, ignore_patterns=ignore))
    tries = 3
    while True:
        tries -= 1
        head = read_head(api, repo_id, revision)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationDelete(name) for name in _deleted(head.files, wanted, delete)
        ]
        lacking: tuple[str, ...] = ()
        for name in wanted:
            content: Path | bytes = folder / name
            if name == CARD and head.card is not None:
                generated = card_text((folder / name).read_bytes())
                merged = merge_card(head.card, generated)
                lacking = left_out(merged, generated)
                content = merged.encode()
            operations.append(CommitOperationAdd(name, content))
        try:
            info = api.create_commit(
                repo_id,
                operations,
                commit_message=message,
                revision=revision,
                create_pr=create_pr,
                parent_commit=head.commit,
            )
        except HfHubHTTPError as error:
            if error.response.status_code != MOVED or not tries:
                raise
        else:
            return Upload(info, info.oid != head.commit, lacking)


def _deleted(present: Iterable[str], wanted: list[str], patterns: Patterns) -> list[str]:
    """Files of the Hub to take off it."""
    if patterns is None:
        return []
    found = filter_repo_objects(present, allow_patterns=patterns)
    return [name for name in found if name not in wanted and name != ".gitattributes"]
