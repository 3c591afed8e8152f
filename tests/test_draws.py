"""The stream of training tiles: a function of a number; weights from the labels as they came."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from discs import draw_discs, make_data
from torch.utils.data import DataLoader

from hf_unet import boundary_weight_map
from hf_unet.geometry import Geometry, same_geometry, valid_geometry
from hf_unet.training.datasets import find_pairs
from hf_unet.training.draws import Draws
from hf_unet.training.pairs import OneFile, Pair
from hf_unet.training.settings import (
    AugmentationSettings,
    DataSettings,
    LossSettings,
    RunSettings,
    Settings,
    SettingsError,
)

STILL = AugmentationSettings(
    elastic_sigma=0, rotate=False, flip="none", brightness=0, contrast=0, scale=(1.0, 1.0)
)
PLAIN = LossSettings(w0=0.0, class_weights=(1.0, 1.0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("draws") / "data", count=4)


def draws_of(
    data: Path,
    settings: Settings,
    *,
    classes: tuple[str, ...] = ("background", "disc"),
    multilabel: bool = False,
    geometry: Geometry | None = None,
    count: int = 24,
) -> Draws:
    return Draws(
        find_pairs(data, settings.data, classes),
        geometry or valid_geometry(2),
        in_channels=1,
        normalization="percentile",
        classes=max(2, len(classes)) if not multilabel else len(classes),
        multilabel=multilabel,
        settings=settings,
        count=count,
    )


def settings_of(**sections: Any) -> Settings:
    settings = Settings(
        data=DataSettings(kind="instances"),
        augmentation=AugmentationSettings(elastic_sigma=4.0),
        run=RunSettings(output=36, seed=3),
    )
    return replace(settings, **sections)


def labels_of(draws: Draws, number: int) -> npt.NDArray[np.int32]:
    """The whole moved label tile of a draw, the margin included."""
    kept = []
    original = draws.targets.cut

    def spy(moved: npt.NDArray[Any], class_of: npt.NDArray[Any], margin: int) -> Any:
        kept.append(moved)
        return original(moved, class_of, margin)

    draws.targets.cut = spy  # type: ignore[method-assign]
    try:
        draws[number]
    finally:
        del draws.targets.cut  # type: ignore[method-assign]
    (moved,) = kept
    result: npt.NDArray[np.int32] = moved
    return result


# --- numbers and workers -----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_draws_are_the_same_with_any_number_of_workers(data: Path, workers: int) -> None:
    draws = draws_of(data, settings_of(), count=12)
    alone = [draws[number] for number in range(12)]
    loader = DataLoader(draws, batch_size=1, num_workers=workers)
    for _ in range(2):  # a second pass, where worker processes start anew
        for number, batch in enumerate(loader):
            for key, tensor in alone[number].items():
                assert torch.equal(batch[key][0], tensor), (number, key)


def test_no_two_draws_are_equal(data: Path) -> None:
    draws = draws_of(data, settings_of(), count=60)
    images = {draws[number]["image"].numpy().tobytes() for number in range(60)}
    assert len(images) == 60


def test_a_draw_depends_on_seed_and_number_alone(data: Path) -> None:
    first, second = draws_of(data, settings_of()), draws_of(data, settings_of())
    late = second[20]
    torch.manual_seed(0)  # what must not matter
    for number in (20, 0, 20):
        drawn = first[number]
    assert torch.equal(drawn["image"], late["image"])
    other = draws_of(data, settings_of(run=RunSettings(output=36, seed=4)))
    assert not torch.equal(other[20]["image"], late["image"])


def test_all_pairs_are_drawn_from_all_over(data: Path) -> None:
    settings = settings_of(augmentation=STILL, loss=PLAIN)
    draws = draws_of(data, settings, geometry=valid_geometry(1))
    assert draws.output_side == 36
    whole = [image[0] for image in draws.images]
    found = set()
    for number in range(300):
        block = draws[number]["image"][0, 8:-8, 8:-8].numpy()
        for index, image in enumerate(whole):
            for top in range(13):
                hits = np.flatnonzero(image[top, :13] == block[0, 0])
                for left in hits:
                    if np.array_equal(image[top : top + 36, left : left + 36], block):
                        found.add((index, top, int(left)))
    assert {index for index, _, _ in found} == {0, 1, 2, 3}
    assert {top for _, top, _ in found} == {left for _, _, left in found} == set(range(13))


def test_a_tile_is_the_image_mirrored_around_its_block(data: Path) -> None:
    settings = settings_of(augmentation=STILL, loss=PLAIN, run=RunSettings(output=100))
    draws = draws_of(data, settings)
    assert (draws.input_side, draws.output_side) == (140, 100)
    drawn = draws[0]
    candidates = [
        np.pad(image[0], 46, mode="reflect")
        for image in draws.images  # 48 pixels in the middle of 140
    ]
    assert any(np.array_equal(drawn["image"][0].numpy(), tile) for tile in candidates)


# --- targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "geometry",
    [valid_geometry(2), same_geometry(2), valid_geometry(1, downsampling=3)],
    ids=["valid", "same", "blocks"],
)
def test_target_and_image_show_the_same_place(data: Path, geometry: Geometry) -> None:
    draws = draws_of(data, settings_of(), geometry=geometry)
    margin = geometry.margin
    assert draws.output_side >= 36 and draws.input_side == draws.output_side + 2 * margin
    for number in range(6):
        drawn = draws[number]
        image = drawn["image"][0, margin:-margin, margin:-margin]
        assert drawn["target"].shape == drawn["weights"].shape == image.shape
        assert drawn["target"].dtype == torch.int64
        inside, outside = image[drawn["target"] == 1], image[drawn["target"] == 0]
        assert inside.mean() > outside.mean() + 0.3
        assert set(drawn["target"].unique().tolist()) <= {0, 1}


def test_touching_instances_are_separated_only_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("image", "label"):
        (folder / name).mkdir(parents=True)
    label = np.zeros((48, 48), np.int32)
    label[8:40, 8:24], label[8:40, 24:40] = 70_000, 2**30  # ids with gaps of any size
    tifffile.imwrite(folder / "label" / "a.tif", label)
    tifffile.imwrite(folder / "image" / "a.tif", (label > 0).astype(np.uint8))
    run = RunSettings(output=48)
    for separate, expected in ((False, 32), (True, 30)):
        settings = settings_of(
            augmentation=STILL,
            loss=PLAIN,
            run=run,
            data=DataSettings(kind="instances", separate=separate),
        )
        target = draws_of(folder, settings)[0]["target"].numpy()
        assert (target[24] == 1).sum() == expected
        assert (target[24, 23:25] == 0).all() == separate


# --- weights -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("weights", [(), (1.0, 3.0)], ids=["frequency", "given"])
def test_weights_are_eq_2_of_the_moved_labels(
    data: Path, number: int, weights: tuple[float, ...]
) -> None:
    loss = LossSettings(w0=10.0, sigma=2.0, class_weights=weights)
    draws = draws_of(data, settings_of(loss=loss))
    margin = (draws.input_side - draws.output_side) // 2
    assert margin >= 4 * loss.sigma
    moved = labels_of(draws, number)
    w_c = (float(draws.targets.class_weights[0]), float(draws.targets.class_weights[1]))
    whole = boundary_weight_map(moved, w0=10.0, sigma=2.0, class_weights=w_c)
    drawn = draws[number]["weights"].numpy()
    # The drawn map knows 4 sigma of the surroundings, the whole one all of the tile.
    np.testing.assert_allclose(drawn, whole[margin:-margin, margin:-margin], atol=10 * np.exp(-8))
    assert drawn.max() > w_c[0] + 1  # there is a border in it


def test_weights_are_never_warped(data: Path) -> None:
    loss = LossSettings(w0=10.0, sigma=2.0, class_weights=(1.0, 1.0))
    draws = draws_of(data, settings_of(loss=loss))
    drawn = draws[1]
    inside = drawn["weights"][drawn["target"] == 1]
    assert (inside == 1).all()  # a warped map would bleed into the instances


def test_class_weights_are_one_over_frequency(data: Path) -> None:
    draws = draws_of(data, settings_of())
    share = np.mean([tifffile.imread(path) > 0 for path in sorted((data / "label").iterdir())])
    np.testing.assert_allclose(
        draws.targets.class_weights, [0.5 / (1 - share), 0.5 / share], rtol=1e-5
    )
    balanced = np.array([1 - share, share]) @ draws.targets.class_weights
    assert balanced == pytest.approx(1)  # an average pixel weighs 1


def test_each_of_three_classes_has_a_weight(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("image", "label"):
        (folder / name).mkdir(parents=True)
    label = np.zeros((40, 40), np.uint8)
    label[:, 20:30], label[:, 30:] = 1, 2  # a half, a quarter, a quarter
    tifffile.imwrite(folder / "label" / "a.tif", label)
    tifffile.imwrite(folder / "image" / "a.tif", label)
    names = ("background", "rod", "cone")
    run = RunSettings(output=40)
    for w0 in (0.0, 10.0):
        settings = settings_of(
            augmentation=STILL, data=DataSettings(), run=run, loss=LossSettings(w0=w0, sigma=1)
        )
        draws = draws_of(folder, settings, classes=names)
        np.testing.assert_allclose(draws.targets.class_weights, [2 / 3, 4 / 3, 4 / 3], rtol=1e-5)
        target = draws[0]["target"].numpy()
        assert np.array_equal(target, label)
        np.testing.assert_allclose(
            draws[0]["weights"][:, 15:].numpy() * 0 + draws.targets.class_weights[target][:, 15:],
            draws[0]["weights"][:, 15:].numpy(),
            atol=1e-4 if not w0 else 10,
        )
    with pytest.raises(SettingsError, match="2 numbers for 3 classes"):
        draws_of(folder, replace(settings, loss=PLAIN), classes=names)


def test_multilabel_targets_overlap_and_are_weighed_by_plane(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("image", "label"):
        (folder / name).mkdir(parents=True)
    planes = np.zeros((3, 40, 40), np.uint8)
    planes[0, :20], planes[1, :, :20], planes[2, 5:10] = 1, 1, 1
    tifffile.imwrite(folder / "label" / "a.tif", planes * 255, photometric="minisblack")
    tifffile.imwrite(folder / "image" / "a.tif", planes[0])
    settings = settings_of(
        augmentation=STILL,
        data=DataSettings(kind="multilabel"),
        run=RunSettings(output=40),
        loss=LossSettings(w0=0, class_weights=()),
    )
    names = ("bone", "cartilage", "marrow")
    drawn = draws_of(folder, settings, classes=names, multilabel=True)[0]
    assert drawn["target"].dtype == torch.float32
    assert np.array_equal(drawn["target"].numpy(), planes)
    share = planes.mean(axis=(1, 2))[:, None, None]
    expected = np.where(planes > 0, 0.5 / share, 0.5 / (1 - share))
    np.testing.assert_allclose(drawn["weights"].numpy(), expected, rtol=1e-5)

    given = replace(settings, loss=LossSettings(w0=0, class_weights=(1.0, 2.0, 3.0)))
    weights = draws_of(folder, given, classes=names, multilabel=True)[0]["weights"].numpy()
    assert (weights == np.array([1, 2, 3]).reshape(3, 1, 1)).all()

    bordered = replace(settings, loss=LossSettings(w0=10.0))
    with pytest.raises(SettingsError, match=r"loss\.w0 = 0"):
        draws_of(folder, bordered, classes=names, multilabel=True)


def test_rare_looks_are_drawn_more_often_if_balanced(tmp_path: Path) -> None:
    folder = make_data(tmp_path / "data", count=10)
    image = folder / "image" / "09.tif"
    tifffile.imwrite(image, 255 - tifffile.imread(image))  # one bright ground among nine dark
    plain = draws_of(folder, settings_of()).odds
    even = draws_of(folder, settings_of(data=DataSettings(kind="instances", balance=True))).odds
    np.testing.assert_allclose(plain, 0.1)
    assert even[9] == pytest.approx(3 * even[0]) and even.sum() == pytest.approx(1)


def test_pairs_forget_nothing_of_the_file(tmp_path: Path) -> None:
    image, instances = draw_discs(np.random.default_rng(0))
    tifffile.imwrite(tmp_path / "i.tif", image.astype(np.uint16) * 200)
    tifffile.imwrite(tmp_path / "l.tif", instances)
    source = OneFile(tmp_path / "l.tif")
    pair = Pair("i", tmp_path / "i.tif", source, ("background", "disc"), "instances")
    assert pair.image.bit_depth == 16 and pair.name == "i"
    assert np.array_equal(pair.labels.instances(), instances)
    assert pair.scaled(3, "percentile").shape == (3, 48, 48)


def test_one_change_does_not_tell_of_another(data: Path) -> None:
    # albumentations' set_random_seed gives each transform the same numbers: no tile would be
    # inverted that is not also warped.
    chances = AugmentationSettings(warp=0.5, invert=0.5, flip="none", brightness=0, contrast=0)
    stream = draws_of(data, settings_of(augmentation=chances), count=240)
    values = np.unique(np.concatenate([image.ravel() for image in stream.images]))
    seen = np.zeros((240, 2), bool)
    for number in range(240):
        tile = stream[number]["image"].numpy()
        inverted = np.median(tile) > 0.5  # the discs' background is dark
        known = np.isin(1 - tile if inverted else tile, values)
        close = np.abs(np.subtract.outer((1 - tile if inverted else tile).ravel()[:50], values))
        seen[number] = inverted, not known.all() and close.min(axis=1).max() > 1e-6
    shares = seen.mean(axis=0)
    assert ((shares > 0.35) & (shares < 0.65)).all(), shares
    assert seen.all(axis=1).mean() == pytest.approx(shares.prod(), abs=0.08)
