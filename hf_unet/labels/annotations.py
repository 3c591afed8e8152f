"""Polygon annotations -> Labels."""

from dataclasses import dataclass
from typing import Any

from hf_unet.labels.ground_truth import Labels, Request
from hf_unet.labels.objects import Patch, labels_of_objects
from hf_unet.labels.polygons import Region, draw_regions, read_polygons


@dataclass(frozen=True, eq=False)
class PolygonObject:
    """The parts of an object of a polygon file; ``name`` is what messages call the file."""

    parts: tuple[Region, ...]
    name: str

    @property
    def label(self) -> str:
        """The name its annotator gave it."""
        return self.parts[0].label

    def draw(self, size: tuple[int, int]) -> Patch:
        """Pixels of any of the parts; LabelError if one lies outside the image."""
        return draw_regions(self.parts, size, f"A region labeled {self.label} in {self.name}")


def labels_of_polygons(source: bytes | dict[str, Any], name: str, request: Request) -> Labels:
    """Draw the regions of a polygon file by the rules of ``read_labels``."""
    file = read_polygons(source, name)
    objects = [PolygonObject(parts, name) for parts in file.objects]
    return labels_of_objects(objects, file.size, name, request)
