"""One repository as the Hub keeps it: files, commits, branches, tags and pull requests."""

import fnmatch
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property

MAIN = "main"
LARGE = 10 * 1024 * 1024
"""Bytes from which on a file is kept in LFS whatever it is called."""

_LARGE_FILES = {
    "model": ("*.safetensors", "*.bin", "*.pt", "*.onnx", "*.npz", "*.zip"),
    "dataset": ("*.parquet", "*.npz", "*.zip", "*.tif", "*.tiff", "*.png", "*.jpg"),
    "space": ("*.safetensors", "*.bin", "*.zip"),
}


class HubError(Exception):
    """A request that is refused: status, what the Hub says, and the X-Error-Code it sends."""

    def __init__(self, status: int, message: str, code: str = "", **extra: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.extra = extra
        self.commit = ""


@dataclass(frozen=True)
class StoredFile:
    """One version of a file; of an LFS file git itself holds a pointer only."""

    content: bytes
    lfs: bool = False

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
            f"size {len(self.content)}\n"
        ).encode()

    @cached_property
    def oid(self) -> str:
        """The id git gives to what it holds."""
        held = self.pointer if self.lfs else self.content
        return hashlib.sha1(f"blob {len(held)}\0".encode() + held).hexdigest()

    @property
    def etag(self) -> str:
        """What the client compares its own copy by."""
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Change:
    """A path and what it is to hold; None takes it away, with all below it if it is a folder."""

    path: str
    file: StoredFile | None
    folder: bool = False


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: Mapping[str, StoredFile]


@dataclass
class Discussion:
    """A pull request, or only talk if it has no base."""

    number: int
    title: str
    description: str
    author: str
    date: str
    base: str | None = None
    status: str = "open"
    merged_as: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.number}"


