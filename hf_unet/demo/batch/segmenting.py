"""Many images at once: each segmented by itself, a row of figures of each, and one zip of all.

Only the rows stay in memory. The files of a result go into the zip as they come, and a result is
shown again from there. A file that cannot be read is a row with a sentence, and no more.
"""

import re
import shutil
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from hf_unet.demo.batch.files import Task, at_hand, list_brought, tasks_of
from hf_unet.demo.batch.probabilities import keep_probabilities, kept_probabilities
from hf_unet.demo.batch.rows import Row, row_of, table_csv
from hf_unet.demo.models.loading import load_model
from hf_unet.demo.scenes import Scene, class_layer, image_layer, object_layer
from hf_unet.demo.segmenting import Stopped, segment_within, stoppable
from hf_unet.demo.store import Store
from hf_unet.demo.uploads import read_page, read_truth
from hf_unet.errors import ImageError
from hf_unet.exports import read_instances_tiff, read_mask_png, read_stack_tiff
from hf_unet.judgement import counts_of
from hf_unet.network import SegmentationNetwork

MOST_IMAGES = 500
"""Images, or pages of them, in one batch."""

MOST_RESULT_BYTES = 4_000_000_000
"""Of one batch's zip."""

Report: TypeAlias = Callable[[float, str], None]
"""Called with the share that is done, 0 .. 1, and a line that says what is being done."""

_STORED = {".png", ".tif"}
"""Already packed: packing them again takes time and gains nothing."""


class Batch:
    """What has become of a batch so far.

    Its zip is deleted with it.

    Attributes
    ----------
    model : str
    names, colors : tuple of str
        Of the classes.
    multilabel : bool
    rows : list of Row
    archive : Path
        The zip; it can be read once ``ended``.
    ended : bool
    note : str
        Why it ended before its time; else empty.
    folders : set of str
        That are taken in the zip.
    beside : int
        Bytes of the probabilities that are kept beside the zip.
    """

    def __init__(self, model: str, network: SegmentationNetwork, archive: Path) -> None:
        self.model = model
        self.names, self.colors = network.mask_classes, network.class_colors
        self.multilabel = network.multilabel
        self.rows: list[Row] = []
        self.archive = archive
        self.ended = False
        self.note = ""
        self.beside = 0
        self.folders: set[str] = set()
        weakref.finalize(self, shutil.rmtree, archive.parent, ignore_errors=True)

    @property
    def first(self) -> int:
        """Index of the first class that is no background."""
        return 0 if self.multilabel else 1

    @property
    def nbytes(self) -> int:
        """Bytes on disk: of its zip, and of the probabilities beside it."""
        return self.beside + (self.archive.stat().st_size if self.archive.is_file() else 0)

    def probabilities_of(self, folder: str) -> Path:
        """Where those of a result are kept, by its folder in the zip."""
        return self.archive.parent / f"{folder}.npz"


BATCHES: Store[Batch] = Store(
    20_000_000_000,
    gone="This batch is no longer kept here: disks are shared, and newer ones took its place. "
    "Segment its images again.",
)


def segment_batch(
    paths: Sequence[str] | None,
    model: str,
    archive: Path,
    *,
    event: threading.Event,
    report: Report = lambda share, line: None,
    probabilities: bool = False,
) -> Iterator[Batch]:
    """Segment every image that was brought; gives the same batch again after each row.

    Parameters
    ----------
    paths : sequence of str
        Uploaded files: images, ground truths, zips of both.
    model : str
        Name of the model.
    archive : Path
        The zip to write, in a folder of its own, which is made, and deleted with the batch.
    event : threading.Event
        Set to stop before the next tile. What was finished stays.
    report : callable
    probabilities : bool
        Whether the zip is to hold the probabilities too.

    Raises
    ------
    ImageError
        If nothing was brought, or more than `MOST_IMAGES`.
    ModelError
        If there is no such model.
    """
    tasks = tasks_of(list_brought(paths or ()))
    if not tasks:
        raise ImageError("Choose images first, or a zip of them.")
    if len(tasks) > MOST_IMAGES:
        raise ImageError(
            f"These are {len(tasks):,} images; this page takes up to {MOST_IMAGES} at once. Make "
            "several batches of them, or use hf-unet segment."
        )
    network = load_model(model)
    archive.parent.mkdir(parents=True)
    batch = Batch(model, network, archive)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for number, task in enumerate(tasks):

            def of_tiles(done: int, total: int, number: int = number, task: Task = task) -> None:
                line = f"Image {number + 1} of {len(tasks)}, {task.name}: tile {done} of {total}"
                report((number + done / total) / len(tasks), line)

            try:
                for row in _rows(batch, network, task, file, event, of_tiles, probabilities):
                    batch.rows.append(row)
                    _check_limits(batch)
                    yield batch
            except Stopped:
                batch.note = f"Stopped after {number} of {len(tasks)} images."
                break
            except _Full as full:
                batch.note = str(full)
                break
        file.writestr("table.csv", table_csv(batch.rows, batch.names))
    batch.ended = True
    yield batch


class _Full(ImageError):
    """A batch has grown to what this page takes."""


