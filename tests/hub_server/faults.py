"""What goes wrong on purpose: the next requests that match meet it, then all is well again."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from hub_server.routing import Request, Response

Matching = Callable[[Request], bool]


def asks(method: str = "", path: str = "") -> Matching:
    """Match requests of this method whose decoded address holds this regular expression."""
    pattern = re.compile(path)

    def matches(request: Request) -> bool:
        return method in ("", request.method) and bool(pattern.search(request.path))

    return matches


@dataclass
class Fault:
    """One way to fail, for as many requests as ``times`` says.

    Attributes
    ----------
    instead : Response or None
        Answered in place of the right answer; nothing is done.
    before : callable or None
        Called before the request is answered as ever.
    kept : float
        Share of the answer's body that is sent before the connection is cut; 1: it is not cut.
    dropped : bool
        The connection is cut before anything is done.
    """

    matches: Matching
    times: int = 1
    instead: Response | None = None
    before: Callable[[], object] | None = None
    kept: float = 1.0
    dropped: bool = False


@dataclass
class Faults:
    """Those that are still to come."""

    waiting: list[Fault] = field(default_factory=list)

    def take(self, request: Request) -> Fault | None:
        """The fault this request meets, if any; it is used up by that."""
        for fault in self.waiting:
            if fault.matches(request):
                fault.times -= 1
                if not fault.times:
                    self.waiting.remove(fault)
                return fault
        return None
