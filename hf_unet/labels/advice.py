"""What to do about a label that cannot be read as it is, wherever one meets it.

From Python and in a recipe an option helps; in the demo there is none, so that there the advice
is about the file.
"""

from typing import Any

from numpy.typing import NDArray

from hf_unet.errors import Advice


def half_range(largest: float) -> str:
    """Half of the full range that values up to ``largest`` lie in, as a text.

    Examples
    --------
    >>> half_range(0.9), half_range(255), half_range(40_000)
    ('0.5', '127', '32767')
    """
    top = next((full for full in (1, 255, 65535) if largest <= full), largest)
    return f"{top / 2 if top == 1 else top // 2:g}"


def for_smoothed(found: NDArray[Any], *, may_be_objects: bool = False) -> Advice:
    """For a mask with greys between, whose sorted distinct values are ``found``.

    ``may_be_objects``: they are read if they are said to be objects, such as very small ones.
    """
    half = half_range(float(found[-1]))
    again = "save it again without smoothing, as PNG or TIFF."
    python = f"If it is a mask, pass threshold={half} to count every value above {half} as "
    python += f"foreground, or {again}"
    recipe = f"If it is a mask, data.threshold = {half} in the recipe, or --threshold {half} for "
    recipe += f"hf-unet check-masks, counts every value above {half} as foreground; or {again}"
    if may_be_objects:
        python += " If each value is a small object, pass kind='instances'."
        recipe += ' If each value is a small object, say so by data.kind = "instances" in the '
        recipe += "recipe, or --kind instances for hf-unet check-masks."
    page = f"If it is a mask, make every value above {half} white and all others black, and {again}"
    return Advice(python, recipe, page)


def for_scattered_ids(found: NDArray[Any]) -> Advice:
    """For what was said to be objects, but lies in too many pieces."""
    half = half_range(float(found[-1]))
    again = "Save the objects again without smoothing, as PNG or TIFF"
    return Advice(
        python=f"{again}; or, if it is a mask, leave kind out and pass threshold={half}.",
        recipe=f"{again}; or, if it is a mask, leave kind out, and data.threshold = {half} in the "
        f"recipe, or --threshold {half} for hf-unet check-masks, makes it one.",
        page=f"{again}.",
    )


def for_left_out(top: int) -> Advice:
    """For a label in which ``top`` seems to mark pixels that are left out."""
    again = f"Give these pixels the value of a class, and save it again; if {top} is a class or an "
    again += "object, give it the next free value"
    return Advice(
        python=f"{again}. If all values are objects, pass kind='instances'.",
        recipe=f'{again}. If all values are objects, say so by data.kind = "instances" in the '
        "recipe, or --kind instances for hf-unet check-masks.",
        page=f"{again}.",
    )


FOR_FRACTIONS = Advice(
    python="Pass threshold=0.5, or what suits, to make it a mask.",
    recipe="data.threshold = 0.5 in the recipe, or what suits (--threshold for hf-unet "
    "check-masks), makes it a mask.",
    page="Make every value above 0.5, or what suits, 1 and all others 0, and save it again.",
)

FOR_OBJECTS_ALONE = Advice(
    python="If these are objects without any background, pass kind='instances'.",
    recipe='If these are objects without any background, say so by data.kind = "instances" in the '
    "recipe, or --kind instances for hf-unet check-masks.",
    page="If these are objects, give pixels between them the value 0, and save it again.",
)

FOR_STRANGE_VALUES = Advice(
    python="Say which value is which class with colors=[...], one value per class.",
    recipe="Save it again with these values, in the order of the classes.",
    page="Save it again with these values, in the order of the model's classes.",
)

FOR_MANY_VALUES = Advice(
    python="Name as many classes as there are values, or pass kind='instances' for objects.",
    recipe='Name as many classes as there are values, or say by data.kind = "instances" in the '
    "recipe, or --kind instances for hf-unet check-masks, that these are objects.",
    page="Save it again with these values, or choose a model that has as many classes.",
)

FOR_CLASSES_OR_OBJECTS = Advice(
    python="If each value is an object, pass kind='instances'; else name as many classes as there "
    "are values.",
    recipe='If each value is an object, say so by data.kind = "instances" in the recipe, or --kind '
    "instances for hf-unet check-masks; else name as many classes as there are values.",
    page="If they are objects, save it again with 1 on all of them, or with a number of its own "
    "for each piece; else choose a model that has as many classes.",
)

FOR_CLASSES_ABOVE_ZERO = Advice(
    python="If they are classes, give one mask for each, or name a first class background; if "
    "objects, pass kind='instances'.",
    recipe="If they are classes, save one mask for each, or name a first class background; if "
    'objects, say so by data.kind = "instances" in the recipe, or --kind instances for hf-unet '
    "check-masks.",
    page="If they are classes, save one mask for each, as the pages of a TIFF; if objects, save it "
    "again with 1 on all of them.",
)

FOR_COLORS = Advice(
    python="Give each class its color with colors=[...], or pass kind='instances' if each object "
    "has its own.",
    recipe="Save it again with a number for each class, counted from 0; or, if each object has a "
    'color of its own, say so by data.kind = "instances" in the recipe, or --kind instances for '
    "hf-unet check-masks.",
    page="Save it again in grey, with a number for each class, counted from 0, or for each object, "
    "counted from 1.",
)

FOR_PALETTES = Advice(
    python="Give each class its color with colors=[...], the background's first (of instances the "
    "background's alone), or pass the indices as an array.",
    recipe="Save it again without a palette, in grey, with a number for each class or object, 0 "
    "for the background.",
    page="Save it again without a palette, in grey, with a number for each class or object, 0 for "
    "the background.",
)

FOR_WHITE_BACKGROUND = Advice(
    python="Pass colors=[(255, 255, 255)] if white is the background.",
    recipe="If white is the background, make it black.",
    page="If white is the background, make it black.",
)

FOR_UNKNOWN_SIZE = Advice(
    python="Pass size=(height, width).",
    recipe="Write it into the file, as imageHeight and imageWidth.",
    page="Write it into the file, as imageHeight and imageWidth.",
)

FOR_SEVERAL_IMAGES = Advice(
    python="Do so with hf_unet.labels.read_coco(file).labels(file_name).",
    recipe='Name it as data.labels of the layout "coco".',
    page="Save the annotations of this image in a file of their own.",
)

FOR_PANOPTIC = Advice(
    python='Read those as labels, with kind="instances".',
    recipe='Name their folder as data.labels, with data.kind = "instances".',
    page="Save the objects of this image as numbers, in a PNG or TIFF.",
)
