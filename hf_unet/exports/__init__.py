"""Masks, instances and their measurements -> files that other programs open.

Every writer writes the whole file or none of it, and has a reader beside it where the file can
be turned back into arrays.
"""

from hf_unet.exports.coco import write_coco
from hf_unet.exports.geojson import read_geojson, write_geojson, write_stack_geojson
from hf_unet.exports.masks import (
    read_instances_tiff,
    read_mask_png,
    read_probabilities_tiff,
    read_stack_tiff,
    write_instances_tiff,
    write_mask_png,
    write_probabilities_tiff,
    write_stack_tiff,
)
from hf_unet.exports.measurements import region_table, write_objects_csv
from hf_unet.exports.outlines import Polygon, fill_outlines, signed_area, trace_outlines
from hf_unet.exports.rle import (
    RleRow,
    decode_rle,
    encode_instances_rle,
    encode_rle,
    read_rle_csv,
    write_rle_csv,
)

__all__ = [
    "Polygon",
    "RleRow",
    "decode_rle",
    "encode_instances_rle",
    "encode_rle",
    "fill_outlines",
    "read_geojson",
    "read_instances_tiff",
    "read_mask_png",
    "read_probabilities_tiff",
    "read_rle_csv",
    "read_stack_tiff",
    "region_table",
    "signed_area",
    "trace_outlines",
    "write_coco",
    "write_geojson",
    "write_instances_tiff",
    "write_mask_png",
    "write_objects_csv",
    "write_probabilities_tiff",
    "write_rle_csv",
    "write_stack_geojson",
    "write_stack_tiff",
]