def _check_limits(batch: Batch) -> None:
    if batch.nbytes > MOST_RESULT_BYTES:
        raise _Full(
            f"The results have grown to {MOST_RESULT_BYTES / 1e9:.0f} GB, the most that one batch "
            "takes here. Segment the other images in another."
        )
    if len(batch.rows) > MOST_IMAGES:
        raise _Full(
            f"With all their pages these are more than {MOST_IMAGES} images, the most that one "
            "batch takes here. Segment the others in another."
        )


def _rows(
    batch: Batch,
    network: SegmentationNetwork,
    task: Task,
    file: zipfile.ZipFile,
    event: threading.Event,
    of_tiles: Callable[[int, int], None],
    probabilities: bool,
) -> Iterator[Row]:
    """A row for each page of an image, its files written; or one that says what is wrong."""
    if event.is_set():
        raise Stopped
    if task.refusal:
        yield Row(task, refusal=task.refusal)
        return
    page, pages = 0, 1
    try:
        with at_hand(task) as (image, truth):
            while page < pages:
                pixels = read_page(str(image), page + 1)
                pages = pixels.pages
                labels = read_truth(str(truth), network, pixels) if truth else None
                result = segment_within(network, pixels, stoppable(event, of_tiles))
                counts = None
                if labels is not None:
                    counts = counts_of(result, labels)
                folder = _new_folder(task, pixels.page, pages, batch.folders)
                row = row_of(task, folder, result, counts)
                with tempfile.TemporaryDirectory() as place:
                    result.save(
                        place, figures=_figures(row, result.classes), probabilities=probabilities
                    )
                    for path in sorted(Path(place).iterdir()):
                        packing = zipfile.ZIP_STORED if path.suffix in _STORED else None
                        file.write(path, f"{folder}/{path.name}", packing)
                batch.beside += keep_probabilities(batch.probabilities_of(folder), result)
                yield row
                page += 1
    except Stopped:
        raise
    except (ValueError, MemoryError, RuntimeError, OSError) as error:
        yield Row(task, page, pages, refusal=sentence_of(error))


def sentence_of(error: Exception) -> str:
    """What is said of one file: our own errors as they are, others without what they may name."""
    if type(error).__module__.startswith("hf_unet."):
        return str(error)
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "It does not fit into this machine's memory. Cut it into pieces."
    if isinstance(error, OSError):
        return "It could not be read, or its result not be written: the disk may be full."
    return "It could not be segmented: something in it is not as it should be."


def _new_folder(task: Task, page: int, pages: int, taken: set[str]) -> str:
    """A folder's name for an image, that no other has, on any system."""
    stem = re.sub(r"[^\w.\- ]", "_", task.image.path.stem).strip(" .")[:80] or "image"
    stem += f"-page{page + 1}" if pages > 1 else ""
    name, number = stem, 1
    while name.casefold() in taken or name.casefold() == "table.csv":
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def _figures(row: Row, names: Sequence[str]) -> dict[str, object]:
    """For result.json."""
    if row.dice is not None:
        return {"dice": dict(zip(names, row.dice.tolist(), strict=True))}
    if row.expected is not None:
        return {"expected_dice": dict(zip(names, row.expected.tolist(), strict=True))}
    return {}


def scene_of_row(batch: Batch, number: int) -> Scene:
    """One result of a batch as a viewer takes it, read back from its files.

    Parameters
    ----------
    batch : Batch
    number : int
        Of the row, from 1.

    Raises
    ------
    ImageError
        If the batch has not ended, there is no such row, or its file had no result.
    ArchiveError
        If the upload is no longer here.
    """
    if not batch.ended:
        raise ImageError("Results can be looked at when the batch has ended, or was stopped.")
    if not 1 <= number <= len(batch.rows):
        raise ImageError("There is no such row. Segment the images again.")
    row = batch.rows[number - 1]
    if row.refusal:
        raise ImageError(f"There is no result of {row.name}: {row.refusal}")
    with (
        at_hand(row.task) as (image, truth),
        tempfile.TemporaryDirectory() as place,
        zipfile.ZipFile(batch.archive) as file,
    ):

        def saved(name: str) -> Path:
            return Path(file.extract(f"{row.folder}/{name}", place))

        pixels = read_page(str(image), row.page + 1)
        objects = read_instances_tiff(saved("instances.tif"))
        mask = (
            read_stack_tiff(saved("mask.tif"))[0]
            if batch.multilabel
            else read_mask_png(saved("mask.png"))
        )
        drawn = class_layer(mask, batch.names, batch.colors, key="mask", label="Prediction")
        if not batch.multilabel:
            drawn.settings["outlines"] = "objects"
        layers = [
            image_layer(pixels),
            drawn,
            # Where classes overlap, the file has a plane of objects for each.
            object_layer(objects.max(axis=0) if objects.ndim == 3 else objects),
        ]
        hidden = ["objects"]
        if truth:
            labels = read_truth(str(truth), load_model(batch.model), pixels)
            known = labels.stack() if batch.multilabel else labels.class_map()
            layers.append(
                class_layer(known, batch.names, batch.colors, key="truth", label="Ground truth")
            )
            hidden.append("truth")
        layers += kept_probabilities(batch.probabilities_of(row.folder))
    settings = {"hidden": hidden, "look": f"batch {len(layers)}"}
    return Scene(tuple(layers), f"{row.name} {id(row)}", settings)
