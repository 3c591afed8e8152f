"""Cards that people edited: what is generated changes, what they wrote stays."""

from typing import Any

import pytest
import yaml
from hub_server import HubServer, asks
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError
from hypothesis import example, given
from hypothesis import strategies as st

from hf_unet.cards.header import merge_headers
from hf_unet.cards.parts import left_out, marked, merge_card, parts_of
from hf_unet.errors import ModelError
from hf_unet.model import UNet

NET = "tester/net"

NEW = """---
license: mit
tags:
- unet
---

<!-- hf-unet:title -->
# net
<!-- /hf-unet:title -->

<!-- hf-unet:figures -->
Dice 0.9
<!-- /hf-unet:figures -->

<!-- hf-unet:picture -->

<!-- /hf-unet:picture -->

<!-- hf-unet:limits -->
Only cells.
<!-- /hf-unet:limits -->
"""

EDITED = """---
language: en  # of this card
license: apache-2.0

# Asked for by the data's owner.
extra_gated_prompt: |
  Be kind:
  # no exceptions
tags: [mine]
---
Written by Ann.

<!-- hf-unet:figures -->
Dice 0.8
<!-- /hf-unet:figures -->
Ben: better than by hand!

<!-- hf-unet:later -->
Of a version to come.
<!-- /hf-unet:later -->

<!-- hf-unet:title -->
# old
<!-- /hf-unet:title -->
The end."""

MERGED = """---
language: en  # of this card
license: mit

# Asked for by the data's owner.
extra_gated_prompt: |
  Be kind:
  # no exceptions
tags:
- unet
- mine
---
Written by Ann.

<!-- hf-unet:figures -->
Dice 0.9
<!-- /hf-unet:figures -->
Ben: better than by hand!

<!-- hf-unet:later -->
Of a version to come.
<!-- /hf-unet:later -->

<!-- hf-unet:title -->
# net
<!-- /hf-unet:title -->
The end."""


# --- the text ------------------------------------------------------------------------------------


def test_parts_are_read_in_their_order() -> None:
    assert parts_of(NEW) == {
        "title": "# net",
        "figures": "Dice 0.9",
        "picture": "",
        "limits": "Only cells.",
    }
    assert parts_of("# A card\n\nof `<!-- hf-unet:figures -->` in a sentence\n") == {}


def test_what_people_wrote_stays_and_what_is_generated_changes() -> None:
    assert merge_card(EDITED, NEW) == MERGED
    assert merge_card(MERGED, NEW) == MERGED
    assert merge_card(NEW, NEW) == NEW
    assert left_out(MERGED, NEW) == ("limits",)  # the empty picture is not missed


def test_a_part_comes_back_where_its_marks_are_put() -> None:
    slot = "<!-- hf-unet:limits -->\n<!-- /hf-unet:limits -->"
    merged = merge_card(EDITED.replace("Written by Ann.", slot), NEW)
    assert "---\n<!-- hf-unet:limits -->\nOnly cells.\n<!-- /hf-unet:limits -->\n" in merged
    assert left_out(merged, NEW) == ()


def test_a_card_without_marks_is_kept_whole_and_the_parts_follow() -> None:
    merged = merge_card("---\nlanguage: de\n---\n# Mein Netz\n\nVon Anna.\n\n\n", NEW)
    assert merged.startswith(
        "---\nlanguage: de\nlicense: mit\ntags:\n- unet\n---\n# Mein Netz\n\nVon Anna.\n\n"
        "<!-- hf-unet:figures -->\nDice 0.9\n"
    )
    assert merged.endswith("Only cells.\n<!-- /hf-unet:limits -->\n") and "# net" not in merged
    assert merge_card(merged, NEW) == merged


@pytest.mark.parametrize("bare", ["", "---\n---\n", "---\nlicense: mit\n---\n"])
def test_a_card_without_words_becomes_the_generated_one(bare: str) -> None:
    merged = merge_card(bare, NEW)
    assert parts_of(merged) == parts_of(NEW)
    assert yaml.safe_load(merged.split("---\n")[1]) == {"license": "mit", "tags": ["unet"]}


