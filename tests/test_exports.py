"""Exports: every file read back, and read by another program's library where there is one."""

import csv
import json
import time

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from skimage.draw import polygon2mask

from hf_unet import exports
from hf_unet.errors import LabelError
from hf_unet.exports import files

RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])  # a ring of pixels round a hole
SMALL = st.tuples(st.integers(1, 7), st.integers(1, 7))
INSTANCES = SMALL.flatmap(lambda shape: arrays.arrays(np.int32, shape, elements=st.integers(0, 3)))


def disks(side: int, spacing: int) -> np.ndarray:
    """Instances on a square grid, of radii that vary, every second one with a hole."""
    grid = np.arange(side)
    cell = grid // spacing
    offset = grid % spacing - spacing // 2
    squared = offset[:, None] ** 2 + offset[None, :] ** 2
    number = cell[:, None] * (cell[-1] + 1) + cell[None, :] + 1
    radius = spacing // 2 - 1 - number % 5
    inside = squared < radius**2
    inside &= ~((number % 2 == 0) & (squared < (radius // 2) ** 2))
    return np.where(inside, number, 0).astype(np.int32)


# Class maps and stacks


def test_mask_png_holds_the_class_indices(tmp_path):
    mask = np.array([[0, 1, 2], [254, 255, 0]], np.uint8)
    exports.write_mask_png(tmp_path / "mask.png", mask)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "L"
        assert image.format == "PNG"
        assert np.asarray(image).tolist() == mask.tolist()
    read = exports.read_mask_png(tmp_path / "mask.png")
    assert read.dtype == np.uint8
    assert np.array_equal(read, mask)


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (np.array([[0, 256]]), "0 to 256"),
        (np.array([[-1, 0]]), "-1 to 0"),
        (np.zeros((1, 2, 3), np.uint8), "2-D"),
        (np.zeros((2, 2)), "float64"),
    ],
)
def test_a_mask_that_png_cannot_hold_is_refused_and_no_file_appears(tmp_path, mask, said):
    with pytest.raises(LabelError, match=said):
        exports.write_mask_png(tmp_path / "mask.png", mask)
    assert list(tmp_path.iterdir()) == []


def test_a_color_png_is_not_read_as_class_indices(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "photo.png")
    with pytest.raises(LabelError, match=r"photo\.png is not an 8-bit grey PNG"):
        exports.read_mask_png(tmp_path / "photo.png")


def test_stack_tiff_has_a_named_page_for_each_class(tmp_path):
    stack = np.zeros((3, 40, 50), bool)
    stack[0, 5:20] = True
    stack[2, :, 10:30] = True  # overlaps the first; the second class is absent
    classes = ("heart", "left lung", "Schlüsselbein")
    exports.write_stack_tiff(tmp_path / "mask.tif", stack, classes)
    with tifffile.TiffFile(tmp_path / "mask.tif") as file:
        assert len(file.pages) == 3
        for page, mask in zip(file.pages, stack, strict=True):
            assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            assert page.asarray().dtype == np.uint8
            assert np.array_equal(page.asarray(), np.where(mask, 255, 0))
        assert file.pages[1].tags["PageName"].value == "left lung"
    with Image.open(tmp_path / "mask.tif") as image:
        assert image.n_frames == 3
    read, names = exports.read_stack_tiff(tmp_path / "mask.tif")
    assert names == classes
    assert read.dtype == bool
    assert np.array_equal(read, stack)


def test_a_stack_of_one_class_keeps_its_axis(tmp_path):
    stack = np.ones((1, 3, 4), bool)
    exports.write_stack_tiff(tmp_path / "mask.tif", stack, ["all"])
    read, names = exports.read_stack_tiff(tmp_path / "mask.tif")
    assert read.shape == (1, 3, 4)
    assert names == ("all",)


def test_a_stack_needs_a_name_for_each_mask(tmp_path):
    with pytest.raises(LabelError, match="2 masks, but 1 class names"):
        exports.write_stack_tiff(tmp_path / "mask.tif", np.ones((2, 3, 3), bool), ["all"])
    with pytest.raises(LabelError, match="multi-label stack"):
        exports.write_stack_tiff(tmp_path / "mask.tif", np.zeros((0, 3, 3), bool), [])


def test_a_tiff_of_pages_without_names_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(LabelError, match=r"other\.tif does not name the classes"):
        exports.read_stack_tiff(tmp_path / "other.tif")


# Instances as TIFF


@pytest.mark.parametrize(
    ("largest", "dtype"), [(0, "u2"), (1, "u2"), (254, "u2"), (65535, "u2"), (65536, "f4")]
)
def test_instances_tiff_keeps_every_id(tmp_path, largest, dtype):
    ids = np.zeros((30, 20), np.int32)
    ids[3:9, 4:8] = largest
    ids[20, 3] = min(largest, 1)
    exports.write_instances_tiff(tmp_path / "instances.tif", ids)
    raw = tifffile.imread(tmp_path / "instances.tif")
    assert raw.dtype.newbyteorder("=") == np.dtype(dtype)
    assert np.array_equal(raw, ids)
    read = exports.read_instances_tiff(tmp_path / "instances.tif")
    assert read.dtype == np.int32
    assert np.array_equal(read, ids)


def shown_by_imagej(path) -> np.ndarray:
    """Color of every pixel as ImageJ's ShortProcessor draws a 16-bit plane: (H, W, 3) uint8."""
    with tifffile.TiffFile(path) as file:
        low, high = file.imagej_metadata["min"], file.imagej_metadata["max"]
        table = np.asarray(file.pages[0].tags["ColorMap"].value).reshape(3, 256) // 257
        values = file.asarray().astype(float)
    index = np.clip((values - low) * 256 / (high - low + 1) + 0.5, 0, 255).astype(int)
    return table[:, index].transpose(1, 2, 0)


@pytest.mark.parametrize("count", [1, 2, 9, 200, 255])
def test_imagej_shows_up_to_255_instances_in_colors_of_their_own(tmp_path, count):
    ids = np.arange(count + 1)[None]
    exports.write_instances_tiff(tmp_path / "instances.tif", ids)
    colors = shown_by_imagej(tmp_path / "instances.tif")[0]
    assert colors[0].tolist() == [0, 0, 0]
    assert len(np.unique(colors, axis=0)) == count + 1
    assert colors[1:].max(axis=1).min() > 150  # none is dark


def test_imagej_shows_no_instance_in_black_however_many_there_are(tmp_path):
    exports.write_instances_tiff(tmp_path / "instances.tif", np.arange(5000).reshape(50, 100))
    black = (shown_by_imagej(tmp_path / "instances.tif") == 0).all(axis=2)
    assert np.argwhere(black).tolist() == [[0, 0]]


def test_instances_tiff_is_imagejs_and_not_compressed(tmp_path):
    exports.write_instances_tiff(tmp_path / "instances.tif", disks(64, 16))
    with tifffile.TiffFile(tmp_path / "instances.tif") as file:
        assert file.is_imagej
        assert file.pages[0].compression == tifffile.COMPRESSION.NONE
        metadata = file.imagej_metadata
    assert (metadata["min"], metadata["max"]) == (0.0, 16.0)
    assert tuple(metadata["Ranges"]) == (0.0, 16.0)
    lut = np.asarray(metadata["LUTs"])  # tifffile gives a single table without its list
    assert lut.shape == (3, 256)
    assert len(np.unique(lut, axis=1).T) == 256
    assert lut[:, 0].tolist() == [0, 0, 0]


def test_ids_that_no_pixel_of_imagej_can_hold_are_refused(tmp_path):
    with pytest.raises(LabelError, match="only up to 16777216"):
        exports.write_instances_tiff(tmp_path / "instances.tif", [[0, 2**24 + 1]])
    exports.write_instances_tiff(tmp_path / "instances.tif", [[0, 2**24, 2**24 - 1]])
    assert tifffile.imread(tmp_path / "instances.tif").tolist() == [[0, 2**24, 2**24 - 1]]


@pytest.mark.parametrize(
    ("instances", "said"),
    [
        ([[0.5]], "whole numbers"),
        ([[-2, 1]], "-2"),
        ([1, 2], "2-D"),
        (np.zeros((0, 4), int), "2-D"),
    ],
)
@pytest.mark.parametrize(
    "export",
    [
        exports.write_instances_tiff,
        lambda path, ids: exports.write_rle_csv(path, ids, {1: "cell"}),
        lambda path, ids: exports.write_geojson(path, ids, {1: "cell"}),
        lambda path, instances, *_: exports.region_table(instances),
    ],
)
def test_what_is_no_instance_map_is_refused(tmp_path, export, instances, said):
    with pytest.raises(LabelError, match=said):
        export(tmp_path / "file", instances)
    assert list(tmp_path.iterdir()) == []


# Run-length code


def test_kaggles_convention_runs_down_the_columns_from_1():
    mask = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1]])
    # Pixels are counted 1 4 7 / 2 5 8 / 3 6 9.
    assert exports.encode_rle(mask) == "2 1 4 2 9 1"
    # Pixels are counted 1 2 3 / 4 5 6 / 7 8 9.
    assert exports.encode_rle(mask, order="row-major") == "2 1 4 2 9 1"
    tall = np.array([[1, 0], [1, 0], [0, 1]])
    assert exports.encode_rle(tall) == "1 2 6 1"
    assert exports.encode_rle(tall, order="row-major") == "1 1 3 1 6 1"


