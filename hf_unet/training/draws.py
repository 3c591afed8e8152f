"""The stream of training tiles, as a function of a number.

Draw ``n`` of a run depends on the run's seed and on ``n``, and on nothing else: not on which
worker or process makes it, nor on what was drawn before. So workers never repeat one another,
any number of processes sees the same stream, and a run resumes at any step.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from hf_unet.geometry import Geometry
from hf_unet.instances import separate_touching
from hf_unet.tiles import mirror_indices
from hf_unet.training.augmentation import build_augmentation
from hf_unet.training.datasets import Pair, appearance
from hf_unet.training.settings import LossSettings, Settings, SettingsError
from hf_unet.weight_map import boundary_weight_map

BORDER_CONTEXT = 4.0
"""Sigmas beyond the target that the weight map looks for instances: exp(-8) of w0 is lost."""


class Draws(Dataset[dict[str, Tensor]]):
    """Augmented tiles with their targets and weights.

    Parameters
    ----------
    pairs : sequence of Pair
        All are read once and kept in memory.
    geometry : Geometry
        Of the network: a tile is ``run.output`` pixels and the margin around them.
    in_channels, normalization, classes, multilabel
        Of the network; ``classes`` is the number of values of its mask.
    settings : Settings
    count : int
        Number of draws in the whole run.

    Attributes
    ----------
    input_side, output_side : int
        Sides of a tile and of the block in its middle that it decides, in pixels. The margin
        around that block is context, whether the network takes it away (valid convolutions) or
        fills it with what zeros at the border have touched (padded ones).
    class_weights : (K,) float32 array
        w_c; of a multi-label network (2, K): where a class is absent and where it is present.

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
        settings: Settings,
        count: int,
    ) -> None:
        self.settings = settings
        self.count = count
        self.multilabel = multilabel
        self.input_side = geometry.input_size(settings.run.output)
        self.output_side = geometry.kept(self.input_side)
        _check_loss(settings.loss, classes, multilabel)
        self.images = [pair.scaled(in_channels, normalization) for pair in pairs]
        self.truths = [self._truth(pair) for pair in pairs]
        self.odds = self._odds()
        self.class_weights = self._class_weights(classes)
        self.augmentation = build_augmentation(settings.augmentation)

    def _truth(self, pair: Pair) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """What augmentation moves, and the class of each of its values.

        A multi-label stack (H, W, K); else (H, W) int32 instances, or the class map where
        nothing asks for instances.
        """
        labels = pair.labels
        if self.multilabel:
            stack = np.moveaxis(labels.stack(), 0, -1)
            return np.ascontiguousarray(stack, np.uint8), np.arange(2)
        classes = labels.class_map()
        separate = self.settings.data.separate
        if not separate and not self.settings.loss.w0:
            return classes, np.arange(256)
        # Numbered anew, since a file's ids may leave gaps of any size.
        ids, numbers = np.unique(np.append(0, labels.instances()), return_inverse=True)
        instances = numbers[1:].reshape(classes.shape).astype(np.int32)
        class_of = np.zeros(len(ids), np.int64)
        class_of[instances] = classes
        if separate:
            instances = separate_touching(instances)
        return instances, class_of

    def _odds(self) -> NDArray[np.float64]:
        """Odds of each pair to be drawn: by area, and if ``balance``, evened out by appearance."""
        areas = np.array([image[0].size for image in self.images], np.float64) ** 0.5
        if self.settings.data.balance:
            looks = [appearance(image) for image in self.images]
            often = Counter(looks)
            areas *= [often[look] ** -0.5 for look in looks]
        odds: NDArray[np.float64] = areas / areas.sum()
        return odds

    def _class_weights(self, classes: int) -> NDArray[np.float32]:
        """w_c of each class: as set, or 1 / frequency over the training set."""
        given = np.array(self.settings.loss.class_weights, np.float32)
        if given.size:
            return np.stack([given, given]) if self.multilabel else given
        counts = np.zeros((classes, 2) if self.multilabel else classes)
        for truth, class_of in self.truths:
            if self.multilabel:
                present = truth.sum(axis=(0, 1), dtype=np.int64)
                counts += np.stack([truth[..., 0].size - present, present], axis=1)
            else:
                counts += np.bincount(class_of[truth].ravel(), minlength=classes)
        share = counts / counts.sum(axis=-1, keepdims=True)
        # A class of hardly any pixels would decide alone what is learnt.
        weights: NDArray[np.float64] = 1 / (share.shape[-1] * np.maximum(share, 1e-3))
        return weights.T.astype(np.float32)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Draw ``number``: image (C, h, w), target and weights (h', w')."""
        random = np.random.default_rng((self.settings.run.seed, number))
        index = int(random.choice(len(self.images), p=self.odds))
        image, (truth, class_of) = self.images[index], self.truths[index]
        rows, columns = (self._indices(random, length) for length in image.shape[1:])
        tile = np.ascontiguousarray(np.moveaxis(image[:, rows[:, None], columns], 0, -1))
        # One stream for all: set_random_seed would give each transform a stream of its own with
        # the same numbers, so that only tiles that are warped were ever blurred or inverted.
        self.augmentation.set_random_state(random, Random(int(random.integers(2**63))))
        moved = self.augmentation(image=tile, mask=truth[rows[:, None], columns])
        target, weights = self._target(moved["mask"], class_of)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(np.moveaxis(moved["image"], -1, 0))),
            "target": torch.from_numpy(np.ascontiguousarray(target)),
            "weights": torch.from_numpy(np.ascontiguousarray(weights)),
        }

    def _indices(self, random: np.random.Generator, length: int) -> NDArray[np.intp]:
        """Where a tile lies along one axis: its block within the image, or around a small one."""
        room = length - self.output_side
        first = int(random.integers(0, room + 1)) if room > 0 else room // 2
        return mirror_indices(first - self._margin, self.input_side, length)

    @property
    def _margin(self) -> int:
        return (self.input_side - self.output_side) // 2

    def _target(
        self, truth: NDArray[Any], class_of: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Target and weights of the block in the middle, from labels that have been moved."""
        inner = slice(self._margin, self._margin + self.output_side)
        labels = truth[inner, inner]
        if self.multilabel:
            present = np.moveaxis(labels, -1, 0)
            absent_weight, present_weight = self.class_weights[..., None, None]
            weights = np.where(present > 0, present_weight, absent_weight)
            return present.astype(np.float32), weights
        target = class_of[labels]
        weights = self.class_weights[target]
        loss = self.settings.loss
        if loss.w0:
            context = min(self._margin, int(np.ceil(BORDER_CONTEXT * loss.sigma)))
            around = slice(inner.start - context, inner.stop + context)
            kept = slice(context, context + self.output_side)
            weights += boundary_weight_map(
                truth[around, around], w0=loss.w0, sigma=loss.sigma, class_weights=(0, 0)
            )[kept, kept]
        return target, weights


def _check_loss(loss: LossSettings, classes: int, multilabel: bool) -> None:
    if loss.class_weights and len(loss.class_weights) != classes:
        raise SettingsError(
            f"loss.class_weights has {len(loss.class_weights)} numbers for {classes} classes: give "
            "one for each, or none for 1 / frequency."
        )
    if multilabel and loss.w0:
        raise SettingsError(
            "Classes that overlap have no border between them to weigh: set loss.w0 = 0 for a "
            "multi-label network."
        )
