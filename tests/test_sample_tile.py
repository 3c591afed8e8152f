"""sample.safetensors: what is kept of an image and a network's answer comes back, or is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save, save_file
from small_networks import drawn, picture

from hf_unet import ImageError, ModelError, UNet
from hf_unet.errors import AbsentFileError
from hf_unet.images import ScienceImage, read_image
from hf_unet.repositories.sample_tile import (
    DRAWN,
    FORMAT,
    LARGEST_FILE,
    SAMPLE,
    SampleTile,
    drawn_pattern,
    made_again,
    make_sample,
    read_sample,
    write_sample,
)

KEY = "hf_unet_sample"


@pytest.fixture(scope="module")
def sample() -> SampleTile:
    return make_sample(drawn(), picture(140, 150), source="Drawn for this test")


def rewritten(folder: Path, sample: SampleTile, **changed: Any) -> None:
    """The file, with other tensors or another word about itself; None takes one out."""
    write_sample(folder, sample)
    tensors = load_file(folder / SAMPLE)
    with safe_open(folder / SAMPLE, framework="np") as file:
        about = json.loads(file.metadata()[KEY])
    for name, value in changed.items():
        holder = tensors if name in ("image", "probabilities", "more") else about
        if value is None:
            del holder[name]
        else:
            holder[name] = value
    save_file(tensors, folder / SAMPLE, metadata={KEY: json.dumps(about)})


# --- made -------------------------------------------------------------------------------------


def test_the_middle_of_an_image_is_kept() -> None:
    image = picture(140, 150)
    sample = make_sample(drawn(), image, source="CC0")
    assert sample.image.shape == (1, 128, 120)
    np.testing.assert_array_equal(sample.image[0], image[6:134, 15:135])
    assert sample.probabilities.shape == (2, 128, 120)
    assert sample.probabilities.dtype == np.float32
    np.testing.assert_allclose(sample.probabilities.sum(axis=0), 1, atol=1e-6)


def test_a_small_image_is_kept_whole() -> None:
    sample = make_sample(drawn(), picture(30, 20), source="CC0")
    assert sample.image.shape == (1, 30, 20) and sample.probabilities.shape == (2, 30, 20)


def test_values_and_bit_depth_are_the_images_own(tmp_path: Path) -> None:
    image = ScienceImage(picture(1, 40, 40).astype(np.uint16) * 16, bit_depth=12, name="a.tif")
    sample = make_sample(drawn(normalization="bit-depth"), image, source="CC0")
    write_sample(tmp_path, sample)
    back = read_sample(tmp_path).image
    assert (back.dtype, back.bit_depth, back.name) == (np.uint16, 12, "a.tif")


@pytest.mark.parametrize(
    ("depth", "tile"), [(1, (80, 76)), (3, (156, 156)), (4, (252, 252)), (5, (444, 444))]
)
def test_tiles_meet_within_a_sample(depth: int, tile: tuple[int, int]) -> None:
    model = UNet(base_channels=1, depth=depth)
    sample = make_sample(model)
    assert sample.tile == tile
    assert len(model.plan(128, 120, sample.tile).tiles) == 4


def test_what_is_recorded_is_what_the_network_says_in_one_piece() -> None:
    model = drawn()
    sample = make_sample(model)
    whole = model.segment(sample.image, tile=500)
    assert len(whole.plan.tiles) == 1
    np.testing.assert_allclose(sample.probabilities, whole.probabilities, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        ({"in_channels": 40}, (40, 111, 105)),
        ({"classes": [f"class {number}" for number in range(30)]}, (1, 70, 66)),
        ({"in_channels": 3, "classes": ["a", "b"], "multilabel": True}, (3, 128, 120)),
    ],
)
def test_many_channels_or_classes_make_it_smaller(
    arguments: dict[str, Any], shape: tuple[int, int, int], tmp_path: Path
) -> None:
    sample = make_sample(UNet(base_channels=1, depth=1, **arguments))
    assert sample.image.shape == shape
    write_sample(tmp_path, sample)
    assert (tmp_path / SAMPLE).stat().st_size < 620_000


def test_without_an_image_it_is_a_drawing_in_which_something_is_found() -> None:
    sample = make_sample(drawn())
    assert sample.source == DRAWN and sample.image.name is None
    np.testing.assert_array_equal(sample.image, drawn_pattern(1)[:, :, 4:124])
    assert (sample.probabilities > 0.5).mean(axis=(1, 2)).min() > 0.1


def test_the_drawing_is_always_the_same_and_its_channels_differ() -> None:
    pattern = drawn_pattern(3)
    np.testing.assert_array_equal(pattern, drawn_pattern(3))
    np.testing.assert_array_equal(pattern[2], np.roll(pattern[0], (2, 2), axis=(0, 1)))
    assert len(np.unique(pattern)) > 100


def test_an_image_needs_a_source() -> None:
    with pytest.raises(ImageError, match=r"published with its model.*source="):
        make_sample(drawn(), picture(40, 40))


def test_an_image_of_other_channels_is_refused() -> None:
    with pytest.raises(ImageError):
        make_sample(drawn(in_channels=2), picture(40, 40), source="CC0")


def test_it_is_made_again_of_the_same_image(sample: SampleTile) -> None:
    other = drawn(seed=3)
    again = made_again(sample, other)
    np.testing.assert_array_equal(again.image, sample.image)
    assert again.source == sample.source
    expected = other.segment(sample.image, sample.tile).probabilities
    np.testing.assert_array_equal(again.probabilities, expected)
    assert np.abs(again.probabilities - sample.probabilities).max() > 0.1


# --- written and read -------------------------------------------------------------------------


def test_what_is_written_comes_back(tmp_path: Path, sample: SampleTile) -> None:
    write_sample(tmp_path, sample)
    back = read_sample(tmp_path)
    np.testing.assert_array_equal(back.image, sample.image)
    np.testing.assert_array_equal(back.probabilities, sample.probabilities)
    assert (back.tile, back.source) == (sample.tile, sample.source)
    assert back.settings == json.loads(json.dumps(sample.settings))
    assert back.image.bit_depth == 8 and back.image.name is None
    assert [path.name for path in tmp_path.iterdir()] == [SAMPLE]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float16", "float64"])
def test_any_type_of_pixel_comes_back(tmp_path: Path, dtype: str) -> None:
    image = picture(1, 20, 20).astype(dtype)
    write_sample(tmp_path, make_sample(drawn(), image, source="CC0"))
    back = read_sample(tmp_path).image
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, read_image(image)[:, :, 0:20])


def test_equal_samples_are_equal_files(tmp_path: Path, sample: SampleTile) -> None:
    contents = set()
    for _ in range(8):
        write_sample(tmp_path, sample)
        contents.add((tmp_path / SAMPLE).read_bytes())
    assert len(contents) == 1


def test_a_repository_without_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(AbsentFileError, match=f"holds no {SAMPLE}"):
        read_sample(tmp_path)


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, sample: SampleTile) -> None:
    write_sample(tmp_path, sample)
    content = (tmp_path / SAMPLE).read_bytes()
    for length in (0, 1, 7, 8, 50, 400, len(content) // 2, len(content) - 1):
        (tmp_path / SAMPLE).write_bytes(content[:length])
        with pytest.raises(ModelError, match=SAMPLE):
            read_sample(tmp_path)


def test_changed_bytes_are_read_or_refused_by_a_sentence(
    tmp_path: Path, sample: SampleTile
) -> None:
    write_sample(tmp_path, sample)
    content = bytearray((tmp_path / SAMPLE).read_bytes())
    random = np.random.default_rng(0)
    refusals = []
    for _ in range(300):
        changed = content.copy()
        for place in random.integers(0, 900, 3):  # most of it the header
            changed[place] = random.integers(256)
        (tmp_path / SAMPLE).write_bytes(changed)
        try:
            read_sample(tmp_path)
        except ModelError as error:
            refusals.append(str(error))
    assert len(refusals) > 200
    assert all(SAMPLE in words and words.endswith(".") for words in refusals)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"image": None}, "damaged"),
        ({"more": np.zeros(2)}, "damaged"),
        ({"image": np.zeros((128, 120), np.uint8)}, "damaged"),
        ({"image": np.zeros((1, 120, 128), np.uint8)}, "damaged"),
        ({"image": np.zeros((1, 128, 120), bool)}, "damaged"),
        ({"image": np.full((1, 128, 120), np.nan, np.float32)}, "damaged"),
        ({"probabilities": np.zeros((2, 128, 120), np.float64)}, "damaged"),
        ({"probabilities": np.full((2, 128, 120), np.nan, np.float32)}, "damaged"),
        ({"probabilities": np.full((2, 128, 120), 1.5, np.float32)}, "damaged"),
        ({"format": FORMAT + 1}, "newer version.*pip install --upgrade"),
        ({"format": None}, "not written by hf-unet"),
        ({"format": "1"}, "not written by hf-unet"),
        ({"format": True}, "not written by hf-unet"),
        ({"bit_depth": 0}, "no longer says"),
        ({"source": 3}, "no longer says"),
        ({"name": 3}, "no longer says"),
        ({"tile": [80]}, "no longer says"),
        ({"tile": [80, -1]}, "no longer says"),
        ({"settings": None}, "no longer says"),
    ],
)
def test_what_is_not_a_sample_is_refused(
    tmp_path: Path, sample: SampleTile, changed: dict[str, Any], words: str
) -> None:
    rewritten(tmp_path, sample, **changed)
    with pytest.raises(ModelError, match=words):
        read_sample(tmp_path)


def test_a_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    for metadata in (None, {"format": "pt"}, {KEY: "[]"}, {KEY: "not JSON"}):
        (tmp_path / SAMPLE).write_bytes(save({"image": np.zeros(3)}, metadata=metadata))
        with pytest.raises(ModelError, match="not written by hf-unet"):
            read_sample(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / SAMPLE).open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(ModelError, match=r"16,000,001 bytes"):
        read_sample(tmp_path)
