"""Images by their address, fetched from a server of the test's own; and where none is fetched."""

import asyncio
import ipaddress
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from local_server import serving

from hf_unet.demo import address_part
from hf_unet.demo.addresses import Fetcher, is_public, look_up
from hf_unet.errors import ImageError

CONTENT = bytes(range(256)) * 100


class Answers(BaseHTTPRequestHandler):
    """A server that does what its paths say."""

    asked: list[tuple[str, str]]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked.append((self.headers["Host"], self.path))  # type: ignore[attr-defined]
        what, _, rest = self.path[1:].partition("/")
        if what == "to":
            self.answer(302, {"Location": rest.replace("~", "/")})
        elif what == "again":
            self.answer(302, {"Location": "/again/"})
        elif what == "status":
            self.answer(int(rest), {})
        elif what == "page":
            self.answer(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>")
        elif what == "packed":
            self.answer(200, {"Content-Encoding": "gzip"}, CONTENT)
        elif what == "endless":
            self.answer(200, {})
            for _ in range(1000):
                self.wfile.write(CONTENT)
        elif what == "drip":
            self.answer(200, {})
            for _ in range(100):
                self.wfile.write(b".")
                self.wfile.flush()
                time.sleep(0.05)
        elif what == "short":
            self.answer(200, {"Content-Length": "99999"}, b"too little")
        else:
            self.answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT)

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the fetcher has gone, which is what is tested
            self.close_connection = True


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with serving(Answers) as served:
        yield served


NAMES = {
    "huggingface.co": ["127.0.0.2"],
    "nothuggingface.co": ["127.0.0.2"],
    "images.test": ["127.0.0.1"],
    "inner.test": ["127.0.0.2"],
    "both.test": ["127.0.0.1", "127.0.0.2"],
    "none.test": [],
}


def resolve(host: str) -> list[ipaddress.IPv4Address]:
    if host not in NAMES:
        return look_up(host)
    return [ipaddress.ip_address(address) for address in NAMES[host]]


def fetcher(**options: object) -> Fetcher:
    """One to whom 127.0.0.1, and nothing else, is the Internet."""
    options = {
        "may_reach": lambda address: str(address) == "127.0.0.1",
        "look_up": resolve,
        **options,
    }
    return Fetcher(**options)  # type: ignore[arg-type]


def at(server: ThreadingHTTPServer, path: str, host: str = "images.test") -> str:
    return f"http://{host}:{server.server_address[1]}{path}"


def test_what_is_there_is_fetched_byte_by_byte(server, tmp_path):
    path = fetcher().fetch(at(server, "/data/cell%2001.tif?size=full"), tmp_path / "new")
    assert path == tmp_path / "new" / "cell 01.tif"
    assert path.read_bytes() == CONTENT
    host = f"images.test:{server.server_address[1]}"
    assert server.asked == [(host, "/data/cell%2001.tif?size=full")]


def test_it_fetches_also_where_a_loop_is_running(server, tmp_path):
    async def ask() -> Path:
        return fetcher().fetch(at(server, "/a.png"), tmp_path)

    with ThreadPoolExecutor(1) as thread:
        path = thread.submit(lambda: asyncio.run(ask())).result()
    assert path.read_bytes() == CONTENT


def test_a_redirect_is_followed(server, tmp_path):
    target = at(server, "/b.png").replace("/", "~")
    assert fetcher().fetch(at(server, f"/to/{target}"), tmp_path).name == "b.png"
    assert fetcher().fetch(at(server, "/to/~c.png"), tmp_path).name == "c.png"


@pytest.mark.parametrize(
    "address",
    [
        "http://inner.test{port}/a.png",
        "http://both.test{port}/a.png",
        "http://none.test{port}/a.png",
        "http://127.0.0.2{port}/a.png",
        "http://[::1]{port}/a.png",
        "http://[::ffff:127.0.0.2]{port}/a.png",
        "http://2130706434{port}/a.png",  # 127.0.0.2 as one number
        "http://0x7f.0.0.2{port}/a.png",
    ],
)
def test_no_address_of_an_inner_network_is_asked(server, tmp_path, address):
    address = address.format(port=f":{server.server_address[1]}")
    for asked in (address, at(server, "/to/" + address.replace("/", "~"))):
        server.asked.clear()
        with pytest.raises(ImageError, match="no server"):
            fetcher().fetch(asked, tmp_path / "new")
        assert len(server.asked) == (asked != address)  # the redirect alone
    assert not (tmp_path / "new").exists()