def test_runs_go_on_from_one_column_to_the_next():
    assert exports.encode_rle([[0, 1], [1, 1], [1, 0]]) == "2 4"
    assert exports.encode_rle(np.ones((3, 4))) == "1 12"
    assert exports.encode_rle(np.zeros((3, 4))) == ""
    assert exports.decode_rle("", (3, 4)).sum() == 0


@settings(deadline=None)
@given(arrays.arrays(np.bool_, SMALL), st.sampled_from(["column-major", "row-major"]))
def test_rle_decodes_to_the_mask(mask, order):
    assert np.array_equal(
        exports.decode_rle(exports.encode_rle(mask, order), mask.shape, order), mask
    )


@settings(deadline=None)
@given(INSTANCES, st.sampled_from(["column-major", "row-major"]))
def test_every_instance_is_coded_as_its_mask_would_be(instances, order):
    codes = exports.encode_instances_rle(instances, order)
    assert list(codes) == [n for n in np.unique(instances) if n]
    for n, code in codes.items():
        assert code == exports.encode_rle(instances == n, order)


@pytest.mark.parametrize(
    ("rle", "said"),
    [("1", "one is missing"), ("0 2", "does not fit"), ("5 3", "does not fit"), ("1 x", "whole")],
)
def test_a_damaged_code_is_refused(rle, said):
    with pytest.raises(LabelError, match=said):
        exports.decode_rle(rle, (2, 3))


