"""Images by their address: fetched from public servers only, within limits of size and time.

A server may not be talked into asking its own network. So a name is looked up once for each
request, every address that it has must be public, and it is that address that is connected to,
whatever the name means a moment later. Redirects go the same way.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

import httpx2

from hf_unet.demo.models.repositories import on_space
from hf_unet.demo.uploads import LARGEST_FILE
from hf_unet.errors import ImageError
from hf_unet.exports.files import whole_file

MOST_REDIRECTS = 5
LONGEST_ADDRESS = 2_000

SECONDS_TO_CONNECT = 5.0
SECONDS_OF_SILENCE = 10.0
SECONDS = 60.0
"""For all of it, redirects included."""

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_HINT = "Download the image and drop it here instead."


def is_public(address: Address) -> bool:
    """Whether an address is one of the open Internet, as far as an address can tell.

    Examples
    --------
    >>> [is_public(ipaddress.ip_address(a)) for a in ("93.184.216.34", "10.0.0.1", "::1")]
    [True, False, False]
    >>> is_public(ipaddress.ip_address("::ffff:127.0.0.1"))
    False
    """
    if isinstance(address, ipaddress.IPv6Address):
        # Those that carry an IPv4 address lead to it.
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def is_hub(host: str) -> bool:
    """Whether a host is the Hub's own.

    Examples
    --------
    >>> [is_hub(host) for host in ("huggingface.co", "cdn.hf.co", "nothf.co", "hf.co.test")]
    [True, True, False, False]
    """
    return f".{host.lower()}".endswith((".huggingface.co", ".hf.co"))


_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def look_up(host: str) -> list[Address]:
    """Addresses that a host's name has.

    Raises
    ------
    OSError
        If it has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    # A zone (fe80::1%eth0) is part of this machine's network, and not of the address.
    addresses = (str(entry[4][0]).partition("%")[0] for entry in found)
    return [ipaddress.ip_address(address) for address in dict.fromkeys(addresses)]