def test_the_hub_may_lie_in_a_spaces_own_network(server, tmp_path, monkeypatch):
    hub = at(server, "/a.png", "huggingface.co")
    for space, address in ((None, hub), ("lab/u-net", at(server, "/a.png", "nothuggingface.co"))):
        monkeypatch.setenv("SPACE_ID", space) if space else monkeypatch.delenv("SPACE_ID", False)
        with pytest.raises(ImageError, match="no server of the public Internet"):
            fetcher().fetch(address, tmp_path)
    # Linux answers at every address of 127.0.0.0/8, but the server listens at the first alone.
    with pytest.raises(ImageError, match="cannot be reached"):
        fetcher().fetch(hub, tmp_path)


def test_a_name_is_looked_up_once_for_each_request(server, tmp_path):
    """A name that means something else a moment later leads nowhere else."""
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])

    def rebound(host: str) -> list[ipaddress.IPv4Address]:
        return [ipaddress.ip_address(address) for address in next(answers)]

    assert fetcher(look_up=rebound).fetch(at(server, "/a.png"), tmp_path).read_bytes() == CONTENT
    assert next(answers) == ["127.0.0.2"]


def test_by_default_this_very_server_is_not_asked(server, tmp_path):
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ImageError, match="no server of the public Internet"):
            Fetcher().fetch(at(server, "/a.png", host), tmp_path)
    assert server.asked == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1"),
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:2800:220:1::1"])
def test_addresses_that_are_public(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "no address of an image"),
        ("cells.png", "no address of an image"),
        ("file:///etc/passwd", "no address of an image"),
        ("ftp://images.test/a.png", "no address of an image"),
        ("gopher://images.test", "no address of an image"),
        ("http://", "no address of an image"),
        ("http://[", "There is no server"),
        ("http://images.test:99999/", "no address of an image"),
        ("http://images.test/" + "a" * 3000, "no address of an image"),
        ("http://me:secret@images.test/a.png", "Leave name and password out"),
        ("http://no-such-name.invalid/a.png", "There is no server 'no-such-name.invalid'"),
    ],
)
def test_what_is_no_address_gets_a_sentence(tmp_path, address, sentence):
    with pytest.raises(ImageError, match=sentence) as caught:
        fetcher().fetch(address, tmp_path)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/again/", "from one to the next"),
        ("/to/file:~~~etc~passwd", "no address of an image"),
        ("/status/404", "nothing at that address"),
        ("/status/403", "does not hand that out"),
        ("/status/500", "error 500"),
        ("/page/", "address of a web page"),
        ("/packed/a.png", "packed"),
        ("/a.png", "larger than 0 MB"),
        ("/endless/", "larger than 0 MB"),
    ],
)
def test_each_failure_has_its_sentence_and_leaves_no_file(server, tmp_path, path, sentence):
    with pytest.raises(ImageError, match=sentence) as caught:
        fetcher(largest=20_000).fetch(at(server, path), tmp_path / "new")
    assert str(tmp_path) not in str(caught.value)
    assert not list(tmp_path.rglob("*.*"))


def test_a_server_that_breaks_off_or_is_not_there(server, tmp_path):
    with pytest.raises(ImageError, match="breaks off"):
        fetcher().fetch(at(server, "/short/a.png"), tmp_path)
    with pytest.raises(ImageError, match="cannot be reached"):
        fetcher().fetch("http://images.test:1/a.png", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_server_that_sends_a_byte_now_and_then(server, tmp_path):
    with pytest.raises(ImageError, match="takes longer than 0 seconds"):
        fetcher(seconds=0.4).fetch(at(server, "/drip/a.png"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_fetched_image_stands_where_a_dropped_one_would(server, tmp_path, monkeypatch):
    monkeypatch.setattr(address_part, "FETCHER", fetcher())
    monkeypatch.setattr(address_part, "shelf", lambda: tmp_path)
    box, place, path, *_ = address_part.take_address(at(server, "/a.png"), None, None)
    assert box == "" and "a.png" in str(place.label)
    assert Path(path).read_bytes() == CONTENT and Path(path).is_relative_to(tmp_path)


def test_what_was_fetched_is_deleted_after_a_while(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.png").write_bytes(b"")
    address_part.forget_old(tmp_path, 3600)
    assert (tmp_path / "old").exists()
    address_part.forget_old(tmp_path, -1)
    assert not (tmp_path / "old").exists()
