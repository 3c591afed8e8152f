"""Memory of a process that runs a network on the CPU.

A pass of a network takes hundreds of megabytes for its activations and gives them back. What the
system must then find, clear and map anew for the next pass takes a tenth of its time, and half as
much again as a whole pass where each runs in a thread of its own, as on a server.
"""

import ctypes
import os
import sys

HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
"""Read by torch, once, when it makes its first tensor."""

KEPT = 2**30
"""Bytes of free memory, at most, that wait at the heap's end for the next pass."""

# Of glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def reuse_memory() -> None:
    """Let a pass use the memory of the one before it, in huge pages where the system has them.

    For programs, as they start: huge pages come too late after the first tensor, and the one heap
    for all threads after the first thread. Linux with glibc only; elsewhere, and where whoever
    started the program has chosen already (by ``THP_MEM_ALLOC_ENABLE`` and glibc's ``MALLOC_...``),
    all stays as it is. No value changes.

    Examples
    --------
    >>> reuse_memory()
    """
    os.environ.setdefault(HUGE_PAGES, "1")
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    if mallopt := _of_glibc("mallopt"):
        mallopt(_MMAP_MAX, 0)  # large blocks would go back to the system as soon as they are free
        mallopt(_ARENA_MAX, 1)  # heaps of single threads cannot hold them
        mallopt(_TRIM_THRESHOLD, KEPT)


def give_back_memory() -> None:
    """Give all free memory back to the system, as after an unusually large image.

    Examples
    --------
    >>> give_back_memory()
    """
    if trim := _of_glibc("malloc_trim"):
        trim(0)


def _of_glibc(name: str) -> "ctypes._FuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
