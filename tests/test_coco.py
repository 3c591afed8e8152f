"""COCO files against masks drawn by hand, and against whatever may be wrong with them."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.images import MAX_PIXELS
from hf_unet.labels import read_coco, read_labels
from hf_unet.labels.runs import check_lengths, decode_lengths, draw_runs

CELLS = ("background", "cell", "debris")


def box(left: float, top: float, right: float, bottom: float) -> list[float]:
    """A rectangle as a polygon of x, y, x, y, ..."""
    return [left, top, right, top, right, bottom, left, bottom]


def annotation(segmentation: object, category: int = 7, **more: object) -> dict[str, Any]:
    entry = {"id": 40, "image_id": 1, "category_id": category, "segmentation": segmentation}
    return {**entry, **more}


def coco(*annotations: dict[str, Any], **more: object) -> dict[str, Any]:
    """Two images of 6 x 4 pixels and three categories."""
    return {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 4, "width": 6},
            {"id": 2, "file_name": "deep/b.png", "height": 4, "width": 6},
        ],
        "categories": [
            {"id": 7, "name": "cell"},
            {"id": 9, "name": "Debris"},
            {"id": 3, "name": "ignore"},
        ],
        "annotations": list(annotations),
        **more,
    }


def drawn(*annotations: dict[str, Any], **options: Any) -> NDArray[Any]:
    return read_coco(coco(*annotations)).labels("a.png", CELLS, **options).array


# --- polygons ----------------------------------------------------------------------------------


def test_a_polygon_covers_the_pixels_whose_center_it_holds() -> None:
    found = drawn(annotation([box(1, 1, 4, 3)]))
    assert found.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_polygons_of_one_annotation_are_parts_of_one_object() -> None:
    expected = [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 2, 2],
    ]
    # The second lies inside the first: no hole is cut, as by the even-odd rule of one outline.
    parts = annotation([box(0, 0, 3, 3), box(1, 1, 2, 2)])
    other = annotation([box(4, 2, 6, 4)], category=9)
    assert drawn(parts, other).tolist() == expected
    apart = annotation([box(0, 0, 3, 3), box(4, 2, 6, 4)])
    objects = read_coco(coco(apart)).labels("a.png", kind="instances")
    assert objects.array.tolist() == np.minimum(expected, 1).tolist()
    assert objects.found == "one region labeled cell: one instance"


def test_what_reaches_beyond_the_image_is_cut_off() -> None:
    found = drawn(annotation([box(-5, 2.5, 1.5, 40)]))
    # A center on the top or left edge itself is in, one on the bottom or right edge is out.
    assert np.argwhere(found).tolist() == [[2, 0], [3, 0]]
    found = drawn(annotation([box(-5, 2.4, 1.6, 40)]))
    assert np.argwhere(found).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert drawn(annotation([box(-9, -9, 99, 99)])).all()


def test_a_polygon_without_any_pixel_center_draws_nothing() -> None:
    for thin in (box(1.6, 1, 2.4, 3), box(2, 1, 2, 3), box(1, 2, 5, 2)):
        assert not drawn(annotation([thin])).any()


def test_a_polygon_is_drawn_alike_wherever_its_box_lies() -> None:
    generator = np.random.default_rng(8)
    for _ in range(30):
        corners = generator.integers(0, 64, (5, 2)) / 4  # quarters: no rounding in between
        whole = {"annotations": [{"label": "x", "points": corners.tolist()}]}
        content = coco(annotation([(corners + np.array([3, 5])).ravel().tolist()]))
        content["images"][0] |= {"height": 24, "width": 22}
        expected = read_labels(whole, size=(16, 16), kind="classes").array
        found = read_coco(content).labels("a.png").array
        assert np.array_equal(found[5:21, 3:19], expected)
        assert found.sum() == expected.sum()


# --- run lengths -------------------------------------------------------------------------------

RING = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 1, 0, 1, 0],
        [0, 0, 1, 1, 1, 0],
    ]
)
RING_LENGTHS = [9, 3, 1, 1, 1, 1, 1, 3, 4]
"""Down the columns: 9 empty, 3 full, ... The first two columns are 8 of the 9."""


def compressed(lengths: list[int]) -> str:
    """The code of `decode_lengths`, written from the rule."""
    text = ""
    for index, length in enumerate(lengths):
        number = length - lengths[index - 2] if index > 2 else length
        going_on = True
        while going_on:
            group, number = number & 31, number >> 5
            sign = bool(group & 16)
            going_on = number != (-1 if sign else 0)
            text += chr(48 + group + 32 * going_on)
    return text


@pytest.mark.parametrize(
    "counts", [RING_LENGTHS, compressed(RING_LENGTHS), compressed(RING_LENGTHS).encode()]
)
def test_run_lengths_go_down_the_columns(counts: object) -> None:
    found = drawn(annotation({"size": [4, 6], "counts": counts}))
    assert np.array_equal(found, RING)


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        # As the tools of COCO write them.
        ([0, 6, 1, 3], "061M"),
        ([0, 6, 1, 5], "061O"),
        ([0, 6, 1, 6], "0610"),
        ([0, 1, 1, 2, 1, 3, 1, 4, 1], "011101010"),
        ([0, 1024], "0PP1"),
        ([15, 16, 31, 32], "?`0o0`0"),
        ([], ""),
    ],
)
def test_compressed_lengths_by_hand(lengths: list[int], text: str) -> None:
    assert decode_lengths(text) == lengths
    assert compressed(lengths) == text


@given(st.lists(st.integers(0, MAX_PIXELS), max_size=30))
def test_compressing_and_decoding_are_a_pair(lengths: list[int]) -> None:
    assert decode_lengths(compressed(lengths)) == lengths


@given(height=st.integers(1, 7), width=st.integers(1, 7), bits=st.integers(0, 2**49 - 1))
def test_lengths_of_any_mask_draw_it(height: int, width: int, bits: int) -> None:
    mask = np.array([bits >> n & 1 for n in range(height * width)], bool).reshape(height, width)
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False)).tolist()
    lengths = np.diff([0, *edges, flat.size]).tolist()
    patch = draw_runs(check_lengths(lengths, mask.shape, ""), mask.shape)
    found = np.zeros_like(mask)
    found[patch.place] = patch.mask
    assert np.array_equal(found, mask)


def test_runs_may_be_empty_or_fill_the_image() -> None:
    for counts, area in (([24], 0), ([0, 24], 24), ([0, 0, 0, 24, 0], 24), ([23, 1], 1)):
        assert drawn(annotation({"size": [4, 6], "counts": counts})).sum() == area


# --- one image of many -------------------------------------------------------------------------


def test_each_image_has_its_own_annotations(tmp_path: Path) -> None:
    content = coco(annotation([box(0, 0, 2, 2)]), annotation([box(3, 0, 6, 4)], 9, image_id=2))
    path = tmp_path / "all.json"
    path.write_text(json.dumps(content))
    for source in (content, path, str(path), path.read_bytes()):
        file = read_coco(source)
        assert list(file.images) == ["a.png", "deep/b.png"]
        assert file.images["a.png"].size == (4, 6)
        assert file.categories == ("cell", "Debris", "ignore")
        first, second = (file.labels(name, CELLS) for name in file.images)
        assert (first.kind, second.kind) == ("classes", "classes")
        assert np.unique(first.array).tolist() == [0, 1] and first.array.sum() == 4
        assert np.unique(second.array).tolist() == [0, 2] and second.array.sum() == 24
    assert read_coco(path).name == "all.json"


def test_an_image_without_annotations_is_background() -> None:
    file = read_coco(coco())
    labels = file.labels("a.png", CELLS)
    assert labels.kind == "classes" and labels.array.shape == (4, 6) and not labels.array.any()
    assert labels.found == "no regions: classes background, cell, debris"
    assert not file.labels("a.png", kind="instances").array.any()


LEFT, MIDDLE = annotation([box(0, 0, 3, 4)]), annotation([box(2, 1, 5, 3)], category=9)


def test_classes_that_overlap_are_a_stack_or_instances() -> None:
    file = read_coco(coco(LEFT, MIDDLE))
    labels = file.labels("a.png", CELLS)
    assert labels.kind == "multilabel"
    assert [int(plane.sum()) for plane in labels.array] == [8, 12, 6]
    assert file.labels("a.png", ("Cell", "debris")).kind == "multilabel"
    objects = file.labels("a.png", kind="instances")
    assert objects.array.dtype == np.int32
    assert np.bincount(objects.array.ravel()).tolist() == [8, 10, 6]
    assert "(2 pixels in several, the last has them): two instances" in objects.found
    foreground = file.labels("a.png")  # by default every object is that
    assert foreground.kind == "instances" and foreground.class_map().sum() == 16
    with pytest.raises(LabelError, match="more than one of the classes"):
        file.labels("a.png", CELLS, kind="classes")
    with pytest.raises(LabelError, match="Instances belong to one class"):
        file.labels("a.png", CELLS, kind="instances")
    with pytest.raises(LabelError, match=r"a\.png in .*labeled Debris, cell, but .*class Debris"):
        file.labels("a.png", ("background", "cell"))


def test_objects_of_one_class_that_touch_stay_two() -> None:
    file = read_coco(coco(LEFT, annotation([box(3, 0, 5, 4)])))
    for classes in (("background", "cell"), ("background", "foreground")):
        labels = file.labels("a.png", classes)
        assert labels.kind == "instances" and labels.found.endswith(": two instances")
        assert labels.array[0].tolist() == [1, 1, 1, 2, 2, 0]
        one = file.labels("a.png", classes, kind="classes")
        assert one.kind == "classes" and one.array[0].tolist() == [1, 1, 1, 1, 1, 0]
    assert file.labels("a.png", CELLS).kind == "classes"
    assert file.labels("a.png", ("cell",)).kind == "multilabel"


COLUMN = [box(4, 0, 6, 4)]


@pytest.mark.parametrize(
    ("entry", "counted"),
    [
        (annotation({"size": [4, 6], "counts": [16, 8]}, iscrowd=1), 1),
        (annotation(COLUMN, ignore=1), 1),
        (annotation(COLUMN, ignore=True, iscrowd=0), 1),
        (annotation(COLUMN, category=3), 1),
        (annotation(COLUMN, category=9, iscrowd=1), 1),
        (annotation([], iscrowd=1, bbox=[4, 0, 2, 4]), 1),
        (annotation(None, ignore=1, bbox=[4.0, 0.0, 2.0, 4.0]), 1),
        (annotation([box(2, 0, 6, 4)], ignore=1), 1),  # an object stays known
        (annotation([box(0, 0, 1, 1)], iscrowd=1), 0),
        (annotation(COLUMN, iscrowd=0, ignore=0), None),
        (annotation(COLUMN, iscrowd=None), None),
    ],
)
def test_nothing_is_known_of_crowds_and_of_what_is_to_ignore(
    entry: dict[str, Any], counted: int | None
) -> None:
    cells = annotation([box(0, 0, 4, 4)])
    labels = read_coco(coco(entry, cells)).labels("a.png", ("background", "cell"))
    assert labels.kind == "instances"
    if counted is None:
        assert labels.known is None and labels.array.max() == 2
        return
    assert labels.array.tolist() == [[1, 1, 1, 1, 0, 0]] * 4
    assert labels.found == "one region labeled cell, one region unknown: one instance"
    if counted:
        assert labels.known is not None
        assert labels.known.tolist() == [[True] * 4 + [False] * 2] * 4
    else:
        assert labels.known is None


def test_an_unknown_region_in_every_kind_of_labels() -> None:
    file = read_coco(coco(LEFT, MIDDLE, annotation([box(1, 0, 6, 4)], iscrowd=1)))
    corner = annotation([box(4, 0, 6, 4)], category=9)
    disjoint = read_coco(coco(LEFT, corner, annotation([box(1, 0, 6, 4)], iscrowd=1)))
    labels = disjoint.labels("a.png", CELLS)
    assert labels.kind == "classes" and labels.known is not None
    np.testing.assert_array_equal(~labels.known, [[0, 0, 0, 1, 0, 0]] * 4)
    # Where classes may overlap, a cell in a crowd may be debris, too.
    stack = file.labels("a.png", CELLS)
    assert stack.kind == "multilabel" and stack.known is not None
    np.testing.assert_array_equal(~stack.known, [[0, 1, 1, 1, 1, 1]] * 4)
    alone = read_coco(coco(LEFT, annotation([box(1, 0, 6, 4)], iscrowd=1)))
    single = alone.labels("a.png", ("cell",))
    assert single.kind == "multilabel" and single.known is not None
    np.testing.assert_array_equal(~single.known, [[0, 0, 0, 1, 1, 1]] * 4)
    named = read_coco(coco(annotation(COLUMN, category=3))).labels("a.png", ("cell", "ignore"))
    assert named.known is None and named.array.sum() == 8


def test_an_unknown_region_without_any_place_is_refused() -> None:
    for more in (
        {},
        {"bbox": 4},
        {"bbox": [1, 2]},
        {"bbox": ["4", 0, 2, 4]},
        {"bbox": [9, 9, 1, 1]},
    ):
        file = read_coco(coco(annotation([], iscrowd=1, **more)))
        with pytest.raises(LabelError, match=r"nnotation 40 \(cell\)"):
            file.labels("a.png")


def test_the_size_is_the_files_or_the_callers() -> None:
    content = coco(LEFT)
    assert read_coco(content).labels("a.png", size=(4, 6)).array.sum() == 12
    with pytest.raises(LabelError, match=r"a\.png in .* is 6 x 4 pixels .* its image is 6 x 5"):
        read_coco(content).labels("a.png", size=(5, 6))
    del content["images"][0]["width"]
    assert read_coco(content).labels("a.png", size=(5, 8)).array.shape == (5, 8)
    with pytest.raises(LabelError, match=r"does not state the image's size. Pass size=\(height"):
        read_coco(content).labels("a.png")
    content["images"][0]["width"] = 6.0
    assert read_coco(content).images["a.png"].size == (4, 6)


def test_a_file_of_one_image_is_a_label_file(tmp_path: Path) -> None:
    content = coco(LEFT)
    path = tmp_path / "b.json"
    with pytest.raises(LabelError, match=r"COCO file of two images, .*read_coco\(file\)\.labels"):
        read_labels(content)
    del content["images"][1]
    path.write_text(json.dumps(content))
    for source in (content, path, path.read_bytes()):
        labels = read_labels(source, CELLS, size=(4, 6))
        assert labels.array.sum() == 12 and labels.found.startswith("one region labeled cell")
    with pytest.raises(LabelError, match=r"a\.png in b\.json is 6 x 4 pixels"):
        read_labels(path, CELLS, size=(9, 9))


# --- what is wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": None}, "no COCO file: it holds no list of images"),
        ({"categories": {}}, "no list of categories"),
        ({"annotations": [3]}, "no list of annotations"),
        ({"images": [{"file_name": "a.png"}]}, "image number 1 of the COCO file has no id"),
        ({"images": [{"id": True, "file_name": "a.png"}]}, "has no id"),
        ({"images": [{"id": 1}]}, "The image 1 of the COCO file has no file_name"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, "image number 2 .* has the id 1, as"),
        (
            {"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}]},
            "two images of the file_name a",
        ),
        ({"images": [{"id": 1, "file_name": "a", "height": -4, "width": 6}]}, "6 x -4 pixels"),
        ({"images": [{"id": 1, "file_name": "a", "height": 4.5, "width": 6}]}, "6 x 4.5 pixels"),
        ({"categories": [{"id": 7}]}, "The category 7 of the COCO file has no name"),
        ({"annotations": [annotation([], image_id=5)]}, "The image_id 5 of annotation 40 of the C"),
        ({"annotations": [annotation([], category=1)]}, "category_id 1 .* there are 7, 9, 3"),
        ({"annotations": [annotation([], id=None, image_id=[])]}, "annotation number 1 of the"),
        ({"annotations": [annotation([], iscrowd=2)]}, "iscrowd of annotation 40 .* 0 or 1, not 2"),
        ({"annotations": [annotation([], ignore="yes")]}, "ignore of annotation 40 .* not 'yes'"),
        ({"annotations": [{"id": 1, "segments_info": []}]}, "panoptic COCO file"),
    ],
)
def test_what_is_no_coco_file(change: dict[str, Any], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_coco(coco(**change))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        (None, r"Annotation 40 \(cell\) of x\.json has no outline"),
        ([], "has no outline"),
        (box(0, 0, 2, 2), r"A polygon of annotation 40 \(cell\) of x\.json is no list of pairs"),
        ([[0, 0, 1, 1, 2]], "no list of pairs"),
        ([["0", "0", "1", "1", "2", "0"]], "no list of pairs"),
        ([[[0, 0], [2, 0], [2, 2]]], "no list of pairs"),
        ([[0, 0, 2, 2]], r"annotation 40 \(cell\) of x\.json has 2 points; an area needs three"),
        ([[0, 0, 2, float("nan"), 0, 2]], "is not a list of"),
        ([[0, 0, 10**400, 0, 0, 2]], "is not a list of"),
        ([[0, 0, 1e300, 0, 0, 2]], "coordinates beyond any image"),
        ([box(0, 0, 2, 2), box(6, 0, 9, 4)], r"Annotation 40 .* outside the image of 6 x 4 pixels"),
        ([box(0, -3, 2, 0)], "outside the image"),
        ({}, "lacks its size or its counts"),
        ({"size": [4, 6]}, "lacks its size or its counts"),
        ({"size": [6, 4], "counts": [24]}, r"size \[6, 4\], but its image has \[4, 6\] \(height"),
        ({"size": "4x6", "counts": [24]}, "of the size '4x6'"),
        ({"size": [4, 6], "counts": [20, 3]}, r"add up to 23 pixels, .* 6 x 4 pixels has 24"),
        ({"size": [4, 6], "counts": []}, "add up to 0 pixels"),
        ({"size": [4, 6], "counts": [2**63] * 2}, "add up to at least 9223372036854775808 pixels"),
        ({"size": [4, 6], "counts": [25, -1]}, "hold a negative one"),
        ({"size": [4, 6], "counts": [12.0, 12.0]}, "no list of whole numbers"),
        ({"size": [4, 6], "counts": [[12], [6, 6]]}, "no list of whole numbers"),
        ({"size": [4, 6], "counts": [10**30]}, "no list of whole numbers"),
        ({"size": [4, 6], "counts": 24}, "no list of whole numbers"),
        ({"size": [4, 6], "counts": "8!"}, "hold the character '!'"),
        ({"size": [4, 6], "counts": "8p"}, "hold the character 'p'"),
        ({"size": [4, 6], "counts": "8P"}, "are cut short"),
        ({"size": [4, 6], "counts": "o" * 50}, "a number beyond any image"),
        ({"size": [4, 6], "counts": "@"}, "hold a negative one"),
        ({"size": [4, 6], "counts": ""}, "add up to 0 pixels"),
    ],
)
def test_annotations_that_cannot_be_drawn(segmentation: object, message: str) -> None:
    file = read_coco(
        coco(annotation(segmentation), annotation([box(0, 0, 1, 1)], image_id=2)), "x.json"
    )
    for kind in ("classes", "instances"):
        with pytest.raises(LabelError, match=message):
            file.labels("a.png", kind=kind)
    assert file.labels("deep/b.png").array.sum() == 1  # the others are read all the same


def test_what_cannot_be_a_coco_file_at_all(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_bytes(b'{"images": [')
    for source, message in (
        (tmp_path / "cut.json", r"^cut\.json is not valid JSON"),
        (tmp_path / "missing.json", r"missing\.json does not exist"),
        (b"[]", "no COCO file"),
        ([], "cannot be read from a list"),
    ):
        with pytest.raises(LabelError, match=message) as caught:
            read_coco(source)  # type: ignore[arg-type]
        assert str(tmp_path) not in str(caught.value)


def test_an_image_that_is_not_in_the_file_is_named() -> None:
    with pytest.raises(LabelError, match=r"has no image b\.png\. .*two images, such as a\.png, d"):
        read_coco(coco()).labels("b.png")
    with pytest.raises(LabelError, match=r"has no image b\.png\. It has no images\."):
        read_coco(coco(images=[])).labels("b.png")


def test_memory_is_bounded() -> None:
    content = coco(LEFT)
    content["images"][0] |= {"height": 10**5, "width": 10**5}
    with pytest.raises(LabelError, match="100000 x 100000 pixels: too many"):
        read_coco(content).labels("a.png")
    content["images"][0] |= {"height": 10**4, "width": 10**4}
    zigzag = [number for x in range(2100) for number in (x, 10**4 * (x % 2))]
    content["annotations"] = [annotation([zigzag])]
    with pytest.raises(LabelError, match="goes up and down too often"):
        read_coco(content).labels("a.png")


# --- anything may be wrong ---------------------------------------------------------------------

JUNK: list[Any] = [None, True, -1, 0, 7, 2.5, 10**30, 1e300, float("nan"), "", "cell", "o" * 9]
JUNK += [[], {}, [[]], [None], [[1, 2, 3]], {"size": [4, 6]}, {"counts": "0PP1", "size": [4, 6]}]


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in a parsed JSON."""
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from places(node[key])


