"""The stream of training tiles, as a function of a number.

Draw ``n`` of a run depends on the run's seed and on ``n``, and on nothing else: not on which
worker or process makes it, nor on what was drawn before. So workers never repeat one another,
any number of processes sees the same stream, and a run resumes at any step.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hf_unet.geometry import Geometry
from hf_unet.tiles import mirror_indices
from hf_unet.training.augmentation import build_augmentation
from hf_unet.training.datasets import appearance
from hf_unet.training.pairs import Pair
from hf_unet.training.settings import Settings
from hf_unet.training.targets import Targets


class Draws(Dataset[dict[str, Tensor]]):
    """Augmented tiles with their targets and weights.

    Parameters
    ----------
    pairs : sequence of Pair
        All are read once and kept in memory.
    geometry : Geometry
        Of the network: a tile is ``run.output`` pixels and the margin around them.
    in_channels, normalization, classes, multilabel
        Of the network; ``classes`` is the number of classes that its loss tells apart.
    border : bool
        Whether the last of the network's classes is the border of objects.
    settings : Settings
    count : int
        Number of draws in the whole run.

    Attributes
    ----------
    input_side, output_side : int
        Sides of a tile and of the block in its middle that it decides, in pixels. The margin
        around that block is context, whether the network takes it away (valid convolutions) or
        fills it with what zeros at the border have touched (padded ones).
    targets : Targets
        Ground truth of the pairs, and how it becomes target and weights.

    Raises
    ------
    SettingsError
        If the settings of the loss do not suit the network's classes.

    Notes
    -----
    The weight map is computed from the labels after augmentation, never warped itself.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        geometry: Geometry,
        *,
        in_channels: int,
        normalization: str,
        classes: int,
        multilabel: bool,
        border: bool = False,
        settings: Settings,
        count: int,
    ) -> None:
        self.settings = settings
        self.count = count
        self.input_side = geometry.input_size(settings.run.output)
        self.output_side = geometry.kept(self.input_side)
        self.targets = Targets(
            pairs, settings, classes=classes, multilabel=multilabel, border=border
        )
        self.names = [pair.name for pair in pairs]
        self.images = [pair.scaled(in_channels, normalization) for pair in pairs]
        self.odds = self._odds()
        self.augmentation = build_augmentation(settings.augmentation, settings.data.offset)

    def _odds(self) -> NDArray[np.float64]:
        """Odds of each pair to be drawn: by area, and if ``balance``, evened out by appearance."""
        areas = np.array([image[0].size for image in self.images], np.float64) ** 0.5
        if self.settings.data.balance:
            looks = [appearance(image) for image in self.images]
            often = Counter(looks)
            areas *= [often[look] ** -0.5 for look in looks]
        odds: NDArray[np.float64] = areas / areas.sum()
        return odds

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Draw ``number``: image (C, h, w), target and weights (h', w')."""
        random, index = self._choose(number)
        image, annotation = self.images[index], self.targets.annotations[index]
        rows, columns = (self._indices(random, length) for length in image.shape[1:])
        tile = np.ascontiguousarray(np.moveaxis(image[:, rows[:, None], columns], 0, -1))
        # One stream for all: set_random_seed would give each transform a stream of its own with
        # the same numbers, so that only tiles that are warped were ever blurred or inverted.
        self.augmentation.set_random_state(random, Random(int(random.integers(2**63))))
        moved = self.augmentation(image=tile, mask=annotation.array[rows[:, None], columns])
        target, weights = self.targets.cut(moved["mask"], annotation.class_of, self._margin)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(np.moveaxis(moved["image"], -1, 0))),
            "target": torch.from_numpy(np.ascontiguousarray(target)),
            "weights": torch.from_numpy(np.ascontiguousarray(weights)),
        }

    def name(self, number: int) -> str:
        """Name of the pair that draw ``number`` is from."""
        return self.names[self._choose(number)[1]]

    def _choose(self, number: int) -> tuple[np.random.Generator, int]:
        """The numbers of a draw, and the pair that the first of them chose."""
        random = np.random.default_rng((self.settings.run.seed, number))
        return random, int(random.choice(len(self.images), p=self.odds))

    def _indices(self, random: np.random.Generator, length: int) -> NDArray[np.intp]:
        """Where a tile lies along one axis: its block within the image, or around a small one."""
        room = length - self.output_side
        first = int(random.integers(0, room + 1)) if room > 0 else room // 2
        return mirror_indices(first - self._margin, self.input_side, length)

    @property
    def _margin(self) -> int:
        return (self.input_side - self.output_side) // 2
