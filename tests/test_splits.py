"""Hold-out and folds, whole groups, and a split read back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hf_unet.training.pairs import DataError, OneFile, Pair
from hf_unet.training.settings import DataSettings, SettingsError
from hf_unet.training.splits import Split, group_of, hold_out

PATIENTS = r"p(\d+)"


def pairs_named(*names: str) -> tuple[Pair, ...]:
    return tuple(Pair(name, Path(name), OneFile(Path(name)), ("a", "b")) for name in names)


def names(split: Split) -> tuple[list[str], list[str]]:
    train, validation = ([pair.name for pair in s] for s in (split.train, split.validation))
    return train, validation


SLICES = pairs_named(*(f"p{patient}_s{number}" for patient in (1, 2, 3, 10) for number in (1, 2)))


def test_every_third_from_the_second_on_is_kept_out() -> None:
    split = hold_out(pairs_named(*"gfedcba"), DataSettings(holdout_every=3, holdout_first=1))
    assert names(split) == (["a", "c", "d", "f", "g"], ["b", "e"])


def test_the_last_two_are_kept_out() -> None:
    split = hold_out(pairs_named(*"abcd"), DataSettings(holdout_every=1, holdout_first=-2))
    assert names(split) == (["a", "b"], ["c", "d"])


def test_groups_are_kept_out_whole() -> None:
    split = hold_out(SLICES, DataSettings(group=PATIENTS, holdout_every=2, holdout_first=1))
    train, validation = names(split)
    assert {name[:-3] for name in train} == {"p1", "p2"}  # groups in the order of 1, 10, 2, 3
    assert {name[:-3] for name in validation} == {"p10", "p3"}
    assert len(train) == len(validation) == 4


def test_named_groups_are_kept_out() -> None:
    split = hold_out(SLICES, DataSettings(group=PATIENTS, holdout=("10", "1")))
    assert {name[:-3] for name in names(split)[1]} == {"p1", "p10"}
    with pytest.raises(DataError, match="names '4'; the groups are 1, 10, 2, 3"):
        hold_out(SLICES, DataSettings(group=PATIENTS, holdout=("4",)))
    with pytest.raises(SettingsError, match=r"say by data\.group"):
        DataSettings(holdout=("4",))


def test_each_pair_is_in_one_fold_and_each_patient_too() -> None:
    kept_out = []
    for fold in range(3):
        train, validation = names(
            hold_out(SLICES, DataSettings(group=PATIENTS, folds=3, fold=fold))
        )
        assert sorted(train + validation) == sorted(pair.name for pair in SLICES)
        assert not {name[:-3] for name in train} & {name[:-3] for name in validation}
        kept_out += validation
    assert sorted(kept_out) == sorted(pair.name for pair in SLICES)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (3, 3), (3, -1)])
def test_folds_that_are_none_are_refused(folds: int, fold: int) -> None:
    with pytest.raises(SettingsError, match="fold"):
        DataSettings(folds=folds, fold=fold)


@pytest.mark.parametrize(
    ("pattern", "name", "group"),
    [
        ("", "p1_s2", "p1_s2"),
        (r"^\d+", "01/t003", "01"),
        (r"well-(\w\d)", "x_well-A3_f1", "A3"),
        (r"(?:a|(b))", "a1", "a"),  # a parenthesis that took no part
    ],
)
def test_the_group_in_a_name(pattern: str, name: str, group: str) -> None:
    assert group_of(name, pattern) == group


def test_a_pattern_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"matches nothing in the name 'x'"):
        hold_out(pairs_named("p1", "x"), DataSettings(group=PATIENTS))
    with pytest.raises(SettingsError, match="no regular expression"):
        DataSettings(group="(")


@pytest.mark.parametrize(
    "settings",
    [
        DataSettings(holdout_every=1),
        DataSettings(holdout_first=9),
        DataSettings(group=r"p", holdout_every=2),
        DataSettings(group=r"p", folds=2, fold=1),
    ],
)
def test_a_side_with_nothing_on_it_is_refused(settings: DataSettings) -> None:
    with pytest.raises(DataError, match="both sides have some"):
        hold_out(SLICES, settings)


def test_a_split_is_read_back(tmp_path: Path) -> None:
    settings = DataSettings(group=PATIENTS, folds=2)
    split = hold_out(SLICES, settings)
    split.save(tmp_path / "split.json")
    again = hold_out(SLICES, DataSettings(split=str(tmp_path / "split.json")))
    assert names(again) == names(split)
    other = hold_out(SLICES, replace(settings, fold=1))
    assert names(other) != names(split)


def test_what_a_split_does_not_name_is_said(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    hold_out(SLICES[:4], DataSettings(holdout_every=2)).save(path)
    read = hold_out(SLICES, DataSettings(split=str(path)))
    assert read.unnamed == SLICES[4:]
    assert read.note == (
        "The split does not name 4 of the data's pictures (p3_s1, p3_s2, p10_s1, ...): they are "
        "neither trained on nor kept out."
    )
    assert "1 of the data's pictures (p1_s1): it is" in replace(read, unnamed=SLICES[:1]).note
    again = hold_out(SLICES[:4], DataSettings(split=str(path)))
    assert not again.unnamed and not again.note


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be opened"),
        ("{", "not of the form"),
        ('{"train": ["p1_s1"]}', "not of the form"),
        ('{"train": 3, "validation": []}', "not of the form"),
        (json.dumps({"train": ["p1_s1"], "validation": ["p9_s1"]}), "names p9_s1, which is not"),
        (json.dumps({"train": ["p1_s1"], "validation": ["p1_s1"]}), "names p1_s1 twice"),
        (json.dumps({"train": ["p1_s1"], "validation": []}), "leaves nothing"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "split.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=words) as caught:
        hold_out(SLICES, DataSettings(split=str(path)))
    assert str(tmp_path) not in str(caught.value)
