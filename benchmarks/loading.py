"""What it takes until a network is there: importing, loading, and the memory that loading takes.

    python benchmarks/loading.py [--model models/nuclei] [--turns 5]

Every figure comes from fresh processes, which take turns; medians. Importing is counted from when
torch is imported, which nobody who runs a network is spared. Memory is the peak of loading above
what the process held before, as a multiple of the weight file: once in a process that has loaded
a network of a few weights before, so that what counts are the weights, and once in one that has
not, where the pages of torch's own code that loading calls for the first time count as well, a
few MB whatever the network.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

START = "import json, time; begin = time.perf_counter()\n"
TELL = "print(json.dumps(time.perf_counter() - begin))"

TORCH = START + "import torch\n" + TELL
PACKAGE = "import torch\n" + START + "import hf_unet\n" + TELL
NETWORK = "import torch\n" + START + "from hf_unet import UNet\n" + TELL

LOADING = f"""
from hf_unet import UNet
{START}
UNet.from_pretrained({{model!r}}, dtype={{dtype!r}})
{TELL}
"""

MEMORY = """
import json, resource, sys
from tempfile import TemporaryDirectory
from hf_unet import UNet

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

if {warm}:
    with TemporaryDirectory() as folder:
        UNet(base_channels=1, depth=1, norm="batch").half().save_pretrained(folder)
        UNet.from_pretrained(folder, dtype={dtype!r})
before = peak()
model = UNet.from_pretrained({model!r}, dtype={dtype!r})
print(json.dumps(peak() - before))
"""


def number(code: str) -> float:
    """What a fresh Python prints that runs this code."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(run.stdout))


def medians(turns: int, *codes: str) -> Iterator[float]:
    """Of each code; they take turns, so that a busy machine slows all of them."""
    for code in codes:
        number(code)  # the first run of all reads the disk
    columns = zip(*[[number(code) for code in codes] for _ in range(turns)], strict=True)
    return map(statistics.median, columns)


def line(name: str, value: float, unit: str, note: str = "") -> None:
    print(f"  {name:58} {value:7.3f} {unit}   {note}".rstrip(), flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="models/nuclei", help="a model's folder")
    parser.add_argument("--turns", type=int, default=5)
    chosen = parser.parse_args()
    folder = (ROOT / chosen.model).resolve()
    size = (folder / "model.safetensors").stat().st_size

    print("importing")
    torch, package, network = medians(chosen.turns, TORCH, PACKAGE, NETWORK)
    line("import torch", torch, "s")
    line("import hf_unet, torch being there", package, "s", "to reach: 0.3 s")
    line("from hf_unet import UNet, torch being there", network, "s", "to reach: 0.3 s")

    print(f"loading {folder.name}, {size / 1e6:.1f} MB of weights, from disk")
    kinds = ("float32", "stored", "bfloat16")
    codes = [LOADING.format(model=str(folder), dtype=dtype) for dtype in kinds]
    for dtype, seconds in zip(kinds, medians(chosen.turns, *codes), strict=True):
        line(f"from_pretrained, dtype={dtype}", seconds, "s", "to reach: 0.5 s")

    print("peak memory of loading, in sizes of the weight file")
    for warm in (True, False):
        codes = [MEMORY.format(model=str(folder), dtype=dtype, warm=warm) for dtype in kinds]
        for dtype, held in zip(kinds, medians(chosen.turns, *codes), strict=True):
            which = "" if warm else ", the first of its process"
            line(f"from_pretrained, dtype={dtype}{which}", held / size, "x", "to reach: 2.2 x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
