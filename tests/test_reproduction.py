"""``hf-unet segment --from result.json``: the same result again, or a sentence that says why."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hub_server import HubServer
from small_networks import drawn, picture

from hf_unet import exports
from hf_unet.cli import main
from hf_unet.errors import ImageError, ResultError
from hf_unet.model import UNet, load_network
from hf_unet.provenance import read_record
from hf_unet.reproduction import reproduce

KINDS: dict[str, dict[str, Any]] = {
    "softmax": {"classes": ("background", "cell", "nucleus")},
    "multi-label": {"classes": ("lung", "heart"), "multilabel": True},
    "border": {
        "classes": ("background", "cell", "border"),
        "border": True,
        "seed_threshold": 0.4,
        "thresholds": (0.6,),
    },
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an image of two pages."""
    pages = np.stack([picture(50, 41, seed=seed) for seed in range(2)])
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_model(folder: Path, seed: int = 2, **arguments: Any) -> Path:
    drawn(seed, **arguments).save_pretrained(folder)
    return folder


def segment(model: Path, **options: Any) -> Path:
    """Segment page 1 with options that all matter; returns the result's folder."""
    network = load_network(model, min_area=2)
    arguments = {"page": 1, "tile": (28, 36), "test_time_averaging": True}
    return network.segment("stack.tif", **arguments | options).save("before/stack")


def run(*arguments: object) -> int:
    return main(["segment", *map(str, arguments), "--output", "after"])


