"""What augmentation does to a tile, and that image and labels stay together."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt
import pytest
from discs import draw_discs
from scipy import ndimage

from hf_unet.training.augmentation import (
    Blur,
    ElasticDeformation,
    Grey,
    GreyValueShift,
    Invert,
    Noise,
    build_augmentation,
    cubic_weights,
    grow_bicubic,
)
from hf_unet.training.settings import AugmentationSettings

ROOT = Path(__file__).resolve().parent.parent
STILL = AugmentationSettings(
    elastic_sigma=0, rotate=False, flip="none", brightness=0, contrast=0, scale=(1.0, 1.0)
)


def run(
    transform: A.BasicTransform, seed: int = 0, **arrays: npt.NDArray[Any]
) -> dict[str, npt.NDArray[Any]]:
    compose = A.Compose([transform])
    compose.set_random_seed(seed)
    result: dict[str, npt.NDArray[Any]] = compose(**arrays)
    return result


def displacements(seed: int, side: int = 65, **options: Any) -> npt.NDArray[np.float32]:
    """(2, side, side): how far each pixel is fetched from, in columns and rows."""
    transform = ElasticDeformation(**options)
    transform.set_random_seed(seed)
    maps = transform.get_params_dependent_on_data({"shape": (side, side, 1)}, {})
    rows, columns = np.mgrid[:side, :side]
    return np.stack([maps["map_x"] - columns, maps["map_y"] - rows])


def smooth_image(side: int = 64) -> npt.NDArray[np.float32]:
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    return np.stack([np.sin(rows / 7), np.cos(columns / 9)], axis=-1)


# --- elastic deformation -----------------------------------------------------------------------


def test_the_nodes_displacements_are_gaussian_of_sigma() -> None:
    fields = np.stack([displacements(seed, sigma=10.0, grid=3) for seed in range(400)])
    nodes = fields[:, :, ::32, ::32]  # the 3x3 nodes lie on 0, 32 and 64
    assert nodes.shape == (400, 2, 3, 3)
    assert nodes.std() == pytest.approx(10, rel=0.04)
    assert abs(nodes.mean()) < 0.5
    for node in nodes.reshape(400, -1).T:
        assert node.std() == pytest.approx(10, rel=0.2)
    correlation = np.corrcoef(nodes.reshape(400, -1).T)
    assert np.abs(correlation - np.eye(18)).max() < 0.25  # each node has a draw of its own


def test_between_the_nodes_the_displacement_is_bicubic() -> None:
    field = displacements(3, side=65, sigma=10.0, grid=3)[0]
    nodes = field[::32, ::32]
    # By hand, Keys' a = -1/2 halfway between nodes: -1/16, 9/16, 9/16, -1/16, edges repeated.
    half = np.array([-nodes[:, 0] + 9 * nodes[:, 0] + 9 * nodes[:, 1] - nodes[:, 2]])[0] / 16
    np.testing.assert_allclose(field[::32, 16], half, atol=1e-4)


def test_cubic_weights_by_hand() -> None:
    np.testing.assert_allclose(
        cubic_weights(4, 7)[3], [-1 / 16, 9 / 16, 9 / 16, -1 / 16], atol=1e-6
    )
    np.testing.assert_allclose(cubic_weights(3, 9).sum(axis=1), 1, atol=1e-6)
    assert grow_bicubic(np.full((3, 3), 4, np.float32), 5, 9) == pytest.approx(4)


def test_the_grid_and_sigma_can_be_chosen() -> None:
    fine = np.stack([displacements(seed, sigma=2.0, grid=5) for seed in range(100)])
    assert fine[:, :, ::16, ::16].std() == pytest.approx(2, rel=0.05)
    assert (displacements(0, sigma=0.0) == 0).all()


def test_labels_keep_their_own_values_and_type() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2**31 - 1, (50, 60)).astype(np.int32)
    labels[::2] = 70_001
    labels[1::2, ::2] = 2**24 + 1  # the first that float32 has no place for
    moved = run(ElasticDeformation(), image=smooth_image()[:50, :60], mask=labels)["mask"]
    assert moved.dtype == np.int32 and moved.shape == labels.shape
    assert set(np.unique(moved)) <= set(np.unique(labels))
    assert {70_001, 2**24 + 1} <= set(np.unique(moved))
    assert (moved != labels).mean() > 0.3


@pytest.mark.parametrize("planes", [1, 3, 6])
def test_multilabel_stacks_and_any_number_of_channels(planes: int) -> None:
    stack = (np.random.default_rng(0).random((40, 40, planes)) > 0.5).astype(np.uint8)
    image = np.repeat(stack[..., :1], planes, axis=2).astype(np.float32)
    settings = AugmentationSettings(scale=(0.7, 1.4), blur=1.0, noise=0.1)
    augmentation = build_augmentation(settings)
    augmentation.set_random_seed(1)
    moved = augmentation(image=image, mask=stack)
    assert moved["image"].shape == moved["mask"].shape == (40, 40, planes)
    assert set(np.unique(moved["mask"])) <= {0, 1}
    alone = run(ElasticDeformation(), image=image, mask=stack)["mask"]
    first = run(ElasticDeformation(), image=image, mask=stack[..., 0])["mask"]
    assert (alone[..., 0] == first).all()


@pytest.mark.parametrize("seed", range(6))
def test_image_and_labels_move_together(seed: int) -> None:
    _, instances = draw_discs(np.random.default_rng(seed), side=64, count=5)
    mask = instances.astype(np.int32)
    settings = AugmentationSettings(
        elastic_sigma=6, scale=(0.8, 1.25), brightness=0, contrast=0, rotate=True, flip="all"
    )
    augmentation = build_augmentation(settings)
    augmentation.set_random_seed(seed)
    moved = augmentation(image=(mask > 0).astype(np.float32)[..., None], mask=mask)
    assert not np.array_equal(moved["mask"], mask)
    # Linear and nearest differ on the rim of a disc only.
    assert ((moved["image"][..., 0] > 0.5) != (moved["mask"] > 0)).mean() < 0.03
    assert set(np.unique(moved["mask"])) <= set(np.unique(mask))


def test_the_same_seed_gives_the_same_tile_and_another_another() -> None:
    augmentation = build_augmentation(AugmentationSettings(blur=1, noise=0.1, gamma=0.2))
    images = []
    for seed in (5, 6, 5):
        augmentation.set_random_seed(seed)
        images.append(
            augmentation(image=smooth_image(), mask=np.zeros((64, 64), np.int32))["image"]
        )
    assert np.array_equal(images[0], images[2])
    assert not np.allclose(images[0], images[1])


# --- flips and rotations -----------------------------------------------------------------------


def test_flips_reach_all_eight_positions_exactly() -> None:
    settings = AugmentationSettings(**{**vars(STILL), "flip": "all"})
    augmentation = build_augmentation(settings)
    image = np.arange(12 * 12, dtype=np.float32).reshape(12, 12, 1)
    mask = image[..., 0].astype(np.int32)
    eight = {np.rot90(m, k).tobytes() for m in (mask, mask.T) for k in range(4)}
    seen = set()
    for seed in range(80):
        augmentation.set_random_seed(seed)
        moved = augmentation(image=image, mask=mask)
        np.testing.assert_allclose(moved["image"][..., 0], moved["mask"])
        seen.add(moved["mask"].tobytes())
    assert seen == eight


@pytest.mark.parametrize(("flip", "count"), [("horizontal", 2), ("both", 4)])
def test_flips_of_one_axis_or_both_turn_nothing(flip: str, count: int) -> None:
    augmentation = build_augmentation(AugmentationSettings(**{**vars(STILL), "flip": flip}))
    image = np.arange(12 * 12, dtype=np.float32).reshape(12, 12, 1)
    mask = image[..., 0].astype(np.int32)
    flipped = (mask, mask[:, ::-1], mask[::-1], mask[::-1, ::-1])
    times = {one.tobytes(): 0 for one in flipped[:count]}
    for seed in range(80):
        augmentation.set_random_seed(seed)
        moved = augmentation(image=image, mask=mask)
        np.testing.assert_array_equal(moved["image"][..., 0], moved["mask"])
        times[moved["mask"].tobytes()] += 1
    assert min(times.values()) > 40 / count


@pytest.mark.parametrize("offset", [(-1.0, 0.0), (0.0, 2.0), (1.0, -2.0)])
def test_labels_that_lie_beside_what_they_mark_stay_there(offset: tuple[float, float]) -> None:
    image, mask = np.zeros((11, 11, 1), np.float32), np.zeros((11, 11), np.int32)
    spot = np.array([3, 4])
    image[tuple(spot)], mask[tuple(spot + np.int64(offset))] = 1, 1
    settings = AugmentationSettings(**{**vars(STILL), "flip": "all"})
    augmentation = build_augmentation(settings, offset)
    places = set()
    for seed in range(60):
        augmentation.set_random_seed(seed)
        moved = augmentation(image=image, mask=mask)
        (place,), (marked,) = np.argwhere(moved["image"][..., 0]), np.argwhere(moved["mask"])
        assert tuple(marked - place) == offset
        places.add(tuple(place))
    assert len(places) == 8


def test_rotation_reaches_every_quarter_and_scale_its_range() -> None:
    rows, columns = np.mgrid[:81, :81]
    disc = ((rows - 40) ** 2 + (columns - 40) ** 2 <= 15**2).astype(np.int32)
    disc[38:43, 40:55] = 2  # a hand, pointing right
    settings = AugmentationSettings(**{**vars(STILL), "rotate": True, "scale": (0.5, 1.5)})
    augmentation = build_augmentation(settings)
    quarters, factors = set(), []
    for seed in range(60):
        augmentation.set_random_seed(seed)
        moved = augmentation(image=disc[..., None].astype(np.float32), mask=disc)["mask"]
        pieces = ndimage.label(moved)[0]  # where it shrank, mirrored copies stand around it
        moved = np.where(pieces == pieces[40, 40], moved, 0)
        y, x = np.argwhere(moved == 2).mean(axis=0) - 40
        quarters.add(int(np.arctan2(y, x) // (np.pi / 2)))
        height, width = np.ptp(np.argwhere(moved > 0), axis=0) + 1
        assert abs(height - width) <= 2  # a disc stays a disc
        factors.append(width / 31)
    assert quarters == {-2, -1, 0, 1}
    assert 0.45 < min(factors) < 0.65 and 1.35 < max(factors) < 1.55


def test_settings_of_nothing_change_nothing() -> None:
    augmentation = build_augmentation(STILL)
    augmentation.set_random_seed(3)
    image, mask = smooth_image(), np.arange(64 * 64, dtype=np.int32).reshape(64, 64)
    moved = augmentation(image=image, mask=mask)
    assert np.array_equal(moved["image"], image)
    assert np.array_equal(moved["mask"], mask)


# --- grey values -------------------------------------------------------------------------------


def test_grey_value_shift_does_not_clip() -> None:
    image = np.linspace(-3, 5, 32 * 32, dtype=np.float32).reshape(32, 32, 1)
    for seed in range(20):
        shift = GreyValueShift(brightness=0.5, contrast=0.5, gamma=0, color=0)
        moved = run(shift, seed, image=image)["image"]
        # A line through the values stays a line, to both ends.
        slope, offset = np.polyfit(image.ravel(), moved.ravel(), 1)
        np.testing.assert_allclose(moved, slope * image + offset, atol=1e-3)
        assert 2**-0.5 - 1e-3 <= slope <= 2**0.5 + 1e-3
        mean = image.mean()
        assert abs(moved.mean() - mean) <= 0.5 + 1e-3
        assert np.unique(moved).size == image.size
        assert moved.dtype == np.float32


def test_gamma_keeps_order_and_sign_and_color_differs_by_channel() -> None:
    image = np.linspace(-1, 2, 30, dtype=np.float32).reshape(5, 6, 1).repeat(3, axis=2)
    bent = run(GreyValueShift(0, 0, gamma=0.8, color=0), 4, image=image)["image"]
    assert (np.diff(bent[..., 0].ravel()) > 0).all() and not np.allclose(bent, image, atol=0.01)
    assert np.array_equal(np.sign(bent), np.sign(image))
    tinted = run(GreyValueShift(0, 0, 0, color=0.5), 4, image=image)["image"]
    spread = tinted.std(axis=(0, 1)) / image.std(axis=(0, 1))
    assert len(set(spread.round(4).tolist())) == 3
    assert (spread <= 2**0.5 + 1e-3).all() and (spread >= 2**-0.5 - 1e-3).all()


def test_the_smaller_changes_do_what_they_say() -> None:
    image = smooth_image()
    np.testing.assert_allclose(run(Invert(p=1), image=image)["image"], 1 - image)
    grey = run(Grey(p=1), image=image)["image"]
    np.testing.assert_allclose(grey, image.mean(axis=2, keepdims=True).repeat(2, 2), atol=1e-6)
    deviations = [(run(Noise(0.2, p=1), s, image=image)["image"] - image).std() for s in range(40)]
    assert 0.15 < max(deviations) <= 0.205 and min(deviations) < 0.03
    spike = np.zeros((41, 41, 1), np.float32)
    spike[20, 20] = 1
    peaks = [run(Blur(2.0, p=1), s, image=spike)["image"].max() for s in range(40)]
    assert min(peaks) == pytest.approx(1 / (2 * np.pi * 4), rel=0.25) and max(peaks) > 0.9
    assert (run(Blur(0.01, p=1), image=spike)["image"] == spike).all()


def test_importing_asks_the_network_for_nothing() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise SystemExit('the network was asked')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import hf_unet.training.augmentation\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_warp_is_the_share_of_tiles_that_lose_their_texture() -> None:
    still = {"brightness": 0.0, "contrast": 0.0, "flip": "none"}
    augmentation = build_augmentation(AugmentationSettings(warp=0.5, **still))  # type: ignore[arg-type]
    noise = np.random.default_rng(0).standard_normal((40, 40, 1)).astype(np.float32)
    kept = 0
    for seed in range(200):
        augmentation.set_random_seed(seed)
        kept += np.array_equal(augmentation(image=noise, mask=noise[..., 0])["image"], noise)
    assert 70 <= kept <= 130


def test_a_moved_image_keeps_most_of_its_noise() -> None:
    noise = np.random.default_rng(0).standard_normal((64, 64, 1)).astype(np.float32)
    moved = run(ElasticDeformation(sigma=5.0), seed=1, image=noise)["image"]
    # Linear interpolation at random places keeps 4/9 of the variance of white noise.
    assert moved.var() > 0.6 * noise.var()
