"""How annotated images lie on disk: one function for each layout, all giving pairs.

=============  ===================================================================================
folders        a folder of images and one of labels, matched by name; ``cell_01.tif`` and
               ``cell_01_mask.png`` belong together. A label may be a mask, polygon JSON, or a
               folder of masks. Of two files of several pages, page n belongs to page n
stacks         a multi-page file of images and one of labels: page n belongs to page n
class-folders  a folder of images and a folder of masks for each class, which may overlap
ctc            sequences of the Cell Tracking Challenge: ``01``, ``01_GT/SEG``, ``01_ST/SEG``; see
               `hf_unet.training.sequences`
dsb            the Data Science Bowl 2018: a folder for each image, with ``images`` and ``masks``
coco           a folder of images and one COCO file
=============  ===================================================================================
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hf_unet.file_names import (
    IMAGE_FOLDERS,
    IMAGE_SUFFIXES,
    LABEL_FOLDERS,
    LABEL_SUFFIXES,
    match_names,
)
from hf_unet.labels import read_coco
from hf_unet.labels.ground_truth import has_background
from hf_unet.training.files import by_name, list_files, place
from hf_unet.training.paged import file_pairs, page_pairs
from hf_unet.training.pairs import ClassMasks, CocoImage, DataError, OneFile, Pair
from hf_unet.training.sequences import find_tracking, tracking_sequences
from hf_unet.training.settings import DataSettings

Layout = Callable[[Path, DataSettings, tuple[str, ...]], list[Pair]]


def find_folders(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> list[Pair]:
    """Pairs of a folder of images and a folder of labels."""
    image_files, label_files = files_of_folders(folder, settings)
    images, labels = by_name(image_files), by_name(label_files)
    partners = match_names(images, labels)
    unlabelled = sorted(set(images) - set(partners))
    if unlabelled:
        image_folder, label_folder = image_files[0].parent.name, label_files[0].parent.name
        raise DataError(
            f"{len(unlabelled)} of {len(images)} images in {image_folder} have no label of the "
            f"same name in {label_folder}, first {images[unlabelled[0]].name}. Add the labels, "
            "or take the images away."
        )
    return [
        pair
        for stem, image in images.items()
        for pair in file_pairs(image, labels[partners[stem]], settings, classes)
    ]


def files_of_folders(folder: Path, settings: DataSettings) -> tuple[list[Path], list[Path]]:
    """Image files, and label files or folders, in sorted order."""
    return (
        list_files(place(folder, settings.images, IMAGE_FOLDERS), IMAGE_SUFFIXES),
        list_files(place(folder, settings.labels, LABEL_FOLDERS), LABEL_SUFFIXES, folders=True),
    )


def find_stacks(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> list[Pair]:
    """Pairs of two multi-page files."""
    image, label = folder / settings.images, folder / settings.labels
    for path in (image, label):
        if not path.is_file():
            raise DataError(f"There is no file {path.name} in {folder.resolve().name}.")
    return page_pairs(image, label, settings, classes)


def find_class_folders(
    folder: Path, settings: DataSettings, classes: tuple[str, ...]
) -> list[Pair]:
    """Pairs of a folder of images and a folder of masks for each class."""
    named = class_folders(folder, settings, classes)
    if named is None:
        raise DataError(
            f"{folder.resolve().name} does not hold a folder of masks for each of the classes "
            f"{', '.join(classes)}: name the folders as the classes."
        )
    images = by_name(list_files(place(folder, settings.images, IMAGE_FOLDERS), IMAGE_SUFFIXES))
    columns = []
    for path in named:
        masks = by_name(list_files(path, LABEL_SUFFIXES))
        partners = match_names(images, masks)
        if alone := sorted(set(images) - set(partners)):
            raise DataError(
                f"{len(alone)} of {len(images)} images have no mask of the same name in "
                f"{path.name}, first {images[alone[0]].name}. Add an empty mask where an image "
                "has nothing of that class."
            )
        columns.append({stem: masks[partners[stem]] for stem in images})
    return [
        Pair(
            stem,
            image,
            ClassMasks(tuple(column[stem] for column in columns), settings.threshold),
            classes,
            settings.kind,  # type: ignore[arg-type]
        )
        for stem, image in images.items()
    ]


def class_folders(
    folder: Path, settings: DataSettings, classes: Sequence[str]
) -> tuple[Path, ...] | None:
    """The folders named after the classes, in their order; None if one is missing.

    A first class "background" may lack its own. Upper case, spaces and underscores are one.
    """
    root = folder / settings.labels
    for place_of_masks in (root, folder):
        if not place_of_masks.is_dir():
            continue
        here = {
            _plain(path.name): path for path in sorted(place_of_masks.iterdir()) if path.is_dir()
        }
        wanted = [_plain(name) for name in classes]
        if has_background(classes) and wanted[0] not in here:
            wanted = wanted[1:]
        if all(name in here for name in wanted):
            return tuple(here[name] for name in wanted)
    return None


def find_bowl(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> list[Pair]:
    """Pairs of the Data Science Bowl's layout: one mask for each nucleus."""
    pairs = []
    for path in bowl_images(folder):
        files = list_files(path / "images", IMAGE_SUFFIXES)
        if len(files) > 1:
            raise DataError(f"The folder images of {path.name} holds {len(files)} images, not one.")
        source = OneFile(path / "masks", 0, settings.threshold, path.name in settings.partial)
        pairs.append(Pair(path.name, files[0], source, classes, "instances"))
    if not pairs:
        raise DataError(
            f"{folder.resolve().name} holds no folders that have images and masks in them."
        )
    return pairs


