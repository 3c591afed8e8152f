"""A repository is what it says, or each thing that is not is named: sample, figures, card."""

import copy
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
from hub_server import HubServer
from small_networks import drawn
from whole_repositories import change_weight, edit_card, edit_json, stored

from hf_unet import ModelError, UNet
from hf_unet.cards.parts import parts_of
from hf_unet.onnx import export_onnx
from hf_unet.repositories.claims import ROUNDED, ROUNDED_ON_GPU
from hf_unet.repositories.sample_tile import make_sample, write_sample
from hf_unet.verification import Verification, verify_repository

ROOT = Path(__file__).resolve().parent.parent


# --- what holds, and what does not ---------------------------------------------------------------


def test_a_whole_repository_holds_what_it_says(copied: Path) -> None:
    verification = verify_repository(copied)
    assert verification == Verification(
        name="net",
        device="cpu",
        reproduces=True,
        largest_difference=0.0,
        changed_pixels=0,
        tolerance=1e-4,
        right=(
            "The sample is reproduced on cpu: probabilities differ by at most 0, and no pixel "
            "changes its class.",
            "The figures of metrics.json are of these weights.",
            "The card shows the figures of metrics.json.",
        ),
    )
    assert verification.holds and verification.sentences == verification.right


def test_a_changed_weight_is_seen_in_the_sample_and_in_the_digest(copied: Path) -> None:
    change_weight(copied, 0.5)
    verification = verify_repository(copied)
    assert not verification.reproduces and not verification.holds
    assert verification.largest_difference is not None and verification.changed_pixels is not None
    assert verification.largest_difference > 1e-3 and verification.changed_pixels > 0
    assert re.search(
        r"not reproduced on cpu: probabilities differ by up to 0\.\d+, of which rounding explains "
        r"0\.0001, and [\d,]+ pixels? changes? (its|their) class\.",
        verification.sample_differs[0],
    )
    (sentence,) = verification.figures_differ
    assert sentence.startswith("The figures are not of these weights")
    assert verification.card_differs == () and verification.unchecked == ()


def test_a_weight_changed_too_little_for_the_sample_is_seen_in_the_digest(copied: Path) -> None:
    change_weight(copied, 1e-7)
    verification = verify_repository(copied)
    assert verification.reproduces and not verification.holds
    assert len(verification.figures_differ) == 1


def test_weights_that_give_no_number_are_not_right(copied: Path) -> None:
    change_weight(copied, 3e38)  # beyond what any activation holds
    verification = verify_repository(copied)
    assert not verification.reproduces and "differ by up to nan" in verification.sample_differs[0]


def test_an_export_is_held_to_the_weights(copied: Path, tmp_path: Path) -> None:
    export_onnx(UNet.from_pretrained(copied), copied / "onnx" / "model.onnx")
    verification = verify_repository(copied)
    assert verification.holds
    assert verification.right[-1].startswith("onnx/model.onnx is of these weights, and its prob")

    other = Path(shutil.copytree(copied, tmp_path / "other"))
    change_weight(other, 0.5)
    told = verify_repository(other).export_differs
    assert told[0].startswith("onnx/model.onnx was exported from other weights")

    changed = UNet.from_pretrained(other)
    with torch.no_grad():  # no longer what was loaded: the file names no weights
        changed.classifier.weight.add_(0.5)
    export_onnx(changed, copied / "onnx" / "model.onnx")
    told = verify_repository(copied).export_differs
    assert told[0].startswith("onnx/model.onnx says something else of the sample")

    (copied / "onnx" / "model.onnx").write_bytes(b"no graph")
    told = verify_repository(copied).export_differs
    assert told[0].startswith("onnx/model.onnx of net is no ONNX file")


def test_a_changed_figure_in_the_card_is_named(copied: Path) -> None:
    figures = parts_of((copied / "README.md").read_text())["figures"]
    figure = re.findall(r"0\.\d{4}", figures)[2]
    wrong = f"{float(figure) + 0.0002:.4f}"
    edit_card(copied, figures, figures.replace(figure, wrong, 1))
    verification = verify_repository(copied)
    assert verification.card_differs == (
        f"The figures part of the card says {wrong} where metrics.json has {figure}.",
    )
    assert verification.reproduces and not verification.holds


