"""Labels -> w(x): the boundary weight map of Ronneberger, Fischer and Brox (2015), eq. 2."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .distances import CHUNK, FloatArray, checked_instances, instance_distances, two_nearest

__all__ = ["boundary_weight_map", "instance_distances", "weight_map_from_distances"]

TOLERANCE = 5e-6
"""A boundary term below this is left out; half of the 1e-5 that the result promises."""


def boundary_weight_map(
    instances: npt.ArrayLike,
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: tuple[float, float] | None = None,
    inside: bool = False,
) -> FloatArray:
    r"""Weight of every pixel in the loss: class balance plus emphasis on separation borders.

    .. math:: w(x) = w_c(x) + w_0 \exp\left(-\frac{(d_1(x) + d_2(x))^2}{2 \sigma^2}\right)

    Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, equation 2.

    Parameters
    ----------
    instances : (H, W) array of integers >= 0
        0 is background, every other number an instance, whether in one piece or several.
    w0 : float
        Height of the boundary term, >= 0.
    sigma : float
        Its width in pixels, > 0.
    class_weights : (float, float), optional
        w_c of background and of foreground. By default 1 / frequency, n / n_class for an image
        of n pixels: 2 for both classes of a balanced image, 1 for an image of only one class.
        ``(0, 0)`` leaves the boundary term alone.
    inside : bool
        Extend the boundary term into the instances, where d1 = 0. By default it stands on the
        background only, as in the paper's figure 3d.

    Returns
    -------
    (H, W) float32
        Within 1e-5 of the definition for w0 up to 100; for larger w0, within float32 rounding.

    Raises
    ------
    LabelError
        If the instances are no 2-D array of whole numbers >= 0.
    ValueError
        If w0, sigma or class_weights are out of range.

    See Also
    --------
    instance_distances, weight_map_from_distances : the same in two steps.

    Examples
    --------
    Between two cells the single pixel is at d1 = d2 = 1: exp(-4/50) = 0.923.

    >>> import numpy as np
    >>> w = boundary_weight_map(np.array([[1, 0, 2, 2]]), w0=10, sigma=5, class_weights=(0, 0))
    >>> w.round(2).tolist()
    [[0.0, 9.229999542236328, 0.0, 0.0]]
    """
    labels = checked_instances(instances)
    _check_term(w0, sigma)
    foreground = labels != 0
    weights = _class_balance(foreground, class_weights)
    if w0 <= TOLERANCE:
        return weights
    # The term falls to TOLERANCE where d1 + d2 = reach. Where the distances are not exact, their
    # sum is not below the reach either, so what is left of the term there is below TOLERANCE.
    reach = sigma * math.sqrt(2 * math.log(w0 / TOLERANCE))
    term = _BoundaryTerm(w0, sigma, inside)

    def weigh(rows: slice, d1: FloatArray, d2: FloatArray) -> None:
        term.add_to(weights[rows], d1, d2, foreground[rows])

    two_nearest(labels, reach, weigh)
    return weights


def weight_map_from_distances(
    d1: npt.NDArray[np.floating],
    d2: npt.NDArray[np.floating],
    w0: float = 10.0,
    sigma: float = 5.0,
    class_weights: tuple[float, float] | None = None,
    inside: bool = False,
) -> FloatArray:
    """Boundary weight map from distances already known: instant for new values of w0 and sigma.

    Parameters
    ----------
    d1, d2 : (H, W) float
        Distances in pixels from `instance_distances`; the foreground is where d1 is 0.
    w0, sigma, class_weights, inside
        As for `boundary_weight_map`.

    Returns
    -------
    (H, W) float32

    Raises
    ------
    ValueError
        If the distances differ in shape, or w0, sigma or class_weights are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> instances = np.array([[1, 0, 2, 2]])
    >>> w = weight_map_from_distances(*instance_distances(instances), w0=10, sigma=5)
    >>> np.array_equal(w, boundary_weight_map(instances, w0=10, sigma=5))
    True
    """
    if d1.ndim != 2 or d1.shape != d2.shape or d1.size == 0:
        raise ValueError(
            f"The distances have shapes {d1.shape} and {d2.shape}; they must be two arrays of "
            "the same height and width."
        )
    _check_term(w0, sigma)
    foreground = d1 == 0
    weights = _class_balance(foreground, class_weights)
    _BoundaryTerm(w0, sigma, inside).add_to(weights, d1, d2, foreground)
    return weights


def _check_term(w0: float, sigma: float) -> None:
    if not (math.isfinite(w0) and w0 >= 0):
        raise ValueError(f"w0 is {w0}; it must be a number of at least 0 (the paper's is 10).")
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma is {sigma}; it must be above 0 pixels (the paper's is 5).")


def _class_balance(
    foreground: npt.NDArray[np.bool_], class_weights: tuple[float, float] | None
) -> FloatArray:
    """w_c of every pixel."""
    if class_weights is None:
        n = foreground.size
        inside = int(np.count_nonzero(foreground))
        class_weights = (n / max(n - inside, 1), n / max(inside, 1))
    if len(class_weights) != 2 or not all(math.isfinite(w) and w >= 0 for w in class_weights):
        raise ValueError(
            f"class_weights is {class_weights}; it must be two numbers of at least 0, for "
            "background and for foreground."
        )
    return np.where(foreground, np.float32(class_weights[1]), np.float32(class_weights[0]))


class _BoundaryTerm(NamedTuple):
    """The second term of equation 2 and where it stands."""

    w0: float
    sigma: float
    inside: bool

    def add_to(
        self,
        weights: FloatArray,
        d1: npt.NDArray[np.floating],
        d2: npt.NDArray[np.floating],
        foreground: npt.NDArray[np.bool_],
    ) -> None:
        """Add the term in place, a few rows at a time so that they stay in the cache."""
        # float32 is good to 1e-6 for the paper's w0; a large w0 would magnify its rounding.
        dtype = np.float32 if self.w0 <= 16 else np.float64
        scale = min(math.sqrt(0.5) / self.sigma, 1e30)  # float32 holds it for any sigma
        step = max(1, CHUNK // d1.shape[1])
        for top in range(0, d1.shape[0], step):
            rows = slice(top, top + step)
            term = np.add(d1[rows], d2[rows], dtype=dtype)
            np.multiply(term, dtype(scale), out=term)
            with np.errstate(over="ignore"):  # a far pixel's square may be infinite: exp gives 0
                np.multiply(term, term, out=term)
            np.negative(term, out=term)
            np.exp(term, out=term)
            np.multiply(term, dtype(self.w0), out=term)
            if not self.inside:
                np.copyto(term, 0, where=foreground[rows])
            np.add(weights[rows], term, out=weights[rows], casting="same_kind")
