"""Any label source -> Labels: checks what is asked, and sends each source to its reader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from hf_unet.labels.annotations import labels_of_polygons
from hf_unet.labels.coco import is_coco, read_coco
from hf_unet.labels.files import read_bytes, source_name
from hf_unet.labels.ground_truth import Kind, Labels, Request, check_size, checked_request
from hf_unet.labels.masks import labels_of_folder, labels_of_masks
from hf_unet.labels.pages import labels_of_image
from hf_unet.labels.polygons import parse_json
from hf_unet.labels.values import Color


def read_labels(
    source: object,
    classes: Sequence[str] = ("background", "foreground"),
    *,
    kind: Kind | None = None,
    colors: Sequence[Color] | None = None,
    page: int = 0,
    size: tuple[int, int] | None = None,
    threshold: float | None = None,
) -> Labels:
    """Read any label file, and say what was found in it.

    Parameters
    ----------
    source : path, bytes, PIL image, array, tensor, dict, or a list or folder of masks
        An image whose values, palette indices or colors are classes or instance ids; a
        multi-page TIFF or (K, H, W) array with one mask per class; a list of files with one
        mask per class or per object; a folder of one mask per object (or one that holds such a
        ``masks`` folder); polygon JSON; a COCO file of a single image (see `read_coco`).
    classes : sequence of str
        The K class names in the order of their values. A stack may leave out a first class
        named "background": it is then what no other class covers.
    kind : "classes", "instances", "multilabel" or None
        What the source holds; None infers it by the rules below.
    colors : sequence of (R, G, B) or greys of 0..255, or "#rrggbb", optional
        The color of each class. With kind="instances", the first is the background's.
    page : int
        The page of a multi-page file, from 0, where the pages are not one mask per class.
    size : (height, width), optional
        The image's size in pixels: the label must have it. Polygon JSON that does not state
        the image's size needs it.
    threshold : float, optional
        Take values above this, in the file's own units, as foreground. Masks of bools or of
        only 0 and 1 stay as they are, so that mixed folders can be read with one threshold.

    Returns
    -------
    Labels

    Raises
    ------
    LabelError
        If the source cannot be opened or mapped: names the file, what it holds, what is right.

    Notes
    -----
    With kind=None the rules are, in this order:

    1. ``colors`` given: each pixel's color names its class; another color is an error.
    2. ``threshold`` given: a mask of two classes (or of the only class).
    3. K pages, or K-1 besides "background", each 0 and one other value: a multi-label stack.
       With a first class "background", K pages are a stack only if the first page is what the
       others leave over; else ``page`` is read, as of a z-stack.
    4. Values within 0..K-1: a class map. For two classes also 0 and any one value, or a single
       value (0 is the background, another the foreground). For more, also all of K greys
       spread evenly over 0..255. A palette's indices are the values, unless its used colors
       are black and white, or black is used and is not at index 0, as in a picture whose colors
       were reduced: then the colors count. Where both may be meant, it is an error.
    5. Two classes and more than two values, with 0 among them: instances, if they look like
       objects (regions with an inside, few pieces each, not from a JPEG). Ids are kept. It is
       an error if they may be classes as well: up to ten values of which half lie in several
       pieces, two of which one is the other's rim, 0, 1 and 2 where no class is "background".
       So is 255 or 65535 far above 0..n, which marks pixels left out (void, ignore). With
       kind="instances" only what is in too many pieces to be objects is refused, or a smoothed
       mask.
    6. Colors, as many as classes, black among them: a class map, black first, the rest in the
       order of (red, green, blue). More colors are instances if kind="instances" says so; an
       id is then red + 256 green + 65536 blue.
    7. Anything else is an error. In particular a mask with greys between (anti-aliased or
       JPEG-compressed) needs a ``threshold``.

    Masks in a list are one per class, in order, if there are as many as classes (or one less,
    besides "background"); with up to two classes they are one per object otherwise, and also
    where the first of two masks is not the background the second leaves over. Masks in a folder
    are one per class if they are named after the classes, else one per object, numbered in the
    order of their names.

    Polygons are a class map where the regions of different classes are disjoint and class 0 is
    "background", else a stack; kind="instances" numbers them, the later on top. With the
    default class names every region is foreground. Regions labeled "ignore" are left out
    unless a class has that name. Shapes of a LabelMe file that share a ``group_id`` and a label
    are parts of one object. Of a COCO file each annotation is an object: with "background" and
    one class they are instances, and what is a crowd or to be ignored is not ``known``; see
    `read_coco`.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((4, 6), np.uint8)
    >>> mask[1:3, 1:3] = 255
    >>> labels = read_labels(mask, ("background", "nucleus"))
    >>> labels.found
    'values 0 and 255: two classes (background, nucleus)'
    >>> labels.class_map().max()
    np.uint8(1)
    """
    request = checked_request(classes, kind, colors, page, size, threshold)
    name = source_name(source)
    if isinstance(source, (str, Path)) and _is_folder(source):
        labels = labels_of_folder(Path(source), request)
    elif isinstance(source, dict):
        labels = _labels_of_json(source, "the annotation", request)
    elif isinstance(source, (list, tuple)) and _is_list_of_sources(source):
        labels = labels_of_masks(list(source), "the list of masks", request)
    else:
        data = read_bytes(source) if isinstance(source, (str, Path)) else source
        if isinstance(data, (bytes, bytearray, memoryview)) and _is_json(bytes(data[:64]), name):
            labels = _labels_of_json(bytes(data), name, request)
        else:
            labels = labels_of_image(data, name, request)
    check_size(labels.array.shape[-2:], request, name)
    return labels


def _labels_of_json(source: bytes | dict[str, Any], name: str, request: Request) -> Labels:
    content = parse_json(source, name)
    if is_coco(content):
        return read_coco(content, name).only(request)
    return labels_of_polygons(content, name, request)


def _is_folder(source: str | Path) -> bool:
    try:
        return Path(source).is_dir()
    except (OSError, ValueError):  # no file name at all: reading it says so
        return False


def _is_json(start: bytes, name: str) -> bool:
    return name.lower().endswith((".json", ".geojson")) or start.lstrip(
        b"\xef\xbb\xbf \t\r\n"
    ).startswith(b"{")


def _is_list_of_sources(items: Sequence[object]) -> bool:
    """Whether this is one source per mask; lists of numbers are an array."""
    return not items or any(
        isinstance(item, (str, Path, bytes, Image.Image)) or getattr(item, "ndim", 0) >= 2
        for item in items
    )
