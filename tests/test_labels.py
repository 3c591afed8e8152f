"""Labels as people have them: what each file is taken for, what is refused, and the words."""

import io
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from hf_unet.errors import LabelError
from hf_unet.labels import Labels, read_labels
from hf_unet.labels.evidence import looks_smoothed
from hf_unet.labels.polygons import Region, read_polygons, region_mask

TWO = ("background", "nucleus")
THREE = ("background", "nucleus", "debris")

SHAPES = np.array(
    [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 0, 2, 2],
        [0, 1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0, 0],
    ],
    np.uint8,
)


def png(values: np.ndarray, mode: str | None = None) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(stream, "PNG")
    return stream.getvalue()


def tiff(values: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def blobs(count: int, dtype: type = np.uint16, step: int = 1) -> np.ndarray:
    """A row-by-row grid of 4x4 squares with the ids step, 2 step, ..."""
    columns = 10
    image = np.zeros((6 * -(-count // columns), 6 * columns), dtype)
    for number in range(count):
        row, column = divmod(number, columns)
        image[6 * row + 1 : 6 * row + 5, 6 * column + 1 : 6 * column + 5] = (number + 1) * step
    return image


# Class maps


@pytest.mark.parametrize("value", [1, 7, 254, 255])
def test_zero_and_one_other_value_are_two_classes(value: int) -> None:
    labels = read_labels(png((SHAPES > 0) * np.uint8(value)), TWO)
    assert labels.kind == "classes"
    assert labels.found == f"values 0 and {value}: two classes (background, nucleus)"
    np.testing.assert_array_equal(labels.class_map(), SHAPES > 0)
    assert labels.class_map().dtype == np.uint8


@pytest.mark.parametrize(
    "source",
    [
        png((SHAPES > 0) * np.uint16(65535)),
        png((SHAPES > 0) * np.uint16(1)),
        png(SHAPES > 0),
        tiff(SHAPES > 0, photometric="minisblack"),
        tiff((SHAPES > 0).astype(np.float32)),
        png((SHAPES > 0) * np.uint8(255), "RGB"),
        png((SHAPES > 0) * np.uint8(255), "RGBA"),
        png((SHAPES > 0) * np.uint8(255), "LA"),
        (SHAPES > 0),
        (SHAPES > 0) * 255.0,
        (SHAPES > 0).tolist(),
        torch.from_numpy(SHAPES > 0),
        torch.from_numpy((SHAPES > 0)[None]),
        Image.fromarray(SHAPES > 0),
        np.repeat((SHAPES > 0)[:, :, None] * np.uint8(255), 3, axis=2),
    ],
    ids=lambda source: type(source).__name__,
)
def test_binary_masks_in_every_wrapping(source: object) -> None:
    np.testing.assert_array_equal(read_labels(source, TWO).class_map(), SHAPES > 0)


def test_mask_drawn_in_the_transparency() -> None:
    drawn = np.zeros((*SHAPES.shape, 4), np.uint8)
    drawn[..., 3] = (SHAPES > 0) * 255
    np.testing.assert_array_equal(read_labels(png(drawn)).class_map(), SHAPES > 0)


def test_values_below_the_number_of_classes_are_the_classes() -> None:
    labels = read_labels(png(SHAPES), THREE)
    assert labels.found == "values 0, 1, 2: three classes (background, nucleus, debris)"
    np.testing.assert_array_equal(labels.class_map(), SHAPES)


def test_greys_spread_evenly_over_the_range() -> None:
    greys = np.array([0, 128, 255], np.uint8)[SHAPES]
    np.testing.assert_array_equal(read_labels(greys, THREE).class_map(), SHAPES)
    with pytest.raises(LabelError, match="values 0 and 255, but three classes"):
        read_labels(np.where(greys == 128, 0, greys), THREE)


def test_given_greys_name_the_classes() -> None:
    greys = np.array([9, 200, 50], np.uint8)[SHAPES]
    labels = read_labels(greys, THREE, colors=[9, 200, 50])
    np.testing.assert_array_equal(labels.class_map(), SHAPES)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (1, 1), (255, 1), (65535, 1)])
def test_one_value_is_an_ordinary_mask(value: int, expected: int) -> None:
    labels = read_labels(np.full((3, 4), value, np.uint16), TWO)
    assert labels.kind == "classes"
    np.testing.assert_array_equal(labels.class_map(), np.full((3, 4), expected))
    assert labels.found == f"the single value {value}: every pixel is {TWO[expected]}"


def test_palette_indices_are_classes_whatever_the_colors() -> None:
    image = Image.fromarray(SHAPES).convert("P")
    image.putdata(SHAPES.ravel().tolist())
    image.putpalette([255, 255, 255, 9, 9, 200, 9, 0, 0])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    assert Image.open(io.BytesIO(stream.getvalue())).mode == "P"
    np.testing.assert_array_equal(read_labels(stream.getvalue(), THREE).class_map(), SHAPES)
    # ... unless the colors asked for are in the palette
    colors = [(9, 0, 0), (255, 255, 255), (9, 9, 200)]
    swapped = read_labels(stream.getvalue(), THREE, colors=colors).class_map()
    np.testing.assert_array_equal(swapped, np.array([1, 2, 0])[SHAPES])


def test_black_and_white_palette_is_read_by_color() -> None:
    image = Image.fromarray((SHAPES == 0).astype(np.uint8)).convert("P")
    image.putdata((SHAPES == 0).astype(np.uint8).ravel().tolist())
    image.putpalette([255, 255, 255, 0, 0, 0])
    np.testing.assert_array_equal(read_labels(image, TWO).class_map(), SHAPES > 0)


def with_palette(indices: np.ndarray, *colors: tuple[int, int, int]) -> bytes:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette([value for color in colors for value in color])
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def quantized(picture: np.ndarray, colors: int = 256) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).quantize(colors).save(stream, "PNG")
    return stream.getvalue()


BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 200, 0)


