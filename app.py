"""The demo: upload an image, see its mask, its Dice and its weight map.

Run it with ``python app.py``; on a Space the same file is run. The page is in `hf_unet.demo`.
"""

import os
from typing import Any

import gradio as gr

from hf_unet.demo.models import EXAMPLES
from hf_unet.demo.page import build
from hf_unet.demo.uploads import LARGEST_FILE


def serve(**settings: Any) -> Any:
    """Serve the page; returns what Gradio's ``launch``, which takes the settings, does."""
    return (
        build()
        .queue(max_size=32)
        .launch(
            theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate"),
            max_file_size=LARGEST_FILE,
            show_error=False,  # what is not one of our sentences may name paths
            allowed_paths=[str(EXAMPLES)],
            **settings,
        )
    )


def main() -> None:
    """Open the page."""
    serve(inbrowser="SPACE_ID" not in os.environ)


if __name__ == "__main__":
    main()
