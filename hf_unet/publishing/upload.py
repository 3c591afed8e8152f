"""A model repository on disk onto the Hub: one commit, one tag, or nothing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from hf_unet.cards.picture import PICTURE
from hf_unet.publishing.refusals import TROUBLE, PublishError, refusal
from hf_unet.repositories.commits import Upload, commit_folder, read_head
from hf_unet.repositories.pretrained import ONNX
from hf_unet.repositories.sample_tile import SAMPLE

OF_THE_WEIGHTS = (SAMPLE, PICTURE, ONNX)
"""Files that are taken off the Hub where the folder has none: those there are of other weights."""

UNDONE = "Nothing was published."


@dataclass(frozen=True)
class Publication:
    """What is on the Hub now.

    Attributes
    ----------
    repository : str
        ``org/name``.
    address : str
        Of the model's page.
    commit : str
        The commit that holds it, 40 hexadecimal digits.
    tag : str or None
        The version's tag. None for a pull request.
    pull_request : str or None
        Address of the pull request that was opened.
    changed : bool
        Whether there was anything to commit.
    left_out : tuple of str
        Parts of the card that the one on the Hub has no place for.
    """

    repository: str
    address: str
    commit: str
    tag: str | None
    pull_request: str | None
    changed: bool
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Target:
    """A repository as it was found."""

    name: str
    exists: bool
    tags: dict[str, str]


def publish(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    create_pr: bool = False,
    tag: str | None = None,
) -> Publication:
    """Upload an assembled model repository in one commit, and tag it.

    All that can be known before is checked before: the token, the name, the tag. Of a card that
    is there already, what people wrote stays (`hf_unet.cards.parts.merge_card`).

    Parameters
    ----------
    folder : Path
        As `hf_unet.publishing.assemble` wrote it.
    repo_id : str
        ``org/name``. It is made if there is none.
    private : bool
        Whether a repository that is made is private.
    create_pr : bool
        Propose it to a repository that is there, in place of changing it. No tag is set.
    tag : str, optional
        None: the next free one of v1, v2, v3 and so on; a state that has a tag gets no second one.

    Returns
    -------
    Publication

    Raises
    ------
    PublishError
        With a sentence on why, and what there is on the Hub: nothing new, unless it says so.
    """
    api = HfApi()
    try:
        target = _checked(api, repo_id, private=private, create_pr=create_pr, tag=tag)
    except TROUBLE as error:
        raise PublishError(f"{refusal(repo_id, error)} {UNDONE}") from error
    upload = _upload(api, folder, target, private=private, create_pr=create_pr)
    commit = str(upload.info.oid)
    known = [name for name, oid in target.tags.items() if oid == commit]
    if not create_pr and (tag is not None or not known):
        known = [tag or next_tag(target.tags)]
        _set_tag(api, target.name, known[0], commit)
    return Publication(
        repository=target.name,
        address=f"{api.endpoint}/{target.name}",
        commit=commit,
        tag=None if create_pr else known[-1],
        pull_request=upload.info.pr_url,
        changed=upload.changed,
        left_out=upload.left_out,
    )


def next_tag(tags: Iterable[str]) -> str:
    """The first of v1, v2, v3 and so on that comes after all that are taken.

    Examples
    --------
    >>> next_tag(["v1", "v12", "1.0", "v2-beta"])
    'v13'
    """
    numbers = [int(found[1]) for tag in tags if (found := re.fullmatch(r"v(\d+)", tag))]
    return f"v{max(numbers, default=0) + 1}"


def _checked(api: HfApi, name: str, *, private: bool, create_pr: bool, tag: str | None) -> _Target:
    """Find out what can be known before anything is changed."""
    validate_repo_id(name)
    owner, _, own_name = name.partition("/")
    if not own_name:
        raise PublishError(f"{name!r} does not say whose it is: write org/name. {UNDONE}")
    if tag is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", tag, re.ASCII):
        raise PublishError(
            f"{tag!r} is no name for a tag. Use letters, digits, '-', '_' and '.'. {UNDONE}"
        )
    if get_token() is None:
        raise PublishError(
            "You are not logged in to the Hub. Run `hf auth login` with a token that may write, "
            f"or set HF_TOKEN. {UNDONE}"
        )
    account: dict[str, Any] = api.whoami()
    role = (account.get("auth", {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise PublishError(
            "Your token may only read. Make one with the role write at "
            f"{api.endpoint}/settings/tokens, and run `hf auth login` with it. {UNDONE}"
        )
    own = [account["name"], *(org["name"] for org in account.get("orgs", ()))]
    if owner not in own and not create_pr:
        raise PublishError(
            f"The name {owner} is not yours on the Hub: you may publish under {', '.join(own)}. "
            f"To propose a change to a model of others, say --create-pr. {UNDONE}"
        )
    try:
        about = api.model_info(name)
    except RepositoryNotFoundError as error:
        if create_pr:
            raise PublishError(
                f"There is no repository {name} that you may see, to which to propose a change. "
                f"{UNDONE}"
            ) from error
        return _Target(name, exists=False, tags={})
    if private and not about.private:
        raise PublishError(
            f"The repository {name} is there already, and everybody may read it. Choose another "
            f"name, or make it private in its settings first. {UNDONE}"
        )
    tags = {ref.name: ref.target_commit for ref in api.list_repo_refs(name).tags}
    if tag in tags:
        raise PublishError(
            f"The tag {tag} of {name} is there already, at the commit {tags[tag]:.8}. Choose "
            f"another, or leave it out for {next_tag(tags)}. {UNDONE}"
        )
    return _Target(name, exists=True, tags=tags)


def _upload(api: HfApi, folder: Path, target: _Target, *, private: bool, create_pr: bool) -> Upload:
    start = None
    try:
        if not target.exists:
            api.create_repo(target.name, private=private or None)  # None: as the owner has it
            start = read_head(api, target.name).commit
        return _committed(api, folder, target, create_pr=create_pr)
    except TROUBLE as error:
        left = "" if start is None else _withdrawn(api, target.name, start)
        raise PublishError(f"{refusal(target.name, error)} {left or UNDONE}") from error
    except ValueError as error:  # a card that cannot be merged, or that the Hub does not accept
        left = "" if start is None else _withdrawn(api, target.name, start)
        reason = str(error).partition("\n")[0].rstrip(":")
        raise PublishError(f"{reason} {left or UNDONE}") from error


def _committed(api: HfApi, folder: Path, target: _Target, *, create_pr: bool) -> Upload:
    def commit() -> Upload:
        return commit_folder(
            api,
            target.name,
            folder,
            "Publish a model of hf-unet",
            create_pr=create_pr,
            delete=list(OF_THE_WEIGHTS),
        )

    try:
        return commit()
    except HTTPError as error:
        if create_pr or isinstance(error, HfHubHTTPError):
            raise
        # The answer was lost, or the question. What has arrived is not sent a second time.
        return commit()


def _withdrawn(api: HfApi, name: str, start: str) -> str:
    """Take away a repository that was made for nothing; says what is left if that fails too."""
    try:
        if read_head(api, name).commit != start:
            return (
                f"Yet something has arrived at {api.endpoint}/{name}. Run the same command again: "
                "what is there is not sent twice."
            )
        api.delete_repo(name)
    except TROUBLE:
        return f"An empty repository {name} may have been left on the Hub."
    return ""


def _set_tag(api: HfApi, name: str, tag: str, commit: str) -> None:
    try:
        api.create_tag(name, tag=tag, revision=commit)
    except TROUBLE as error:
        raise PublishError(
            f"The model is at {api.endpoint}/{name}, whole, as the commit {commit}, but without "
            f"the tag {tag}. {refusal(name, error)} To set the tag, run the same command again, or "
            f"`hf repos tag create {name} {tag} --revision {commit}`."
        ) from error