def change(path: Path, **settings: Any) -> None:
    content = json.loads(path.read_text())
    content["settings"] |= settings
    path.write_text(json.dumps(content))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- the same again --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_is_made_again_to_the_last_byte(
    place: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = segment(make_model(place / "models" / "net", **KINDS[kind]))
    content = json.loads((folder / "result.json").read_text())
    assert content["instances"] > 3 and all(content["area_in_pixels"].values())
    assert run("--from", folder / "result.json") == 0  # image and model are where they were
    shown = capsys.readouterr()
    assert shown.err == "" and shown.out.count("\n") == 1
    assert shown.out.startswith("stack.tif  41 x 50 pixels")
    assert shown.out.endswith("  identical\n")
    assert files_of(place / "after" / "stack") == files_of(folder)


def test_it_is_made_by_the_recorded_settings_not_by_those_of_the_config(place: Path) -> None:
    model = make_model(place / "net", classes=("cell",))
    network = load_network(model, thresholds=(0.45,))
    folder = network.segment("stack.tif", tile=28).save("before/stack")
    UNet.from_pretrained(model, thresholds=(0.55,), test_time_averaging=True).save_pretrained(model)
    other = load_network(model).segment("stack.tif").mask
    assert not np.array_equal(other, exports.read_mask_png(folder / "mask.png"))
    assert run("--from", folder) == 0
    assert files_of(place / "after" / "stack") == files_of(folder)


def test_a_model_of_the_hub_is_taken_at_its_commit(hub: HubServer, place: Path) -> None:
    folder = make_model(place / "net")
    repository = hub.add("lab/cells")
    commit = repository.put(files_of(folder)).oid
    result = load_network("lab/cells").segment("stack.tif", page=1).save("before/stack")
    assert read_record(result).model.revision == commit
    repository.put(files_of(make_model(folder, seed=1)))  # main goes on
    assert run("--from", result) == 0
    assert files_of(place / "after" / "stack") == files_of(result)


def test_model_and_image_may_have_moved(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = segment(make_model(place / "net"))
    (place / "net").rename(place / "renamed")
    (place / "stack.tif").rename(folder / "stack.tif")
    assert run("--from", folder, "--model", "renamed") == 0  # the image lies beside result.json
    (folder / "stack.tif").rename(place / "cells.tif")
    assert run("--from", folder, "cells.tif", "--model", place / "renamed") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["identical"] * 2
    before, after = (
        json.loads(path.read_text())
        for path in (folder / "result.json", place / "after" / "cells" / "result.json")
    )
    assert after["mask_sha256"] == before["mask_sha256"]
    assert after["model"]["name"] == "renamed"


def test_in_code_an_array_or_a_read_image_will_do(place: Path) -> None:
    folder = segment(make_model(place / "net"))
    record, pixels = read_record(folder), tifffile.imread("stack.tif")[1]
    told: list[tuple[int, int]] = []
    again = reproduce(record, "stack.tif", progress=lambda n, of: told.append((n, of)))
    assert again.identical and told[-1][0] == told[-1][1] > 1
    assert reproduce(record, again.result.image).identical
    with pytest.raises(ImageError, match="1 page"):
        reproduce(record, pixels)  # an array has no page 1
    first = load_network("net").segment(pixels).save("array")
    assert reproduce(read_record(first), pixels, model=place / "net").identical


# --- what is not the same --------------------------------------------------------------------


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one plain sentence or two with which the command refuses; nothing is written."""
    assert run(*arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert not Path("after").exists()
    assert str(Path.cwd()) not in shown.err
    return shown.err


def test_changed_pixels_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = segment(make_model(place / "net"))
    pages = tifffile.imread("stack.tif")
    pages[0, 0, 0] += 1
    tifffile.imwrite("stack.tif", pages, photometric="minisblack")
    assert reproduce(read_record(folder), "stack.tif").identical  # another page
    pages[1, 3, 4] += 1
    tifffile.imwrite("stack.tif", pages, photometric="minisblack")
    said = refusal(capsys, "--from", folder)
    assert said.startswith("The pixels of stack.tif are not those that the result was made from")
    tifffile.imwrite("other.tif", pages[1])
    assert "has 1 page" in refusal(capsys, "--from", folder, "other.tif")


def test_changed_weights_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = segment(make_model(place / "net"))
    make_model(place / "net", seed=5)
    said = refusal(capsys, "--from", folder)
    assert said.startswith("The weights of net are not those that the result was made with")
    deeper = make_model(place / "deeper", depth=2)
    assert "The weights of deeper" in refusal(capsys, "--from", folder, "--model", deeper)


def test_a_mask_that_differs_is_told_and_still_saved(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = segment(make_model(place / "net"))
    content = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(content | {"mask_sha256": "0" * 64}))
    assert run("--from", folder) == 1
    shown = capsys.readouterr()
    assert "identical" not in shown.out and "stack.tif  41 x 50" in shown.out
    assert shown.err.startswith("The mask of stack.tif is not identical to the recorded one")
    assert (place / "after" / "stack" / "mask.png").exists()


def drop_image(folder: Path) -> None:
    Path("stack.tif").unlink()


def forget_image(folder: Path) -> None:
    content = json.loads((folder / "result.json").read_text())
    content["image"]["name"] = None
    (folder / "result.json").write_text(json.dumps(content))


def cut_short(folder: Path) -> None:
    path = folder / "result.json"
    path.write_bytes(path.read_bytes()[:-30])


def newer(folder: Path) -> None:
    content = json.loads((folder / "result.json").read_text())
    newest = {"format": 99, "hf_unet_version": "9.0"}
    (folder / "result.json").write_text(json.dumps(content | newest))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (drop_image, "made from stack.tif, which is neither here nor beside it"),
        (forget_image, "result.json does not name its image"),
        (cut_short, "result.json is damaged"),
        (newer, "written by the newer version 9.0 of hf-unet"),
        (lambda folder: shutil.rmtree("net"), "a folder named net, which is neither here nor in"),
        (lambda folder: (folder / "result.json").unlink(), "There is no result.json"),
        (
            lambda folder: change(folder / "result.json", vote=3),
            "the setting 'vote', which this version of hf-unet does not know",
        ),
        (
            lambda folder: change(folder / "result.json", thresholds=[7]),
            "cannot be built from the arguments given: thresholds are 1 probabilities",
        ),
        (
            lambda folder: change(folder / "result.json", test_time_averaging="yes"),
            "test_time_averaging is true or false",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_be_made_again_is_said(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    sentence: str,
) -> None:
    folder = segment(make_model(place / "net"))
    spoil(folder)
    assert sentence in refusal(capsys, "--from", folder)


def test_the_hub_is_never_asked_for_the_name_of_a_folder(hub: HubServer, place: Path) -> None:
    folder = segment(make_model(place / "net"))
    shutil.rmtree("net")
    with pytest.raises(ResultError, match="Say where it lies"):
        reproduce(read_record(folder), "stack.tif")
    assert hub.requests == []


def test_the_result_itself_is_not_overwritten(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = segment(make_model(place / "net"))
    before = files_of(folder)
    assert main(["segment", "--from", str(folder), "--output", "before"]) == 1
    assert "would overwrite the one it is made from" in capsys.readouterr().err
    assert files_of(folder) == before


@pytest.mark.parametrize(
    "options",
    [
        ["--page", "0"],
        ["--tile", "60"],
        ["--average"],
        ["--no-average"],
        ["--set", "min_area=3"],
        ["--revision", "main"],
        ["a.tif", "b.tif"],
    ],
    ids=" ".join,
)
def test_what_result_json_says_cannot_be_said_otherwise(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--from", "result.json", *options)
    assert caught.value.code == 2
    assert "--from" in capsys.readouterr().err