@pytest.mark.parametrize("color", [WHITE, RED, (128, 128, 128)])
def test_a_picture_reduced_to_a_palette_reads_as_the_picture(color: tuple[int, int, int]) -> None:
    picture = np.array([BLACK, color], np.uint8)[(SHAPES > 0).astype(int)]
    reduced = quantized(picture)
    assert Image.open(io.BytesIO(reduced)).getpalette()[:3] == list(color), "not black first"
    for kind in (None, "classes", "instances", "multilabel"):
        labels = read_labels(reduced, TWO, kind=kind)
        np.testing.assert_array_equal(labels.class_map(), SHAPES > 0, str(kind))
    # where all is object, or all is background, one color is left
    everywhere = np.full((4, 6, 3), color, np.uint8)
    assert read_labels(quantized(everywhere), TWO).class_map().all()
    assert not read_labels(with_palette(0 * SHAPES + 1, color, BLACK), TWO).class_map().any()


def test_colors_of_a_reduced_picture_are_no_ids() -> None:
    reduced = with_palette(np.array([2, 0, 1])[SHAPES], RED, GREEN, BLACK)
    with pytest.raises(LabelError, match=r"three colors .* for two classes"):
        read_labels(reduced, TWO)
    labels = read_labels(reduced, TWO, kind="instances")
    np.testing.assert_array_equal(labels.array, np.array([0, 255, 200 * 256])[SHAPES])


def test_greys_of_a_reduced_picture_are_greys() -> None:
    greys = np.array([0, 128, 255], np.uint8)[SHAPES]
    np.testing.assert_array_equal(read_labels(quantized(greys), THREE).class_map(), SHAPES)
    with pytest.raises(LabelError, match="values 0 and 255, but three classes"):
        read_labels(quantized(np.where(greys == 128, 0, greys)), THREE)
    with pytest.raises(LabelError, match=r"(?s)values 0, .*, 255, scattered.*threshold=127 "):
        read_labels(quantized(smoothed(), 4), TWO)
    # whatever the order of the palette, a threshold parts greys
    order = with_palette(SHAPES, BLACK, (90, 90, 90), WHITE)
    for source, expected in ((quantized(greys), SHAPES > 0), (order, SHAPES > 1)):
        labels = read_labels(source, TWO, threshold=127)
        np.testing.assert_array_equal(labels.class_map(), expected)


@pytest.mark.parametrize("classes", [TWO, THREE])
def test_indices_of_a_palette_that_begins_with_black_are_classes(classes: tuple[str, ...]) -> None:
    drawn = np.minimum(SHAPES, len(classes) - 1)
    for palette in ((BLACK, GREEN, RED), (BLACK, WHITE, RED), (BLACK, RED, BLACK)):
        labels = read_labels(with_palette(drawn, *palette), classes)
        np.testing.assert_array_equal(labels.class_map(), drawn)


@pytest.mark.parametrize(
    ("palette", "classes", "said"),
    [
        ((WHITE, RED, BLACK), THREE, r"index 0, .*, is white, and black, .*, is index 2"),
        ((WHITE, RED, BLACK), TWO, r"index 0, .*, is white, and black, .*, is index 2"),
        ((RED, BLACK, GREEN), THREE, r"is \(255, 0, 0\), and black, .*, is index 1"),
        ((RED, WHITE, GREEN), TWO, r"is \(255, 0, 0\), and white, .*, is index 1"),
    ],
)
def test_palettes_with_two_backgrounds_are_asked_about(
    palette: tuple[tuple[int, int, int], ...], classes: tuple[str, ...], said: str
) -> None:
    source = with_palette(SHAPES, *palette)
    with pytest.raises(LabelError, match=said) as caught:
        read_labels(source, classes)
    assert "in grey, with a number for each class" in caught.value.in_recipe
    if classes is THREE:
        labels = read_labels(source, THREE, colors=palette)
        np.testing.assert_array_equal(labels.class_map(), SHAPES)


def test_palettes_of_single_masks_and_pages(tmp_path: Path) -> None:
    masks = [SHAPES == 1, SHAPES == 2]
    reduced = [quantized(masks[0] * np.uint8(255)), with_palette(masks[1], BLACK, WHITE)]
    np.testing.assert_array_equal(read_labels(reduced, ("a", "b")).array, masks)
    # each page has a palette of its own
    pages = [Image.open(io.BytesIO(source)) for source in reduced]
    pages.append(Image.fromarray(np.full((4, 6), 255, np.uint8)).quantize())
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    labels = read_labels(tmp_path / "pages.tif", ("a", "b", "c"))
    np.testing.assert_array_equal(labels.array, [*masks, np.ones((4, 6))])
    one = read_labels(tmp_path / "pages.tif", TWO, page=2)
    assert one.class_map().all()


def test_palette_tiff_keeps_its_indices() -> None:
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, 1], colormap[:, 2] = (65535, 0, 0), (0, 65535, 0)
    source = tiff(SHAPES, photometric="palette", colormap=colormap)
    np.testing.assert_array_equal(read_labels(source, THREE).class_map(), SHAPES)
    reversed_colors = [(0, 255, 0), (255, 0, 0), (0, 0, 0)]
    by_color = read_labels(source, THREE, colors=reversed_colors).class_map()
    np.testing.assert_array_equal(by_color, 2 - SHAPES)


# Colors

RGB = np.array([[0, 0, 0], [255, 0, 0], [0, 200, 0]], np.uint8)


@pytest.mark.parametrize("colors", [RGB.tolist(), ["#000000", "#ff0000", "#00c800"]])
def test_given_colors_name_the_classes(colors: list[object]) -> None:
    labels = read_labels(png(RGB[SHAPES]), THREE, colors=colors)
    np.testing.assert_array_equal(labels.class_map(), SHAPES)
    assert labels.found == (
        "three colors (black = background, (255, 0, 0) = nucleus, (0, 200, 0) = debris): "
        "three classes (background, nucleus, debris)"
    )


