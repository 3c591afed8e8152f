"""The command line: what it prints, what it writes, and how it refuses."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from discs import draw_discs, make_data
from hub_server import HubServer
from PIL import Image
from small_networks import bright

from hf_unet import UNet, __version__
from hf_unet.cli import main
from hf_unet.training.checks import check_data
from hf_unet.training.settings import DataSettings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bright"
    bright().save_pretrained(folder)
    return folder


def write_image(path: Path, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image, instances = draw_discs(np.random.default_rng(seed))
    image[instances > 0], image[instances == 0] = 200, 20
    Image.fromarray(image).save(path)
    return instances


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


# --- the command itself ------------------------------------------------------------------------


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--version"], f"hf-unet {__version__}"),
        (["--help"], "check-masks"),
        (["segment", "--help"], "--batch-size"),
        (["segment", "--help"], "--from RESULT"),
        (["segment", "--help"], "--onnx NAME"),
        (["export", "--help"], "--output FILE"),
        (["check-masks", "--help"], "--classes"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
        assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["segment"],
        ["segment", "a.png", "--output", "o"],
        ["segment", "a.png", "--model", "m"],
        ["segment", "a.png", "--model", "m", "--output", "o", "--tile", "0"],
        ["segment", "a.png", "--model", "m", "--output", "o", "--tile", "-3"],
        ["segment", "a.png", "--model", "m", "--output", "o", "--batch-size", "many"],
        ["segment", "a.png", "--model", "m", "--output", "o", "--device", "tpu"],
        ["segment", "a.png", "--model", "m", "--output", "o", "--tile", "60x"],
        ["segment", "a.png", "--model", "m", "--output", "o", "--set", "min_area"],
        ["segment", "a.png", "--model", "m", "--output", "o", "--set", "a b=1"],
        ["segment", "--model", "m", "--output", "o"],
        ["check-masks", "d", "--kind", "pixels"],
        ["check-masks", "d", "--classes", "a,a"],
        ["check-masks", "d", "--classes", "a,,b"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: hf-unet" in capsys.readouterr().err


def test_the_command_is_installed_under_its_name() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'hf-unet = "hf_unet.cli:main"' in project


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, hf_unet.cli; assert 'torch' not in sys.modules"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


# --- segment -----------------------------------------------------------------------------------


def test_each_image_gets_a_folder_and_a_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write_image(tmp_path / "in" / "a.png")
    other = write_image(tmp_path / "in" / "b.tif", seed=1)
    output = tmp_path / "out"
    images = (tmp_path / "in" / "a.png", tmp_path / "in" / "b.tif")
    assert run("segment", *images, "--model", model, "--output", output, "--device", "cpu") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert re.fullmatch(r"a\.png  48 x 48 pixels  (\d+) instances  \d+\.\d s", lines[0])
    assert lines[1].startswith("b.tif  48 x 48 pixels") and len(lines) == 2
    for name, instances in (("a", truth), ("b", other)):
        mask = np.array(Image.open(output / name / "mask.png"))
        assert np.array_equal(mask, instances > 0)
        result = json.loads((output / name / "result.json").read_text())
        assert f" {result['instances']} instances" in lines[name == "b"]


def test_a_folder_stands_for_its_images(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.png", "a.tif"):
        write_image(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "._a.tif").write_bytes(b"what a Mac leaves")
    arguments = ("segment", tmp_path / "in", tmp_path / "in" / "b.png", "--model", model)
    assert run(*arguments, "--output", tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "b"}
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["a.tif", "b.png"]


def test_tile_batch_size_and_page_are_handed_on(model: Path, tmp_path: Path) -> None:
    pages = np.zeros((2, 40, 50), np.uint8)
    pages[1, 10:20, 10:30] = 255
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    output = tmp_path / "out"
    arguments = ("segment", tmp_path / "stack.tif", "--model", model, "--output", output)
    assert run(*arguments, "--tile", 36, "--batch-size", 2, "--page", 1) == 0
    result = json.loads((output / "stack" / "result.json").read_text())
    assert result["tile"]["side"] == [36, 36] and result["tile"]["count"] == 6
    assert result["area_in_pixels"]["foreground"] == 200


def test_a_page_that_nobody_chose_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = np.zeros((3, 40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    arguments = ("segment", tmp_path / "stack.tif", "--model", model, "--output", tmp_path / "out")
    assert run(*arguments) == 0
    assert "(page 0 of 0 to 2: --page takes another)" in capsys.readouterr().out
    assert run(*arguments, "--page", 0) == 0
    assert "page" not in capsys.readouterr().out


def test_both_sides_of_a_tile_and_changes_of_the_model_are_handed_on(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png")
    arguments = ("segment", tmp_path / "a.png", "--model", model, "--output", tmp_path / "out")
    changes = ("--set", "min_area=40", "--set", "thresholds=[0.9]", "--set", "seed_threshold=null")
    assert run(*arguments, "--tile", "28x44", *changes) == 0
    result = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    assert result["tile"]["side"] == [28, 44]
    settings = result["settings"]
    assert (settings["min_area"], settings["thresholds"]) == (40, [0.9])
    assert settings["seed_threshold"] is None
    assert run(*arguments, "--set", "padding=same") == 0  # a text needs no quotation marks
    capsys.readouterr()
    assert run(*arguments, "--set", "opacity=1") == 1
    assert capsys.readouterr().err == "UNet has no argument 'opacity'.\n"


def test_probabilities_can_be_left_out(model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    arguments = ("segment", tmp_path / "a.png", "--model", model, "--output", tmp_path / "out")
    assert run(*arguments, "--no-probabilities") == 0
    names = {path.name for path in (tmp_path / "out" / "a").iterdir()}
    assert "mask.png" in names and "probabilities.tif" not in names
    assert run(*arguments) == 0
    assert (tmp_path / "out" / "a" / "probabilities.tif").exists()


def test_a_model_of_the_hub_is_taken_at_the_revision(
    hub: HubServer, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png")
    repository = hub.add("lab/bright")
    first = repository.put({path.name: path.read_bytes() for path in model.iterdir()}).oid
    repository.put({"config.json": b"{}"})
    arguments = ("segment", tmp_path / "a.png", "--model", "lab/bright", "--output", tmp_path / "o")
    assert run(*arguments, "--revision", first) == 0
    result = json.loads((tmp_path / "o" / "a" / "result.json").read_text())
    assert (result["model"]["name"], result["model"]["revision"]) == ("lab/bright", first)
    assert run(*arguments) == 1
    assert run(*arguments, "--revision", "v7") == 1
    assert "has no revision 'v7'" in capsys.readouterr().err


def test_a_terminal_sees_how_far_it_is(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    arguments = ("segment", tmp_path / "in", "--model", model, "--output", tmp_path / "out")
    assert run(*arguments, "--tile", 40) == 0
    shown = capsys.readouterr()
    states = [state.strip() for state in shown.err.split("\r")]
    assert "1 of 2: a.png, tile 1 of 4" in states and "2 of 2: b.png, tile 4 of 4" in states
    assert states[-1] == ""  # the line is left empty
    assert [line.split()[0] for line in shown.out.splitlines()] == ["a.png", "b.png"]


def test_average_is_handed_on_and_otherwise_left_to_the_model(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png")
    calls = []
    predict = UNet.predict

    def counted(self: UNet, batch: np.ndarray) -> np.ndarray:
        calls.append(batch.shape)
        return predict(self, batch)

    monkeypatch.setattr(UNet, "predict", counted)
    averaging = tmp_path / "averaging"
    UNet.from_pretrained(model, test_time_averaging=True).save_pretrained(averaging)
    for folder, options, expected in (
        (model, [], 1),
        (model, ["--average"], 8),
        (averaging, [], 8),
        (averaging, ["--average"], 8),
        (averaging, ["--no-average"], 1),
    ):
        calls.clear()
        arguments = ("segment", tmp_path / "a.png", "--model", folder, *options)
        assert run(*arguments, "--output", tmp_path / "out") == 0
        assert len(calls) == expected


def test_images_of_one_stem_are_refused_before_anything_is_done(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [tmp_path / "in" / name for name in ("first.png", "cell.png", "Cell.tif")]
    for path in images:
        write_image(path)
    assert run("segment", *images, "--model", model, "--output", tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert "cell.png" in shown.err and "Cell.tif" in shown.err and shown.err.count("\n") == 1
    assert shown.out == "" and not (tmp_path / "out").exists()


def test_a_bad_image_is_named_and_the_others_go_on(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good, absent = (tmp_path / name for name in ("bad.png", "good.png", "absent.png"))
    bad.write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    write_image(good)
    output = tmp_path / "out"
    assert run("segment", bad, absent, good, "--model", model, "--output", output) == 1
    shown = capsys.readouterr()
    first, second, last = shown.err.splitlines()
    assert first.startswith("bad.png ") and second.startswith("absent.png ")
    assert last == "2 of 3 images could not be segmented."
    assert str(tmp_path) not in shown.err
    assert shown.out.startswith("good.png") and (output / "good" / "mask.png").exists()
    assert not (output / "bad").exists()


@pytest.mark.parametrize("case", ["no folder", "no model", "empty folder", "output is a file"])
def test_what_cannot_be_done_is_said_in_a_sentence(
    case: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    name = {"no folder": "./missing", "no model": tmp_path / "empty"}.get(case, model)
    image = tmp_path / ("empty" if case == "empty folder" else "a.png")
    output = tmp_path / ("file" if case == "output is a file" else "out")
    assert run("segment", image, "--model", name, "--output", output) == 1
    shown = capsys.readouterr()
    words = {
        "no folder": "There is no folder 'missing'",
        "no model": "empty holds no config.json",
        "empty folder": "The folder empty holds no images",
        "output is a file": "cannot be written",
    }
    assert words[case] in shown.err and shown.err.count("\n") == 1
    assert str(tmp_path) not in shown.err and shown.out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png")
    arguments = ("segment", tmp_path / "a.png", "--model", model, "--output", tmp_path / "out")
    assert run(*arguments, "--device", "cuda") == 1
    assert capsys.readouterr().err == "There is no cuda device here: use --device auto.\n"


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA")])
def test_too_little_memory_advises_a_smaller_tile(
    error: BaseException,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    write_image(tmp_path / "a.png")
    monkeypatch.setattr(UNet, "predict", fail)
    arguments = ("segment", tmp_path / "a.png", "--model", model, "--output", tmp_path / "out")
    assert run(*arguments) == 1
    assert capsys.readouterr().err.startswith("a.png does not fit into memory. Choose a smaller")


def test_an_interrupted_command_is_status_130(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    write_image(tmp_path / "a.png")
    monkeypatch.setattr(UNet, "segment", interrupt)
    arguments = ("segment", tmp_path / "a.png", "--model", model, "--output", tmp_path / "out")
    assert run(*arguments) == 130


# --- check-masks -------------------------------------------------------------------------------


def sentences(folder: Path, *options: object) -> tuple[int, str]:
    """Exit status, and findings of the library as one text."""
    settings = DataSettings(images="image", labels="label")
    check = check_data(folder, settings, ("background", "foreground"))
    return run("check-masks", folder, *options), "\n".join(f.sentence for f in check.findings)


def test_a_good_folder_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_data(tmp_path / "data", count=7)
    assert run("check-masks", data, "--kind", "instances", "--classes", "ground,disc") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[0] == "7 images, 7 labels, 7 pairs that can be read (layout: folders)"
    assert any("instances" in line and line.strip().startswith("7 x") for line in lines)
    share = np.mean([tifffile.imread(path) > 0 for path in (data / "label").iterdir()])
    assert f"  pixels: ground {1 - share:.2%}, disc {share:.2%}" in lines
    assert lines[-1] == "Nothing to mend"


def test_every_kind_of_damage_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_data(tmp_path / "data", count=9)
    image, label = data / "image", data / "label"
    (label / "00.tif").unlink()
    (image / "01.tif").unlink()
    tifffile.imwrite(label / "02.tif", tifffile.imread(label / "02.tif")[:30])
    mask = np.where(tifffile.imread(label / "03.tif") > 0, 255, 0).astype(np.uint8)
    (label / "03.tif").unlink()
    Image.fromarray(mask).save(label / "03.jpg", quality=60)
    values = np.array([[0, 1], [7, 255]], np.uint8).repeat(24, 0).repeat(24, 1)
    values[::2, ::3] = np.arange(16) * 9
    tifffile.imwrite(label / "04.tif", values)
    tifffile.imwrite(label / "05.tif", np.zeros((48, 48), np.uint16))
    Image.fromarray(tifffile.imread(image / "06.tif")).save(image / "twin.png")
    Image.fromarray(mask).save(label / "twin.png")
    (image / "07.tif").write_bytes(b"II*\0cut")
    (image / "08.png").write_bytes((image / "08.tif").read_bytes())
    status, text = sentences(data)
    assert status == 1
    for words in (
        r"The image 00\.tif has no label of its name in label",
        r"The label 01\.tif has no image of its name in image",
        r"02\.tif is 48 x 30 pixels .* but its image is 48 x 48",
        r"03\.jpg holds .* (JPEG|anti-aliased)",
        r"04\.tif holds ",
        r"The label 05\.tif holds nothing but background",
        r"06\.tif and twin\.png hold the same picture",
        r"^07\.tif ",
        r"08\.png and 08\.tif in image differ only in their ending",
    ):
        assert re.search(words, text, re.MULTILINE), words
    shown = capsys.readouterr().out
    assert "note: The label 05.tif" in shown and "wrong: The image 00.tif" in shown
    assert str(tmp_path) not in shown
    wrong = shown.count("wrong: ")
    assert wrong >= 8 and shown.endswith(f"{wrong} things to mend\n")


def test_an_empty_mask_alone_is_only_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=3)
    tifffile.imwrite(data / "label" / "01.tif", np.zeros((48, 48), np.uint16))
    assert run("check-masks", data, "--kind", "instances") == 0
    assert "note: The label 01.tif holds nothing but background." in capsys.readouterr().out


def test_a_jpeg_of_small_values_is_refused_though_none_is_foreign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=3)
    for path in (data / "label").iterdir():
        mask = (tifffile.imread(path) > 0).astype(np.uint8)
        Image.fromarray(mask).save(path.with_suffix(".jpg"), quality=60)
        path.unlink()
    assert run("check-masks", data, "--kind", "classes") == 1
    assert "wrong: The label 00.jpg (and 2 more) is a JPEG" in capsys.readouterr().out
    run("check-masks", data, "--kind", "classes", "--threshold", 127)
    assert "note: The label 00.jpg (and 2 more) is a JPEG" in capsys.readouterr().out


def test_a_smoothed_mask_is_met_with_the_options_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=3)
    for path in (data / "label").iterdir():
        mask = (tifffile.imread(path) > 0).astype(np.uint8)
        small = Image.fromarray(mask * 255)
        tifffile.imwrite(path, np.asarray(small.resize((31, 31)).resize(small.size)))
    assert run("check-masks", data) == 1
    said = capsys.readouterr().out
    assert "data.threshold = 127 in the recipe, or --threshold 127 for hf-unet check-masks" in said
    assert "threshold=127" not in said
    assert run("check-masks", data, "--threshold", 127) == 0


def test_a_lone_class_has_a_background_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=3)
    assert run("check-masks", data, "--classes", "disc", "--kind", "instances") == 0
    assert "pixels: background " in capsys.readouterr().out


def test_a_class_that_is_nowhere_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=3)
    for path in (data / "label").iterdir():
        tifffile.imwrite(path, (tifffile.imread(path) > 0).astype(np.uint8) * 2)
    arguments = ("check-masks", data, "--classes", "ground,rod,cone", "--kind", "classes")
    assert run(*arguments) == 1
    shown = capsys.readouterr().out
    assert "wrong: No label holds the class rod" in shown and "class cone" not in shown
    assert shown.endswith("1 thing to mend\n")


def test_masks_of_classes_that_overlap_are_counted_by_plane(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=2)
    for number, path in enumerate(sorted((data / "label").iterdir())):
        planes = np.zeros((2, 48, 48), np.uint8)
        planes[:, : 24 * number] = 255
        tifffile.imwrite(path, planes, photometric="minisblack")
    assert run("check-masks", data, "--classes", "bone,marrow", "--kind", "multilabel") == 0
    shown = capsys.readouterr().out
    assert "pixels: bone 25.00%, marrow 25.00%" in shown
    assert "note: The label 00.tif holds nothing" in shown


def test_pages_without_a_label_of_their_own_are_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=3)
    pages = np.stack([tifffile.imread(data / "image" / "00.tif") + n for n in range(4)])
    tifffile.imwrite(data / "image" / "00.tif", pages, photometric="minisblack")
    assert run("check-masks", data) == 1
    assert "wrong: 00.tif has 4 pages and 00.tif 1: each page" in capsys.readouterr().out
    ids = np.stack([tifffile.imread(data / "label" / "00.tif")] * 4)
    tifffile.imwrite(data / "label" / "00.tif", ids, photometric="minisblack")
    assert run("check-masks", data, "--kind", "instances") == 0
    shown = capsys.readouterr().out
    assert "3 images, 3 labels, 6 pairs that can be read" in shown and "only the first" not in shown
    assert "4 of them would be kept out" in shown  # the pages of the first file, all of them


def test_pages_of_layouts_that_have_none_are_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        picture = np.full((2, 40, 50), number, np.uint8)
        picture[:, 10:20, 10:30] = 90
        for name in ("images", "bone"):
            (tmp_path / name).mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", picture, photometric="minisblack")
        tifffile.imwrite(tmp_path / "bone" / f"{number}.tif", (picture[0] > 50).astype(np.uint8))
    assert run("check-masks", tmp_path, "--classes", "bone") == 0
    assert "note: 0.tif has 2 pages; only the first is used." in capsys.readouterr().out


def test_pictures_that_a_split_does_not_name_are_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=4)
    split = tmp_path / "split.json"
    split.write_text('{"train": ["00"], "validation": ["02"]}')
    assert run("check-masks", data, "--split", split) == 0
    assert "does not name 2 of the data's pictures (01, 03): they are" in capsys.readouterr().out
    split.write_text('{"train": ["00"], "validation": ["20"]}')
    assert run("check-masks", data, "--split", split) == 1
    assert "wrong: The split split.json names 20, which is not in" in capsys.readouterr().out


def test_mixed_kinds_are_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make_data(tmp_path / "data", count=3)
    label = data / "label" / "01.tif"
    tifffile.imwrite(label, (tifffile.imread(label) > 0).astype(np.uint8))
    assert run("check-masks", data) == 0
    shown = capsys.readouterr().out
    assert "note: The labels were read as different kinds (2 instances, 1 classes)" in shown


def test_folders_are_found_by_their_usual_names_or_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data", count=2)
    (data / "image").rename(data / "images")
    (data / "label").rename(data / "masks")
    assert run("check-masks", data) == 0
    (data / "images").rename(data / "pictures")
    capsys.readouterr()
    assert run("check-masks", data) == 1
    assert "There is no folder images, image, " in capsys.readouterr().err
    assert run("check-masks", data, "--images", "pictures", "--labels", "masks") == 0
    assert run("check-masks", tmp_path / "nowhere") == 1
    assert "There is no folder nowhere." in capsys.readouterr().err


def test_every_layout_is_checked_as_a_run_would_read_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_layouts import make_class_folders, make_sequence

    make_class_folders(tmp_path / "classes")
    assert run("check-masks", tmp_path / "classes", "--classes", "cell wall,nucleus") == 0
    shown = capsys.readouterr().out
    assert "1 pairs that can be read (layout: class-folders)" in shown
    assert "pixels: cell wall 50.00%, nucleus 50.00%" in shown
    folder = make_sequence(tmp_path / "tracked")
    assert run("check-masks", folder) == 0
    shown = capsys.readouterr().out
    assert "(layout: ctc)" in shown and "note: 01/t002 is annotated in part" in shown


def test_a_tracked_frame_with_few_cells_is_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from test_layouts import CELLS, make_sequence, write_tiff

    folder = make_sequence(tmp_path)
    shutil.rmtree(folder / "01_ST")
    write_tiff(folder / "01_GT" / "SEG" / "man_seg000.tif", CELLS)
    assert run("check-masks", folder) == 0
    shown = capsys.readouterr().out
    assert "note: Frame 01/t002 has 1 cells where its sequence has about 3" in shown
    assert 'data.partial = ["01/t002"]' in shown


@pytest.mark.parametrize("layout", ["folders", "ctc"])
def test_a_partial_picture_that_is_not_there_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    from test_layouts import make_sequence

    make = {
        "folders": lambda: make_data(tmp_path / "d", count=2),
        "ctc": lambda: make_sequence(tmp_path / "d"),
    }
    data = make[layout]()
    recipe = tmp_path / "r.toml"
    recipe.write_text('[network]\nclasses = ["background", "cell"]\n[data]\npartial = ["t09"]\n')
    assert run("check-masks", data, "--recipe", recipe) == 1
    shown = capsys.readouterr()
    assert "data.partial names t09, which is not in the data." in shown.out + shown.err


def grouped_data(folder: Path) -> Path:
    data = make_data(folder, count=6)
    for kind in ("image", "label"):
        for number, path in enumerate(sorted((data / kind).iterdir())):
            path.rename(path.with_name(f"anna{number // 2}_slice{number % 2}.tif"))
    return data


def test_a_patient_on_both_sides_of_a_split_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = grouped_data(tmp_path / "d")
    split = {
        "train": [f"anna{n}_slice{s}" for n in (1, 2) for s in (0, 1)] + ["anna0_slice0"],
        "validation": ["anna0_slice1"],
    }
    (tmp_path / "split.json").write_text(json.dumps(split))
    arguments = ("check-masks", data, "--split", tmp_path / "split.json")
    assert run(*arguments, "--group", "^anna[0-9]") == 1
    assert "wrong: The group anna0 is on both sides of the split" in capsys.readouterr().out
    assert run(*arguments) == 0  # nobody said that these are patients, but they look like it
    assert "note: Pictures whose names begin with 'anna0'" in capsys.readouterr().out
    assert run("check-masks", data, "--group", "^anna[0-9]") == 0
    shown = capsys.readouterr().out
    assert "note" not in shown and "2 of them would be kept out" in shown


def test_a_split_or_group_that_does_not_fit_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = grouped_data(tmp_path / "d")
    assert run("check-masks", data, "--group", "patient") == 1
    assert "wrong: data.group = 'patient' matches nothing" in capsys.readouterr().out
    assert run("check-masks", data, "--split", tmp_path / "none.json") == 1
    assert "wrong: The split none.json cannot be opened" in capsys.readouterr().out


def test_a_recipe_says_how_the_data_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "d", count=4)
    (data / "label").rename(data / "truth")
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[network]\nclasses = ["ground", "disc", "border"]\nborder = true\n'
        '[data]\nlabels = "truth"\nkind = "instances"\nholdout_every = 2\n'
    )
    assert run("check-masks", data, "--recipe", recipe) == 0
    shown = capsys.readouterr().out
    assert "pixels: ground" in shown and "2 of them would be kept out" in shown


@pytest.mark.data
def test_real_folders_have_nothing_to_mend(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check-masks", shared_data / "isbi2012", "--classes", "membrane,cell") == 0
    assert "24 pairs that can be read" in capsys.readouterr().out
