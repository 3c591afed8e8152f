"""A request, an answer, and which function gives it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_server.hub import Account, Hub
from hub_server.repositories import HubError, Repository

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space", None: "model"}
PREFIXES = {"model": "", "dataset": "datasets/", "space": "spaces/"}

API = r"/api/(?P<kinds>models|datasets|spaces)/(?P<namespace>[^/]+)/(?P<name>[^/]+)"
WEB = r"/(?:(?P<kinds>datasets|spaces)/)?(?P<namespace>[^/]+)/(?P<name>[^/]+?)"
REVISION = r"/(?P<revision>[^/]+)"


@dataclass(frozen=True)
class Request:
    """What a client asks; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """Percent-encoded, so that a slash inside a revision is told from one between parts."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise HubError(400, "The body is no JSON") from error


@dataclass
class Response:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, content: Any, status: int = 200, **headers: str) -> "Response":
        kind = {"Content-Type": "application/json; charset=utf-8"}
        return cls(status, json.dumps(content).encode(), {**kind, **headers})

    @classmethod
    def refusal(cls, error: HubError) -> "Response":
        headers = {"X-Error-Message": error.message}
        if error.code:
            headers["X-Error-Code"] = error.code
        if error.commit:
            headers["X-Repo-Commit"] = error.commit
        return cls.json({"error": error.message, **error.extra}, error.status, **headers)


@dataclass(frozen=True)
class Call:
    """A request on its way to the function that answers it."""

    hub: Hub
    endpoint: str
    request: Request
    account: Account | None
    parts: Mapping[str, str | None]

    @property
    def kind(self) -> str:
        return KINDS[self.parts["kinds"]]

    @property
    def id(self) -> str:
        return f"{self.parts['namespace']}/{self.parts['name']}"

    @property
    def revision(self) -> str:
        return self.parts.get("revision") or "main"

    def readable(self) -> Repository:
        return self.hub.readable(self.account, self.kind, self.id)

    def writable(self) -> Repository:
        return self.hub.writable(self.account, self.kind, self.id)

    def address(self, repository: Repository) -> str:
        """The page of a repository."""
        return f"{self.endpoint}/{PREFIXES[repository.kind]}{repository.id}"


Answerer = Callable[[Call], Response]
_ROUTES: list[tuple[str, re.Pattern[str], Answerer]] = []


def route(method: str, pattern: str) -> Callable[[Answerer], Answerer]:
    """Let a function answer these requests; the first that was registered comes first."""

    def register(function: Answerer) -> Answerer:
        _ROUTES.append((method, re.compile(pattern), function))
        return function

    return register


def answer(hub: Hub, endpoint: str, request: Request) -> Response:
    """What the Hub says to a request."""
    method = "GET" if request.method == "HEAD" else request.method
    try:
        for verb, pattern, function in _ROUTES:
            found = pattern.fullmatch(request.path)
            if verb == method and found:
                account = hub.account(request.headers.get("authorization"))
                parts = {
                    name: None if value is None else unquote(value)
                    for name, value in found.groupdict().items()
                }
                return function(Call(hub, endpoint, request, account, parts))
    except HubError as error:
        return Response.refusal(error)
    return Response.refusal(HubError(404, f"There is no {method} {request.path} here"))
