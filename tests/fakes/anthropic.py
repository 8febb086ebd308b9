"""A loopback server that speaks Anthropic's messages protocol to the real SDK, with replies written in the test.

    with FakeAnthropic(storyboard("Dawn", ("A hill at dawn.", "pan_left"))) as fake:
        Settings(anthropic_api_key="key", anthropic_base_url=fake.url)

A reply is a function of the request's handler. Replies are given in order, the last one again and again.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[["_Handler"], None]


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.next_reply(self, json.loads(body))(self)

    def send(self, status: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False                  # so that closing waits for them

    def __init__(self, replies: tuple[Reply, ...]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ending = threading.Event()
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self._replies = replies
        self._lock = threading.Lock()

    def next_reply(self, handler: _Handler, request: dict[str, Any]) -> Reply:
        key = handler.headers.get("x-api-key") or handler.headers.get("authorization", "").removeprefix("Bearer ")
        with self._lock:
            self.requests.append(request)
            self.paths.append(handler.path)
            self.keys.append(key)
            return self._replies[min(len(self.requests), len(self._replies)) - 1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass                                # clients that give up are part of the tests


class FakeAnthropic:
    """The server, while its block runs: ``url``, the ``requests`` that came (JSON), their ``paths`` and ``keys``."""

    def __init__(self, *replies: Reply):
        self._server = _Server(replies)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.requests = self._server.requests
        self.paths = self._server.paths
        self.keys = self._server.keys

    def __enter__(self) -> "FakeAnthropic":
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def message(text: str, stop_reason: str | None = "end_turn", **more: Any) -> Reply:
    """A message whose one block is *text*; *more* are fields beside its own."""
    body = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5", "stop_sequence": None,
        "content": [{"type": "thinking", "thinking": "…", "signature": "s"}, {"type": "text", "text": text}],
        "stop_reason": stop_reason, "usage": {"input_tokens": 1, "output_tokens": 1}, **more,
    }
    return lambda handler: handler.send(200, json.dumps(body).encode())


def storyboard(title: Any, *shots: Any, **more: Any) -> Reply:
    """A message with a storyboard; a shot is (description, camera_move) or any JSON."""
    listed = [
        {"description": shot[0], "camera_move": shot[1]} if isinstance(shot, tuple) else shot for shot in shots
    ]
    return message(json.dumps({"title": title, "shots": listed, **more}))


def error(status: int, kind: str = "api_error", text: str = "what the service says", **headers: str) -> Reply:
    """An error as the service words it; a header's underscores become dashes."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": text}}).encode()
    return lambda handler: handler.send(status, body, **headers)


def raw(body: bytes, content_type: str = "application/json", status: int = 200, **headers: str) -> Reply:
    return lambda handler: handler.send(status, body, content_type, **headers)


def hang(handler: _Handler) -> None:
    """Say nothing until the server ends."""
    handler.server.ending.wait()


def trickle(handler: _Handler) -> None:
    """A byte now and then, for ever: no single read ever times out."""
    handler.send(200, b"")
    while not handler.server.ending.wait(0.05):
        handler.wfile.write(b" ")


def trickle_headers(handler: _Handler) -> None:
    """The same, before the headers are complete."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while not handler.server.ending.wait(0.05):
        handler.wfile.write(b"a")


def reset(handler: _Handler) -> None:
    """Drop the connection with a TCP reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def break_off(handler: _Handler) -> None:
    """Announce more bytes than ever come."""
    handler.send(200, b'{"id": "msg_1", "con', content_length="5000")


def stall(handler: _Handler) -> None:
    """Break off without closing: the rest never comes."""
    break_off(handler)
    handler.server.ending.wait()
