"""COCO files: one JSON that describes many images -> the ground truth of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_unet.errors import LabelError
from hf_unet.labels import advice
from hf_unet.labels.files import read_bytes, source_name
from hf_unet.labels.ground_truth import (
    Kind,
    Labels,
    Request,
    check_size,
    checked_request,
    has_background,
)
from hf_unet.labels.objects import Patch, labels_of_objects
from hf_unet.labels.polygons import Region, draw_regions, outline, parse_json
from hf_unet.labels.runs import draw_code
from hf_unet.labels.values import counted

LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True, eq=False)
class CocoAnnotation:
    """One annotation of an image, not yet drawn.

    Attributes
    ----------
    label : str
        Name of its category.
    name : str
        What messages call it.
    segmentation : object
        As it is in the file: polygons or a run-length code.
    unknown : bool
        Whether it says where nothing is known: a crowd of objects that were not told apart, or
        what is marked as to be ignored.
    box : object
        As it is in the file; it stands for an unknown region that has no outline.
    """

    label: str
    name: str
    segmentation: object
    unknown: bool = False
    box: object = None

    def draw(self, size: tuple[int, int]) -> Patch:
        """Pixels of the object in an image of this (height, width).

        Several polygons are parts of one object; where they overlap there is no hole.

        Raises
        ------
        LabelError
            If its segmentation has none of COCO's forms, or does not fit the image.
        """
        if isinstance(self.segmentation, dict):
            return draw_code(self.segmentation, size, self.name)
        if self.unknown and not self.segmentation and isinstance(self.box, list):
            return draw_regions([self._part(_corners(self.box))], size, self._beginning)
        if not isinstance(self.segmentation, list) or not self.segmentation:
            raise LabelError(
                f"{self._beginning} has no outline. Its segmentation is to be a list of polygons "
                "[x1, y1, x2, y2, ...] or a run-length code with its size."
            )
        parts = [self._part(polygon) for polygon in self.segmentation]
        return draw_regions(parts, size, self._beginning)

    def _part(self, polygon: object) -> Region:
        if (
            not isinstance(polygon, list)
            or len(polygon) % 2
            or not all(isinstance(number, (int, float)) for number in polygon)
        ):
            raise LabelError(
                f"A polygon of {self.name} is no list of pairs of numbers, as in "
                "[[x1, y1, x2, y2, x3, y3]]."
            )
        corners = list(zip(polygon[::2], polygon[1::2], strict=True))
        return Region(self.label, (outline(corners, self.name),))

    @property
    def _beginning(self) -> str:
        return self.name[:1].upper() + self.name[1:]


@dataclass(frozen=True, eq=False)
class CocoImage:
    """What a COCO file says of one image.

    Attributes
    ----------
    file_name : str
        As in the file: often with folders before it.
    size : (height, width) or None
        In pixels, if the file states it.
    annotations : tuple of CocoAnnotation
        In the order of the file.
    """

    file_name: str
    size: tuple[int, int] | None
    annotations: tuple[CocoAnnotation, ...]


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The images of a COCO file.

    Attributes
    ----------
    name : str
        What messages call the file.
    images : dict
        File name -> CocoImage, in the order of the file.
    categories : tuple of str
        Their names, in the order of the file.
    """

    name: str
    images: dict[str, CocoImage]
    categories: tuple[str, ...]

    def labels(
        self,
        file_name: str,
        classes: Sequence[str] = ("background", "foreground"),
        kind: Kind | None = None,
        size: tuple[int, int] | None = None,
    ) -> Labels:
        """Ground truth of one of the images, by the rules that `read_labels` has for polygons.

        Parameters
        ----------
        file_name : str
            One of ``images``.
        classes : sequence of str
            Names of categories, after that of the background. With the default names every
            object is foreground.
        kind : "classes", "instances", "multilabel" or None
            What is asked for. None: instances of "background" and one class, since each
            annotation is one object; of several classes a class map where the first is
            "background" and objects of different classes are disjoint, else a stack.
        size : (height, width), optional
            The image's size in pixels: the file must say the same, if it says any.

        Returns
        -------
        Labels
            Nothing is ``known`` of crowd regions (``iscrowd``), of annotations with a flag
            ``ignore``, and of the category "ignore", unless a class has that name.

        Raises
        ------
        LabelError
            If there is no such image, or an annotation of it cannot be drawn.
        """
        request = checked_request(classes, kind, size=size)
        if file_name not in self.images:
            few = ", ".join(list(self.images)[:3])
            raise LabelError(
                f"{self.name} has no image {file_name}. It has "
                f"{counted(len(self.images), 'image')}" + (f", such as {few}." if few else ".")
            )
        return self._labels(self.images[file_name], request)

    def only(self, request: Request) -> Labels:
        """Ground truth of the only image; LabelError if there is not exactly one."""
        if len(self.images) != 1:
            raise LabelError(
                f"{self.name} is a COCO file of {counted(len(self.images), 'image')}, which are "
                "read one at a time.",
                advice.FOR_SEVERAL_IMAGES,
            )
        (image,) = self.images.values()
        return self._labels(image, request)

    def _labels(self, image: CocoImage, request: Request) -> Labels:
        name = f"{image.file_name} in {self.name}"
        if image.size is not None:
            check_size(image.size, request, name)
        if request.kind is None and len(request.classes) == 2 and has_background(request.classes):
            request = replace(request, kind="instances")
        named = {label.strip().lower() for label in request.classes}
        objects: list[CocoAnnotation] = []
        unknown: list[CocoAnnotation] = []
        for one in image.annotations:
            label = one.label.strip().lower()
            ignored = one.unknown or (label == "ignore" and label not in named)
            (unknown if ignored else objects).append(one)
        return labels_of_objects(objects, image.size, name, request, unknown)