def test_changed_words_in_a_part_are_named(copied: Path) -> None:
    edit_card(copied, "Finds discs.", "Finds everything.")
    assert verify_repository(copied).card_differs == (
        "The summary part of the card says 'Finds everything.' where metrics.json has "
        "'Finds discs.'.",
    )


def test_a_changed_figure_in_the_header_is_named(copied: Path) -> None:
    index = re.search(r"value: (0\.\d+)\n\s+name: Pixel error", (copied / "README.md").read_text())
    assert index is not None
    edit_card(copied, index[0], index[0].replace(index[1], "0.01"))
    assert verify_repository(copied).card_differs == (
        f"The model-index of the card says 0.01 for Pixel error where metrics.json has {index[1]}.",
    )


def test_results_of_other_people_in_the_header_are_theirs(copied: Path) -> None:
    text = (copied / "README.md").read_text()
    start = text.index("  - task:")
    ours = text[start : text.index("---", start)]
    theirs = ours.replace("Discs", "Cells").replace("kept out of training", "test")
    theirs = re.sub(r"value: 0\.\d+", "value: 0.5", theirs)
    edit_card(copied, ours, theirs + ours)
    assert verify_repository(copied).holds
    edit_card(copied, theirs + ours, theirs)
    assert verify_repository(copied).card_differs == (
        "The header of the card has no model-index with the figures of metrics.json.",
    )


@pytest.mark.parametrize("header", ["- a", "3", "model-index: 3", "model-index: [{results: [3]}]"])
def test_a_header_of_any_form_is_read(copied: Path, header: str) -> None:
    text = (copied / "README.md").read_text()
    (copied / "README.md").write_text(f"---\n{header}\n---\n{text.split('---', 2)[2]}")
    assert verify_repository(copied).card_differs == (
        "The header of the card has no model-index with the figures of metrics.json.",
    )


def test_a_result_too_many_and_one_too_few_in_the_header_are_named(copied: Path) -> None:
    edit_card(copied, "name: Pixel error", "name: Pixel accuracy")
    missing, more = verify_repository(copied).card_differs
    assert missing.startswith("The model-index of the card lacks Pixel error, 0.")
    assert more == "The model-index of the card has Pixel accuracy, which metrics.json has not."


def test_changed_metrics_no_longer_make_the_card(copied: Path) -> None:
    edit_json(
        copied / "metrics.json",
        lambda metrics: metrics["validation"]["per_image"]["dice"].update(disc=0.9912),
    )
    sentences = verify_repository(copied).card_differs
    assert any(
        re.fullmatch(
            r"The figures part of the card says 0\.\d{4} where metrics\.json has 0\.9912\.", one
        )
        for one in sentences
    )
    assert any(
        "for Dice (disc, per image) where metrics.json has 0.9912." in one for one in sentences
    )


def test_metrics_of_other_weights_are_seen(copied: Path) -> None:
    edit_json(copied / "metrics.json", lambda metrics: metrics.update(weights_sha256="ab" * 32))
    verification = verify_repository(copied)
    assert verification.reproduces and not verification.holds
    (sentence,) = verification.figures_differ
    assert "names those of the SHA-256 abababababababab..., and model.safetensors has" in sentence


@pytest.mark.parametrize("value", [None, ...])
def test_metrics_that_name_no_weights_are_not_trusted(copied: Path, value: object) -> None:
    edit_json(copied / "metrics.json", lambda metrics: metrics.update(weights_sha256=None))
    if value is ...:
        edit_json(copied / "metrics.json", lambda metrics: metrics.pop("weights_sha256"))
    verification = verify_repository(copied)
    assert verification.reproduces and verification.card_differs == () and not verification.holds
    assert "does not say which weights its figures are of" in verification.unchecked[0]


