"""What a visitor types into the model field -> a repository of the Hub and a revision."""

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from hf_unet.errors import ModelError

_NAME = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)
# Branches may hold slashes, as refs/pr/1 does. Nothing here can climb out of a folder.
_REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]{0,199}", re.ASCII)
_HOSTS = {"huggingface.co", "www.huggingface.co", "hf.co", "www.hf.co"}
_OTHER_KINDS = {"datasets": "a data set", "spaces": "a Space", "collections": "a collection"}


@dataclass(frozen=True)
class HubName:
    """A repository of the Hub, and the branch, tag or commit that is asked for.

    Attributes
    ----------
    repository : str
        ``org/name``.
    revision : str or None
        None: the newest of the main branch.

    Examples
    --------
    >>> str(HubName("org/name", "v1"))
    'org/name@v1'
    """

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository

    @property
    def page(self) -> str:
        """Address of the repository's page, which shows its card."""
        return f"https://huggingface.co/{self.repository}"


def parse_hub_name(text: str | None) -> HubName:
    """Read ``org/name``, ``org/name@revision``, or the address of such a page on the Hub.

    Parameters
    ----------
    text : str or None
        As it was typed or pasted. A folder of this machine is never meant by it, not even where
        there is one of that name.

    Returns
    -------
    HubName

    Raises
    ------
    ModelError
        If it names no model repository; says what a name looks like.

    Examples
    --------
    >>> parse_hub_name(" org/name@v1 ")
    HubName(repository='org/name', revision='v1')
    >>> parse_hub_name("https://huggingface.co/org/name/tree/refs%2Fpr%2F2")
    HubName(repository='org/name', revision='refs/pr/2')
    """
    given = (text or "").strip()
    name = _from_address(given) if _is_address(given) else _from_name(given)
    if not _NAME.fullmatch(name.repository) or os.path.exists(name.repository):
        raise ModelError(
            f"There is no model {_shown(given)}. A model on the Hub is named org/name or "
            "org/name@revision; its address can be pasted too."
        )
    if name.revision is not None and not _REVISION.fullmatch(name.revision):
        raise ModelError(
            f"{_shown(name.revision)} is no revision. Give a branch, a tag or a commit of "
            f"{name.repository}, as in {name.repository}@main."
        )
    return name


def _from_name(given: str) -> HubName:
    repository, at, revision = given.partition("@")
    return HubName(repository.strip(), revision.strip() if at else None)


def _is_address(given: str) -> bool:
    return "://" in given or given.split("/")[0].lower() in _HOSTS


def _from_address(given: str) -> HubName:
    try:
        address = urlsplit(given if "://" in given else f"https://{given}")
        host = (address.hostname or "").lower()
    except ValueError:  # such as a bracket without its partner
        host = ""
    if host not in _HOSTS:
        raise ModelError(
            f"{_shown(given)} is not an address on the Hub. Those of models look like "
            "https://huggingface.co/org/name."
        )
    parts = [part for part in address.path.split("/") if part]
    if parts and parts[0] in _OTHER_KINDS:
        raise ModelError(
            f"{_shown(given)} is the address of {_OTHER_KINDS[parts[0]]}, not of a model. Those "
            "of models look like https://huggingface.co/org/name."
        )
    # org/name, then tree, blob, resolve or commit, then the revision, then a file.
    revision = unquote(parts[3]) if len(parts) > 3 else None
    return HubName("/".join(parts[:2]), revision)


def _shown(given: str) -> str:
    """What was given, in quotes, cut to what fits a sentence."""
    return repr(given if len(given) <= 80 else given[:77] + "...")
