"""A network in an ONNX file, which segments as one of PyTorch does."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_unet.errors import ModelError
from hf_unet.geometry import Geometry
from hf_unet.model import network_without_weights
from hf_unet.network import SegmentationNetwork
from hf_unet.onnx.file import OnnxFile, damaged, read_onnx
from hf_unet.onnx.graph import INPUT, OUTPUT
from hf_unet.onnx.session import Session
from hf_unet.provenance import Origin
from hf_unet.repositories.configs import parameters_of
from hf_unet.repositories.pretrained import ONNX, Repository, pinned, read_config
from hf_unet.segmenter import Segmenter


class OnnxNetwork(Segmenter):
    """A network in an ONNX file, run on the CPU by onnxruntime: `segment` as of any network.

    Tiles, test-time averaging, thresholds, seeds and calibration are those of the config in the
    file. Probabilities are those of PyTorch to 1e-4, mostly to 1e-6.

    Parameters
    ----------
    file : OnnxFile
        From `find_onnx`.
    origin : Origin
        What results say they were made with.
    **changed
        As `from_pretrained` takes them.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from hf_unet import UNet
    >>> from hf_unet.onnx import export_onnx
    >>> with TemporaryDirectory() as folder:
    ...     made = export_onnx(UNet(base_channels=2, depth=1), f"{folder}/cells.onnx")
    ...     network = OnnxNetwork.from_pretrained(made.path, min_area=9)
    >>> network.segment(np.zeros((20, 30))).mask.shape
    (20, 30)
    """

    runtime = "onnxruntime"

    def __init__(self, file: OnnxFile, origin: Origin, **changed: Any) -> None:
        # A network without weights: it checks the config, and knows sizes and memory.
        self._network = network_without_weights(file.config, file.title, **changed)
        exported = network_without_weights(file.config, file.title)
        for name in sorted(changed):
            if _in_the_graph(name, self._network) != _in_the_graph(name, exported):
                raise ModelError(
                    f"{name} has gone into the graph of {file.title} and cannot be changed. Change "
                    "it before the export."
                )
        shared = {name: getattr(self._network, name) for name in parameters_of(Segmenter)}
        super().__init__(**shared)
        self._origin = origin
        self._session = Session(file.content, file.title)
        counts = ((INPUT, self.in_channels), (OUTPUT, len(self.classes)))
        ends = [(name, kind, sizes[1:2]) for name, kind, sizes in self._session.ends]
        if ends != [(name, "tensor(float)", [count]) for name, count in counts]:
            raise damaged(file.title)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        revision: str | None = None,
        *,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        **changed: Any,
    ) -> "OnnxNetwork":
        """Load a network from an ONNX file, or from a model repository that holds one.

        Parameters
        ----------
        name : str or Path
            A file that `hf_unet.onnx.export_onnx` wrote; or a folder, or a name on the Hub, with
            ``onnx/model.onnx``.
        revision, token, cache_dir, force_download, local_files_only
            As `hf_unet.UNet.from_pretrained` takes them.
        **changed
            Arguments of the network to change from what its config says, for instance
            ``thresholds=(0.4,)``. What the graph has taken up, such as ``depth``, cannot be.

        Raises
        ------
        ModelError
            If anything is missing, damaged, or of another library or network.
        """
        file, origin = find_onnx(
            name,
            revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        return cls(file, origin, **changed)

    @property
    def geometry(self) -> Geometry:
        """Margin, grid and accepted sizes."""
        return self._network.geometry

    @property
    def activation_bytes_per_pixel(self) -> int:
        """Memory that inference takes for each pixel of input, a safe estimate."""
        return self._network.activation_bytes_per_pixel

    @property
    def config(self) -> dict[str, Any]:
        """What ``config.json`` of the network would hold."""
        return self._network.config

    @property
    def origin(self) -> Origin:
        """The file, and its SHA-256."""
        return self._origin

    @property
    def device_type(self) -> str:
        """What it runs on."""
        return "cpu"

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch of scaled tiles, as `Segmenter.predict` describes them."""
        self._check_input(batch)
        return self._session.run(np.ascontiguousarray(batch, np.float32))


def find_onnx(
    name: str | Path, revision: str | None = None, **options: Any
) -> tuple[OnnxFile, Origin]:
    """Find and read the ONNX file that a name means, without making a network of it.

    Parameters and errors are those of `OnnxNetwork.from_pretrained`.
    """
    path = Path(name)
    if path.is_file() or (path.suffix == ".onnx" and not path.is_dir()):
        if not path.is_file():
            raise ModelError(f"There is no file {path.name} at the path given.")
        file = read_onnx(path, path.name)
        return file, Origin(path.name, None, file.sha256)
    repository = Repository(str(name), revision=revision, **options)
    config = read_config(repository)
    repository = pinned(repository)
    file = read_onnx(repository.file(ONNX), f"{ONNX} of {repository.title}")
    exported = network_without_weights(file.config, file.title)
    if network_without_weights(config, repository.title).config != exported.config:
        raise ModelError(
            f"{file.title} was exported from a network of another config than that of "
            f"{repository.title}. Export it again: hf-unet export."
        )
    commit = None if repository.is_folder else repository.revision
    return file, Origin(repository.title, commit, file.sha256)


def _in_the_graph(name: str, network: SegmentationNetwork) -> Any:
    """What a graph has taken up of an argument; None of one that only says how to read it."""
    if name == "classes":
        return len(network.classes)
    shared = set(parameters_of(Segmenter)) - {"in_channels", "multilabel"}
    return None if name in shared else getattr(network, name)