def test_colors_are_discovered_black_first() -> None:
    labels = read_labels(png(RGB[SHAPES]), THREE)
    # (0, 200, 0) sorts before (255, 0, 0)
    np.testing.assert_array_equal(labels.class_map(), np.array([0, 2, 1])[SHAPES])
    assert "(0, 200, 0) = nucleus" in labels.found
    two = read_labels(RGB[(SHAPES > 0).astype(int)], TWO)
    np.testing.assert_array_equal(two.class_map(), SHAPES > 0)


def test_a_color_of_no_class_is_named() -> None:
    with pytest.raises(LabelError, match=r"16\.7% of the pixels, such as \(0, 200, 0\)"):
        read_labels(png(RGB[SHAPES]), TWO, colors=[(0, 0, 0), (255, 0, 0)])
    with pytest.raises(LabelError, match=r"three colors .* for two classes"):
        read_labels(png(RGB[SHAPES]), TWO)


def test_each_object_its_own_color() -> None:
    labels = read_labels(png(RGB[SHAPES]), TWO, kind="instances")
    np.testing.assert_array_equal(labels.instances(), np.array([0, 255, 200 * 256])[SHAPES])
    assert "two instances" in labels.found
    white = np.where(SHAPES[..., None] == 0, np.uint8(255), RGB[SHAPES])
    with pytest.raises(LabelError, match="no black background, but white"):
        read_labels(white, TWO, kind="instances")
    named = read_labels(white, TWO, kind="instances", colors=[(255, 255, 255)])
    np.testing.assert_array_equal(named.instances() > 0, SHAPES > 0)


# Instances


def test_more_values_than_two_classes_are_instances() -> None:
    labels = read_labels(tiff(blobs(125)), TWO)
    assert labels.kind == "instances"
    assert labels.found == "values 0..125: 125 instances"
    np.testing.assert_array_equal(labels.instances(), blobs(125))
    np.testing.assert_array_equal(labels.class_map(), blobs(125) > 0)
    np.testing.assert_array_equal(labels.stack(), [blobs(125) == 0, blobs(125) > 0])


@pytest.mark.parametrize("top", [65535, 2**31 - 1])
def test_ids_survive_and_are_not_renumbered(top: int) -> None:
    ids = np.array([0, 7, top], np.uint32)[SHAPES]
    for source in (tiff(ids), ids, ids.astype(np.int64), ids.astype(np.float64)):
        labels = read_labels(source, TWO)
        np.testing.assert_array_equal(labels.instances(), ids)
        assert labels.instances().dtype == np.int32
        assert labels.found == f"values 0, 7, {top}: 2 instances"


def discs(*places: tuple[int, int, int, int]) -> np.ndarray:
    """Discs of radius r around (row, column) with the value v, as (row, column, r, v) in turn."""
    rows, columns = np.ogrid[:40, :60]
    image = np.zeros((40, 60), np.uint8)
    for row, column, radius, value in places:
        image[np.hypot(rows - row, columns - column) <= radius] = value
    return image


@pytest.mark.parametrize(
    "values",
    [
        discs((9, 9, 7, 1), (25, 40, 8, 2)),
        discs((20, 15, 9, 1), (20, 33, 9, 2)),  # they touch
        discs((9, 9, 7, 7), (25, 40, 8, 255)),
        discs((9, 9, 7, 1), (30, 9, 0, 1), (25, 40, 8, 2), (2, 2, 0, 2)),  # and stray pixels
        discs((9, 9, 7, 1), (30, 9, 5, 1), (25, 40, 8, 2), (9, 30, 5, 3)),  # one in two pieces
        discs((20, 20, 12, 1), (20, 20, 4, 2), (20, 50, 6, 3)),  # one within another
    ],
)
def test_few_objects_are_instances(values: np.ndarray) -> None:
    for classes in (TWO, ("nucleus",)):
        labels = read_labels(values, classes, kind="instances")
        np.testing.assert_array_equal(labels.instances(), values)
    assert read_labels(values, TWO).kind == "instances"


@pytest.mark.parametrize(
    "values",
    [
        discs((9, 9, 7, 1), (9, 30, 7, 1), (30, 12, 6, 2)),  # two nuclei and debris
        discs((9, 9, 7, 1), (9, 30, 7, 1), (30, 12, 6, 2), (30, 30, 6, 2), (9, 50, 6, 3)),
        discs((20, 20, 12, 2), (20, 20, 9, 1)),  # a rim
        discs((20, 20, 12, 128), (20, 20, 9, 255)),
        discs((9, 9, 7, 128), (25, 40, 8, 255)),  # greys of three classes
    ],
)
def test_values_that_may_be_classes_are_asked_about(values: np.ndarray) -> None:
    with pytest.raises(LabelError, match="may be classes as well as objects") as caught:
        read_labels(values, TWO)
    assert 'data.kind = "instances"' in caught.value.in_recipe
    assert read_labels(values, TWO, kind="instances").kind == "instances"


def test_classes_above_zero_are_asked_about() -> None:
    values = discs((9, 9, 7, 1), (25, 40, 8, 2))
    with pytest.raises(LabelError, match="may be axon, vesicle above a background of 0"):
        read_labels(values, ("axon", "vesicle"))
    more = discs((9, 9, 7, 1), (25, 40, 8, 2), (9, 50, 6, 3))
    assert read_labels(more, ("membrane", "cell")).kind == "instances"


@pytest.mark.parametrize(
    ("values", "classes", "kind"),
    [
        (discs((9, 9, 7, 255), (9, 9, 5, 1), (25, 40, 8, 255), (25, 40, 6, 1)), TWO, None),
        (discs((9, 9, 7, 255), (9, 9, 6, 1), (25, 40, 8, 255), (25, 40, 7, 1)), TWO, None),
        (discs((9, 9, 7, 1), (25, 40, 8, 255)), TWO, "classes"),
        (discs((9, 9, 7, 1), (25, 40, 8, 255)), ("nucleus",), None),
        (discs((9, 9, 7, 1), (25, 40, 8, 2), (25, 10, 8, 255)), THREE, None),
        (discs((9, 9, 7, 1), (25, 40, 8, 2), (25, 10, 8, 255)), TWO, None),  # objects and void
    ],
)
def test_a_value_of_pixels_left_out_is_named(
    values: np.ndarray, classes: tuple[str, ...], kind: object
) -> None:
    for source in (png(values), values.astype(np.uint16) * np.where(values == 255, 257, 1)):
        with pytest.raises(LabelError, match=r"(255|65535) seems to mark pixels .*void") as caught:
            read_labels(source, classes, kind=kind)
        assert "threshold" not in str(caught.value)
    if len(classes) < 3:
        assert read_labels(values, classes, kind="instances").kind == "instances"


