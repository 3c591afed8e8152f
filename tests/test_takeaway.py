"""What is taken away: each file as other programs read it, and one number for an object in all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from skimage import measure

from hf_unet import exports
from hf_unet.errors import LabelError, ResultError
from hf_unet.exports.outlines import fill_outlines
from hf_unet.images import read_image
from hf_unet.labels import read_coco
from hf_unet.model import UNet
from hf_unet.segmentation import Segmentation

SMALL = st.tuples(st.integers(1, 7), st.integers(1, 7))
INSTANCES = SMALL.flatmap(lambda shape: arrays.arrays(np.int32, shape, elements=st.integers(0, 3)))
RING = np.array([[0, 0, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 1, 2]], np.int32)


def drawn_by_coco(segmentation: dict[str, Any]) -> np.ndarray:
    """Pixels of an uncompressed code as pycocotools draws it: column by column, empty first."""
    counts = segmentation["counts"]
    values = np.arange(len(counts)) % 2
    return np.repeat(values, counts).reshape(segmentation["size"][::-1]).T.astype(bool)


def written_coco(path: Path, instances: Any, names: Any, categories: Any) -> dict[str, Any]:
    exports.write_coco(path / "coco.json", instances, names, categories, "a.tif")
    content: dict[str, Any] = json.loads((path / "coco.json").read_text(encoding="utf-8"))
    return content


# --- COCO ------------------------------------------------------------------------------------


def test_coco_json_has_what_the_format_asks_for(tmp_path: Path) -> None:
    content = written_coco(tmp_path, RING, ["cell", "Öl"], ["cell", "debris", "Öl"])
    assert content["images"] == [{"id": 1, "file_name": "a.tif", "width": 4, "height": 4}]
    assert [one["name"] for one in content["categories"]] == ["cell", "debris", "Öl"]
    assert [one["id"] for one in content["categories"]] == [1, 2, 3]
    ring, dot = content["annotations"]
    assert ring == {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        # Empty and full in turn, down the columns; a hole is an empty run.
        "segmentation": {"size": [4, 4], "counts": [1, 3, 1, 1, 1, 1, 1, 3, 4]},
        "area": 8,
        "bbox": [0, 1, 3, 3],
        "iscrowd": 0,
    }
    assert dot["segmentation"]["counts"] == [15, 1]
    assert (dot["category_id"], dot["bbox"], dot["area"]) == (3, [3, 3, 1, 1], 1)


@settings(max_examples=100, deadline=None)
@given(INSTANCES)
def test_coco_is_exact_by_both_readers(tmp_path_factory: Any, instances: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("coco")
    ids = [int(n) for n in np.unique(instances) if n]
    content = written_coco(folder, instances, ["cell"] * len(ids), ["cell"])
    assert [one["id"] for one in content["annotations"]] == ids
    for one in content["annotations"]:
        here = instances == one["id"]
        assert np.array_equal(drawn_by_coco(one["segmentation"]), here)
        assert min(one["segmentation"]["counts"][1:]) > 0
        assert one["area"] == here.sum()
        rows, columns = here.any(axis=1).nonzero()[0], here.any(axis=0).nonzero()[0]
        assert one["bbox"] == [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
    labels = read_coco(folder / "coco.json").labels("a.tif", kind="instances")
    renumbered = np.searchsorted([0, *ids], instances)
    assert np.array_equal(labels.array, renumbered)


def test_coco_refuses_a_class_that_is_no_category(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="class debris, but the categories are cell"):
        written_coco(tmp_path, RING, ["cell", "debris"], ["cell"])
    assert not list(tmp_path.iterdir())


# --- planes of objects that overlap ----------------------------------------------------------

PLANES = np.zeros((2, 5, 6), np.int32)
PLANES[0, 1:4, :3] = 1
PLANES[0, 0, 5] = 3
PLANES[1, 2:5, 1:5] = 2  # over the first


def test_overlapping_objects_are_whole_in_every_file(tmp_path: Path) -> None:
    names = {1: "lung", 2: "heart", 3: "lung"}
    content = written_coco(tmp_path, PLANES, names, ["lung", "heart"])
    exports.write_rle_csv(tmp_path / "rle.csv", PLANES, names)
    exports.write_geojson(tmp_path / "objects.geojson", PLANES, names)
    exports.write_instances_tiff(tmp_path / "instances.tif", PLANES, ["lung", "heart"])
    rows = exports.read_rle_csv(tmp_path / "rle.csv")
    outlines, read_names = exports.read_geojson(tmp_path / "objects.geojson")
    assert read_names == names and [row.id for row in rows] == [1, 2, 3]
    for one, row in zip(content["annotations"], rows, strict=True):
        here = (row.id == PLANES).any(axis=0)
        assert np.array_equal(drawn_by_coco(one["segmentation"]), here)
        assert np.array_equal(row.mask(), here)
        assert np.array_equal(fill_outlines({1: outlines[row.id]}, (5, 6)) > 0, here)
    assert np.array_equal(exports.read_instances_tiff(tmp_path / "instances.tif"), PLANES)
    with tifffile.TiffFile(tmp_path / "instances.tif") as file:
        metadata = file.imagej_metadata
        assert metadata["channels"] == 2 and metadata["Labels"] == ["lung", "heart"]
        assert len(metadata["LUTs"]) == 2 and metadata["Ranges"] == (0, 3, 0, 3)
        colors = metadata["LUTs"][0][:, :4].T
        assert len({tuple(color) for color in colors.tolist()}) == 4  # black, and three apart


def test_a_number_in_two_planes_is_refused(tmp_path: Path) -> None:
    twice = np.ones((2, 3, 3), np.int32)
    for write in (
        lambda path: exports.write_rle_csv(path, twice, {1: "cell"}),
        lambda path: exports.write_geojson(path, twice, {1: "cell"}),
        lambda path: exports.write_coco(path, twice, {1: "cell"}, ["cell"], "a.png"),
        lambda path: exports.region_table(twice),
    ):
        with pytest.raises(LabelError, match="in two planes"):
            write(tmp_path / "file")
    assert not list(tmp_path.iterdir())


# --- probabilities ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5])
def test_imagej_opens_the_probabilities_as_named_channels(tmp_path: Path, count: int) -> None:
    probabilities = np.random.default_rng(0).random((count, 7, 3)).astype(np.float32)
    names = [f"Klasse ü{n}" for n in range(count)]
    exports.write_probabilities_tiff(tmp_path / "p.tif", probabilities, names)
    with tifffile.TiffFile(tmp_path / "p.tif") as file:
        assert file.is_imagej and not file.is_bigtiff
        metadata = file.imagej_metadata
        assert metadata.get("channels", 1) == count
        assert (metadata["min"], metadata["max"]) == (0, 1)
        assert file.pages.first.compression == tifffile.COMPRESSION.NONE
        assert np.array_equal(file.asarray().reshape(probabilities.shape), probabilities)
    read, classes = exports.read_probabilities_tiff(tmp_path / "p.tif")
    assert read.dtype == np.float32 and np.array_equal(read, probabilities)
    assert classes == tuple(names)


def test_more_than_imagej_can_hold_is_a_bigtiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hf_unet.exports import masks

    monkeypatch.setattr(masks, "_LARGEST_TIFF", 100)
    probabilities = np.random.default_rng(0).random((2, 7, 3)).astype(np.float32)
    exports.write_probabilities_tiff(tmp_path / "p.tif", probabilities, ["a", "b"])
    with tifffile.TiffFile(tmp_path / "p.tif") as file:
        assert file.is_bigtiff and not file.is_imagej
    read, classes = exports.read_probabilities_tiff(tmp_path / "p.tif")
    assert np.array_equal(read, probabilities) and classes == ("a", "b")


def test_probabilities_need_names_and_floats(tmp_path: Path) -> None:
    for array, names in (
        (np.zeros((2, 3, 3)), ["a"]),
        (np.zeros((3, 3)), ["a"]),
        (np.zeros((1, 3, 3), int), ["a"]),
    ):
        with pytest.raises(LabelError, match="Probabilities are an array of floats"):
            exports.write_probabilities_tiff(tmp_path / "p.tif", array, names)
    tifffile.imwrite(
        tmp_path / "other.tif", np.zeros((2, 5, 5), np.float32), photometric="minisblack"
    )
    with pytest.raises(LabelError, match=r"other\.tif holds no probabilities"):
        exports.read_probabilities_tiff(tmp_path / "other.tif")


# --- measurements ----------------------------------------------------------------------------


def test_each_plane_is_measured_with_its_own_probability() -> None:
    image = np.arange(60, dtype=np.uint16).reshape(2, 5, 6)
    probability = np.stack([np.full((5, 6), 0.25), np.full((5, 6), 0.75)])
    table = exports.region_table(PLANES, image, probability)
    assert table["id"].tolist() == [1, 2, 3]
    assert table["mean_probability"].tolist() == [0.25, 0.75, 0.25]
    for row, number in enumerate(table["id"]):
        here = (number == PLANES).any(axis=0)
        for channel, pixels in enumerate(image, start=1):
            assert table[f"mean_intensity_{channel}"][row] == pytest.approx(pixels[here].mean())
            assert table[f"min_intensity_{channel}"][row] == pixels[here].min()
            assert table[f"max_intensity_{channel}"][row] == pixels[here].max()
        (region,) = measure.regionprops(here.astype(int))
        assert table["eccentricity"][row] == region.eccentricity
        assert (table["centroid_y"][row], table["centroid_x"][row]) == region.centroid
        sides = [table[side][row] for side in ("top", "left", "bottom", "right")]
        assert tuple(sides) == region.bbox


def test_measurements_refuse_what_does_not_fit() -> None:
    with pytest.raises(LabelError, match=r"The probability, .* differ in size"):
        exports.region_table(PLANES, None, np.zeros((2, 6, 5)))
    with pytest.raises(LabelError, match="2 planes of instances, but 1 of probability"):
        exports.region_table(PLANES, None, np.zeros((5, 6)))
    with pytest.raises(LabelError, match="no plane"):
        exports.region_table(np.zeros((0, 5, 6), int))


def test_qupath_gets_the_measurements(tmp_path: Path) -> None:
    table = exports.region_table(PLANES, np.ones((5, 6)))
    path = tmp_path / "objects.geojson"
    exports.write_geojson(path, PLANES, ["a", "b", "a"], measurements=table)
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    for row, feature in enumerate(features):
        measured = feature["properties"]["measurements"]
        assert "id" not in measured and feature["properties"]["instance"] == table["id"][row]
        for name, value in measured.items():
            assert isinstance(value, (int, float)) and value == table[name][row]


# --- the folder ------------------------------------------------------------------------------


def a_result(multilabel: bool, **arguments: Any) -> Segmentation:
    """Squares at known places, some of them over each other."""
    probabilities = np.full((2, 20, 24), 0.1, np.float32)
    probabilities[1, 2:8, 3:9] = probabilities[1, 12:17, 10:20] = 0.9
    if multilabel:
        probabilities[0, 5:15, 5:15] = 0.8
    else:
        probabilities[0] = 1 - probabilities[1]
    model = UNet(classes=("lung", "heart"), multilabel=multilabel, base_channels=2, depth=1)
    pixels = np.arange(480, dtype=np.uint16).reshape(20, 24)
    return model.interpret(probabilities, read_image(pixels), model.plan(20, 24), **arguments)


@pytest.mark.parametrize("multilabel", [False, True])
def test_an_object_has_one_number_in_all_files(tmp_path: Path, multilabel: bool) -> None:
    result = a_result(multilabel)
    folder = result.save(tmp_path)
    planes = exports.read_instances_tiff(folder / "instances.tif").reshape(-1, 20, 24)
    table = pd.read_csv(folder / "objects.csv")
    rows = exports.read_rle_csv(folder / "rle.csv")
    coco = json.loads((folder / "coco.json").read_text(encoding="utf-8"))
    geojson = json.loads((folder / "objects.geojson").read_text(encoding="utf-8"))["features"]
    count = 3 if multilabel else 2
    assert len(table) == len(rows) == len(coco["annotations"]) == len(geojson) == count
    names = {one["id"]: one["name"] for one in coco["categories"]}
    assert list(names.values()) == (["lung", "heart"] if multilabel else ["heart"])
    image = result.image[0]
    for line, row, one, feature in zip(
        table.itertuples(), rows, coco["annotations"], geojson, strict=True
    ):
        here = (planes == line.id).any(axis=0)
        assert line.id == row.id == one["id"] == feature["properties"]["instance"]
        assert line.area == here.sum() == row.mask().sum() == one["area"]
        assert np.array_equal(drawn_by_coco(one["segmentation"]), here)
        label = feature["properties"]["classification"]["name"]
        assert line[2] == row.label == names[one["category_id"]] == label
        assert [line.left, line.top, line.right - line.left, line.bottom - line.top] == one["bbox"]
        assert line.mean_intensity_1 == pytest.approx(image[here].mean())
        assert line.mean_probability == pytest.approx(0.8 if label == "lung" else 0.9)


def test_the_probabilities_come_back_and_can_be_left_out(tmp_path: Path) -> None:
    result = a_result(multilabel=False)
    read, names = exports.read_probabilities_tiff(result.save(tmp_path / "a") / "probabilities.tif")
    assert np.array_equal(read, result.probabilities) and names == ("lung", "heart")
    folder = result.save(tmp_path / "b", probabilities=False)
    left = {path.name for path in (tmp_path / "a").iterdir()} - {p.name for p in folder.iterdir()}
    assert left == {"probabilities.tif"}


def test_a_lone_class_names_its_one_plane(tmp_path: Path) -> None:
    model = UNet(classes=("cell",), base_channels=2, depth=1)
    probabilities = np.full((1, 9, 9), 0.75, np.float32)
    result = model.interpret(probabilities, read_image(np.eye(9)), model.plan(9, 9))
    folder = result.save(tmp_path)
    assert exports.read_probabilities_tiff(folder / "probabilities.tif")[1] == ("cell",)
    assert pd.read_csv(folder / "objects.csv")["mean_probability"].tolist() == [0.75]


def test_figures_stand_in_result_json(tmp_path: Path) -> None:
    figures = {"dice": {"heart": np.float32(0.5), "lung": float("nan")}, "counts": np.arange(2)}
    folder = a_result(multilabel=True).save(tmp_path, figures=figures)
    text = (folder / "result.json").read_text(encoding="utf-8")
    assert json.loads(text)["figures"] == {
        "dice": {"heart": 0.5, "lung": None},
        "counts": [0, 1],
    }
    assert "NaN" not in text


def test_figures_that_json_cannot_hold_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(ResultError, match=r"figures\.table is a DataFrame, which result\.json"):
        a_result(multilabel=False).save(tmp_path / "a", figures={"table": pd.DataFrame()})
    assert not (tmp_path / "a").exists()
