"""Which pairs are trained on and which are kept out."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_unet.exports.files import write_whole
from hf_unet.training.pairs import DataError, Pair
from hf_unet.training.settings import DataSettings

SPLIT = "split.json"
"""Name of the file in a run folder that says which pairs were trained on."""

PAGES_APART = (
    ' Pages of one file stay on one side; data.group = "(.+)" makes each a group of its own.'
)


@dataclass(frozen=True)
class Split:
    """Pairs to train on and pairs kept out, and such as a split that was read does not name."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    unnamed: tuple[Pair, ...] = ()

    @property
    def note(self) -> str:
        """What is to be said of pairs on neither side; empty if there are none."""
        if not self.unnamed:
            return ""
        count, few = len(self.unnamed), ", ".join(pair.name for pair in self.unnamed[:3])
        return (
            f"The split does not name {count} of the data's pictures "
            f"({few}{', ...' if count > 3 else ''}): "
            f"{'it is' if count == 1 else 'they are'} neither trained on nor kept out."
        )

    def save(self, path: Path) -> None:
        """Write the names as JSON; ``data.split`` reads them back."""
        names = {
            "train": [pair.name for pair in self.train],
            "validation": [pair.name for pair in self.validation],
        }
        write_whole(path, (json.dumps(names, indent=2) + "\n").encode())


def hold_out(pairs: Sequence[Pair], settings: DataSettings) -> Split:
    """Split as the settings say; pairs of one group stay on one side.

    Raises
    ------
    DataError
        If nothing would be left on one of the sides, or a group, a fold or the split's file does
        not fit the pairs.
    """
    if settings.split:
        return read_split(Path(settings.split), pairs)
    groups = group_pairs(pairs, settings.group)
    names = list(groups)
    if settings.holdout:
        if unknown := [name for name in settings.holdout if name not in groups]:
            raise DataError(
                f"data.holdout names {unknown[0]!r}; the groups are {', '.join(names[:20])}."
            )
        kept_out = set(settings.holdout)
    elif settings.folds:
        kept_out = set(names[settings.fold :: settings.folds])
    else:
        kept_out = set(names[settings.holdout_first :: settings.holdout_every])
    split = Split(
        tuple(pair for name in names if name not in kept_out for pair in groups[name]),
        tuple(pair for name in names if name in kept_out for pair in groups[name]),
    )
    if not split.train or not split.validation:
        what = "pairs" if len(names) == len(pairs) else f"pairs in {len(names)} groups"
        raise DataError(
            f"Of {len(pairs)} {what}, {len(split.validation)} would be kept out of training. "
            "Set data.holdout_every and data.holdout_first so that both sides have some."
            + (PAGES_APART if not settings.group and any(pair.together for pair in pairs) else "")
        )
    return split


def group_pairs(pairs: Sequence[Pair], pattern: str) -> dict[str, list[Pair]]:
    """Pairs by patient, sequence or well, in sorted order.

    Without a pattern each is a group, but for pages of one file, which are one.

    Raises
    ------
    DataError
        If a name does not match.
    """
    groups: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.name):
        name = group_of(pair.name, pattern) if pattern else pair.together or pair.name
        groups.setdefault(name, []).append(pair)
    return dict(sorted(groups.items()))


def group_of(name: str, pattern: str) -> str:
    r"""Group of a name: the first parenthesis of the pattern, or all that it matches.

    Examples
    --------
    >>> group_of("patient07_slice12", r"patient(\d+)")
    '07'
    """
    if not pattern:
        return name
    match = re.search(pattern, name)
    if match is None:
        raise DataError(f"data.group = {pattern!r} matches nothing in the name {name!r}.")
    return match[1] if match.re.groups and match[1] is not None else match[0]


def read_split(path: Path, pairs: Sequence[Pair]) -> Split:
    """Split by a file that `Split.save` wrote; what it does not name is in ``unnamed``.

    Raises
    ------
    DataError
        If it cannot be read, or names other pairs than there are.
    """
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        sides = [[str(name) for name in names[side]] for side in ("train", "validation")]
    except OSError as error:
        raise DataError(f"The split {path.name} cannot be opened: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'The split {path.name} is not of the form {{"train": [names], "validation": [names]}}.'
        ) from error
    known = {pair.name: pair for pair in pairs}
    named = [name for side in sides for name in side]
    for name in named:
        if name not in known:
            raise DataError(f"The split {path.name} names {name}, which is not in the data.")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise DataError(f"The split {path.name} names {twice[0]} twice.")
    if not all(sides):
        raise DataError(f"The split {path.name} leaves nothing on one of its sides.")
    train, validation = (tuple(known[name] for name in side) for side in sides)
    neither = known.keys() - set(named)
    return Split(train, validation, tuple(pair for pair in pairs if pair.name in neither))
