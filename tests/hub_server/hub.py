"""All repositories, the tokens, and who may read and write what."""

import secrets
from dataclasses import dataclass

from hub_server.repositories import HubError, Repository

ANONYMOUS = "Invalid username or password."
UNKNOWN_TOKEN = "Invalid credentials in Authorization header"


@dataclass(frozen=True)
class Account:
    """Whom a token speaks for, and whether it may write."""

    name: str
    role: str
    orgs: tuple[str, ...] = ()

    def owns(self, repository_id: str) -> bool:
        return repository_id.partition("/")[0] in (self.name, *self.orgs)


class Hub:
    """The state of the whole Hub, without the network.

    Attributes
    ----------
    page_size : int
        Entries of a file listing that go into one answer.
    """

    def __init__(self) -> None:
        self.page_size = 1000
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.uploads: dict[str, tuple[Repository, str, int]] = {}
        self._accounts: dict[str, Account] = {}

    # --- what tests set up ---------------------------------------------------------------------

    def token(self, name: str = "tester", role: str = "write", orgs: tuple[str, ...] = ()) -> str:
        """A new token of a user: with role "read" it may not change anything."""
        token = f"hf_{secrets.token_hex(8)}"
        self._accounts[token] = Account(name, role, orgs)
        return token

    def repository(self, repository_id: str, kind: str = "model") -> Repository:
        """One that is there, whoever may see it."""
        return self.repositories[kind, repository_id]

    def add(self, repository_id: str, kind: str = "model", **options: object) -> Repository:
        """Make a repository past the client; options are those of Repository."""
        owner = repository_id.partition("/")[0]
        repository = Repository(kind, repository_id, owner, **options)  # type: ignore[arg-type]
        self.repositories[kind, repository_id] = repository
        return repository

    def remove(self, repository_id: str, kind: str = "model") -> None:
        """Let a repository disappear."""
        del self.repositories[kind, repository_id]

    # --- who may do what -----------------------------------------------------------------------

    def account(self, authorization: str | None) -> Account | None:
        """Whom a request comes from; None: nobody who said so."""
        if not authorization:
            return None
        account = self._accounts.get(authorization.removeprefix("Bearer "))
        if account is None:
            raise HubError(401, UNKNOWN_TOKEN)
        return account

    def readable(self, account: Account | None, kind: str, repository_id: str) -> Repository:
        """The repository, if this account may see it: else the Hub does not say that it is."""
        repository = self.repositories.get((kind, repository_id))
        hidden = repository is not None and repository.private
        if repository is not None and not hidden:
            return repository
        if account is None:
            raise HubError(401, ANONYMOUS, "RepoNotFound")
        if repository is None or not account.owns(repository_id):
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repository

    def writable(self, account: Account | None, kind: str, repository_id: str) -> Repository:
        """The repository, if this account may change it."""
        repository = self.readable(account, kind, repository_id)
        self.check_write(account, repository_id, kind)
        return repository

    def check_write(self, account: Account | None, repository_id: str, kind: str) -> None:
        """Refuse who has no write token for this namespace."""
        writer = self.writer(account)
        if not writer.owns(repository_id):
            namespace = repository_id.partition("/")[0]
            raise HubError(
                403,
                f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"',
            )

    def writer(self, account: Account | None) -> Account:
        """The account, if its token may write at all."""
        if account is None:
            raise HubError(401, ANONYMOUS)
        if account.role != "write":
            raise HubError(403, "Forbidden: you must use a write token to upload to a repository.")
        return account

    def check_gate(self, account: Account | None, repository: Repository) -> None:
        """Refuse the files of a gated repository to who was not admitted."""
        if not repository.gated:
            return
        what = f"{repository.kind} {repository.id}"
        if account is None:
            raise HubError(
                401,
                f"Access to {what} is restricted. You must have access to it and be "
                "authenticated to access it. Please log in.",
                "GatedRepo",
            )
        if not account.owns(repository.id) and account.name not in repository.admitted:
            raise HubError(
                403,
                f"Access to {what} is restricted and you are not in the authorized list. "
                "Visit its page to ask for access.",
                "GatedRepo",
            )
