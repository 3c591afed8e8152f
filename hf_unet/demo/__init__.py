"""The demo's own parts: they build the page out of what the rest of hf_unet does."""
