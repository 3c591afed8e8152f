"""What a model card says of a network's figures: metrics.json in words and tables."""

from collections.abc import Mapping, Sequence
from typing import Any


def figures_text(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The results on what was kept out of training, class by class, with their intervals.

    Parameters
    ----------
    metrics : mapping
        metrics.json.
    config : mapping
        config.json, whose thresholds were chosen on the same images.

    Raises
    ------
    KeyError
        If a figure is missing; its argument is the name of it.
    """
    validation = metrics["validation"]
    intervals = validation.get("intervals", {})
    more = [f"Pixel error: {_figure(validation['pixel_error'], intervals.get('pixel_error'))}."]
    more += _instances(validation, intervals)
    more += _looks(validation.get("looks", {}))
    if "membranes" in validation:
        more += _membranes(validation["membranes"])
    if intervals:
        more.append("In brackets: 95 % bootstrap intervals over images.")
    if chosen := _chosen(config):
        more.append(f"Chosen on these images: {chosen}.")
    if config.get("test_time_averaging"):
        more.append("Each figure is of the mean over eight flips and rotations of the image.")
    seams = metrics["overlap_tile"]
    more.append(
        f"Overlap-tile, measured: an image of {seams['width']} x {seams['height']} pixels in "
        f"{seams['tiles']} tiles and in one piece differs by at most "
        f"{seams['largest_difference']:.2g} in probability, and {seams['changed_pixels']} pixels "
        "change their class."
    )
    return "\n".join(
        [
            f"The figures are of {metrics['data']['validation_images']} images kept out of "
            "training, by which the checkpoint was chosen.",
            "",
            "| class | Dice per image | IoU per image | Dice pooled | IoU pooled |",
            "|---|---|---|---|---|",
            *_classes(validation, intervals),
            "",
            f"- {validation['per_image']['convention']}.",
            f"- {validation['pooled']['convention']}.",
            *[f"- {line}" for line in more],
        ]
    )


def _classes(validation: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[str]:
    """A row of the table for each class."""
    rows = []
    for name in validation["per_image"]["dice"]:
        cells = [name]
        for way in ("per_image", "pooled"):
            for score in ("dice", "iou"):
                bounds = intervals.get(way, {}).get(score, {}).get(name)
                cells.append(_figure(validation[way][score][name], bounds))
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def expected_text(config: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> str:
    """What the network's own estimate of its Dice is worth, as far as it was measured.

    Parameters
    ----------
    config : mapping
        config.json.
    metrics : mapping or None
        metrics.json; None: there is none.
    """
    if not config.get("calibration"):
        return "Its probabilities are not calibrated, so it makes no estimate of its own Dice."
    what = (
        "Without a ground truth, `result.expected_dice` is the network's own estimate of the Dice "
        "of each class in an image, from its calibrated probabilities."
    )
    measured = {} if metrics is None else metrics["validation"].get("expected_dice", {})
    known = {name: one for name, one in measured.get("classes", {}).items() if one}
    if not known:
        return f"{what} How well it holds has not been measured."
    differences = ", ".join(
        f"{one['mean_difference']:.3f} for {name} (at most {one['largest_difference']:.3f})"
        for name, one in known.items()
    )
    rows = [
        f"| {name} | {one['images']} | {one['expected']:.4f} | {one['measured']:.4f} "
        f"| {one['mean_difference']:.4f} | {one['largest_difference']:.4f} "
        f"| {one['without_estimate']:.4f} | {_figure(one['correlation'], absent='-')} |"
        for name, one in known.items()
    ]
    return "\n".join(
        [
            f"{what} On the images kept out of training, each with the calibration of the others, "
            f"it was off on average by {differences}.",
            "",
            "| class | images | Dice expected | Dice measured | mean difference "
            "| largest difference | without the estimate | correlation |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"- {measured['convention']}.",
            "- Without the estimate: the mean difference left to one who expects of each image "
            "what the others scored on average. Where it is as small, the estimate does not tell "
            "these images apart.",
            "- On images unlike these it may be far off: it cannot know what it was never shown.",
        ]
    )


def _instances(validation: Mapping[str, Any], intervals: Mapping[str, Any]) -> list[str]:
    """What is said of instances, where they were scored."""
    lines = []
    if "average_precision_50" in validation:
        bounds = intervals.get("average_precision_50")
        line = (
            f"Average precision of instances at IoU 0.5: "
            f"{_figure(validation['average_precision_50'], bounds)}, the mean over images"
        )
        others = [
            f"{value:.4f} at {threshold}"
            for threshold, value in validation.get("average_precision", {}).items()
            if threshold != "0.5"
        ]
        lines.append(f"{line}; {', '.join(others)}." if others else f"{line}.")
    if "seg" in validation:
        figure = _figure(validation["seg"], intervals.get("seg"))
        lines.append(f"SEG of the Cell Tracking Challenge: {figure}.")
    return lines


def _looks(looks: Mapping[str, Any]) -> list[str]:
    """What is said of dark, bright and coloured images alone, where there are several kinds."""
    if len(looks) < 2:
        return []
    parts = []
    for look, figures in looks.items():
        name, value = "pixel error", figures["pixel_error"]
        bounds = figures["intervals"]["pixel_error"]
        if "average_precision_50" in figures:
            name, value = "average precision at IoU 0.5", figures["average_precision_50"]
            bounds = figures["intervals"]["average_precision_50"]
        word = {"color": "coloured"}.get(look, look)
        parts.append(f"{name} {_figure(value, bounds)} of the {figures['images']} {word} ones")
    return [f"By the look of the images: {'; '.join(parts)}."]


def _membranes(figures: Mapping[str, Any]) -> list[str]:
    """What is said of a stack of membrane maps."""
    best = figures["best"]
    return [
        f"As the ISBI 2012 challenge scores, at threshold 0.5 or as chosen: warping error "
        f"{figures['warping_error']:.6f} ({figures['splits']} pixels of splits, "
        f"{figures['merges']} of merges), V_rand (thinned) {figures['v_rand_thinned']:.4f}, "
        f"V_info (thinned) {figures['v_info_thinned']:.4f}.",
        f"At the best threshold, as its leader board does: pixel error "
        f"{best['pixel_error']['value']:.4f}, V_rand {best['v_rand_thinned']['value']:.4f}, "
        f"V_info {best['v_info_thinned']['value']:.4f}.",
    ]


def _chosen(config: Mapping[str, Any]) -> str:
    """Thresholds that turn probabilities into masks and objects, in words."""
    parts = []
    if config.get("thresholds"):
        limits = ", ".join(f"{value:g}" for value in config["thresholds"])
        parts.append(f"the probability from which on a pixel belongs to its class, {limits}")
    if config.get("seed_threshold"):
        parts.append(f"that from which on it is a seed of an object, {config['seed_threshold']:g}")
    if config.get("seed_depth"):
        parts.append(f"the depth of a seed, {config['seed_depth']:g} pixels")
    return "; ".join(parts)


def _figure(
    value: float | None, bounds: Sequence[float] | None = None, *, absent: str = "absent"
) -> str:
    if value is None:
        return absent
    around = "" if bounds is None else f" ({bounds[0]:.4f} - {bounds[1]:.4f})"
    return f"{value:.4f}{around}"
