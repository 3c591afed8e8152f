"""Masks to instances, and instances kept apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed


@dataclass(frozen=True)
class LabelledObjects:
    """Instances of a mask and what each of them is.

    Attributes
    ----------
    labels : (H, W) int32 array
        0 is background, 1 .. n the instances; (L, H, W) where planes of them overlap.
    class_of : (n,) int array
        Class index of instance 1, 2, ..., n.
    """

    labels: NDArray[np.int32]
    class_of: NDArray[np.intp]


def label_objects(mask: NDArray[Any], min_area: int = 0) -> LabelledObjects:
    """Number the 4-connected pieces of every foreground class.

    Pixels that touch only at a corner are two objects: the separation border that the weight
    map trains may be a single diagonal line of pixels.

    Parameters
    ----------
    mask : (H, W) integer array of class indices, 0 the background
    min_area : int
        Objects of fewer pixels are left out.

    Examples
    --------
    >>> objects = label_objects(np.array([[1, 1, 0, 2], [0, 0, 1, 2]]))
    >>> objects.labels
    array([[1, 1, 0, 3],
           [0, 0, 2, 3]], dtype=int32)
    >>> objects.class_of
    array([1, 1, 2])
    """
    labels = np.zeros(mask.shape, np.int32)
    class_of: list[NDArray[np.intp]] = []
    count = 0
    for index in np.unique(mask[mask > 0]):
        pieces, number = ndimage.label(mask == index)
        renumbered = np.zeros(number + 1, np.int32)
        areas = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
        kept = np.flatnonzero(areas >= min_area)
        renumbered[kept + 1] = count + 1 + np.arange(len(kept))
        labels += renumbered[pieces]
        class_of.append(np.full(len(kept), index, np.intp))
        count += len(kept)
    return LabelledObjects(labels, np.concatenate(class_of) if class_of else np.zeros(0, np.intp))


def grow_seeds(
    mask: NDArray[Any],
    evidence: NDArray[np.float32],
    *,
    seed_threshold: float,
    seed_depth: float = 0.0,
    seed_area: int = 0,
    min_area: int = 0,
) -> LabelledObjects:
    """Part objects that touch: seeds where the evidence is strong, grown by watershed.

    A seed is a 4-connected region of at least ``seed_area`` pixels in which the evidence reaches
    ``seed_threshold``. With a ``seed_depth``, such a region is parted by its shape as well: see
    `deep_seeds`. Seeds grow within the mask from the strongest evidence (or the deepest place) to
    the weakest (scikit-image's watershed) and meet there. A piece of the mask without a seed is
    an object by itself.

    Parameters
    ----------
    mask : (H, W) integer array of class indices, 0 the background
    evidence : (H, W) float array, 0 .. 1
        How sure it is that a pixel is inside an object.
    seed_threshold : float
    seed_depth : float
        In pixels; 0: shape does not count.
    seed_area, min_area : int
        Seeds and objects of fewer pixels are left out.

    Examples
    --------
    >>> evidence = np.float32([[0.9, 0.9, 0.5, 0.6, 0.9]])
    >>> grow_seeds(np.ones((1, 5), int), evidence, seed_threshold=0.8).labels
    array([[1, 1, 1, 2, 2]], dtype=int32)
    """
    strong = (evidence >= np.float32(seed_threshold)) & (mask > 0)
    pieces: NDArray[Any]
    if seed_depth > 0:
        pieces, depth = deep_seeds(strong, seed_depth)
        height = depth + evidence
    else:
        pieces, height = ndimage.label(strong)[0], evidence
    count = int(pieces.max())
    areas = np.bincount(pieces.ravel(), minlength=count + 1)
    seeds = np.where((areas >= max(1, seed_area))[pieces], pieces, 0).astype(np.int32)
    without = label_objects(mask)
    seeded = np.zeros(len(without.class_of) + 1, np.bool_)
    seeded[without.labels[seeds > 0]] = True
    alone = (without.labels > 0) & ~seeded[without.labels]
    seeds[alone] = without.labels[alone] + count
    grown = np.zeros(mask.shape, np.int32)
    for index in np.unique(mask[mask > 0]):  # an object does not grow into another class
        own = mask == index
        grown += watershed(  # type: ignore[no-untyped-call]
            -height, np.where(own, seeds, 0), connectivity=1, mask=own
        ).astype(np.int32)
    kept = np.bincount(grown.ravel()) >= max(1, min_area)
    kept[0] = False  # the background
    renumbered = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    labels = renumbered[grown]
    class_of = np.zeros(int(kept.sum()) + 1, np.intp)
    class_of[labels] = mask
    return LabelledObjects(labels, class_of[1:])


def deep_seeds(
    region: NDArray[np.bool_], depth: float
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Seeds by shape: the places farthest inside a region, one for each of its bulges.

    Holes of the region count as inside: texture leaves some in a large object, and each would
    part it. The distance to the outside is smoothed a little (a rough outline has ridges). A
    maximum of it is a seed if it rises by more than ``depth`` pixels above the way to a deeper one
    (an h-maximum, scikit-image's reconstruction).

    Parameters
    ----------
    region : (H, W) bool array
    depth : float
        In pixels, above 0. Smaller parts more.

    Returns
    -------
    seeds : (H, W) int32 array, 0 .. n
    distance : (H, W) float32 array
        Smoothed distance to the outside in pixels, 0 outside.

    Examples
    --------
    >>> bone = np.ones((15, 41), bool)
    >>> bone[:5, 15:26] = bone[10:, 15:26] = False
    >>> [int(deep_seeds(bone, depth)[0].max()) for depth in (1.0, 6.0)]
    [2, 1]
    """
    region = ndimage.binary_fill_holes(region)
    inside = np.pad(region, 1)  # the image's rim is an outside as well
    distance = ndimage.distance_transform_edt(inside)
    distance = ndimage.gaussian_filter(distance, SEED_SMOOTHING)[1:-1, 1:-1] * region
    tops = local_maxima(without_low_tops(distance, depth)) & region  # type: ignore[no-untyped-call]
    seeds = ndimage.label(tops, structure=_SQUARE)[0]
    return seeds.astype(np.int32), distance.astype(np.float32)


def without_low_tops(heights: NDArray[np.float64], depth: float) -> NDArray[np.float64]:
    """Cut ``depth`` off every top; one no higher than that above the way to a higher one is gone.

    It is the reconstruction of ``heights - depth``, no lower than 0, under ``heights`` (L. Vincent,
    IEEE Trans. Image Processing 2:176, 1993). Pieces of land that only 0 parts do not see each
    other, and a piece with a single top is just cut; so a piece at a time, and only those with
    several, is reconstructed: most of the time would go into sorting the pixels of all.

    Parameters
    ----------
    heights : (H, W) float64 array, at least 0
    depth : float
        Above 0.

    Examples
    --------
    >>> without_low_tops(np.array([[3.0, 1.0, 2.5, 0.0, 1.5]]), 2.0).tolist()
    [[1.0, 1.0, 1.0, 0.0, 0.0]]
    """
    pieces, count = ndimage.label(heights > 0, structure=_SQUARE)
    highest = np.zeros(count + 1)
    np.maximum.at(highest, pieces.ravel(), heights.ravel())
    cut = np.minimum(heights, np.maximum(highest - depth, 0)[pieces])
    tops, found = ndimage.label(local_maxima(heights), structure=_SQUARE)  # type: ignore[no-untyped-call]
    piece_of = np.zeros(found + 1, np.intp)
    piece_of[tops] = pieces
    several = np.bincount(piece_of[1:], minlength=count + 1)[1:] > 1
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        if several[number - 1]:
            own = pieces[box] == number
            land = np.where(own, heights[box], 0)
            flooded = reconstruction(  # type: ignore[no-untyped-call]
                np.maximum(land - depth, 0), land, method="dilation"
            )
            cut[box][own] = flooded[own]
    return cut


_SQUARE = np.ones((3, 3))
"""Neighbours of a pixel, those at its corners too."""

SEED_SMOOTHING = 1.5
"""Sigma in pixels of the Gaussian that smooths distances before their maxima are sought."""


def interior_and_border(instances: NDArray[np.int32], width: float) -> NDArray[np.uint8]:
    """Classes of a network with a border class: 0 background, 1 interior, 2 border of an object.

    The border is what lies within ``width`` pixels of another object or of the background, so
    that interiors never touch (three classes as in Caicedo et al., Cytometry A 95:952, 2019). In
    an object too thin to have an interior, what is farthest inside is its interior.

    Parameters
    ----------
    instances : (H, W) int array, 0 the background
    width : float
        Distance in pixels between centres; 1 marks the pixels at the edge themselves.

    Examples
    --------
    >>> interior_and_border(np.int32([[0, 5, 5, 5, 6, 6, 6]] * 3), 1)[1]
    array([0, 2, 1, 2, 2, 1, 1], dtype=uint8)
    """
    depth = distance_to_edge(instances)
    deepest = np.zeros(int(instances.max(initial=0)) + 1, np.float32)
    np.maximum.at(deepest, instances.ravel(), depth.ravel())
    limit = np.minimum(np.float32(width), deepest[instances] * np.float32(0.99))
    return np.where(instances > 0, np.where(depth > limit, 1, 2), 0).astype(np.uint8)


def distance_to_edge(instances: NDArray[np.int32]) -> NDArray[np.float32]:
    """Distance of each pixel of an object to the nearest one of another label; 0 outside.

    Examples
    --------
    >>> distance_to_edge(np.int32([[0, 5, 5, 5, 6]]))
    array([[0., 1., 2., 1., 1.]], dtype=float32)
    """
    edge = np.zeros(instances.shape, np.bool_)
    for here, there in _NEIGHBOURS:
        differ = instances[here] != instances[there]
        edge[here] |= differ
        edge[there] |= differ
    # An edge pixel is 1 from its neighbour; one further in is that far from the edge and 1 more.
    if not edge.any():
        return np.where(instances > 0, np.float32(np.inf), np.float32(0))
    beyond: NDArray[np.float64] = ndimage.distance_transform_edt(~edge)
    return np.where(instances > 0, beyond + 1, 0).astype(np.float32)


_NEIGHBOURS = (
    ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
)
"""The pixels of an image that have a left, or an upper, neighbour, and those neighbours."""


def separate_touching(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    """Turn the pixels where two instances touch into background: the separation border.

    Only then can a network that knows background and foreground keep them apart (Ronneberger
    et al. 2015, figure 3). A pixel touches if one of its 4-neighbours is of another instance.

    Examples
    --------
    >>> separate_touching(np.array([[1, 1, 1, 2, 2, 2]], np.int32))
    array([[1, 1, 0, 0, 2, 2]], dtype=int32)
    """
    touching = np.zeros(instances.shape, np.bool_)
    for here, there in _NEIGHBOURS:
        one, other = instances[here], instances[there]
        meet = (one != other) & (one > 0) & (other > 0)
        touching[here] |= meet
        touching[there] |= meet
    return np.where(touching, np.int32(0), instances)