def test_an_order_that_does_not_exist_is_refused():
    with pytest.raises(LabelError, match="neither 'column-major' nor 'row-major'"):
        exports.encode_rle([[1]], order="F")


@pytest.mark.parametrize("order", ["column-major", "row-major"])
def test_rle_csv_says_its_convention_and_comes_back(tmp_path, order):
    ids = disks(60, 20)
    names = {n: ("odd" if n % 2 else 'even, "quoted"') for n in range(1, 10)}
    exports.write_rle_csv(tmp_path / "rle.csv", ids, names, order)

    rows = exports.read_rle_csv(tmp_path / "rle.csv")
    assert [row.id for row in rows] == list(range(1, 10))
    for row in rows:
        assert row.label == names[row.id]
        assert np.array_equal(row.mask(), ids == row.id)

    table = pd.read_csv(tmp_path / "rle.csv")
    assert (table["order"] == order).all()
    assert (table["first_pixel"] == 1).all()
    assert (table[["height", "width"]] == 60).all(axis=None)
    runs = np.array(table["rle"][4].split(), int).reshape(-1, 2)
    painted = np.zeros(3600, bool)
    for start, length in runs:
        painted[start - 1 : start - 1 + length] = True
    memory_order = {"column-major": "F", "row-major": "C"}[order]
    assert np.array_equal(painted.reshape((60, 60), order=memory_order), ids == 5)


