"""The boundary weight map against its definition and against one distance transform.

    python benchmarks/weight_map.py

Brute force is the definition: for each instance one exact Euclidean distance transform of the whole
image, by OpenCV (DIST_L2, DIST_MASK_PRECISE; several times faster than SciPy's, which is shown for
comparison), keeping the two smallest distances. The floor is one such transform. The contestants
take turns, so that a busy machine slows all of them, and ratios are medians over the turns.
Memory is the peak of all arrays during one call, as tracemalloc counts it, input apart.
"""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hf_unet.weight_map import boundary_weight_map, instance_distances, weight_map_from_distances

Labels = npt.NDArray[np.int32]
ALONE = (0.0, 0.0)


def cells(side: int, count: int) -> Labels:
    """Ellipses of 8 to 22 pixels across that do not overlap but often touch."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), np.int32)
    placed = 0
    while placed < count:
        one = np.zeros((31, 31), np.uint8)
        axes = tuple(int(a) for a in rng.integers(4, 12, 2))
        cv2.ellipse(one, (15, 15), axes, float(rng.integers(180)), 0, 360, 1, -1)
        y, x = rng.integers(0, side - 31, 2)
        window = labels[y : y + 31, x : x + 31]
        if not (window[one > 0]).any():
            placed += 1
            window[one > 0] = placed
    return labels


def overlapping_disks(side: int, count: int) -> Labels:
    """Disks thrown anywhere, later ones over earlier ones."""
    rng = np.random.default_rng(0)
    labels = np.zeros((side, side), np.int32)
    for number in range(1, count + 1):
        x, y, radius = (int(v) for v in (*rng.integers(0, side, 2), rng.integers(5, 13)))
        cv2.circle(labels, (x, y), radius, number, -1)
    return labels


def scattered(side: int, count: int) -> Labels:
    """Instances in many single pixels over the whole image."""
    rng = np.random.default_rng(0)
    spots = rng.random((side, side)) < 0.02
    return np.where(spots, rng.integers(1, count + 1, spots.shape), 0).astype(np.int32)


def single_pixels(side: int, count: int) -> Labels:
    """Instances of one pixel each."""
    rng = np.random.default_rng(0)
    labels = np.zeros(side * side, np.int32)
    labels[rng.permutation(labels.size)[:count]] = np.arange(1, count + 1)
    return labels.reshape(side, side)


def crowd(side: int, count: int) -> Labels:
    """One instance over everything, with the others in it."""
    labels = cells(side, count)
    return np.where(labels == 0, count + 1, labels).astype(np.int32)


def exact_transform(outside: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def scipy_transform(outside: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return ndimage.distance_transform_edt(outside).astype(np.float32)


def brute_force(
    labels: Labels, transform: Callable[..., npt.NDArray[np.float32]] = exact_transform
) -> npt.NDArray[np.float32]:
    d1 = np.full(labels.shape, np.inf, np.float32)
    d2 = np.full(labels.shape, np.inf, np.float32)
    larger = np.empty_like(d1)
    for number in np.unique(labels[labels > 0]):
        distance = transform((labels != number).view(np.uint8))
        np.maximum(distance, d1, out=larger)
        np.minimum(d2, larger, out=d2)
        np.minimum(d1, distance, out=d1)
    term = 10 * np.exp(-((d1.astype(np.float64) + d2) ** 2) / 50)
    return np.where(labels == 0, term, 0).astype(np.float32)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(calls: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    for call in calls.values():
        call()
    measured: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            measured[name].append(seconds(call))
    return measured


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def against_brute_force(make: Callable[[int, int], Labels], turns: int = 3) -> None:
    labels = make(512, 200)
    outside = (labels == 0).view(np.uint8)
    measured = take_turns(
        {
            "brute force (OpenCV)": lambda: brute_force(labels),
            "boundary_weight_map": lambda: [boundary_weight_map(labels) for _ in range(10)],
            "floor": lambda: [exact_transform(outside) for _ in range(10)],
        },
        turns,
    )
    for name in ("boundary_weight_map", "floor"):
        measured[name] = [total / 10 for total in measured[name]]
    measured["brute force (SciPy)"] = [seconds(lambda: brute_force(labels, scipy_transform))]
    worst = np.abs(boundary_weight_map(labels, class_weights=ALONE) - brute_force(labels)).max()
    print(f"\n512x512, 200 instances, {make.__name__}")
    for name, times in measured.items():
        print(f"  {name:24} {1e3 * statistics.median(times):9.2f} ms")
    ours = measured["boundary_weight_map"]
    scipy_ratio = measured["brute force (SciPy)"][0] / statistics.median(ours)
    print(f"  faster than brute force  {ratio(measured['brute force (OpenCV)'], ours):9.1f} times")
    print(f"    (than SciPy's          {scipy_ratio:9.1f} times)")
    print(f"  times the floor          {ratio(ours, measured['floor']):9.1f}")
    print(f"  largest difference       {worst:9.1e}")


def against_the_floor(
    make: Callable[[int, int], Labels], count: int, sigma: float = 5, turns: int = 3
) -> None:
    labels = make(2048, count)
    outside = (labels == 0).view(np.uint8)
    measured = take_turns(
        {
            "ours": lambda: boundary_weight_map(labels, sigma=sigma, inside=True),
            "floor": lambda: exact_transform(outside),
        },
        turns,
    )
    ours, floor = (1e3 * statistics.median(times) for times in measured.values())
    peak = peak_memory(lambda: boundary_weight_map(labels, sigma=sigma, inside=True))
    name = f"{make.__name__}, {count} instances, sigma {sigma:g}"
    times = ratio(measured["ours"], measured["floor"])
    print(f"  {name:46} {ours:8.0f} ms {floor:6.0f} ms {times:6.1f} {peak:>8} MB")


def peak_memory(call: Callable[[], object]) -> int:
    """Peak of what one call allocates, in megabytes."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak // 2**20


def new_settings() -> None:
    labels = cells(512, 200)
    d1, d2 = instance_distances(labels)
    measured = take_turns(
        {
            "distances": lambda: instance_distances(labels),
            "weights": lambda: weight_map_from_distances(d1, d2, 8, 7),
        },
        5,
    )
    print("\n512x512, 200 instances: all distances once, then any w0 and sigma")
    for name, times in measured.items():
        print(f"  {name:24} {1e3 * statistics.median(times):9.2f} ms")


def main() -> None:
    print(f"OpenCV {cv2.__version__} with {cv2.getNumThreads()} threads, NumPy {np.__version__}")
    against_brute_force(cells)
    against_brute_force(overlapping_disks)
    print(f"\n2048x2048, inside=True{'':26} this       floor  ratio   memory")
    against_the_floor(cells, 3000)
    against_the_floor(overlapping_disks, 3000)
    against_the_floor(cells, 3000, sigma=50)
    against_the_floor(scattered, 3000)
    against_the_floor(scattered, 3000, sigma=50)
    against_the_floor(crowd, 3000)
    against_the_floor(single_pixels, 10_000)
    against_the_floor(single_pixels, 100_000)
    against_the_floor(single_pixels, 2048 * 2048)
    new_settings()


if __name__ == "__main__":
    main()
