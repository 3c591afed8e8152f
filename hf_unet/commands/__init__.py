"""The verbs of the command line ``hf-unet``, a module each."""