def test_rle_csv_of_a_stack_has_a_line_for_each_class_present_or_not(tmp_path):
    stack = np.zeros((3, 4, 5), bool)
    stack[0, :, 1:3] = True
    stack[2, 2] = True
    exports.write_rle_csv(tmp_path / "rle.csv", stack, ("heart", "left lung", "right lung"))
    rows = exports.read_rle_csv(tmp_path / "rle.csv")
    assert [(row.label, row.id) for row in rows] == [
        ("heart", 1),
        ("left lung", 2),
        ("right lung", 3),
    ]
    assert rows[1].rle == ""
    assert np.array_equal(np.stack([row.mask() for row in rows]), stack)


def test_a_code_longer_than_csvs_limit_is_read(tmp_path):
    checkers = np.indices((400, 400)).sum(axis=0) % 2
    limit = csv.field_size_limit()
    exports.write_rle_csv(tmp_path / "rle.csv", checkers, ["cell"])
    (row,) = exports.read_rle_csv(tmp_path / "rle.csv")
    assert len(row.rle) > limit
    assert np.array_equal(row.mask(), checkers)
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("content", [b"ImageId,EncodedPixels\na,1 2\n", b"", b"\xff\xfe\x00"])
def test_another_csv_is_not_read_as_run_lengths(tmp_path, content):
    (tmp_path / "kaggle.csv").write_bytes(content)
    with pytest.raises(LabelError, match=r"kaggle\.csv does not begin with the columns label, id"):
        exports.read_rle_csv(tmp_path / "kaggle.csv")


@pytest.mark.parametrize(
    "line",
    [
        "cell,1,column-major,1,2,2",
        "cell,one,column-major,1,2,2,1 1",
        "cell,1,diagonal,1,2,2,1 1",
        "cell,1,row-major,0,2,2,1 1",
    ],
)
def test_a_damaged_line_or_another_convention_is_refused(tmp_path, line):
    header = "label,id,order,first_pixel,height,width,rle\n"
    (tmp_path / "rle.csv").write_text(f"{header}{line}\n")
    with pytest.raises(LabelError, match=r"rle\.csv is damaged"):
        exports.read_rle_csv(tmp_path / "rle.csv")


# Outlines


def test_one_pixel_is_a_unit_square():
    (square,) = exports.trace_outlines(np.array([[0, 0, 0], [0, 0, 6]]))[6]
    corners = {tuple(corner) for corner in square.exterior.tolist()}
    assert corners == {(2, 1), (3, 1), (3, 2), (2, 2)}
    assert len(square.exterior) == 4
    assert square.holes == ()
    assert exports.signed_area(square.exterior) == 1.0


def test_straight_edges_have_no_corners_between():
    (bar,) = exports.trace_outlines(np.ones((3, 500), bool))[1]
    assert sorted(bar.exterior.tolist()) == [[0, 0], [0, 3], [500, 0], [500, 3]]


def test_a_hole_is_an_interior_ring_that_turns_the_other_way():
    (ring,) = exports.trace_outlines(RING)[1]
    assert exports.signed_area(ring.exterior) == 9
    assert [exports.signed_area(hole) for hole in ring.holes] == [-1]
    assert ring.area == 8


def test_pieces_that_meet_at_a_corner_are_two_polygons():
    outlines = exports.trace_outlines(np.array([[2, 0], [0, 2]]))
    assert [polygon.area for polygon in outlines[2]] == [1, 1]


def test_holes_that_meet_at_a_corner_are_two_rings():
    mask = np.ones((4, 4), int)
    mask[1, 1] = mask[2, 2] = 0
    (polygon,) = exports.trace_outlines(mask)[1]
    assert len(polygon.holes) == 2
    assert polygon.area == 14


def test_an_instance_in_the_hole_of_another_is_no_part_of_it():
    instances = RING * 5
    instances[1, 1] = 3
    outlines = exports.trace_outlines(instances)
    assert list(outlines) == [3, 5]
    assert [len(outlines[n][0].holes) for n in (3, 5)] == [0, 1]


