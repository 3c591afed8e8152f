"""The errors people see: each is a ValueError whose message is fit to be shown as it is."""


class ImageError(ValueError):
    """An image cannot be read, or does not suit the model."""


class LabelError(ValueError):
    """A label file cannot be mapped to classes or instances."""


class ModelError(ValueError):
    """A model cannot be built, loaded, or applied to this input size."""


class ResultError(ValueError):
    """A saved result cannot be made again, or a result cannot be saved."""
