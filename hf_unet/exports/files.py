"""Files that are written whole or not at all."""

import csv
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that at every moment its name holds the old content or the new.

    Parameters
    ----------
    path
        The file; its folder exists.
    content
        All its bytes.

    Raises
    ------
    OSError
        The folder is absent or cannot be written, or the disk is full: the old file stays.
    """
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write, which takes its name only once the block has ended well.

    For what is too large to be put together in memory first; else see `write_whole`.
    """
    target = Path(path)
    # In the same folder, since a file can only be renamed at once within one file system. Opened
    # by name rather than by `tempfile`, whose files nobody else in a shared folder may read.
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json_rows(
    path: str | os.PathLike[str],
    head: Mapping[str, Any],
    name: str,
    rows: Iterable[Mapping[str, Any]],
) -> None:
    """Write a JSON object whose last member is a list, one row a line; whole or not at all.

    So a file of many objects can be read, searched and compared line by line. It is in UTF-8.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    head
        The object's other members, one at least.
    name
        Of the list.
    rows
        What the list holds.
    """

    def written(value: Mapping[str, Any]) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    lines = ",\n".join(map(written, rows))
    text = f"{written(head)[:-1]},{json.dumps(name)}:[" + (f"\n{lines}\n" if lines else "") + "]}\n"
    # Names of files may hold bytes that are no UTF-8.
    write_whole(path, text.encode("utf-8", "surrogatepass"))


def write_csv(
    path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write a CSV file in UTF-8, its first line the header; whole or not at all."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, stream.getvalue().encode())
