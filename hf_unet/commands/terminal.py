"""What a command says while it runs: sentences, and one line that tells how far it is."""

import sys
from pathlib import Path
from typing import TextIO

FAILED = 1
"""Exit status where something does not fit; 2 is argparse's for a wrong command line."""


class CommandError(ValueError):
    """A command cannot be carried out; the message says why."""


def say(error: BaseException, path: Path | None = None) -> None:
    """Print an error as one sentence on stderr.

    Parameters
    ----------
    error : exception
        Its message is a sentence, unless it is of the system or of memory.
    path : Path, optional
        The image it is about.
    """
    text = str(error)
    if isinstance(error, MemoryError):
        text = "does not fit into memory. Choose a smaller --tile or --batch-size."
        text = text if path is None else f"{path.name} {text}"
    elif isinstance(error, OSError) and error.strerror:
        name = Path(error.filename).name if isinstance(error.filename, str) else "The output"
        text = f"{name} cannot be written or read: {error.strerror}."
    print(text, file=sys.stderr, flush=True)


class StatusLine:
    """A line on a terminal that is overwritten as work goes on; nothing where none looks.

    Parameters
    ----------
    stream : text file, optional
        None: stderr.

    Examples
    --------
    >>> StatusLine(sys.stdout).show("tile 3 of 8")  # not a terminal here
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = 0

    def show(self, text: str) -> None:
        """Show a text in place of the last."""
        if not self._stream.isatty():
            return
        self._stream.write(f"\r{text.ljust(self._shown)}")
        self._stream.flush()
        self._shown = len(text)

    def clear(self) -> None:
        """Leave the line empty, for something else to be printed."""
        if self._shown:
            self._stream.write(f"\r{' ' * self._shown}\r")
            self._stream.flush()
            self._shown = 0
