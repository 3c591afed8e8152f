"""Files of exports: their lines, and what their names may hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from hf_unet.exports import write_coco, write_geojson
from hf_unet.exports.files import write_json_rows


def test_one_row_a_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    write_json_rows(path, {"kind": "é"}, "rows", [{"a": 1}, {"a": [2, 3]}])
    assert path.read_text("utf-8") == '{"kind":"é","rows":[\n{"a":1},\n{"a":[2,3]}\n]}\n'
    write_json_rows(path, {"kind": "none"}, "rows", [])
    assert path.read_text("utf-8") == '{"kind":"none","rows":[]}\n'


def test_a_name_that_is_no_text_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    write_json_rows(path, {"image": "cell\udcff.png"}, "rows", [])
    read = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    assert read["image"] == "cell\udcff.png"


@pytest.mark.parametrize(
    ("write", "list_of"), [(write_coco, "annotations"), (write_geojson, "features")]
)
def test_every_object_has_a_line_of_its_own(tmp_path: Path, write, list_of: str) -> None:  # type: ignore[no-untyped-def]
    instances = np.array([[1, 1, 0], [0, 0, 2]])
    names = (["cell", "cell"], ["cell"], "a.png") if write is write_coco else (["cell", "cell"],)
    write(tmp_path / "objects.json", instances, *names)
    _, *rows, _ = (tmp_path / "objects.json").read_text("utf-8").splitlines()
    assert len(rows) == 2
    listed = json.loads((tmp_path / "objects.json").read_text("utf-8"))[list_of]
    assert [json.loads(row.rstrip(",")) for row in rows] == listed
