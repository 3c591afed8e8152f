"""An ONNX graph that runs, on the CPU, by onnxruntime."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hf_unet.errors import ModelError, first_line
from hf_unet.onnx.extra import require
from hf_unet.onnx.graph import INPUT, OUTPUT

QUIET = 4
"""Of onnxruntime's levels of logging: what it would print it also raises."""


class Session:
    """A graph loaded into onnxruntime; several threads may call it at once.

    It computes on as many threads as PyTorch would: `torch.set_num_threads` and OMP_NUM_THREADS
    count, at the time it is made.

    Parameters
    ----------
    content : bytes
        Of an ONNX file.
    title : str
        What to call it in errors.

    Attributes
    ----------
    ends : list of (str, str, list of int or str)
        Name, type and sizes of each input, then of each output; a free size has a name.

    Raises
    ------
    ModelError
        If onnxruntime is not installed, or cannot run the graph.
    """

    ends: list[tuple[str, str, list[int | str]]]

    def __init__(self, content: bytes, title: str) -> None:
        require("onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1  # the layers of a U-Net wait for each other
        # Threads that wait in a loop for the next layer gain nothing here, and slow down the rest.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = QUIET
        self._title = title
        try:
            self._session = onnxruntime.InferenceSession(
                content,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # to the same provider, with words on the standard output
            )
            both = (*self._session.get_inputs(), *self._session.get_outputs())
            self.ends = [(end.name, end.type, end.shape) for end in both]
        except Exception as error:  # onnxruntime's own have no class in common
            raise ModelError(
                f"onnxruntime {onnxruntime.__version__} cannot run {title}: "
                f"{first_line(error)} Export the network again, or upgrade onnxruntime."
            ) from error

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of a batch.

        Parameters
        ----------
        images : (N, C, H, W) float32 array

        Returns
        -------
        (N, K, H', W') float32 array

        Raises
        ------
        MemoryError
            If there is not enough of it.
        ModelError
            If the graph cannot be run for another reason.
        """
        try:
            found: Any = self._session.run([OUTPUT], {INPUT: images})
        except Exception as error:
            if "allocate" in str(error):
                raise MemoryError(str(error)) from error
            raise ModelError(f"{self._title} cannot be run: {first_line(error)}") from error
        array: NDArray[np.float32] = found[0]
        return array
