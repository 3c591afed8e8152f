"""Sizes of a U-Net, against layers counted one by one and influence followed pixel by pixel."""

import pytest
import torch
from slow_definitions import size_after

from hf_unet.errors import ModelError
from hf_unet.geometry import Geometry, same_geometry, valid_geometry
from hf_unet.model import UNet

DEPTHS = range(1, 6)
ALL = [
    pytest.param(build(depth), depth, build is same_geometry, id=f"{build.__name__}-{depth}")
    for build in (valid_geometry, same_geometry)
    for depth in DEPTHS
]
each_geometry = pytest.mark.parametrize(("geometry", "depth", "padded"), ALL)


def test_the_papers_numbers() -> None:
    paper = valid_geometry(4)
    assert (paper.margin, paper.grid, paper.lost, paper.smallest) == (92, 16, 92, 188)
    assert (paper.output_size(572), paper.input_size(388), paper.step(572)) == (388, 572, 384)


@each_geometry
def test_a_side_is_accepted_if_every_layer_fits(
    geometry: Geometry, depth: int, padded: bool
) -> None:
    for side in range(-3, 900):
        expected = size_after(side, depth, padded) if side > 0 else None
        assert geometry.accepts(side) == (expected is not None), side
        if expected is not None:
            assert geometry.output_size(side) == expected


@each_geometry
def test_a_wrong_side_names_the_nearest_right_ones(
    geometry: Geometry, depth: int, padded: bool
) -> None:
    right = [side for side in range(1, 1200) if geometry.accepts(side)]
    for side in range(1, 900):
        below = max((r for r in right if r < side), default=None)
        above = min(r for r in right if r > side)
        assert geometry.nearest(side) == (below, above)
        if side in right:
            continue
        with pytest.raises(ModelError) as caught:
            geometry.output_size(side)
        message = str(caught.value)
        nearest = f"{above}." if below is None else f"{below} and {above}."
        assert f"side of {side} pixels" in message
        assert message.endswith(f"the nearest: {nearest}")
        # The rule that the sentence states is the rule.
        words = message.replace(".", " ").split()
        least, rest = int(words[words.index("least") + 1]), int(words[words.index("leave") + 1])
        assert least == right[0]
        assert all(r % geometry.grid == rest for r in right)


@each_geometry
def test_input_size_is_the_smallest_that_keeps_the_output(
    geometry: Geometry, depth: int, padded: bool
) -> None:
    right = [side for side in range(1, 1200) if geometry.accepts(side)]
    for output in range(1, 400):
        expected = min(side for side in right if geometry.kept(side) >= output)
        assert geometry.input_size(output) == expected


@each_geometry
def test_tile_side_is_the_largest_workable_of_at_most_the_wanted(
    geometry: Geometry, depth: int, padded: bool
) -> None:
    workable = [
        side
        for side in range(1, 1200)
        if geometry.accepts(side) and geometry.kept(side) >= geometry.grid
    ]
    for wanted in [*range(1, 900), 0, -5]:
        expected = max((side for side in workable if side <= wanted), default=workable[0])
        assert geometry.tile_side(wanted) == expected
        step = geometry.step(expected)
        assert step > 0 and step % geometry.grid == 0
        assert step <= geometry.kept(expected) < step + geometry.grid


def inputs_of(pixels: set[int], depth: int) -> set[int]:
    """Input pixels along one axis that decide these output pixels of a padded U-Net."""

    def near(centers: set[int]) -> set[int]:  # two 3-wide convolutions
        return {center + shift for center in centers for shift in range(-2, 3)}

    needed = []  # of each skip connection
    for _ in range(depth):
        pixels = near(pixels)
        needed.append(pixels)
        pixels = {pixel // 2 for pixel in pixels}  # up-convolution
    pixels = near(pixels)
    for skip in reversed(needed):
        pooled = {2 * pixel + half for pixel in pixels for half in (0, 1)}
        pixels = near(pooled | skip)
    return pixels


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_margin_of_a_padded_net_is_the_context_rounded_up_to_the_grid(depth: int) -> None:
    geometry = same_geometry(depth)
    seen = inputs_of(set(range(geometry.grid)), depth)
    context = max(-min(seen), max(seen) - (geometry.grid - 1))
    assert geometry.margin % geometry.grid == 0
    assert context <= geometry.margin < context + geometry.grid


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_margin_of_a_valid_net_is_half_of_what_it_loses(depth: int) -> None:
    geometry = valid_geometry(depth)
    side = 2 * geometry.smallest + (-geometry.offset - 2 * geometry.smallest) % geometry.grid
    output = size_after(side, depth, padded=False)
    assert output is not None
    assert side - output == 2 * geometry.margin == 2 * geometry.lost


def columns_acting(network: UNet, side: int) -> dict[int, set[int]]:
    """For each column of the output, those of the input that act on it.

    Both are counted from where the output begins.
    """
    for weights in network.parameters():  # so that nothing an input does is cancelled
        torch.nn.init.uniform_(weights, 0.5, 1)
    acting: dict[int, set[int]] = {}
    with torch.no_grad():
        dark = torch.zeros(1, 1, side, side, dtype=torch.double)
        scores = network(dark)
        for column in range(side):
            lit = dark.clone()
            lit[..., column] = 1
            changed = (network(lit) != scores).any(dim=1).any(dim=1)[0]
            for output in changed.nonzero().flatten().tolist():
                acting.setdefault(output, set()).add(column - network.geometry.lost)
    return acting


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_context_of_a_valid_nets_output_is_all_that_acts_on_it_and_no_more(depth: int) -> None:
    geometry = valid_geometry(depth)
    network = UNet(base_channels=1, depth=depth).double().eval()
    side = geometry.input_size(3 * geometry.grid)
    acting = columns_acting(network, side)
    assert len(acting) == geometry.output_size(side)
    for output, inputs in acting.items():
        first, stop = geometry.context(output)
        assert inputs == set(range(first, stop)), output


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("blocks", [2, 3])
def test_the_context_of_a_net_that_sees_blocks_holds_all_that_acts_on_it(
    padding: str, blocks: int
) -> None:
    network = UNet(base_channels=1, depth=1, padding=padding, downsampling=blocks).double().eval()
    geometry = network.geometry
    side = geometry.input_size(4 * geometry.grid)
    acting = columns_acting(network, side)
    skipped = geometry.margin - geometry.lost
    for position in range(geometry.kept(side)):
        first, stop = geometry.context(position)
        inputs = {column - skipped for column in acting[position + skipped]}
        assert inputs <= set(range(first, stop)), position


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_context_of_a_padded_nets_output_holds_all_that_acts_on_it(depth: int) -> None:
    geometry = same_geometry(depth)
    for position in range(-geometry.grid, 2 * geometry.grid):
        first, stop = geometry.context(position)
        assert inputs_of({position}, depth) <= set(range(first, stop))
        assert stop - first < 2 * geometry.margin + 2 * geometry.grid
