"""The viewer's JavaScript, function by function, against NumPy."""

import base64
import gzip
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_unet.demo.scenes import Layer, Scene
from hf_unet.display import displayed

pytestmark = pytest.mark.browser

FILES = ("scene.js", "camera.js", "drawing.js", "readout.js", "paint.js", "brush.js")
Evaluate = Callable[..., Any]


@pytest.fixture(scope="module")
def evaluate(chromium: Any) -> Iterator[Evaluate]:
    """Runs an expression, or a function with an argument, where the viewer's files are loaded."""
    from hf_unet.demo.viewer import asset

    page = chromium.new_page()
    page.add_script_tag(content="\n".join(asset(name) for name in FILES))
    yield page.evaluate
    page.close()


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-9, atol=1e-9))


# --- where one looks --------------------------------------------------------------------------

SCENE = {"width": 300, "height": 200}
BOX = {"width": 640, "height": 480}


def test_a_fitted_image_fills_the_box_one_way_and_lies_in_its_middle(evaluate: Evaluate) -> None:
    camera = evaluate("([scene, box]) => fitCamera(scene, box)", [SCENE, BOX])
    assert close(camera["scale"], 640 / 300)
    left, top = -camera["x"] * camera["scale"], -camera["y"] * camera["scale"]
    assert close(left, 0) and close(top, (480 - 200 * camera["scale"]) / 2)


def test_zooming_leaves_the_point_under_the_pointer_where_it_is(evaluate: Evaluate) -> None:
    chance = np.random.default_rng(0)
    for _ in range(50):
        x, y, px, py = chance.uniform([-50, -50, 0, 0], [300, 200, 640, 480])
        camera = {"scale": chance.uniform(1.1, 60), "x": x, "y": y}
        factor = chance.uniform(0.2, 5)
        zoomed = evaluate(
            "([camera, scene, box, factor, at]) => zoomCamera(camera, scene, box, factor, at)",
            [camera, SCENE, BOX, factor, {"x": px, "y": py}],
        )
        for axis, point in (("x", px), ("y", py)):
            before = camera[axis] + point / camera["scale"]
            assert close(zoomed[axis] + point / zoomed["scale"], before)
        assert close(zoomed["scale"], np.clip(camera["scale"] * factor, 0.5, 64))


def test_an_image_of_one_pixel_is_not_made_smaller_by_zooming_in(evaluate: Evaluate) -> None:
    scales = evaluate(
        """box => {
            const scene = { width: 1, height: 1 }, fitted = fitCamera(scene, box);
            return [fitted.scale, zoomCamera(fitted, scene, box, 1.5, { x: 9, y: 9 }).scale];
        }""",
        BOX,
    )
    assert scales[1] >= scales[0] > 64


@pytest.mark.parametrize("far", [-1e5, 1e5])
def test_the_image_cannot_be_pushed_out_of_sight(evaluate: Evaluate, far: float) -> None:
    camera = evaluate(
        "([camera, scene, box, far]) => panCamera(camera, scene, box, far, far)",
        [{"scale": 2, "x": 10, "y": 10}, SCENE, BOX, far],
    )
    for axis, side, length in (("x", "width", 300), ("y", "height", 200)):
        first = (0 - camera[axis]) * 2
        last = (length - camera[axis]) * 2
        assert first < BOX[side] and last > 0, "a part of the image is on the canvas"


def test_a_drag_moves_the_image_with_the_pointer(evaluate: Evaluate) -> None:
    camera = evaluate(
        "([camera, scene, box]) => panCamera(camera, scene, box, 30, -8)",
        [{"scale": 4, "x": 50, "y": 60}, SCENE, BOX],
    )
    assert (camera["x"], camera["y"], camera["scale"]) == (50 - 7.5, 60 + 2, 4)


