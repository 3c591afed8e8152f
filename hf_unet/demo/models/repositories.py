"""Repositories of the Hub that visitors name: looked at first, and loaded only if all is well.

One short question tells the commit, the files and their sizes, so that what is missing, foreign
or too large is refused before anything is downloaded, and a Hub that does not answer within
seconds. (The client's own downloads try again for 23 seconds.)
"""

import json
import os
import re
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_unet.demo.models.names import HubName
from hf_unet.errors import ModelError
from hf_unet.model import load_network
from hf_unet.network import SegmentationNetwork
from hf_unet.repositories.pretrained import CONFIG, WEIGHTS, Repository, read_config

LARGEST_WEIGHTS = 500_000_000
"""Bytes of a weights file that is downloaded for a visitor."""

LARGEST_CONFIG = 1_000_000
"""Bytes of a config.json, whose usual size is one thousandth of this."""

LARGEST_TILE = 2_000_000_000
"""Bytes of memory that a network may take for its smallest tile."""

HUB_TIMEOUT = 4.0
"""Seconds that the Hub has to accept a connection, and as many again to answer."""

FRESH_FOR = 600.0
"""Seconds after which a branch or tag is looked up again: it may have moved."""

_COMMIT = re.compile("[0-9a-f]{40}")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one commit.

    Attributes
    ----------
    commit : str
        40 hexadecimal digits.
    sizes : mapping of str to int
        Bytes of each file, by its path. Empty if the Hub was not reached, and the files are
        those of an earlier download.
    """

    commit: str
    sizes: Mapping[str, int] = field(default_factory=dict)


class HubListings:
    """Looks repositories up on the Hub, and remembers the answers for a while.

    Parameters
    ----------
    fresh_for : float
        Seconds for which an answer is good. That about a commit is good for ever.
    clock : callable
        Seconds of a clock that never goes backwards.
    """

    REMEMBERED = 256

    def __init__(
        self, fresh_for: float = FRESH_FOR, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.fresh_for = fresh_for
        self.clock = clock
        self._lock = Lock()
        self._known: OrderedDict[HubName, tuple[Listing, float]] = OrderedDict()

    def find(self, name: HubName) -> Listing:
        """The newest commit of what is asked for.

        Raises
        ------
        ModelError
            If there is no such thing to read, or the Hub cannot be asked and nothing is known.
        """
        with self._lock:
            listing, since = self._known.get(name, (None, 0.0))
        fixed = listing is not None and listing.commit == name.revision
        if listing is not None and (fixed or self.clock() - since < self.fresh_for):
            return listing
        try:
            found = ask_hub(name)
        except UnreachableError:
            earlier = listing or stored_here(name)
            if earlier is None:
                raise
            return earlier
        with self._lock:
            self._known[name] = (found, self.clock())
            self._known.move_to_end(name)
            while len(self._known) > self.REMEMBERED:
                self._known.popitem(last=False)
        return found


class UnreachableError(ModelError):
    """The Hub does not answer, or not sensibly."""


def on_space() -> bool:
    """Whether this is a Space, whose visitors are not those who started it."""
    return "SPACE_ID" in os.environ


def visitor_token() -> bool | None:
    """The token with which visitors read the Hub: none on a Space, the user's own elsewhere.

    A Space may hold a token as a secret; with it, visitors could read its owner's private models.
    """
    return False if on_space() else None


def ask_hub(name: HubName) -> Listing:
    """Ask the Hub once, with no second try, what a repository holds.

    Raises
    ------
    UnreachableError
        If no sensible answer comes in time.
    ModelError
        If there is no such repository or revision, or none that may be read.
    """
    try:
        info = HfApi(endpoint=constants.ENDPOINT).model_info(
            name.repository,
            revision=name.revision,
            timeout=HUB_TIMEOUT,
            files_metadata=True,
            token=visitor_token(),
        )
    except HFValidationError as error:
        raise ModelError(
            f"{name.repository!r} is not a valid name on the Hub. Names look like org/name."
        ) from error
    except GatedRepoError as error:
        raise _gated(name) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"There is no public model {name.repository} on the Hub. Check the name; "
            + (
                "a private one cannot be shown here."
                if on_space()
                else "if it is private, log in with `hf auth login`."
            )
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(
            f"The model {name.repository} has no revision {name.revision!r}. Leave it out for the "
            "newest, or give a branch, tag or commit that exists."
        ) from error
    except HfHubHTTPError as error:
        raise UnreachableError(
            f"The Hub could not say what {name} is: it answered {error.response.status_code}. "
            "Try again in a minute, or choose a bundled model."
        ) from error
    except (HTTPError, OSError, ValueError, KeyError, TypeError) as error:
        # The last three: what answers is not the Hub, but for instance a hotel's log-in page.
        raise UnreachableError(
            f"The Hub cannot be reached from here at the moment, so {name} cannot be loaded. "
            "Try again later, or choose a bundled model."
        ) from error
    if info.gated and on_space():
        raise _gated(name)
    if not _COMMIT.fullmatch(info.sha or ""):
        raise UnreachableError(f"The Hub did not say which commit {name} is. Try again later.")
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    return Listing(str(info.sha), sizes)


def stored_here(name: HubName) -> Listing | None:
    """The commit that an earlier download of this machine's has kept, if any."""
    path = try_to_load_from_cache(name.repository, CONFIG, revision=name.revision)
    return Listing(Path(path).parent.name) if isinstance(path, str) else None


