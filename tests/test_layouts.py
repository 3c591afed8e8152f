"""Every layout that annotated images come in, made here, and read where it lies."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from discs import draw_discs, make_data
from PIL import Image

from hf_unet.errors import ImageError, LabelError
from hf_unet.file_names import bare_name, match_names
from hf_unet.training.datasets import find_pairs
from hf_unet.training.pairs import DataError, Pair, missing_objects
from hf_unet.training.settings import DataSettings, LossSettings, Settings, SettingsError
from hf_unet.training.splits import hold_out
from hf_unet.training.targets import Targets

CLASSES = ("background", "cell")


def pairs_of(folder: Path, classes: tuple[str, ...] = CLASSES, **settings: object) -> list[Pair]:
    return list(find_pairs(folder, DataSettings(**settings), classes))  # type: ignore[arg-type]


def write_png(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_tiff(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, photometric="minisblack")


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("a", "a"),
        ("cell_01", "cell_01_mask"),
        ("cell_01", "cell_01_masks"),
        ("cell-01", "cell-01-label"),
        ("img_7", "mask_7"),
        ("image7", "label7"),
        ("t012", "man_seg_t012"),
        ("slide 3 image", "slide 3 gt"),
        ("x_raw", "x_segmentation"),
        ("A.img", "A.instances"),
        ("maskray", "maskray_Mask"),
    ],
)
def test_names_that_belong_together(image: str, label: str) -> None:
    assert match_names([image, "other"], ["other", label]) == {image: label, "other": "other"}


def test_names_that_could_be_of_several_have_no_partner() -> None:
    assert match_names(["a"], ["a_mask", "a_label"]) == {}
    assert match_names(["a_img", "a_raw"], ["a_mask"]) == {}
    assert match_names(["a", "a_mask"], ["a", "a_mask"]) == {"a": "a", "a_mask": "a_mask"}
    assert match_names(["cell_1"], ["cell_11_mask"]) == {}


def test_a_name_of_nothing_but_such_words_stays() -> None:
    assert bare_name("image_mask") == "image_mask"
    assert bare_name("goldmask") == "goldmask"  # a word of its own only


# --- one layout each ---------------------------------------------------------------------------


def test_folders_with_suffixes(tmp_path: Path) -> None:
    data = make_data(tmp_path / "d", count=3)
    for path in (data / "label").iterdir():
        path.rename(data / "label" / f"{path.stem}_mask.tif")
    found = pairs_of(data)
    assert [pair.name for pair in found] == ["00", "01", "02"]
    assert [pair.source.name for pair in found] == ["00_mask.tif", "01_mask.tif", "02_mask.tif"]
    assert found[0].labels.kind == "instances"


def test_a_label_may_be_a_folder_of_masks(tmp_path: Path) -> None:
    image, instances = draw_discs(np.random.default_rng(0))
    write_tiff(tmp_path / "images" / "a.tif", image)
    for number in (1, 2, 3, 4):
        mask = ((instances == number) * 255).astype(np.uint8)
        write_png(tmp_path / "masks" / "a" / f"{number}.png", mask)
    (pair,) = pairs_of(tmp_path)
    np.testing.assert_array_equal(pair.labels.instances(), instances)


def test_stacks_pair_page_with_page(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    drawn = [draw_discs(random) for _ in range(12)]
    write_tiff(tmp_path / "volume.tif", np.stack([image for image, _ in drawn]))
    write_tiff(tmp_path / "labels.tif", np.stack([(ids > 0) * np.uint8(255) for _, ids in drawn]))
    found = pairs_of(tmp_path, images="volume.tif", labels="labels.tif")
    assert [pair.name for pair in found[:2]] == ["volume/00", "volume/01"] and len(found) == 12
    for pair, (image, ids) in zip(found, drawn, strict=True):
        np.testing.assert_array_equal(pair.image[0], image)
        np.testing.assert_array_equal(pair.labels.class_map(), ids > 0)


def test_stacks_of_unequal_length_are_refused(tmp_path: Path) -> None:
    write_tiff(tmp_path / "volume.tif", np.zeros((4, 20, 20), np.uint8))
    write_tiff(tmp_path / "labels.tif", np.zeros((5, 20, 20), np.uint8))
    with pytest.raises(DataError, match=r"volume\.tif has 4 pages and labels\.tif 5"):
        pairs_of(tmp_path, images="volume.tif", labels="labels.tif")
    with pytest.raises(DataError, match=r"no file volumes\.tif"):
        pairs_of(tmp_path, images="volumes.tif", labels="labels.tif")


def make_class_folders(folder: Path) -> np.ndarray:
    planes = np.zeros((2, 30, 30), np.uint8)
    planes[0, 5:20], planes[1, :, 10:25] = 255, 255
    write_tiff(folder / "images" / "s1.tif", np.zeros((30, 30), np.uint8))
    write_png(folder / "Cell_Wall" / "s1_mask.png", planes[0])
    write_png(folder / "nucleus" / "s1.png", planes[1])
    return planes > 0


def test_a_folder_for_each_class_may_overlap(tmp_path: Path) -> None:
    planes = make_class_folders(tmp_path)
    (pair,) = pairs_of(tmp_path, ("cell wall", "nucleus"))
    assert pair.labels.kind == "multilabel"
    np.testing.assert_array_equal(pair.labels.stack(), planes)
    (pair,) = pairs_of(tmp_path, ("nucleus", "cell wall"))  # the classes' order, not the folders'
    np.testing.assert_array_equal(pair.labels.stack(), planes[::-1])


def test_class_folders_lie_below_the_labels_folder_too(tmp_path: Path) -> None:
    planes = make_class_folders(tmp_path / "masks")
    (tmp_path / "masks" / "images").rename(tmp_path / "images")
    (pair,) = pairs_of(tmp_path, ("background", "cell wall", "nucleus"), labels="masks")
    np.testing.assert_array_equal(pair.labels.stack()[1:], planes)


def test_an_image_without_the_mask_of_one_class_is_refused(tmp_path: Path) -> None:
    make_class_folders(tmp_path)
    write_tiff(tmp_path / "images" / "s2.tif", np.zeros((30, 30), np.uint8))
    write_png(tmp_path / "nucleus" / "s2.png", np.zeros((30, 30), np.uint8))
    with pytest.raises(DataError, match=r"1 of 2 images have no mask .* in Cell_Wall, first s2"):
        pairs_of(tmp_path, ("cell wall", "nucleus"))
    with pytest.raises(DataError, match="a folder of masks for each of the classes"):
        pairs_of(tmp_path, ("membrane", "nucleus"), layout="class-folders")


def test_greys_need_a_threshold(tmp_path: Path) -> None:
    make_class_folders(tmp_path)
    soft = np.full((30, 30), 60, np.uint8)
    soft[:10], soft[10:20] = 130, 0
    write_png(tmp_path / "nucleus" / "s1.png", soft)
    (pair,) = pairs_of(tmp_path, ("cell wall", "nucleus"), threshold=127.0)
    assert pair.labels.stack()[1].sum() == 300


def test_one_mask_per_nucleus(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    expected = {}
    for name in ("b2", "a1"):
        image, instances = draw_discs(random)
        expected[name] = instances
        write_png(tmp_path / name / "images" / f"{name}.png", image)
        for number in range(1, int(instances.max()) + 1):
            mask = ((instances == number) * 255).astype(np.uint8)
            write_png(tmp_path / name / "masks" / f"{number:03}.png", mask)
    found = pairs_of(tmp_path)
    assert [pair.name for pair in found] == ["a1", "b2"]
    for pair in found:
        np.testing.assert_array_equal(pair.labels.instances() > 0, expected[pair.name] > 0)
        assert len(np.unique(pair.labels.instances())) == len(np.unique(expected[pair.name]))
    write_png(tmp_path / "a1" / "images" / "again.png", image)
    with pytest.raises(DataError, match="a1 holds 2 images"):
        pairs_of(tmp_path)


# --- folders of multi-page files ---------------------------------------------------------------


def make_volumes(folder: Path, counts: dict[str, int]) -> dict[str, np.ndarray]:
    """Images and masks of so many pages each; the images, by the name of their pair."""
    random = np.random.default_rng(4)
    expected = {}
    for name, count in counts.items():
        drawn = [draw_discs(random) for _ in range(count)]
        write_tiff(folder / "images" / f"{name}.tif", np.stack([image for image, _ in drawn]))
        masks = np.stack([(ids > 0).astype(np.uint8) for _, ids in drawn])
        write_tiff(folder / "masks" / f"{name}_mask.tif", masks)
        for page, (image, ids) in enumerate(drawn):
            expected[name if count == 1 else f"{name}/{page}"] = np.stack([image, ids > 0])
    return expected


def test_files_of_several_pages_pair_page_with_page(tmp_path: Path) -> None:
    expected = make_volumes(tmp_path, {"a": 2, "b": 1, "c": 5})
    found = pairs_of(tmp_path)
    assert [pair.name for pair in found] == list(expected)
    for pair in found:
        image, mask = expected[pair.name]
        np.testing.assert_array_equal(pair.image[0], image)
        np.testing.assert_array_equal(pair.labels.class_map(), mask)
    named = pairs_of(tmp_path, partial=("c/3", "a"))
    assert [pair.name for pair in named if pair.truth.known is not None] == ["a/0", "a/1", "c/3"]


def test_pages_of_one_file_stay_on_one_side_unless_asked(tmp_path: Path) -> None:
    make_volumes(tmp_path, {"a": 3, "b": 3, "c": 3})
    pairs = pairs_of(tmp_path)
    for fold in range(3):
        split = hold_out(pairs, DataSettings(folds=3, fold=fold))
        assert {pair.name[0] for pair in split.validation} == {"abc"[fold]}
        assert len(split.validation) == 3 and len(split.train) == 6
    apart = hold_out(pairs, DataSettings(group="(.+)", holdout_every=4))
    assert [pair.name for pair in apart.validation] == ["a/0", "b/1", "c/2"]
    with pytest.raises(
        DataError, match=r"Of 3 pairs in 1 groups, 3 would .*data\.group = "
    ) as caught:
        hold_out(pairs[:3], DataSettings())
    assert "Pages of one file stay on one side" in str(caught.value)


def test_slices_of_one_tracked_frame_stay_on_one_side(tmp_path: Path) -> None:
    folder = make_tracked_stack(tmp_path)
    for frame, index in ((0, 0), (0, 1), (1, 1), (1, 3)):
        write_tiff(folder / "01_GT" / "SEG" / f"man_seg_{frame:03}_{index:03}.tif", CELLS)
    split = hold_out(pairs_of(folder), DataSettings(holdout_every=2))
    assert [pair.name for pair in split.validation] == ["01/t000/0", "01/t000/1"]
    named = pairs_of(folder, partial=("01/t001",))
    assert [pair.truth.known is None for pair in named] == [True, True, False, False]


@pytest.mark.parametrize(("pages", "masks"), [(3, 2), (3, 4), (3, 1), (1, 3)])
def test_files_of_unequal_pages_are_refused(tmp_path: Path, pages: int, masks: int) -> None:
    write_tiff(tmp_path / "images" / "a.tif", np.zeros((pages, 20, 20), np.uint8))
    write_tiff(tmp_path / "masks" / "a_mask.tif", np.zeros((masks, 20, 20), np.uint8))
    with pytest.raises(
        DataError, match=rf"a\.tif has {pages} pages? and a_mask\.tif {masks}: each"
    ):
        pairs_of(tmp_path)
    (tmp_path / "images" / "a.tif").write_bytes(b"II*\0damaged")
    if masks > 2:  # what is damaged is said, not that it has one page
        with pytest.raises(ImageError, match=r"a\.tif is"):
            pairs_of(tmp_path)


def test_pages_that_are_masks_of_classes_belong_to_one_image(tmp_path: Path) -> None:
    write_tiff(tmp_path / "images" / "a.tif", np.zeros((20, 20), np.uint8))
    masks = np.zeros((2, 20, 20), np.uint8)
    masks[0, :5], masks[1, 3:9] = 1, 1
    write_tiff(tmp_path / "masks" / "a.tif", masks)
    (pair,) = pairs_of(tmp_path, ("bone", "marrow"))
    assert pair.labels.kind == "multilabel" and pair.labels.array.sum() == masks.sum()
    (pair,) = pairs_of(tmp_path)  # two pages, the first of which is no background
    with pytest.raises(LabelError, match=r"a\.tif has several pages, which are not one mask per"):
        pair.labels  # noqa: B018
    with pytest.raises(DataError, match=r"a\.tif has 1 page and a\.tif 2"):
        pairs_of(tmp_path, kind="instances")
    write_tiff(tmp_path / "images" / "a.tif", np.zeros((2, 20, 20), np.uint8))
    with pytest.raises(DataError, match=r'kind = "multilabel" takes the pages of a\.tif'):
        pairs_of(tmp_path, ("bone", "marrow"), kind="multilabel")


def test_as_many_pages_as_classes_are_still_pages(tmp_path: Path) -> None:
    ids = np.stack([CELLS, np.roll(CELLS, 1, axis=0)])
    write_tiff(tmp_path / "images" / "a.tif", np.zeros((2, 20, 20), np.uint8))
    write_tiff(tmp_path / "masks" / "a.tif", (ids > 0).astype(np.uint8))
    first, second = pairs_of(tmp_path)
    np.testing.assert_array_equal(first.labels.class_map(), ids[0] > 0)
    np.testing.assert_array_equal(second.labels.class_map(), ids[1] > 0)
    write_tiff(tmp_path / "masks" / "a.tif", ids)
    first, second = pairs_of(tmp_path, kind="instances")
    np.testing.assert_array_equal(second.labels.array, ids[1])
    with pytest.raises(LabelError, match=r"data\.kind = \"instances\""):
        pairs_of(tmp_path)[0].labels  # noqa: B018


def test_thumbnails_and_channels_are_no_pages_to_learn_from(tmp_path: Path) -> None:
    expected = make_volumes(tmp_path, {"a": 1, "b": 1})
    image, mask = expected["a"]
    with tifffile.TiffWriter(tmp_path / "images" / "a.tif") as file:
        file.write(image.astype(np.uint8))
        file.write(image[::2, ::2].astype(np.uint8), subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "masks" / "a_mask.tif") as file:
        file.write(mask.astype(np.uint8))
        file.write(mask[::2, ::2].astype(np.uint8), subfiletype=1)
    rgba = np.zeros((*expected["b"][0].shape, 4), np.uint8)
    tifffile.imwrite(tmp_path / "images" / "b.tif", rgba, photometric="rgb")
    first, second = pairs_of(tmp_path)
    assert (first.name, second.name, len(second.image)) == ("a", "b", 3)
    np.testing.assert_array_equal(first.labels.class_map(), mask)


# --- cell tracking -----------------------------------------------------------------------------


CELLS = np.zeros((20, 20), np.uint16)
CELLS[2:8, 2:8], CELLS[12:18, 2:8], CELLS[2:8, 12:18] = 3, 5, 9


def make_sequence(folder: Path) -> Path:
    """Frames 0 .. 3: gold whole in 1, gold in part in 2, silver in all."""
    for number in range(4):
        write_tiff(folder / "01" / f"t{number:03}.tif", np.full((20, 20), number, np.uint8))
        write_tiff(folder / "01_ST" / "SEG" / f"man_seg{number:03}.tif", CELLS)
    write_tiff(folder / "01_GT" / "SEG" / "man_seg001.tif", CELLS)
    write_tiff(folder / "01_GT" / "SEG" / "man_seg002.tif", np.where(CELLS == 5, 1, 0))
    return folder


def test_gold_frames_alone_unless_silver_is_asked_for(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path)
    assert [pair.name for pair in pairs_of(folder)] == ["01/t001", "01/t002"]
    found = pairs_of(folder, silver=True)
    assert [pair.name for pair in found] == [f"01/t00{number}" for number in range(4)]
    assert [int(pair.image[0, 0, 0]) for pair in found] == [0, 1, 2, 3]
    assert found[0].labels.found.startswith("silver: ")
    assert all(pair.truth.known is None for pair in found)


def test_a_frame_annotated_in_part_teaches_no_background(tmp_path: Path) -> None:
    partial = pairs_of(make_sequence(tmp_path))[1]
    assert partial.truth.known is not None
    np.testing.assert_array_equal(partial.truth.known, CELLS == 5)
    assert "not all that are there" in partial.labels.found
    whole = pairs_of(tmp_path)[0]
    assert whole.truth.known is None


def test_silver_fills_what_gold_lacks_and_moves_none_of_gold(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path)
    shifted = np.zeros_like(CELLS)
    shifted[13:19, 3:9] = 40  # as the person saw cell 5
    write_tiff(folder / "01_GT" / "SEG" / "man_seg002.tif", shifted)
    filled = pairs_of(folder, silver=True)[2].labels.instances()
    np.testing.assert_array_equal(filled == 40, shifted == 40)
    assert sorted(np.unique(filled)) == [0, 40, 43, 49]
    np.testing.assert_array_equal(filled == 43, CELLS == 3)


def test_tracking_marks_show_what_gold_lacks(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path)
    for path in (folder / "01_ST" / "SEG").iterdir():
        path.unlink()
    (folder / "01_ST" / "SEG").rmdir()
    assert pairs_of(folder)[1].truth.known is None  # nothing tells
    marks = np.zeros_like(CELLS)
    marks[4, 4], marks[14, 4] = 1, 2
    write_tiff(folder / "01_GT" / "TRA" / "man_track002.tif", marks)
    assert pairs_of(folder)[1].truth.known is not None
    (folder / "01_GT" / "TRA" / "man_track002.tif").unlink()
    write_tiff(folder / "01_GT" / "TRA" / "man_track001.tif", marks)
    named = pairs_of(folder, partial=("01/t002",))[1]
    assert named.truth.known is not None


def test_missing_objects_are_those_hardly_covered() -> None:
    every = np.int32([[1, 1, 2, 2, 3, 3, 0]])
    some = np.int32([[4, 4, 4, 0, 0, 0, 9]])
    assert missing_objects(some, every).tolist() == [2, 3]
    assert missing_objects(every, every).tolist() == []


def test_an_annotation_without_its_frame_is_refused(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path)
    (folder / "01" / "t002.tif").unlink()
    with pytest.raises(DataError, match="Frame 2 of sequence 01 has an annotation and no image"):
        pairs_of(folder)


def make_tracked_stack(folder: Path) -> Path:
    """Frames 0 and 1 of four slices each; a frame has its number in tens, a slice in ones."""
    for frame in (0, 1):
        slices = [np.full((20, 20), 10 * frame + index, np.uint8) for index in range(4)]
        write_tiff(folder / "01" / f"t{frame:03}.tif", np.stack(slices))
    return folder


def test_an_annotated_slice_belongs_to_that_page_of_that_frame(tmp_path: Path) -> None:
    folder = make_tracked_stack(tmp_path)
    for frame, index, cell in ((0, 1, 3), (1, 1, 5), (1, 3, 9)):
        path = folder / "01_GT" / "SEG" / f"man_seg_{frame:03}_{index:03}.tif"
        write_tiff(path, CELLS * (cell == CELLS))
    found = pairs_of(folder)
    assert [pair.name for pair in found] == ["01/t000/1", "01/t001/1", "01/t001/3"]
    assert [int(pair.image[0, 0, 0]) for pair in found] == [1, 11, 13]
    assert [int(pair.labels.array.max()) for pair in found] == [3, 5, 9]


def test_a_whole_frame_that_is_a_stack_pairs_page_with_page(tmp_path: Path) -> None:
    folder = make_tracked_stack(tmp_path)
    seg = folder / "01_GT" / "SEG" / "man_seg001.tif"
    write_tiff(seg, np.stack([CELLS * (index != 2) for index in range(4)]))
    marks = np.zeros((4, 20, 20), np.uint16)
    marks[2, 4, 4] = marks[3, 4, 4] = 1
    write_tiff(folder / "01_GT" / "TRA" / "man_track001.tif", marks)
    found = pairs_of(folder)
    assert [pair.name for pair in found] == [f"01/t001/{index}" for index in range(4)]
    assert [int(pair.image[0, 0, 0]) for pair in found] == [10, 11, 12, 13]
    assert [bool(pair.labels.array.any()) for pair in found] == [True, True, False, True]
    # The mark in slice 2, where the segmentation has nothing, says that it is not all there is.
    assert [pair.truth.known is None for pair in found] == [True, True, False, True]
    write_tiff(folder / "01_ST" / "SEG" / "man_seg_000_002.tif", CELLS)
    assert pairs_of(folder, silver=True)[0].name == "01/t000/2"
    write_tiff(seg, np.stack([CELLS] * 3))
    with pytest.raises(
        DataError, match=r"t001\.tif has 4 pages and its annotation man_seg001\.tif 3 pages"
    ):
        pairs_of(folder)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "man_seg_001_004.tif",
            (20, 20),
            r"man_seg_001_004\.tif .* t001\.tif has the slices 0 to 3",
        ),
        ("man_seg_1_3.tif", (20, 20), r"man_seg_001_003\.tif and man_seg_1_3\.tif in SEG are both"),
        (
            "man_seg001.tif",
            (4, 20, 20),
            r"man_seg001\.tif and man_seg_001_003\.tif .* both annotate",
        ),
        ("man_seg_002_000.tif", (20, 20), "Frame 2 of sequence 01 has an annotation and no image"),
        ("man_seg_000_000.tif", (2, 20, 20), "is of one slice by its name, and has 2 pages"),
    ],
)
def test_slices_that_cannot_be_paired_are_refused(
    tmp_path: Path, name: str, shape: tuple[int, ...], message: str
) -> None:
    folder = make_tracked_stack(tmp_path)
    write_tiff(folder / "01_GT" / "SEG" / "man_seg_001_003.tif", CELLS)
    assert len(pairs_of(folder)) == 1
    write_tiff(folder / "01_GT" / "SEG" / name, np.zeros(shape, np.uint16))
    with pytest.raises(DataError, match=message):
        pairs_of(folder)


def test_a_slice_of_a_flat_frame_is_refused(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path)
    write_tiff(folder / "01_GT" / "SEG" / "man_seg_001_002.tif", CELLS)
    write_tiff(folder / "01_GT" / "SEG" / "man_seg_003_002.tif", CELLS)
    with pytest.raises(DataError, match=r"man_seg001\.tif and man_seg_001_002\.tif in SEG both"):
        pairs_of(folder)
    (folder / "01_GT" / "SEG" / "man_seg001.tif").unlink()
    (folder / "01_GT" / "SEG" / "man_seg_001_002.tif").unlink()
    with pytest.raises(DataError, match=r"slice 2 of frame 3, but t003\.tif is no stack"):
        pairs_of(folder)


def test_two_files_of_one_frame_are_refused(tmp_path: Path) -> None:
    folder = make_sequence(tmp_path)
    write_tiff(folder / "01_GT" / "SEG" / "seg1.tif", CELLS)
    with pytest.raises(
        DataError, match=r"man_seg001\.tif and seg1\.tif in SEG are both of frame 1"
    ):
        pairs_of(folder)
    (folder / "01_GT" / "SEG" / "seg1.tif").unlink()
    write_tiff(folder / "01" / "extra_3.tif", CELLS)
    with pytest.raises(DataError, match=r"extra_3\.tif and t003\.tif in 01 are both of frame 3"):
        pairs_of(folder)


# --- what is asked for -------------------------------------------------------------------------


def test_an_unknown_layout_or_name_is_refused(tmp_path: Path) -> None:
    data = make_data(tmp_path / "d", count=2)
    with pytest.raises(SettingsError, match=r"layout is one of folders, stacks, .* not 'zip'"):
        pairs_of(data, layout="zip")
    with pytest.raises(DataError, match=r"data\.partial names 07, which is not in the data"):
        pairs_of(data, partial=("07",))
    with pytest.raises(DataError, match="no folder nowhere"):
        pairs_of(tmp_path / "nowhere")
    for layout, words in (("ctc", "no sequence"), ("dsb", "no folders"), ("coco", "no file")):
        with pytest.raises(DataError, match=words):
            pairs_of(data, layout=layout, labels="x.json")


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "classes", "settings", "count", "kind"),
    [
        ("isbi2012", ("membrane", "cell"), {}, 24, "classes"),
        ("vnc", ("membranes", "mitochondria", "synapses"), {"threshold": 127.0}, 15, "multilabel"),
        ("dsb2018", CLASSES, {}, 600, "instances"),
        ("dsb2018_raw/stage1_train", CLASSES, {}, 12, "instances"),
        ("chest_polygons", ("Lung",), {"labels": "annotations"}, 24, "multilabel"),
        ("chest_polygons", ("Lung",), {"labels": "annotations_darwin"}, 24, "multilabel"),
        ("ctc/DIC-C2DH-HeLa", CLASSES, {}, 9, "instances"),
        ("ctc/DIC-C2DH-HeLa", CLASSES, {"silver": True}, 33, "instances"),
        ("ctc/PhC-C2DH-U373", CLASSES, {"silver": True}, 48, "instances"),
        (
            "epfl",
            ("PSD", "axon", "membranes", "mitochondrial boundaries", "mitochondrion", "vesicles"),
            {"threshold": 127.0},
            20,
            "multilabel",
        ),
    ],
)
def test_real_data_is_read_where_it_lies(
    shared_data: Path,
    folder: str,
    classes: tuple[str, ...],
    settings: dict[str, object],
    count: int,
    kind: str,
) -> None:
    found = pairs_of(shared_data / folder, classes, **settings)
    assert len(found) == count
    for pair in (found[0], found[-1]):
        assert pair.labels.kind == kind and (pair.labels.array != 0).any()


@pytest.mark.data
def test_the_real_frame_of_three_cells_is_known_to_be_partial(shared_data: Path) -> None:
    found = pairs_of(shared_data / "ctc" / "DIC-C2DH-HeLa")
    assert [pair.name for pair in found if pair.truth.known is not None] == ["01/t067"]


# --- polygons ----------------------------------------------------------------------------------


SQUARE = [[2, 3], [12, 3], [12, 9], [2, 9]]  # 10 x 6 pixels


def test_polygon_files_lie_beside_their_images(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tiff(tmp_path / "images" / f"{name}.tif", np.zeros((20, 30), np.uint8))
    (tmp_path / "labels").mkdir()
    plain = {"annotations": [{"label": "cell", "points": SQUARE}]}
    (tmp_path / "labels" / "a.json").write_text(json.dumps(plain))
    labelme = {
        "shapes": [{"label": "cell", "points": SQUARE, "shape_type": "polygon"}],
        "imageHeight": 20,
        "imageWidth": 30,
    }
    (tmp_path / "labels" / "b.json").write_text(json.dumps(labelme))
    for pair in pairs_of(tmp_path):
        expected = np.zeros((20, 30), np.uint8)
        expected[3:9, 2:12] = 1
        np.testing.assert_array_equal(pair.labels.class_map(), expected)


def make_coco(folder: Path) -> Path:
    """Two images, three cells, of which two are in the first."""
    for name in ("a.png", "b.png"):
        write_png(folder / "images" / name, np.zeros((20, 30), np.uint8))
    sizes = {"height": 20, "width": 30}
    outlines = {1: [2, 3, 12, 3, 12, 9, 2, 9], 2: [20, 3, 25, 3, 25, 9, 20, 9]}
    content = {
        "images": [
            {"id": 1, "file_name": "a.png"} | sizes,
            {"id": 2, "file_name": "b.png"} | sizes,
        ],
        "categories": [{"id": 5, "name": "cell"}],
        "annotations": [
            {"id": number, "image_id": image, "category_id": 5, "segmentation": [outlines[outline]]}
            for number, (image, outline) in enumerate([(1, 1), (1, 2), (2, 2)])
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_one_coco_file_for_all_images(tmp_path: Path) -> None:
    folder = make_coco(tmp_path)
    first, second = pairs_of(folder, labels="annotations.json", kind="instances")
    assert (first.name, second.name) == ("a", "b")
    assert [len(np.unique(pair.labels.instances())) - 1 for pair in (first, second)] == [2, 1]
    np.testing.assert_array_equal(
        np.argwhere(second.labels.instances())[[0, -1]], [[3, 20], [8, 24]]
    )
    (folder / "images" / "b.png").unlink()
    with pytest.raises(DataError, match=r"annotations\.json annotates b\.png, which is not in"):
        pairs_of(folder, labels="annotations.json")


def test_coco_objects_that_touch_are_two_and_crowds_teach_nothing(tmp_path: Path) -> None:
    folder = make_coco(tmp_path)
    content = json.loads((folder / "annotations.json").read_text())
    touching, crowd = dict(content["annotations"][0]), dict(content["annotations"][1])
    touching |= {"id": 10, "segmentation": [[12, 3, 18, 3, 18, 9, 12, 9]]}
    content["annotations"][1] = crowd | {"iscrowd": 1}  # columns 20 to 24 of a.png
    content["annotations"].append(touching)
    (folder / "annotations.json").write_text(json.dumps(content))
    first, second = pairs_of(folder, labels="annotations.json")
    assert first.labels.kind == second.labels.kind == "instances"
    np.testing.assert_array_equal(np.unique(first.labels.instances()), [0, 1, 2])
    assert second.truth.known is None
    loss = LossSettings(w0=10.0, sigma=2.0, class_weights=(1.0, 1.0))
    settings = Settings(data=DataSettings(separate=True), loss=loss)
    targets = Targets([first], settings, classes=2, multilabel=False)
    (annotation,) = targets.annotations
    tile = np.s_[:, 8:28]
    target, weights = targets.cut(annotation.array[tile], annotation.class_of, 0)
    unknown = np.zeros((20, 30), np.bool_)
    unknown[3:9, 20:25] = True
    np.testing.assert_array_equal(weights == 0, unknown[tile])
    assert target[5, 2] and not target[5, 4] and weights[5, 4] > 4  # a border between the two
    merged = pairs_of(folder, labels="annotations.json", kind="classes")[0]
    assert len(np.unique(merged.labels.instances())) == 2
    # The same file of one image, as a label in a folder of labels.
    content["images"].pop()
    content["annotations"] = [one for one in content["annotations"] if one["image_id"] == 1]
    (folder / "annotations.json").unlink()
    (folder / "images" / "b.png").unlink()
    (folder / "labels").mkdir()
    (folder / "labels" / "a.json").write_text(json.dumps(content))
    (alone,) = pairs_of(folder)
    np.testing.assert_array_equal(alone.truth.known, ~unknown)
    (partial,) = pairs_of(folder, partial=("a",))
    np.testing.assert_array_equal(partial.truth.known, first.labels.array > 0)


def coco_of(folder: Path, *names: str) -> None:
    """A COCO file of two images with these file names, beside those of `make_coco`."""
    content = json.loads((folder / "annotations.json").read_text())
    for image, name in zip(content["images"], names, strict=True):
        image["file_name"] = name
    (folder / "annotations.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("well_a/01.png", "well_b/01.png", ["well_a/01", "well_b/01"]),
        ("well_a\\01.png", "well_b\\01.png", ["well_a/01", "well_b/01"]),
        ("images/well_a/01.png", "/home/anna/well_b/01.png", ["well_a/01", "well_b/01"]),
        ("train/a.png", "../b.png", ["a", "b"]),
    ],
)
def test_coco_names_files_in_folders(
    tmp_path: Path, first: str, second: str, names: list[str]
) -> None:
    folder = make_coco(tmp_path)
    for well in ("well_a", "well_b"):
        write_png(folder / "images" / well / "01.png", np.zeros((20, 30), np.uint8))
    coco_of(folder, first, second)
    pairs = pairs_of(folder, labels="annotations.json", kind="instances")
    assert [pair.name for pair in pairs] == names
    assert [pair.image_file for pair in pairs] == [
        folder / "images" / f"{name}.png" for name in names
    ]
    assert [len(np.unique(pair.labels.instances())) - 1 for pair in pairs] == [2, 1]


def test_two_coco_names_of_one_file_are_refused(tmp_path: Path) -> None:
    folder = make_coco(tmp_path)
    coco_of(folder, "well_a/a.png", "well_b/a.png")
    with pytest.raises(
        DataError, match=r"well_a/a\.png and well_b/a\.png, and in images both are a"
    ):
        pairs_of(folder, labels="annotations.json")
