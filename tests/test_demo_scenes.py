"""Scenes: the pixels a page asks for are those of the arrays, to the last one."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hf_unet.demo import scenes
from hf_unet.demo.scenes import (
    Layer,
    Scene,
    class_layer,
    image_layer,
    object_layer,
    probability_layer,
    scalar_layer,
)
from hf_unet.errors import ImageError

HEIGHT, WIDTH = 11, 7


def filled(dtype: str, planes: int = 1, order: str = "C") -> NDArray[Any]:
    """Different values all over, so that no pixel passes for another."""
    values = np.arange(planes * HEIGHT * WIDTH).reshape(planes, HEIGHT, WIDTH)
    return np.asarray(values, dtype=dtype, order="F" if order == "F" else "C")


def unpacked(packed: bytes, shapes: list[tuple[str, int, int, int]]) -> Iterator[NDArray[Any]]:
    """The planes in what was sent; each of (dtype, planes, rows, columns)."""
    at = 0
    for dtype, planes, rows, columns in shapes:
        little = np.dtype(dtype).newbyteorder("<")
        for _ in range(planes):
            yield np.frombuffer(packed, little, rows * columns, at).reshape(rows, columns)
            at += -(-rows * columns * little.itemsize // 4) * 4
    assert at == len(packed)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", ">u2", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_region_is_every_so_manieth_pixel_of_a_slice(dtype: str, order: str) -> None:
    data = filled(dtype, planes=2, order=order)
    scene = Scene((Layer("a", "image", "A", data),), "an image")
    packed = scene.region(["a"], top=2, left=1, height=7, width=5, step=3)
    shape = (np.dtype(dtype).newbyteorder("<").str, 2, 3, 2)
    for plane, sent in zip(data, unpacked(packed, [shape]), strict=True):
        assert np.array_equal(sent, plane[2:9:3, 1:6:3])


@given(data=st.data())
def test_any_region_of_any_layers(data: st.DataObject) -> None:
    layers = (
        Layer("bytes", "indices", "", filled("uint8", 3)),
        Layer("words", "objects", "", filled("uint16", 1)),
        Layer("floats", "scalar", "", filled("float32", 2)),
    )
    keys = data.draw(st.lists(st.sampled_from(["bytes", "words", "floats"]), unique=True))
    top, left = data.draw(st.integers(0, HEIGHT - 1)), data.draw(st.integers(0, WIDTH - 1))
    height = data.draw(st.integers(1, HEIGHT - top))
    width = data.draw(st.integers(1, WIDTH - left))
    step = data.draw(st.integers(1, 12))
    packed = Scene(layers, "").region(keys, top, left, height, width, step)
    by_key = {layer.key: layer.data for layer in layers}
    rows, columns = len(range(0, height, step)), len(range(0, width, step))
    shapes = [(by_key[key].dtype.str, len(by_key[key]), rows, columns) for key in keys]
    planes = [plane for key in keys for plane in by_key[key]]
    for plane, sent in zip(planes, unpacked(packed, shapes), strict=True):
        assert np.array_equal(sent, plane[top : top + height : step, left : left + width : step])


def test_planes_are_little_endian_and_filled_up_to_four_bytes() -> None:
    layers = (
        Layer("a", "image", "", np.array([[[1, 2, 3]], [[4, 5, 6]]], np.uint8)),
        Layer("b", "objects", "", np.array([[[0x0102]]], ">u2")),
    )
    assert Scene(layers[:1], "").region(["a"], 0, 0, 1, 3, 1) == bytes([1, 2, 3, 0, 4, 5, 6, 0])
    assert Scene(layers[1:], "").region(["b"], 0, 0, 1, 1, 1) == bytes([2, 1, 0, 0])


@pytest.mark.parametrize(
    ("keys", "rectangle"),
    [
        (["b"], (0, 0, 1, 1, 1)),
        (["a", "b"], (0, 0, 1, 1, 1)),
        (["a", "a"], (0, 0, 1, 1, 1)),
        (["a"], (-1, 0, 2, 2, 1)),
        (["a"], (0, -1, 2, 2, 1)),
        (["a"], (0, 0, HEIGHT + 1, 1, 1)),
        (["a"], (0, 0, 1, WIDTH + 1, 1)),
        (["a"], (HEIGHT, 0, 1, 1, 1)),
        (["a"], (0, 0, 0, 1, 1)),
        (["a"], (0, 0, 1, -1, 1)),
        (["a"], (0, 0, 1, 1, 0)),
        (["a"], (0, 0, 1, 1, -1)),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    keys: list[str], rectangle: tuple[int, int, int, int, int]
) -> None:
    scene = Scene((Layer("a", "image", "", filled("uint8")),), "")
    with pytest.raises(ImageError, match="does not have"):
        scene.region(keys, *rectangle)


def test_more_than_is_sent_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "MOST_SAMPLES", 4_000)
    # One bit of memory for all pixels: only what is asked for counts.
    data = np.broadcast_to(np.zeros((1, 1, 1), np.uint8), (1, 4_001, 4_000))
    scene = Scene((Layer("a", "image", "", data), Layer("b", "image", "", data)), "")
    assert len(scene.region(["a", "b"], 0, 0, 1, 4_000, 1)) == 8_000
    assert len(scene.region(["a", "b"], 0, 0, 4_001, 4_000, 100)) == 2 * 41 * 40
    with pytest.raises(ImageError, match="more pixels at once"):
        scene.region(["a", "b"], 0, 0, 2, 4_000, 1)
    # Painting takes one layer whole.
    assert len(scene.region(["a"], 0, 0, 4_000, 4_000, 1)) == 16_000_000
    with pytest.raises(ImageError, match="more pixels at once"):
        scene.region(["a"], 0, 0, 4_001, 4_000, 1)


def test_a_description_holds_all_but_the_pixels_and_is_json() -> None:
    image = image_layer(np.array([[[0, 500, 65535]]], np.uint16))
    mask = class_layer(
        np.array([[0, 1, 1]], np.uint8),
        ("none", "cell"),
        ("#000000", "#ff0000"),
        key="m",
        label="M",
    )
    told = json.loads(
        json.dumps(Scene((image, mask), "a.tif", {"hidden": ["m"]}).described("token/place"))
    )
    assert (told["scene"], told["image"], told["hidden"]) == ("token/place", "a.tif", ["m"])
    assert (told["height"], told["width"]) == (1, 3)
    first, second = told["layers"]
    assert (first["dtype"], first["planes"], first["limits"]) == ("uint16", 1, [0, 65535])
    assert (second["names"], second["first"]) == (["none", "cell"], 1)
    assert first["id"] != second["id"]
    assert first["id"] == image.described()["id"], "the page fetches the same data but once"
    assert image_layer(np.zeros((1, 1, 1), np.uint16)).identity != first["id"]


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [
        ("uint8", "uint8"),
        ("uint16", "uint16"),
        ("int16", "float32"),
        ("uint32", "float32"),
        ("float64", "float32"),
    ],
)
def test_the_page_gets_an_images_own_values(dtype: str, sent: str) -> None:
    values = np.array([[[0, 99], [99, 1]]])
    layer = image_layer(values.astype(dtype))
    assert layer.data.dtype == sent
    assert np.array_equal(layer.data, values)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1e39, 0, -1e308], "float64"),
        ([3.4e38, 0, -3.4e38], "float32"),
        ([7, 7, 7], "float32"),
        ([-5, -4, 2**40], "int64"),
    ],
)
def test_what_is_told_of_an_image_is_json_whatever_its_values(
    values: list[float], dtype: str
) -> None:
    layer = image_layer(np.array([[values]], dtype))
    assert np.isfinite(layer.data).all()
    json.dumps(layer.described(), allow_nan=False)


def test_of_many_channels_the_first_three_are_sent() -> None:
    image = np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2)
    layer = image_layer(image)
    assert np.array_equal(layer.data, image[:3])
    assert layer.settings["limits"] == [0, 11]


def test_an_eight_bit_image_that_uses_its_range_opens_as_it_is_a_dim_one_is_stretched() -> None:
    bright = np.linspace(0, 255, 4096).reshape(1, 64, 64).astype(np.uint8)
    assert image_layer(bright).settings["window"] == [0.0, 255.0]
    dim = image_layer((bright // 8).astype(np.uint8)).settings
    assert dim["window"] == dim["percentiles"]
    assert dim["limits"] == [0.0, 31.0]


def test_classes_that_overlap_are_a_bit_each() -> None:
    mask = np.array([[[1, 0, 1, 0]], [[1, 1, 0, 0]], [[1, 0, 0, 0]]], bool)
    colors = ("#100000", "#200000", "#300000")
    layer = class_layer(mask, ("a", "b", "c"), colors, key="m", label="M")
    assert layer.kind == "bits" and layer.settings["first"] == 0
    assert layer.data.tolist() == [[[0b111, 0b010, 0b001, 0]]]


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(8, "uint8"), (9, "uint16"), (16, "uint16"), (17, "uint32"), (32, "uint32")],
)
def test_the_bits_of_every_class_fit(count: int, dtype: str) -> None:
    mask = np.eye(count, dtype=bool)[:, None]  # pixel k belongs to class k
    layer = class_layer(mask, ["c"] * count, ["#ffffff"] * count, key="m", label="M")
    assert layer.data.dtype == dtype
    assert layer.data[0, 0].tolist() == [1 << k for k in range(count)]


def test_of_more_classes_that_overlap_than_bits_the_first_are_drawn() -> None:
    mask = np.eye(40, dtype=bool)[:, None]
    names = [str(k) for k in range(40)]
    layer = class_layer(mask, names, ["#ffffff"] * 40, key="m", label="M")
    assert layer.data[0, 0].tolist() == [1 << k for k in range(32)] + [0] * 8
    assert layer.settings["names"] == names[:32] and len(layer.settings["colors"]) == 32


def test_objects_are_sixteen_bits_unless_they_are_too_many() -> None:
    few, many = np.array([[0, 65535]], np.int32), np.array([[0, 65536]], np.int32)
    assert object_layer(few).data.dtype == np.uint16
    assert object_layer(many).data.dtype == np.uint32
    for numbers in (few, many):
        assert np.array_equal(object_layer(numbers).data[0], numbers)


def test_probabilities_come_in_steps_of_a_255th() -> None:
    steps = np.linspace(0, 1, 2001, dtype=np.float32).reshape(1, 1, -1)
    layer = probability_layer(np.concatenate([1 - steps, steps]), ("background", "cell"))
    assert layer.settings["names"] == ["background", "cell"]
    assert layer.data.min() == 0 and layer.data.max() == 255
    assert np.abs(layer.data[1] / 255 - steps[0]).max() <= 0.5 / 255 + 1e-6


def test_a_sigmoids_probability_is_that_of_its_class_and_of_many_classes_the_masks() -> None:
    lone = probability_layer(np.full((1, 1, 2), 0.2, np.float32), ("background", "cell"))
    assert lone.settings["names"] == ["cell"]
    nine = np.zeros((9, 1, 1), np.float32)
    nine[4] = 0.8
    many = probability_layer(nine, [str(k) for k in range(9)])
    assert many.settings["names"] == ["of the class"]
    assert many.data.tolist() == [[[204]]]


def test_a_heat_map_says_its_range_without_infinite_values() -> None:
    settings = scalar_layer(
        np.array([[1, np.inf, 3]], np.float32), key="d", label="d", title="D", unit="px"
    ).settings
    assert settings == {"range": [1.0, 3.0], "title": "D", "unit": "px"}
    empty = scalar_layer(np.full((1, 1), np.inf, np.float32), key="d", label="d", title="D")
    assert empty.settings["range"] == [0.0, 0.0]


# --- the way to the page ----------------------------------------------------------------------


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene that `region` finds under the name "token/place"."""
    viewer = pytest.importorskip("hf_unet.demo.viewer")
    scene = Scene((Layer("a", "image", "", filled("uint16")),), "")
    found = {"token/place": scene}

    def scene_of(name: str) -> Scene:
        if name not in found:
            raise ImageError("Segment the image again.")
        return found[name]

    monkeypatch.setattr(viewer, "scene_of", scene_of)
    return scene