def test_mutated_files_raise_label_errors_only() -> None:
    generator = np.random.default_rng(12)
    whole = coco(
        LEFT,
        MIDDLE,
        annotation({"size": [4, 6], "counts": RING_LENGTHS}, iscrowd=0),
        annotation({"size": [4, 6], "counts": compressed(RING_LENGTHS)}),
        annotation({"size": [4, 6], "counts": [0, 24]}, iscrowd=1),
    )
    del whole["images"][1]
    messages, read = [], 0
    for trial in range(600):
        content = copy.deepcopy(whole)
        for _ in range(1 + trial % 5 // 4):
            found = list(places(content))
            container, key = found[generator.integers(len(found))]
            if trial % 4 == 0:
                del container[key]
            else:
                container[key] = copy.deepcopy(JUNK[generator.integers(len(JUNK))])
        source: Any = content
        if trial % 3 == 0:
            text = bytearray(json.dumps(content).encode())
            if trial % 2:
                text[generator.integers(len(text))] = generator.integers(256)
            source = bytes(text)
        kind = [None, "classes", "instances", "multilabel"][generator.integers(4)]
        try:
            if trial % 2:
                labels = read_labels(source, kind=kind)
            else:
                labels = read_coco(source, "x.json").labels("a.png", kind=kind, size=(4, 6))
            labels.stack()
            read += 1
        except LabelError as error:
            messages.append(str(error))
    assert len(messages) > 300 and read > 60
    assert not [message for message in messages if not message.endswith((".", ")", "?"))]
