"""The pictures in a run folder: the curves of its log, and kept-out images with their errors."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from hf_unet.colors import PALETTE, rgb
from hf_unet.display import CONFUSION_COLORS, draw_classes
from hf_unet.metrics.confusion import INVENTED, MISSED, class_confusion, confusion_map
from hf_unet.training.reports import ReportError, draw_curves
from hf_unet.training.samples import GAP, LINE, NARROWEST, Sample, draw_samples

PANEL = (440, 310)  # pixels of a panel of the curves, width and height
ORANGE = rgb(PALETTE[0])
RED, BLUE = (200, 0, 0), (0, 0, 200)


def write_log(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def line(step: int, **figures: Any) -> dict[str, Any]:
    return {"step": step, "seconds": 1.5, "loss": 0.5, "learning_rate": 0.001} | figures


def pixels(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def panel(path: Path, number: int) -> npt.NDArray[np.uint8]:
    """The panel of this number, from 0, three in a row."""
    down, right = divmod(number, 3)
    width, height = PANEL
    return pixels(path)[height * down : height * (down + 1), width * right : width * (right + 1)]


def count(picture: npt.NDArray[np.uint8], color: tuple[int, int, int]) -> int:
    return int((picture == color).all(axis=-1).sum())


def test_a_panel_for_each_figure(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "log.jsonl",
        *(
            line(
                100 * n,
                images=3,
                pixel_error=0.1 / n,
                per_image={"convention": "per image", "dice": {"disc": 0.8, "ring": 0.5 + 0.1 * n}},
            )
            for n in (1, 2, 3)
        ),
    )
    draw_curves(log, tmp_path / "curves.png")
    assert pixels(tmp_path / "curves.png").shape == (2 * PANEL[1], 3 * PANEL[0], 3)
    for number in range(4):  # loss, learning rate, pixel error, Dice
        assert count(panel(tmp_path / "curves.png", number), ORANGE) > 50
    # The second class has the second colour, in the panel that the first is in.
    assert count(panel(tmp_path / "curves.png", 3), rgb(PALETTE[1])) > 50
    assert count(panel(tmp_path / "curves.png", 2), rgb(PALETTE[1])) == 0
    # Nothing is drawn of what is no figure: the number of images, the text of a convention.
    assert (panel(tmp_path / "curves.png", 4) == 255).all()


def test_a_log_of_one_line(tmp_path: Path) -> None:
    draw_curves(
        write_log(tmp_path / "log.jsonl", line(3, pixel_error=0.2)), tmp_path / "curves.png"
    )
    assert pixels(tmp_path / "curves.png").shape == (PANEL[1], 3 * PANEL[0], 3)
    assert count(panel(tmp_path / "curves.png", 2), ORANGE) > 5


def test_what_is_missing_or_no_number_is_left_out(tmp_path: Path) -> None:
    known = [line(n, seg=0.1 * n, per_image={"dice": {"disc": 0.5}}) for n in (1, 2, 3, 4)]
    draw_curves(write_log(tmp_path / "whole.jsonl", *known), tmp_path / "whole.png")
    del known[1]["seg"]
    known[2] |= {"seg": None, "loss": float("nan"), "per_image": {"dice": {"disc": None}}}
    known[0]["never"] = None
    draw_curves(write_log(tmp_path / "gaps.jsonl", *known), tmp_path / "gaps.png")
    assert pixels(tmp_path / "gaps.png").shape == pixels(tmp_path / "whole.png").shape
    for number in (0, 2, 3):  # of four points in a row two are left apart, the lines are not
        left = count(panel(tmp_path / "gaps.png", number), ORANGE)
        assert 0 < left < count(panel(tmp_path / "whole.png", number), ORANGE) - 50


def test_a_missing_figure_is_an_unknown_one(tmp_path: Path) -> None:
    for name, first in (("missing", {}), ("null", {"seg": None}), ("nan", {"seg": float("nan")})):
        lines = [line(1, **first), line(2, seg=0.2), line(3, seg=0.4)]
        draw_curves(write_log(tmp_path / f"{name}.jsonl", *lines), tmp_path / f"{name}.png")
    expected = pixels(tmp_path / "null.png")
    assert np.array_equal(pixels(tmp_path / "missing.png"), expected)
    assert np.array_equal(pixels(tmp_path / "nan.png"), expected)


def test_an_interval_has_a_band(tmp_path: Path) -> None:
    interval = {"value": 0.5, "low": 0.2, "high": 0.8}
    for name, value in (("plain", 0.5), ("band", interval)):
        lines = [line(n, average_precision={"0.5": value}) for n in (1, 2)]
        draw_curves(write_log(tmp_path / f"{name}.jsonl", *lines), tmp_path / f"{name}.png")
    drawn = {name: panel(tmp_path / f"{name}.png", 2) for name in ("plain", "band")}
    paper = {name: count(picture, (255, 255, 255)) for name, picture in drawn.items()}
    assert paper["band"] < paper["plain"] - 10_000


def test_the_best_of_an_error_is_its_smallest(tmp_path: Path) -> None:
    def extra_on_the_left(name: str, values: list[float]) -> int:
        lines = [line(n, **{name: value}) for n, value in enumerate(values)]
        draw_curves(write_log(tmp_path / "log.jsonl", *lines), tmp_path / "curves.png")
        red, _, blue = np.moveaxis(panel(tmp_path / "curves.png", 2).astype(int), -1, 0)
        drawn = red - blue > 60
        peak = int(np.flatnonzero(drawn[np.flatnonzero(drawn.any(axis=1))[0]]).mean())
        return int(drawn[:, :peak].sum()) - int(drawn[:, peak + 1 :].sum())

    # A peak in the middle: its sides are alike but for the ring.
    assert extra_on_the_left("warping_error", [0.1, 0.2, 0.1001]) > 20
    assert extra_on_the_left("warping_error", [0.1001, 0.2, 0.1]) < -20
    assert abs(extra_on_the_left("seg", [0.1, 0.2, 0.1001])) < 15


def test_the_kept_step_is_marked(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", *(line(n, seg=0.5) for n in (1, 2, 3)))
    draw_curves(log, tmp_path / "without.png")
    draw_curves(log, tmp_path / "with.png", best_step=2)
    grey = (128, 128, 128)
    for number in range(3):
        assert count(panel(tmp_path / "without.png", number), grey) < 20  # of the letters
        assert count(panel(tmp_path / "with.png", number), grey) > 100


def test_a_loss_over_decades_has_a_logarithmic_axis(tmp_path: Path) -> None:
    def height_in_the_middle(losses: list[float]) -> float:
        lines = [line(n, loss=loss) for n, loss in enumerate(losses)]
        draw_curves(write_log(tmp_path / "log.jsonl", *lines), tmp_path / "curves.png")
        drawn = (panel(tmp_path / "curves.png", 0) == ORANGE).all(axis=-1)
        columns = np.flatnonzero(drawn.any(axis=0))
        top, bottom = np.flatnonzero(drawn.any(axis=1))[[0, -1]]
        middle = np.flatnonzero(drawn[:, (columns[0] + columns[-1]) // 2]).mean()
        return float((bottom - middle) / (bottom - top))

    assert height_in_the_middle([1, 0.1, 0.01]) == pytest.approx(0.5, abs=0.05)
    assert height_in_the_middle([1, 0.3, 0.2]) == pytest.approx(0.125, abs=0.05)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "log.jsonl holds no line yet"),
        ('{"step": 1}\n{"step": 2, "lo', "Line 2 of log.jsonl is no JSON object"),
        ("[1]\n", "Line 1 of log.jsonl is no JSON object"),
        ('{"loss": 1}\n', "whole number as its step"),
        ('{"step": "1"}\n', "whole number as its step"),
    ],
)
def test_a_broken_log_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "log.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "curves.png").write_bytes(b"the old one")
    with pytest.raises(ReportError, match=sentence):
        draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes() == b"the old one"


def test_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"no log\.jsonl"):
        draw_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")


def test_drawing_loads_matplotlib_late_and_no_pyplot(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", line(1))
    code = (
        "import sys; from pathlib import Path; from hf_unet.training.reports import draw_curves\n"
        "assert 'matplotlib' not in sys.modules\n"
        "draw_curves(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, log, tmp_path / "curves.png"], check=True)
    assert (tmp_path / "curves.png").is_file()


def planes(*drawings: list[str]) -> npt.NDArray[np.bool_]:
    """Planes drawn with # and anything else."""
    return np.array([[[c == "#" for c in row] for row in drawing] for drawing in drawings])