WHOLE = {"top": 0, "left": 0, "height": HEIGHT, "width": WIDTH, "step": 1}


def test_the_page_is_sent_what_gzip_packed_as_base64_that_no_cache_keeps(kept: Scene) -> None:
    from hf_unet.demo.viewer import region

    answer = region({"scene": "token/place", "layers": ["a"], **WHOLE})
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    packed = base64.b64decode(json.loads(bytes(answer.body)))
    assert gzip.decompress(packed) == kept.region(["a"], 0, 0, HEIGHT, WIDTH, 1)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"scene": "token/place", "layers": ["a"]}, 400),
        ({"scene": "token/place", "layers": None, **WHOLE}, 400),
        ({"scene": "token/place", "layers": ["a"], **WHOLE, "top": 0.5}, 400),
        ({"scene": "token/place", "layers": ["a"], **WHOLE, "top": "0"}, 400),
        ({"scene": "another/place", "layers": ["a"], **WHOLE}, 410),
        ({"scene": "token/place", "layers": ["b"], **WHOLE}, 410),
        ({"scene": "token/place", "layers": ["a"], **WHOLE, "top": -1}, 410),
    ],
)
def test_a_bad_question_gets_a_sentence(kept: Scene, asked: dict[str, Any], status: int) -> None:
    from hf_unet.demo.viewer import region

    answer = region(asked)
    assert answer.status_code == status
    assert bytes(answer.body).decode().endswith(".")


@pytest.mark.parametrize("asked", [None, [], "scene", 7])
def test_a_question_of_another_kind_gets_a_sentence_too(asked: Any) -> None:
    from hf_unet.demo.viewer import region

    assert region(asked).status_code == 400
