"""Headless Chromium for the tests marked browser; they are skipped where there is none."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from demo_visit import Visit
    from playwright.sync_api import Browser

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """The system's own Chromium, started once for all tests."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is absent")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visit(chromium: "Browser", demo_address: str) -> Iterator["Visit"]:
    """A page that the tests of a module use one after another."""
    from demo_visit import Visit

    visit = Visit(chromium, demo_address)
    yield visit
    visit.close()


@pytest.fixture(scope="session")
def demo_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo, served as app.py serves it, in this process."""
    import app

    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
    server, url, _ = app.serve(
        inbrowser=False, prevent_thread_lock=True, quiet=True, server_name="127.0.0.1"
    )
    yield url
    server.get_blocks().close()
    patch.undo()
