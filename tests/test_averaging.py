"""Test-time averaging: proven without a network first, then exact with overlap-tile."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hf_unet.averaging import SYMMETRIES, average_over_symmetries, turn, turn_back
from hf_unet.errors import ModelError
from hf_unet.geometry import same_geometry, valid_geometry
from hf_unet.images import normalize, read_image
from hf_unet.model import UNet
from hf_unet.tiles import plan_tiles, read_tile, run_tiles

Batch = NDArray[Any]


def random_image(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, np.float32)


def across(images: Batch) -> Batch:
    return np.swapaxes(images, -1, -2)


def flips(images: Batch) -> list[Batch]:
    return [images, images[..., ::-1], images[..., ::-1, :], images[..., ::-1, ::-1]]


def eight(images: Batch) -> list[Batch]:
    """The symmetries of the square, spelled out by flips and transposition alone."""
    return flips(images) + flips(across(images))


def eight_back(turned: list[Batch]) -> list[Batch]:
    """Undo `eight`: a flip undoes itself."""
    upright = [flips(images)[number % 4] for number, images in enumerate(turned)]
    return upright[:4] + [across(images) for images in upright[4:]]


# --- turning -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mirrored", "quarters", "expected"),
    [
        (False, 0, [[1, 2, 3], [4, 5, 6]]),
        (False, 1, [[3, 6], [2, 5], [1, 4]]),
        (False, 2, [[6, 5, 4], [3, 2, 1]]),
        (False, 3, [[4, 1], [5, 2], [6, 3]]),
        (True, 0, [[3, 2, 1], [6, 5, 4]]),
        (True, 1, [[1, 4], [2, 5], [3, 6]]),
        (True, 2, [[4, 5, 6], [1, 2, 3]]),
        (True, 3, [[6, 3], [5, 2], [4, 1]]),
    ],
)
def test_turning_and_turning_back(mirrored: bool, quarters: int, expected: list) -> None:
    image = np.array([[1, 2, 3], [4, 5, 6]])
    assert (mirrored, quarters) in SYMMETRIES
    assert turn(image, mirrored, quarters).tolist() == expected
    assert turn_back(np.array(expected), mirrored, quarters).tolist() == image.tolist()


def test_the_symmetries_are_the_eight_of_the_square() -> None:
    images = random_image(2, 3, 5, 5)
    turned = sorted(turn(images, *symmetry).tolist() for symmetry in SYMMETRIES)
    assert turned == sorted(image.tolist() for image in eight(images))
    assert len({str(image) for image in turned}) == 8


# --- without a network -------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [(24, 30), (28, 24), (300, 300)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_mean_of_a_function_that_crops_is_the_image(
    tile: tuple[int, int], batch_size: int
) -> None:
    image = random_image(2, 31, 40)
    plan = plan_tiles(31, 40, valid_geometry(1), tile)
    assert plan.side[0] != plan.side[1]
    sides = []

    def crop(batch: Batch) -> Batch:
        sides.append(batch.shape[2:])
        assert batch.dtype == np.float32 and batch.flags.c_contiguous
        return batch[..., 8:-8, 8:-8]

    result = run_tiles(image, average_over_symmetries(crop), plan, batch_size=batch_size)
    assert result.dtype == np.float32
    assert np.array_equal(result, image)
    assert sides[:8] == [plan.side, plan.side[::-1]] * 4
    assert len(sides) == 8 * -(-len(plan.tiles) // batch_size)


KERNEL = [
    [0, 8, 0, 0, 0],
    [0, 0, 0, 16, 0],
    [0, 0, 5, 0, 0],
    [0, 0, 0, 0, 0],
    [24, 0, 0, 0, 4],
]
"""A knight's move, a diagonal step, the pixel itself and two corners."""

MEAN_KERNEL = [
    [7, 1, 0, 1, 7],
    [1, 4, 0, 4, 1],
    [0, 0, 5, 0, 0],
    [1, 4, 0, 4, 1],
    [7, 1, 0, 1, 7],
]


def filtering(kernel: list[list[int]]) -> Any:
    def function(batch: Batch) -> Batch:
        windows = np.lib.stride_tricks.sliding_window_view(batch, (5, 5), axis=(2, 3))
        return np.asarray((windows * np.float32(kernel)).sum(axis=(-1, -2)))

    return function


def test_the_mean_of_a_lopsided_filter_is_the_filter_of_the_mean_kernel() -> None:
    batch = random_image(3, 2, 9, 14)
    mean = average_over_symmetries(filtering(KERNEL))(batch)
    assert mean.shape == (3, 2, 5, 10)
    np.testing.assert_allclose(mean, filtering(MEAN_KERNEL)(batch), rtol=1e-5)
    assert not np.allclose(mean, filtering(KERNEL)(batch), rtol=0.1)


def test_the_mean_is_float32_and_leaves_the_batch_as_it_was() -> None:
    batch = random_image(1, 1, 4, 4)
    before = batch.copy()
    for dtype in (np.float64, np.float16, np.bool_):
        mean = average_over_symmetries(lambda images, dtype=dtype: (images > 0.5).astype(dtype))
        assert mean(batch).dtype == np.float32
        assert np.array_equal(mean(batch), batch > 0.5)
    average_over_symmetries(lambda images: images)(batch)
    assert np.array_equal(batch, before)


