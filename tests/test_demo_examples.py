"""The demo's examples: whole, small, with their terms, and of use to the networks they are for."""

import runpy
import shutil
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from hub_server import HubServer, asks
from PIL import Image

from hf_unet.demo import actions, opening
from hf_unet.demo.models import examples, loading
from hf_unet.demo.models.examples import listed_on_hub, read_examples
from hf_unet.demo.models.repositories import HubListings
from hf_unet.errors import ModelError
from hf_unet.images import read_image
from hf_unet.labels import read_labels
from hf_unet.metrics import average_precision, dice_per_class

ALL = loading.bundled_examples()
each = pytest.mark.parametrize("example", ALL, ids=lambda example: example.image.stem)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_listings", HubListings())
    monkeypatch.delenv("SPACE_ID", raising=False)


@pytest.mark.bundled
def test_every_bundled_model_has_an_example_and_every_file_is_one() -> None:
    assert {example.model for example in ALL} == set(loading.bundled_models())
    assert len({example.label for example in ALL}) == len(ALL)
    used = {path for example in ALL for path in (example.image, example.truth) if path}
    assert used == {path for path in loading.EXAMPLES.iterdir() if path.suffix != ".toml"}
    assert sum(path.stat().st_size for path in used) < 1_500_000


@each
def test_only_what_may_be_passed_on_is(example: examples.Example) -> None:
    """Real images of nuclei are in the public domain; of the others only drawings are shown."""
    assert example.source
    if example.synthetic:
        assert "synthetic" in example.label and example.image.name.startswith("synthetic_")
        assert example.licence == "Apache-2.0" and "Drawn by this project" in example.source
    else:
        assert example.model == "nuclei" and example.licence == "CC0-1.0"


# The least Dice of each class, and the least average precision of instances at IoU 0.5.
EXPECTED = {
    "nuclei": ([0.95, 0.85], 0.7),
    "em-membranes": ([0.85, 0.95], None),
    "vnc-organelles": ([0.8, 0.9, 1.0], None),
    "phc-u373": ([0.98, 0.9], 0.99),
    "dic-hela": ([0.95, 0.85], 0.8),
}


@pytest.mark.slow
@each
def test_a_network_finds_what_is_there(example: examples.Example) -> None:
    network = loading.load_model(example.model)
    size = read_image(example.image).shape[1:]
    assert example.truth is not None
    kind = "multilabel" if network.multilabel else None
    labels = read_labels(example.truth, network.mask_classes, kind=kind, size=size)
    result = network.segment(example.image)
    truth = labels.stack() if network.multilabel else labels.class_map()
    least_dice, least_precision = EXPECTED[example.model]
    assert (dice_per_class(truth, result.mask) >= least_dice).all()
    if least_precision is not None:
        precision = average_precision(labels.instances(), result.instances, (0.5,))[0]
        assert precision >= least_precision


@pytest.mark.slow
def test_drawings_can_be_made_again(tmp_path: Path) -> None:
    script = runpy.run_path(str(loading.ROOT / "spaces" / "draw_examples.py"))
    for path in script["write_examples"](tmp_path):
        kept = read_image(loading.EXAMPLES / path.name)
        again = read_image(path)
        # Other versions of NumPy and SciPy may round another way.
        assert np.mean(np.asarray(kept) != np.asarray(again)) < 0.01, path.name


def test_an_entry_that_is_incomplete_is_told(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    listed = tmp_path / "examples.toml"
    listed.write_text('[[example]]\nlabel = "A"\nimage = "a.png"\nmodel = "m"\nlicence = "CC0-1.0"')
    with pytest.raises(ValueError, match="lacks 'source'"):
        read_examples(tmp_path)
    listed.write_text(listed.read_text() + '\nsource = "S"\ntruth = "b.png"')
    with pytest.raises(ValueError, match=r"names b\.png, which does not lie beside it"):
        read_examples(tmp_path)
    Image.new("L", (4, 4)).save(tmp_path / "b.png")
    (example,) = read_examples(tmp_path)
    assert (example.label, example.synthetic) == ("A", False)
    assert (example.image, example.truth) == (tmp_path / "a.png", tmp_path / "b.png")


# --- those of a repository on the Hub --------------------------------------------------------


def test_images_and_truths_are_matched_and_bounded() -> None:
    sizes = {
        "examples/cells.tif": 100,
        "examples/cells_truth.png": 100,
        "examples/more cells.png": examples.LARGEST_EXAMPLE,
        "examples/huge.png": examples.LARGEST_EXAMPLE + 1,
        "examples/notes.md": 10,
        "examples/deep/one.png": 10,
        "examples/../config.png": 10,
        "examples/.hidden.png": 10,
        "logo.png": 10,
        "examples/lonely_mask.png": 10,  # no image of that name: one itself
    }
    assert listed_on_hub(sizes) == (
        ("examples/cells.tif", "examples/cells_truth.png"),
        ("examples/lonely_mask.png", None),
        ("examples/more cells.png", None),
    )
    many = {f"examples/{number}.png": 1 for number in range(9)}
    assert len(listed_on_hub(many)) == examples.MOST_EXAMPLES
    assert listed_on_hub({}) == ()


@pytest.mark.bundled
def test_an_examples_truth_does_not_stay_for_a_model_without_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offered = actions.bundled_examples_of("nuclei")
    assert offered[0].truth is not None
    monkeypatch.setattr(actions, "examples_for", lambda model: ())
    shown = str(offered[0].image)
    given = actions.choose_model("phc-u373", shown, offered)[:7]
    _, image, slider, _, truth, remove, judged = given
    assert (image, truth, judged) == (shown, None, None)
    assert not slider.visible and not remove.visible
    given = actions.choose_model("phc-u373", "own.tif", offered)[:7]
    assert all(change == gr.skip() for change in given), "what was brought stays with its truth"


@pytest.mark.bundled
def test_a_repositorys_own_examples_are_fetched(hub: HubServer, tmp_path: Path) -> None:
    hub.add("lab/cells").put({"examples/a_b.png": b"image", "examples/a_b_mask.png": b"mask"})
    (example,) = loading.examples_of("lab/cells@main", tmp_path / "place")
    assert example.label == "a b" and example.model == "lab/cells@main"
    assert example.image.read_bytes() == b"image" and example.image.is_relative_to(tmp_path)
    assert example.truth is not None and example.truth.read_bytes() == b"mask"
    hub.add("lab/bare").put({"config.json": b"{}"})
    assert loading.examples_of("lab/bare", tmp_path / "place") == ()
    assert [one.model for one in loading.examples_of("nuclei", tmp_path)] == ["nuclei", "nuclei"]
    with pytest.raises(ModelError, match="There is no public model lab/none"):
        loading.examples_of("lab/none", tmp_path)


def test_examples_that_cannot_be_fetched_have_a_sentence(hub: HubServer, tmp_path: Path) -> None:
    hub.add("lab/cells").put({"examples/a.png": b"image"})
    hub.answer_next(403, asks("", "/resolve/"), times=2)
    with pytest.raises(ModelError, match=r"examples of lab/cells could not be fetched"):
        loading.examples_of("lab/cells", tmp_path)


@pytest.mark.bundled
def test_a_space_without_nuclei_opens_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loading.first_model() == "nuclei"
    shutil.copytree(loading.MODELS / "phc-u373", tmp_path / "phc-u373")
    monkeypatch.setattr(loading, "MODELS", tmp_path)
    assert loading.first_model() == "phc-u373"
    example, result, _ = opening.prepare()
    assert example.model == "phc-u373"
    assert result.classes == loading.load_model("phc-u373").mask_classes
