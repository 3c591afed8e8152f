"""Truth and prediction to scores, from one contingency table."""

from hf_unet.metrics.bootstrap import Interval, bootstrap_interval
from hf_unet.metrics.confusion import class_confusion, confusion_map
from hf_unet.metrics.contingency import ContingencyTable, contingency_table
from hf_unet.metrics.masks import thin_borders
from hf_unet.metrics.matching import (
    MatchingCounts,
    ObjectMatches,
    SegScores,
    average_precision,
    match_objects,
    matching_counts,
    seg_score,
    seg_scores,
)
from hf_unet.metrics.membranes import (
    InformationScores,
    RandScores,
    adapted_rand_error,
    information_scores,
    rand_error,
    rand_scores,
    v_info,
    v_info_scores,
    v_rand,
    v_rand_scores,
)
from hf_unet.metrics.overlap import (
    ClassCounts,
    OverlapScores,
    class_counts,
    dice_per_class,
    iou_per_class,
    pixel_error,
    scores_per_image,
    scores_pooled,
)
from hf_unet.metrics.warping import (
    WarpingErrors,
    WarpingMark,
    WarpingScores,
    warping_error,
    warping_errors,
    warping_scores,
)

__all__ = [
    "ClassCounts",
    "ContingencyTable",
    "InformationScores",
    "Interval",
    "MatchingCounts",
    "ObjectMatches",
    "OverlapScores",
    "RandScores",
    "SegScores",
    "WarpingErrors",
    "WarpingMark",
    "WarpingScores",
    "adapted_rand_error",
    "average_precision",
    "bootstrap_interval",
    "class_confusion",
    "class_counts",
    "confusion_map",
    "contingency_table",
    "dice_per_class",
    "information_scores",
    "iou_per_class",
    "match_objects",
    "matching_counts",
    "pixel_error",
    "rand_error",
    "rand_scores",
    "scores_per_image",
    "scores_pooled",
    "seg_score",
    "seg_scores",
    "thin_borders",
    "v_info",
    "v_info_scores",
    "v_rand",
    "v_rand_scores",
    "warping_error",
    "warping_errors",
    "warping_scores",
]