@dataclass
class Repository:
    """Made with one commit on main, as on the Hub: .gitattributes says what goes to LFS."""

    kind: str
    id: str
    author: str
    private: bool = False
    gated: str | bool = False
    sdk: str | None = None
    admitted: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    commits: dict[str, Commit] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    created: str = ""

    def __post_init__(self) -> None:
        self.created = self.created or now()
        lines = (
            f"{pattern} filter=lfs diff=lfs merge=lfs -text" for pattern in _LARGE_FILES[self.kind]
        )
        first = [Change(".gitattributes", StoredFile("\n".join(lines).encode()))]
        if self.kind == "space":
            header = f"---\ntitle: {self.id.partition('/')[2]}\nsdk: {self.sdk}\n---\n"
            first.append(Change("README.md", StoredFile(header.encode())))
        self.branches[MAIN] = self._record(None, first, "initial commit", "", self.author).oid

    # --- reading ------------------------------------------------------------------------------

    def at(self, revision: str) -> Commit:
        """The commit that a branch, a tag, a pull request's ref or a commit id stands for."""
        name = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for names in (self.branches, self.tags, self.pulls):
            if name in names:
                return self.commits[names[name]]
        if revision in self.commits:
            return self.commits[revision]
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def files(self, revision: str = MAIN) -> dict[str, bytes]:
        """Contents by path, without .gitattributes."""
        found = self.at(revision).files.items()
        return {path: file.content for path, file in found if path != ".gitattributes"}

    def history(self, revision: str = MAIN) -> Iterator[Commit]:
        """The commit and those before it, the newest first."""
        commit: Commit | None = self.at(revision)
        while commit is not None:
            yield commit
            commit = self.commits[commit.parent] if commit.parent else None

    def is_large(self, path: str, size: int, revision: str) -> bool:
        """Whether a file is to be kept in LFS, by .gitattributes or by its size."""
        rules = self.at(revision).files.get(".gitattributes", StoredFile(b"")).content.decode()
        patterns = [line.split()[0] for line in rules.splitlines() if "filter=lfs" in line]
        name = path.rpartition("/")[2]
        return size >= LARGE or any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    # --- changing -----------------------------------------------------------------------------

    def commit(
        self,
        revision: str,
        changes: Iterable[Change],
        title: str,
        message: str = "",
        author: str = "",
        parent: str | None = None,
    ) -> Commit:
        """Add a commit to a branch or to a pull request."""
        refs, name = self._movable(revision)
        if parent is not None and parent != refs[name]:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        commit = self._record(refs[name], changes, title, message, author or self.author)
        refs[name] = commit.oid
        return commit

    def put(self, files: Mapping[str, bytes], revision: str = MAIN, title: str = "Add") -> Commit:
        """Add files as another person would, past the client."""
        changes = []
        for path, content in files.items():
            lfs = self.is_large(path, len(content), revision)
            changes.append(Change(path, StoredFile(content, lfs)))
            if lfs:
                self.objects[changes[-1].file.sha256] = content
        return self.commit(revision, changes, title)

    def open(self, title: str, description: str, author: str, base: str | None) -> Discussion:
        """Start a discussion, or with a base a pull request onto that branch."""
        number = len(self.discussions) + 1
        discussion = Discussion(number, title, description, author, now(), base)
        if base is not None:
            self.pulls[discussion.ref] = self.at(base).oid
        self.discussions.append(discussion)
        return discussion

    def discussion(self, number: int) -> Discussion:
        if not 1 <= number <= len(self.discussions):
            raise HubError(404, "Discussion not found", "EntryNotFound")
        return self.discussions[number - 1]

    def merge(self, number: int, author: str) -> Commit:
        """Bring what a pull request changed into its base branch."""
        pull = self.discussion(number)
        if pull.base is None or pull.status != "open":
            raise HubError(400, "This discussion is no open pull request")
        ours, theirs = self.at(pull.base), self.at(pull.ref)
        own = {commit.oid for commit in self.history(pull.base)}
        start = next(commit for commit in self.history(pull.ref) if commit.oid in own)
        changes = []
        for path in sorted(start.files.keys() | theirs.files.keys()):
            before, after = start.files.get(path), theirs.files.get(path)
            if before == after:
                continue
            if ours.files.get(path) not in (before, after):
                raise HubError(409, f"{path} was changed in {pull.base} as well")
            changes.append(Change(path, after))
        title = f"{pull.title} (#{number})"
        merged = self.commit(pull.base, changes, title, pull.description, author)
        pull.status, pull.merged_as = "merged", merged.oid
        return merged

    def name_branch(self, name: str, start: str | None) -> None:
        if name in self.branches:
            raise HubError(409, f"Reference already exists: refs/heads/{name}")
        self.branches[name] = self.at(start or MAIN).oid

    def name_tag(self, name: str, revision: str) -> None:
        if name in self.tags:
            raise HubError(409, f"Tag reference exists already: {name}")
        self.tags[name] = self.at(revision).oid

    def forget(self, names: dict[str, str], name: str) -> None:
        """Take a branch or a tag away; its commits stay."""
        if names.pop(name, None) is None:
            raise HubError(404, f"Reference does not exist: {name}", "RevisionNotFound")

    def _movable(self, revision: str) -> tuple[dict[str, str], str]:
        name = revision.removeprefix("refs/heads/")
        for refs in (self.branches, self.pulls):
            if name in refs:
                return refs, name
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def _record(
        self, parent: str | None, changes: Iterable[Change], title: str, message: str, author: str
    ) -> Commit:
        files = dict(self.commits[parent].files) if parent else {}
        for change in changes:
            if change.file is not None:
                files[change.path] = change.file
                continue
            below = change.path.rstrip("/") + "/"
            gone = [
                p for p in files if (p.startswith(below) if change.folder else p == change.path)
            ]
            if not gone:
                what = "folder" if change.folder else "file"
                raise HubError(404, f"A {what} with this name doesn't exist", "EntryNotFound")
            for path in gone:
                del files[path]
        listing = "".join(f"{path}\0{file.oid}\n" for path, file in sorted(files.items()))
        told = f"{len(self.commits)} {parent} {title}\n{message}\n{listing}"
        oid = hashlib.sha1(f"{self.kind} {self.id} {told}".encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, message, author, now(), files)
        return self.commits[oid]


def now() -> str:
    """The time as the Hub writes it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
