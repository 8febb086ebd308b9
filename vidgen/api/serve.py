"""How the application is served: addresses, uvicorn's configuration, and the way out.

The first SIGTERM or SIGINT stops taking requests and lets the engine drain; the second ends the draining; a third ends
the process where it stands.
"""

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from vidgen.api.limits import (
    GRACEFUL_S,
    MAX_LISTENERS,
    MAX_MESSAGE_BYTES,
    PING_EVERY_S,
    PING_TIMEOUT_S,
)
from vidgen.api.sockets import HttpConnection, SocketConnection
from vidgen.errors import StartRefused

SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 2_048
SPARE_FILES = 1_000
"""Open files beside the listeners' sockets: requests, the database, clips."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets on every address of *host*, bound and not yet listening.

    :param port: 0 takes a free one.
    :raises StartRefused: the address is taken, or is not this machine's.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        bound: list[socket.socket] = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            bound.append(_bind_one(family, kind, protocol, (address[0], port_of(bound) or port, *address[2:])))
    except OSError as e:
        raise StartRefused(f"cannot listen on {host}:{port}: {e.strerror}") from e
    except UnicodeError:                    # what the resolver makes of a name with too long or empty parts
        raise StartRefused(f"cannot listen on {host}:{port}: API_HOST is no host name") from None
    return bound


def _bind_one(family: int, kind: int, protocol: int, address: tuple) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one


def port_of(bound: list[socket.socket]) -> int:
    """The port that *bound* has; 0 where it is empty."""
    return bound[0].getsockname()[1] if bound else 0


def allow_many_files() -> None:
    """Raise the soft limit of open files so that MAX_LISTENERS fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_LISTENERS + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))


class Server(uvicorn.Server):
    """uvicorn, with signals left to :func:`way_out`."""

    def __init__(self, app: FastAPI, serving: Callable[[], None]):
        super().__init__(uvicorn.Config(
            app, http=HttpConnection, ws=SocketConnection, lifespan="on", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, backlog=BACKLOG, timeout_graceful_shutdown=GRACEFUL_S,
            ws_max_size=MAX_MESSAGE_BYTES, ws_per_message_deflate=False, ws_ping_interval=PING_EVERY_S,
            ws_ping_timeout=PING_TIMEOUT_S,
        ))
        self._channels = lambda: app.state.channels
        self._serving = serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._serving()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._channels().close()
        await super().shutdown(sockets)
        if self.force_exit:                 # uvicorn leaves the application's end out then
            await self.lifespan.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def way_out(server: Server, hurry: Callable[[], None]) -> Iterator[None]:
    """Inside, signals end *server*, then call *hurry*, then end the process."""
    received = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal received
        received += 1
        server.should_exit = True
        if received == 2:
            server.force_exit = True
            hurry()
        elif received > 2:
            os._exit(128 + number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
