"""Whether the demo also serves its endpoints as tools, by the Model Context Protocol (MCP)."""

import os
from importlib.util import find_spec

VARIABLE = "HF_UNET_MCP"
"""Set to 1, the demo is an MCP server too; unset, empty or 0, it is none."""


class MissingExtraError(ValueError):
    """What was asked for needs packages that are missing; the message says how to get them."""


def wants_mcp() -> bool:
    """Whether the environment asks for an MCP server, which then can be had.

    Raises
    ------
    MissingExtraError
        If it is asked for and the packages of the extra ``mcp`` are missing.
    ValueError
        If the variable holds neither 0 nor 1.
    """
    value = os.environ.get(VARIABLE, "").strip()
    if value not in ("", "0", "1"):
        raise ValueError(f"{VARIABLE} is 1 or 0, not {value!r}.")
    if value != "1":
        return False
    if find_spec("mcp") is None:
        raise MissingExtraError(
            f"{VARIABLE} asks for an MCP server, whose packages are not installed. Install them "
            'with `pip install "hf-unet[mcp]"`.'
        )
    return True
