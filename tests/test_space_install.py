"""The Space as the Hub would run it: installed into an empty environment, and started there.

Takes one to two minutes where pip finds the packages nearby, most of it torch. Without it:
``pytest -m "not install"``.
"""

import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from hf_unet import UNet

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120
"""Seconds for the first page; it takes about ten."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.install,
    pytest.mark.bundled,
    pytest.mark.timeout(1800),
]

# Read by Python at its start: whoever leaves this machine is written down, and does not get far.
NO_NETWORK = """
import os, socket

connect = socket.socket.connect

def stay(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        if address[0] not in ("127.0.0.1", "::1", "localhost", "0.0.0.0"):
            with open(os.environ["ATTEMPTS"], "a") as file:
                file.write(f"{address}\\n")
            raise OSError(101, "Network is unreachable")
    return connect(self, address)

def look_up(host, *arguments, **named):
    if host not in ("127.0.0.1", "::1", "localhost", "0.0.0.0", None, ""):
        with open(os.environ["ATTEMPTS"], "a") as file:
            file.write(f"{host}\\n")
        raise socket.gaierror(-3, "Temporary failure in name resolution")
    return find(host, *arguments, **named)

find, socket.getaddrinfo = socket.getaddrinfo, look_up
socket.socket.connect = stay
"""


@dataclass(frozen=True)
class Running:
    address: str
    folder: Path
    attempts: Path


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The assembled Space, and the Python of an environment made for it alone."""
    place = tmp_path_factory.mktemp("space")
    folder, environment = place / "space", place / "environment"
    subprocess.run(
        [sys.executable, ROOT / "spaces" / "deploy.py", "--output", folder, "--models", "nuclei"],
        check=True,
    )
    venv.create(environment, with_pip=True)
    binary = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [binary, "-m", "pip", "install", "--quiet", "--no-compile"]
    needs = ["-r", folder / "requirements.txt", "-c", ROOT / "constraints.txt"]
    subprocess.run([*install, *needs], check=True, env=clean_environment())
    return folder, binary


def clean_environment() -> dict[str, str]:
    """The environment of a stranger: nothing of ours on Python's path."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def running(
    python: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The demo, started as a Space starts it, without a network."""
    folder, binary = python
    place = tmp_path_factory.mktemp("run")
    (place / "sitecustomize.py").write_text(NO_NETWORK)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = clean_environment() | {
        "PYTHONPATH": str(place),
        "ATTEMPTS": str(place / "attempts"),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(place / "gradio"),
        "HF_HOME": str(place / "hf_home"),
        "SPACE_ID": "tester/u-net",
        "SYSTEM": "spaces",
    }
    environment.pop("HF_HUB_OFFLINE", None)
    with (place / "log").open("w") as log:
        demo = subprocess.Popen(
            [binary, "app.py"], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, demo, place / "log")
        yield Running(address, folder, place / "attempts")
    finally:
        demo.terminate()
        demo.wait(30)


def wait_for(address: str, demo: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            build_opener(ProxyHandler({})).open(address, timeout=30).close()
            return
        except (URLError, OSError):
            if demo.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"The demo did not start:\n{log.read_text()}")
            time.sleep(0.2)


def test_nothing_is_installed_that_the_space_does_not_ask_for(python: tuple[Path, Path]) -> None:
    _, binary = python
    code = (
        "from importlib.util import find_spec;"
        "print([name for name in ('accelerate', 'pytest', 'hf_unet') if find_spec(name)])"
    )
    told = subprocess.run(
        [binary, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert told.strip() == "[]"


def test_the_first_page_comes(running: Running) -> None:
    page = build_opener(ProxyHandler({})).open(running.address, timeout=60).read().decode()
    assert "<title>U-Net" in page or '"title":"U-Net' in page


def test_a_client_gets_the_librarys_mask(running: Running) -> None:
    image = running.folder / "examples" / "nuclei_8bit.png"
    client = Client(running.address, verbose=False)
    _, overlay, _ = client.predict(image=handle_file(image), api_name="/segment")
    expected = UNet.from_pretrained(ROOT / "models" / "nuclei").segment(image).overlay()
    expected = UNet.from_pretrained(ROOT / "models" / "nuclei").segment(image).overlay()
    with Image.open(overlay) as picture:
        assert (np.asarray(picture) == np.asarray(expected)).all()


def test_a_model_of_the_hub_gets_its_sentence_without_a_network(running: Running) -> None:
    client = Client(running.address, verbose=False)
    image = running.folder / "examples" / "nuclei_8bit.png"
    with pytest.raises(Exception, match="The Hub cannot be reached from here at the moment"):
        client.predict(image=handle_file(image), model="lab/net", api_name="/segment")
    # And nothing else had asked for the world: the demo works behind a laboratory's wall.
    assert set(running.attempts.read_text().split("\n")) == {"huggingface.co", ""}
