"""Labels of a tile -> what the network is to say of it, and how much each pixel counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.instances import interior_and_border, separate_touching
from hf_unet.training.pairs import Pair
from hf_unet.training.settings import LossSettings, Settings, SettingsError
from hf_unet.weight_map import boundary_weight_map

BORDER_CONTEXT = 4.0
"""Sigmas beyond the target that the weight map looks for instances: exp(-8) of w0 is lost."""

UNKNOWN_ID = -1
UNKNOWN_CLASS = 255
"""In instances, and in class maps and stacks: what nothing is known of. It weighs 0."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """Ground truth as augmentation moves it.

    Attributes
    ----------
    array : (H, W) int32 instances or uint8 class map, or (H, W, K) uint8 multi-label stack
    class_of : (N,) int array
        Class of each value of instances or of a class map. Unused for a stack.
    """

    array: NDArray[Any]
    class_of: NDArray[np.int64]


class Targets:
    """How labels become targets and weights, for one network and one recipe.

    Parameters
    ----------
    pairs : sequence of Pair
        From which class frequencies are counted.
    settings : Settings
        ``loss``, and ``separate`` and ``border`` of ``data``.
    classes : int
        Number of classes that the loss tells apart.
    multilabel, border : bool
        Of the network.

    Attributes
    ----------
    annotations : list of Annotation
        Of the pairs.
    class_weights : (K,) float32 array
        w_c; of a multi-label network (2, K): where a class is absent and where it is present.

    Raises
    ------
    SettingsError
        If the settings of the loss do not suit the network's classes.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        settings: Settings,
        *,
        classes: int,
        multilabel: bool,
        border: bool = False,
    ) -> None:
        _check_loss(settings.loss, classes, multilabel)
        self.loss = settings.loss
        self.separate = settings.data.separate
        self.border_width = settings.data.border if border else 0.0
        self.multilabel = multilabel
        self.annotations = [self.prepare(pair) for pair in pairs]
        self.class_weights = self._class_weights(classes)

    def prepare(self, pair: Pair) -> Annotation:
        """The ground truth of a pair as augmentation is to move it."""
        labels, known = pair.truth.labels, pair.truth.known
        if self.multilabel:
            stack = labels.stack().astype(np.uint8)
            if known is not None:
                stack[:, ~known] = UNKNOWN_CLASS
            return Annotation(np.ascontiguousarray(np.moveaxis(stack, 0, -1)), np.arange(2))
        classes = labels.class_map()
        if not self.separate and not self.loss.w0 and not self.border_width:
            class_of = np.arange(256)
            class_of[UNKNOWN_CLASS] = 0
            if known is not None:
                classes = np.where(known, classes, np.uint8(UNKNOWN_CLASS))
            return Annotation(classes, class_of)
        # Numbered anew, since a file's ids may leave gaps of any size.
        ids, numbers = np.unique(np.append(0, labels.instances()), return_inverse=True)
        instances = numbers[1:].reshape(classes.shape).astype(np.int32)
        class_of = np.zeros(len(ids) + 1, np.int64)  # the last is that of UNKNOWN_ID
        class_of[instances] = classes
        if self.separate:
            instances = separate_touching(instances)
        if known is not None:
            instances = np.where(known, instances, np.int32(UNKNOWN_ID))
        return Annotation(instances, class_of)

    def cut(
        self, moved: NDArray[Any], class_of: NDArray[np.int64], margin: int
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Target and weights of a tile without its margin, from labels that have been moved.

        Returns
        -------
        target : (h, w) int64 array of classes, or (K, h, w) float32 array
        weights : float32 array of the same shape
        """
        inner = slice(margin, len(moved) - margin)
        labels = moved[inner, inner]
        if self.multilabel:
            planes = np.moveaxis(labels, -1, 0)
            present = planes == 1
            absent_weight, present_weight = self.class_weights[..., None, None]
            weights = np.where(present, present_weight, absent_weight)
            weights[planes == UNKNOWN_CLASS] = 0
            return present.astype(np.float32), weights
        wide = max(np.ceil(BORDER_CONTEXT * self.loss.sigma), 4 * np.ceil(self.border_width))
        context = min(margin, int(wide))
        around = slice(margin - context, len(moved) - margin + context)
        kept = slice(context, context + len(labels))
        unknown = ~_is_known(labels)
        target = class_of[labels]
        if self.border_width:
            seen = np.maximum(moved[around, around], 0)
            parts = interior_and_border(seen, self.border_width)[kept, kept]
            target = parts.astype(np.int64)
        weights = self.class_weights[target]
        if self.loss.w0:
            weights += boundary_weight_map(
                np.maximum(moved[around, around], 0),
                w0=self.loss.w0,
                sigma=self.loss.sigma,
                class_weights=(0, 0),
            )[kept, kept]
        weights[unknown] = 0
        return target, weights

    def _class_weights(self, classes: int) -> NDArray[np.float32]:
        """w_c of each class: as set, or 1 / frequency over the training set."""
        given = np.array(self.loss.class_weights, np.float32)
        if given.size:
            return np.stack([given, given]) if self.multilabel else given
        counts = np.zeros((classes, 2) if self.multilabel else classes)
        for annotation in self.annotations:
            array = annotation.array
            if self.multilabel:
                counts += np.stack([(array == value).sum(axis=(0, 1)) for value in (0, 1)], axis=1)
            elif self.border_width:
                parts = interior_and_border(np.maximum(array, 0), self.border_width)
                parts = parts[_is_known(array)]
                counts += np.bincount(parts.ravel(), minlength=classes)
            else:
                known = annotation.class_of[array[_is_known(array)]]
                counts += np.bincount(known.ravel(), minlength=classes)
        share = counts / np.maximum(1, counts.sum(axis=-1, keepdims=True))
        # A class of hardly any pixels would decide alone what is learnt.
        weights: NDArray[np.float64] = 1 / (share.shape[-1] * np.maximum(share, 1e-3))
        return weights.T.astype(np.float32)


def _is_known(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where instances (int32) or a class map (uint8) say what is there."""
    known: NDArray[np.bool_] = labels != (UNKNOWN_ID if labels.dtype == np.int32 else UNKNOWN_CLASS)
    return known


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
