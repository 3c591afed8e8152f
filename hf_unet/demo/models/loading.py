"""Any model by its name: those in ``models/`` beside the package, and those of the Hub."""

import json
from pathlib import Path

from hf_unet.demo.models.cache import ModelCache
from hf_unet.demo.models.examples import Example, fetch_examples, read_examples
from hf_unet.demo.models.names import parse_hub_name
from hf_unet.demo.models.repositories import HubListings, load_hub_model
from hf_unet.demo.zero_gpu import on_zero_gpu
from hf_unet.errors import ModelError
from hf_unet.model import best_device, load_network
from hf_unet.network import SegmentationNetwork
from hf_unet.repositories.pretrained import CONFIG, WEIGHTS

ROOT = Path(__file__).resolve().parents[3]
"""The checkout or the Space's folder, in which hf_unet/, models/ and spaces/ lie."""

MODELS = ROOT / "models"

# In a Space they lie at the top: a folder named spaces would there be taken for the package of
# that name, which Gradio asks for.
EXAMPLES = ROOT / "examples" if (ROOT / "examples").is_dir() else ROOT / "spaces" / "examples"

FIRST = "nuclei"
"""The model that the page opens with, where it is there."""

MEMORY = 1_500_000_000
"""Bytes of weights to keep in memory; the five bundled networks take 90 million."""

_cache = ModelCache(MEMORY)
_listings = HubListings()


def bundled_models() -> list[str]:
    """Names of the models in ``models/``, in the order of the alphabet."""
    return sorted(path.parent.name for path in MODELS.glob(f"*/{CONFIG}"))


def first_model() -> str:
    """Name of the model that the page opens with: a Space may have been sent only some."""
    known = bundled_models()
    return known[0] if known and FIRST not in known else FIRST


def told_of(name: str) -> dict[str, str]:
    """What a bundled model finds, its limits and its terms of use, as its card has them."""
    told = json.loads((MODELS / name / "metrics.json").read_text(encoding="utf-8"))
    terms = told.get("license_name") or told["license"]
    return {"finds": told["summary"], "limits": told["limits"], "terms": terms}


def load_model(name: str | None) -> SegmentationNetwork:
    """A network by the name that a visitor chose or typed; loaded once, then kept for a while.

    Parameters
    ----------
    name : str or None
        Of a bundled model; or ``org/name`` or ``org/name@revision`` on the Hub, or the address
        of such a page. A branch is looked up again every ten minutes, as it may have moved.

    Returns
    -------
    SegmentationNetwork
        On the fastest device here; on ZeroGPU on the CPU, from where each call moves it. It is
        shared by all who ask for it: do not change it.

    Raises
    ------
    ModelError
        If there is no such model, it is not of this library, it may not be read, it is larger
        than the demo loads, or the Hub cannot be reached; each has its sentence.
    """
    name = (name or "").strip()
    device = "cpu" if on_zero_gpu() else best_device()
    if name in (known := bundled_models()):
        folder = MODELS / name
        # A model that was trained anew and copied here is another one.
        dates = tuple((folder / file).stat().st_mtime_ns for file in (CONFIG, WEIGHTS))
        return _cache.get((folder, dates), lambda: load_network(folder, device=device))
    if "/" not in name:
        choice = f"Choose {', '.join(known)}, or" if known else "None is bundled here: choose"
        raise ModelError(f"There is no model {name!r}. {choice} org/name on the Hub.")
    wanted = parse_hub_name(name)
    listing = _listings.find(wanted)
    key = (wanted.repository, listing.commit)
    return _cache.get(key, lambda: load_hub_model(wanted, listing, device))


def bundled_examples() -> tuple[Example, ...]:
    """Examples of the bundled models that are here, in the order in which to offer them."""
    known = set(bundled_models())
    return tuple(example for example in read_examples(EXAMPLES) if example.model in known)


def examples_of(name: str | None, folder: str | Path) -> tuple[Example, ...]:
    """Example images that go with a model.

    Parameters
    ----------
    name : str or None
        As `load_model` takes it.
    folder : str or Path
        An empty folder for what has to be fetched from the Hub.

    Raises
    ------
    ModelError
        If there is no such model, or its examples cannot be fetched.
    """
    name = (name or "").strip()
    if name in bundled_models():
        return tuple(example for example in bundled_examples() if example.model == name)
    wanted = parse_hub_name(name)
    return fetch_examples(wanted, _listings.find(wanted), folder)
