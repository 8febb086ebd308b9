"""A loopback proxy that cuts connections in the middle of an answer, as networks do. Knows bytes, and no protocol."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

CHUNK_BYTES = 16 * 1024
RESET = struct.pack("ii", 1, 0)             # SO_LINGER: what was not sent is thrown away, and the peer gets a reset

Budget = Callable[[], int | None]
"""How many bytes of answers the next connection passes before it is cut; None: all."""


class CuttingProxy(ThreadingTCPServer):
    """Every other cut is a reset, the rest are ends.

    :ivar upstream: the address of the server, which may change.
    :ivar cuts: the connections that were cut.
    :ivar refused: those that came while the server was away.
    """

    daemon_threads = False
    block_on_close = True

    def __init__(self, upstream: str, budget: Budget):
        super().__init__(("127.0.0.1", 0), _Pipe)
        self.upstream, self.budget = upstream, budget
        self.cuts = self.refused = 0
        self._numbers, self._lock = count(1), threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def cut(self, client: socket.socket) -> None:
        with self._lock:
            self.cuts += 1
            if next(self._numbers) % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def connect(self) -> socket.socket | None:
        address = urlsplit(self.upstream)
        try:
            return socket.create_connection((address.hostname, address.port))
        except OSError:
            self.refused += 1
            return None


class _Pipe(BaseRequestHandler):
    server: CuttingProxy

    def handle(self) -> None:
        if (upstream := self.server.connect()) is None:
            return
        with upstream:
            requests = threading.Thread(target=_pass_on, args=(self.request, upstream))
            requests.start()
            self._answer(upstream)
            for end in (upstream, self.request):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RD)
            requests.join()

    def _answer(self, upstream: socket.socket) -> None:
        left = self.server.budget()
        with suppress(OSError):
            while data := upstream.recv(CHUNK_BYTES):
                self.request.sendall(data if left is None else data[:left])
                if left is not None and (left := left - len(data)) <= 0:
                    self.server.cut(self.request)
                    break

    def finish(self) -> None:
        self.request.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def cutting(upstream: str, budget: Budget = lambda: None) -> Iterator[CuttingProxy]:
    """A proxy in front of *upstream* for the time of the block."""
    with CuttingProxy(upstream, budget) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
