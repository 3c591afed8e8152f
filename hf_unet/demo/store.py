"""Results that pages look at, kept in memory within a bound.

A page holds a token, which cannot be guessed, and asks with it. When memory runs short the
results that were not looked at for the longest time go first, and whoever asks for one of them
is told so in a sentence.
"""

import secrets
import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from hf_unet.errors import ImageError


class Sized(Protocol):
    """What can be kept: it says what it weighs."""

    @property
    def nbytes(self) -> int:
        """Memory it holds, in bytes."""
        ...


Thing = TypeVar("Thing", bound=Sized)


class Store(Generic[Thing]):
    """Things by token, the longest unused given up first. Safe to use from several threads.

    Parameters
    ----------
    limit : int
        Bytes kept in all. A single thing may weigh more; then it is kept alone.
    gone : str
        The sentence for a token whose thing was given up, or never was.

    Examples
    --------
    >>> import numpy as np
    >>> store = Store(limit=100, gone="Segment the image again.")
    >>> first, second = store.keep(np.zeros(80, np.uint8)), store.keep(np.ones(80, np.uint8))
    >>> int(store.get(second)[0])
    1
    >>> store.get(first)
    Traceback (most recent call last):
        ...
    hf_unet.errors.ImageError: Segment the image again.
    """

    def __init__(self, limit: int, gone: str) -> None:
        self._limit = limit
        self._gone = gone
        self._things: OrderedDict[str, Thing] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, thing: Thing) -> str:
        """Keep a thing, and give up others for it if need be; returns its token."""
        token = secrets.token_urlsafe(18)
        with self._lock:
            self._things[token] = thing
            while len(self._things) > 1 and self._weight() > self._limit:
                self._things.popitem(last=False)
        return token

    def get(self, token: str | None) -> Thing:
        """The thing of a token; `ImageError` if it is no longer here."""
        with self._lock:
            if not token or token not in self._things:
                raise ImageError(self._gone)
            self._things.move_to_end(token)
            return self._things[token]

    def holds(self, token: str) -> bool:
        """Whether the thing of a token is still here."""
        with self._lock:
            return token in self._things

    def drop(self, token: str | None) -> None:
        """Give up a thing, if it is still here."""
        with self._lock:
            self._things.pop(token or "", None)

    @property
    def nbytes(self) -> int:
        """Bytes kept in all."""
        with self._lock:
            return self._weight()

    def _weight(self) -> int:
        return sum(thing.nbytes for thing in self._things.values())

    def __len__(self) -> int:
        return len(self._things)