def test_a_changed_threshold_is_another_network(copied: Path) -> None:
    edit_json(copied / "config.json", lambda config: config.update(thresholds=[0.25]))
    verification = verify_repository(copied)
    assert verification.sample_differs == (
        "The sample was made with thresholds = null, and the network has [0.25].",
    )
    assert verification.largest_difference == 0 and not verification.reproduces
    assert not any("reproduced" in sentence for sentence in verification.right)


def test_a_changed_color_is_not(copied: Path) -> None:
    edit_json(copied / "config.json", lambda config: config.update(colors=["#000000", "#ff0000"]))
    assert verify_repository(copied).holds


def test_the_sample_of_another_network_is_seen(copied: Path) -> None:
    write_sample(copied, make_sample(drawn(classes=("a", "b", "c"))))
    verification = verify_repository(copied)
    assert "made with classes =" in verification.sample_differs[0]
    assert "it is the sample of another network" in verification.sample_differs[1]
    assert verification.largest_difference is None and not verification.reproduces
    write_sample(copied, make_sample(drawn(in_channels=2)))
    assert "channels" in verify_repository(copied).sample_differs[-1]


# --- what is missing or damaged ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sample.safetensors", "so whether this machine reproduces it could not be checked."),
        ("metrics.json", "so which figures the network reached could not be checked."),
        ("README.md", "so whether its card shows the figures could not be checked."),
    ],
)
def test_what_is_missing_could_not_be_checked(copied: Path, name: str, words: str) -> None:
    (copied / name).unlink()
    verification = verify_repository(copied)
    assert verification.unchecked == (f"The model net holds no {name}, {words}",)
    assert not verification.holds
    assert verification.faults == verification.unchecked
    assert verification.reproduces == (name != "sample.safetensors")


def test_a_network_alone_is_told_what_is_missing(tmp_path: Path) -> None:
    drawn().save_pretrained(tmp_path)
    verification = verify_repository(tmp_path)
    assert len(verification.unchecked) == 2 and verification.right == ()
    assert verification.largest_difference is None and verification.changed_pixels is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("sample.safetensors", b"no tensors", "sample.safetensors of net is truncated or damaged"),
        ("metrics.json", b"{", "metrics.json of net is damaged: it is no JSON object"),
        ("metrics.json", b"[" * 100_000, "metrics.json of net is damaged: it is no JSON object"),
        ("metrics.json", b"[]", "metrics.json of net is damaged: it is no JSON object"),
        ("metrics.json", b"\xff", "metrics.json of net cannot be read as text"),
        ("metrics.json", b"{}", "cannot be compared with its figures. metrics.json lacks"),
        (
            "metrics.json",
            b'{"data": 3, "training": 3, "validation": 3}',
            "compared with its figures",
        ),
        ("README.md", b"\xff", "README.md of net cannot be read as text"),
        ("README.md", b"---\na: [\n---\n", "header of the card is damaged"),
        ("README.md", b"---\na: " + b"[" * 5000 + b"\n---\n", "header of the card is damaged"),
        ("README.md", b"Just words.", "holds none of the parts"),
        ("README.md", b" " * 1_000_001, "README.md of net has more than 1,000,000 bytes"),
    ],
)
def test_what_is_damaged_is_said_and_no_fault_of_the_rest(
    copied: Path, name: str, content: bytes, words: str
) -> None:
    (copied / name).write_bytes(content)
    verification = verify_repository(copied)
    assert not verification.holds
    (sentence,) = (one for one in verification.faults if words in one)
    assert sentence.endswith(".")
    assert verification.reproduces == (name != "sample.safetensors")