TRUTH = planes(["##..", "##..", "....", "...."], ["....", ".##.", ".##.", "...."])
FOUND = planes([".#..", ".#..", "....", "...#"], ["....", ".##.", ".###", "...."])


def sample(side: int = 4, **changes: Any) -> Sample:
    """Two classes that overlap in one pixel, enlarged to ``side`` pixels."""
    times = side // 4
    fields: dict[str, Any] = {
        "name": "04",
        "image": np.full((side, side, 3), 100, np.uint8),
        "truth": TRUTH.repeat(times, axis=1).repeat(times, axis=2),
        "prediction": FOUND.repeat(times, axis=1).repeat(times, axis=2),
        "classes": ("disc", "ring"),
        "colors": (RED, BLUE),
        "dice": (0.5, None),
    }
    return Sample(**fields | changes)


def pictures(path: Path, side: int) -> list[npt.NDArray[np.uint8]]:
    """The four squares of the first row."""
    cell = max(side, NARROWEST)
    top = GAP + 2 * LINE
    lefts = [GAP + column * (cell + GAP) for column in range(4)]
    page = pixels(path)
    return [page[top : top + side, left : left + side] for left in lefts]


def test_the_pictures_of_a_row(tmp_path: Path) -> None:
    draw_samples([sample(160)], tmp_path / "samples.png", side=160)
    image, truth, found, errors = pictures(tmp_path / "samples.png", 160)
    assert (image == 100).all()
    for picture, stack in ((truth, TRUTH), (found, FOUND)):
        expected = draw_classes(
            np.full((4, 4, 3), 100, np.uint8), list(zip(stack, (RED, BLUE), strict=True)), None, 0.5
        )
        assert np.array_equal(picture[20::40, 20::40], expected)
    # Truth and prediction look the same but where there is an error.
    expected_errors = confusion_map(class_confusion(TRUTH, FOUND))
    wrong = np.isin(expected_errors, (MISSED, INVENTED))
    assert np.array_equal((truth != found).any(axis=-1)[20::40, 20::40], wrong)
    for value, (_, color) in CONFUSION_COLORS.items():
        marked = (errors == color).all(axis=-1)[20::40, 20::40]
        assert np.array_equal(marked, expected_errors == value)