def test_the_pixel_under_a_point_is_the_one_drawn_there(evaluate: Evaluate) -> None:
    camera = {"scale": 10, "x": 3.5, "y": -1}
    for point, pixel in (((0, 0), (3, -1)), ((5, 9.9), (4, -1)), ((4.9, 10), (3, 0))):
        found = evaluate(
            "([camera, point]) => pixelUnder(camera, point)",
            [camera, dict(zip("xy", point, strict=True))],
        )
        assert (found["x"], found["y"]) == pixel


def test_what_is_fetched_holds_every_pixel_in_sight_and_lies_on_its_grid(
    evaluate: Evaluate,
) -> None:
    chance = np.random.default_rng(1)
    scene = {"width": 5000, "height": 3000}
    for _ in range(100):
        scale = float(np.exp(chance.uniform(np.log(0.1), np.log(64))))
        x, y = chance.uniform([-500, -500], [4900, 2900])
        camera = {"scale": scale, "x": x, "y": y}
        window = evaluate(
            "([scene, camera, box]) => windowInSight(scene, camera, box)", [scene, camera, BOX]
        )
        step = window["step"]
        assert step == max(1, int(1 / scale)), "at least a sample for each point of the screen"
        for axis, side, start in (("x", "width", "left"), ("y", "height", "top")):
            first, count = window[start], window[side]
            assert first % step == 0
            assert first >= 0 and count >= 1 and first + count <= scene[side]
            in_sight = np.floor(camera[axis] + np.arange(0, BOX[side]) / scale)
            in_sight = in_sight[(in_sight >= 0) & (in_sight < scene[side])]
            assert ((first <= in_sight) & (in_sight < first + count)).all()


