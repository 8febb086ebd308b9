"""What the loopback Replicate does, by script, and what it can do wrong: acts that answer one request each."""

import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fakes.footage import small_mp4

if TYPE_CHECKING:
    from tests.fakes.replicate import Handler

LOGS = ("loading\r 40%|████      | 10/25 [00:01<00:02,  7.5it/s]\r",)
RUNNING = ("starting", "processing")
LIFE = ("processing", "succeeded")
ROUTES = ("create", "list", "get", "cancel", "upload", "output")

Proceed = Callable[[], None]
Act = Callable[["Handler", Proceed], None]
"""Answers one request in place of the server; the second argument does what the server would have done."""


class Script:
    """What happens to some requests, and how many there were, by the names of ROUTES."""

    def __init__(self) -> None:
        self.requests = dict.fromkeys(ROUTES, 0)
        self.life: tuple[str, ...] = LIFE
        self.logs: tuple[str, ...] = LOGS       # at each look, as ``life``
        self.error: str | None = None
        self._lock = threading.Lock()
        self._acts: dict[str, deque[Act]] = {name: deque() for name in ROUTES}
        self._always: dict[str, Act] = {}

    def arrange(self, route: str, *acts: Act, always: bool = False) -> None:
        """Have the next requests of *route* answered by *acts*, one each; the last for ever where *always* is set."""
        with self._lock:
            self._acts[route].extend(acts[:-1] if always else acts)
            if always:
                self._always[route] = acts[-1]

    def calm(self) -> None:
        """All goes well from now on."""
        with self._lock:
            for acts in self._acts.values():
                acts.clear()
            self._always.clear()

    def count(self, route: str) -> None:
        with self._lock:
            self.requests[route] += 1

    def act(self, route: str) -> Act | None:
        with self._lock:
            return self._acts[route].popleft() if self._acts[route] else self._always.get(route)


def well(handler: "Handler", proceed: Proceed) -> None:
    """Nothing wrong; for the places between."""
    proceed()


def error(status: int, detail: str = "what the service says", **headers: str) -> Act:
    """An error as Replicate words it; nothing is done."""
    return lambda handler, proceed: handler.send_json(status, {"title": "A title", "detail": detail}, **headers)


def expired(status: int) -> Act:
    """The output is not there any more, and the prediction says so."""
    def act(handler: "Handler", proceed: Proceed) -> None:
        handler.fake.find(handler.path.rpartition("/")[2]).update(output=None, data_removed=True)
        handler.send_json(status, {"detail": "gone"})

    return act


def busy(retry_after: str) -> Act:
    return error(429, "Request was throttled.", retry_after=retry_after)


def error_after(status: int) -> Act:
    """Do what was asked, then answer with an error."""
    return _after(lambda handler: handler.send_json(status, {"detail": "too late"}))


def reset(handler: "Handler", proceed: Proceed) -> None:
    """Drop the connection with a TCP reset; nothing is done."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    handler.connection.close()


def reset_after(handler: "Handler", proceed: Proceed) -> None:
    """Do what was asked, then drop the connection."""
    _after(lambda handler: reset(handler, proceed))(handler, proceed)


def silence(handler: "Handler", proceed: Proceed) -> None:
    """Do what was asked, and say nothing until the server ends."""
    _after(lambda handler: handler.fake.ending.wait())(handler, proceed)
    handler.close_connection = True


def truncated(handler: "Handler", proceed: Proceed) -> None:
    """Half of what is announced."""
    content = bytes(1000)
    handler.send(200, content[:500], "video/mp4", content_length="1000")
    handler.close_connection = True


def redirect(address: str) -> Act:
    return lambda handler, proceed: handler.send(302, b"", "text/plain", location=address)


def gives(content: bytes, content_type: str) -> Act:
    return lambda handler, proceed: handler.send(200, content, content_type)


PAGE = gives(b"<html><body>Sign in</body></html>", "text/html; charset=utf-8")


def cut(handler: "Handler", proceed: Proceed) -> None:
    """A video whose end is missing, though nothing is lost on the way."""
    handler.send(200, small_mp4()[:-9], "video/mp4")


def ends(status: str) -> Act:
    """The prediction that is looked at has ended so."""
    def act(handler: "Handler", proceed: Proceed) -> None:
        prediction = handler.fake.find(handler.path.rpartition("/")[2])
        prediction["status"] = status
        proceed()

    return act


def _after(answer: Callable[["Handler"], object]) -> Act:
    """Do what was asked, and give another answer than that."""
    def act(handler: "Handler", proceed: Proceed) -> None:
        real, handler.send_json = handler.send_json, lambda *args, **headers: None
        proceed()
        handler.send_json = real
        answer(handler)

    return act
