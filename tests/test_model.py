"""The network: the paper to the layer, its variants, and overlap-tile through it."""

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from slow_definitions import mirrored, size_after
from slow_definitions import unet as hand_written
from torch import Tensor, nn

from hf_unet.errors import ModelError
from hf_unet.geometry import Geometry
from hf_unet.model import UNet, crop
from hf_unet.tiles import plan_tiles, run_tiles

Array = NDArray[np.float32]


def drawn(seed: int = 0, **arguments: Any) -> UNet:
    """A small network as if trained: batch norm has statistics, biases are not zero."""
    torch.manual_seed(seed)
    model = UNet(**({"base_channels": 4, "depth": 2} | arguments)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(std=0.3)
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(std=0.3)
            elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.bias is not None:
                module.bias.normal_(std=0.2)
    return model


def random_image(channels: int, height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((channels, height, width), np.float32)


# --- the paper -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paper() -> UNet:
    torch.manual_seed(0)
    return UNet().eval()


def test_the_paper_has_31_030_658_parameters(paper: UNet) -> None:
    assert sum(parameter.numel() for parameter in paper.parameters()) == 31_030_658
    assert all(parameter.requires_grad for parameter in paper.parameters())


def test_the_paper_has_23_convolutions(paper: UNet) -> None:
    plain = [m for m in paper.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in paper.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert (len(plain), len(up)) == (19, 4)
    assert [m.kernel_size for m in plain].count((3, 3)) == 18
    assert {(m.kernel_size, m.stride) for m in up} == {((2, 2), (2, 2))}
    assert {m.padding for m in plain} == {(0, 0)}
    assert [m.out_channels for m in plain if m.kernel_size == (3, 3)] == [
        *(64, 64, 128, 128, 256, 256, 512, 512, 1024, 1024),
        *(512, 512, 256, 256, 128, 128, 64, 64),
    ]
    assert [(m.in_channels, m.out_channels) for m in up] == [
        (1024, 512),
        (512, 256),
        (256, 128),
        (128, 64),
    ]
    assert [m.out_channels for m in plain if m.kernel_size == (1, 1)] == [2]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in paper.modules())


@pytest.mark.slow
def test_the_paper_gives_388_for_572(paper: UNet) -> None:
    with torch.inference_mode():
        assert paper(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)
    assert (paper.margin, paper.output_size(572), paper.input_size(388)) == (92, 388, 572)


def test_the_weights_are_drawn_with_hes_standard_deviation(paper: UNet) -> None:
    for name, module in paper.named_modules():
        if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            continue
        # An output pixel of a 2x2 up-convolution of stride 2 gets one input pixel.
        taps = 9 if module.kernel_size == (3, 3) else 1
        expected = math.sqrt(2 / (taps * module.in_channels))
        weight = module.weight.detach().double()
        count = weight.numel()
        # Five standard errors of a normal sample's mean, deviation and fourth moment.
        assert abs(weight.mean()) < 5 * expected / math.sqrt(count), name
        assert abs(weight.std() / expected - 1) < 5 / math.sqrt(2 * count), name
        kurtosis = ((weight / expected) ** 4).mean()
        assert abs(kurtosis - 3) < 5 * math.sqrt(96 / count), name
        assert module.bias is not None and not module.bias.any(), name


def test_the_signal_keeps_its_strength_through_the_depth() -> None:
    """What He initialisation is for: unit variance in, the same order of magnitude out."""
    torch.manual_seed(1)
    model = UNet(base_channels=16, depth=3, padding="same").eval()
    with torch.inference_mode():
        out = model(torch.randn(1, 1, 64, 64))
    assert 0.1 < out.std() < 10


# --- figure 1, written out --------------------------------------------------------------------

VARIANTS: list[dict[str, Any]] = [
    {},
    {"padding": "same"},
    {"norm": "batch"},
    {"norm": "batch", "padding": "same", "depth": 3},
    {"depth": 1, "in_channels": 3, "classes": ("a", "b", "c", "d"), "multilabel": True},
    {"depth": 4, "base_channels": 2, "classes": ("cell",)},
]
each_variant = pytest.mark.parametrize("arguments", VARIANTS, ids=str)


@each_variant
def test_forward_is_figure_1(arguments: dict[str, Any]) -> None:
    model = drawn(**arguments)
    height = model.input_size(model.geometry.grid)
    images = torch.randn(2, model.in_channels, height, height + 2 * model.geometry.grid)
    with torch.inference_mode():
        expected = hand_written(
            model.state_dict(), images, depth=model.depth, pad=int(model.padding == "same")
        )
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    sides = [model.output_size(side) for side in images.shape[-2:]]
    assert list(expected.shape) == [2, len(model.classes), *sides]


class Halving(nn.Module):
    """In place of the dropout layer, so that where it stands can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return x / 2


def test_dropout_stands_at_the_end_of_the_contracting_path() -> None:
    model = drawn(depth=3)
    drops = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    assert [module.p for module in drops] == [0.5]
    model.drop = halving = Halving()
    images = torch.randn(1, 1, 92, 92)
    with torch.inference_mode():
        expected = hand_written(
            model.state_dict(), images, depth=3, pad=0, drop=lambda features: features / 2
        )
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    # After the last level, 16 channels of 16 pixels, and after the bottleneck, 32 of 4.
    assert halving.shapes == [(1, 16, 16, 16), (1, 32, 4, 4)]


def test_dropout_acts_in_training_only() -> None:
    model, images = drawn(), torch.randn(1, 1, 60, 60)
    with torch.no_grad():
        assert torch.equal(model(images), model(images))
        model.train()
        assert not torch.equal(model(images), model(images))
        certain = drawn(dropout=0.0).train()
        assert torch.equal(certain(images), certain(images))


def test_crop_cuts_as_much_from_each_side() -> None:
    features = torch.arange(48.0).view(1, 1, 6, 8)
    assert crop(features, like=torch.zeros(1, 1, 2, 4)).tolist() == [
        [[[18.0, 19.0, 20.0, 21.0], [26.0, 27.0, 28.0, 29.0]]]
    ]
    assert torch.equal(crop(features, like=features), features)


@each_variant
def test_parameters_by_formula(arguments: dict[str, Any]) -> None:
    model = drawn(**arguments)
    extra = 2 if model.norm else 1  # scale and shift, or a bias
    channels = [model.base_channels * 2**level for level in range(model.depth + 1)]
    expected = 0
    before = model.in_channels
    for width in channels:
        expected += 9 * before * width + 9 * width * width + 2 * extra * width
        before = width
    for width in channels[:-1]:
        expected += 2 * width * width * 4 + width
        expected += 9 * 2 * width * width + 9 * width * width + 2 * extra * width
    expected += (channels[0] + 1) * len(model.classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_every_parameter_gets_a_gradient() -> None:
    model = drawn(norm="batch").train()
    model(torch.randn(2, 1, 60, 60)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_a_copy_is_a_network_of_its_own() -> None:
    model, images = drawn(), torch.randn(1, 1, 44, 44)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.classifier.weight.zero_()
        assert model(images).std() > 0
    assert other.config == model.config


# --- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("depth", "last"), [(1, 40), (2, 70), (3, 140), (4, 240), (5, 480)])
def test_every_accepted_size_runs_and_every_other_is_refused(
    padding: str, depth: int, last: int
) -> None:
    model = UNet(base_channels=1, depth=depth, padding=padding).eval()
    other = model.geometry.smallest  # of the other axis: a net may be asked for any two
    accepted = []
    with torch.inference_mode():
        for side in range(1, last):
            expected = size_after(side, depth, padding == "same")
            if expected is None:
                with pytest.raises(ModelError, match=f"input side of {side} pixels"):
                    model(torch.zeros(1, 1, other, side))
                with pytest.raises(ModelError, match=f"input side of {side} pixels"):
                    model(torch.zeros(1, 1, side, other))
                continue
            accepted.append(side)
            shape = model(torch.zeros(1, 1, side, other)).shape
            assert shape == (1, 2, expected, model.output_size(other))
            assert expected == model.output_size(side)
    assert len(accepted) >= 3


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("blocks", [2, 5])
def test_sizes_of_a_network_that_sees_blocks(padding: str, blocks: int) -> None:
    model = UNet(base_channels=1, depth=2, padding=padding, downsampling=blocks).eval()
    plain = UNet(base_channels=1, depth=2, padding=padding)
    rim = 2 * blocks if padding == "valid" else 0
    smallest = model.geometry.smallest
    accepted = [side for side in range(1, smallest + 60) if model.geometry.accepts(side)]
    expected = [side for side in range(1, smallest + 60) if plain.geometry.accepts(side)]
    assert accepted == [s for n in expected if smallest <= (s := n * blocks) < smallest + 60]
    with torch.inference_mode():
        for side in accepted:
            shape = model(torch.zeros(1, 1, smallest, side)).shape[2:]
            assert tuple(shape) == (model.output_size(smallest), model.output_size(side))
            assert model.output_size(side) == blocks * plain.output_size(side // blocks) - rim
            assert model.output_size(side) > 0


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("blocks", [2, 3])
def test_blocks_are_averaged_and_scores_interpolated_between_their_centres(
    padding: str, blocks: int
) -> None:
    plain = drawn(padding=padding).double()
    model = drawn(padding=padding, downsampling=blocks).double()
    model.load_state_dict(plain.state_dict())
    side = model.input_size(3 * model.geometry.grid)
    images = torch.randn(1, 1, side, side, dtype=torch.double)
    split = images.view(1, 1, side // blocks, blocks, side // blocks, blocks)
    with torch.inference_mode():
        coarse = plain(split.mean(dim=(3, 5)))[0].numpy()
        found = model(images)[0].numpy()
    rim = blocks if padding == "valid" else 0
    centres = (np.arange(coarse.shape[-1]) + 0.5) * blocks - 0.5 - rim
    pixels = np.arange(found.shape[-1])
    for scores, expected in zip(found, coarse, strict=True):
        rows = np.array([np.interp(pixels, centres, line) for line in expected])
        grown = np.array([np.interp(pixels, centres, line) for line in rows.T]).T
        np.testing.assert_allclose(scores, grown, rtol=1e-9, atol=1e-9)


def test_tiles_of_a_network_that_sees_blocks_are_as_large_as_it_sees_others() -> None:
    plain = UNet(base_channels=1).plan(4000, 4000)
    model = UNet(base_channels=1, downsampling=4)
    assert model.plan(4000, 4000).side[0] > 3 * plain.side[0]
    assert len(model.plan(4000, 4000).tiles) * 8 < len(plain.tiles)


def test_blocks_take_less_memory() -> None:
    """And never less than the scores of each pixel."""
    sizes = [UNet(downsampling=n).activation_bytes_per_pixel for n in (1, 2, 4, 64)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] / 5 < sizes[1] < sizes[0] / 3
    assert sizes[-1] >= 2 * 4 * 2


def test_the_sentence_for_a_wrong_size() -> None:
    with pytest.raises(ModelError) as caught:
        UNet(base_channels=1)(torch.zeros(1, 1, 572, 512))
    assert str(caught.value) == (
        "An input side of 512 pixels does not fit this network. Right are sides of at least 188 "
        "pixels that leave 12 when divided by 16; the nearest: 508 and 524."
    )


@pytest.mark.parametrize("shape", [(1, 3, 60, 60), (1, 60, 60), (60, 60), (1, 1, 1, 60, 60)])
def test_a_wrong_batch_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"shape \(N, 1, H, W\), not "):
        drawn()(torch.zeros(shape))


# --- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("in_channels", value) for value in (0, -1, 1.0, True, "1", None, 10**9)),
        *(("base_channels", value) for value in (0, 2.5, False, None, 10**9)),
        *(("depth", value) for value in (0, 9, 1.5, True, "4", None)),
        *(("padding", value) for value in ("VALID", None, 0, [], {})),
        *(("norm", value) for value in ("instance", False, [])),
        *(("dropout", value) for value in (1, 1.5, -0.1, True, None, float("nan"), "0.5")),
        *(("downsampling", value) for value in (0, 1.5, True, None, 65)),
        *(("multilabel", value) for value in (1, None, "yes")),
        *(("normalization", value) for value in ("z-score", None, [], {})),
        *(("classes", value) for value in ((), "cell", None, 3, ("a", "a"), ("a", ""), ("a", 1))),
        ("classes", [f"class {index}" for index in range(256)]),
        *(("thresholds", value) for value in ((), (0.5, 0.5), (0,), (1,), (True,), 0.5, "5")),
        ("thresholds", (float("nan"),)),
        *(("colors", value) for value in ((), ("#000000",), "#000000", 7, ("#000", "#fff"))),
        ("colors", ("#000000", 1)),
        *(("min_area", value) for value in (-1, 1.0, None, True)),
    ],
)
def test_an_argument_that_makes_no_network_is_named(argument: str, value: Any) -> None:
    with pytest.raises(ModelError) as caught:
        UNet(**({"base_channels": 1, "depth": 1} | {argument: value}))
    assert str(caught.value).startswith(argument)


def test_thresholds_need_a_network_that_uses_them() -> None:
    with pytest.raises(ModelError, match="thresholds suit networks of one or two classes"):
        UNet(base_channels=1, classes=("a", "b", "c"), thresholds=(0.5,))
    model = UNet(
        base_channels=1,
        classes=("a", "b", "c"),
        thresholds=(0.5, 0.4, 0.3),
        multilabel=True,
        colors=["#000001", "#000002", "#000003"],
    )
    assert model.thresholds == (0.5, 0.4, 0.3)
    assert model.class_colors == ("#000001", "#000002", "#000003")


def test_the_classes_of_a_mask() -> None:
    assert UNet(base_channels=1, classes=("cell",)).mask_classes == ("background", "cell")
    assert UNet(base_channels=1, classes=("cell",), multilabel=True).mask_classes == ("cell",)
    assert UNet(base_channels=1).mask_classes == ("background", "foreground")
    assert UNet(base_channels=1).class_colors[0] == "#000000"
    assert UNet(base_channels=1, multilabel=True).class_colors[0] != "#000000"


@pytest.mark.parametrize(
    ("arguments", "independent"),
    [
        ({}, False),
        ({"classes": ("a", "b", "c")}, False),
        ({"classes": ("cell",)}, True),
        ({"multilabel": True}, True),
    ],
)
def test_probabilities_are_a_softmax_or_sigmoids(
    arguments: dict[str, Any], independent: bool
) -> None:
    model = drawn(**arguments)
    batch = random_image(2, 44, 60)[:, None]
    with torch.inference_mode():
        logits = model(torch.from_numpy(batch)).double().numpy()
    odds = np.exp(logits)
    expected = odds / (1 + odds) if independent else odds / odds.sum(axis=1, keepdims=True)
    probabilities = model.predict(batch)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


# --- overlap-tile ----------------------------------------------------------------------------


def logits_of(model: UNet, batch: Array) -> Array:
    with torch.inference_mode():
        result: Array = model(torch.from_numpy(batch)).numpy()
    return result


def whole(model: UNet, image: Array, beyond: int = 0) -> Array:
    """Logits of one pass over the mirrored image, `beyond` grid blocks larger than need be."""
    geometry = model.geometry
    _, height, width = image.shape
    before = geometry.margin + beyond * geometry.grid
    sides = [geometry.input_size(side + 2 * beyond * geometry.grid) for side in (height, width)]
    logits = logits_of(model, mirrored(image, -before, -before, *sides)[None])[0]
    skipped = before - geometry.lost
    return logits[:, skipped : skipped + height, skipped : skipped + width]


def assert_same(tiled: Array, expected: Array) -> None:
    """Equal to float rounding, and of the same class wherever there is a decision to speak of."""
    assert tiled.shape == expected.shape
    np.testing.assert_allclose(tiled, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    first, second = np.sort(expected, axis=0)[[-1, -2]]
    clear = first - second > 1e-4
    assert np.array_equal(tiled.argmax(axis=0)[clear], expected.argmax(axis=0)[clear])


MODELS = {
    name: drawn(seed=index, **arguments)
    for index, (name, arguments) in enumerate(
        {
            "valid": {},
            "valid, batch norm": {"norm": "batch", "depth": 3, "base_channels": 3},
            "same": {"padding": "same"},
            "same, batch norm": {"padding": "same", "norm": "batch", "base_channels": 3},
            "shallow, RGB": {"depth": 1, "in_channels": 3, "classes": ("a", "b", "c")},
            "valid, blocks of 2": {"depth": 1, "downsampling": 2},
            "same, blocks of 3": {"depth": 1, "downsampling": 3, "padding": "same"},
        }.items()
    )
}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_tiled_is_whole_for_every_size(name: str, data: st.DataObject) -> None:
    model = MODELS[name]
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    tile = data.draw(st.integers(1, 130) | st.tuples(st.integers(1, 130), st.integers(1, 130)))
    batch_size = data.draw(st.integers(1, 9))
    image = random_image(model.in_channels, height, width, seed=height)
    plan = plan_tiles(height, width, model.geometry, tile)
    tiled = run_tiles(image, lambda batch: logits_of(model, batch), plan, batch_size=batch_size)
    assert_same(tiled, whole(model, image))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("height", "width", "tile"), [(1, 1, 1), (90, 33, 250), (17, 40, 1)])
def test_tiled_is_whole_at_the_papers_depth(
    padding: str, height: int, width: int, tile: int
) -> None:
    model = drawn(seed=7, depth=4, base_channels=2, padding=padding)
    image = random_image(1, height, width)
    plan = plan_tiles(height, width, model.geometry, tile)
    tiled = run_tiles(image, lambda batch: logits_of(model, batch), plan, batch_size=2)
    assert_same(tiled, whole(model, image))


@pytest.mark.parametrize("name", MODELS)
def test_more_context_than_the_margin_changes_nothing(name: str) -> None:
    """Above all not for a padded net, whose zeros are kept out of reach."""
    model = MODELS[name]
    image = random_image(model.in_channels, 21, 30)
    assert_same(whole(model, image, beyond=3), whole(model, image))


@pytest.mark.parametrize("depth", [1, 2])
def test_less_context_than_the_margin_of_a_padded_net_shows(depth: int) -> None:
    """In float64, where what the zeros of the padding do stands out of the rounding."""
    model = drawn(depth=depth, padding="same").double()
    right = model.geometry
    short = Geometry(margin=right.margin - right.grid, grid=right.grid, offset=0, lost=0)
    image = random_image(1, 3 * right.grid, 3 * right.grid)

    def function(batch: Array) -> NDArray[np.float64]:
        with torch.inference_mode():
            result: NDArray[np.float64] = model(torch.from_numpy(batch).double()).numpy()
        return result

    results = [
        run_tiles(image, function, plan_tiles(*image.shape[1:], geometry, tile))
        for geometry, tile in ((right, 1), (right, 1000), (short, 1))
    ]
    size = np.abs(results[1]).max()
    assert np.abs(results[0] - results[1]).max() < 1e-12 * size
    assert np.abs(results[2] - results[1]).max() > 1e-9 * size


def test_a_step_of_the_nets_own_output_size_shows() -> None:
    """The mistake to make: an output of 20 pixels is no multiple of 8, as 388 is none of 16."""
    model = drawn(seed=3, depth=3)
    image = random_image(1, 50, 50)
    expected = whole(model, image)
    changed = []
    for geometry in (model.geometry, replace(model.geometry, grid=4, offset=0)):
        plan = plan_tiles(50, 50, geometry, tile=108)
        assert plan.side == (108, 108)
        tiled = run_tiles(image, lambda batch: logits_of(model, batch), plan)
        changed.append((tiled.argmax(axis=0) != expected.argmax(axis=0)).mean())
    assert plan.step == (20, 20) == (model.output_size(108), model.output_size(108))
    assert changed[0] == 0
    assert changed[1] > 0.01


def test_batch_norm_folded_into_convolutions_says_the_same() -> None:
    torch.manual_seed(0)
    model = UNet(base_channels=4, depth=2, norm="batch")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
            with torch.no_grad():
                module.weight.normal_()
                module.bias.normal_()
    images = torch.randn(2, 1, 60, 76)
    model.eval()
    as_it_stands = model(images)  # with gradients, nothing is folded
    assert as_it_stands.requires_grad
    rounding = 1e-5 * float(as_it_stands.detach().abs().max())
    with torch.inference_mode():
        torch.testing.assert_close(model(images), as_it_stands.detach(), rtol=0, atol=rounding)
    model.train()  # nor where statistics are those of the batch
    with torch.no_grad():
        assert not torch.allclose(model(images), as_it_stands.detach(), atol=1e-2)


def test_what_is_folded_follows_the_weights() -> None:
    model = UNet(base_channels=2, depth=1, norm="batch").eval()
    images = torch.randn(1, 1, 40, 40)
    with torch.inference_mode():
        before = model(images)
    with torch.no_grad():
        model.contracting[0][0].weight.mul_(3)
        model.contracting[0][1].running_mean.add_(1)
    with torch.inference_mode():
        after = model(images)
    torch.testing.assert_close(after, model(images).detach(), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(after, before, atol=1e-3)


@pytest.mark.parametrize("depth", range(1, 8))
def test_most_of_a_tile_is_not_margin_however_deep_the_network(depth: int) -> None:
    model = UNet(base_channels=1, depth=depth)
    plan = model.plan(9000, 9000)
    assert plan.side[0] - 2 * model.margin >= 0.4 * plan.side[0]
    assert plan.side[0] <= max(768, 4 * model.margin)