def test_noise_of_a_mask_is_not_taken_for_one_left_out() -> None:
    values = discs((20, 20, 12, 1), (20, 20, 11, 255))
    with pytest.raises(LabelError, match=r"anti-aliased .* threshold=127 "):
        read_labels(values, TWO)


def test_one_byte_instances_up_to_255() -> None:
    labels = read_labels(png(blobs(255, np.uint8)), TWO)
    assert labels.found == "values 0..255: 255 instances"
    with_gap = np.where(blobs(201) == 201, 255, blobs(201)).astype(np.uint8)
    assert read_labels(with_gap, TWO).found == "values 0..255 (202 different): 201 instances"


def test_an_instance_map_of_a_single_object() -> None:
    labels = read_labels((SHAPES == 1).astype(np.uint16), TWO, kind="instances")
    assert (labels.kind, labels.found) == ("instances", "values 0 and 1: 1 instance")


def test_folder_and_list_of_one_mask_per_object(tmp_path: Path) -> None:
    folder = tmp_path / "sample" / "masks"
    folder.mkdir(parents=True)
    expected = np.zeros(SHAPES.shape, int)
    for number, name in enumerate("abc", 1):
        mask = np.zeros(SHAPES.shape, np.uint8)
        mask[number, :number] = 255
        expected[number, :number] = number
        Image.fromarray(mask).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("not a mask")
    for source in (folder, folder.parent, sorted(folder.glob("*.png"))):
        labels = read_labels(source, TWO)
        assert labels.kind == "instances"
        np.testing.assert_array_equal(labels.array, expected)
        assert labels.found == "three masks of one object each: three instances"
    one = read_labels([folder / "a.png", folder / "b.png"], TWO)
    assert one.kind == "instances"
    np.testing.assert_array_equal(
        read_labels(folder, TWO, kind="classes").class_map(), expected > 0
    )


def test_overlapping_object_masks_are_reported() -> None:
    masks = [SHAPES == 1, SHAPES > 0]
    labels = read_labels(masks, TWO, kind="instances")
    assert labels.found.endswith("4 pixels lie in several, the later one has them")
    np.testing.assert_array_equal(labels.instances(), 2 * (SHAPES > 0))


# Multi-label stacks

ORGANS = ("lung", "heart", "clavicle")


def planes() -> np.ndarray:
    stack = np.zeros((3, 4, 6), bool)
    stack[0, :3, :3] = True
    stack[1, 2:, 2:] = True  # overlaps the lung at (2, 2)
    stack[2, 0, 5] = True
    return stack


@pytest.mark.parametrize(
    "source",
    [
        planes(),
        planes() * np.uint8(255),
        tiff(planes() * np.uint8(255), photometric="minisblack"),
        tiff(planes() * np.uint8(255), photometric="minisblack", imagej=True),
        list(planes()),
        [png(plane) for plane in planes()],
        torch.from_numpy(planes()),
    ],
    ids=["bool", "uint8", "tiff", "imagej", "arrays", "files", "tensor"],
)
@pytest.mark.parametrize("kind", [None, "multilabel"])
def test_one_mask_per_class(source: object, kind: object) -> None:
    labels = read_labels(source, ORGANS, kind=kind)
    assert labels.kind == "multilabel"
    np.testing.assert_array_equal(labels.stack(), planes())
    assert "(lung, heart, clavicle); 4.2% of the pixels have several" in labels.found
    with pytest.raises(LabelError, match="more than one of the classes"):
        labels.class_map()
    with pytest.raises(LabelError, match="overlap"):
        labels.instances()


def test_channels_last_stack_when_asked_for() -> None:
    stack = np.moveaxis(planes(), 0, 2)
    labels = read_labels(stack, ORGANS, kind="multilabel")
    np.testing.assert_array_equal(labels.stack(), planes())


def test_background_is_what_a_stack_leaves_over() -> None:
    disjoint = planes()
    disjoint[0, 2, 2] = False
    labels = read_labels(disjoint, ("background", *ORGANS))
    expected = disjoint[0] * 1 + disjoint[1] * 2 + disjoint[2] * 3
    np.testing.assert_array_equal(labels.class_map(), expected)
    np.testing.assert_array_equal(labels.stack()[0], expected == 0)
    assert labels.instances().max() == 3
    with pytest.raises(LabelError, match="carry none of the classes"):
        read_labels(disjoint, ORGANS).class_map()


def test_pages_of_a_z_stack_are_not_classes() -> None:
    source = tiff(np.stack([SHAPES > 0, SHAPES > 1]) * np.uint8(255), photometric="minisblack")
    for page in (0, 1):
        labels = read_labels(source, TWO, page=page)
        assert labels.found.startswith(f"page {page} of 2 (from 0): values 0 and 255")
        np.testing.assert_array_equal(labels.class_map(), page < SHAPES)
    with pytest.raises(LabelError, match="has 2 pages, so there is no page 2"):
        read_labels(source, TWO, page=2)


def test_two_complementary_pages_are_classes() -> None:
    labels = read_labels(np.stack([SHAPES == 0, SHAPES > 0]), TWO)
    assert labels.kind == "multilabel"
    np.testing.assert_array_equal(labels.class_map(), SHAPES > 0)


def test_wrong_number_of_masks() -> None:
    with pytest.raises(LabelError, match=r"has three pages, but four classes .* need one each"):
        read_labels(planes(), ("a", "b", "c", "d"), kind="multilabel")
    with pytest.raises(LabelError, match="has two masks, but three classes"):
        read_labels(list(planes()[:2]), ORGANS)


