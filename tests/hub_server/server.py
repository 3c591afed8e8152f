"""The sockets: a Hub that answers on the loopback address until it is told to stop."""

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast

# Imported for what they register.
from hub_server import account_routes, commit_routes, file_routes, repository_routes  # noqa: F401
from hub_server.faults import Fault, Faults, Matching, asks
from hub_server.hub import Hub
from hub_server.routing import Request, Response, answer


class HubServer(Hub):
    """A Hub at `endpoint`, in its own threads, from the ``with`` statement on to its end.

    Examples
    --------
    >>> with HubServer() as hub:
    ...     hub.endpoint.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.faults = Faults()
        self._lock = threading.RLock()
        self._http = _Listener(("127.0.0.1", 0), _Conversation)
        self._http.hub = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Be gone: nobody answers at the address any more, on open connections neither."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._http.hang_up()

    # --- what tests look at ---------------------------------------------------------------------

    def seen(self, method: str = "", path: str = "") -> list[Request]:
        """Requests so far of this method whose address holds this regular expression."""
        matches = asks(method, path)
        return [request for request in self.requests if matches(request)]

    # --- what goes wrong ------------------------------------------------------------------------

    def answer_next(
        self, status: int, when: Matching, times: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the next matching requests with this status, and do nothing of what they ask."""
        told = Response.json({"error": f"Planned {status}"}, status, **(headers or {}))
        self.faults.waiting.append(Fault(when, times, instead=told))

    def cut_next(self, when: Matching, times: int = 1, kept: float = 0.5) -> None:
        """Do what the next matching requests ask, and cut the connection amid the answer."""
        self.faults.waiting.append(Fault(when, times, kept=kept))

    def drop_next(self, when: Matching, times: int = 1) -> None:
        """Cut the connection of the next matching requests, and do nothing of what they ask."""
        self.faults.waiting.append(Fault(when, times, dropped=True))

    def before_next(self, action: Callable[[], object], when: Matching, times: int = 1) -> None:
        """Let something happen just before the next matching requests are answered."""
        self.faults.waiting.append(Fault(when, times, before=action))

    # --- called by the connections --------------------------------------------------------------

    def reply(self, request: Request) -> tuple[Response, int | None]:
        """The answer, and after how many bytes of its body the connection is cut, if it is."""
        with self._lock:
            self.requests.append(request)
            fault = self.faults.take(request)
            if fault is not None and fault.dropped:
                return Response(0), 0
            if fault is not None and fault.instead is not None:
                return fault.instead, None
            if fault is not None and fault.before is not None:
                fault.before()
            response = answer(self, self.endpoint, request)
            if fault is None or fault.kept >= 1:
                return response, None
            return response, int(len(response.body) * fault.kept)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in tuple(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side, or its own thread, was faster
                self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a client that went away unmentioned; a fault of this server is to be seen."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Conversation(BaseHTTPRequestHandler):
    """One connection; it stays open from request to request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: tests look at `HubServer.requests`."""

    def _converse(self) -> None:
        hub = cast(_Listener, self.server).hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self._body(headers))
        response, cut = hub.reply(request)
        if response.status:
            self._send(response, cut)
        if cut is not None:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _converse

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, response: Response, cut: int | None) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value.replace("\n", " "))
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body[:cut])
