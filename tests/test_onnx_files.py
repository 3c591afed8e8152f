"""ONNX files where they lie: found, refused in a sentence, run by command and run again."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from hub_server import HubServer
from onnx import TensorProto, helper
from PIL import Image
from small_networks import drawn, picture

from hf_unet import ModelError, UNet
from hf_unet.cli import main
from hf_unet.onnx import OnnxNetwork, export_onnx
from hf_unet.provenance import file_sha256, read_record
from hf_unet.reproduction import reproduce

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with its ONNX file; not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "cells"
    drawn(min_area=2).save_pretrained(folder)
    export_onnx(UNet.from_pretrained(folder), folder / "onnx" / "model.onnx")
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an image, a repository in models/cells, and a lone file net.onnx."""
    Image.fromarray(picture(50, 41)).save(tmp_path / "a.png")
    shutil.copytree(made, tmp_path / "models" / "cells")
    shutil.copy(made / "onnx" / "model.onnx", tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refusal(name: object, **options: Any) -> str:
    """The sentence or two with which a network is not loaded."""
    with pytest.raises(ModelError) as caught:
        OnnxNetwork.from_pretrained(str(name), **options)
    message = str(caught.value)
    assert message.endswith((".", "`.")) and "\n" not in message
    assert str(Path.cwd()) not in message
    return message


def change(path: Path, how: Callable[[onnx.ModelProto], object]) -> None:
    proto = onnx.load(path)
    how(proto)
    path.write_bytes(proto.SerializeToString())


def change_config(path: Path, **entries: Any) -> None:
    def rewrite(proto: onnx.ModelProto) -> None:
        (config,) = (prop for prop in proto.metadata_props if prop.key == "hf_unet_config")
        config.value = json.dumps(json.loads(config.value) | entries)

    change(path, rewrite)


# --- found -----------------------------------------------------------------------------------


def test_a_file_a_folder_and_a_name_on_the_hub_are_one_network(hub: HubServer, place: Path) -> None:
    content = {
        path.relative_to(place / "models" / "cells").as_posix(): path.read_bytes()
        for path in (place / "models" / "cells").rglob("*")
        if path.is_file()
    }
    repository = hub.add("lab/cells")
    first = repository.put(content).oid
    repository.put({"onnx/model.onnx": b"another"})
    sha256 = file_sha256(place / "net.onnx")
    mask = OnnxNetwork.from_pretrained("net.onnx").segment("a.png").mask
    for name, revision, title in (
        ("net.onnx", None, "net.onnx"),
        (place / "models" / "cells", None, "cells"),
        ("lab/cells", first, "lab/cells"),
    ):
        network = OnnxNetwork.from_pretrained(name, revision)
        assert network.origin.name == title and network.origin.sha256 == sha256
        assert network.origin.revision == revision
        np.testing.assert_array_equal(network.segment("a.png").mask, mask)
    assert "onnx/model.onnx of lab/cells is no ONNX file" in refusal("lab/cells")
    asked = len(hub.requests)
    OnnxNetwork.from_pretrained("lab/cells", first, local_files_only=True)
    assert len(hub.requests) == asked


def test_arguments_that_only_read_the_graph_may_be_changed(place: Path) -> None:
    image = picture(60, 60)
    changed = {"thresholds": (0.3,), "min_area": 5, "classes": ("rest", "cell"), "depth": 1}
    other = OnnxNetwork.from_pretrained("net.onnx", **changed)
    expected = UNet.from_pretrained("models/cells", **changed).segment(image)
    np.testing.assert_array_equal(other.segment(image).mask, expected.mask)
    assert other.segment(image).classes == ("rest", "cell")
    assert other.segment(image).provenance.settings == expected.provenance.settings


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"depth": 2}, "depth has gone into the graph of net.onnx"),
        ({"padding": "same"}, "padding has gone into the graph of net.onnx"),
        ({"in_channels": 3}, "in_channels has gone into the graph of net.onnx"),
        ({"multilabel": True}, "multilabel has gone into the graph of net.onnx"),
        ({"classes": ("a", "b", "c")}, "classes has gone into the graph of net.onnx"),
        ({"vote": 3}, "UNet has no argument 'vote'"),
        ({"min_area": -1}, "net.onnx cannot be built from the arguments given: min_area"),
    ],
    ids=str,
)
def test_what_the_graph_has_taken_up_cannot_be_changed(
    place: Path, changed: dict[str, Any], sentence: str
) -> None:
    assert sentence in refusal("net.onnx", **changed)


# --- refused ---------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    """The identity, as another library writes it."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    path.write_bytes(helper.make_model(graph).SerializeToString())