def test_one_class_is_a_stack_of_one() -> None:
    labels = read_labels(SHAPES > 0, ("nucleus",))
    assert labels.kind == "multilabel"
    np.testing.assert_array_equal(labels.stack(), [SHAPES > 0])
    np.testing.assert_array_equal(labels.class_map(), SHAPES > 0)


# What the kinds turn into


def test_class_map_to_objects_splits_diagonal_neighbors() -> None:
    classes = np.array([[1, 0, 2], [0, 1, 2], [1, 1, 0]])
    labels = read_labels(classes, THREE)
    np.testing.assert_array_equal(labels.instances(), [[1, 0, 3], [0, 2, 3], [2, 2, 0]])


def test_class_map_and_stack_are_a_pair() -> None:
    labels = read_labels(SHAPES, THREE)
    assert labels.stack().shape == (3, 4, 6)
    back = read_labels(labels.stack(), THREE)
    assert back.kind == "multilabel"
    np.testing.assert_array_equal(back.class_map(), SHAPES)
    np.testing.assert_array_equal(
        read_labels(SHAPES, THREE, kind="multilabel").array, labels.stack()
    )


def test_labels_are_frozen() -> None:
    labels = read_labels(SHAPES, THREE)
    with pytest.raises(AttributeError):
        labels.kind = "instances"  # type: ignore[misc]
    assert isinstance(labels, Labels)


# Damage


def smoothed() -> np.ndarray:
    rows, columns = np.ogrid[:64, :64]
    distance = np.hypot(rows - 31.3, columns - 30.8)
    return np.rint(255 * np.clip(20.5 - distance, 0, 1)).astype(np.uint8)


def jpeg(values: np.ndarray, mode: str, quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).convert(mode).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


@pytest.mark.parametrize(
    "source",
    [
        smoothed(),
        png(smoothed(), "RGB"),
        jpeg((smoothed() > 127) * np.uint8(255), "L", 50),
        jpeg((smoothed() > 127) * np.uint8(255), "RGB", 75),
        np.asarray(Image.open(io.BytesIO(jpeg((smoothed() > 127) * np.uint8(255), "L", 90)))),
        smoothed().astype(np.uint16) * 257,
    ],
    ids=["smoothed", "rgb", "jpeg", "rgb-jpeg", "was-jpeg", "16-bit"],
)
def test_smoothed_masks_are_refused_and_told_how_to_accept(source: object) -> None:
    half = 32767 if getattr(source, "dtype", None) == np.uint16 else 127
    with pytest.raises(LabelError, match=f"(?s)anti-aliased or JPEG-compressed.*threshold={half} "):
        read_labels(source, TWO)
    labels = read_labels(source, TWO, threshold=half)
    assert labels.kind == "classes"
    assert (labels.class_map() != (smoothed() > 127)).mean() < 0.005
    assert f"above {half} foreground" in labels.found


FOUR_COLORS = np.zeros((4, 4, 3), np.uint8)
FOUR_COLORS[[1, 2, 3], [1, 2, 3], [0, 1, 2]] = 200

COCO = {"images": [], "categories": [], "annotations": []}


@pytest.mark.parametrize(
    ("source", "classes", "in_recipe", "on_page"),
    [
        (smoothed(), TWO, "data.threshold = 127 ", "above 127 white and all others black"),
        ([smoothed()], ("nucleus",), "--threshold 127 ", "save it again without smoothing"),
        (np.array([[0.1, 0.9]]), TWO, "data.threshold = 0.5 ", "above 0.5, or what suits, 1"),
        (np.array([[3, 5], [7, 9]]), TWO, 'data.kind = "instances"', "between them the value 0"),
        (np.array([[0, 5], [0, 9]]), THREE, "Save it again", "Save it again"),
        (np.array([[0, 5], [7, 9]]), THREE, "--kind instances", "choose a model that has as many"),
        (FOUR_COLORS, TWO, "a number for each class", "Save it again in grey"),
        (COCO, TWO, 'the layout "coco"', "in a file of their own"),
    ],
)
def test_advice_is_of_the_place_where_the_label_is_met(
    source: object, classes: tuple[str, ...], in_recipe: str, on_page: str
) -> None:
    with pytest.raises(LabelError) as caught:
        read_labels(source, classes)
    error = caught.value
    argument = re.compile(r"\w=[\w('\"\[]|read_coco")
    assert argument.search(str(error)), "for Python it is an argument, or a function"
    assert in_recipe in error.in_recipe and not argument.search(error.in_recipe)
    assert on_page in error.on_page and not argument.search(error.on_page)
    assert "data." not in error.on_page and "--" not in error.on_page
    for said in (str(error), error.in_recipe, error.on_page):
        assert said.startswith(error.finding)


def test_an_error_comes_whole_from_another_process() -> None:
    with pytest.raises(LabelError) as caught:
        read_labels(smoothed(), TWO)
    error = pickle.loads(pickle.dumps(caught.value))
    assert (str(error), error.on_page) == (str(caught.value), caught.value.on_page)


def test_threshold_leaves_binary_masks_and_is_above_not_at() -> None:
    np.testing.assert_array_equal(
        read_labels(SHAPES > 0, TWO, threshold=127).class_map(), SHAPES > 0
    )
    edge = np.array([[0, 127, 128, 255]], np.uint8)
    np.testing.assert_array_equal(read_labels(edge, TWO, threshold=127).class_map(), [[0, 0, 1, 1]])
    stack = read_labels([smoothed(), smoothed().T], ("a", "b"), threshold=127)
    np.testing.assert_array_equal(stack.array[0], smoothed() > 127)


@pytest.mark.parametrize(("top", "half"), [(0.9, "0.5"), (255, "127"), (1e30, "5e.29")])
def test_the_threshold_advised_suits_the_values(top: float, half: str) -> None:
    with pytest.raises(LabelError, match=f"threshold={half} "):
        read_labels([np.array([[0, top / 3, top]])], ("nucleus",))


