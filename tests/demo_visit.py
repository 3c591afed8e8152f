"""One person's page of the demo: what they do, and what they see, pixel by pixel."""

import base64
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_unet.demo.segmenting import JOBS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

PATIENCE = 20_000
"""Milliseconds to wait for anything: an upper limit on a busy machine, not what is usual."""

LAYOUT_SHIFT = """
globalThis.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


RENEWED = """([place, patience]) => {
  const viewer = document.querySelector(`#${place} .viewer`);
  const before = viewer.dataset.shown;
  globalThis.renewed = new Promise((resolve, reject) => {
    const observer = new MutationObserver(() => {
      if (!viewer.dataset.shown || viewer.dataset.shown === before) return;
      observer.disconnect();
      resolve();
    });
    observer.observe(viewer, { attributeFilter: ["data-shown"] });
    setTimeout(() => reject(new Error(`#${place} shows nothing new`)), patience);
  });
}"""


def await_jobs(count: int) -> None:
    """Wait until so many images are being segmented."""
    deadline = time.monotonic() + 2 * PATIENCE / 1000  # a tile of a busy machine, not one of 49
    while len(JOBS) != count:
        assert time.monotonic() < deadline, f"{len(JOBS)} images are being segmented"
        time.sleep(0.02)


class Visit:
    """A page in a browser context of its own."""

    def __init__(self, browser: "Browser", address: str, **settings: Any) -> None:
        settings = {"viewport": {"width": 1400, "height": 1000}, **settings}
        self.context = browser.new_context(**settings)
        self.tab = self.context.new_page()
        self.be_patient(PATIENCE)
        self.complaints: list[str] = []
        self.tab.on("console", self._hear)
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.tab.add_init_script(LAYOUT_SHIFT)
        self.tab.goto(address)
        self.wait("view")

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def be_patient(self, milliseconds: int) -> None:
        """Wait so long for anything."""
        self.patience = milliseconds
        self.tab.set_default_timeout(milliseconds)

    def close(self) -> None:
        self.context.close()

    # --- what is done -------------------------------------------------------------------------

    def upload(self, name: str, path: Path) -> None:
        """Drop a file in a place."""
        self.tab.locator(f"#{name} input[type=file]").set_input_files(str(path))

    def segment(self, path: Path) -> None:
        """Drop an image in, and wait until its result is shown."""
        with self.renewing("view"):
            self.upload("image", path)

    def open(self, tab: str) -> None:
        """Open a tab by its name on the page."""
        self.tab.get_by_role("tab", name=tab, exact=True).click()

    def slide(self, place: str, label: str, value: float) -> None:
        """Set one of a viewer's sliders."""
        self.tab.locator(f"#{place}").get_by_label(label, exact=True).fill(str(value))

    def press(self, place: str, name: str) -> None:
        """Press one of a viewer's buttons."""
        self.tab.locator(f"#{place} button:text-is('{name}')").first.click()

    def number(self, name: str, value: float) -> None:
        """Type a number beside one of Gradio's sliders."""
        field = self.tab.locator(f"#{name} input[type=number]")
        field.fill(str(value))
        field.press("Tab")

    # --- what is seen -------------------------------------------------------------------------

    def wait(self, place: str) -> None:
        """Wait until a viewer shows something."""
        self.tab.locator(f"#{place} .viewer[data-shown*='/']").wait_for()

    @contextmanager
    def renewing(self, place: str) -> Iterator[None]:
        """Do something, and wait until a viewer shows another result than before.

        The page tells, without being asked sixty times a second: on two cores that is felt.
        """
        self.tab.evaluate(RENEWED, [place, self.patience])
        yield
        self.tab.evaluate("() => globalThis.renewed")

    def text(self, name: str) -> str:
        return self.tab.locator(f"#{name}").inner_text()

    def await_text(self, name: str, text: str) -> None:
        """Wait until a part of the page says something."""
        self.tab.wait_for_function(
            "([name, text]) => document.getElementById(name).innerText.includes(text)",
            arg=[name, text],
        )

    def rows(self, name: str) -> list[dict[str, str]]:
        """Cells of a table by the names of its columns, once it has some."""
        table = self.tab.locator(f"#{name}")
        table.locator("[role=gridcell]").first.wait_for()
        found: list[dict[str, str]] = table.evaluate(
            """table => {
                const all = (part, what) => [...part.querySelectorAll(what)];
                const names = all(table, "[role=columnheader]").map((e) => e.title);
                return all(table, "[role=row]")
                    .map((row) => all(row, "[role=gridcell]").map((e) => e.innerText.trim()))
                    .filter((cells) => cells.length)
                    .map((cells) => Object.fromEntries(cells.map((cell, n) => [names[n], cell])));
            }"""
        )
        return found

    def column(self, name: str, column: str) -> list[str]:
        return [row[column] for row in self.rows(name)]

    def canvas(self, place: str, pane: int = 0) -> "Locator":
        return self.tab.locator(f"#{place} canvas").nth(pane)

    def settle(self) -> None:
        """Wait until what was asked for is drawn: two frames."""
        self.tab.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def drawn(self, place: str, pane: int = 0) -> NDArray[np.uint8]:
        """(H, W, 4) pixels of a canvas, as they stand on it."""
        self.settle()
        url = self.canvas(place, pane).evaluate("canvas => canvas.toDataURL('image/png')")
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
            return np.asarray(picture.convert("RGBA"))

    def picture(self, place: str, pane: int = 0) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """(H, W, 3) pixels of the image on a canvas, at 1:1, and its left and top edge there."""
        self.press(place, "1:1")
        drawn = self.drawn(place, pane)
        rows, columns = np.nonzero(drawn[..., 3].any(axis=1))[0], drawn[..., 3].any(axis=0)
        left, right = np.nonzero(columns)[0][[0, -1]]
        cut = drawn[rows[0] : rows[-1] + 1, left : right + 1]
        return cut[..., :3], (int(left), int(rows[0]))

    def hover(self, place: str, x: float, y: float, pane: int = 0) -> str:
        """What is said of the point of a canvas, in its own pixels."""
        box = self.canvas(place, pane).bounding_box()
        assert box is not None
        self.tab.mouse.move(box["x"] + x + 0.5, box["y"] + y + 0.5)
        self.tab.wait_for_function(
            """(place) => {
                const { shown, told } = document.querySelector(`#${place} .viewer`).dataset;
                return shown === told;
            }""",
            arg=place,
        )
        return self.tab.locator(f"#{place} .readout").inner_text()

    def download(self, button: str) -> bytes:
        """The file that a button hands over."""
        with self.tab.expect_download() as caught:
            self.tab.locator(f"#{button}").click()
        return Path(caught.value.path()).read_bytes()

    def sentence(self, about: str) -> str:
        """What the page says of a fault, which names what it is about."""
        toast = self.tab.get_by_test_id("toast-body").filter(has_text=about).first
        toast.wait_for()
        return toast.inner_text()