@pytest.mark.parametrize("size", [(1, 1), (1024, 9), (1025, 1), (9000, 12000)])
def test_the_overview_is_the_whole_image_in_at_most_1024_samples_a_side(
    evaluate: Evaluate, size: tuple[int, int]
) -> None:
    height, width = size
    window = evaluate("scene => overviewWindow(scene)", {"height": height, "width": width})
    assert (window["top"], window["left"]) == (0, 0)
    assert (window["height"], window["width"]) == size
    assert -(-max(size) // window["step"]) <= 1024
    assert window["step"] == 1 or -(-max(size) // (window["step"] - 1)) > 1024


@pytest.mark.parametrize("at", [(0, 0), (299, 199), (150, 100), (40, 190)])
@pytest.mark.parametrize("scale", [0.8, 7, 64])
def test_a_brush_is_followed_no_farther_than_into_sight(
    evaluate: Evaluate, at: tuple[int, int], scale: float
) -> None:
    camera = {"scale": scale, "x": 100, "y": 70}
    found = evaluate(
        "([camera, box, at]) => followCamera(camera, box, at)",
        [camera, BOX, dict(zip("xy", at, strict=True))],
    )
    for axis, side, pixel in zip("xy", ("width", "height"), at, strict=True):
        first, last = ((pixel + k - found[axis]) * scale for k in (0, 1))
        assert first > 23.9 and last < BOX[side] - 23.9
        was = (pixel - camera[axis]) * scale
        if was > 24 and was + scale < BOX[side] - 24:
            assert found[axis] == camera[axis], "it was in sight"


# --- pixels on their way ----------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 3])
def test_planes_arrive_as_they_were_sent(evaluate: Evaluate, step: int) -> None:
    chance = np.random.default_rng(2)
    layers = (
        Layer("a", "image", "", chance.integers(0, 256, (3, 9, 7)).astype(np.uint8)),
        Layer("b", "objects", "", chance.integers(0, 65536, (1, 9, 7)).astype(np.uint16)),
        Layer("c", "objects", "", chance.integers(0, 2**32, (1, 9, 7)).astype(np.uint32)),
        Layer("d", "scalar", "", chance.normal(0, 1e6, (2, 9, 7)).astype(np.float32)),
    )
    scene = Scene(layers, "")
    window = {"top": 1, "left": 2, "height": 8, "width": 5, "step": step}
    packed = scene.region([layer.key for layer in layers], *window.values())
    part = evaluate(
        """async ([scene, window, text]) => {
            globalThis.server = { region: async (asked) => (globalThis.asked = asked, text) };
            const part = await fetchPlanes(scene, scene.layers, window);
            for (const key in part.planes) part.planes[key] = part.planes[key].map((p) => [...p]);
            const planes = Object.values(part.planes);
            const at = (x, y) => planes.map((p) => p[0][sampleAt(part, x, y)]);
            const under = [at(2, 1), at(6, 8)];
            const inside = [[2, 1], [1, 1], [6, 8], [7, 8]].map(([x, y]) => covers(part, x, y));
            return { ...part, asked, under, inside };
        }""",
        [scene.described("token/place"), window, base64.b64encode(gzip.compress(packed)).decode()],
    )
    assert part["asked"] == {"scene": "token/place", "layers": list("abcd"), **window}
    for layer in layers:
        sent = layer.data[:, 1:9:step, 2:7:step]
        assert (part["rows"], part["columns"]) == sent.shape[1:]
        found = np.array(part["planes"][layer.key]).reshape(sent.shape)
        assert np.array_equal(found.astype(layer.data.dtype), sent)
    assert part["inside"] == [True, False, True, False]
    # Under the pointer stands the sample that was taken for the pixel.
    for found, (x, y) in zip(part["under"], [(2, 1), (6, 8)], strict=True):
        row, column = 1 + (y - 1) // step * step, 2 + (x - 2) // step * step
        assert found == [float(layer.data[0, row, column]) for layer in layers]


# --- what is drawn ----------------------------------------------------------------------------


def drawn(
    evaluate: Evaluate, scene: Scene, look: dict[str, Any], over: bool = True
) -> NDArray[np.uint8]:
    """(H, W, 4) picture that `compose` makes of a scene's layers."""
    height, width = scene.size
    planes = {layer.key: [plane.ravel().tolist() for plane in layer.data] for layer in scene.layers}
    pixels = evaluate(
        """([scene, planes, look, over]) => {
            for (const layer of scene.layers)
                planes[layer.key] = planes[layer.key].map((p) => ARRAYS[layer.dtype].from(p));
            const part = { rows: scene.height, columns: scene.width, planes };
            const full = { window: [0, 255], opacity: 0.35, outlines: false, hidden: [], ...look };
            full.hidden = new Set(full.hidden);
            const canvas = compose(part, scene.layers, full, over);
            return [...canvas.getContext("2d").getImageData(0, 0, scene.width, scene.height).data];
        }""",
        [scene.described("t/p"), planes, look, over],
    )
    return np.array(pixels, np.uint8).reshape(height, width, 4)


def blended(
    ground: NDArray[Any], marks: NDArray[np.bool_], color: tuple[int, int, int], opacity: float
) -> NDArray[np.uint8]:
    """The ground with a colour over some pixels."""
    mixed = ground + (np.array(color) - ground.astype(float)) * opacity
    return np.where(marks[..., None], np.rint(mixed), ground).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("window", [(0, 4095), (300, 2000), (1000, 1000)])
def test_intensities_are_windowed_as_in_the_librarys_pictures(
    evaluate: Evaluate, channels: int, window: tuple[int, int]
) -> None:
    image = np.random.default_rng(3).integers(0, 4096, (channels, 6, 5)).astype(np.uint16)
    found = drawn(evaluate, Scene((Layer("i", "image", "", image),), ""), {"window": window})
    assert (found[..., 3] == 255).all()
    if window[0] == window[1]:  # nothing to stretch: black, and no fault
        assert (found[..., :3] == 0).all()
    else:
        expected = displayed(image, window=window)
        assert np.abs(found[..., :3].astype(int) - expected).max() <= 1  # halves round either way


GREY = np.full((4, 4), 100, np.uint8)
MASK = np.array([[1, 1, 0, 0], [1, 1, 0, 2], [0, 0, 0, 2], [3, 0, 0, 0]], np.uint8)
COLORS = {"names": list("abcd"), "colors": ["#000000", "#ff0000", "#00ff00", "#0000ff"]}


def mask_scene(**settings: Any) -> Scene:
    image = Layer("i", "image", "", GREY[None])
    mask = Layer("m", "indices", "", MASK[None], {**COLORS, "first": 1, **settings})
    return Scene((image, mask), "")


@pytest.mark.parametrize("opacity", [0, 0.35, 1])
def test_classes_are_mixed_into_the_image_by_the_opacity(
    evaluate: Evaluate, opacity: float
) -> None:
    expected = np.stack([GREY] * 3, axis=-1)
    for index, color in ((1, (255, 0, 0)), (2, (0, 255, 0)), (3, (0, 0, 255))):
        expected = blended(expected, index == MASK, color, opacity)
    found = drawn(evaluate, mask_scene(), {"opacity": opacity})
    assert np.abs(found[..., :3].astype(int) - expected).max() <= 1


def test_a_class_that_is_switched_off_is_not_drawn_nor_a_hidden_layer(evaluate: Evaluate) -> None:
    found = drawn(evaluate, mask_scene(), {"opacity": 1, "hidden": ["m2"]})
    assert found[1, 3, :3].tolist() == [100, 100, 100]
    assert found[0, 0, :3].tolist() == [255, 0, 0]
    for look, over in (({"hidden": ["m"]}, True), ({"opacity": 1}, False)):
        assert (drawn(evaluate, mask_scene(), look, over)[..., :3] == 100).all()


def test_outlines_are_the_pixels_with_another_value_beside_them(evaluate: Evaluate) -> None:
    square = np.zeros((7, 7), np.uint8)
    square[1:6, 1:6] = 1
    mask = Layer("m", "indices", "", square[None], {**COLORS, "first": 1})
    scene = Scene((Layer("i", "image", "", np.zeros((1, 7, 7), np.uint8)), mask), "")
    found = drawn(evaluate, scene, {"opacity": 0, "outlines": True})[..., 0]
    edge = square.copy()
    edge[2:5, 2:5] = 0
    assert np.array_equal(found == 255, edge == 1)


def test_an_edge_does_not_reach_around_to_the_other_side(evaluate: Evaluate) -> None:
    chance = np.random.default_rng(4)
    plane = chance.integers(0, 3, (6, 8))
    found = evaluate(
        "([p, columns]) => p.map((_, n) => isEdge(p, n, n % columns, columns, p.length))",
        [plane.ravel().tolist(), 8],
    )
    expected = np.zeros(plane.shape, bool)
    differs = plane[1:] != plane[:-1]
    expected[1:] |= differs
    expected[:-1] |= differs
    differs = plane[:, 1:] != plane[:, :-1]
    expected[:, 1:] |= differs
    expected[:, :-1] |= differs
    assert np.array_equal(np.array(found).reshape(plane.shape), expected)


def test_where_two_objects_of_a_class_touch_there_is_an_outline(evaluate: Evaluate) -> None:
    objects = np.array([[1, 1, 1, 2, 2, 2]] * 3, np.uint16)
    image = Layer("i", "image", "", np.zeros((1, 3, 6), np.uint8))
    numbers = Layer("o", "objects", "", objects[None])
    for outlines, parted in ((None, False), ("o", True)):
        settings = {**COLORS, "first": 1} | ({"outlines": outlines} if outlines else {})
        mask = Layer("m", "indices", "", np.ones((1, 3, 6), np.uint8), settings)
        scene = Scene((image, mask, numbers), "")
        look = {"opacity": 0, "outlines": True, "hidden": ["o"]}
        found = drawn(evaluate, scene, look)[1, :, 0]
        assert (found == 255).tolist() == [False, False, parted, parted, False, False]


def test_classes_that_overlap_show_through_one_another(evaluate: Evaluate) -> None:
    bits = Layer(
        "m",
        "bits",
        "",
        np.array([[[0, 1, 2, 3]]], np.uint8),
        {"names": ["a", "b"], "colors": ["#ff0000", "#0000ff"], "first": 0},
    )
    scene = Scene((Layer("i", "image", "", np.zeros((1, 1, 4), np.uint8)), bits), "")
    found = drawn(evaluate, scene, {"opacity": 0.5})[0, :, :3]
    assert np.abs(found - [[0, 0, 0], [128, 0, 0], [0, 0, 128], [64, 0, 128]]).max() <= 1


def test_neighbouring_numbers_have_colours_far_apart(evaluate: Evaluate) -> None:
    colors = np.array(evaluate("OBJECT_COLORS"))
    assert colors.shape == (512, 3) and colors.min() >= 0 and colors.max() <= 255
    for apart in (1, 2, 3):
        distance = np.linalg.norm(colors[apart:] - colors[:-apart], axis=1)
        assert distance.min() > 60


def test_a_heat_map_goes_from_black_to_yellow_and_infinity_is_its_highest(
    evaluate: Evaluate,
) -> None:
    values = np.array([[[2, 4, 6, np.inf]]], np.float32)
    layer = Layer("d", "scalar", "", values, {"range": [2, 6]})
    scene = Scene((layer,), "")
    # JSON has no infinity: it is put in on the other side.
    part = {"rows": 1, "columns": 4}
    found = evaluate(
        """([layer, part]) => {
            const pixels = new Uint8ClampedArray(16);
            const planes = { d: [Float32Array.of(2, 4, 6, Infinity)] };
            drawHeat(pixels, { ...part, planes }, layer);
            return [...pixels];
        }""",
        [scene.described("")["layers"][0], part],
    )
    low, middle, high, infinite = np.array(found).reshape(4, 4).tolist()
    assert low == [0, 0, 4, 255] and high == infinite == [252, 255, 164, 255]
    table = np.array(evaluate("HEAT_TABLE"))
    assert middle == [*table[128], 255]
    brightness = table @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) > -0.8).all(), "brighter is more, all the way"


