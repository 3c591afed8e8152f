"""The example that the page opens with, segmented once for all."""

from functools import lru_cache

from hf_unet.demo.models import ROOT, load_model
from hf_unet.demo.shown import KEPT, Shown
from hf_unet.demo.uploads import read_page, read_truth
from hf_unet.labels import Labels
from hf_unet.segmentation import Segmentation

EXAMPLES = ROOT / "spaces" / "examples"

IMAGE, TRUTH, MODEL = EXAMPLES / "nuclei.tif", EXAMPLES / "nuclei_truth.tif", "nuclei"


def opening() -> str:
    """A token of its own for each page, all with the same result behind it."""
    result, labels = _opening()
    return KEPT.keep(Shown(result=result, labels=labels, model=MODEL, name=IMAGE.name))


@lru_cache(maxsize=1)
def _opening() -> tuple[Segmentation, Labels]:
    network = load_model(MODEL)
    pixels = read_page(str(IMAGE), 1)
    return network.segment(pixels), read_truth(str(TRUTH), network, pixels)
