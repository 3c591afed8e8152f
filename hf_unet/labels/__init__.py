"""Labels as people have them -> class map, instances or multi-label stack, and what was found."""

from hf_unet.labels.ground_truth import Kind, Labels
from hf_unet.labels.reading import read_labels

__all__ = ["Kind", "Labels", "read_labels"]
