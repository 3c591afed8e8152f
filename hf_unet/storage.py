"""A network as it is kept: config.json, weights and card, in a folder or on the Hub."""

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from safetensors.torch import save
from torch import nn

from hf_unet.card import render_card
from hf_unet.configs import arguments_of, class_named, parameters_of
from hf_unet.errors import ModelError
from hf_unet.exports.files import write_whole
from hf_unet.pretrained import (
    CONFIG,
    WEIGHTS,
    Repository,
    pinned,
    read_config,
    read_origin,
    read_weights,
)
from hf_unet.provenance import Origin

Network = TypeVar("Network", bound="StoredNetwork")


class StoredNetwork(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="hf-unet",
    pipeline_tag="image-segmentation",
    tags=["image-segmentation", "semantic-segmentation", "biomedical", "microscopy"],
    paper_url="https://arxiv.org/abs/1505.04597",
):
    """Base of the networks: saving and strict loading.

    A subclass keeps each argument of its constructor in an attribute of the same name; together
    they are ``config.json``. One that defines no ``forward`` is itself only a base.
    """

    _loaded: tuple[Origin, int] | None = None

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
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return state | {"_loaded": None if origin is None else (origin, 0)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if self._loaded is not None:  # torch counts the changes of a copy anew
            self._loaded = self._loaded[0], self._changes()

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
        model = cls.from_config(config, repository.title, **changed)
        weights = read_weights(repository, model.state_dict(), device)
        model.load_state_dict(weights, strict=True, assign=True)
        model._loaded = read_origin(repository), model._changes()
        return model.eval()

    @classmethod
    def from_config(
        cls: type[Network], config: dict[str, Any], title: str, **changed: Any
    ) -> Network:
        """A network without weights, on torch's device "meta": all that its config says of it.

        Parameters
        ----------
        config : dict
            What config.json holds.
        title : str
            Whose config it is, for errors.
        **changed
            As `from_pretrained` takes them.

        Raises
        ------
        ModelError
            If the config, or what was changed, makes no network.
        """
        network = class_named(config, _loadable(cls), title)
        arguments = arguments_of(network, config, title) | changed
        if unknown := sorted(set(changed) - set(parameters_of(network))):
            raise ModelError(f"{network.__name__} has no argument {unknown[0]!r}.")
        try:
            with torch.device("meta"):  # no weights are drawn that would only be replaced
                return network(**arguments)
        except ModelError as error:
            source = "the arguments given" if changed else f"its {CONFIG}"
            raise ModelError(f"The model {title} cannot be built from {source}: {error}") from error


def _loadable(wanted: type[Network]) -> list[type[Network]]:
    """``wanted`` and what is derived from it, but for bases that are no network by themselves."""
    own = [] if wanted.forward is nn.Module.forward else [wanted]
    return own + [one for sub in wanted.__subclasses__() for one in _loadable(sub)]


def _as_json(value: Any) -> Any:
    return [_as_json(one) for one in value] if isinstance(value, tuple) else value
