"""Polygon annotations: JSON of three common tools -> regions with a name -> pixels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import LabelError
from hf_unet.labels.objects import Patch

MAX_CROSSINGS = 20_000_000
"""Rows that an outline may cross, all its edges taken together: a bound for memory."""

FORMATS = (
    'Read are {"annotations": [{"label": ..., "points": [[x, y], ...]}]}, LabelMe files '
    "and Darwin files."
)


@dataclass(frozen=True, eq=False)
class Region:
    """One annotated object, or a part of one.

    Attributes
    ----------
    label : str
        The name its annotator gave it.
    paths : tuple of (N, 2) float64 arrays
        Closed outlines as (x, y) in pixels, x rightwards and y downwards from the image's
        top-left *corner*; a second path inside the first cuts a hole.
    group : int, float, str or None
        Regions of one label and one group are parts of one object (LabelMe's ``group_id``).
    """

    label: str
    paths: tuple[NDArray[np.float64], ...]
    group: int | float | str | None = None


@dataclass(frozen=True)
class PolygonFile:
    """The regions of one annotation file, and the (height, width) it names, if it does."""

    regions: tuple[Region, ...]
    size: tuple[int, int] | None
    without_outline: int

    @property
    def objects(self) -> tuple[tuple[Region, ...], ...]:
        """The parts of each object, in the order of their first ones."""
        parts: dict[object, list[Region]] = {}
        for number, region in enumerate(self.regions):
            alone = region.group is None
            parts.setdefault(number if alone else (region.label, region.group), []).append(region)
        return tuple(map(tuple, parts.values()))


def read_polygons(source: bytes | dict[str, Any], name: str = "the annotation") -> PolygonFile:
    """Read a polygon file.

    Parameters
    ----------
    source : bytes or dict
        The JSON text, or what was parsed from it.
    name : str
        What messages call it.

    Raises
    ------
    LabelError
        If it is no JSON, none of the three formats, or an outline is no outline.

    Examples
    --------
    >>> file = read_polygons(b'{"annotations": [{"label": "Lung", "points": [[0,0],[4,0],[0,4]]}]}')
    >>> file.regions[0].label, file.size
    ('Lung', None)
    """
    content = parse_json(source, name)
    entries = None
    if isinstance(content, dict):
        entries = content.get("annotations", content.get("shapes"))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LabelError(f"{name} holds no list of annotations or shapes. {FORMATS}")
    regions = [_region(entry, f"annotation {i} of {name}") for i, entry in enumerate(entries, 1)]
    kept = tuple(region for region in regions if region is not None)
    if entries and not kept:
        raise LabelError(f"{name} has {len(entries)} annotations, none with an outline. {FORMATS}")
    return PolygonFile(kept, _stated_size(content, name), len(entries) - len(kept))


def parse_json(source: Any, name: str) -> Any:
    """Parse a JSON text in bytes; LabelError if it is none. What was parsed stays as it is."""
    if not isinstance(source, bytes):
        return source
    try:
        return json.loads(source.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{name} is not valid JSON: it is damaged or cut short.") from error


def _region(entry: dict[str, Any], where: str) -> Region | None:
    """One annotation; None if it has no outline (a tag, as Darwin keeps a patient's data)."""
    label = entry.get("label", entry.get("name"))
    polygon = entry.get("polygon")
    if isinstance(polygon, dict):  # Darwin: "path", or since version 2 "paths"
        raw = polygon.get("paths", [polygon.get("path")])
    elif "points" in entry:
        raw = [entry["points"]]
    else:
        return None
    if not isinstance(label, str):
        raise LabelError(f"In {where} the label's name is missing.")
    if not isinstance(raw, list) or not raw:
        raise LabelError(f"The outline in {where} ({label}) is empty.")
    shape_type = entry.get("shape_type", "polygon")
    paths = tuple(outline(points, f"{where} ({label})", shape_type) for points in raw)
    group = entry.get("group_id")
    if isinstance(group, bool) or not (group is None or isinstance(group, (int, float, str))):
        raise LabelError(f"The group_id of {where} ({label}) is a number or none.")
    return Region(label, paths, group)


def outline(points: object, where: str, shape_type: object = "polygon") -> NDArray[np.float64]:
    """Corners of a shape as an (N, 2) array of x and y; LabelError if it has no inside."""
    if isinstance(points, list) and all(isinstance(p, dict) for p in points):
        points = [[p.get("x"), p.get("y")] for p in points]
    try:
        path = np.array(points, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        path = np.empty(0)
    if path.ndim != 2 or path.shape[1] != 2 or not np.isfinite(path).all():
        raise LabelError(f"The outline in {where} is not a list of [x, y] numbers.")
    if np.abs(path).max() > 1e9:
        raise LabelError(f"The outline in {where} has coordinates beyond any image.")
    if shape_type == "rectangle" and len(path) == 2:
        (x0, y0), (x1, y1) = path
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    if shape_type not in ("polygon", "rectangle", None):
        raise LabelError(
            f"The shape in {where} is a {shape_type}: only polygons and rectangles have an "
            "inside. Redraw it as a polygon."
        )
    if len(path) < 3:
        raise LabelError(f"The outline in {where} has {len(path)} points; an area needs three.")
    return path


def _stated_size(content: dict[str, Any], name: str) -> tuple[int, int] | None:
    item = content.get("item")
    slots = item.get("slots") if isinstance(item, dict) else None
    places: list[object] = [content, content.get("image")]
    places += slots[:1] if isinstance(slots, list) else []
    for place in places:
        if not isinstance(place, dict):
            continue
        for rows, columns in (("height", "width"), ("imageHeight", "imageWidth")):
            height, width = place.get(rows), place.get(columns)
            if height is None or width is None:
                continue
            if not all(isinstance(n, (int, float)) and 0 < n < 1e9 for n in (height, width)):
                raise LabelError(f"{name} states an image of {height} x {width} pixels.")
            return int(height), int(width)
    return None


def region_mask(region: Region, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a region: those whose center lies inside, by the even-odd rule.

    The center of the pixel in row r and column c is at (c + 0.5, r + 0.5), so a rectangle from
    (0, 0) to (4, 2) covers 8 pixels and two regions that share an edge share no pixel. What
    lies beyond the image is cut off.

    Parameters
    ----------
    region : Region
    size : (height, width) in pixels

    Returns
    -------
    (height, width) bool array

    Examples
    --------
    >>> square = Region("cell", (np.array([[1, 0], [3, 0], [3, 2], [1, 2]], float),))
    >>> region_mask(square, (3, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    height, width = size
    starts = np.concatenate(region.paths)
    ends = np.concatenate([np.roll(path, -1, axis=0) for path in region.paths])
    # Scan lines run through the pixel centers; work in coordinates where those are integers.
    (x0, y0), (x1, y1) = (starts - 0.5).T, (ends - 0.5).T
    top = np.clip(np.ceil(np.minimum(y0, y1)), 0, height).astype(np.int64)
    bottom = np.clip(np.ceil(np.maximum(y0, y1)), 0, height).astype(np.int64)
    lines = bottom - top  # scan lines crossed by each edge; horizontal edges cross none
    edge = np.repeat(np.arange(len(lines)), lines)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(lines) - lines, lines) + top[edge]
    slope = (x1 - x0)[edge] / (y1 - y0)[edge]
    column = np.clip(np.ceil(x0[edge] + (row - y0[edge]) * slope), 0, width).astype(np.int64)
    # Each crossing flips inside and outside for all pixels to its right.
    flips = np.zeros((height, width + 1), np.uint8)
    np.bitwise_xor.at(flips, (row, column), 1)
    inside = np.bitwise_xor.accumulate(flips, axis=1)[:, :width]
    return inside.astype(np.bool_)


def draw_regions(parts: Sequence[Region], size: tuple[int, int], what: str) -> Patch:
    """Pixels of an object of one or more parts: those of any of its parts.

    Parameters
    ----------
    parts : sequence of Region
        At least one. Unlike a second path of a region, a second part cuts no hole.
    size : (height, width) in pixels
    what : str
        What a message calls the object.

    Raises
    ------
    LabelError
        If a part lies outside the image, or winds more than `MAX_CROSSINGS` allows.

    Examples
    --------
    >>> square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)
    >>> patch = draw_regions([Region("", (square + 1,)), Region("", (square + 2,))], (9, 9), "")
    >>> patch.top, patch.left, patch.mask.astype(int).tolist()
    (1, 1, [[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    """
    height, width = size
    for part in parts:
        corners = np.concatenate(part.paths)
        if (corners.max(axis=0) <= 0).any() or (corners.min(axis=0) >= (width, height)).any():
            raise LabelError(
                f"{what} lies outside the image of {width} x {height} pixels: is this the "
                "annotation of another image?"
            )
        rows = [np.clip(path[:, 1], 0, height) for path in part.paths]
        if sum(np.abs(y - np.roll(y, 1)).sum() for y in rows) > MAX_CROSSINGS:
            raise LabelError(
                f"{what} has an outline that goes up and down too often to be one. Draw it anew."
            )
    corners = np.concatenate([path for part in parts for path in part.paths])
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, (width, height)).astype(int).tolist()
    mask = np.zeros((bottom - top, right - left), np.bool_)
    for part in parts:
        moved = Region(part.label, tuple(path - (left, top) for path in part.paths))
        mask |= region_mask(moved, mask.shape)
    return Patch(top, left, mask)