def test_line_endings_and_a_byte_order_mark_do_no_harm() -> None:
    windows = "\ufeff" + EDITED.replace("\n", "\r\n")
    assert merge_card(windows, NEW) == MERGED.replace("\n", "\r\n")
    assert parts_of(windows)["figures"] == "Dice 0.8"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("<!-- hf-unet:limits -->\nNone.", "lacks its partner <!-- /hf-unet:limits -->"),
        ("None.\n<!-- /hf-unet:limits -->", "lacks its partner <!-- hf-unet:limits -->"),
        (
            "<!-- hf-unet:limits -->\n<!-- hf-unet:title -->\n<!-- /hf-unet:title -->",
            "the mark <!-- hf-unet:limits --> lacks its partner",
        ),
        (2 * "<!-- hf-unet:limits -->\n<!-- /hf-unet:limits -->\n", "two parts marked 'limits'"),
    ],
)
def test_damaged_marks_are_named(body: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        merge_card(body, NEW)


words = st.text("ab\n #-:<>!/é", max_size=30).filter(lambda text: "---" not in text)


@given(before=words, after=words, old=words, new=words)
def test_whatever_is_written_around_a_part_stays(
    before: str, after: str, old: str, new: str
) -> None:
    existing = f"x{before}\n{marked({'limits': old})}\n{after}"
    merged = merge_card(existing, marked({"limits": new}))
    assert merged == f"x{before}\n{marked({'limits': new.strip(chr(10))})}\n{after}"
    assert parts_of(merged) == {"limits": new.strip("\n")}


keys = st.sampled_from(["tags", "license", "language", "base_model", "mine", "model-index"])
values = st.sampled_from(
    ["a", "[a, unet]", "\n- a\n- b", "\n  x: 1", "|\n  # text\n  more", "2020-01-02"]
)
gaps = st.sampled_from(["", "\n", "# a comment\n", "  \n# two\n\n"])


@given(
    lines=st.lists(st.tuples(gaps, keys, values), max_size=5, unique_by=lambda line: line[1]),
    last=gaps,
    body=st.text("ab\n #", max_size=20),
)
@example(lines=[("", "license", "|\n  # text\n  more")], last="\n", body="")
def test_merging_twice_is_merging_once_and_loses_no_key(
    lines: list[tuple[str, str, str]], last: str, body: str
) -> None:
    header = "".join(f"{gap}{key}: {value}\n" for gap, key, value in lines) + last
    merged = merge_card(f"---\n{header}---\n{body}", NEW)
    assert merge_card(merged, NEW) == merged
    old, new = yaml.safe_load(header) or {}, yaml.safe_load(merged.split("---\n")[1])
    for key in old.keys() - {"tags", "license", "model-index"}:
        assert new[key] == old[key]
    assert new["license"] == "mit" and new["tags"][0] == "unet"
    for gap, _, _ in lines:  # comments stay where they can
        assert gap.strip() in merged


# --- the header ----------------------------------------------------------------------------------


def result(split: str, value: float) -> dict[str, Any]:
    return {"dataset": {"name": "cells", "split": split}, "metrics": [{"value": value}]}


def merged_header(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = yaml.safe_load(merge_headers(yaml.safe_dump(old), yaml.safe_dump(new)))
    return merged


def test_results_of_others_stay_and_ours_are_replaced() -> None:
    ours, theirs = result("kept out of training", 0.8), result("test", 0.7)
    better = result("kept out of training", 0.9)
    old = {"model-index": [{"name": "net", "results": [theirs, ours]}]}
    new = {"model-index": [{"name": "net", "results": [better]}]}
    assert merged_header(old, new) == {
        "model-index": [{"name": "net", "results": [better, theirs]}]
    }
    assert merged_header(old, {"license": "mit"}) == {
        "license": "mit",
        "model-index": [{"name": "net", "results": [theirs]}],
    }
    alone = {"model-index": [{"name": "net", "results": [ours]}]}  # of weights that are gone
    assert merged_header(alone, {"license": "mit"}) == {"license": "mit"}
    assert merged_header({"model-index": "damaged"}, new) == new


def test_a_licence_is_one_statement() -> None:
    other = {"license": "other", "license_name": "ours", "license_link": "https://a.b"}
    assert merged_header(other, {"license": "mit"}) == {"license": "mit"}
    assert merged_header(other, {"license": "unknown"}) == other
    assert merged_header(other, {"tags": ["a"]}) == other | {"tags": ["a"]}
    assert merged_header({}, {"license": "unknown"}) == {"license": "unknown"}
    named = {"license": "other", "license_name": "ours"}
    assert merged_header(other, named) == other  # a link that somebody added
    assert merged_header({"license": "mit"}, other) == other


def test_names_in_lists_are_put_together() -> None:
    old = {"tags": ["b", "mine"], "datasets": "org/a", "base_model": "org/old"}
    new = {"tags": ["a", "b"], "datasets": ["org/b"], "base_model": "org/new"}
    assert merged_header(old, new) == {
        "tags": ["a", "b", "mine"],
        "datasets": ["org/b", "org/a"],
        "base_model": "org/new",
    }


@pytest.mark.parametrize(
    "strange",
    [
        "{a: 1, license: gpl}",
        "a: &x 1\nlicense: *x",
        "? a\n: 1",
        "a: 1\na: 2",
        "<<: {license: gpl, a: 1}",
        "<<: {license: mit, license_name: null}",
    ],
)
def test_a_strange_header_is_read_right(strange: str) -> None:
    expected = yaml.safe_load(strange) | {"license": "mit"}
    assert yaml.safe_load(merge_headers(strange, "license: mit\n")) == expected


@pytest.mark.parametrize(
    ("header", "sentence"), [("tags: [a", "is not YAML"), ("- a\n- b", "is no table of keys")]
)
def test_a_header_that_cannot_be_merged_is_refused(header: str, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        merge_card(f"---\n{header}\n---\n# net\n", NEW)


# --- the Hub -------------------------------------------------------------------------------------


@pytest.fixture
def model() -> UNet:
    return UNet(base_channels=1, depth=1)


@pytest.fixture
def token(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of the owner of ``tester/...``, who is logged in."""
    token = hub.token()
    monkeypatch.setenv("HF_TOKEN", token)
    return token


def card_on(hub: HubServer, revision: str = "main") -> str:
    return hub.repository(NET).files(revision)["README.md"].decode()


def edit(hub: HubServer, revision: str = "main") -> str:
    """Edit the card as a person does on its page; returns it."""
    card = card_on(hub, revision).replace(
        "<!-- hf-unet:data -->", "Ask Ann first.\n\n<!-- hf-unet:data -->"
    )
    card = card.replace("library_name: hf-unet\n", "language: en\nlibrary_name: hf-unet\n")
    hub.repository(NET).put({"README.md": card.encode()}, revision)
    return card


def test_a_first_push_makes_the_card(hub: HubServer, token: str, model: UNet) -> None:
    address = model.push_to_hub(NET, private=True)
    repository = hub.repository(NET)
    assert repository.private and set(repository.files()) == {
        "README.md", "config.json", "model.safetensors",
    }  # fmt: skip
    assert address == f"{hub.endpoint}/{NET}/commit/{repository.at('main').oid}"
    assert f'from_pretrained("{NET}")' in card_on(hub)
    card = ModelCard.load(NET, token=token)
    card.validate()
    assert card.data.pipeline_tag == "image-segmentation"
    assert len(list(repository.history())) == 2  # one commit besides the repository's first


def test_a_push_keeps_what_people_wrote(hub: HubServer, token: str, model: UNet) -> None:
    model.push_to_hub(NET, private=True)
    edited = edit(hub)
    changed = UNet(base_channels=2, depth=1)
    changed.push_to_hub(NET)
    card = card_on(hub)
    assert "Ask Ann first.\n\n<!-- hf-unet:data -->" in card and "language: en\n" in card
    before, after = parts_of(edited), parts_of(card)
    assert {name for name in after if after[name] != before[name]} == {"summary"}
    count = sum(parameter.numel() for parameter in changed.parameters())
    assert f"{count:,} parameters" in after["summary"]
    commits = len(hub.repository(NET).commits)
    changed.push_to_hub(NET)  # with nothing new there is nothing to commit
    assert len(hub.repository(NET).commits) == commits


def test_a_card_without_marks_is_not_overwritten(hub: HubServer, token: str, model: UNet) -> None:
    hub.add(NET).put({"README.md": b"---\nlicense: mit\n---\n# All of my own\n"})
    model.push_to_hub(NET)
    card = card_on(hub)
    assert card.startswith("---\nlicense: mit\n") and "---\n# All of my own\n" in card
    assert "figures" in parts_of(card)


def test_a_damaged_card_stops_the_push(hub: HubServer, token: str, model: UNet) -> None:
    hub.add(NET).put({"README.md": b"<!-- hf-unet:limits -->\nnone"})
    with pytest.raises(ModelError, match="lacks its partner"):
        model.push_to_hub(NET)
    hub.repository(NET).put({"README.md": b"\xff\xfe"})
    with pytest.raises(ModelError, match="no text in UTF-8"):
        model.push_to_hub(NET)
    assert set(hub.repository(NET).files()) == {"README.md"}


def test_the_card_of_the_branch_is_the_one_that_is_kept(
    hub: HubServer, token: str, model: UNet
) -> None:
    model.push_to_hub(NET)
    hub.repository(NET).name_branch("draft", "main")
    edit(hub, "draft")
    UNet(base_channels=2, depth=1).push_to_hub(NET, branch="draft")
    assert "Ask Ann first." in card_on(hub, "draft") and "Ask Ann first." not in card_on(hub)
    with pytest.raises(RevisionNotFoundError):
        model.push_to_hub(NET, branch="none")


def test_a_pull_request_keeps_the_words_too(hub: HubServer, token: str, model: UNet) -> None:
    model.push_to_hub(NET)
    edit(hub)
    untouched = hub.repository(NET).files()
    visitor = hub.token("visitor")
    wider = UNet(base_channels=2, depth=1)
    wider.push_to_hub(NET, create_pr=True, token=visitor)
    assert hub.repository(NET).files() == untouched
    proposed = card_on(hub, "refs/pr/1")
    assert "Ask Ann first." in proposed and "language: en\n" in proposed
    HfApi().upload_file(
        path_or_fileobj=proposed.replace("Ask Ann", "Ask Ben").encode(),
        path_in_repo="README.md",
        repo_id=NET,
        revision="refs/pr/1",
    )
    UNet(base_channels=3, depth=1).push_to_hub(NET, branch="refs/pr/1", token=visitor)
    assert "Ask Ben first." in card_on(hub, "refs/pr/1")


def test_an_edit_in_the_same_moment_is_not_lost(hub: HubServer, token: str, model: UNet) -> None:
    model.push_to_hub(NET)
    hub.before_next(lambda: edit(hub), asks("POST", "/commit/"))
    UNet(base_channels=2, depth=1).push_to_hub(NET)
    assert "Ask Ann first." in card_on(hub)
    numbers = iter(range(9))

    def another() -> None:
        hub.repository(NET).put({"notes.txt": str(next(numbers)).encode()})

    hub.before_next(another, asks("POST", "/commit/"), times=3)
    with pytest.raises(HfHubHTTPError):
        model.push_to_hub(NET)


def test_patterns_choose_files(hub: HubServer, token: str, model: UNet) -> None:
    hub.add(NET).put({"README.md": b"# Mine\n", "old.bin": b"old", "notes.txt": b"kept"})
    model.push_to_hub(NET, ignore_patterns="README.md", delete_patterns=["*.bin", "*.md"])
    assert set(hub.repository(NET).files()) == {"notes.txt", "config.json", "model.safetensors"}


def test_save_pretrained_pushes_and_leaves_a_card_on_disk_alone(
    hub: HubServer, token: str, model: UNet, tmp_path: Any
) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "README.md").write_text("written by hand")
    model.save_pretrained(tmp_path / "net", push_to_hub=True)
    assert (tmp_path / "net" / "README.md").read_text() == "written by hand"
    assert "written by hand" not in card_on(hub) and "figures" in parts_of(card_on(hub))
