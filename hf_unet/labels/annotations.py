"""Polygon annotations -> Labels."""

from dataclasses import dataclass
from typing import Any

from hf_unet.labels.ground_truth import Labels, Request
from hf_unet.labels.objects import Patch, labels_of_objects
from hf_unet.labels.polygons import Region, draw_regions, read_polygons


@dataclass(frozen=True, eq=False)
class PolygonObject:
    """A region of a polygon file; ``name`` is what messages call the file."""

    region: Region
    name: str

    @property
    def label(self) -> str:
        """The name its annotator gave it."""
        return self.region.label

    def draw(self, size: tuple[int, int]) -> Patch:
        """Pixels of the region; LabelError if it lies outside the image."""
        return draw_regions([self.region], size, f"A region labeled {self.label} in {self.name}")


def labels_of_polygons(source: bytes | dict[str, Any], name: str, request: Request) -> Labels:
    """Draw the regions of a polygon file by the rules of ``read_labels``."""
    file = read_polygons(source, name)
    objects = [PolygonObject(region, name) for region in file.regions]
    return labels_of_objects(objects, file.size, name, request)
