"""Score a network on annotated images, each segmented whole by overlap-tile."""

from collections.abc import Callable, Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from hf_unet.judgement import Evaluation, Judgement, judge
from hf_unet.network import SegmentationNetwork
from hf_unet.segmentation import Segmentation
from hf_unet.training.pairs import Pair

OnResult = Callable[[Pair, Segmentation, Judgement], None]


def evaluate(
    model: SegmentationNetwork,
    pairs: Sequence[Pair],
    *,
    accelerator: Accelerator | None = None,
    on_result: OnResult | None = None,
    **options: Any,
) -> Evaluation:
    """Segment and score each pair.

    Parameters
    ----------
    model : SegmentationNetwork
    pairs : sequence of Pair
    accelerator : Accelerator, optional
        Of several processes each scores its share, every pair once, and all get all scores. The
        network must be the same in all.
    on_result : callable, optional
        ``on_result(pair, result, scores)`` after each.
    **options
        For `SegmentationNetwork.segment`.
    """
    rank, processes = 0, 1
    if accelerator is not None:
        rank, processes = accelerator.process_index, accelerator.num_processes
    mine = []
    for number in range(rank, len(pairs), processes):
        pair = pairs[number]
        result = model.segment(pair.image, **options)
        scores = score(result, pair)
        mine.append((number, scores))
        if on_result is not None:
            on_result(pair, result, scores)
    every = mine if processes == 1 else gather_object(mine)
    ordered = [scores for _, scores in sorted(every, key=lambda item: item[0])]
    return Evaluation(tuple(ordered))


def score(result: Segmentation, pair: Pair) -> Judgement:
    """Compare one result with its ground truth, where that is known.

    Membranes are scored a stack at a time: see `hf_unet.training.membranes`.
    """
    truth = pair.truth
    return judge(result, truth.labels, pair.name, known=truth.known, membranes=False)
