"""Labels as people have them -> class map, instances or multi-label stack, and what was found."""

from hf_unet.labels.coco import CocoFile, read_coco
from hf_unet.labels.ground_truth import Kind, Labels
from hf_unet.labels.reading import read_labels

__all__ = ["CocoFile", "Kind", "Labels", "read_coco", "read_labels"]
