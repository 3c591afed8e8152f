"""The demo's waiting times and memory, as a visitor meets them: in a browser, and without.

    python benchmarks/demo.py [--port 7915] [--turns 5]

The server is ``python app.py`` in a process of its own, the browser headless Chromium. Every time
in the browser ends when the canvas shows the new result. Beside it stands what the function behind
it takes when it is called alone, in this process, and a pass of the network over the same tiles:
what remains is the way to the page and back. The crowd are visitors that speak to the real queue
as a page does, all at once, each with an image of its own; memory is the peak of the server's
process. Medians; a machine that does other work too shows in all of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import tifffile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browser_fixtures import ARGUMENTS
from demo_visit import Visit
from playwright.sync_api import sync_playwright

from hf_unet.demo import actions
from hf_unet.demo.models.loading import EXAMPLES, load_model
from hf_unet.demo.segmenting import segment_upload
from hf_unet.images import match_channels, normalize, read_image
from hf_unet.memory import reuse_memory
from hf_unet.tiles import run_tiles

ROOT = Path(__file__).resolve().parent.parent
IMAGE = EXAMPLES / "nuclei.tif"
CROWD = 20


@contextmanager
def served(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """``python app.py``, ended afterwards."""
    settings = {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "SPACE_ID": "",  # opens no browser of its own
    }
    process = subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def await_server(address: str) -> None:
    while True:
        try:
            httpx.get(address, timeout=30).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def take_turns(turns: int, *calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call; they take turns, so that a busy machine slows all of them."""
    for call in calls:
        call()
    times = [[seconds(call) for call in calls] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*times, strict=True)]


def line(name: str, value: float, note: str = "") -> None:
    print(f"  {name:44} {value:8.2f} s   {note}".rstrip(), flush=True)


def write_image(path: Path, side: int, shift: int = 0) -> Path:
    """The example, repeated and rolled, as an image of another size or content."""
    image = tifffile.imread(IMAGE)
    repeats = -(-side // len(image))
    tifffile.imwrite(path, np.roll(np.tile(image, (repeats, repeats)), shift, 1)[:side, :side])
    return path


# --- one visitor ------------------------------------------------------------------------------


def cold_start(browser: Any, port: int, started: float) -> Visit:
    address = f"http://127.0.0.1:{port}"
    await_server(address)
    answered = time.perf_counter() - started
    visit = Visit(browser, address)
    visit.be_patient(600_000)
    print("cold start, from the start of the process")
    line("the server answers", answered)
    line("the page shows the example segmented", time.perf_counter() - started)
    line("a second visitor's page", seconds(lambda: Visit(browser, address).close()))
    return visit


def click_to_mask(visit: Visit, folder: Path, side: int, turns: int) -> None:
    path = write_image(folder / f"{side}.tif", side)
    network, pixels = load_model("nuclei"), read_image(path)
    scaled = normalize(match_channels(pixels, network.in_channels), network.normalization)
    plan = network.plan(side, side)

    def in_the_browser() -> None:
        with visit.renewing("view"):
            visit.tab.locator("#segment").click()
        visit.settle()

    visit.segment(path)
    shown, alone, library, passes = take_turns(
        turns,
        in_the_browser,
        lambda: actions.show_segmentation(segment_upload(str(path), None, "nuclei", 1)),
        lambda: network.segment(path).instances,
        lambda: run_tiles(scaled, network.predict, plan),
    )
    print(f"click to mask, {side} x {side}")
    line("in the browser", shown, f"{shown / passes:.2f} times the network's passes")
    line("the function alone", alone, f"{alone / passes:.2f}")
    line("UNet.segment and its objects", library, f"{library / passes:.2f}")
    line(f"the network's passes ({len(plan.tiles)} tiles)", passes)


def slider_to_map(visit: Visit, folder: Path, turns: int) -> None:
    token = segment_upload(str(write_image(folder / "w.tif", 512)), None, "nuclei", 1)
    visit.segment(folder / "w.tif")
    visit.open("Weight map")
    visit.wait("weights")
    values = iter(range(2, 1000))

    def in_the_browser() -> None:
        w0 = 1 + next(values) % 29
        with visit.tab.expect_response(lambda answer: "component_server" in answer.url):
            visit.number("w0", w0)
        visit.settle()

    shown, alone = take_turns(
        turns, in_the_browser, lambda: actions.show_weights(token, next(values) % 29, 5)
    )
    print("slider to weight map, 512 x 512")
    line("in the browser", shown)
    line("the function alone", alone)
    visit.open("Segment")


# --- a crowd ----------------------------------------------------------------------------------


class Visitor:
    """Speaks to the queue as a page does, without a browser."""

    def __init__(self, address: str) -> None:
        self.address = f"{address}/gradio_api"
        self.session = uuid.uuid4().hex
        self.client = httpx.Client(timeout=600)
        self.config = self.client.get(f"{address}/config").json()
        parts = self.config["components"]
        self.names = {c["props"].get("elem_id"): c["id"] for c in parts}

    def event(self, name: str, kind: str) -> dict[str, Any]:
        """What a part of the page starts."""
        found: dict[str, Any] = next(
            d for d in self.config["dependencies"] if [self.names[name], kind] in d["targets"]
        )
        return found

    def after(self, event: dict[str, Any]) -> dict[str, Any]:
        """What follows an event."""
        found: dict[str, Any] = next(
            d for d in self.config["dependencies"] if d["trigger_after"] == event["id"]
        )
        return found

    def run(self, event: dict[str, Any], data: list[Any]) -> list[Any]:
        """Run one event through the queue; its outputs."""
        asked = {"data": data, "fn_index": event["id"], "session_hash": self.session}
        joined = self.client.post(f"{self.address}/queue/join", json=asked).json()
        url = f"{self.address}/queue/data?session_hash={self.session}"
        with self.client.stream("GET", url) as answer:
            for text in answer.iter_lines():
                if not text.startswith("data:"):
                    continue
                message = json.loads(text[5:])
                if message["msg"] == "process_completed":
                    if not message["success"]:
                        raise RuntimeError(str(message["output"]))
                    outputs: list[Any] = message["output"]["data"]
                    return outputs
        raise RuntimeError(f"The queue fell silent: {joined}")

    def segment(self, path: Path) -> list[Any]:
        """Drop an image in and have it segmented; the outputs of the segmentation."""
        with path.open("rb") as file:
            (place,) = self.client.post(
                f"{self.address}/upload", files={"files": (path.name, file)}
            ).json()
        uploaded = self.event("image", "upload")
        given = {"path": place, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}}
        self.run(uploaded, [given, None, None])
        wiped = self.after(uploaded)
        asked = {"data": [None], "fn_index": wiped["id"], "session_hash": self.session}
        self.client.post(f"{self.address}/run/predict", json=asked).raise_for_status()
        return self.run(self.after(wiped), [None, None, "nuclei", 1])