# --- numbers under the pointer ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (65535, "65535"), (0.5, "0.500"), (12.3456, "12.3"), (123.456, "123.5")],
)
def test_numbers_are_written_to_three_digits_whole_ones_in_full(
    evaluate: Evaluate, value: float, text: str
) -> None:
    assert evaluate("value => amount(value)", value) == text


def test_a_formula_is_filled_with_the_pixels_values(evaluate: Evaluate) -> None:
    fill = "([formula, values]) => fillFormula(formula, values)"
    values = {"d1": [1.25], "d2": [100.04], "w": [10]}
    assert evaluate(fill, ["{w} = exp({d1} + {d2})", values]) == "10 = exp(1.25 + 100.0)"
    assert evaluate(fill, ["{other}", values]) == "other"
    assert evaluate("fillFormula('{d}', { d: [Infinity] })") == "∞"


def test_what_is_known_of_a_pixel_is_said_in_full(evaluate: Evaluate) -> None:
    settings = {"names": ["background", "cell"], "colors": ["#000000", "#ff0000"], "first": 1}
    scene = Scene(
        (
            Layer("image", "image", "Image", np.array([[[300, 7]], [[5, 9]]], np.uint16)),
            Layer("mask", "indices", "Prediction", np.array([[[1, 0]]], np.uint8), settings),
            Layer("objects", "objects", "object", np.array([[[42, 0]]], np.uint16)),
            Layer("bits", "bits", "Classes", np.array([[[3, 0]]], np.uint8), settings),
            Layer("d", "scalar", "d1", np.array([[[1.5, 0]]], np.float32), {"unit": "px"}),
            Layer(
                "p",
                "probability",
                "Probability",
                np.array([[[51, 255]], [[204, 0]]], np.uint8),
                {"names": ["background", "cell"]},
            ),
        ),
        "",
        {"formula": "d = {d}", "origin": {"x": 10, "y": 20}, "thinned": 2},
    )
    planes = {layer.key: [p.ravel().tolist() for p in layer.data] for layer in scene.layers}
    said = evaluate(
        """([scene, planes]) => {
            const part = { top: 0, left: 0, width: 2, height: 1, step: 1, columns: 2, planes };
            return [describe(scene, part, 0, 0), describe(scene, part, 1, 0)];
        }""",
        [scene.described(""), planes],
    )
    assert said == [
        "x -10, y -20 · intensity 300, 5 · Prediction: cell · object 42 · "
        "Classes: background + cell · d1 1.50 px · p background 0.20, cell 0.80 · d = 1.50",
        "x -8, y -20 · intensity 7, 9 · Classes: none · d1 0 px · "
        "p background 1.00, cell 0.00 · d = 0",
    ]


