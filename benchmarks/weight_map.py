"""The boundary weight map against its definition and against one distance transform.

    python benchmarks/weight_map.py

Brute force is the definition: for each instance one exact Euclidean distance transform of the whole
image, by OpenCV (DIST_L2, DIST_MASK_PRECISE; several times faster than SciPy's, which is shown for
comparison), keeping the two smallest distances. The floor is one such transform. The contestants
take turns, so that a busy machine slows all of them, and ratios are medians over the turns. Where
other work shares the cores, the ratio of processor times is the steadier one.
Memory is the peak of all arrays during one call, as tracemalloc counts it, input apart.
"""

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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


class Seconds(NamedTuple):
    wall: float
    processor: float  # of all threads together


def seconds(call: Callable[[], object], times: int = 1) -> Seconds:
    """Mean time of one call."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(times):
        call()
    return Seconds((time.perf_counter() - wall) / times, (time.process_time() - processor) / times)


def take_turns(
    calls: dict[str, tuple[Callable[[], object], int]], turns: int
) -> dict[str, list[Seconds]]:
    """Times of each of (call, how often in a turn)."""
    for call, _ in calls.values():
        call()
    measured: dict[str, list[Seconds]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, (call, times) in calls.items():
            measured[name].append(seconds(call, times))
    return measured


def milliseconds(times: list[Seconds]) -> float:
    return 1e3 * statistics.median(time.wall for time in times)


def ratios(above: list[Seconds], below: list[Seconds]) -> Seconds:
    pairs = list(zip(above, below, strict=True))
    return Seconds(*(statistics.median(a[i] / b[i] for a, b in pairs) for i in range(2)))


def against_brute_force(make: Callable[[int, int], Labels], turns: int = 5) -> None:
    labels = make(512, 200)
    outside = (labels == 0).view(np.uint8)
    measured = take_turns(
        {
            "brute force (OpenCV)": (lambda: brute_force(labels), 1),
            "boundary_weight_map": (lambda: boundary_weight_map(labels), 20),
            "floor": (lambda: exact_transform(outside), 20),
        },
        turns,
    )
    brute, ours, floor = measured.values()
    measured["brute force (SciPy)"] = [seconds(lambda: brute_force(labels, scipy_transform))]
    worst = np.abs(boundary_weight_map(labels, class_weights=ALONE) - brute_force(labels)).max()
    print(f"\n512x512, 200 instances, {make.__name__}")
    for name, times in measured.items():
        print(f"  {name:24} {milliseconds(times):9.2f} ms")
    faster = ratios(brute, ours)
    scipy_ratio = milliseconds(measured["brute force (SciPy)"]) / milliseconds(ours)
    print(f"  faster than brute force  {faster.wall:9.1f} times")
    print(f"    in processor time      {faster.processor:9.1f} times")
    print(f"    (than SciPy's          {scipy_ratio:9.1f} times)")
    print(f"  times the floor          {ratios(ours, floor).wall:9.1f}")
    print(f"  largest difference       {worst:9.1e}")


def against_the_floor(
    make: Callable[[int, int], Labels], count: int, sigma: float = 5, turns: int = 3
) -> None:
    labels = make(2048, count)
    outside = (labels == 0).view(np.uint8)

    def weigh() -> None:
        boundary_weight_map(labels, sigma=sigma, inside=True)

    ours, floor = take_turns(
        {"ours": (weigh, 1), "floor": (lambda: exact_transform(outside), 5)}, turns
    ).values()
    name = f"{make.__name__}, {count} instances, sigma {sigma:g}"
    times = ratios(ours, floor)
    print(
        f"  {name:46} {milliseconds(ours):6.0f} ms {milliseconds(floor):6.0f} ms "
        f"{times.wall:6.1f} {times.processor:9.1f} {peak_memory(weigh):>8} MB"
    )


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
            "distances": (lambda: instance_distances(labels), 1),
            "weights": (lambda: weight_map_from_distances(d1, d2, 8, 7), 10),
        },
        5,
    )
    print("\n512x512, 200 instances: all distances once, then any w0 and sigma")
    for name, times in measured.items():
        print(f"  {name:24} {milliseconds(times):9.2f} ms")


def main() -> None:
    print(f"OpenCV {cv2.__version__} with {cv2.getNumThreads()} threads, NumPy {np.__version__}")
    against_brute_force(cells)
    against_brute_force(overlapping_disks)
    print(f"\n2048x2048, inside=True{'':28} this     floor  ratio processor    memory")
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