@dataclass(frozen=True)
class Fetcher:
    """Fetches images by their address.

    Attributes
    ----------
    may_reach : callable
        Whether an address may be connected to. Tests let it reach their own server.
    look_up : callable
        Addresses of a host's name.
    largest : int
        Bytes of one image.
    seconds : float
        For all of it.
    """

    may_reach: Callable[[Address], bool] = is_public
    look_up: Callable[[str], list[Address]] = look_up
    largest: int = LARGEST_FILE
    seconds: float = SECONDS

    def fetch(self, address: str, folder: Path) -> Path:
        """Fetch an image.

        Parameters
        ----------
        address : str
            Beginning with http:// or https://.
        folder : Path
            Of its own, where the file is written under the last part of its address.

        Raises
        ------
        ImageError
            If that is no address, leads into a network that is not public, or what is there is
            too large, takes too long or cannot be had.
        """
        url = _checked_url(address)
        try:
            # In a thread of its own, as whoever asks may have a loop that is running.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(asyncio.run, self._in_time(url, folder)).result()
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise ImageError(
                f"{url.host} takes longer than {self.seconds:.0f} seconds. {_HINT}"
            ) from error

    async def _in_time(self, url: httpx2.URL, folder: Path) -> Path:
        # A server that sends a byte now and then would pass any limit of silence.
        return await asyncio.wait_for(self._follow(url, folder), self.seconds)

    async def _follow(self, url: httpx2.URL, folder: Path) -> Path:
        for _ in range(MOST_REDIRECTS + 1):
            try:
                found = await self._ask(url, folder)
            except httpx2.TimeoutException as error:
                raise ImageError(f"{url.host} does not answer. {_HINT}") from error
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                raise ImageError(
                    f"{url.host} cannot be reached, or breaks off. Look at the address; or "
                    f"{_HINT[0].lower()}{_HINT[1:]}"
                ) from error
            if isinstance(found, Path):
                return found
            url = _checked_url(str(found))
        raise ImageError(
            f"That address leads from one to the next, more than {MOST_REDIRECTS} times. {_HINT}"
        )

    async def _ask(self, url: httpx2.URL, folder: Path) -> Path | httpx2.URL:
        """The file; or where it is said to be."""
        pinned = url.copy_with(host=str(self._reachable(url.host)))
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",  # so that no more arrives than was sent
            "User-Agent": "hf-unet-demo",
        }
        timeout = httpx2.Timeout(SECONDS_OF_SILENCE, connect=SECONDS_TO_CONNECT)
        # No proxy and no .netrc of this machine: a proxy would look the name up by itself.
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=timeout) as client,
            client.stream(
                "GET", pinned, headers=headers, extensions={"sni_hostname": url.host}
            ) as answer,
        ):
            if answer.is_redirect:
                return url.join(answer.headers["Location"])
            _check_answer(answer, url.host)
            return await self._written(answer, folder / file_name(url.path))

    def _reachable(self, host: str) -> Address:
        try:
            addresses = self.look_up(host)
        except (OSError, UnicodeError, ValueError) as error:
            raise ImageError(f"There is no server {host!r}. Look at the address.") from error
        # On a Space the Hub's name may lead into the network that they share.
        trusted = on_space() and is_hub(host)
        if not addresses or not (trusted or all(map(self.may_reach, addresses))):
            raise ImageError(
                f"{host} is no server of the public Internet, and only those are asked. {_HINT}"
            )
        return addresses[0]

    async def _written(self, answer: httpx2.Response, target: Path) -> Path:
        announced = answer.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > self.largest:
            raise self._too_large()
        target.parent.mkdir(parents=True, exist_ok=True)
        got = 0
        with whole_file(target) as file:
            async for piece in answer.aiter_raw():
                got += len(piece)
                if got > self.largest:
                    raise self._too_large()
                file.write(piece)
        return target

    def _too_large(self) -> ImageError:
        return ImageError(
            f"What is at that address is larger than {self.largest / 1e6:,.0f} MB, the most that "
            "this page takes. Cut it into pieces, or use hf-unet segment."
        )


def file_name(path: str) -> str:
    """Name for a file by the path of its address: no folder, nothing that a file system minds.

    Examples
    --------
    >>> file_name("/data/cell%2001.tif"), file_name("/..%2f..%2fetc/"), file_name("/")
    ('cell 01.tif', 'etc', 'image')
    """
    last = re.split(r"[\\/]", unquote(path).rstrip("\\/"))[-1]
    return re.sub(r"[^\w.\- ]", "_", last).strip(". ")[-80:] or "image"


def _checked_url(address: str) -> httpx2.URL:
    address = address.strip()
    try:
        url = httpx2.URL(address if len(address) <= LONGEST_ADDRESS else "")
        host = url.host
    except (httpx2.InvalidURL, ValueError):
        url, host = httpx2.URL(""), ""
    if url.scheme not in ("http", "https") or not host or not 0 < (url.port or 80) < 2**16:
        raise ImageError("That is no address of an image. They begin with https:// or http://.")
    if url.userinfo:
        raise ImageError("Leave name and password out of the address.")
    return url


def _check_answer(answer: httpx2.Response, host: str) -> None:
    if answer.status_code in (401, 403):
        raise ImageError(f"{host} does not hand that out to everybody. {_HINT}")
    if answer.status_code in (404, 410):
        raise ImageError(f"There is nothing at that address of {host}. Look at the address.")
    if answer.status_code != 200:
        raise ImageError(f"{host} answers with error {answer.status_code}. {_HINT}")
    if (
        answer.headers.get("Content-Type", "")
        .lower()
        .startswith(("text/html", "application/xhtml"))
    ):
        raise ImageError(
            "That is the address of a web page, not of an image. Copy the address of the image in "
            "it; or download it and drop it here."
        )
    if answer.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise ImageError(f"{host} sends it packed, although asked not to. {_HINT}")
