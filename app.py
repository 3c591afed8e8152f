"""The demo: upload an image, see its mask, its Dice and its weight map.

Run it with ``python app.py``; on a Space the same file is run. The page is in `hf_unet.demo`.
"""

import os
import sys
import threading
from typing import Any

from hf_unet.demo.models.loading import EXAMPLES
from hf_unet.demo.opening import prepare
from hf_unet.demo.page import build, looks
from hf_unet.demo.programs.mcp_server import wants_mcp
from hf_unet.demo.uploads import LARGEST_FILE
from hf_unet.memory import reuse_memory


def serve(**settings: Any) -> Any:
    """Serve the page; returns what Gradio's ``launch``, which takes the settings, does."""
    reuse_memory()
    # While the page is built and the first browser loads it.
    threading.Thread(target=prepare, daemon=True).start()
    return (
        build()
        .queue(max_size=32)
        .launch(
            **looks(),
            max_file_size=LARGEST_FILE,
            allowed_paths=[str(EXAMPLES)],
            show_error=False,  # what is not one of our sentences may name paths
            **settings,
        )
    )


def main() -> None:
    """Open the page."""
    try:
        mcp_server = wants_mcp()
    except ValueError as error:
        sys.exit(f"app.py: {error}")
    if mcp_server:
        from hf_unet.demo.programs.tools import serve_tools

        serve_tools()
    serve(mcp_server=mcp_server, inbrowser="SPACE_ID" not in os.environ)


if __name__ == "__main__":
    main()
