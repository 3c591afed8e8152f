"""What the page opens with: an example, segmented once for all who come."""

import threading
from functools import lru_cache

from hf_unet.demo.examples import Example
from hf_unet.demo.models import bundled_examples, load_model
from hf_unet.demo.shown import KEPT, Shown
from hf_unet.demo.uploads import read_page, read_truth
from hf_unet.labels import Labels
from hf_unet.segmentation import Segmentation

MODEL = "nuclei"

_once = threading.Lock()


def opening() -> tuple[str, Example]:
    """A token of its own for each page, all with the same result behind it, and its example."""
    example, result, labels = prepare()
    truth = None if labels is None else str(example.truth)
    return KEPT.keep(Shown(result, labels, example.model, example.image.name, truth)), example


def prepare() -> tuple[Example, Segmentation, Labels | None]:
    """The example, its result and its truth; made once, also if many ask at the same time."""
    with _once:
        return _segmented()


@lru_cache(maxsize=1)
def _segmented() -> tuple[Example, Segmentation, Labels | None]:
    example = next(one for one in bundled_examples() if one.model == MODEL)
    network = load_model(example.model)
    pixels = read_page(str(example.image), 1)
    labels = read_truth(str(example.truth), network, pixels) if example.truth else None
    return example, network.segment(pixels), labels