def move_weights(path: Path) -> None:
    proto = onnx.load(path)
    path.unlink()
    options = {"all_tensors_to_one_file": True, "location": "weights.bin", "size_threshold": 0}
    onnx.save_model(proto, path, save_as_external_data=True, **options)


def hide_external_tensor(proto: onnx.ModelProto) -> None:
    """In a graph within a node, where a reader of the first level only does not look."""
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value="/etc/passwd")
    tensor.data_location = TensorProto.EXTERNAL
    inner = helper.make_graph([], "inner", [], [], initializer=[tensor])
    proto.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=inner))


def spoil_config(proto: onnx.ModelProto) -> None:
    for prop in proto.metadata_props:
        if prop.key == "hf_unet_config":
            prop.value = prop.value[:-20]


def later_operators(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 9000


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("a network"), "is no ONNX file"),
    "empty": (lambda path: path.write_bytes(b""), "is no ONNX file"),
    "picture": (lambda path: Image.new("L", (9, 9)).save(path, "png"), "is no ONNX file"),
    "weights": (
        lambda path: shutil.copy("models/cells/model.safetensors", path),
        "is no ONNX file",
    ),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "or is truncated"),
    "foreign": (foreign, "is an ONNX file of another library"),
    "external data": (move_weights, "has parts in other files"),
    "hidden external data": (
        lambda path: change(path, hide_external_tensor),
        "has parts in other files",
    ),
    "functions": (
        lambda path: change(path, lambda proto: proto.functions.add(name="f")),
        "functions of its own",
    ),
    "later config": (
        lambda path: change_config(path, vote=3, hf_unet_version="9.1.0"),
        "holds 'vote', which this version of hf-unet does not know",
    ),
    "unknown class": (lambda path: change_config(path, model_class="VNet"), "is of class 'VNet'"),
    "impossible value": (lambda path: change_config(path, depth=99), "depth is a whole number"),
    "no JSON": (lambda path: change(path, spoil_config), "is damaged"),
    "other channels": (lambda path: change_config(path, in_channels=3), "is damaged"),
    "other classes": (lambda path: change_config(path, classes=["a", "b", "c"]), "is damaged"),
    "later operators": (lambda path: change(path, later_operators), "cannot run"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_onnx_file_of_this_library_is_refused(place: Path, kind: str) -> None:
    spoil, sentence = REFUSED[kind]
    spoil(place / "net.onnx")
    message = refusal("net.onnx")
    assert sentence in message and "net.onnx" in message


@pytest.mark.parametrize("share", np.linspace(0.01, 0.99, 25))
def test_a_file_cut_anywhere_is_refused(place: Path, share: float) -> None:
    content = (place / "net.onnx").read_bytes()
    (place / "net.onnx").write_bytes(content[: int(share * len(content))])
    assert "net.onnx" in refusal("net.onnx")


def test_a_damaged_file_loads_or_is_refused_in_a_sentence(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = (place / "net.onnx").read_bytes()
    random, said = Random(0), []
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(random.choice((1, 2, 8))):
            start = random.randrange(len(content))
            damage = random.choice((b"", random.randbytes(1), random.randbytes(9)))
            content[start : start + random.randrange(3)] = damage
        (place / "net.onnx").write_bytes(content)
        try:
            OnnxNetwork.from_pretrained("net.onnx")  # a weight may be another, as in any file
        except ModelError as error:
            said.append(str(error))
    assert len(said) > 100
    assert all(one.endswith((".", "`.")) and "\n" not in one for one in said)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_is_not_there_is_named(place: Path) -> None:
    assert refusal("other.onnx") == "There is no file other.onnx at the path given."
    shutil.rmtree("models/cells/onnx")
    assert "cells holds no onnx/model.onnx. Make the file of it" in refusal("models/cells")
    assert "There is no folder 'nothing'" in refusal("./nothing")


def test_a_file_beside_another_config_is_refused(place: Path) -> None:
    path = place / "models" / "cells" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"hf_unet_version": "0.0.1"}))  # who wrote it is no matter
    OnnxNetwork.from_pretrained("models/cells")
    path.write_text(json.dumps(config | {"min_area": 7}))
    assert "exported from a network of another config than that of cells" in refusal("models/cells")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_a_sentence_with_the_command(
    place: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    sentence = (
        f"ONNX needs the package {package}, which is not installed. Install what it takes with "
        '`pip install "hf-unet[onnx]"`.'
    )
    with pytest.raises(ModelError) as caught:
        export_onnx(drawn(), "new.onnx")
    assert str(caught.value) == sentence and not Path("new.onnx").exists()
    if package == "onnxscript":  # only needed to export
        OnnxNetwork.from_pretrained("net.onnx")
    else:
        assert refusal("net.onnx") == sentence


def test_an_onnxscript_too_old_for_pytorch_is_a_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'onnxscript._framework_apis.torch_9'")

    monkeypatch.setattr("torch.onnx.export", missing)
    with pytest.raises(ModelError, match=r"another onnxscript than the one installed: `pip inst"):
        export_onnx(drawn(), "new.onnx")
    assert not Path("new.onnx").exists()


def test_without_the_extra_the_rest_works() -> None:
    code = (
        "import sys\n"
        "for name in ('onnx', 'onnxruntime', 'onnxscript'): sys.modules[name] = None\n"
        "import numpy, hf_unet, hf_unet.onnx, hf_unet.reproduction\n"
        "from hf_unet.cli import main\n"
        "print(hf_unet.UNet(base_channels=1, depth=1).segment(numpy.zeros((9, 9))).mask.shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "(9, 9)\n", "")


# --- by command, and again -------------------------------------------------------------------


def test_the_command_exports_and_segments(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("export", "models/cells", "--output", "made/new.onnx", "--set", "min_area=4") == 0
    shown = capsys.readouterr()
    assert shown.err == "" and shown.out.startswith("new.onnx  0.") and shown.out.count("\n") == 1
    assert OnnxNetwork.from_pretrained("made/new.onnx").min_area == 4
    assert run("segment", "a.png", "--onnx", "made/new.onnx", "--output", "out") == 0
    arguments = ("--model", "models/cells", "--set", "min_area=4", "--output", "torch")
    assert run("segment", "a.png", *arguments) == 0
    for name in ("mask.png", "instances.tif", "rle.csv", "coco.json"):
        assert Path("out/a", name).read_bytes() == Path("torch/a", name).read_bytes()
    ours, theirs = (json.loads(Path(one, "a/result.json").read_text()) for one in ("out", "torch"))
    assert (ours["runtime"], theirs["runtime"]) == ("onnxruntime", "torch")
    assert ours["model"]["sha256"] == file_sha256(Path("made/new.onnx"))
    for name in ("model", "runtime"):
        del ours[name], theirs[name]
    assert ours == theirs


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("export", "models/none", "--output", "n.onnx"), "models/none"),
        (("export", "models/cells", "--output", "n.pt"), "named something.onnx, not n.pt"),
        (("segment", "a.png", "--onnx", "a.png", "--output", "o"), "a.png is no ONNX file"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said(
    place: Path,
    arguments: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and sentence in shown.err
    assert not Path("n.onnx").exists() and not Path("o").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "models/cells"],
        ["export", "--output", "n.onnx"],
        ["segment", "a.png", "--onnx", "n.onnx", "--model", "m", "--output", "o"],
        ["segment", "a.png", "--onnx", "n.onnx", "--device", "cuda", "--output", "o"],
        ["segment", "--onnx", "n.onnx", "--output", "o"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize("model", ["net.onnx", "models/cells"])
def test_a_result_is_made_again_by_what_made_it(
    place: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--tile", "28x36", "--average", "--set", "thresholds=[0.45]", "--output", "before")
    assert run("segment", "a.png", "--onnx", model, *arguments) == 0
    record = read_record("before/a")
    assert (record.runtime, record.device) == ("onnxruntime", "cpu")
    assert record.model.name == Path(model).name
    assert run("segment", "--from", "before/a", "--output", "after") == 0
    for path in Path("before/a").iterdir():
        assert path.read_bytes() == Path("after/a", path.name).read_bytes(), path.name
    shutil.move(model, "moved.onnx" if model == "net.onnx" else "moved")
    capsys.readouterr()
    assert run("segment", "--from", "before/a", "--output", "again") == 1
    assert "which is neither here nor in models. Say where it lies" in capsys.readouterr().err
    moved = "moved.onnx" if model == "net.onnx" else "moved"
    assert run("segment", "--from", "before/a", "--onnx", moved, "--output", "again") == 0
    assert capsys.readouterr().out.endswith("  identical\n")
    assert reproduce(record, "a.png", model=moved).identical


def test_a_result_of_another_file_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("segment", "a.png", "--onnx", "net.onnx", "--output", "before") == 0
    change(place / "net.onnx", lambda proto: proto.metadata_props.add(key="note", value="b"))
    capsys.readouterr()
    assert run("segment", "--from", "before/a", "--output", "after") == 1
    said = capsys.readouterr().err
    assert said.startswith("The weights of net.onnx are not those that the result was made with")
    assert not Path("after").exists()


def test_a_result_of_pytorch_is_not_made_again_by_onnx(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("segment", "a.png", "--model", "models/cells", "--output", "before") == 0
    capsys.readouterr()
    arguments = ("--onnx", "models/cells", "--output", "after")
    assert run("segment", "--from", "before/a", *arguments) == 1
    assert capsys.readouterr().err.startswith("The result was made by PyTorch")
    assert not Path("after").exists()