# --- painting ---------------------------------------------------------------------------------


def painted(evaluate: Evaluate, kind: str, dtype: str, steps: str) -> NDArray[np.int64]:
    """The mask, (9, 12), that `Painting.runs` tells of after some steps."""
    runs = evaluate(
        """([kind, dtype, steps]) => {
            const colors = ["#000000", "#ff0000", "#00ff00"];
            const layer = { key: "m", kind, dtype, colors, first: 0 };
            const painting = new Painting({ width: 12, height: 9 }, layer);
            new Function("painting", steps)(painting);
            return painting.runs();
        }""",
        [kind, dtype, steps],
    )
    values, lengths = np.array(runs).reshape(-1, 2).T
    assert (lengths > 0).all() and (np.diff(values) != 0).all(), "runs are as long as can be"
    return np.repeat(values, lengths).reshape(9, 12)


def disc(x: int, y: int, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:9, :12]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


LOOK = "const look = { brush: 1.5, paintClass: 2, erase: false };"


def test_a_brush_paints_where_keys_move_it_while_it_is_down(evaluate: Evaluate) -> None:
    steps = f"""{LOOK} painting.start(null);
        const brush = new Brush(painting, {{ x: 2, y: 4 }});
        brush.move(1, 0, look); brush.press(look); brush.move(0, 2, look); brush.move(3, 0, look);
        brush.press(look); brush.move(4, -6, look);
        globalThis.brushAt = [brush.x, brush.y, painting.before.length];"""
    found = painted(evaluate, "indices", "uint8", steps)
    expected = np.zeros((9, 12), np.int64)
    for x, y in ((3, 4), (3, 5), (3, 6), (4, 6), (5, 6), (6, 6)):
        expected[disc(x, y, 1.5)] = 2
    assert np.array_equal(found, expected)
    assert evaluate("brushAt") == [10, 0, 1], "one stroke, to be undone as one"