def test_a_network_that_cannot_be_loaded_is_an_error(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        verify_repository(copied)


# --- a loaded network verifies itself ------------------------------------------------------------


def test_a_loaded_network_verifies_itself(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.parent)
    model = UNet.from_pretrained("net")
    monkeypatch.chdir(ROOT)
    assert model.verify().holds
    assert copy.deepcopy(model).verify().holds
    assert pickle.loads(pickle.dumps(model)).verify().holds


def test_a_network_of_no_repository_has_nothing_to_verify(copied: Path) -> None:
    with pytest.raises(ModelError, match="was not loaded from a model repository"):
        UNet(base_channels=1).verify()
    model = UNet.from_pretrained(copied)
    with torch.no_grad():
        next(model.parameters()).add_(0.1)
    with pytest.raises(ModelError, match="or its weights were changed since"):
        model.verify()


def test_arguments_changed_at_loading_are_named(copied: Path) -> None:
    model = UNet.from_pretrained(copied, min_area=7)
    assert model.verify().sample_differs == (
        "The sample was made with min_area = 0, and the network has 7.",
    )


def test_verifying_leaves_a_network_as_it_is(copied: Path) -> None:
    model = UNet.from_pretrained(copied).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert model.verify().holds and model.training and model.origin is not None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_coarser_arithmetic_may_lie_further_off(copied: Path) -> None:
    model = UNet.from_pretrained(copied).to(torch.bfloat16)
    verification = model.verify()
    assert verification.tolerance == 0.1 and verification.reproduces
    assert verification.largest_difference is not None
    assert verification.largest_difference > ROUNDED[torch.float32]
    assert ROUNDED[torch.float32] < ROUNDED_ON_GPU < ROUNDED[torch.bfloat16]


# --- on the Hub ----------------------------------------------------------------------------------


def test_a_repository_on_the_hub_by_name_and_revision(hub: HubServer, copied: Path) -> None:
    repository = hub.add("org/net")
    repository.put(stored(copied))
    repository.name_tag("v1", "main")
    figure = re.findall(r"0\.\d{4}", parts_of((copied / "README.md").read_text())["figures"])[0]
    edit_card(copied, f"| {figure}", "| 0.0001")
    repository.put({"README.md": (copied / "README.md").read_bytes()})
    assert verify_repository("org/net", "v1").holds
    verification = verify_repository("org/net")
    assert verification.name == "org/net"
    assert verification.card_differs == (
        f"The figures part of the card says 0.0001 where metrics.json has {figure}.",
    )


def test_it_is_verified_at_the_commit_that_was_loaded(hub: HubServer, copied: Path) -> None:
    repository = hub.add("org/net")
    repository.put(stored(copied))
    model = UNet.from_pretrained("org/net")
    repository.put({"metrics.json": b"{}", "sample.safetensors": b"another"})
    assert model.verify().holds


def test_offline_what_is_stored_here_is_verified(hub: HubServer, copied: Path) -> None:
    hub.add("org/net").put(stored(copied))
    UNet.from_pretrained("org/net")
    only = UNet.from_pretrained("org/net", local_files_only=True).verify()
    assert only.right == () and len(only.unchecked) == 3
    assert "sample.safetensors of org/net" in only.unchecked[0]
    assert "is not stored on this machine" in only.unchecked[0]
    assert only.unchecked[0].endswith("this machine reproduces it could not be checked.")
    assert verify_repository("org/net").holds
    hub.remove("org/net")
    assert verify_repository("org/net", local_files_only=True).holds


def test_a_private_repository_is_verified_with_its_token(hub: HubServer, copied: Path) -> None:
    hub.add("tester/net", private=True).put(stored(copied))
    token = hub.token()
    model = UNet.from_pretrained("tester/net", token=token)
    assert token not in str(pickle.dumps(model))
    assert copy.deepcopy(model).repository == pickle.loads(pickle.dumps(model)).repository
    assert model.verify().holds
    with pytest.raises(ModelError, match="no repository tester/net on the Hub that you may read"):
        verify_repository("tester/net", cache_dir=copied.parent / "cache")


def test_a_repository_on_the_hub_without_a_sample(hub: HubServer, copied: Path) -> None:
    (copied / "sample.safetensors").unlink()
    hub.add("org/net").put(stored(copied))
    assert verify_repository("org/net").unchecked == (
        "The model org/net holds no sample.safetensors, so whether this machine reproduces it "
        "could not be checked.",
    )
