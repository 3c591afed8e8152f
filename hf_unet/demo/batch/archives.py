"""Zips that visitors bring: what lies in one, and one file at a time of it, within limits.

Nothing is unpacked to where a zip says. A member is copied to a place that is given, and at most
as many bytes of it as the zip's own list announced.
"""

import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_BYTES = 2_000_000_000
"""Of all files of one zip together, unpacked."""

MOST_MEMBERS = 5_000

MOST_LIST_BYTES = 2_000_000
"""Of a zip's own list of its files, which is read into memory as a whole."""

_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"
_END_LENGTH, _LONGEST_COMMENT = 22, 65_535
_PIECE = 2**20


class ArchiveError(ValueError):
    """A zip cannot be taken, or a file in it; the message says why."""


@dataclass(frozen=True)
class Member:
    """One file in a zip.

    Attributes
    ----------
    name : str
        Its path in the zip, for people.
    size : int
        Bytes, unpacked.
    number : int
        Its place in the zip's list, by which it is found again.
    refusal : str
        Why it is not taken; empty if it is.
    """

    name: str
    size: int
    number: int
    refusal: str = ""


def list_members(path: str | Path, largest: int) -> list[Member]:
    """Files in a zip; folders, hidden files and what systems leave there are passed over.

    Parameters
    ----------
    path : str or Path
    largest : int
        Bytes that one file may have, unpacked.

    Raises
    ------
    ArchiveError
        If it is no zip, holds more than `MOST_MEMBERS`, or more than `MOST_BYTES` unpacked.
    """
    archive = Path(path).name
    with _opened(path) as file:
        listed = file.infolist()
    if len(listed) > MOST_MEMBERS:
        raise ArchiveError(
            f"{archive} holds {len(listed):,} files; this page takes zips of up to "
            f"{MOST_MEMBERS:,}. Make several of it."
        )
    total = sum(info.file_size for info in listed)
    if total > MOST_BYTES:
        raise ArchiveError(
            f"{archive} would unpack to {total / 1e9:,.1f} GB; this page takes zips of up to "
            f"{MOST_BYTES / 1e9:.0f} GB. Make several of it."
        )
    return [
        Member(shown_name(info), info.file_size, number, _refusal(info, archive, largest))
        for number, info in enumerate(listed)
        if not info.is_dir() and not _is_passed_over(info.filename)
    ]


def copy_member(path: str | Path, member: Member, target: Path) -> None:
    """Copy one file out of a zip.

    Raises
    ------
    ArchiveError
        If the zip, or the file in it, is damaged or packed in a way that is not known.
    """
    try:
        with (
            _opened(path) as file,
            file.open(file.infolist()[member.number]) as source,
            target.open("wb") as copy,
        ):
            # zipfile itself ends at the announced size, and then compares the checksum.
            while piece := source.read(_PIECE):
                copy.write(piece)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(
            f"{member.name} in {Path(path).name} is damaged, or packed in a way that cannot be "
            "read here. Make the zip again."
        ) from error
    except IndexError as error:
        raise ArchiveError(f"{Path(path).name} has changed. Upload it again.") from error


def shown_name(info: zipfile.ZipInfo) -> str:
    """The path of a file in a zip, cut to what fits a line, without control characters."""
    name = "".join(c if c.isprintable() else "?" for c in info.filename.replace("\\", "/"))
    return name if len(name) <= 200 else "..." + name[-197:]


def is_zip(path: str | Path) -> bool:
    """Whether a file is a zip, by its name or its first bytes."""
    if str(path).lower().endswith(".zip"):
        return True
    with Path(path).open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _opened(path: str | Path) -> zipfile.ZipFile:
    name = Path(path).name
    try:
        if _list_bytes(Path(path)) > MOST_LIST_BYTES:
            raise ArchiveError(
                f"The list of files in {name} is larger than this page takes. Make several zips "
                "of it."
            )
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeError) as error:
        raise ArchiveError(
            f"{name} is no zip, or a damaged one. Make it again, or upload its files by themselves."
        ) from error


def _list_bytes(path: Path) -> int:
    """Bytes of the zip's list of files, told by the record at its end, before it is read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _END_LENGTH - _LONGEST_COMMENT - 20))
        tail = file.read()
    place = tail.rfind(_END)
    record = tail[place : place + _END_LENGTH]
    if place < 0 or len(record) < _END_LENGTH:
        raise zipfile.BadZipFile
    if tail[max(0, place - 20) : place].startswith(_END_64):
        # The form for more than 4 GB, whose list may be of any length.
        raise ArchiveError(
            f"{path.name} has the form of zips of more than 4 GB (zip64), which this page does not "
            "take. Make smaller ones."
        )
    return int.from_bytes(record[12:16], "little")


def _is_passed_over(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return (
        any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)
        or parts[-1].lower() in ("thumbs.db", "desktop.ini")
        if parts
        else True
    )


def _refusal(info: zipfile.ZipInfo, archive: str, largest: int) -> str:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or path.parts[0][1:2] == ":":
        return f"Its path in {archive} leads out of the zip. Make the zip again, from a folder."
    # The upper half of the attributes is what Unix says of the file.
    if stat.S_ISLNK(info.external_attr >> 16):
        return f"In {archive} it is a link, not a file. Put the file itself into the zip."
    if info.flag_bits & 1:
        return f"In {archive} it is locked with a password. Make the zip without one."
    if info.file_size > largest:
        return (
            f"It would unpack to {info.file_size / 1e6:,.0f} MB; this page takes files of up to "
            f"{largest / 1e6:,.0f} MB."
        )
    return ""