def test_a_brush_stays_on_the_image_and_erases(evaluate: Evaluate) -> None:
    steps = f"""{LOOK} painting.start(new Uint8Array(9 * 12).fill(1)); look.erase = true;
        const brush = new Brush(painting, {{ x: -5, y: 99 }});
        brush.press(look); brush.move(-1, 1, look);"""
    found = painted(evaluate, "indices", "uint8", steps)
    assert np.array_equal(found, np.where(disc(0, 8, 1.5), 0, 1))


def test_a_brush_says_where_it_is_and_what_it_does(evaluate: Evaluate) -> None:
    said = evaluate(
        f"""() => {{
            {LOOK} const layer = {{ kind: "indices", dtype: "uint8", colors: ["#000000", "#ff0000"],
                first: 1, names: ["background", "debris", "cell"] }};
            const painting = new Painting({{ width: 12, height: 9 }}, layer);
            const brush = new Brush(painting, {{ x: 7, y: 3 }});
            const said = [brush.says(look)];
            look.erase = true; look.brush = 6; brush.press(look);
            return [...said, brush.says(look)];
        }}"""
    )
    assert said == [
        "Brush up at x 7, y 3: paints cell, radius 1.50 pixels.",
        "Brush down at x 7, y 3: erases, radius 6 pixels.",
    ]