@settings(max_examples=200, deadline=None)
@given(INSTANCES)
def test_outlines_are_exact_and_valid(instances):
    outlines = exports.trace_outlines(instances)
    assert list(outlines) == [n for n in np.unique(instances) if n]
    for n, polygons in outlines.items():
        assert sum(polygon.area for polygon in polygons) == np.sum(instances == n)
        painted = np.zeros(instances.shape, int)
        for polygon in polygons:
            assert exports.signed_area(polygon.exterior) > 0
            assert all(exports.signed_area(hole) < 0 for hole in polygon.holes)
            for ring in (polygon.exterior, *polygon.holes):
                # No ring visits a point twice, and all its corners are right angles.
                assert len(np.unique(ring, axis=0)) == len(ring)
                steps = np.roll(ring, -1, axis=0) - ring
                assert np.all((steps[:, 0] == 0) ^ (np.roll(steps, 1, axis=0)[:, 0] == 0))
                # Another program's fill, of pixel centers.
                inside = polygon2mask(instances.shape, ring[:, ::-1] - 0.5)
                painted += inside if ring is polygon.exterior else -inside.astype(int)
        assert np.array_equal(painted, (instances == n).astype(int))
    assert np.array_equal(exports.fill_outlines(outlines, instances.shape), instances)


def test_outlines_of_a_large_image_are_exact_and_quick():
    instances = disks(2048, 37)
    started = time.perf_counter()
    outlines = exports.trace_outlines(instances)
    seconds = time.perf_counter() - started
    assert len(outlines) >= 3000
    areas = {n: sum(p.area for p in polygons) for n, polygons in outlines.items()}
    numbers, counts = np.unique(instances[instances > 0], return_counts=True)
    assert areas == dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    assert np.array_equal(exports.fill_outlines(outlines, instances.shape), instances)
    assert seconds < 20  # 0.5 s on two cores; a loop over whole-image masks takes minutes


def test_rings_turned_the_wrong_way_are_filled_all_the_same():
    (ring,) = exports.trace_outlines(RING)[1]
    turned = exports.Polygon(ring.exterior[::-1], tuple(hole[::-1] for hole in ring.holes))
    assert np.array_equal(exports.fill_outlines({1: [turned]}, (3, 3)), RING)


def test_outlines_that_cannot_be_filled_exactly_are_refused():
    triangle = exports.Polygon(np.array([[0, 0], [3, 0], [0, 3]]))
    with pytest.raises(LabelError, match="Outline 4 has slanted edges"):
        exports.fill_outlines({4: [triangle]}, (5, 5))
    square = exports.Polygon(np.array([[0, 0], [3, 0], [3, 3], [0, 3]]))
    with pytest.raises(LabelError, match="leaves the image of 3 x 2 pixels"):
        exports.fill_outlines({4: [square]}, (2, 3))
    with pytest.raises(LabelError, match="leaves the image of 2 x 3 pixels"):
        exports.fill_outlines({4: [square]}, (3, 2))


def test_the_area_is_exact_far_from_the_origin():
    far = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) + 10**9
    assert exports.signed_area(far) == 1.0


# GeoJSON


def test_geojson_has_what_qupath_reads(tmp_path):
    instances = np.zeros((5, 8), np.int32)
    instances[1:4, 1:4] = RING * 7
    instances[0, 5] = instances[4, 7] = 2
    exports.write_geojson(
        tmp_path / "objects.geojson",
        instances,
        {2: "debris", 7: "nucleus"},
        {"nucleus": "#56B4E9", "debris": (255, 0, 10)},
    )
    collection = json.loads((tmp_path / "objects.geojson").read_text(encoding="utf-8"))
    assert collection["type"] == "FeatureCollection"
    debris, nucleus = collection["features"]
    assert debris["type"] == nucleus["type"] == "Feature"
    assert debris["properties"] == {
        "objectType": "annotation",
        "name": "debris 2",
        "classification": {"name": "debris", "color": [255, 0, 10]},
        "instance": 2,
    }
    assert nucleus["properties"]["classification"] == {"name": "nucleus", "color": [86, 180, 233]}
    assert debris["geometry"]["type"] == "MultiPolygon"
    assert len(debris["geometry"]["coordinates"]) == 2
    assert nucleus["geometry"]["type"] == "Polygon"
    exterior, hole = nucleus["geometry"]["coordinates"]
    for ring in (exterior, hole):
        assert ring[0] == ring[-1]
        assert len(ring) == 5
    assert exports.signed_area(exterior) == 9  # counterclockwise, RFC 7946
    assert exports.signed_area(hole) == -1
    assert sorted(map(tuple, exterior[:4])) == [(1, 1), (1, 4), (4, 1), (4, 4)]
    assert sorted(map(tuple, hole[:4])) == [(2, 2), (2, 3), (3, 2), (3, 3)]


