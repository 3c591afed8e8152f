"""How often each label of the truth meets each label of the prediction.

Every metric of this package is computed from this table, or from tables of the
planes of a stack.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hf_unet.errors import LabelError


@dataclass(frozen=True)
class ContingencyTable:
    """Pixel counts of the label pairs that occur, sorted by truth, then by prediction.

    Attributes
    ----------
    truth, prediction : (P,) int64 arrays
        The two labels of each pair.
    pixels : (P,) int64 array
        Number of pixels with that pair of labels, at least 1.
    """

    truth: NDArray[np.int64]
    prediction: NDArray[np.int64]
    pixels: NDArray[np.int64]

    def without_truth_zero(self) -> ContingencyTable:
        """Leave out the pixels whose true label is 0."""
        keep = self.truth != 0
        return ContingencyTable(self.truth[keep], self.prediction[keep], self.pixels[keep])

    def matrix(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], sparse.csr_array[np.int64]]:
        """Return row labels, column labels and the sparse matrix of pixel counts between them."""
        rows, row_of_pair = np.unique(self.truth, return_inverse=True)
        columns, column_of_pair = np.unique(self.prediction, return_inverse=True)
        shape = (len(rows), len(columns))
        counts = sparse.csr_array((self.pixels, (row_of_pair, column_of_pair)), shape=shape)
        return rows, columns, counts


def contingency_table(truth: NDArray[Any], prediction: NDArray[Any]) -> ContingencyTable:
    """Count the pixels of every pair (true label, predicted label).

    Parameters
    ----------
    truth, prediction : integer or boolean arrays of one shape
        Class indices or instance ids, 0 or greater.

    Raises
    ------
    LabelError
        If the shapes differ, an array is empty, holds negative labels, or is not of
        an integer or boolean type.

    Examples
    --------
    >>> table = contingency_table(np.array([[0, 0, 1]]), np.array([[0, 2, 2]]))
    >>> table.truth.tolist(), table.prediction.tolist(), table.pixels.tolist()
    ([0, 0, 1], [0, 2, 2], [1, 1, 1])
    """
    truth, prediction = checked_labels(truth, prediction)
    true_labels = truth.ravel().astype(np.int64)
    predicted_labels = prediction.ravel().astype(np.int64)
    columns = int(predicted_labels.max()) + 1
    cells = (int(true_labels.max()) + 1) * columns
    if cells <= 4 * truth.size + 65536:
        counts = np.bincount(true_labels * columns + predicted_labels, minlength=cells)
        codes = np.flatnonzero(counts)
        pixels = counts[codes]
    elif cells < 2**63:
        codes, pixels = np.unique(true_labels * columns + predicted_labels, return_counts=True)
    else:
        # Ids so large that a pair of them fits no 64-bit integer: number them first.
        true_ids, true_labels = np.unique(true_labels, return_inverse=True)
        predicted_ids, predicted_labels = np.unique(predicted_labels, return_inverse=True)
        small = contingency_table(true_labels, predicted_labels)
        return ContingencyTable(
            true_ids[small.truth], predicted_ids[small.prediction], small.pixels
        )
    return ContingencyTable(codes // columns, codes % columns, pixels.astype(np.int64))


def checked_labels(
    truth: NDArray[Any], prediction: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give both as arrays, once they are known to be comparable label arrays."""
    truth, prediction = checked_shapes(truth, prediction)
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.dtype.kind not in "biu":
            raise LabelError(
                f"The {name} holds numbers of type {labels.dtype}, but labels are whole numbers. "
                "Give class indices or instance ids (an integer array), or a boolean mask."
            )
        if labels.dtype.kind == "i" and labels.min() < 0:
            raise LabelError(
                f"The {name} holds the label {labels.min()}, but labels start at 0. "
                "Give the background the label 0."
            )
        if labels.dtype.kind == "u" and labels.max() > np.iinfo(np.int64).max:
            raise LabelError(f"The {name} holds the label {labels.max()}, which is too large.")
    return truth, prediction


def checked_shapes(
    truth: NDArray[Any], prediction: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give both as arrays, once they are known to have the same shape and some pixels."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise LabelError(
            f"The truth has the shape {truth.shape}, but the prediction has the shape "
            f"{prediction.shape}. They must be of the same image and the same size."
        )
    if truth.size == 0 or truth.ndim == 0:
        raise LabelError(
            f"There is nothing to compare: truth and prediction have the shape {truth.shape}. "
            "Give arrays of at least one pixel."
        )
    return truth, prediction
