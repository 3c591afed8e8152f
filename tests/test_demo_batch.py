"""Many images at once: which files belong together, what zips may hold, and one zip of results."""

import csv
import io
import stat
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from demo_pages import put_models, small_network
from PIL import Image

from hf_unet.demo.batch import archives, probabilities, segmenting
from hf_unet.demo.batch.archives import ArchiveError, copy_member, list_members
from hf_unet.demo.batch.files import Brought, list_brought, tasks_of
from hf_unet.demo.batch.rows import cells_of, headers_of, mean_scores
from hf_unet.demo.batch.segmenting import Batch, scene_of_row, segment_batch
from hf_unet.demo.models.loading import load_model
from hf_unet.demo.scenes import probability_layer
from hf_unet.errors import ImageError, ModelError
from hf_unet.labels import read_labels
from hf_unet.metrics import dice_per_class

LARGEST = 1_000_000


@pytest.fixture
def small_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks that are over at once: "cells", and "organs" whose classes overlap."""
    organs = small_network(classes=("bone", "lung"), multilabel=True)
    put_models(tmp_path / "models", monkeypatch, cells=small_network(), organs=organs)


def pixels(seed: int, height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width), np.uint8)


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def square(height: int = 40, width: int = 50) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[5:20, 5:30] = 255
    return mask


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def run(paths: list[Path], model: str, place: Path, **options: object) -> Batch:
    options.setdefault("event", threading.Event())
    archive = place / "out" / "segmented.zip"
    *_, last = segment_batch([str(path) for path in paths], model, archive, **options)
    return last


# --- which files belong together ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.tif", "b.tif"], {"a.tif": None, "b.tif": None}),
        (["a.tif", "a_mask.png", "b.tif"], {"a.tif": "a_mask.png", "b.tif": None}),
        (["a_truth.tif", "a.tif"], {"a.tif": "a_truth.tif"}),
        (["img_007.png", "label_007.png"], {"img_007.png": "label_007.png"}),
        (["a.png", "a.geojson"], {"a.png": "a.geojson"}),
        (["images/a.png", "masks/a.png"], {"images/a.png": "masks/a.png"}),
        (["x/images/a.png", "y/masks/a.png"], {"x/images/a.png": None, "y/masks/a.png": "alone"}),
        (["a.tif", "c_mask.tif"], {"a.tif": None, "c_mask.tif": "alone"}),
    ],
)
def test_a_truth_belongs_to_the_image_of_its_name(names, expected):
    tasks = tasks_of([Brought(name, Path(name)) for name in names])
    found = {
        task.name: "alone" if task.refusal else task.truth and task.truth.name for task in tasks
    }
    assert found == expected
    assert all("no image is named like it" in t.refusal for t in tasks if t.refusal)


def test_files_of_two_zips_of_one_name_are_not_mixed_up(tmp_path):
    first = make_zip(tmp_path / "first.zip", {"a.png": b"1", "a_mask.png": b"2"})
    second = make_zip(tmp_path / "second.zip", {"a.png": b"3"})
    tasks = tasks_of(list_brought([str(first), str(second)]))
    assert [(t.image.upload.name, t.truth is not None) for t in tasks] == [
        ("first.zip", True),
        ("second.zip", False),
    ]


# --- what a zip may hold --------------------------------------------------------------------------


def test_what_systems_leave_in_zips_is_passed_over(tmp_path):
    names = ["a.png", "__MACOSX/._a.png", ".DS_Store", "x/.hidden/b.png", "x/Thumbs.db", "x/"]
    path = make_zip(tmp_path / "mac.zip", dict.fromkeys(names, b""))
    assert [member.name for member in list_members(path, LARGEST)] == ["a.png"]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "x/../../y.png", "..\\y.png", "C:/y.png"]
)
def test_a_path_that_leads_out_of_the_zip_is_refused(tmp_path, name):
    path = make_zip(tmp_path / "slip.zip", {name: b"root", "good.png": png(pixels(0))})
    bad, good = list_members(path, LARGEST)
    assert "leads out of the zip" in bad.refusal and not good.refusal


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "link.zip"
    info = zipfile.ZipInfo("link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(info, "/etc/passwd")
    (member,) = list_members(path, LARGEST)
    assert "it is a link" in member.refusal


def test_a_locked_file_in_a_zip_is_refused(tmp_path):
    path = make_zip(tmp_path / "locked.zip", {"a.png": b"secret"})
    content = bytearray(path.read_bytes())
    content[content.find(b"PK\1\2") + 8] |= 1  # the flag of the list's entry
    path.write_bytes(content)
    (member,) = list_members(path, LARGEST)
    assert "password" in member.refusal


def test_a_file_too_large_unpacked_is_refused_by_itself(tmp_path):
    path = make_zip(tmp_path / "bomb.zip", {"zeros.tif": bytes(LARGEST + 1), "a.png": b""})
    bomb, good = list_members(path, LARGEST)
    assert "would unpack to 1 MB" in bomb.refusal and not good.refusal


def test_a_zip_too_large_in_all_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 1500)
    path = make_zip(tmp_path / "bomb.zip", {"a.tif": bytes(1000), "b.tif": bytes(1000)})
    with pytest.raises(ArchiveError, match=r"bomb\.zip would unpack to"):
        list_members(path, LARGEST)


def test_a_zip_of_too_many_files_is_refused(tmp_path, monkeypatch):
    path = make_zip(tmp_path / "many.zip", {f"{n}.png": b"" for n in range(20)})
    monkeypatch.setattr(archives, "MOST_MEMBERS", 19)
    with pytest.raises(ArchiveError, match="holds 20 files"):
        list_members(path, LARGEST)
    monkeypatch.setattr(archives, "MOST_LIST_BYTES", 500)
    with pytest.raises(ArchiveError, match="list of files"):
        list_members(path, LARGEST)


def test_a_file_that_lies_about_its_size_gives_no_more_than_announced(tmp_path):
    path = make_zip(tmp_path / "liar.zip", {"a.tif": bytes(500_000)})
    content = bytearray(path.read_bytes())
    entry = content.find(b"PK\1\2")
    content[entry + 24 : entry + 28] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    (member,) = list_members(path, LARGEST)
    with pytest.raises(ArchiveError, match="damaged"):
        copy_member(path, member, tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size <= 1000


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and no end", b"PK\5\6" + bytes(10)])
def test_what_is_no_zip_is_refused_by_name(tmp_path, content):
    (tmp_path / "no.zip").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"no\.zip is no zip") as caught:
        list_members(tmp_path / "no.zip", LARGEST)
    assert str(tmp_path) not in str(caught.value)


def test_zip64_is_refused(tmp_path):
    path = make_zip(tmp_path / "large.zip", {"a.png": b""})
    content = path.read_bytes()
    at = content.find(b"PK\5\6")
    path.write_bytes(content[:at] + b"PK\6\7" + bytes(16) + content[at:])
    with pytest.raises(ArchiveError, match="zip64"):
        list_members(path, LARGEST)


# --- a batch --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_models")
def test_rows_and_zip_hold_what_the_library_computes(tmp_path):
    path = make_zip(
        tmp_path / "set.zip",
        {
            "images/a.png": png(pixels(1)),
            "masks/a.png": png(square()),
            "images/b.png": png(pixels(2, 30, 60)),
        },
    )
    done = run([path], "cells", tmp_path)
    network = load_model("cells")
    a, b = network.segment(pixels(1)), network.segment(pixels(2, 30, 60))
    truth = read_labels(square(), network.mask_classes).class_map()
    assert [row.name for row in done.rows] == ["images/a.png", "images/b.png"]
    assert done.rows[0].dice.tolist() == dice_per_class(truth, a.mask).tolist()
    assert done.rows[0].shares.tolist() == [area / 2000 for area in a.areas.values()]
    assert done.rows[1].dice is None and done.rows[1].size == (30, 60)
    with zipfile.ZipFile(done.archive) as file:
        assert {name.split("/")[0] for name in file.namelist()} == {"a", "b", "table.csv"}
        for folder, result in (("a", a), ("b", b)):
            mask = np.asarray(Image.open(io.BytesIO(file.read(f"{folder}/mask.png"))))
            assert (mask == result.mask).all()
        assert not any("probabilities" in name for name in file.namelist())
        lines = list(csv.DictReader(io.StringIO(file.read("table.csv").decode())))
    assert lines[0]["image"] == "images/a.png" and lines[0]["ground_truth"] == "masks/a.png"
    assert float(lines[0]["dice cell"]) == pytest.approx(dice_per_class(truth, a.mask)[1], rel=1e-5)
    assert lines[1]["dice cell"] == "" and lines[1]["problem"] == ""


@pytest.mark.usefixtures("small_models")
def test_one_bad_file_never_loses_the_others(tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "broken.tif").write_bytes(b"II*\0 this is no TIFF")
    (tmp_path / "no.zip").write_bytes(b"PK\3\4")
    Image.fromarray(pixels(3)).save(tmp_path / "good.png")
    Image.fromarray(pixels(4)).save(tmp_path / "other.png")
    Image.fromarray(square(10, 10)).save(tmp_path / "other_mask.png")
    Image.fromarray(pixels(4)).save(tmp_path / "grey.png")
    Image.fromarray(
        np.linspace(0, 255, pixels(4).size).astype(np.uint8).reshape(pixels(4).shape[:2])
    ).save(tmp_path / "grey_mask.png")
    names = ["notes.txt", "broken.tif", "no.zip", "good.png", "other.png", "other_mask.png"]
    names += ["grey.png", "grey_mask.png"]
    done = run([tmp_path / name for name in names], "cells", tmp_path)
    notes = {row.name: row.refusal for row in done.rows}
    assert notes["good.png"] == ""
    assert "notes.txt" in notes["notes.txt"] and "broken.tif" in notes["broken.tif"]
    assert "is no zip" in notes["no.zip"] and "10 x 10" in notes["other.png"]
    assert "all others black" in notes["grey.png"] and "threshold=" not in notes["grey.png"]
    assert not any(str(tmp_path) in note for note in notes.values())
    with zipfile.ZipFile(done.archive) as file:
        assert "good/mask.png" in file.namelist()
    with pytest.raises(ImageError, match="There is no result of notes"):
        scene_of_row(done, 1)


@pytest.mark.usefixtures("small_models")
def test_pages_are_rows_and_their_truths_are_of_their_page(tmp_path):
    stack = np.stack([pixels(5), pixels(6)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    truths = np.stack([square(), np.zeros_like(square())])
    tifffile.imwrite(tmp_path / "stack_truth.tif", truths, photometric="minisblack")
    done = run([tmp_path / "stack.tif", tmp_path / "stack_truth.tif"], "cells", tmp_path)
    assert [row.name for row in done.rows] == ["stack.tif, page 1", "stack.tif, page 2"]
    network = load_model("cells")
    for row, page, truth in zip(done.rows, stack, truths, strict=True):
        expected = dice_per_class((truth > 0).astype(np.uint8), network.segment(page).mask)
        assert row.counts.dice().tolist() == expected.tolist()


@pytest.mark.usefixtures("small_models")
def test_means_are_the_metrics_own(tmp_path):
    for n in (1, 2):
        Image.fromarray(pixels(n)).save(tmp_path / f"{n}.png")
        Image.fromarray(square()).save(tmp_path / f"{n}_mask.png")
    files = [tmp_path / f"{n}{end}.png" for n in (1, 2) for end in ("", "_mask")]
    done = run(files, "cells", tmp_path)
    per_image, pooled = mean_scores(done.rows)
    network = load_model("cells")
    truth = (square() > 0).astype(np.uint8)
    each = [dice_per_class(truth, network.segment(pixels(n)).mask) for n in (1, 2)]
    assert per_image.dice.tolist() == pytest.approx(np.mean(each, axis=0).tolist())
    masks = np.concatenate([network.segment(pixels(n)).mask for n in (1, 2)])
    whole = dice_per_class(np.concatenate([truth, truth]), masks)
    assert pooled.dice.tolist() == pytest.approx(whole.tolist())


@pytest.mark.usefixtures("small_models")
def test_classes_that_overlap(tmp_path):
    stack = np.stack([square(), np.roll(square(), 4, 0)])
    tifffile.imwrite(tmp_path / "a_mask.tif", stack, photometric="minisblack")
    Image.fromarray(pixels(1)).save(tmp_path / "a.png")
    done = run([tmp_path / "a.png", tmp_path / "a_mask.tif"], "organs", tmp_path)
    assert headers_of(done.rows, done.names, done.first)[4:] == [
        "bone, share",
        "lung, share",
        "bone, Dice",
        "lung, Dice",
        "note",
    ]
    result = load_model("organs").segment(pixels(1))
    expected = dice_per_class(stack > 0, result.mask)
    (cells,) = cells_of(done.rows, done.names, done.first)
    assert cells[6:8] == [f"{value:.4f}" for value in expected]
    scene = scene_of_row(done, 1)
    bits = next(layer.data for layer in scene.layers if layer.key == "mask")
    assert (bits[0] == result.mask[0] + 2 * result.mask[1]).all()


@pytest.mark.usefixtures("small_models")
def test_a_row_is_shown_from_its_files(tmp_path):
    path = make_zip(tmp_path / "set.zip", {"a.png": png(pixels(1)), "a_mask.png": png(square())})
    done = run([path], "cells", tmp_path)
    scene = scene_of_row(done, 1)
    result = load_model("cells").segment(pixels(1))
    shown = {layer.key: layer.data[0] for layer in scene.layers}
    assert (shown["image"] == pixels(1)).all() and (shown["mask"] == result.mask).all()
    assert (shown["objects"] == result.instances).all()
    assert (shown["truth"] == (square() > 0)).all()
    (probability,) = (layer for layer in scene.layers if layer.kind == "probability")
    expected = probability_layer(result.probabilities, result.classes)
    assert np.array_equal(probability.data, expected.data)
    assert probability.settings == expected.settings
    with pytest.raises(ImageError, match="no such row"):
        scene_of_row(done, 2)
    path.unlink()
    with pytest.raises(ArchiveError, match=r"set\.zip is no longer kept"):
        scene_of_row(done, 1)


@pytest.mark.usefixtures("small_models")
def test_probabilities_for_the_pointer_are_bounded_and_counted(tmp_path, monkeypatch):
    Image.fromarray(pixels(1)).save(tmp_path / "a.png")
    with_them = run([tmp_path / "a.png"], "cells", tmp_path)
    zipped = with_them.archive.stat().st_size
    assert with_them.nbytes > zipped
    bits = load_model("cells").segment(pixels(1)).probabilities
    monkeypatch.setattr(probabilities, "MOST_KEPT", bits.size - 1)
    without = run([tmp_path / "a.png"], "cells", tmp_path / "again")
    assert without.nbytes == without.archive.stat().st_size
    kinds = [layer.kind for layer in scene_of_row(without, 1).layers]
    assert "probability" not in kinds and "indices" in kinds


@pytest.mark.usefixtures("small_models")
def test_a_stopped_batch_keeps_what_was_finished(tmp_path):
    for n in range(3):
        Image.fromarray(pixels(n)).save(tmp_path / f"{n}.png")
    event = threading.Event()
    archive = tmp_path / "out" / "segmented.zip"
    steps = segment_batch(
        [str(tmp_path / f"{n}.png") for n in range(3)], "cells", archive, event=event
    )
    next(steps)
    event.set()
    *_, done = steps
    assert done.ended and len(done.rows) == 1 and done.note == "Stopped after 1 of 3 images."
    with zipfile.ZipFile(archive) as file:
        assert "0/mask.png" in file.namelist() and "table.csv" in file.namelist()


@pytest.mark.usefixtures("small_models")
def test_the_zip_goes_with_its_batch(tmp_path):
    Image.fromarray(pixels(1)).save(tmp_path / "a.png")
    done = run([tmp_path / "a.png"], "cells", tmp_path)
    archive = done.archive
    assert archive.is_file()
    del done
    assert not archive.parent.exists()


@pytest.mark.usefixtures("small_models")
def test_same_names_get_folders_of_their_own(tmp_path):
    files = {"x/A.png": png(pixels(1)), "y/a.png": png(pixels(2)), "z/..png": png(pixels(3))}
    done = run([make_zip(tmp_path / "set.zip", files)], "cells", tmp_path)
    assert [row.folder for row in done.rows] == ["A", "a-2"]  # the third is a hidden file


@pytest.mark.usefixtures("small_models")
def test_limits_of_a_batch_have_sentences(tmp_path, monkeypatch):
    for n in range(3):
        Image.fromarray(pixels(n)).save(tmp_path / f"{n}.png")
    files = [tmp_path / f"{n}.png" for n in range(3)]
    with pytest.raises(ImageError, match="Choose images first"):
        run([], "cells", tmp_path)
    with pytest.raises(ModelError, match="There is no model"):
        run(files, "../cells", tmp_path)
    monkeypatch.setattr(segmenting, "MOST_IMAGES", 2)
    with pytest.raises(ImageError, match="These are 3 images"):
        run(files, "cells", tmp_path)


@pytest.mark.usefixtures("small_models")
def test_a_batch_whose_results_fill_the_disk_ends_early(tmp_path, monkeypatch):
    for n in range(3):
        Image.fromarray(pixels(n)).save(tmp_path / f"{n}.png")
    monkeypatch.setattr(segmenting, "MOST_RESULT_BYTES", 1)
    done = run([tmp_path / f"{n}.png" for n in range(3)], "cells", tmp_path)
    assert len(done.rows) == 1 and "have grown to" in done.note


def test_refusals_name_no_path_of_this_machine():
    leaking = OSError(2, "No such file", "/home/me/secret.tif")
    for error in (leaking, MemoryError(), RuntimeError("at /home/me"), ValueError("/home/me")):
        assert "/home" not in segmenting.sentence_of(error)
    assert segmenting.sentence_of(ImageError("a.tif is no image.")) == "a.tif is no image."