def test_geojson_comes_back_as_the_instances(tmp_path):
    instances = disks(200, 25)
    names = [f"class {n % 3}" for n in np.unique(instances)[1:]]
    exports.write_geojson(tmp_path / "objects.geojson", instances, names)
    outlines, class_of = exports.read_geojson(tmp_path / "objects.geojson")
    assert np.array_equal(exports.fill_outlines(outlines, instances.shape), instances)
    assert list(class_of.values()) == names


def test_classes_without_a_color_get_different_ones(tmp_path):
    exports.write_geojson(tmp_path / "objects.geojson", [[1, 2, 3]], ["a", "b", "a"])
    features = json.loads((tmp_path / "objects.geojson").read_text(encoding="utf-8"))["features"]
    first, second, third = (f["properties"]["classification"]["color"] for f in features)
    assert first == third
    assert first != second


def test_stack_geojson_keeps_overlaps_and_leaves_out_absent_classes(tmp_path):
    stack = np.zeros((3, 6, 6), bool)
    stack[0, :4] = True
    stack[2, 2:] = True
    path = tmp_path / "objects.geojson"
    exports.write_stack_geojson(path, stack, ["heart", "liver", "Lunge ü"], {"heart": "#ff0000"})
    outlines, names = exports.read_geojson(path)
    assert names == {1: "heart", 3: "Lunge ü"}
    for n, polygons in outlines.items():
        assert np.array_equal(exports.fill_outlines({n: polygons}, (6, 6)) == n, stack[n - 1])


def test_class_names_must_fit_the_instances(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(LabelError, match="2 instances, but 1 class names"):
        exports.write_geojson(path, [[1, 2]], ["cell"])
    with pytest.raises(LabelError, match="2 instances, but 1 class names"):
        exports.write_rle_csv(path, [[1, 2]], "ab")  # a name, not a sequence of names
    with pytest.raises(LabelError, match="Instance 2 has no class name"):
        exports.write_geojson(path, [[1, 2]], {1: "cell"})
    assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"features": [{"properties": {}}]}',
        '{"features": [{"properties": {"instance": 1, "classification": {"name": "a"}}, '
        '"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2]]]}}]}',
        '{"features": [{"properties": {"instance": 1, "classification": {"name": "a"}}, '
        '"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [2.5, 0], [2, 2], [0, 0]]]}}]}',
    ],
    ids=["damaged", "list", "no instance", "open ring", "fractions"],
)
def test_other_geojson_is_refused(tmp_path, text):
    (tmp_path / "other.geojson").write_text(text)
    with pytest.raises(LabelError, match=r"other\.geojson is not a GeoJSON file of instances"):
        exports.read_geojson(tmp_path / "other.geojson")


# Measurements


def test_region_table_measures_hand_drawn_objects():
    instances = np.array([[9, 9, 0, 0], [9, 9, 0, 4], [0, 0, 0, 4], [0, 0, 0, 4]])
    image = np.stack([np.arange(16).reshape(4, 4), np.full((4, 4), 7)]).astype(np.uint16)
    table = exports.region_table(instances, image)
    assert list(table) == [
        *("id", "area", "centroid_x", "centroid_y", "left", "top", "right", "bottom"),
        *("eccentricity", "equivalent_diameter"),
        *("mean_intensity_1", "min_intensity_1", "max_intensity_1"),
        *("mean_intensity_2", "min_intensity_2", "max_intensity_2"),
    ]
    assert table["id"].tolist() == [4, 9]
    assert table["area"].tolist() == [3, 4]
    assert table["centroid_y"].tolist() == [2.0, 0.5]
    assert table["centroid_x"].tolist() == [3.0, 0.5]
    boxes = np.stack([table[side] for side in ("left", "top", "right", "bottom")], axis=1)
    assert boxes.tolist() == [[3, 1, 4, 4], [0, 0, 2, 2]]  # right and bottom are outside
    assert table["equivalent_diameter"] == pytest.approx(np.sqrt([12 / np.pi, 16 / np.pi]))
    assert table["eccentricity"][1] == 0
    assert table["eccentricity"][0] == 1  # one pixel wide: a line
    assert table["mean_intensity_1"].tolist() == [11.0, 2.5]
    assert table["min_intensity_1"].tolist() == [7, 0]
    assert table["max_intensity_1"].tolist() == [15, 5]
    assert table["max_intensity_1"].dtype == np.uint16
    assert table["mean_intensity_2"].tolist() == [7.0, 7.0]


