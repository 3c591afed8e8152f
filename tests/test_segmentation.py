"""From an image to its mask, instances, overlay and files."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from small_networks import drawn, picture
from torch import nn

from hf_unet import exports
from hf_unet.errors import ImageError
from hf_unet.exports.outlines import fill_outlines
from hf_unet.images import normalize, read_image
from hf_unet.instances import label_objects
from hf_unet.masks import decide
from hf_unet.segmentation import Segmentation

Array = NDArray[Any]

KINDS: dict[str, dict[str, Any]] = {
    "softmax": {"classes": ("background", "cell", "nucleus")},
    "softmax of two": {},
    "sigmoid": {"classes": ("cell",)},
    "multi-label": {"classes": ("lung", "heart"), "multilabel": True},
    "one label": {"classes": ("lung",), "multilabel": True},
}


FILES = {
    *("instances.tif", "probabilities.tif", "rle.csv", "coco.json", "objects.csv"),
    *("objects.geojson", "overlay.png", "result.json"),
}


def decoded(row: exports.RleRow) -> NDArray[np.bool_]:
    return exports.decode_rle(row.rle, row.shape, row.order)


def segmented(kind: str, **arguments: Any) -> Segmentation:
    return drawn(**KINDS[kind], **arguments).segment(picture(43, 37))


# --- segment ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_dtypes(kind: str) -> None:
    result = segmented(kind)
    planes = len(KINDS[kind].get("classes", (0, 0)))
    multilabel = KINDS[kind].get("multilabel", False)
    assert result.probabilities.shape == (planes, 43, 37)
    assert result.probabilities.dtype == np.float32
    assert 0 <= result.probabilities.min() <= result.probabilities.max() <= 1
    assert result.mask.shape == ((planes, 43, 37) if multilabel else (43, 37))
    assert result.mask.dtype == (np.bool_ if multilabel else np.uint8)
    assert result.instances.shape == (43, 37) and result.instances.dtype == np.int32
    # Each class occurs, or the tests below would prove nothing.
    assert len(result.areas) == len(result.classes) and all(result.areas.values())
    if kind.startswith("softmax"):
        np.testing.assert_allclose(result.probabilities.sum(axis=0), 1, rtol=1e-6)
        assert np.array_equal(result.mask, result.probabilities.argmax(axis=0))
    elif multilabel:
        assert np.array_equal(result.mask, result.probabilities >= 0.5)
    else:
        assert result.classes == ("background", "cell")
        assert np.array_equal(result.mask, result.probabilities[0] >= 0.5)


def test_every_way_in_gives_the_same(tmp_path: Path) -> None:
    model, image = drawn(), picture(43, 37)
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    expected = model.segment(image)
    opened = Image.open(path)
    for source in (
        path,
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        opened,
        Image.fromarray(image),
        image[None],
        image[..., None],
        torch.from_numpy(image),
        torch.from_numpy(image)[None],
        read_image(path),
    ):
        result = model.segment(source)
        assert np.array_equal(result.mask, expected.mask)
        assert np.array_equal(result.probabilities, expected.probabilities)
        assert np.array_equal(result.image, expected.image)
    opened.close()


def test_the_page_is_chosen(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(20, 20, seed=seed)) for seed in (1, 2)]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    model = drawn()
    result = model.segment(tmp_path / "stack.tif", page=1)
    assert np.array_equal(result.probabilities, model.segment(np.array(pages[1])).probabilities)
    assert (result.image.page, result.image.pages) == (1, 2)
    with pytest.raises(ImageError, match="no page 2"):
        model.segment(tmp_path / "stack.tif", page=2)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid", "multi-label"])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_tile_and_batch_change_nothing_but_rounding(kind: str, padding: str) -> None:
    model, image = drawn(**KINDS[kind], padding=padding), picture(61, 47)
    expected = model.segment(image, tile=1000)
    assert len(expected.plan.tiles) == 1
    for tile, batch_size in ((36, 7), (47, 1), (np.int64(40), np.int64(3)), (None, None)):
        result = model.segment(image, tile=tile, batch_size=batch_size)
        np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-5)
        clear = np.abs(np.diff(np.sort(expected.probabilities, axis=0)[-2:], axis=0)) > 1e-4
        if kind != "softmax":
            clear = np.abs(expected.probabilities - 0.5) > 1e-4
        mask, wanted = np.broadcast_arrays(result.mask, expected.mask)
        assert np.array_equal(mask[..., clear[0]], wanted[..., clear[0]])


@pytest.mark.parametrize("tile", [0, -5, 2.5, "big", True, (60,), (60, 0), (60, 2.5), (9, 9, 9)])
def test_a_wrong_tile_is_named(tile: Any) -> None:
    with pytest.raises(ImageError, match=r"tile is .* in whole pixels, at least 1, not "):
        drawn().segment(picture(20, 20), tile=tile)


def test_the_sides_of_a_plan_give_it_again() -> None:
    model, image = drawn(), picture(83, 47)
    for tile in (None, 28, (40, 28)):
        plan = model.segment(image, tile=tile).plan
        assert model.segment(image, tile=plan.side).plan == plan
    assert plan.side == (40, 28)


@pytest.mark.parametrize("batch_size", [0, -1, 1.0, "2", False])
def test_a_wrong_batch_size_is_named(batch_size: Any) -> None:
    with pytest.raises(ImageError, match="batch_size is a whole number of tiles, at least 1, not"):
        drawn().segment(picture(20, 20), batch_size=batch_size)


def test_it_is_deterministic_also_in_training_mode() -> None:
    model, image = drawn(norm="batch", dropout=0.5), picture(30, 30)
    expected = model.segment(image).probabilities
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    assert np.array_equal(model.segment(image).probabilities, expected)
    for name, value in model.state_dict().items():  # batch norm's statistics above all
        assert torch.equal(value, state[name])


def test_the_state_of_training_is_restored_layer_by_layer() -> None:
    model = drawn(norm="batch").train()
    frozen = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)][1]
    frozen.eval()
    model.up.requires_grad_(False)
    before = [module.training for module in model.modules()]
    needed = [parameter.requires_grad for parameter in model.parameters()]
    assert {True, False} == set(before) == set(needed)
    seen = []
    hook = model.register_forward_hook(lambda module, *_: seen.append(module.training))
    model.segment(picture(20, 20))
    hook.remove()
    assert seen == [False]
    assert [module.training for module in model.modules()] == before

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    model.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        model.segment(picture(20, 20))
    assert [module.training for module in model.modules()] == before
    assert [parameter.requires_grad for parameter in model.parameters()] == needed
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_progress_is_told_and_works_with_tensors_of_its_own() -> None:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert not torch.is_inference_mode_enabled()
        told.append((done, total))

    result = drawn().segment(picture(40, 40), tile=40, batch_size=2, progress=progress)
    total = len(result.plan.tiles)
    assert total > 2
    assert told == [(min(done, total), total) for done in range(2, total + 2, 2)]


def test_grey_and_color_meet_nets_of_either() -> None:
    grey, color = picture(21, 30), picture(21, 30, 3)
    rgb_net, grey_net = drawn(in_channels=3), drawn()
    thrice = rgb_net.segment(np.stack([grey] * 3, axis=-1))
    assert np.array_equal(rgb_net.segment(grey).probabilities, thrice.probabilities)
    luma = color.astype(np.float32) @ np.float32([0.299, 0.587, 0.114])
    np.testing.assert_allclose(
        grey_net.segment(color).probabilities, grey_net.segment(luma).probabilities, atol=1e-4
    )
    with pytest.raises(ImageError, match="2 channels and the model takes 3"):
        rgb_net.segment(np.stack([grey] * 2))


def test_the_scale_of_intensities_does_not_matter_by_percentiles() -> None:
    model, image = drawn(), picture(50, 50)
    expected = model.segment(image)
    for same in (image.astype(np.uint16) * 257, image.astype(np.uint16) + 1000, image / 255.0):
        result = model.segment(same)
        np.testing.assert_allclose(result.probabilities, expected.probabilities, atol=1e-4)
    by_depth = drawn(normalization="bit-depth")
    other = by_depth.segment(image.astype(np.uint16)).probabilities
    assert np.abs(other - by_depth.segment(image).probabilities).max() > 0.01


@pytest.mark.parametrize("rule", ["percentile", "standardize", "bit-depth", "none"])
def test_the_configs_rule_is_the_one_that_is_used(rule: str) -> None:
    model, image = drawn(normalization=rule), picture(30, 30)
    scaled = normalize(read_image(image), rule)
    kept = drawn(normalization="none").segment(scaled)
    assert np.array_equal(model.segment(image).probabilities, kept.probabilities)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-5), (torch.float16, 0.02), (torch.bfloat16, 0.1)],
)
def test_other_precisions_of_weights(dtype: torch.dtype, tolerance: float) -> None:
    model, image = drawn(), picture(40, 40)
    expected = model.segment(image).probabilities
    result = model.to(dtype).segment(image)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities, expected, atol=tolerance)
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1, rtol=1e-6)


# --- thresholds ------------------------------------------------------------------------------


def test_thresholds_decide() -> None:
    p = np.array([[[0.9, 0.5, 0.2]], [[0.1, 0.5, 0.8]]], np.float32)
    assert decide(p, multilabel=False).tolist() == [[0, 0, 1]]
    assert decide(p, multilabel=False, thresholds=(0.05,)).tolist() == [[1, 1, 1]]
    assert decide(p, multilabel=False, thresholds=(0.5,)).tolist() == [[0, 1, 1]]
    assert decide(p[1:], multilabel=False).tolist() == [[0, 1, 1]]
    assert decide(p[1:], multilabel=False, thresholds=(0.6,)).tolist() == [[0, 0, 1]]
    assert decide(p, multilabel=True).tolist() == [[[True, True, False]], [[False, True, True]]]
    assert decide(p, multilabel=True, thresholds=(0.1, 0.6)).tolist() == [
        [[True, True, True]],
        [[False, False, True]],
    ]


def test_thresholds_of_the_config_are_used() -> None:
    low, high = (segmented("sigmoid", thresholds=(t,)) for t in (0.3, 0.7))
    assert np.array_equal(low.mask, low.probabilities[0] >= 0.3)
    assert np.array_equal(high.mask, high.probabilities[0] >= 0.7)
    assert low.areas["cell"] > high.areas["cell"]


# --- the result ------------------------------------------------------------------------------


def test_instances_are_connected_pieces_of_at_least_min_area() -> None:
    result, every = segmented("softmax", min_area=5), segmented("softmax")
    counts = np.bincount(result.instances.ravel())[1:]
    assert 0 < len(counts) < every.instances.max() and counts.min() >= 5
    for number, index in enumerate(result.objects.class_of, start=1):
        assert (result.mask[result.instances == number] == index).all() and index > 0


def test_instances_of_overlapping_classes_are_of_the_most_probable() -> None:
    result = segmented("multi-label")
    assert (result.mask.sum(axis=0) == 2).any()
    assert np.array_equal(result.instances > 0, result.mask.any(axis=0))
    for number, index in enumerate(result.objects.class_of, start=1):
        here = result.instances == number
        assert result.mask[index][here].all()
        other = result.mask[1 - index] & here
        assert (result.probabilities[index] >= result.probabilities[1 - index])[other].all()


def test_objects_are_whole_where_classes_overlap() -> None:
    result = segmented("multi-label", min_area=4)
    found = result.whole_objects
    assert found.labels.shape == (2, 43, 37) and found.labels.dtype == np.int32
    assert (found.labels > 0).all(axis=0).any()  # two objects on one pixel
    numbers = [set(np.unique(plane)) - {0} for plane in found.labels]
    assert not numbers[0] & numbers[1]
    assert numbers[0] | numbers[1] == set(range(1, len(found.class_of) + 1))
    for index, plane in enumerate(found.labels):
        alone = label_objects(result.mask[index].astype(np.uint8), min_area=4)
        assert np.array_equal(plane > 0, alone.labels > 0)
        assert (found.class_of == index).sum() == len(alone.class_of) == len(numbers[index])


def test_seeds_part_the_objects_of_each_class_by_its_own_probability() -> None:
    probabilities = np.zeros((2, 1, 5), np.float32)
    probabilities[0] = [0.9, 0.9, 0.6, 0.9, 0.9]  # two, which touch where the other is sure
    probabilities[1] = [0.0, 0.8, 0.95, 0.8, 0.0]
    model = drawn(**KINDS["multi-label"], seed_threshold=0.85)
    result = model.interpret(probabilities, read_image(picture(1, 5)), model.plan(1, 5))
    first, second = result.whole_objects.labels
    assert first[0, 0] != first[0, 4] and (first > 0).all()
    assert second.tolist() == [[0, 3, 3, 3, 0]]


def test_objects_of_classes_that_exclude_each_other_are_the_instances() -> None:
    result = segmented("softmax")
    assert np.array_equal(result.whole_objects.labels, result.instances[None])
    assert result.whole_objects.class_of is result.objects.class_of


@pytest.mark.parametrize("kind", KINDS)
def test_the_overlay_is_a_picture_of_the_images_size(kind: str) -> None:
    result = segmented(kind)
    overlay = result.overlay()
    assert overlay.size == (37, 43) and overlay.mode == "RGB"
    plain = np.array(result.overlay(opacity=0, outlines=False))
    assert np.array_equal(plain, np.repeat(result.image[0][..., None], 3, axis=-1))
    anything = result.mask.any(axis=0) if result.multilabel else result.mask > 0
    changed = (np.array(result.overlay(outlines=False)) != plain).any(axis=-1)
    assert not changed[~anything].any() and changed[anything].mean() > 0.9
    full = np.array(result.overlay(opacity=1, outlines=False))
    last = result.class_pixels(len(result.classes) - 1)
    assert (full[last] == result.rgb_colors[result.classes[-1]]).all()


def test_the_result_is_frozen() -> None:
    result = segmented("softmax")
    with pytest.raises(AttributeError):
        result.mask = result.mask  # type: ignore[misc]


def test_a_result_is_saved_as_files_that_come_back(tmp_path: Path) -> None:
    result = segmented("softmax", min_area=3)
    folder = result.save(tmp_path / "a" / "b")
    names = {path.name for path in folder.iterdir()}
    assert names == FILES | {"mask.png"}
    with Image.open(folder / "mask.png") as png:
        assert png.mode == "L" and np.array_equal(np.array(png), result.mask)
    assert np.array_equal(exports.read_mask_png(folder / "mask.png"), result.mask)
    assert np.array_equal(exports.read_instances_tiff(folder / "instances.tif"), result.instances)
    outlines, classes = exports.read_geojson(folder / "objects.geojson")
    assert np.array_equal(fill_outlines(outlines, (43, 37)), result.instances)
    expected = [result.classes[index] for index in result.objects.class_of]
    assert [classes[number] for number in sorted(classes)] == expected
    rows = exports.read_rle_csv(folder / "rle.csv")
    assert len(rows) == len(expected)
    for number, row in enumerate(rows, start=1):
        assert row.label == expected[number - 1]
        assert np.array_equal(decoded(row), result.instances == number)
    with Image.open(folder / "overlay.png") as png:
        assert np.array_equal(np.array(png), np.array(result.overlay()))
    summary = json.loads((folder / "result.json").read_text())
    assert summary == json.loads(json.dumps(result.summary()))
    assert (summary["height"], summary["width"], summary["instances"]) == (43, 37, len(expected))
    assert summary["area_in_pixels"] == result.areas
    assert sum(result.areas.values()) == 43 * 37
    assert summary["tile"]["margin"] == 8


def test_a_multi_label_result_is_saved_too(tmp_path: Path) -> None:
    result = segmented("multi-label")
    folder = result.save(tmp_path)
    stack, names = exports.read_stack_tiff(folder / "mask.tif")
    assert np.array_equal(stack, result.mask) and tuple(names) == result.classes
    assert {path.name for path in folder.iterdir()} == FILES | {"mask.tif"}
    objects = result.whole_objects
    assert np.array_equal(exports.read_instances_tiff(folder / "instances.tif"), objects.labels)
    rows = exports.read_rle_csv(folder / "rle.csv")
    outlines, classes = exports.read_geojson(folder / "objects.geojson")
    assert [row.id for row in rows] == list(outlines) == list(range(1, len(rows) + 1))
    for row, index in zip(rows, objects.class_of, strict=True):
        here = objects.labels[index] == row.id
        assert row.label == classes[row.id] == result.classes[index]
        assert np.array_equal(decoded(row), here)
        assert np.array_equal(fill_outlines({1: outlines[row.id]}, (43, 37)) > 0, here)
    assert json.loads((folder / "result.json").read_text())["multilabel"] is True
    assert json.loads((folder / "result.json").read_text())["instances"] == len(rows)


def test_nothing_found_is_saved_too(tmp_path: Path) -> None:
    result = segmented("sigmoid", thresholds=(0.999999,))
    assert not result.mask.any()
    folder = result.save(tmp_path)
    assert not exports.read_mask_png(folder / "mask.png").any()
    assert len(exports.read_rle_csv(folder / "rle.csv")) == 0
    assert json.loads((folder / "result.json").read_text())["instances"] == 0


@pytest.mark.parametrize("after", range(9))
def test_a_save_that_fails_leaves_whole_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    first, second = segmented("softmax"), segmented("softmax", min_area=9)
    first.save(tmp_path / "old"), second.save(tmp_path / "new"), first.save(tmp_path / "both")
    replace, done = Path.replace, []

    def fail_later(self: Path, target: Path) -> Path:
        if len(done) == after:
            raise OSError("No space left on device")
        done.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail_later)
    with pytest.raises(OSError, match="No space left"):
        second.save(tmp_path / "both")
    contents = {path.name: path.read_bytes() for path in (tmp_path / "both").iterdir()}
    assert len(contents) == 9
    for name, content in contents.items():
        versions = [(tmp_path / which / name).read_bytes() for which in ("old", "new")]
        assert content in versions
