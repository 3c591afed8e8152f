"""What is wrong with a folder of images and labels, before an hour is spent on it."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import ImageError, LabelError
from hf_unet.images import ScienceImage
from hf_unet.labels import Labels
from hf_unet.labels.ground_truth import has_background
from hf_unet.training.datasets import IMAGE_SUFFIXES, LABEL_SUFFIXES, Pair, list_files
from hf_unet.training.settings import DataSettings


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    sentence : str
        What it is, naming the file.
    wrong : bool
        Whether it must be mended; else it is only worth knowing.
    """

    sentence: str
    wrong: bool = True


@dataclass(frozen=True)
class FolderCheck:
    """What a folder holds.

    Attributes
    ----------
    images, labels, pairs : int
        Files, and pairs of which both could be read.
    found : tuple of (str, int)
        What the labels hold in words, and in how many of them, the most frequent first.
    shares : tuple of (str, float)
        Each class and its share of all pixels, 0 .. 1.
    findings : tuple of Finding
    """

    images: int
    labels: int
    pairs: int
    found: tuple[tuple[str, int], ...]
    shares: tuple[tuple[str, float], ...]
    findings: tuple[Finding, ...]

    @property
    def right(self) -> bool:
        """Whether nothing has to be mended."""
        return not any(finding.wrong for finding in self.findings)


@dataclass
class _Tally:
    """What has been counted so far."""

    classes: tuple[str, ...]
    pixels: NDArray[np.int64]
    total: int = 0
    pairs: int = 0
    found: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    seen: dict[str, str] = field(default_factory=dict)


def check_folder(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> FolderCheck:
    """Read every image and label of a data folder and say what does not fit.

    Parameters
    ----------
    folder : Path
    settings : DataSettings
        ``images``, ``labels`` and ``kind`` are used.
    classes : tuple of str
        Names of the classes, as the network will have them.

    Returns
    -------
    FolderCheck
        Its findings: files without a partner, files of one stem, unreadable files, sizes that
        differ, values that map to no class (also by JPEG compression), classes that are nowhere,
        and the same picture twice. As notes: labels without any foreground, pages that will not
        be read, labels of several kinds.

    Raises
    ------
    DataError
        If a folder is missing or empty.
    """
    images = list_files(folder / settings.images, IMAGE_SUFFIXES)
    labels = list_files(folder / settings.labels, LABEL_SUFFIXES)
    tally = _Tally(classes, np.zeros(len(classes), np.int64))
    findings = [
        *_ambiguous(images, settings.images),
        *_ambiguous(labels, settings.labels),
        *_alone(images, labels, "image", settings.labels),
        *_alone(labels, images, "label", settings.images),
    ]
    partners = {path.stem: path for path in labels}
    for path in images:
        findings += _check_one(path, partners.get(path.stem), settings, tally)
    findings += _check_all(tally)
    shares = tally.pixels / max(1, tally.total)
    return FolderCheck(
        images=len(images),
        labels=len(labels),
        pairs=tally.pairs,
        found=tuple(tally.found.most_common()),
        shares=tuple(zip(classes, shares.tolist(), strict=True)),
        findings=tuple(findings),
    )


def _ambiguous(files: Iterable[Path], name: str) -> Iterator[Finding]:
    first: dict[str, Path] = {}
    for path in files:
        other = first.setdefault(path.stem, path)
        if other != path:
            yield Finding(
                f"{other.name} and {path.name} in {name} differ only in their ending: files are "
                "matched by the name before it, so keep one of the two."
            )


def _alone(files: list[Path], others: list[Path], what: str, where: str) -> Iterator[Finding]:
    stems = {path.stem for path in others}
    for path in files:
        if path.stem not in stems:
            yield Finding(f"The {what} {path.name} has no file {path.stem}.* in {where}.")


def _check_one(
    path: Path, label: Path | None, settings: DataSettings, tally: _Tally
) -> Iterator[Finding]:
    """Read one image and its label, if it has one, and count what they hold."""
    pair = Pair(path, label or path, tally.classes, settings.kind)
    try:
        image = pair.image
        first = tally.seen.setdefault(_fingerprint(image), path.name)
        if first != path.name:
            yield Finding(
                f"{first} and {path.name} hold the same picture: one could be trained on and the "
                "other kept out, which makes the figures too good. Take one away."
            )
        if image.pages > 1:
            yield Finding(f"{path.name} has {image.pages} pages; only the first is used.", False)
        if label is None:
            return
        labels = pair.labels
    except (ImageError, LabelError) as error:
        yield Finding(str(error))
        return
    pixels = labels.stack().sum(axis=(1, 2), dtype=np.int64)
    tally.pairs += 1
    tally.found[labels.found] += 1
    tally.kinds[labels.kind] += 1
    tally.pixels += pixels
    tally.total += labels.array.shape[-2] * labels.array.shape[-1]
    if not pixels[_first_foreground(labels) :].any():
        what = f"nothing but {labels.classes[0]}" if len(pixels) > 1 else "nothing"
        yield Finding(f"The label {label.name} holds {what}.", False)


def _check_all(tally: _Tally) -> Iterator[Finding]:
    """Judge what the labels hold together."""
    if not tally.pairs:
        return
    for name, pixels in zip(tally.classes, tally.pixels, strict=True):
        if not pixels:
            yield Finding(f"No label holds the class {name}: there is nothing to learn it from.")
    if len(tally.kinds) > 1:
        kinds = ", ".join(f"{count} {kind}" for kind, count in tally.kinds.most_common())
        yield Finding(
            f"The labels were read as different kinds ({kinds}). Say which they are by --kind.",
            False,
        )


def _first_foreground(labels: Labels) -> int:
    several = len(labels.classes) > 1
    overlap = labels.kind == "multilabel"
    return 1 if several and (not overlap or has_background(labels.classes)) else 0


def _fingerprint(image: ScienceImage) -> str:
    """Hash of the pixels, so that the same picture in two formats is one."""
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
