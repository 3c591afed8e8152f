"""Sizes of a U-Net in whole pixels: what goes in, what comes out, and what is lost between.

Everything here follows from two facts: each level has two 3x3 convolutions on the way down and
two on the way up, and pooling halves. No size is typed in that these two already give.
"""

from dataclasses import dataclass

from hf_unet.errors import ModelError

CONVS_PER_LEVEL = 2
"""3x3 convolutions of one level on either path (Ronneberger et al. 2015, figure 1)."""


@dataclass(frozen=True)
class Geometry:
    """What overlap-tile has to know of a network, along either axis, in pixels.

    Attributes
    ----------
    margin : int
        Context that a tile needs on each side of what is kept of its output.
    grid : int
        Pixels of input under one pixel of the deepest level. Two tiles agree where they overlap
        only if their origins differ by a multiple of it, for only then do their max-pool
        windows coincide.
    offset : int
        A side is accepted if ``side + offset`` is a multiple of ``grid``.
    lost : int
        Pixels that the network itself takes from each side: ``margin`` for valid convolutions,
        0 for padded ones.
    block : int
        Pixels along each side that the network sees as one.

    Examples
    --------
    >>> paper = valid_geometry(depth=4)
    >>> paper.margin, paper.grid, paper.output_size(572), paper.input_size(388)
    (92, 16, 388, 572)
    >>> paper.step(572)
    384
    """

    margin: int
    grid: int
    offset: int
    lost: int
    block: int = 1

    @property
    def smallest(self) -> int:
        """The smallest side that the network accepts."""
        return self._round_up(2 * self.lost + 1)

    def accepts(self, side: int) -> bool:
        """Whether an input of this side runs through the network."""
        return side >= self.smallest and (side + self.offset) % self.grid == 0

    def output_size(self, side: int) -> int:
        """Side of the output for an input of ``side`` pixels.

        Raises
        ------
        ModelError
            If the network does not accept this side; names the nearest sides that it does.
        """
        if not self.accepts(side):
            below, above = self.nearest(side)
            nearest = f"{above}" if below is None else f"{below} and {above}"
            raise ModelError(
                f"An input side of {side} pixels does not fit this network. Right are sides of at "
                f"least {self.smallest} pixels that leave {(-self.offset) % self.grid} when "
                f"divided by {self.grid}; the nearest: {nearest}."
            )
        return side - 2 * self.lost

    def input_size(self, output: int) -> int:
        """Smallest accepted side whose output holds ``output`` pixels, each with full context."""
        return max(self.smallest, self._round_up(output + 2 * self.margin))

    def nearest(self, side: int) -> tuple[int | None, int]:
        """The accepted sides just below (None if there is none) and just above ``side``."""
        above = max(self.smallest, self._round_up(side + 1))
        below = self._round_up(side) - self.grid
        return (below if below >= self.smallest else None), above

    def kept(self, side: int) -> int:
        """Pixels of a tile's output that have full context on both sides."""
        return side - 2 * self.margin

    def step(self, side: int) -> int:
        """Distance between neighbouring tiles: the largest multiple of ``grid`` that is kept."""
        return self.kept(side) // self.grid * self.grid

    def tile_side(self, wanted: int) -> int:
        """Largest workable tile of at most ``wanted`` pixels, or the smallest workable one.

        A tile is workable if what is kept of it holds one step.
        """
        smallest = self.input_size(self.grid)
        return max(smallest, self._round_up(wanted + 1) - self.grid)

    def context(self, position: int) -> tuple[int, int]:
        """Inputs that the output at one position can depend on, as (first, one past the last).

        That is the smallest input from the position's grid block on: all of a block see the same
        first input, so a position may see almost a grid further than the margin to one side.

        Parameters
        ----------
        position : int
            In pixels from where a tile's kept output begins, or any multiple of the grid from it.

        Examples
        --------
        >>> paper = valid_geometry(depth=4)
        >>> paper.context(0), paper.context(5)
        ((-92, 96), (-92, 112))
        """
        start = position // self.grid * self.grid
        first = start - self.margin
        return first, first + self.input_size(position - start + 1)

    def _round_up(self, side: int) -> int:
        return -(-(side + self.offset) // self.grid) * self.grid - self.offset


def valid_geometry(depth: int, downsampling: int = 1) -> Geometry:
    """Geometry of a U-Net of valid convolutions, the paper's.

    Parameters
    ----------
    depth : int
        Poolings.
    downsampling : int
        Pixels along each side of the blocks that the network sees as one. From one block's score
        to the next its answer is interpolated, so another block is lost on each side.

    Examples
    --------
    >>> [valid_geometry(depth).margin for depth in range(5)]
    [2, 8, 20, 44, 92]
    >>> valid_geometry(4).smallest
    188
    >>> valid_geometry(4, downsampling=4).margin
    372
    """
    margin = CONVS_PER_LEVEL
    for _ in range(depth):  # a level loses its own convolutions, and twice what lies beneath it
        margin = 2 * CONVS_PER_LEVEL + 2 * margin
    # A side of j pixels at the bottleneck stems from grid * (j + 2 convs) - 2 convs at the top.
    offset = 2 * CONVS_PER_LEVEL if depth else 0
    margin += _interpolated(downsampling)
    return _in_pixels(margin, 2**depth, offset, lost=margin, downsampling=downsampling)


def same_geometry(depth: int, downsampling: int = 1) -> Geometry:
    """Geometry of a U-Net padded with zeros, which keeps the size of its input.

    Its margin is the distance from the border beyond which no padded zero is felt: one
    grid block of the output is followed back through the network, and the context found is
    rounded up to the grid, so that tiles stay on it. Takes what `valid_geometry` takes.

    Examples
    --------
    >>> same_geometry(4).margin, same_geometry(4).output_size(512)
    (96, 512)
    """
    grid = 2**depth
    first, last = 0, grid - 1
    skips = []
    for _ in range(depth):  # expansive path, from the output down
        first, last = first - CONVS_PER_LEVEL, last + CONVS_PER_LEVEL
        skips.append((first, last))
        first, last = first // 2, last // 2
    first, last = first - CONVS_PER_LEVEL, last + CONVS_PER_LEVEL
    for skip_first, skip_last in reversed(skips):  # contracting path, from the bottleneck up
        first, last = min(2 * first, skip_first), max(2 * last + 1, skip_last)
        first, last = first - CONVS_PER_LEVEL, last + CONVS_PER_LEVEL
    context = max(-first, last - (grid - 1)) + _interpolated(downsampling)
    margin = -(-context // grid) * grid
    return _in_pixels(margin, grid, offset=0, lost=0, downsampling=downsampling)


def _interpolated(downsampling: int) -> int:
    """Blocks beyond its own that a pixel's interpolated score depends on."""
    return 1 if downsampling > 1 else 0


def _in_pixels(margin: int, grid: int, offset: int, lost: int, downsampling: int) -> Geometry:
    """A geometry counted in blocks, in pixels."""
    return Geometry(
        margin=downsampling * margin,
        grid=downsampling * grid,
        offset=downsampling * offset,
        lost=downsampling * lost,
        block=downsampling,
    )