def test_small_images_are_enlarged_and_large_ones_shrunk(tmp_path: Path) -> None:
    draw_samples([sample(4)], tmp_path / "small.png", side=162)
    draw_samples([sample(4800)], tmp_path / "large.png", side=160)
    small, large = (pictures(tmp_path / f"{name}.png", 160)[3] for name in ("small", "large"))
    assert np.array_equal(small[20::40, 20::40], large[20::40, 20::40])
    assert count(small, CONFUSION_COLORS[MISSED][1]) == 2 * 40 * 40


def test_a_thin_error_is_not_lost_where_the_image_is_shrunk(tmp_path: Path) -> None:
    found = sample(640).truth.copy()
    found[0, 501, :] = True
    draw_samples([sample(640, prediction=found)], tmp_path / "thin.png", side=160)
    *_, errors = pictures(tmp_path / "thin.png", 160)
    row = errors[501 // 4]
    assert (row[:, 0] > row[:, 2]).all()  # reddish for the grey that it was
    assert (errors[501 // 4 + 1] == 50).all()


def test_rows_of_several_images(tmp_path: Path) -> None:
    wide = np.zeros((1, 40, 200), np.bool_)
    other = Sample(
        "wide " * 99, np.zeros((40, 200, 3), np.uint8), wide, wide, ("disc",), (RED,), (1,)
    )
    draw_samples([sample(160), other], tmp_path / "samples.png", side=200)
    page = pixels(tmp_path / "samples.png")
    assert page.shape == (
        GAP + LINE + (LINE + 160 + GAP) + (LINE + 40 + GAP) + 2 * LINE + GAP,
        860,
        3,
    )
    top = GAP + LINE + LINE + 160 + GAP + LINE
    assert (page[top : top + 40, GAP : GAP + 200] == 0).all()
    # The caption is cut at the margin, and both classes are explained below.
    assert (page[top - LINE : top, -GAP:] == 255).all()
    assert (page[top - LINE : top, -4 * GAP : -GAP] < 255).any()
    assert count(page[top + 40 :], RED) > 100 and count(page[top + 40 :], BLUE) > 100


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"truth": TRUTH[:1]}, r"must both have the shape \(2, 4, 4\)"),
        ({"prediction": TRUTH[:, :3]}, r"must both have the shape \(2, 4, 4\)"),
        ({"colors": (RED,)}, "2 classes, 1 colours and 2 values of Dice"),
        ({"dice": (0.5,)}, "2 classes, 2 colours and 1 values of Dice"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReportError, match=sentence):
        sample(**changes)


def test_no_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no image"):
        draw_samples([], tmp_path / "samples.png")
    assert not (tmp_path / "samples.png").exists()
