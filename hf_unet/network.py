"""What every network of this library has in common: loading, saving and segmenting.

A network class says what it does to an image's size (`geometry`) and scores a batch (`forward`);
it gets the rest from here, and nothing outside asks which network it is.
"""

import json
import operator
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from hf_unet.arguments import (
    class_names,
    color_texts,
    one_of,
    pixels,
    probabilities,
    probability,
    true_or_false,
    whole,
)
from hf_unet.averaging import average_over_symmetries
from hf_unet.calibration import checked_calibration
from hf_unet.card import render_card
from hf_unet.colors import default_colors
from hf_unet.configs import arguments_of, class_named, parameters_of
from hf_unet.errors import ImageError, ModelError
from hf_unet.exports.files import write_whole
from hf_unet.geometry import Geometry
from hf_unet.images import NORMALIZATIONS, ScienceImage, match_channels, normalize, read_image
from hf_unet.pretrained import (
    CONFIG,
    WEIGHTS,
    Repository,
    pinned,
    read_config,
    read_origin,
    read_weights,
)
from hf_unet.provenance import Origin, Provenance
from hf_unet.segmentation import Segmentation, decide, names_of_mask
from hf_unet.tiles import Progress, TilePlan, balanced_side, plan_tiles, run_tiles

Network = TypeVar("Network", bound="SegmentationNetwork")

LARGEST_CPU_TILE = 768
"""Beyond this side a CPU slows down: activations leave its caches."""

LARGEST_GPU_TILE = 2048

LARGEST_DEPTH = 1000
"""Of seeds, in pixels: no object is as deep."""


class SegmentationNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="hf-unet",
    pipeline_tag="image-segmentation",
    tags=["image-segmentation", "semantic-segmentation", "biomedical", "microscopy"],
    paper_url="https://arxiv.org/abs/1505.04597",
):
    """Base of the networks: config, weights, and images of any size to masks.

    A subclass takes these arguments and its own, keeps each in an attribute of the same name
    (together they are ``config.json``), and defines `geometry`, `activation_bytes_per_pixel` and
    ``forward``. See `hf_unet.UNet` for what the arguments mean.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: Sequence[str],
        multilabel: bool,
        normalization: str,
        thresholds: Sequence[float] | None,
        colors: Sequence[str] | None,
        min_area: int,
        border: bool,
        seed_threshold: float | None,
        seed_depth: float,
        seed_area: int,
        test_time_averaging: bool,
        calibration: Sequence[Sequence[float] | None] | None,
    ) -> None:
        super().__init__()
        self.in_channels = whole("in_channels", in_channels, at_least=1, at_most=4096)
        self.classes = class_names(classes)
        self.multilabel = true_or_false("multilabel", multilabel)
        self.normalization = one_of("normalization", normalization, NORMALIZATIONS)
        self.min_area = whole("min_area", min_area, at_least=0)
        self.border = true_or_false("border", border)
        if border and (multilabel or len(classes) != 3):
            raise ModelError(
                "A network with border has three classes that exclude each other: background, "
                "object and the border of objects."
            )
        self.seed_threshold = (
            None if seed_threshold is None else probability("seed_threshold", seed_threshold)
        )
        self.seed_depth = pixels("seed_depth", seed_depth, LARGEST_DEPTH)
        self.seed_area = whole("seed_area", seed_area, at_least=0)
        self.test_time_averaging = true_or_false("test_time_averaging", test_time_averaging)
        if thresholds is not None and not multilabel and len(self.mask_classes) > 2:
            raise ModelError("thresholds suit networks of one or two classes, or multi-label ones.")
        count = len(self.classes) if multilabel else 1
        self.thresholds = None if thresholds is None else probabilities(thresholds, count)
        self.colors = None if colors is None else color_texts(colors, len(self.mask_classes))
        self.calibration = checked_calibration(calibration, len(self.mask_classes))
        self._loaded: tuple[Origin, int] | None = None

    # --- what a network says of itself ---------------------------------------------------------

    @property
    @abstractmethod
    def geometry(self) -> Geometry:
        """Margin, grid and accepted sizes."""

    @property
    @abstractmethod
    def activation_bytes_per_pixel(self) -> int:
        """Memory that inference takes for each pixel of input, a safe estimate."""

    @property
    def margin(self) -> int:
        """Context lost on each side, in pixels: 92 for the paper's network."""
        return self.geometry.margin

    def output_size(self, side: int) -> int:
        """Side of the output for an input of ``side`` pixels; `ModelError` if that does not fit."""
        return self.geometry.output_size(side)

    def input_size(self, output: int) -> int:
        """Smallest side of an input whose output holds ``output`` pixels, each with its margin."""
        return self.geometry.input_size(output)

    @property
    def mask_classes(self) -> tuple[str, ...]:
        """Names of the values of a mask, or of its planes: see `names_of_mask`."""
        return names_of_mask(self.classes, multilabel=self.multilabel, border=self.border)

    @property
    def class_colors(self) -> tuple[str, ...]:
        """Colours of `mask_classes`, as "#rrggbb"."""
        count = len(self.mask_classes)
        return self.colors or default_colors(count, with_background=not self.multilabel)

    @property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` holds: every argument of the constructor, and whose it is."""
        from hf_unet import __version__

        arguments = {name: getattr(self, name) for name in parameters_of(type(self))}
        return {
            "model_class": type(self).__name__,
            "hf_unet_version": __version__,
            **{name: _as_json(value) for name, value in arguments.items()},
        }

    @property
    def config_text(self) -> str:
        """The text of ``config.json``."""
        return json.dumps(self.config, indent=2) + "\n"

    @property
    def origin(self) -> Origin | None:
        """Where the weights were loaded from; None if they were not, or have changed since."""
        if self._loaded is None or self._loaded[1] != self._changes():
            return None
        return self._loaded[0]

    def _changes(self) -> int:
        """How often weights were changed in place, by torch's own count."""
        tensors = self.state_dict(keep_vars=True).values()
        return sum(tensor._version for tensor in tensors if not tensor.is_inference())

    def __getstate__(self) -> dict[str, Any]:
        origin = self.origin
        return self.__dict__ | {"_loaded": None if origin is None else (origin, 0)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self._loaded is not None:  # torch counts the changes of a copy anew
            self._loaded = self._loaded[0], self._changes()

    def provenance(self, test_time_averaging: bool | None = None) -> Provenance:
        """What makes a result of this network again, on the same image in the same tiles."""
        settings = {
            name: value
            for name, value in self.config.items()
            if name not in ("model_class", "hf_unet_version")
        }
        if test_time_averaging is not None:
            settings["test_time_averaging"] = test_time_averaging
        return Provenance(self.origin, settings, next(self.parameters()).device.type)

    # --- images to masks -----------------------------------------------------------------------

    def segment(
        self,
        image: object,
        tile: int | tuple[int, int] | None = None,
        batch_size: int | None = None,
        progress: Progress | None = None,
        *,
        page: int = 0,
        test_time_averaging: bool | None = None,
    ) -> Segmentation:
        """Segment an image of any size by overlap-tile.

        The result is that of the whole mirrored image in one pass, to float rounding, whatever
        the tile.

        Parameters
        ----------
        image : path, bytes, PIL image, array or tensor
            Anything that `hf_unet.read_image` reads.
        tile : int or (int, int), optional
            Wanted side of the input tile in pixels, or its height and width; the largest
            workable side of at most that is used, and at least the smallest workable one. A
            tile larger than the image means one tile. None: chosen by the device's memory.
        batch_size : int, optional
            Tiles at a time. None: chosen by the device's memory.
        progress : callable, optional
            ``progress(done, total)`` after each batch of tiles.
        page : int
            Page of a multi-page file, from 0.
        test_time_averaging : bool, optional
            Average the probabilities over the eight flips and quarter turns of each tile, at
            eight times the cost. None: what the config says.

        Returns
        -------
        Segmentation

        Raises
        ------
        ImageError
            If the image cannot be read or does not suit the network.
        ModelError
            If ``test_time_averaging`` is neither true nor false.
        """
        source = image if isinstance(image, ScienceImage) else read_image(image, page=page)
        scaled = normalize(match_channels(source, self.in_channels), self.normalization)
        plan = self.plan(scaled.shape[1], scaled.shape[2], tile)
        if batch_size is None:
            batch_size = self._default_batch_size(plan)
        else:
            batch_size = _positive("batch_size is a whole number of tiles", batch_size)
        averaging = self.test_time_averaging
        if test_time_averaging is not None:
            averaging = true_or_false("test_time_averaging", test_time_averaging)
        function = average_over_symmetries(self.predict) if averaging else self.predict
        training = [module for module in self.modules() if module.training]
        self.eval()
        try:
            probabilities = run_tiles(
                scaled, function, plan, batch_size=batch_size, progress=progress
            )
        finally:
            for module in training:  # each by itself: some layers may have been frozen
                module.training = True
        result = self.interpret(probabilities, source, plan, self.provenance(averaging))
        if averaging != self.test_time_averaging:  # what was calibrated are other probabilities
            result = replace(result, calibration=None)
        return result

    def interpret(
        self,
        probabilities: NDArray[np.float32],
        image: ScienceImage,
        plan: TilePlan,
        provenance: Provenance | None = None,
    ) -> Segmentation:
        """Make a result of what `predict` says of a whole image.

        Parameters
        ----------
        probabilities : (K, H, W) float32 array
            Of ``classes``. Where the last is the border, it is added to the object that it
            belongs to, and what is inside alone tells objects apart.
        image : (C, H, W) ScienceImage
        plan : TilePlan
        provenance : Provenance, optional
            What the probabilities come from.
        """
        evidence = None
        if self.border:
            evidence = probabilities[1]
            probabilities = np.stack([probabilities[0], probabilities[1] + probabilities[2]])
        return Segmentation(
            mask=decide(probabilities, multilabel=self.multilabel, thresholds=self.thresholds),
            probabilities=probabilities,
            classes=self.mask_classes,
            colors=self.class_colors,
            multilabel=self.multilabel,
            min_area=self.min_area,
            image=image,
            plan=plan,
            evidence=evidence,
            seed_threshold=self.seed_threshold,
            seed_depth=self.seed_depth,
            seed_area=self.seed_area,
            calibration=self.calibration,
            provenance=provenance,
        )

    def plan(self, height: int, width: int, tile: int | tuple[int, int] | None = None) -> TilePlan:
        """Where the tiles lie on an image of this size; `segment` says what ``tile`` means."""
        if tile is None:
            largest = self._largest_tile()
            sides = (
                balanced_side(height, self.geometry, largest),
                balanced_side(width, self.geometry, largest),
            )
            return plan_tiles(height, width, self.geometry, sides)
        if isinstance(tile, tuple) and len(tile) == 2:
            rows, columns = (_positive("tile is of sides in whole pixels", side) for side in tile)
            return plan_tiles(height, width, self.geometry, (rows, columns))
        side = _positive("tile is a side in whole pixels", tile)
        return plan_tiles(height, width, self.geometry, side)

    @torch.inference_mode()
    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch of scaled tiles.

        Parameters
        ----------
        batch : (N, in_channels, h, w) float32 array

        Returns
        -------
        (N, len(classes), h', w') float32 array, 0 .. 1: a softmax over the classes, or a
        sigmoid each if ``multilabel`` or if there is only one.
        """
        parameter = next(self.parameters())
        images = torch.from_numpy(batch).to(parameter.device, parameter.dtype)
        logits = self(images.contiguous(memory_format=torch.channels_last)).float()
        independent = self.multilabel or len(self.classes) == 1
        probabilities = logits.sigmoid() if independent else logits.softmax(dim=1)
        array: NDArray[np.float32] = probabilities.cpu().numpy()
        return array

    def _free_pixels(self) -> int:
        """Pixels of input that the device's free memory holds, at half of it."""
        device = next(self.parameters()).device
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
        elif device.type == "mps":
            free = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        else:
            free = 4 * 2**30
        return max(1, free // 2 // self.activation_bytes_per_pixel)

    def _largest_tile(self) -> int:
        on_cpu = next(self.parameters()).device.type == "cpu"
        ceiling = LARGEST_CPU_TILE if on_cpu else LARGEST_GPU_TILE
        return min(ceiling, int(self._free_pixels() ** 0.5))

    def _default_batch_size(self, plan: TilePlan) -> int:
        if next(self.parameters()).device.type == "cpu":
            return 1  # more at a time gains nothing there
        return min(16, max(1, self._free_pixels() // (plan.side[0] * plan.side[1])))

    def _check_input(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ModelError(
                f"The network takes a batch of shape (N, {self.in_channels}, H, W), "
                f"not {tuple(images.shape)}."
            )
        for side in images.shape[-2:]:
            self.output_size(side)

    # --- save and load -------------------------------------------------------------------------

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        config: Any = None,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write config.json, model.safetensors and, unless there is one, a README.md.

        Parameters
        ----------
        save_directory : str or Path
            The folder, which is made if need be. Each file is written whole or not at all.
        config : None
            The config is what the network was made with; nothing else can be given.
        repo_id, push_to_hub, **push_to_hub_kwargs
            As ``push_to_hub`` takes them, to publish the network as well: its config, its
            weights and a card made anew, not what else lies in the folder.
        model_card_kwargs : dict, optional
            What `hf_unet.card.render_card` can fill into the card.

        Returns
        -------
        The address of the commit on the Hub if ``push_to_hub``.
        """
        if config is not None:
            raise ModelError("config cannot be given: it follows from the network's arguments.")
        options = model_card_kwargs or {}
        folder = Path(save_directory)
        # All three are made before the first is written, so that a fault leaves the old ones.
        card = str(self.generate_model_card(**options))
        tensors = {name: value.contiguous().cpu() for name, value in self.state_dict().items()}
        weights = save(tensors, metadata={"format": "pt"})
        text = self.config_text
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / WEIGHTS, weights)
        write_whole(folder / CONFIG, text.encode())
        if not (folder / "README.md").exists():  # it may have been edited by hand
            write_whole(folder / "README.md", card.encode())
        if not push_to_hub:
            return None
        name = repo_id or folder.resolve().name
        return self.push_to_hub(name, model_card_kwargs=options, **push_to_hub_kwargs)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Card of this network; `hf_unet.card.render_card` says what can be filled in."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return render_card(self.config, **{"parameters": parameters} | kwargs)

    @classmethod
    def from_pretrained(
        cls: type[Network],
        pretrained_model_name_or_path: str | Path,
        revision: str | None = None,
        *,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        device: str | torch.device = "cpu",
        **changed: Any,
    ) -> Network:
        """Load a network from a local folder or from the Hub, strictly.

        Parameters
        ----------
        pretrained_model_name_or_path : str or Path
            A folder that `save_pretrained` wrote, or a name on the Hub such as ``org/name``.
        revision : str, optional
            Branch, tag or commit on the Hub.
        token, cache_dir, force_download, local_files_only
            As `huggingface_hub.hf_hub_download` takes them.
        device : str or torch.device
            Where to put the weights.
        **changed
            Arguments of the constructor to change from what config.json says, for instance
            ``thresholds=(0.4,)``.

        Returns
        -------
        The network in evaluation mode.

        Raises
        ------
        ModelError
            If anything is missing, damaged, or of another network. A network with random
            weights is never returned.
        """
        repository = Repository(
            str(pretrained_model_name_or_path),
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        config = read_config(repository)
        repository = pinned(repository)
        network = class_named(config, _loadable(cls), repository.title)
        arguments = arguments_of(network, config, repository.title) | changed
        if unknown := sorted(set(changed) - set(parameters_of(network))):
            raise ModelError(f"{network.__name__} has no argument {unknown[0]!r}.")
        try:
            with torch.device("meta"):  # no weights are drawn that would only be replaced
                model = network(**arguments)
        except ModelError as error:
            source = "the arguments given" if changed else f"its {CONFIG}"
            raise ModelError(
                f"The model {repository.title} cannot be built from {source}: {error}"
            ) from error
        weights = read_weights(repository, model.state_dict(), device)
        model.load_state_dict(weights, strict=True, assign=True)
        model._loaded = read_origin(repository), model._changes()
        return model.eval()


def _loadable(wanted: type[Network]) -> list[type[Network]]:
    """``wanted`` and what is derived from it, but for the base, which is no network by itself."""
    own = [] if wanted is SegmentationNetwork else [wanted]
    return own + [one for sub in wanted.__subclasses__() for one in _loadable(sub)]


def _as_json(value: Any) -> Any:
    return [_as_json(one) for one in value] if isinstance(value, tuple) else value


def _positive(what: str, value: Any) -> int:
    try:
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ImageError(f"{what}, at least 1, not {value!r}.")
    return number