def bowl_images(folder: Path) -> list[Path]:
    """Folders that hold ``images`` and ``masks``."""
    return [
        path
        for path in sorted(folder.iterdir())
        if (path / "images").is_dir() and (path / "masks").is_dir()
    ]


def find_coco(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> list[Pair]:
    """Pairs of a folder of images and one COCO file, which names them.

    A name such as ``well_a/01.png`` is that of a file in a folder of the images, and the pair's
    is ``well_a/01``. Folders before it that are not here count for nothing.
    """
    images = place(folder, settings.images, IMAGE_FOLDERS)
    path = folder / settings.labels
    if not path.is_file():
        raise DataError(f"There is no file {path.name} in {folder.resolve().name}.")
    coco = read_coco(path)
    pairs: dict[str, Pair] = {}
    for name in sorted(coco.images):
        file = _longest_tail(images, name)
        if file is None:
            raise DataError(f"{path.name} annotates {name}, which is not in {images.name}.")
        title = file.relative_to(images).with_suffix("").as_posix()
        if title in pairs:
            raise DataError(
                f"{path.name} annotates {pairs[title].source.name} and {name}, and in "
                f"{images.name} both are {title}. Put each in its folder there."
            )
        pairs[title] = Pair(title, file, CocoImage(coco, name), classes, settings.kind)  # type: ignore[arg-type]
    return list(pairs.values())


LAYOUTS: dict[str, Layout] = {
    "folders": find_folders,
    "stacks": find_stacks,
    "class-folders": find_class_folders,
    "ctc": find_tracking,
    "dsb": find_bowl,
    "coco": find_coco,
}


def recognise(folder: Path, settings: DataSettings, classes: tuple[str, ...]) -> str:
    """Name of the layout that a data folder has, by what lies in it."""
    if (folder / settings.labels).is_file():
        return "coco" if settings.labels.endswith(".json") else "stacks"
    if class_folders(folder, settings, classes) is not None:
        return "class-folders"
    if tracking_sequences(folder):
        return "ctc"
    return "dsb" if bowl_images(folder) else "folders"


def _longest_tail(folder: Path, name: str) -> Path | None:
    """The file in a folder that a path from elsewhere means, by as much of its end as is here."""
    parts = [part for part in re.split(r"[\\/]", name) if part not in ("", ".", "..")]
    tails = (folder.joinpath(*parts[first:]) for first in range(len(parts)))
    return next((path for path in tails if path.is_file()), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().lower()
