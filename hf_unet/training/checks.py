"""What is wrong with annotated images, before an hour is spent on them."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import ImageError, LabelError
from hf_unet.file_names import match_names
from hf_unet.images import ScienceImage
from hf_unet.labels import Labels
from hf_unet.labels.ground_truth import has_background
from hf_unet.training.datasets import NOTHING_KNOWN, check_partial, find_pairs, layout_of
from hf_unet.training.files import stem_of
from hf_unet.training.layouts import files_of_folders
from hf_unet.training.paged import file_pairs
from hf_unet.training.pairs import DataError, Pair
from hf_unet.training.settings import DataSettings
from hf_unet.training.splits import Split, group_of, hold_out

JPEG = (".jpg", ".jpeg", ".jfif")

PAGED = ("folders", "stacks", "ctc")
"""Layouts in which every page of an image file is a picture."""

FEW = 0.5
"""Objects of a tracked frame, as a share of its sequence's median, below which some may lack."""


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
class DataCheck:
    """What a data folder holds.

    Attributes
    ----------
    layout : str
        How it lies there, a name of `hf_unet.training.layouts.LAYOUTS`.
    images, labels, pairs : int
        How many there are, and pairs of which both could be read.
    found : tuple of (str, int)
        What the labels hold in words, and in how many of them, the most frequent first.
    shares : tuple of (str, float)
        Each class and its share of all pixels, 0 .. 1.
    kept_out : int
        Pairs that a run would validate on.
    findings : tuple of Finding
    """

    layout: str
    images: int
    labels: int
    pairs: int
    found: tuple[tuple[str, int], ...]
    shares: tuple[tuple[str, float], ...]
    kept_out: int
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
    channels: dict[int, str] = field(default_factory=dict)
    total: int = 0
    read: list[Pair] = field(default_factory=list)
    found: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    seen: dict[str, str] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)