def read_coco(source: str | Path | bytes | dict[str, Any], name: str | None = None) -> CocoFile:
    """Read a COCO file of object segmentations.

    Parameters
    ----------
    source : path, bytes or dict
        The JSON, or what was parsed from it.
    name : str, optional
        What messages call it. None: the file's name.

    Returns
    -------
    CocoFile
        Every annotation has its image and its category. The segmentations are looked at when
        they are drawn, one image at a time.

    Raises
    ------
    LabelError
        If it is no COCO file, or an entry is of no image or category.

    Examples
    --------
    >>> square = {"image_id": 1, "category_id": 7, "segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]]}
    >>> file = read_coco({
    ...     "images": [{"id": 1, "file_name": "a.png", "height": 2, "width": 4}],
    ...     "categories": [{"id": 7, "name": "cell"}],
    ...     "annotations": [square],
    ... })
    >>> file.categories, list(file.images)
    (('cell',), ['a.png'])
    >>> labels = file.labels("a.png", ("background", "cell"))
    >>> labels.array.tolist(), labels.found
    ([[0, 1, 1, 0], [0, 1, 1, 0]], 'one region labeled cell: one instance')
    """
    if isinstance(source, (str, Path)):
        name = name or source_name(source)
        source = read_bytes(source)
    name = name or "the COCO file"
    if not isinstance(source, (bytes, dict)):
        raise LabelError(
            f"A COCO file cannot be read from a {type(source).__name__}: give a file name, its "
            "bytes or what was parsed from them."
        )
    content = parse_json(source, name)
    entries = content if isinstance(content, dict) else {}
    for part in LISTS:
        found = entries.get(part)
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise LabelError(
                f"{name} is no COCO file: it holds no list of {part}. Right is an object with "
                f"the lists {', '.join(LISTS)}."
            )
    categories = _categories(entries["categories"], name)
    images = _images(entries["images"], name)
    annotations: dict[object, list[CocoAnnotation]] = {number: [] for number in images}
    for position, entry in enumerate(entries["annotations"], 1):
        owner, annotation = _annotation(entry, position, name, images, categories)
        annotations[owner].append(annotation)
    return CocoFile(
        name,
        {
            file_name: CocoImage(file_name, size, tuple(annotations[number]))
            for number, (file_name, size) in images.items()
        },
        tuple(dict.fromkeys(categories.values())),
    )


def is_coco(content: object) -> bool:
    """Whether what was parsed from a JSON is a COCO file rather than one image's polygons."""
    return isinstance(content, dict) and all(
        isinstance(content.get(part), list) for part in ("images", "annotations")
    )


