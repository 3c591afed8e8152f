"""Thousands of damaged model repositories: each loads as it says, or is refused with a sentence.

Each case follows from its number alone. A normal run takes a few thousand; many more by

    FUZZ_LOADING=100000 pytest tests/test_fuzz_loading.py
"""

import json
import math
import os
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from hf_unet.arguments import LATER
from hf_unet.errors import ModelError
from hf_unet.model import UNet
from hf_unet.repositories.configs import NOT_ARGUMENTS

CASES = int(os.environ.get("FUZZ_LOADING", "2000"))
"""Of configs, and as many of weights."""

PATIENCE = max(300, CASES // 2)
"""Seconds for each test, which has half of them; a case takes a hundredth."""

GROWTH = 64 * 2**20
"""Bytes of memory that all cases together may take at most, beyond what the process had."""

NETWORKS: tuple[dict[str, Any], ...] = (
    {"base_channels": 2, "depth": 1},
    {
        "in_channels": 3,
        "classes": ["background", "nucleus", "border"],
        "border": True,
        "seed_threshold": 0.4,
        "thresholds": [0.6],
        "base_channels": 3,
        "depth": 2,
        "norm": "batch",
        "calibration": [[1.1, 0.7], None],
    },
    {
        "classes": ["zelle", "Kern é"],
        "multilabel": True,
        "colors": ["#010203", "#FFEEDD"],
        "base_channels": 2,
        "depth": 1,
        "padding": "same",
        "test_time_averaging": True,
    },
)

Case = tuple[bytes, bytes]
"""config.json and model.safetensors."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Repositories as they are saved, the second and third in half precision as well."""
    cases = []
    for number, arguments in enumerate(NETWORKS):
        torch.manual_seed(number)
        folder = tmp_path_factory.mktemp("sound")
        network = UNet(**arguments)
        if number:
            network.to(torch.float16 if number == 1 else torch.bfloat16)
        network.save_pretrained(folder)
        names = ("config.json", "model.safetensors")
        cases.append((folder.joinpath(names[0]).read_bytes(), (folder / names[1]).read_bytes()))
    return cases


# --- damage to bytes --------------------------------------------------------------------------


def flip_bits(content: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def lose_a_piece(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + content[start + draw.randrange(1, 40) :]


def repeat_a_piece(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    end = start + draw.randrange(1, 40)
    return content[:end] + content[start:]


def insert_bytes(content: bytes, draw: random.Random) -> bytes:
    start = draw.randrange(len(content))
    return content[:start] + draw.randbytes(draw.randrange(1, 9)) + content[start:]


def replace_all(content: bytes, draw: random.Random) -> bytes:
    return draw.choice(
        (
            b"",
            b"\0" * len(content),
            draw.randbytes(len(content)),
            b"\xff\xfe" + content,
            content.decode("latin-1").encode("utf-16"),
            b"PK\x03\x04" + content,
            b"\x80\x04\x95" + content,
            b"[" * draw.randrange(1, 200_000),
            b'{"a":' * draw.randrange(1, 20_000),
            b" " * 2_000_000 + content,
        )
    )


BYTES = (flip_bits, flip_bits, cut, lose_a_piece, repeat_a_piece, insert_bytes, replace_all)


# --- damage to what the bytes say -------------------------------------------------------------


def any_value(draw: random.Random, depth: int = 0) -> Any:
    """A value of any kind that JSON has, and some that it has not."""
    values: list[Any] = [
        None,
        True,
        False,
        0,
        1,
        2,
        3,
        4096,
        -1,
        255,
        10**12,
        -(10**40),
        10**4000,
        0.5,
        1.0,
        1e-320,
        1e308,
        math.nan,
        math.inf,
        -math.inf,
        "",
        "batch",
        "same",
        "UNet",
        "1",
        "\ud800",
        "\0",
        "é" * 3000,
        "0.1.0",
        "99.0",
        "#01020",
        draw.random(),
        draw.randrange(300),
    ]
    if depth < 3:
        values += [
            [any_value(draw, depth + 1) for _ in range(draw.randrange(5))],
            {str(draw.randrange(9)): any_value(draw, depth + 1) for _ in range(draw.randrange(3))},
            ["a", "b"],
            ["background", "nucleus", "border"],
            [f"class {index}" for index in range(draw.choice((1, 2, 255, 256, 5000)))],
            ["same", "same"],
            [0.5],
            [0.5, 0.5],
            [[1.0, 0.0], [1.0, 0.0]],
            nested(draw.choice((3, 90, 500, 900))),
        ]
    return draw.choice(values)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def change_config(content: bytes, draw: random.Random) -> bytes:
    config = json.loads(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        name = draw.choice(list(config))
        kind = draw.randrange(8)
        if kind == 0:
            del config[name]
        elif kind == 1:
            config[draw.choice(("attention", "", "é", "x" * 10_000, "strict"))] = any_value(draw)
        elif kind == 2:
            config[draw.choice(list(config))] = config[name]
        else:
            config[name] = any_value(draw)
        config = config or {"depth": 1}
    pairs = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in config.items()]
    if draw.randrange(12) == 0:  # a key that stands there twice
        pairs.append(f'"depth": {json.dumps(any_value(draw))}')
    draw.shuffle(pairs)
    return f"{{{', '.join(pairs)}}}".encode()


def change_header(content: bytes, draw: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header, values = json.loads(content[8 : 8 + length]), content[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    name = draw.choice(names)
    entry = header[name]
    kind = draw.randrange(14)
    if kind == 0:
        entry["shape"] = [draw.choice((2**31, 2**40, 2**63, 10**300, -1, 0, 7)) for _ in range(4)]
    elif kind == 1:
        entry["shape"] = entry["shape"][::-1]
    elif kind == 2:
        kinds = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X", 3)
        entry["dtype"] = draw.choice(kinds)
    elif kind == 3:
        far = draw.choice((-1, 1, 2, 2**40, 2**63, 2**64))
        entry["data_offsets"][draw.randrange(2)] += far
    elif kind == 4:
        entry["data_offsets"] = header[draw.choice(names)]["data_offsets"]
    elif kind == 5:
        other = draw.choice(names)  # two tensors that may change places
        header[name], header[other] = header[other], header[name]
    elif kind == 6:
        del header[name]
    elif kind == 7:
        empty = {"dtype": "F32", "shape": [0], "data_offsets": [len(values)] * 2}
        header[draw.choice(("more", "", "\ud800", "x" * 5000))] = draw.choice((entry, empty))
    elif kind == 8:
        header[name] = any_value(draw)
    elif kind == 9:
        header["__metadata__"] = any_value(draw)
    elif kind == 10:
        entry[draw.choice(("dtype", "shape", "data_offsets", "more"))] = any_value(draw)
    elif kind == 11:
        del entry[draw.choice(list(entry))]
    elif kind == 12:  # a value that is no number
        values = bytearray(values)
        start = draw.randrange(max(1, len(values) - 4)) // 4 * 4
        values[start : start + 4] = draw.choice((b"\xff\xff\xff\xff", b"\0\x7c\x80\x7f"))
    text = json.dumps(header)
    if kind == 13:
        text = text[:-1] + f", {json.dumps(name)}: {json.dumps(entry)}}}"
    written = text.encode()
    lie = draw.choice((0, 0, 0, 0, 0, 0, 1, -1, 8, -len(written), 2**31, 2**62, 2**63))
    return (len(written) + lie).to_bytes(8, "little") + written + bytes(values)


# --- what must come of it ---------------------------------------------------------------------


def loaded_or_refused(folder: Path) -> UNet | None:
    """The network, or None if it was refused as it should be; any other error goes on."""
    try:
        return UNet.from_pretrained(folder)
    except ModelError as error:
        said = str(error)
        assert said.endswith((".", ".`.")) and len(said) < 1500, said[:3000]
        said.encode()
        return None


def check_config(folder: Path, config: bytes, weights: bytes) -> bool:
    """Whether it loads: then everything in the network is what config.json says."""
    network = loaded_or_refused(folder)
    if network is None:
        return False
    given = LATER | json.loads(config)
    built = UNet(**{name: value for name, value in given.items() if name not in NOT_ARGUMENTS})
    built.load_state_dict(load(weights))
    assert network.config == built.config
    for name in given.keys() - NOT_ARGUMENTS:
        assert network.config[name] == given[name]
    side = 44 if network.geometry.accepts(44) else network.geometry.smallest
    images = torch.linspace(-1, 1, network.in_channels * side**2)
    images = images.view(1, network.in_channels, side, side)
    with torch.no_grad():
        assert torch.equal(network(images), built.eval()(images))
    return True


def check_weights(folder: Path, weights: bytes, original: dict[str, Tensor]) -> bool:
    """Whether it loads: then the safetensors library reads the same from the file."""
    network = loaded_or_refused(folder)
    if network is None:
        return False
    read = load(weights)  # a file that this library refuses, ours must refuse too
    state = network.state_dict()
    assert state.keys() == read.keys() == original.keys()
    for name, value in state.items():
        assert torch.equal(value, read[name].to(value.dtype)), name
        assert bool(value.isfinite().all()) and value.shape == original[name].shape
    return True


def run(cases: int, check: Callable[[int], bool]) -> int:
    """How many of the cases load; the number of one that fails is told, and memory is bounded."""
    check(0)
    before = peak_memory()
    good = 0
    for number in range(cases):
        try:
            good += check(number)
        except Exception as error:
            raise AssertionError(
                f"case {number}: {type(error).__name__}: {error}"[:3000]
            ) from error
    grown = peak_memory() - before
    assert grown < GROWTH, f"{grown / 2**20:.0f} MiB more"
    return good


def peak_memory() -> int:
    """Bytes of memory this process has had at most."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("kind", ["values", "bytes"])
def test_damaged_configs(sound: list[Case], tmp_path: Path, kind: str) -> None:
    def check(number: int) -> bool:
        draw = random.Random(f"config {kind} {number}")
        config, weights = draw.choice(sound)
        damage = change_config if kind == "values" else draw.choice(BYTES)
        config = damage(config, draw)
        (tmp_path / "config.json").write_bytes(config)
        (tmp_path / "model.safetensors").write_bytes(weights)
        return check_config(tmp_path, config, weights)

    cases = CASES // 2
    good = run(cases, check)
    assert 0.01 * cases < good < 0.7 * cases  # neither everything nor nothing is damaged


@pytest.mark.timeout(PATIENCE)
@pytest.mark.parametrize("kind", ["header", "bytes"])
def test_damaged_weights(sound: list[Case], tmp_path: Path, kind: str) -> None:
    def check(number: int) -> bool:
        draw = random.Random(f"weights {kind} {number}")
        config, weights = draw.choice(sound)
        original = load(weights)
        damage = change_header if kind == "header" else draw.choice(BYTES)
        weights = damage(weights, draw)
        (tmp_path / "config.json").write_bytes(config)
        (tmp_path / "model.safetensors").write_bytes(weights)
        return check_weights(tmp_path, weights, original)

    cases = CASES // 2
    good = run(cases, check)
    assert 0.01 * cases < good < 0.7 * cases


def test_what_is_sound_loads(sound: list[Case], tmp_path: Path) -> None:
    for config, weights in sound:
        (tmp_path / "config.json").write_bytes(config)
        (tmp_path / "model.safetensors").write_bytes(weights)
        assert check_config(tmp_path, config, weights)
        assert check_weights(tmp_path, weights, load(weights))
