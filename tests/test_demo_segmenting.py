"""Segmenting for a page: equal to the library, stoppable, each visitor with work of their own."""

import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
from demo_pages import noise, put_models, shown_with, small_network, two_squares

from hf_unet import UNet
from hf_unet.demo import segmenting
from hf_unet.demo.segmenting import (
    JOBS,
    Jobs,
    Stopped,
    segment_upload,
    segmentation_scene,
    with_truth,
)
from hf_unet.demo.shown import KEPT, described, scene_of, shown_of
from hf_unet.errors import ImageError, LabelError, ModelError
from hf_unet.instances import separate_touching
from hf_unet.labels import read_labels


@pytest.fixture(scope="module")
def network() -> UNet:
    return small_network()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: UNet) -> Path:
    """A folder with image.tif and truth.tif, and a model "small" for the demo."""
    put_models(tmp_path / "models", monkeypatch, small=network)
    tifffile.imwrite(tmp_path / "image.tif", noise())
    tifffile.imwrite(tmp_path / "truth.tif", two_squares())
    return tmp_path


@pytest.fixture
def in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large images cut into many tiles, as one far larger would be."""
    monkeypatch.setattr("hf_unet.segmenter.LARGEST_CPU_TILE", 60)


def segment(files: Path, visitor: str = "", truth: str | None = None, **more: object) -> str:
    image = str(files / str(more.pop("image", "image.tif")))
    model, page = str(more.pop("model", "small")), more.pop("page", 1)
    path = str(files / truth) if truth else None
    return segment_upload(image, path, model, page, visitor=visitor, **more)  # type: ignore[arg-type]


# --- results ----------------------------------------------------------------------------------


def test_a_page_shows_what_the_library_computes_to_the_last_pixel(
    files: Path, network: UNet
) -> None:
    shown = shown_of(segment(files))
    expected = network.segment(files / "image.tif")
    assert np.array_equal(shown.result.mask, expected.mask)
    assert np.array_equal(shown.result.probabilities, expected.probabilities)
    assert np.array_equal(shown.result.instances, expected.instances)
    assert np.array_equal(shown.result.image, tifffile.imread(files / "image.tif")[None])
    assert (shown.name, shown.model, shown.labels) == ("image.tif", "small", None)
    assert 0 < expected.mask.mean() < 1, "a result of one class only shows nothing"


def test_in_tiles_it_is_the_same(files: Path, network: UNet, in_tiles: None) -> None:
    reports: list[tuple[int, int]] = []
    shown = shown_of(segment(files, progress=lambda *report: reports.append(report)))
    total = len(shown.result.plan.tiles)
    assert total > 1
    assert reports == [(done, total) for done in range(total + 1)]
    whole = network.segment(files / "image.tif", tile=1000)
    assert np.abs(shown.result.probabilities - whole.probabilities).max() < 1e-5


def test_the_scene_holds_the_results_own_pixels(network: UNet) -> None:
    shown = shown_with(network, noise(), two_squares())
    layers = {layer.key: layer for layer in segmentation_scene(shown).layers}
    assert list(layers) == ["image", "mask", "objects", "truth", "probability"]
    assert np.array_equal(layers["image"].data[0], noise())
    assert np.array_equal(layers["mask"].data[0], shown.result.mask)
    assert np.array_equal(layers["objects"].data[0], shown.result.instances)
    assert np.array_equal(layers["truth"].data[0], two_squares() > 0)
    assert layers["mask"].settings["colors"] == list(shown.result.colors)


def test_without_truth_there_is_no_layer_of_it(network: UNet) -> None:
    scene = segmentation_scene(shown_with(network, noise()))
    assert [layer.key for layer in scene.layers] == ["image", "mask", "objects", "probability"]


def test_classes_that_overlap_are_shown_as_bits() -> None:
    network = small_network(classes=("cell", "nucleus"), multilabel=True)
    truth = np.zeros((2, 60, 70), np.uint8)
    truth[0, :40, :40] = truth[1, 10:20, 10:20] = 1
    shown = shown_with(network, noise(), truth)
    layers = {layer.key: layer for layer in segmentation_scene(shown).layers}
    bits = layers["truth"].data[0]
    assert (bits[15, 15], bits[5, 5], bits[50, 60]) == (3, 1, 0)
    assert np.array_equal(layers["mask"].data[0] & 1 > 0, shown.result.mask[0])
    assert np.array_equal(layers["mask"].data[0] & 2 > 0, shown.result.mask[1])
    assert shown.predicted, "the weight map has no one object to a pixel"


def test_a_page_of_a_stack_is_judged_by_the_same_page_of_the_truth(files: Path) -> None:
    tifffile.imwrite(files / "stack.tif", np.stack([noise(seed=1), noise(seed=2)]))
    tifffile.imwrite(files / "truths.tif", np.stack([two_squares(), two_squares()[::-1]]))
    for page, truth in ((1, two_squares()), (2, two_squares()[::-1])):
        shown = shown_of(segment(files, image="stack.tif", truth="truths.tif", page=page))
        assert np.array_equal(shown.result.image[0], noise(seed=page))
        assert shown.labels is not None
        assert np.array_equal(shown.labels.class_map(), truth > 0)


# --- ground truth -----------------------------------------------------------------------------


def test_a_truth_is_attached_and_taken_off_without_segmenting_again(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = segment(files)
    monkeypatch.setattr(UNet, "segment", None)
    judged = with_truth(token, str(files / "truth.tif"))
    assert judged != token
    assert shown_of(judged).result is shown_of(token).result
    labels = shown_of(judged).labels
    assert labels is not None
    assert np.array_equal(labels.instances() > 0, two_squares() > 0)
    assert shown_of(token).labels is None, "another page may look at it"
    assert shown_of(with_truth(judged, None)).labels is None


def test_a_truth_of_another_size_is_refused(files: Path) -> None:
    tifffile.imwrite(files / "small.tif", two_squares()[:20])
    token = segment(files)
    for refused in (
        lambda: with_truth(token, str(files / "small.tif")),
        lambda: segment(files, truth="small.tif"),
    ):
        with pytest.raises(LabelError, match=r"small\.tif") as caught:
            refused()
        assert str(files) not in str(caught.value)


def test_a_truth_that_cannot_be_read_is_advised_by_what_can_be_done_to_it(files: Path) -> None:
    grey = np.linspace(0, 255, 60 * 70).astype(np.uint8).reshape(60, 70)
    tifffile.imwrite(files / "grey.tif", grey)
    with pytest.raises(LabelError, match="above 127 white and all others black") as caught:
        with_truth(segment(files), str(files / "grey.tif"))
    assert "threshold" not in str(caught.value)


@pytest.mark.parametrize(("pixels", "times"), [(60 * 70, 0), (60 * 70 - 1, 1)])
def test_memory_is_given_back_after_large_images(
    files: Path, monkeypatch: pytest.MonkeyPatch, pixels: int, times: int
) -> None:
    given: list[None] = []
    monkeypatch.setattr(segmenting, "LARGE", pixels)
    monkeypatch.setattr(segmenting, "give_back_memory", lambda: given.append(None))
    segment(files)
    assert len(given) == times


def test_objects_of_the_weight_map_are_the_truths_or_else_the_predictions(network: UNet) -> None:
    alone, judged = shown_with(network, noise()), shown_with(network, noise(), two_squares())
    assert alone.predicted and not judged.predicted
    assert np.array_equal(alone.instances, separate_touching(alone.result.instances))
    expected = separate_touching(read_labels(two_squares(), kind="instances").instances())
    assert np.array_equal(judged.instances, expected)


# --- what is kept -----------------------------------------------------------------------------


def test_a_scene_is_found_by_the_name_that_the_page_was_told(files: Path) -> None:
    token = segment(files)
    shown = shown_of(token)
    scene = shown.scene("segment", segmentation_scene)
    assert shown.scene("segment", segmentation_scene) is scene, "made but once"
    assert scene_of(str(described(token, "segment", scene)["scene"])) is scene


@pytest.mark.parametrize("token", [None, ""])
def test_before_anything_is_segmented_there_is_a_sentence(token: str | None) -> None:
    with pytest.raises(ImageError, match="Segment an image first"):
        shown_of(token)


def test_what_is_no_longer_kept_has_a_sentence(files: Path) -> None:
    token = segment(files)
    KEPT.drop(token)
    with pytest.raises(ImageError, match="Segment the image again"):
        shown_of(token)
    for name in (f"{token}/segment", "/segment", token, ""):
        with pytest.raises(ImageError):
            scene_of(name)


def test_a_place_without_a_scene_has_a_sentence(files: Path) -> None:
    token = segment(files)
    with pytest.raises(ImageError, match="no such picture"):
        scene_of(f"{token}/elsewhere")


def test_memory_is_counted_with_what_scenes_add_and_each_array_once(network: UNet) -> None:
    shown = shown_with(network, noise())
    before = shown.nbytes
    result = shown.result
    arrays = (result.image, result.probabilities, result.mask)
    assert before >= sum(array.nbytes for array in arrays)
    scene = shown.scene("segment", segmentation_scene)
    own = sum(
        layer.data.nbytes for layer in scene.layers if layer.key in ("objects", "probability")
    )
    assert shown.nbytes == before + own, "the image's and the mask's layers are views"


@pytest.mark.parametrize("multilabel", [False, True])
def test_memory_is_counted_with_the_truth_and_what_downloads_leave_behind(
    multilabel: bool, tmp_path: Path
) -> None:
    names = [f"class {k}" for k in range(9)]
    network = small_network(classes=names, multilabel=multilabel)
    truth = np.zeros((9, 60, 70) if multilabel else (60, 70), np.uint8)
    shown = shown_with(network, noise(), truth)
    assert shown.labels is not None
    before = shown.nbytes
    shown.result.save(tmp_path)
    result = shown.result
    made = (shown.instances, *shown.distances, result.objects.labels, result.whole_objects.labels)
    owned = {id(one if one.base is None else one.base): one.nbytes for one in made}
    held = (result.image, result.probabilities, result.mask, shown.labels.array)
    assert before >= sum(owned.values()) + sum(array.nbytes for array in held)


# --- jobs -------------------------------------------------------------------------------------


def test_a_new_job_stops_the_same_visitors_old_one_and_nobody_elses() -> None:
    jobs = Jobs()
    old, other = jobs.begin("ann"), jobs.begin("bob")
    new = jobs.begin("ann")
    assert old.is_set() and not new.is_set() and not other.is_set()
    jobs.end("ann", old)
    assert len(jobs) == 2, "the old job's end is not the new one's"
    assert jobs.stop("ann") and new.is_set() and not other.is_set()
    jobs.end("ann", new)
    jobs.end("bob", other)
    assert len(jobs) == 0 and not jobs.stop("ann")


def test_stopping_leaves_the_tiles_that_have_not_begun(
    files: Path, in_tiles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    predicted: list[object] = []
    predict = UNet.predict

    def counted(self: UNet, batch: object) -> object:
        predicted.append(batch)
        return predict(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(UNet, "predict", counted)

    def stop_after_two(done: int, total: int) -> None:
        assert total > 3
        if done == 2:
            assert JOBS.stop("ann")

    with pytest.raises(Stopped, match="Stopped after 3 of"):
        segment(files, "ann", progress=stop_after_two)
    assert len(predicted) == 3
    assert len(JOBS) == 0
    shown_of(segment(files, "ann"))  # the next is not stopped by the last one's end


def test_a_visitors_new_job_stops_the_running_one(files: Path, in_tiles: None) -> None:
    started, second_done = threading.Event(), threading.Event()
    ends: dict[str, object] = {}

    def wait(done: int, total: int) -> None:
        started.set()
        assert second_done.wait(60)

    def first() -> None:
        try:
            ends["first"] = segment(files, "ann", progress=wait)
        except Stopped as stopped:
            ends["first"] = stopped

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(60)
    assert len(JOBS) == 1
    token = segment(files, "ann")
    second_done.set()
    thread.join(60)
    assert isinstance(ends["first"], Stopped)
    assert shown_of(token).result.mask.shape == (60, 70)
    assert len(JOBS) == 0


def test_another_visitors_job_goes_on(files: Path, in_tiles: None) -> None:
    def stop_another(done: int, total: int) -> None:
        JOBS.stop("bob")

    assert shown_of(segment(files, "ann", progress=stop_another)).name == "image.tif"


FAULTS: list[tuple[dict[str, object], type[Exception], str]] = [
    ({"image": "none.tif"}, ImageError, r"none\.tif"),
    ({"image": "notes.txt"}, ImageError, r"notes\.txt"),
    ({"page": 2}, ImageError, r"image\.tif has 1 page: there is no page 2"),
    ({"page": 0}, ImageError, "there is no page 0"),
    ({"model": "large"}, ModelError, "There is no model 'large'. Choose small"),
    ({"model": "../models/small"}, ModelError, r"There is no model '\.\./models/small'"),
    ({"model": "/etc"}, ModelError, "There is no model '/etc'"),
    ({"truth": "notes.txt"}, LabelError, r"notes\.txt"),
]


@pytest.mark.parametrize(("given", "kind", "sentence"), FAULTS)
def test_a_fault_has_a_sentence_without_folders_and_leaves_no_job(
    files: Path, given: dict[str, object], kind: type[Exception], sentence: str
) -> None:
    (files / "notes.txt").write_text("not an image")
    kept = len(KEPT)
    with pytest.raises(kind, match=sentence) as caught:
        segment(files, "ann", **given)  # type: ignore[arg-type]
    assert str(files) not in str(caught.value)
    assert len(JOBS) == 0 and len(KEPT) == kept


def test_no_image_at_all_has_a_sentence() -> None:
    with pytest.raises(ImageError, match="Choose an image first"):
        segment_upload(None, None, "small", 1, visitor="ann")
    assert len(JOBS) == 0


def test_limits_name_what_is_too_large(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(files / "stack.tif", np.zeros((4, 30, 30), np.uint8), photometric="minisblack")
    monkeypatch.setattr("hf_unet.demo.uploads.MOST_PAGES", 3)
    with pytest.raises(ImageError, match=r"stack\.tif has 4 pages; this page takes up to 3"):
        segment(files, image="stack.tif")
    monkeypatch.setattr("hf_unet.demo.uploads.MOST_PIXELS", 60 * 70 - 1)
    with pytest.raises(ImageError, match=r"image\.tif"):
        segment(files)


def test_a_cleared_page_number_means_the_first(files: Path) -> None:
    assert shown_of(segment(files, page=None)).result.image.page == 0


def test_a_fault_of_the_network_itself_leaves_no_job(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: object) -> UNet:
        raise MemoryError

    monkeypatch.setattr(segmenting, "load_model", broken)
    with pytest.raises(MemoryError):
        segment(files, "ann")
    assert len(JOBS) == 0


def test_more_values_than_the_page_can_hold_are_refused_before_the_work(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenting, "MOST_PROBABILITIES", 2 * noise().size - 1)
    with pytest.raises(ImageError, match="2 classes of 0 megapixels are more than this page"):
        segment(files)
    assert len(JOBS) == 0
    monkeypatch.setattr(segmenting, "MOST_PROBABILITIES", 2 * noise().size)
    segment(files)


def test_those_without_a_name_do_not_stop_each_other() -> None:
    jobs = Jobs()
    first, second = jobs.begin(""), jobs.begin("")
    assert not first.is_set() and not second.is_set() and len(jobs) == 0
    jobs.end("", first)
    assert jobs.stop("") is False