def _categories(entries: list[dict[str, Any]], name: str) -> dict[object, str]:
    """Id -> name of each category."""
    categories: dict[object, str] = {}
    for position, entry in enumerate(entries, 1):
        number = _id(entry.get("id"), f"category number {position} of {name}", categories)
        if not isinstance(entry.get("name"), str):
            raise LabelError(f"The category {number} of {name} has no name.")
        categories[number] = entry["name"]
    return categories


def _images(
    entries: list[dict[str, Any]], name: str
) -> dict[object, tuple[str, tuple[int, int] | None]]:
    """Id -> file name and (height, width) of each image."""
    images: dict[object, tuple[str, tuple[int, int] | None]] = {}
    names = set()
    for position, entry in enumerate(entries, 1):
        number = _id(entry.get("id"), f"image number {position} of {name}", images)
        file_name = entry.get("file_name")
        if not isinstance(file_name, str) or not file_name:
            raise LabelError(f"The image {number} of {name} has no file_name.")
        if file_name in names:
            raise LabelError(f"{name} has two images of the file_name {file_name}.")
        names.add(file_name)
        images[number] = (file_name, _size(entry, f"{file_name} in {name}"))
    return images


def _size(entry: dict[str, Any], where: str) -> tuple[int, int] | None:
    sides = entry.get("height"), entry.get("width")
    if None in sides:
        return None
    for side in sides:
        whole = isinstance(side, (int, float)) and 0 < side < 1e9 and side == int(side)
        if not whole or isinstance(side, bool):
            raise LabelError(f"The image {where} is said to have {sides[1]} x {sides[0]} pixels.")
    return int(sides[0]), int(sides[1])  # type: ignore[arg-type]


def _annotation(
    entry: dict[str, Any],
    position: int,
    name: str,
    images: dict[object, tuple[str, tuple[int, int] | None]],
    categories: dict[object, str],
) -> tuple[object, CocoAnnotation]:
    """One annotation, with the id of its image before it."""
    number = entry.get("id")
    named = isinstance(number, (int, str)) and not isinstance(number, bool)
    short = f"annotation {number!s:.40}" if named else f"annotation number {position}"
    where = f"{short} of {name}"
    if "segments_info" in entry:
        raise LabelError(
            f"{name} is a panoptic COCO file, whose masks are PNG files beside it.",
            advice.FOR_PANOPTIC,
        )
    found = []
    for key, known, one in (
        ("image_id", images, "image"),
        ("category_id", categories, "category"),
    ):
        value = entry.get(key)
        if not isinstance(value, (int, str)) or isinstance(value, bool) or value not in known:
            few = ", ".join(str(other) for other in list(known)[:5])
            raise LabelError(
                f"The {key} {value!r:.40} of {where} is the id of no {one}; there "
                + (f"are {few}" if few else "are none")
                + (" and others." if len(known) > 5 else ".")
            )
        found.append(value)
    unknown = any(_flag(entry, key, where) for key in ("iscrowd", "ignore"))
    label = categories[found[1]]
    where = f"{short} ({label}) of {name}"
    outline, box = entry.get("segmentation"), entry.get("bbox")
    return found[0], CocoAnnotation(label, where, outline, unknown, box)


def _flag(entry: dict[str, Any], key: str, where: str) -> bool:
    flag = entry.get(key, 0)
    if flag is None:
        return False
    if flag not in (0, 1):
        raise LabelError(f"The {key} of {where} is 0 or 1, not {flag!r:.40}.")
    return bool(flag)


def _corners(box: list[object]) -> object:
    """A box [x, y, width, height] as a polygon; what is none is left as it is, and refused."""
    match box:
        case [
            int() | float() as x,
            int() | float() as y,
            int() | float() as w,
            int() | float() as h,
        ]:
            return [x, y, x + w, y, x + w, y + h, x, y + h]
    return box


def _id(value: object, where: str, others: dict[Any, Any]) -> int | str:
    """An id that can be looked up, and that no other entry has."""
    if not isinstance(value, (int, str)) or isinstance(value, bool):
        raise LabelError(f"The {where} has no id: it is a whole number or a text.")
    if value in others:
        raise LabelError(f"The {where} has the id {value!r:.40}, as another one has.")
    return value
