"""Files of a batch: loose ones and those in zips, and which ground truth is of which image."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from hf_unet.demo.batch.archives import ArchiveError, Member, copy_member, is_zip, list_members
from hf_unet.demo.uploads import LARGEST_FILE
from hf_unet.file_names import (
    IMAGE_FOLDERS,
    IMAGE_SUFFIXES,
    LABEL_FOLDERS,
    LABEL_SUFFIXES,
    is_named_as_label,
    match_names,
)

NO_IMAGE = (
    "It is named like a ground truth, and no image is named like it. Add its image, or rename it "
    "if it is one."
)


@dataclass(frozen=True)
class Brought:
    """One file that was brought.

    Attributes
    ----------
    name : str
        Its name for people; of a file in a zip its path there.
    upload : Path
        The uploaded file, or the zip that it is in.
    member : Member or None
        Its place in that zip.
    refusal : str
        Why it is not taken; empty if it is.
    """

    name: str
    upload: Path
    member: Member | None = None
    refusal: str = ""

    @property
    def path(self) -> PurePosixPath:
        """Its name, part by part."""
        return PurePosixPath(self.name)

    @property
    def folder(self) -> str:
        """Where it lies, without a last folder that only says what kind of files it holds."""
        parts = self.path.parts[:-1]
        if parts and parts[-1].lower() in (*IMAGE_FOLDERS, *LABEL_FOLDERS):
            parts = parts[:-1]
        return "/".join((str(self.upload) if self.member else "", *parts))

    @property
    def is_label(self) -> bool:
        """Whether its name says that it is a ground truth."""
        suffix, parents = self.path.suffix.lower(), self.path.parts[-2:-1]
        if suffix in LABEL_SUFFIXES - IMAGE_SUFFIXES:
            return True
        if parents and parents[0].lower() in LABEL_FOLDERS:
            return True
        return is_named_as_label(self.path.stem)


@dataclass(frozen=True)
class Task:
    """An image to segment, and its ground truth if one was brought; or why it cannot be."""

    name: str
    image: Brought
    truth: Brought | None = None
    refusal: str = ""


def list_brought(paths: Sequence[str]) -> list[Brought]:
    """Uploaded files, those in zips one by one.

    A zip that cannot be opened is one file with its refusal.
    """
    brought: list[Brought] = []
    for upload in map(Path, paths):
        if not is_zip(upload):
            brought.append(Brought(upload.name, upload))
            continue
        try:
            members = list_members(upload, LARGEST_FILE)
        except ArchiveError as error:
            brought.append(Brought(upload.name, upload, refusal=str(error)))
        else:
            if not members:
                refusal = f"{upload.name} holds no files."
                brought.append(Brought(upload.name, upload, refusal=refusal))
            brought += [Brought(one.name, upload, one, one.refusal) for one in members]
    return brought


def tasks_of(brought: Sequence[Brought]) -> list[Task]:
    """What there is to do, in the order brought: images, each with its truth, and what is none.

    Within one folder, files belong together by `hf_unet.file_names.match_names`. The folders
    ``images`` and ``masks`` (or as `IMAGE_FOLDERS` and `LABEL_FOLDERS` call them) count as one.

    Examples
    --------
    >>> files = [Brought(name, Path(name)) for name in ("a.tif", "a_mask.png", "b.tif")]
    >>> [(task.image.name, task.truth and task.truth.name) for task in tasks_of(files)]
    [('a.tif', 'a_mask.png'), ('b.tif', None)]
    """
    partners: dict[Brought, Brought] = {}
    for folder in dict.fromkeys(one.folder for one in brought):
        here = [one for one in brought if one.folder == folder and not one.refusal]
        images = [one for one in here if not one.is_label]
        labels = {one.path.stem: one for one in here if one.is_label}
        pairs = match_names((one.path.stem for one in images), labels)
        partners |= {one: labels[pairs[one.path.stem]] for one in images if one.path.stem in pairs}
    used = set(partners.values())
    tasks = []
    for one in brought:
        if one.refusal:
            tasks.append(Task(one.name, one, refusal=one.refusal))
        elif not one.is_label:
            tasks.append(Task(one.name, one, partners.get(one)))
        elif one not in used:
            tasks.append(Task(one.name, one, refusal=NO_IMAGE))
    return tasks


@contextmanager
def at_hand(task: Task) -> Iterator[tuple[Path, Path | None]]:
    """The task's image and truth as files, as long as the block lasts.

    Raises
    ------
    ArchiveError
        If one of them cannot be copied out of its zip, or is no longer here.
    """
    with TemporaryDirectory() as folder:
        image = _copied(task.image, Path(folder) / "image")
        truth = _copied(task.truth, Path(folder) / "truth") if task.truth else None
        yield image, truth


def _copied(brought: Brought, folder: Path) -> Path:
    if not brought.upload.is_file():
        raise ArchiveError(
            f"{brought.upload.name} is no longer kept here: uploads are deleted after an hour. "
            "Upload it again."
        )
    if brought.member is None:
        return brought.upload
    folder.mkdir()
    target = folder / (brought.path.name[-60:] or "file")  # a file system takes 255 bytes
    copy_member(brought.upload, brought.member, target)
    return target