def test_eccentricity_is_that_of_the_ellipse_of_equal_moments():
    # Variances of 2 and of 3 pixels in a row: (n**2 - 1) / 12.
    (eccentricity,) = exports.region_table(np.ones((2, 3), int))["eccentricity"]
    assert eccentricity == pytest.approx(np.sqrt(1 - 3 / 8))


def test_region_table_refuses_an_image_of_another_size():
    with pytest.raises(LabelError, match="differ in size"):
        exports.region_table(np.ones((3, 4), int), np.zeros((1, 4, 3)))
    with pytest.raises(LabelError, match="differ in size"):
        exports.region_table(np.ones((3, 4), int), np.zeros((3, 4, 3)))


def test_objects_csv_is_the_table(tmp_path):
    instances = disks(60, 20)
    image = np.random.default_rng(0).random((3, 60, 60))
    table = exports.region_table(instances, image, instances / 10)
    exports.write_objects_csv(tmp_path / "objects.csv", table, ["cell"] * 9)
    read = pd.read_csv(tmp_path / "objects.csv")
    assert list(read)[:3] == ["id", "class", "area"]
    assert (read["class"] == "cell").all()
    assert read["mean_probability"].to_numpy() == pytest.approx(read["id"] / 10)
    for name, column in table.items():
        assert np.array_equal(read[name], column)
    assert read["mean_intensity_2"][4] == pytest.approx(image[1][instances == 5].mean())


# Nothing found, and nothing half written


def test_no_objects_give_valid_files_with_their_headers(tmp_path):
    nothing = np.zeros((4, 5), np.int32)
    image = np.ones((2, 4, 5), np.float32)
    exports.write_rle_csv(tmp_path / "rle.csv", nothing, [])
    exports.write_geojson(tmp_path / "objects.geojson", nothing, [])
    table = exports.region_table(nothing, image, nothing)
    exports.write_objects_csv(tmp_path / "objects.csv", table, [])
    exports.write_coco(tmp_path / "coco.json", nothing, [], ["cell"], "a.png")
    assert (tmp_path / "rle.csv").read_text() == "label,id,order,first_pixel,height,width,rle\n"
    assert exports.read_rle_csv(tmp_path / "rle.csv") == ()
    assert json.loads((tmp_path / "objects.geojson").read_text()) == {
        "type": "FeatureCollection",
        "features": [],
    }
    assert exports.read_geojson(tmp_path / "objects.geojson") == ({}, {})
    assert (tmp_path / "objects.csv").read_text() == (
        "id,class,area,centroid_x,centroid_y,left,top,right,bottom,"
        "eccentricity,equivalent_diameter,mean_intensity_1,min_intensity_1,max_intensity_1,"
        "mean_intensity_2,min_intensity_2,max_intensity_2,mean_probability\n"
    )
    assert exports.fill_outlines({}, (4, 5)).tolist() == nothing.tolist()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "mask.png"
    exports.write_mask_png(path, [[1]])
    monkeypatch.setattr(files.Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        exports.write_mask_png(path, [[2]])
    assert exports.read_mask_png(path).tolist() == [[1]]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_there_is_replaced_with_a_readable_one(tmp_path):
    path = tmp_path / "mask.png"
    plain = tmp_path / "plain"
    plain.touch()
    for value in (1, 2):
        exports.write_mask_png(path, [[value]])
    assert exports.read_mask_png(path).tolist() == [[2]]
    assert path.stat().st_mode == plain.stat().st_mode  # not private to the writer
    assert sorted(tmp_path.iterdir()) == [path, plain]
