"""Outlines as GeoJSON, the format in which QuPath exchanges annotations."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hf_unet.colors import PALETTE, rgb
from hf_unet.errors import LabelError
from hf_unet.exports.checks import by_instance, check_stack, names_by_id
from hf_unet.exports.files import write_json_rows
from hf_unet.exports.outlines import Polygon, Ring, trace_outlines

Color = str | tuple[int, int, int]
"""A class's color: "#rrggbb", or (red, green, blue) of 0 .. 255."""

COLLECTION = {"type": "FeatureCollection"}


def write_geojson(
    path: str | os.PathLike[str],
    instances: npt.ArrayLike,
    class_of: Mapping[int, str] | Sequence[str],
    colors: Mapping[str, Color] | None = None,
    measurements: Mapping[str, npt.NDArray[Any]] | None = None,
) -> None:
    """Write every instance's exact outline as GeoJSON, which QuPath opens as annotations.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    instances
        (H, W) ids, 0 = background; or (L, H, W) where objects overlap.
    class_of
        Class names: id -> name, or a sequence in the order of ascending ids.
    colors
        Class name -> color. A class without one takes the next of `hf_unet.colors.PALETTE`.
    measurements
        Columns of `hf_unet.exports.region_table`, of the same instances; QuPath lists them.

    Raises
    ------
    LabelError
        An instance has no class name, or the instances are not a 2-D array of whole numbers.

    Notes
    -----
    Coordinates are (x, y) in pixels from the top left corner of the top left pixel; outlines
    run along pixel edges (`trace_outlines`). Rings are closed, exteriors counterclockwise in
    (x, y) and holes clockwise (RFC 7946, section 3.1.6); with y pointing down, as on a screen,
    exteriors look clockwise. An instance in several 4-connected pieces is a MultiPolygon. Its
    number is kept as ``properties.instance``.
    """
    outlines = by_instance(instances, trace_outlines)
    names = names_by_id(outlines, class_of)
    rgb_of = _class_colors(dict.fromkeys(names.values()), colors)
    features = [
        _feature(polygons, names[n], rgb_of[names[n]], f"{names[n]} {n}", n)
        for n, polygons in outlines.items()
    ]
    if measurements is not None:
        columns = {name: column.tolist() for name, column in measurements.items() if name != "id"}
        for row, feature in enumerate(features):
            values = {name: column[row] for name, column in columns.items()}
            feature["properties"]["measurements"] = values
    write_json_rows(path, COLLECTION, "features", features)


def write_stack_geojson(
    path: str | os.PathLike[str],
    stack: npt.ArrayLike,
    classes: Sequence[str],
    colors: Mapping[str, Color] | None = None,
) -> None:
    """Write the outlines of a multi-label stack: one feature for each class that is present.

    Parameters
    ----------
    path
        The file to write; its folder exists.
    stack
        (K, H, W) bool; classes may overlap.
    classes
        K names.
    colors
        As in `write_geojson`. ``properties.instance`` is the class's number, from 1.
    """
    array = check_stack(stack, classes)
    rgb_of = _class_colors(classes, colors)
    features = [
        _feature(trace_outlines(mask)[1], name, rgb_of[name], name, k)
        for k, (name, mask) in enumerate(zip(classes, array, strict=True), start=1)
        if mask.any()
    ]
    write_json_rows(path, COLLECTION, "features", features)


def read_geojson(
    path: str | os.PathLike[str],
) -> tuple[dict[int, tuple[Polygon, ...]], dict[int, str]]:
    """Read what `write_geojson` wrote: (id -> outlines, id -> class name).

    `hf_unet.exports.outlines.fill_outlines` turns the outlines into instances again.
    """
    try:
        features = json.loads(Path(path).read_text(encoding="utf-8"))["features"]
        outlines: dict[int, tuple[Polygon, ...]] = {}
        names: dict[int, str] = {}
        for feature in features:
            instance = int(feature["properties"]["instance"])
            geometry = feature["geometry"]
            pieces = geometry["coordinates"]
            if geometry["type"] == "Polygon":
                pieces = [pieces]
            outlines[instance] = tuple(
                Polygon(_open(rings[0]), tuple(_open(hole) for hole in rings[1:]))
                for rings in pieces
            )
            names[instance] = feature["properties"]["classification"]["name"]
    except (ValueError, KeyError, TypeError, IndexError):
        raise LabelError(
            f"{Path(path).name} is not a GeoJSON file of instances as this package writes it."
        ) from None
    return outlines, names


def _class_colors(
    names: Iterable[str], colors: Mapping[str, Color] | None
) -> dict[str, tuple[int, int, int]]:
    result: dict[str, tuple[int, int, int]] = {}
    for n, name in enumerate(names):
        color = (colors or {}).get(name, PALETTE[n % len(PALETTE)])
        red, green, blue = rgb(color) if isinstance(color, str) else color
        result[name] = (int(red), int(green), int(blue))
    return result


def _feature(
    polygons: Sequence[Polygon],
    label: str,
    color: tuple[int, int, int],
    name: str,
    instance: int,
) -> dict[str, Any]:
    """One GeoJSON feature with the properties that QuPath reads, and the instance's number."""
    pieces = [[_closed(ring) for ring in (p.exterior, *p.holes)] for p in polygons]
    geometry = (
        {"type": "Polygon", "coordinates": pieces[0]}
        if len(pieces) == 1
        else {"type": "MultiPolygon", "coordinates": pieces}
    )
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "objectType": "annotation",
            "name": name,
            "classification": {"name": label, "color": list(color)},
            "instance": instance,
        },
    }


def _closed(ring: Ring) -> list[list[int]]:
    corners: list[list[int]] = ring.tolist()
    return [*corners, corners[0]]


def _open(ring: list[list[float]]) -> Ring:
    corners = np.array(ring)
    if corners.ndim != 2 or len(corners) < 4 or not np.array_equal(corners[0], corners[-1]):
        raise ValueError("a ring is closed: its last position is its first")
    if not np.array_equal(corners, corners.round()):
        raise ValueError("outlines of pixels have whole coordinates")
    return corners[:-1, :2].astype(np.int64)
