"""A network as it is kept: config.json, weights and card, in a folder or on the Hub."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from huggingface_hub import HfApi, ModelCard, PyTorchModelHubMixin
from safetensors.torch import save
from torch import nn

from hf_unet.cards.card import render_card
from hf_unet.errors import ModelError
from hf_unet.exports.files import write_whole
from hf_unet.provenance import Origin
from hf_unet.repositories.commits import commit_folder
from hf_unet.repositories.configs import advice, arguments_of, class_named, parameters_of
from hf_unet.repositories.placement import checked_device, checked_dtype
from hf_unet.repositories.pretrained import (
    CONFIG,
    WEIGHTS,
    Repository,
    kept,
    pinned,
    read_config,
    read_origin,
)
from hf_unet.repositories.weights import read_weights

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
    _repository: Repository | None = None

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

    @property
    def repository(self) -> Repository | None:
        """What `origin` names, to read more of its files; None where that is."""
        return None if self.origin is None else self._repository

    def __getstate__(self) -> dict[str, Any]:
        origin, repository = self.origin, self.repository
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return state | {
            "_loaded": None if origin is None else (origin, 0),
            # A token is nothing to write into a file, nor to send to another process.
            "_repository": None if repository is None else replace(repository, token=None),
        }

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
            What `hf_unet.cards.card.render_card` can fill into the card.

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

    def push_to_hub(
        self,
        repo_id: str,
        *,
        config: Any = None,
        commit_message: str = "Push a network of hf-unet",
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
        allow_patterns: list[str] | str | None = None,
        ignore_patterns: list[str] | str | None = None,
        delete_patterns: list[str] | str | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Upload config.json, model.safetensors and a card in one commit.

        A card that is there already keeps all that people wrote: its marked parts and the keys of
        its header that are generated are written anew, see `hf_unet.cards.parts.merge_card`. Other
        files stay as they are, also such as tell of the weights before.

        Parameters
        ----------
        repo_id : str
            ``org/name``, or a name of one's own; it is made if there is none.
        config : None
            The config is what the network was made with; nothing else can be given.
        commit_message : str
        private : bool, optional
            Whether a repository that is made is private. None: as the organisation has it.
        token : str, optional
            None: that of ``hf auth login``.
        branch : str, optional
            One that is there, or ``refs/pr/1`` for an open pull request. None: main.
        create_pr : bool, optional
            Open a pull request in place of moving the branch.
        allow_patterns, ignore_patterns, delete_patterns
            As `huggingface_hub.HfApi.upload_folder` takes them.
        model_card_kwargs : dict, optional
            What `hf_unet.cards.card.render_card` can fill into the card.

        Returns
        -------
        The address of the commit on the Hub.

        Raises
        ------
        ModelError
            If the card on the Hub cannot be merged, for instance because a mark in it is damaged;
            nothing is uploaded then.
        """
        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with TemporaryDirectory() as scratch:
            card = {"repo_id": repo_id} | (model_card_kwargs or {})
            self.save_pretrained(scratch, config=config, model_card_kwargs=card)
            upload = commit_folder(
                api,
                repo_id,
                Path(scratch),
                commit_message,
                revision=branch,
                create_pr=bool(create_pr),
                allow=allow_patterns,
                ignore=ignore_patterns,
                delete=delete_patterns,
            )
        return upload.info

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Card of this network; `hf_unet.cards.card.render_card` says what can be filled in."""
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
        dtype: torch.dtype | str = torch.float32,
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
        dtype : torch.dtype or str
            Precision of the convolutions' weights, and of what is computed with them:
            ``torch.float32``, ``torch.float16``, ``torch.bfloat16``, ``torch.float64`` or their
            names; ``"stored"`` keeps that of the file. Batch norm has at least float32.
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

        Notes
        -----
        Weights are often stored in float16, which halves the file, and computed with in float32.
        On a CPU with AMX, ``dtype="bfloat16"`` makes `segment` about three times as fast; the
        mask may differ by a few pixels: 74 of 262,144 on the example of ``models/nuclei``, a
        Dice of 0.9993 between the two masks. ``"float16"`` gains nothing on a CPU; it is for GPUs.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from hf_unet import UNet
        >>> with TemporaryDirectory() as folder:
        ...     UNet(base_channels=4, depth=1).save_pretrained(folder)
        ...     model = UNet.from_pretrained(folder, dtype="bfloat16")
        >>> model.classifier.weight.dtype
        torch.bfloat16
        """
        place, precision = checked_device(device), checked_dtype(dtype)
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
        read_weights(repository, model, place, precision)
        model._loaded = read_origin(repository), model._changes()
        model._repository = kept(repository)
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
            said = f"The model {title} cannot be built from {source}: {error}"
            later = "" if changed else advice(config, otherwise="")
            raise ModelError(f"{said} {later}".rstrip()) from error


def _loadable(wanted: type[Network]) -> list[type[Network]]:
    """``wanted`` and what is derived from it, but for bases that are no network by themselves."""
    own = [] if wanted.forward is nn.Module.forward else [wanted]
    return own + [one for sub in wanted.__subclasses__() for one in _loadable(sub)]


def _as_json(value: Any) -> Any:
    return [_as_json(one) for one in value] if isinstance(value, tuple) else value
