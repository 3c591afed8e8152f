"""The layout of the Cell Tracking Challenge: sequences of frames, flat ones and stacks."""

import re
from dataclasses import dataclass
from pathlib import Path

from hf_unet.file_names import IMAGE_SUFFIXES
from hf_unet.images.pages import pages_of
from hf_unet.training.files import list_files
from hf_unet.training.pairs import DataError, FilePage, Pair, TrackedFrame
from hf_unet.training.settings import DataSettings

Key = tuple[int, int | None]
"""Number of a frame, and of a slice of it; None: the frame as a whole."""


def find_tracking(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> list[Pair]:
    """Pairs of the sequences of a Cell Tracking Challenge data set.

    Frames with a gold segmentation; with ``data.silver`` also those that only have a silver one.
    Of a frame that is a stack, each slice is a picture: its page, counted from 0.
    """
    sequences = tracking_sequences(folder)
    if not sequences:
        raise DataError(
            f"{folder.resolve().name} holds no sequence such as 01 with its annotation 01_GT/SEG."
        )
    pairs = []
    for path in sequences:
        sequence = _Sequence.of(path)
        for number in sorted(sequence.annotated(silver=settings.silver)):
            pairs += sequence.pairs_of_frame(number, settings, classes)
    if not pairs:
        raise DataError(
            f"No frame of {folder.resolve().name} has a gold segmentation. Set data.silver = true "
            "to learn from the silver ones."
        )
    return pairs


def tracking_sequences(folder: Path) -> list[Path]:
    """Folders such as ``01`` that have a ``01_GT`` or ``01_ST`` beside them."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_dir()
        and path.name.isdecimal()
        and any((folder / f"{path.name}_{kind}" / "SEG").is_dir() for kind in ("GT", "ST"))
    ]


@dataclass(frozen=True)
class _Sequence:
    """The files of a sequence by the numbers in their names."""

    name: str
    frames: dict[int, Path]
    gold: dict[Key, Path]
    silver: dict[Key, Path]
    markers: dict[Key, Path]

    @classmethod
    def of(cls, path: Path) -> "_Sequence":
        truth, computed = (path.parent / f"{path.name}_{kind}" for kind in ("GT", "ST"))
        return cls(
            path.name,
            {number: file for (number, _), file in _numbered(path, slices=False).items()},
            _numbered(truth / "SEG"),
            _numbered(computed / "SEG"),
            _numbered(truth / "TRA"),
        )

    def annotated(self, *, silver: bool) -> set[int]:
        """Numbers of the frames to learn from."""
        return {number for number, _ in (*self.gold, *(self.silver if silver else ()))}

    def pairs_of_frame(
        self, number: int, settings: DataSettings, classes: tuple[str, ...]
    ) -> list[Pair]:
        """The pair of a flat frame, or of each slice of a stack that is annotated."""
        if number not in self.frames:
            raise DataError(
                f"Frame {number} of sequence {self.name} has an annotation and no image."
            )
        image = self.frames[number]
        pages = pages_of(image)
        gold, silver, markers = (
            _slices(files, number, image, len(pages))
            for files in (self.gold, self.silver, self.markers)
        )
        title = f"{self.name}/{image.stem}"
        digits = len(str(len(pages) - 1))
        pairs = []
        for index in sorted({*gold, *(silver if settings.silver else ())}):
            name = f"{title}/{index:0{digits}d}" if len(pages) > 1 else title
            source = TrackedFrame(
                gold.get(index),
                silver.get(index),
                markers.get(index),
                fill=settings.silver,
                partial=bool({name, title} & set(settings.partial)),
            )
            page, together = pages[index], title if len(pages) > 1 else ""
            pairs.append(Pair(name, image, source, classes, "instances", page, together))
        return pairs


def _slices(files: dict[Key, Path], number: int, image: Path, count: int) -> dict[int, FilePage]:
    """Where each slice of a frame is annotated; a flat frame is a stack of one.

    Raises
    ------
    DataError
        If the frame's image has no such slice, the annotation of the whole frame has other pages
        than the image, or a slice is annotated twice.
    """
    found: dict[int, FilePage] = {}
    whole = files.get((number, None))
    if whole is not None:
        pages = pages_of(whole)
        if len(pages) != count:
            raise DataError(
                f"{image.name} has {_pages(count)} and its annotation {whole.name} "
                f"{_pages(len(pages))}: each page needs its page of labels."
            )
        found = {index: FilePage(whole, page) for index, page in enumerate(pages)}
    for (frame, index), path in files.items():
        if frame != number or index is None:
            continue
        if whole is not None:
            raise DataError(
                f"{whole.name} and {path.name} in {path.parent.name} both annotate slice {index} "
                f"of frame {number}: keep one of the two."
            )
        if count == 1:
            raise DataError(
                f"{path.name} annotates slice {index} of frame {number}, but {image.name} is no "
                "stack: it has one page. Give the frame as a TIFF of a page for each slice."
            )
        if index >= count:
            raise DataError(
                f"{path.name} annotates slice {index} of frame {number}, but {image.name} has the "
                f"slices 0 to {count - 1}."
            )
        if len(pages_of(path)) > 1:
            raise DataError(
                f"{path.name} is of one slice by its name, and has {_pages(len(pages_of(path)))}."
            )
        found[index] = FilePage(path)
    return found


def _pages(count: int) -> str:
    return "one page" if count == 1 else f"{count} pages"


def _numbered(folder: Path, *, slices: bool = True) -> dict[Key, Path]:
    """Files of a folder, if it is there, by frame and slice.

    Raises
    ------
    DataError
        If two have the same numbers, or one has none.
    """
    found: dict[Key, Path] = {}
    for path in list_files(folder, IMAGE_SUFFIXES) if folder.is_dir() else ():
        key = _key(path, slices)
        if (other := found.get(key)) is not None:
            what = f"frame {key[0]}" if key[1] is None else f"slice {key[1]} of frame {key[0]}"
            raise DataError(
                f"{other.name} and {path.name} in {path.parent.name} are both of {what}, by the "
                "numbers in their names: keep one of the two."
            )
        found[key] = path
    return found


def _key(path: Path, slices: bool) -> Key:
    """Frame and slice: ``man_seg_TTT_ZZZ`` is of one slice, ``man_segTTT`` of a whole frame."""
    of_slice = re.search(r"man_(?:seg|track)_?(\d+)_(\d+)$", path.stem) if slices else None
    if of_slice is not None:
        return int(of_slice[1]), int(of_slice[2])
    digits = re.search(r"(\d+)$", path.stem)
    if digits is None:
        raise DataError(f"{path.name} in {path.parent.name} has no frame number at its end.")
    return int(digits[1]), None