# --- with a network ----------------------------------------------------------------------------


def drawn(**arguments: Any) -> UNet:
    torch.manual_seed(4)
    return UNet(**({"base_channels": 4, "depth": 2, "normalization": "none"} | arguments)).eval()


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(61, 47), (33, 90), (5, 8)])
def test_tiled_is_whole_also_when_averaged(
    padding: str, blocks: int, height: int, width: int
) -> None:
    model = drawn(padding=padding, downsampling=blocks, depth=3 - blocks)
    image = random_image(1, height, width)
    whole = model.segment(image, tile=1000, test_time_averaging=True)
    assert len(whole.plan.tiles) == 1
    for tile, batch_size in ((57, 3), (64, 2), (None, None)):
        tiled = model.segment(image, tile, batch_size, test_time_averaging=True)
        assert tile is None or height < 60 or len(tiled.plan.tiles) > 3
        np.testing.assert_allclose(tiled.probabilities, whole.probabilities, rtol=0, atol=2e-6)
    np.testing.assert_allclose(whole.probabilities.sum(axis=0), 1, rtol=1e-6)
    plain = model.segment(image, tile=1000)
    assert np.abs(plain.probabilities - whole.probabilities).max() > 1e-3


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_it_is_the_mean_of_eight_whole_images(padding: str) -> None:
    model, image = drawn(padding=padding), random_image(1, 45, 58)
    geometry = valid_geometry(2) if padding == "valid" else same_geometry(2)
    margin, sides = geometry.margin, [geometry.input_size(length) for length in (45, 58)]
    around = read_tile(image, -margin, -margin, *sides)[None]
    found = [model.predict(np.ascontiguousarray(turned))[0] for turned in eight(around)]
    first = margin - geometry.lost
    mean = np.mean(eight_back(found), axis=0)[:, first : first + 45, first : first + 58]
    for tile in (None, 60):
        result = model.segment(image, tile, test_time_averaging=True)
        np.testing.assert_allclose(result.probabilities, mean, rtol=0, atol=2e-6)


@pytest.mark.parametrize("tile", [None, 64])
def test_segmenting_a_turned_image_gives_the_turned_probabilities(tile: int | None) -> None:
    model, image = drawn(), random_image(1, 44, 60)
    expected = model.segment(image, test_time_averaging=True).probabilities
    plain = model.segment(image).probabilities
    for turned, wanted, differs in zip(eight(image), eight(expected), eight(plain), strict=True):
        found = model.segment(np.ascontiguousarray(turned), tile, test_time_averaging=True)
        np.testing.assert_allclose(found.probabilities, wanted, rtol=0, atol=2e-6)
        alone = model.segment(np.ascontiguousarray(turned), tile).probabilities
        assert turned is image or np.abs(alone - differs).max() > 1e-3


# --- choosing it -------------------------------------------------------------------------------


def test_the_config_decides_unless_the_call_does() -> None:
    image = random_image(1, 40, 30)
    without, with_averaging = drawn(), drawn(test_time_averaging=True)
    assert without.config["test_time_averaging"] is False
    assert with_averaging.config["test_time_averaging"] is True
    plain, mean = without.segment(image), with_averaging.segment(image)
    assert not np.allclose(plain.probabilities, mean.probabilities, atol=1e-3)
    for model in (without, with_averaging):
        for chosen, expected in ((False, plain), (True, mean)):
            result = model.segment(image, test_time_averaging=chosen)
            assert np.array_equal(result.probabilities, expected.probabilities)


def test_progress_counts_tiles_not_symmetries() -> None:
    told: list[tuple[int, int]] = []
    model, image = drawn(), random_image(1, 40, 40)
    result = model.segment(
        image, 64, progress=lambda *done: told.append(done), test_time_averaging=True
    )
    count = len(result.plan.tiles)
    assert count > 1 and told == [(done, count) for done in range(1, count + 1)]


@pytest.mark.parametrize("wrong", ["yes", 1, 0.0, [True]])
def test_what_is_neither_true_nor_false_is_refused(wrong: Any) -> None:
    with pytest.raises(ModelError, match="test_time_averaging is true or false, not "):
        drawn(test_time_averaging=wrong)
    with pytest.raises(ModelError, match="test_time_averaging is true or false, not "):
        drawn().segment(random_image(1, 20, 20), test_time_averaging=wrong)


def test_a_file_is_averaged_at_its_own_scale() -> None:
    """The intensities are scaled once, before the turns."""
    model = drawn(normalization="percentile")
    image = (random_image(1, 30, 44) * 200).astype(np.uint8)
    scaled = normalize(read_image(image), "percentile")
    expected = drawn().segment(scaled, test_time_averaging=True)
    result = model.segment(image, test_time_averaging=True)
    assert np.array_equal(result.probabilities, expected.probabilities)