def test_tiffs_cut_short_are_refused() -> None:
    whole = tiff(blobs(200))
    for cut in (len(whole) // 2, len(whole) - 9):
        with pytest.raises(LabelError, match="cut short"):
            read_labels(whole[:cut], TWO)


def test_probabilities_need_a_threshold_of_their_own_scale() -> None:
    probabilities = np.array([[0.1, 0.4], [0.6, 0.9]])
    with pytest.raises(LabelError, match=r"fractions .*threshold=0\.5"):
        read_labels(probabilities, TWO)
    with pytest.raises(LabelError, match="none above the threshold 127"):
        read_labels(probabilities, TWO, threshold=127)
    np.testing.assert_array_equal(
        read_labels(probabilities, TWO, threshold=0.5).class_map(), [[0, 0], [1, 1]]
    )


def test_objects_do_not_look_smoothed() -> None:
    assert looks_smoothed(smoothed())
    assert not looks_smoothed(blobs(200, np.uint8))
    assert not looks_smoothed(blobs(3, np.uint16, step=20000))
    assert looks_smoothed(np.random.default_rng(0).integers(0, 40, (64, 64)))


def tiny(dtype: type, first: int, side: int = 2) -> np.ndarray:
    """Sixty objects of side x side pixels, with the ids ``first``, ``first`` + 1, ..."""
    image = np.zeros((24, 40), dtype)
    for number in range(60):
        row, column = 4 * (number // 10) + 1, 4 * (number % 10) + 1
        image[row : row + side, column : column + side] = first + number
    return image


def filaments() -> np.ndarray:
    """Twenty diagonal lines, one pixel wide."""
    rows, columns = np.ogrid[:60, :120]
    steps = columns - rows
    return np.where((steps % 3 == 0) & (steps >= 0) & (steps < 60), steps // 3 + 1, 0)


@pytest.mark.parametrize(
    "values", [tiny(np.uint8, 190), tiny(np.uint8, 196), tiny(np.uint16, 60000, 1), filaments()]
)
def test_small_and_thin_objects_are_read_where_one_says_that_they_are_objects(
    values: np.ndarray,
) -> None:
    labels = read_labels(values, TWO, kind="instances")
    np.testing.assert_array_equal(labels.array, values)
    assert labels.class_map().sum() == np.count_nonzero(values)
    with pytest.raises(LabelError, match="small object, pass kind='instances'") as caught:
        read_labels(values, TWO)
    assert 'data.kind = "instances"' in caught.value.in_recipe
    # ... also where one of them is large
    large = np.pad(values, ((0, 9), (0, 0)))
    large[-8:-1, 1:9] = 255
    assert read_labels(large, TWO, kind="instances").array[-5, 5] == 255


@pytest.mark.parametrize(
    "source",
    [
        smoothed(),
        smoothed().astype(np.uint16) * 257,
        np.asarray(Image.open(io.BytesIO(jpeg((smoothed() > 127) * np.uint8(255), "L", 90)))),
        jpeg(blobs(60, np.uint8), "L", 90),
        np.random.default_rng(0).integers(0, 99, (64, 64)),
    ],
    ids=["smoothed", "16-bit", "was-jpeg", "jpeg", "noise"],
)
def test_what_is_damaged_is_no_object_whatever_one_says(source: object) -> None:
    with pytest.raises(LabelError, match="an object is in few pieces") as caught:
        read_labels(source, TWO, kind="instances")
    assert "leave kind out and pass threshold=" in str(caught.value)
    assert "data.threshold" in caught.value.in_recipe


# Refusals


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        ([[0, 1, 3]], THREE, r"values 0, 1, 3, but three classes .* need values 0..2"),
        ([[1, 2, 2]], TWO, r"Subtract 1"),
        ([[5, 9, 7]], TWO, r"kind='instances'"),
        ([[0, -1, 1]], TWO, r"not negative"),
        ([[0, 1, np.nan]], TWO, r"not numbers"),
        ([[0, 0.5, 1e30]], ("nucleus",), r"fractions"),
        ([[[0, 7, 1e30]], [[0, 7, 9]]], ("a", "b"), r"end at 2147483647|page 0"),
        ([[0, 2**31, 1]], TWO, r"end at 2147483647"),
        ([[0, 1], [1]], TWO, r"rows differ in length"),
        ([["a", "b"]], TWO, r"labels are whole numbers|does not exist"),
        (np.zeros((0, 4)), TWO, r"the shape \(0, 4\)"),
        (np.zeros(4), TWO, r"the shape \(4,\)"),
        (3.5, TWO, r"cannot be read from a float"),
        (b"", TWO, r"is empty"),
        (b"%PDF-1.4 report", TWO, r"PDF document"),
        ([], TWO, r"is empty"),
    ],
)
def test_refusals_name_what_was_found(
    values: object, classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        read_labels(values, classes)


def test_errors_name_the_file_but_not_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "truth.png"
    with pytest.raises(LabelError, match=r"label file truth\.png does not exist"):
        read_labels(path)
    path.write_bytes(png(SHAPES)[:40])
    with pytest.raises(LabelError, match=r"^truth\.png cannot be opened") as caught:
        read_labels(path)
    assert str(tmp_path) not in str(caught.value)
    path.write_bytes(png(SHAPES + np.uint8(3)))
    with pytest.raises(LabelError, match=r"^truth\.png holds values 3, 4, 5, but three classes"):
        read_labels(path, THREE)


def test_size_mismatch_states_both() -> None:
    assert read_labels(SHAPES, THREE, size=(4, 6)).array.shape == (4, 6)
    with pytest.raises(LabelError, match=r"is 6 x 4 pixels .* its image is 4 x 6"):
        read_labels(SHAPES, THREE, size=(6, 4))


def test_arguments_are_checked() -> None:
    with pytest.raises(LabelError, match="no label kind 'masks'"):
        read_labels(SHAPES, THREE, kind="masks")  # type: ignore[arg-type]
    with pytest.raises(LabelError, match="same name"):
        read_labels(SHAPES, ("a", "a"))
    with pytest.raises(LabelError, match="Instances belong to one class"):
        read_labels(SHAPES, THREE, kind="instances")
    with pytest.raises(LabelError, match="two colors given for three classes"):
        read_labels(SHAPES, THREE, colors=[0, 1])
    with pytest.raises(LabelError, match="same color"):
        read_labels(SHAPES, TWO, colors=[(0, 0, 0), 0])
    with pytest.raises(LabelError, match="rrggbb"):
        read_labels(SHAPES, TWO, colors=["black", "white"])


def test_orientation_is_followed() -> None:
    lopsided = np.array([[0, 1, 2], [0, 0, 1]], np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    stream = io.BytesIO()
    Image.fromarray(lopsided).save(stream, "PNG", exif=exif)
    upright = [[0, 0], [0, 1], [1, 2]]
    np.testing.assert_array_equal(read_labels(stream.getvalue(), THREE).array, upright)


# Polygons


def annotation(*regions: tuple[str, list[list[float]]], **more: object) -> bytes:
    entries = [{"label": label, "points": points} for label, points in regions]
    return json.dumps({"annotations": entries, **more}).encode()


LEFT = [[0, 0], [2, 0], [2, 4], [0, 4]]
RIGHT = [[3, 1], [6, 1], [6, 3], [3, 3]]
MIDDLE = [[1, 1], [4, 1], [4, 3], [1, 3]]


def test_polygon_pixels_are_those_with_their_center_inside() -> None:
    triangle = Region("", (np.array([[0, 0], [4, 0], [0, 4]], float),))
    # centers on the long side itself, as (3.5, 0.5), are out by the half-open rule
    expected = [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(region_mask(triangle, (4, 4)), np.array(expected, bool))
    outside = np.array([[-3, -3], [9, -3], [9, 9], [-3, 9]], float)
    hole = np.array([[1, 1], [3, 1], [3, 3], [1, 3]], float)
    ring = region_mask(Region("", (outside, hole)), (4, 4))
    assert ring.sum() == 12
    assert not ring[1:3, 1:3].any()


def test_polygons_that_share_an_edge_part_the_image() -> None:
    generator = np.random.default_rng(3)
    for _ in range(50):
        corners = np.array([[0, 0], [9, 0], [9, 7], [0, 7]], float)
        inner = generator.uniform(1, 6, 2)
        parts = [
            region_mask(Region("", (np.array([corners[i], corners[(i + 1) % 4], inner]),)), (7, 9))
            for i in range(4)
        ]
        np.testing.assert_array_equal(np.sum(parts, axis=0), 1)


def test_disjoint_polygons_are_a_class_map() -> None:
    source = annotation(("nucleus", LEFT), ("Debris", RIGHT), width=6, height=4)
    labels = read_labels(source, THREE)
    expected = np.zeros((4, 6))
    expected[:, :2], expected[1:3, 3:] = 1, 2
    assert labels.kind == "classes"
    np.testing.assert_array_equal(labels.class_map(), expected)
    assert labels.found.startswith("two regions labeled Debris, nucleus")


def test_overlapping_polygons_are_a_stack_or_instances() -> None:
    source = annotation(("nucleus", LEFT), ("debris", MIDDLE))
    labels = read_labels(source, THREE, size=(4, 6))
    assert labels.kind == "multilabel"
    assert [int(plane.sum()) for plane in labels.stack()] == [12, 8, 6]
    objects = read_labels(source, size=(4, 6), kind="instances")
    assert np.bincount(objects.instances().ravel()).tolist() == [12, 6, 6]
    assert "2 pixels in several" in objects.found
    with pytest.raises(LabelError, match="more than one"):
        read_labels(source, THREE, size=(4, 6), kind="classes")


def test_labelme_and_darwin_say_the_same(tmp_path: Path) -> None:
    corners = [{"x": x, "y": y} for x, y in RIGHT]
    labelme = {
        "shapes": [
            {"label": "nucleus", "points": LEFT, "shape_type": "polygon"},
            {"label": "debris", "points": [RIGHT[0], RIGHT[2]], "shape_type": "rectangle"},
        ],
        "imageHeight": 4,
        "imageWidth": 6,
        "imagePath": "cell.png",
    }
    left = [{"x": x, "y": y} for x, y in LEFT]
    darwin1 = {
        "image": {"width": 6, "height": 4},
        "annotations": [
            {"name": "nucleus", "polygon": {"path": left}},
            {"name": "debris", "polygon": {"path": corners}},
            {"name": "Sex/M", "tag": {}},
        ],
    }
    darwin2 = {
        "item": {"slots": [{"width": 6, "height": 4}]},
        "annotations": [
            {"name": "nucleus", "polygon": {"paths": [left]}},
            {"name": "debris", "polygon": {"paths": [corners]}},
        ],
    }
    plain = read_labels(annotation(("nucleus", LEFT), ("debris", RIGHT)), THREE, size=(4, 6))
    for content in (labelme, darwin1, darwin2):
        path = tmp_path / "cell.json"
        path.write_text(json.dumps(content))
        np.testing.assert_array_equal(read_labels(path, THREE).array, plain.array)
        np.testing.assert_array_equal(read_labels(content, THREE).array, plain.array)
    assert read_polygons(darwin1).without_outline == 1


def labelme(*shapes: tuple[str, list[list[float]], object]) -> dict[str, object]:
    entries = [{"label": label, "points": p, "group_id": group} for label, p, group in shapes]
    return {"shapes": entries, "imageHeight": 4, "imageWidth": 6}


def test_shapes_of_one_group_and_label_are_one_object() -> None:
    def ids(*groups: object, labels: tuple[str, ...] = ("nucleus",) * 3) -> list[int]:
        shapes = zip(
            labels, ([[0, 0], [2, 0], [2, 4], [0, 4]], RIGHT, MIDDLE), groups, strict=False
        )
        source = labelme(*shapes)  # type: ignore[arg-type]
        return read_labels(source, kind="instances").array[2].tolist()  # type: ignore[no-any-return]

    assert ids(None, None) == [1, 1, 0, 2, 2, 2]
    assert ids(5, 5) == [1, 1, 0, 1, 1, 1]
    assert ids("a", "a") == [1, 1, 0, 1, 1, 1]
    assert ids(0, 1) == [1, 1, 0, 2, 2, 2]
    assert ids(0, 0, labels=("nucleus", "debris")) == [1, 1, 0, 2, 2, 2]
    assert ids(3, 3, None) == [1, 3 - 1, 2, 2, 1, 1]  # on top is what comes later
    joined = read_labels(labelme(("nucleus", LEFT, 2), ("nucleus", RIGHT, 2)), kind="instances")
    assert joined.found == "one region labeled nucleus: one instance"
    inside = labelme(("nucleus", LEFT, 2), ("nucleus", [[0, 1], [1, 1], [1, 3], [0, 3]], 2))
    assert read_labels(inside, kind="instances").array.sum() == 8  # no hole is cut
    with pytest.raises(
        LabelError, match=r"The group_id of annotation 1 .* \(nucleus\) is a number"
    ):
        read_labels(labelme(("nucleus", LEFT, [2])))


def test_polygon_labels_and_classes() -> None:
    source = annotation(("Lung", LEFT), ("Ignore", RIGHT), width=6, height=4)
    labels = read_labels(source, ("background", "lung"))
    assert labels.class_map().sum() == 8
    assert "one region to ignore left out" in labels.found
    assert read_labels(source).class_map().sum() == 8
    assert read_labels(source, ("Lung", "Ignore")).stack().sum(axis=(1, 2)).tolist() == [8, 6]
    with pytest.raises(LabelError, match=r"labeled Ignore, Lung, but .* no class Lung"):
        read_labels(source, TWO)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (annotation(("nucleus", LEFT)), r"Pass size=\(height, width\)"),
        (annotation(("nucleus", LEFT[:2]), width=6, height=4), "2 points"),
        (annotation(("nucleus", [[0, 0], [1], [2, 2]]), width=6, height=4), "not a list of"),
        (annotation(("nucleus", [[50, 0], [60, 0], [60, 4]]), width=6, height=4), "outside"),
        (annotation(("nucleus", LEFT), width=-6, height=4), "states an image of"),
        (annotation(("nucleus", LEFT), width=10**8, height=10**8), "too many"),
        (b'{"annotations": [', "not valid JSON"),
        (b'{"images": [], "type": 3}', "no list of annotations or shapes"),
        (
            b'{"shapes":[{"label":"nucleus","points":[[0,0],[1,1]],"shape_type":"line"}]}',
            "is a line",
        ),
    ],
)
def test_polygon_files_that_are_refused(source: bytes, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_labels(source, TWO)


# Nothing but LabelError


def test_broken_files_raise_label_errors_only() -> None:
    generator = np.random.default_rng(11)
    whole = [
        png(SHAPES),
        png(RGB[SHAPES]),
        tiff(blobs(30)),
        tiff(planes() * np.uint8(255), photometric="minisblack", imagej=True),
        tiff(blobs(30), compression="zlib"),
        jpeg(smoothed(), "RGB", 75),
        annotation(("nucleus", LEFT), ("debris", MIDDLE), width=6, height=4),
    ]
    kinds = [None, "classes", "instances", "multilabel"]
    messages = []
    for trial in range(1200):
        content = bytearray(whole[trial % len(whole)])
        for _ in range(generator.integers(1, 6)):
            content[generator.integers(len(content))] = generator.integers(256)
        if trial % 3 == 0:
            content = content[: generator.integers(len(content))]
        try:
            labels = read_labels(bytes(content), TWO, kind=kinds[trial % 4])
            labels.stack()
        except LabelError as error:
            messages.append(str(error))
    assert 300 < len(messages) < 1200
    assert not [message for message in messages if not message.endswith((".", ")"))]


# Real files


@pytest.mark.data
@pytest.mark.parametrize(
    ("pattern", "classes", "options", "kind"),
    [
        ("isbi2012/label/*.tif", ("membrane", "cell"), {}, {"classes"}),
        ("ctc/*/01_GT/SEG/*.tif", TWO, {}, {"instances"}),
        ("dsb2018/labels/00*.png", TWO, {"kind": "instances"}, {"instances"}),
        ("dsb2018_raw/stage1_train/*5*", TWO, {}, {"instances"}),
        ("nuclei_pair/mask2d.tif", TWO, {}, {"instances"}),
        ("vnc/[ms]*/*.png", TWO, {"threshold": 127}, {"classes"}),
        ("epfl/[!s]*/*0[04].png", TWO, {"threshold": 127}, {"classes"}),
        ("chest_polygons/annotations/*d*.json", ("background", "Lung"), {}, {"classes"}),
    ],
)
def test_real_labels(
    shared_data: Path, pattern: str, classes: tuple[str, ...], options: dict, kind: set[str]
) -> None:
    files = sorted(shared_data.glob(pattern))
    assert files
    for file in files:
        labels = read_labels(file, classes, **options)
        assert labels.kind in kind, f"{file.name}: {labels.found}"
        assert labels.class_map().any()


@pytest.mark.data
def test_real_instance_masks_agree_with_their_combined_map(shared_data: Path) -> None:
    labels = read_labels(shared_data / "nuclei_pair" / "mask2d.tif", TWO)
    assert labels.found == "values 0..183 (126 different): 125 instances"


@pytest.mark.data
def test_real_smoothed_masks_are_refused(shared_data: Path) -> None:
    with pytest.raises(LabelError, match="values 0, 227, 254, 255, scattered"):
        read_labels(shared_data / "vnc" / "synapses" / "02.png")


@pytest.mark.data
def test_both_polygon_formats_draw_the_same_lungs(shared_data: Path) -> None:
    folder = shared_data / "chest_polygons"
    for file in sorted((folder / "annotations").glob("*.json"))[:6]:
        plain = read_labels(file).class_map()
        darwin = read_labels(folder / "annotations_darwin" / file.name).class_map()
        np.testing.assert_array_equal(plain, darwin)
        assert 0.05 < plain.mean() < 0.7
