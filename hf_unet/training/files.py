"""Files by name: those of a folder."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from hf_unet.file_names import IMAGE_SUFFIXES
from hf_unet.training.pairs import DataError


def place(folder: Path, name: str, usual: Sequence[str]) -> Path:
    """The folder of this name, or the first of the usual names that exists.

    Raises
    ------
    DataError
        If none of them does.
    """
    if name:
        return folder / name
    for one in usual:
        if (folder / one).is_dir():
            return folder / one
    raise DataError(
        f"There is no folder {', '.join(usual[:-1])} or {usual[-1]} in {folder.resolve().name}: "
        "name it by data.images or data.labels (--images, --labels)."
    )


def list_files(
    folder: Path, suffixes: frozenset[str] = IMAGE_SUFFIXES, *, folders: bool = False
) -> list[Path]:
    """Files with these endings in a folder, sorted, and folders if asked; hidden ones left out.

    Raises
    ------
    DataError
        If there is no such folder, or no such file in it.
    """
    name = folder.resolve().name
    if not folder.is_dir():
        raise DataError(f"There is no folder {name} in {folder.resolve().parent.name}.")
    files = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and (path.suffix.lower() in suffixes if path.is_file() else folders)
    ]
    if not files:
        raise DataError(f"The folder {name} holds no images or labels that can be read.")
    return files


def stem_of(path: Path) -> str:
    """What a file or a folder is matched by: its name before the ending."""
    return path.name if path.is_dir() else path.stem


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by stem.

    Raises
    ------
    DataError
        If two have the same.
    """
    found: dict[str, Path] = {}
    for path in paths:
        stem = stem_of(path)
        if stem in found:
            raise DataError(
                f"The folder {path.parent.name} holds {found[stem].name} and {path.name}: files "
                "are matched by the name before the ending, so keep one of the two."
            )
        found[stem] = path
    return found