def check_data(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> DataCheck:
    """Read every image and label of a data folder and say what does not fit.

    Parameters
    ----------
    folder : Path
    settings : DataSettings
        As a run is going to have them.
    classes : tuple of str
        Names of the classes, as the network's masks will have them.

    Returns
    -------
    DataCheck
        Its findings: files without a partner, files of one name, unreadable files, sizes that
        differ, values that map to no class (also by JPEG compression), classes that are nowhere,
        the same picture twice, a patient or sequence on both sides of the split. As notes: labels
        without any foreground, frames that are annotated only in part, pages that will not be
        read, labels of several kinds, names that look as if they were of groups.

    Raises
    ------
    DataError
        If a folder is missing or empty.
    SettingsError
        If there is no such layout.
    """
    layout = layout_of(folder, settings, classes)
    tally = _Tally(classes, np.zeros(len(classes), np.int64))
    if layout == "folders":
        images, labels = files_of_folders(folder, settings)
        findings = [*_ambiguous(images), *_ambiguous(labels), *_alone(images, labels)]
        pairs, unpaired = _matched(images, labels, settings, classes)
        findings += [*_absent(images, pairs, settings), *unpaired]
        count, label_count = len(images), len(labels)
    else:
        pairs = list(find_pairs(folder, settings, classes))
        findings = []
        count = label_count = len(pairs)
    for pair in pairs:
        findings += _check_one(pair, layout, tally)
        pair.forget()
    findings += _lossy(pairs, settings)
    findings += _check_all(tally)
    split, problem = _split(tally.read, settings)
    findings += problem
    if split is not None:
        findings += _check_sides(split, settings)
    shares = tally.pixels / max(1, tally.total)
    return DataCheck(
        layout=layout,
        images=count,
        labels=label_count,
        pairs=len(tally.read),
        found=tuple(tally.found.most_common()),
        shares=tuple(zip(classes, shares.tolist(), strict=True)),
        kept_out=0 if split is None else len(split.validation),
        findings=tuple(findings),
    )


# --- names ------------------------------------------------------------------------------------


def _ambiguous(files: Iterable[Path]) -> Iterator[Finding]:
    first: dict[str, Path] = {}
    for path in files:
        other = first.setdefault(stem_of(path), path)
        if other != path:
            yield Finding(
                f"{other.name} and {path.name} in {path.parent.name} differ only in their ending: "
                "files are matched by the name before it, so keep one of the two."
            )


def _alone(images: Sequence[Path], labels: Sequence[Path]) -> Iterator[Finding]:
    partners = match_names(map(stem_of, images), map(stem_of, labels))
    taken = set(partners.values())
    for path in images:
        if stem_of(path) not in partners:
            yield Finding(
                f"The image {path.name} has no label of its name in {labels[0].parent.name}."
            )
    for path in labels:
        if stem_of(path) not in taken:
            yield Finding(
                f"The label {path.name} has no image of its name in {images[0].parent.name}."
            )


def _absent(
    images: Iterable[Path], pairs: Iterable[Pair], settings: DataSettings
) -> Iterator[Finding]:
    try:
        check_partial({*map(stem_of, images), *(pair.name for pair in pairs)}, settings)
    except DataError as error:
        yield Finding(str(error))


def _matched(
    images: Sequence[Path], labels: Sequence[Path], settings: DataSettings, classes: tuple[str, ...]
) -> tuple[list[Pair], list[Finding]]:
    """Pairs of the files that have a partner, of files of one name the first; and what has none."""
    image_of = {stem_of(path): path for path in reversed(images)}
    label_of = {stem_of(path): path for path in reversed(labels)}
    partners = match_names(sorted(image_of), sorted(label_of))
    pairs, findings = [], []
    for stem, partner in sorted(partners.items()):
        try:
            pairs += file_pairs(image_of[stem], label_of[partner], settings, classes)
        except (DataError, ImageError, LabelError) as error:
            findings.append(Finding(str(error)))
    return pairs, findings


# --- one pair, and all of them ----------------------------------------------------------------


def _check_one(pair: Pair, layout: str, tally: _Tally) -> Iterator[Finding]:
    """Read an image and its label, and count what they hold."""
    try:
        image = pair.image
        first = tally.seen.setdefault(_fingerprint(image), _title(pair))
        if first != _title(pair):
            yield Finding(
                f"{first} and {_title(pair)} hold the same picture: one could be trained on and "
                "the other kept out, which makes the figures too good. Take one away."
            )
        if image.pages > 1 and layout not in PAGED:
            yield Finding(f"{_title(pair)} has {image.pages} pages; only the first is used.", False)
        labels = pair.labels
    except (ImageError, LabelError) as error:
        yield Finding(str(error))
        return
    pixels = labels.stack().sum(axis=(1, 2), dtype=np.int64)
    tally.read.append(pair)
    tally.channels.setdefault(len(image), _title(pair))
    tally.found[labels.found] += 1
    tally.kinds[labels.kind] += 1
    tally.pixels += pixels
    tally.total += labels.array.shape[-2] * labels.array.shape[-1]
    if not pixels[_first_foreground(labels) :].any():
        what = f"nothing but {labels.classes[0]}" if len(pixels) > 1 else "nothing"
        yield Finding(f"The label {pair.source.name} holds {what}.", False)
    if pair.truth.known is not None and not pair.truth.known.any():
        yield Finding(f"{NOTHING_KNOWN.format(_title(pair))} It teaches nothing: take it away.")
    elif pair.truth.known is not None:
        yield Finding(f"{_title(pair)} is annotated in part: {labels.found}.", False)
    elif layout == "ctc" and image.pages == 1:  # in a stack's slices there may be any number
        tally.objects[pair.name] = len(np.unique(labels.array)) - 1


def _lossy(pairs: Iterable[Pair], settings: DataSettings) -> Iterator[Finding]:
    """Name labels that are JPEGs: small values are damaged without a trace."""
    names = [pair.source.name for pair in pairs]
    lossy = sorted(name for name in names if Path(name).suffix.lower() in JPEG)
    if lossy:
        several = f" (and {len(lossy) - 1} more)" if len(lossy) > 1 else ""
        yield Finding(
            f"The label {lossy[0]}{several} is a JPEG, whose compression changes values near every "
            "edge. Save labels as PNG or TIFF from where they were drawn; where all that is left "
            "is a JPEG of black and white, data.threshold = 127 reads it.",
            wrong=settings.threshold is None,
        )


def _check_all(tally: _Tally) -> Iterator[Finding]:
    """Judge what the labels hold together."""
    if not tally.read:
        return
    for name, pixels in zip(tally.classes, tally.pixels, strict=True):
        if not pixels:
            yield Finding(f"No label holds the class {name}: there is nothing to learn it from.")
    if len(tally.channels) > 1 and set(tally.channels) != {1, 3}:  # grey and RGB become each other
        some = ", ".join(f"{count} ({name})" for count, name in sorted(tally.channels.items()))
        yield Finding(
            f"The images have different numbers of channels: {some}. A network takes one number, "
            "so save them alike."
        )
    if len(tally.kinds) > 1:
        kinds = ", ".join(f"{count} {kind}" for kind, count in tally.kinds.most_common())
        yield Finding(
            f"The labels were read as different kinds ({kinds}). Say which they are by --kind.",
            False,
        )
    sequences: dict[str, list[int]] = {}
    for name, count in tally.objects.items():
        sequences.setdefault(name.partition("/")[0], []).append(count)
    for name, count in tally.objects.items():
        usual = float(np.median(sequences[name.partition("/")[0]]))
        if count < FEW * usual:
            yield Finding(
                f"Frame {name} has {count} cells where its sequence has about {usual:g}: if some "
                f'are not annotated, name it in data.partial = ["{name}"].',
                False,
            )


# --- the split --------------------------------------------------------------------------------


def _split(pairs: Sequence[Pair], settings: DataSettings) -> tuple[Split | None, list[Finding]]:
    try:
        split = hold_out(pairs, settings)
        return split, [Finding(split.note, False)] if split.note else []
    except DataError as error:
        # Few pairs can be looked at before there are enough; anything asked for must hold.
        asked = settings != replace(settings, group="", holdout=(), folds=0, split="")
        return None, [Finding(str(error), wrong=asked)]


def _check_sides(split: Split, settings: DataSettings) -> Iterator[Finding]:
    """Judge whether what was kept out is apart from what is trained on."""
    sides = [[pair.name for pair in side] for side in (split.train, split.validation)]
    if settings.group:
        train, validation = ({group_of(name, settings.group) for name in side} for side in sides)
        for group in sorted(train & validation):
            yield Finding(
                f"The group {group} is on both sides of the split, which makes the figures too "
                "good: keep it out whole."
            )
        return
    train, validation = ({_series(name) for name in side} for side in sides)
    if len(train | validation) > 1 and (both := sorted((train & validation) - {""})):
        yield Finding(
            f"Pictures whose names begin with {both[0]!r} are on both sides of the split, as are "
            f"those of {len(both) - 1} more beginnings. If each is one patient, sequence or well, "
            'keep them together by data.group, such as data.group = "^(.+)[_/-]".',
            False,
        )


def _series(name: str) -> str:
    """What a name begins with before a number that counts pictures; empty if there is none."""
    match = re.fullmatch(r"(.*[^\d\W_])?(.*?)[\W_]+[a-z]{0,5}\d+", name, re.IGNORECASE)
    return "" if match is None else (match[1] or "") + match[2]


def _title(pair: Pair) -> str:
    """What a pair's image is called: its file, and its page or sequence."""
    return pair.image_file.name if pair.image_file.stem == pair.name else pair.name


def _first_foreground(labels: Labels) -> int:
    several = len(labels.classes) > 1
    overlap = labels.kind == "multilabel"
    return 1 if several and (not overlap or has_background(labels.classes)) else 0


def _fingerprint(image: ScienceImage) -> str:
    """Hash of the pixels, so that the same picture in two formats is one."""
    digest = hashlib.sha256(f"{image.shape} {image.dtype}".encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()