def test_runs_give_the_mask_back(evaluate: Evaluate) -> None:
    assert (painted(evaluate, "indices", "uint8", "painting.start(null)") == 0).all()
    mask = np.random.default_rng(5).integers(0, 3, (9, 12))
    steps = f"painting.start({mask.ravel().tolist()})"
    assert np.array_equal(painted(evaluate, "indices", "uint8", steps), mask)
    bits = np.random.default_rng(5).integers(0, 8, (9, 12))
    steps = f"painting.start({bits.ravel().tolist()})"
    assert np.array_equal(painted(evaluate, "bits", "uint32", steps), bits)


@pytest.mark.parametrize(("x", "y", "radius"), [(5, 4, 2.5), (0, 0, 3), (11, 8, 1), (5, 4, 0.5)])
def test_a_dab_is_a_disc_cut_off_at_the_image(
    evaluate: Evaluate, x: int, y: int, radius: float
) -> None:
    steps = f"painting.start(null); painting.dab({x}, {y}, {radius}, 2, false)"
    found = painted(evaluate, "indices", "uint8", steps)
    assert np.array_equal(found, np.where(disc(x, y, radius), 2, 0))


def test_a_dab_outside_the_image_paints_nothing(evaluate: Evaluate) -> None:
    steps = "painting.start(null); painting.dab(-9, 30, 3, 2, false)"
    assert (painted(evaluate, "indices", "uint8", steps) == 0).all()


def test_of_classes_that_overlap_one_is_painted_or_erased_at_a_time(evaluate: Evaluate) -> None:
    steps = """painting.start(null);
        painting.dab(4, 4, 3, 0, false); painting.dab(7, 4, 3, 1, false);
        painting.dab(4, 4, 1, 0, true);"""
    found = painted(evaluate, "bits", "uint8", steps)
    first, second = disc(4, 4, 3) & ~disc(4, 4, 1), disc(7, 4, 3)
    assert np.array_equal(found, first * 1 + second * 2)


def test_a_stroke_leaves_no_gap_and_undo_takes_it_back_whole(evaluate: Evaluate) -> None:
    stroke = """painting.start(null); painting.remember();
        painting.stroke({ x: 1, y: 1 }, { x: 10, y: 7 }, 1, 1, false);"""
    found = painted(evaluate, "indices", "uint8", stroke)
    for share in np.linspace(0, 1, 40):
        x, y = round(1 + 9 * share), round(1 + 6 * share)
        assert found[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].any()
    assert found[1, 1] == found[7, 10] == 1 and found[8, 0] == found[0, 11] == 0
    assert (painted(evaluate, "indices", "uint8", stroke + "painting.undo()") == 0).all()


def test_undo_ends_where_the_painting_began(evaluate: Evaluate) -> None:
    start = "painting.start(new Uint8Array(9 * 12).fill(2));"
    undone = start + "for (let n = 0; n < 9; n++) painting.undo();"
    assert (painted(evaluate, "indices", "uint8", undone) == 2).all()
    emptied = start + "painting.start(null); painting.undo();"
    assert (painted(evaluate, "indices", "uint8", emptied) == 2).all()


def test_not_all_of_the_past_is_kept(evaluate: Evaluate) -> None:
    steps = (
        "for (let n = 0; n < 50; n++) painting.remember(); globalThis.kept = painting.before.length"
    )
    painted(evaluate, "indices", "uint8", steps)
    assert evaluate("kept") == evaluate("STEPS_BACK")