def check_files(name: HubName, sizes: Mapping[str, int]) -> None:
    """Refuse a repository by the names and sizes of its files.

    Raises
    ------
    ModelError
        If it cannot be one of this library, or is larger than this demo loads.
    """
    if WEIGHTS not in sizes:
        pickles = sorted(file for file in sizes if file.endswith(_PICKLES))
        if pickles:
            raise ModelError(
                f"{name} holds {pickles[0]} but no {WEIGHTS}. Pickled weights can run code and "
                "are never loaded: ask its author for safetensors."
            )
    for file in (CONFIG, WEIGHTS):
        if file not in sizes:
            raise ModelError(
                f"{name} holds no {file}, so it is no model of this library. Those are saved with "
                "save_pretrained or push_to_hub of hf-unet."
            )
    if sizes[WEIGHTS] > LARGEST_WEIGHTS:
        raise ModelError(
            f"The weights of {name} are {sizes[WEIGHTS] / 1e6:,.0f} MB; the demo loads at most "
            f"{LARGEST_WEIGHTS / 1e6:,.0f} MB. Use it in code instead: UNet.from_pretrained."
        )
    if sizes[CONFIG] > LARGEST_CONFIG:
        raise ModelError(
            f"The {CONFIG} of {name} is {sizes[CONFIG] / 1e6:,.0f} MB large, so it was not written "
            "by this library. Those are a few hundred bytes."
        )


def load_hub_model(name: HubName, listing: Listing, device: str) -> SegmentationNetwork:
    """Load a network of the Hub at the commit that was looked up.

    Parameters
    ----------
    name : HubName
    listing : Listing
    device : str
        Where to put the weights.

    Raises
    ------
    ModelError
        If it is not of this library, damaged, too large, or cannot be fetched, and which.
    """
    if listing.sizes:
        check_files(name, listing.sizes)
    with _download_folder(name, listing) as folder:
        options: dict[str, Any] = {
            "revision": listing.commit,
            "token": visitor_token(),
            "cache_dir": folder,
            "local_files_only": not listing.sizes,
        }
        _check_maker(name, read_config(Repository(name.repository, **options)))
        network = load_network(name.repository, device=device, **options)
    _check_memory(name, network)
    return network


@contextmanager
def _download_folder(name: HubName, listing: Listing) -> Iterator[str | None]:
    """Where to download to; None is this machine's own cache, with what it holds already.

    On a Space, what visitors name is taken off the disk as soon as it is in memory; otherwise
    the disk would fill up.
    """
    here = try_to_load_from_cache(name.repository, WEIGHTS, revision=listing.commit)
    if isinstance(here, str) or not on_space():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="hf-unet-") as folder:
        yield folder


def _check_maker(name: HubName, config: Mapping[str, object]) -> None:
    """Name the library of a foreign model, where its config tells."""
    if "model_class" in config:
        return
    made = config.get("architectures") or config.get("model_type")
    diffusers = config.get("_class_name")
    if made or diffusers:
        library = "diffusers" if diffusers else "transformers"
        kind = diffusers or (made[0] if isinstance(made, list) else made)
        raise ModelError(
            f"{name} is a model of the {library} library ({json.dumps(kind)[:60]}), not of this "
            "one. The demo shows models that were saved by hf-unet."
        )


def _check_memory(name: HubName, network: SegmentationNetwork) -> None:
    height, width = network.plan(1, 1, tile=1).side
    needed = height * width * network.activation_bytes_per_pixel
    if needed > LARGEST_TILE:
        raise ModelError(
            f"{name} needs {needed / 1e9:.0f} GB of memory for its smallest tile of {width} x "
            f"{height} pixels; the demo has {LARGEST_TILE / 1e9:.0f} GB. Use it in code instead: "
            "UNet.from_pretrained."
        )


def _gated(name: HubName) -> ModelError:
    return ModelError(
        f"The model {name.repository} asks its readers to accept terms first. "
        + (
            "Accept them on its page on the Hub, and run the demo on a machine of your own."
            if on_space()
            else "Accept them on its page on the Hub, and log in with `hf auth login`."
        )
    )
