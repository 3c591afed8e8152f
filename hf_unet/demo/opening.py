"""What the page opens with: an example, segmented once for all who come."""

import threading
from functools import lru_cache

from hf_unet.demo.models.examples import Example
from hf_unet.demo.models.loading import bundled_examples, first_model, load_model
from hf_unet.demo.shown import KEPT, Shown
from hf_unet.demo.uploads import read_page, read_truth
from hf_unet.errors import ModelError
from hf_unet.labels import Labels
from hf_unet.segmentation import Segmentation

_once = threading.Lock()


def opening() -> tuple[str, Example]:
    """A token of its own for each page, all with the same result behind it, and its example."""
    example, result, labels = prepare()
    truth = None if labels is None else str(example.truth)
    return KEPT.keep(Shown(result, labels, example.model, example.image.name, truth)), example


def prepare() -> tuple[Example, Segmentation, Labels | None]:
    """The example, its result and its truth; made once, also if many ask at the same time."""
    with _once:
        return _segmented(first_model())


@lru_cache(maxsize=1)
def _segmented(model: str) -> tuple[Example, Segmentation, Labels | None]:
    example = next((one for one in bundled_examples() if one.model == model), None)
    if example is None:
        raise ModelError(f"There is no example of {model} here. Drop an image of your own.")
    network = load_model(example.model)
    pixels = read_page(str(example.image), 1)
    labels = read_truth(str(example.truth), network, pixels) if example.truth else None
    return example, network.segment(pixels), labels