def crowd(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    address = f"http://127.0.0.1:{port}"
    network = load_model("nuclei")
    paths = [write_image(folder / f"crowd{n}.tif", 512, 23 * n) for n in range(CROWD)]
    areas = [f"{network.segment(path).areas['nucleus']:,}" for path in paths]
    before = peak_memory(process.pid)
    visitors = [Visitor(address) for _ in paths]
    outcomes: dict[int, str] = {}
    waits: list[float] = []
    start = time.perf_counter()

    def visit(number: int) -> None:
        try:
            _, scene, words, table, *_ = visitors[number].segment(paths[number])
        except (RuntimeError, httpx.HTTPError) as error:
            outcomes[number] = f"failed: {error}"
            return
        waits.append(time.perf_counter() - start)
        own = table["data"][1][1] == areas[number] and paths[number].name in words
        outcomes[number] = "own" if own and scene else "another's"

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - start
    (alone,) = take_turns(3, lambda: network.segment(paths[0]))
    print(f"{CROWD} visitors at once, 512 x 512 each")
    line(
        "all have their results after", wall, f"{wall / alone / CROWD:.2f} times UNet.segment each"
    )
    line("half of them after", statistics.median(waits or [float("nan")]))
    for outcome in sorted(set(outcomes.values())):
        count = sum(found == outcome for found in outcomes.values())
        print(f"  {count} of {CROWD} got: {outcome}")
    print(f"  peak memory of the server {peak_memory(process.pid)} MB, {before} MB before")


def peak_memory(process: int) -> int:
    """Most that a process held at any time, in megabytes (Linux)."""
    for text in Path(f"/proc/{process}/status").read_text().splitlines():
        if text.startswith("VmHWM:"):
            return int(text.split()[1]) // 1024
    raise RuntimeError("This system does not say how much memory a process held.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=7915)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    reuse_memory()  # as the server does
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=list(ARGUMENTS)
        )
        folder = Path(name)
        started = time.perf_counter()
        with served(given.port) as process:
            visit = cold_start(browser, given.port, started)
            click_to_mask(visit, folder, 512, given.turns)
            click_to_mask(visit, folder, 2048, max(1, given.turns // 2))
            slider_to_map(visit, folder, given.turns)
            visit.close()
            crowd(given.port, process, folder)
        browser.close()


if __name__ == "__main__":
    main()
