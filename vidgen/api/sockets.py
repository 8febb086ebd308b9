"""uvicorn's two protocols, with what a server that strangers can reach needs beside them.

HTTP: bounded headers, bounded bodies that nobody reads any more, our error shape for what is not HTTP.
WebSocket: text frames that were encoded once for all listeners, and an end for clients that flood or do not read.

Frames go past ASGI's ``send`` because it costs twice as much: with 1,000 clients and 10,000 sends a second, one send
takes 10 µs of CPU so, 19 µs through ``send``, and 25 µs with uvicorn's older ``websockets`` protocol.
"""

import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from vidgen.api.errors import problem
from vidgen.api.limits import (
    LINGER_S,
    MAX_DISCARDED_BYTES,
    MAX_FRAGMENTS,
    MAX_HEADER_BYTES,
    MAX_SOCKET_BYTES_PER_S,
    MAX_UNREAD_BYTES,
)

EXTENSION = "vidgen.connection"
"""Under this name a scope's ``extensions`` hold the connection that it came on."""

TOO_BIG = 1009
TOO_MUCH = 1008


def text_frame(text: str) -> bytes:
    """*text* as one WebSocket frame from a server; the same bytes for every client."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)


class HttpConnection(HttpToolsProtocol):
    """An HTTP connection that takes no more than it must."""

    _head_bytes = 0                         # of the request line and headers that are whole
    _pending_bytes = 0                      # received since the last request's end, while its headers are not
    _in_head = True
    _advanced = False                       # headers or a body became whole in what was received last
    _discarded_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._advanced = False
        super().data_received(data)
        self._pending_bytes = self._pending_bytes + len(data) if self._in_head and not self._advanced else 0
        if self._pending_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self._head_bytes = self._pending_bytes
            self.send_400_response("")

    def on_headers_complete(self) -> None:
        self._in_head, self._advanced = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._advanced = True, True
        super().on_message_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self.scope["extensions"] = {EXTENSION: self}

    def on_url(self, url: bytes) -> None:
        self._count_head(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(name, value)
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        if self.cycle is not None and self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.transport.abort()
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        title = "Headers too large" if self._head_bytes > MAX_HEADER_BYTES else "Bad request"
        detail = f"{title.lower()}: {MAX_HEADER_BYTES:,} bytes are taken" if title[0] == "H" else "this is not HTTP"
        status = 431 if title[0] == "H" else 400
        answer = problem(status, title, detail, title.lower().replace(" ", "_"), (), {"Connection": "close"})
        head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + answer.body)
        self.transport.close()

    def drop(self) -> None:
        """Cut the connection; nothing more is sent."""
        self.transport.abort()

    def _count_head(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")


class SocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that takes frames as bytes, says when it can take more, and ends where a client misbehaves."""

    _second = 0.0
    _bytes_in_second = 0
    on_drain: Callable[[], None] | None = None

    # for the application

    def push(self, frame: bytes) -> bool:
        """Send *frame*; False where the connection has ended, or its client reads too slowly to take more now."""
        if self.close_sent or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True

    def drop(self) -> None:
        """Cut the connection; nothing more is sent."""
        self.transport.abort()

    # for uvicorn

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if self.handshake_initiated and hasattr(self, "scope"):
            self.scope["extensions"][EXTENSION] = self

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            return super().data_received(data)
        room = self._room(len(data))
        if room:
            super().data_received(data[:room])
        if room < len(data) and not self.close_sent:
            self._refuse(TOO_MUCH, "too much at once")
        return None

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_drain is not None:
            self.on_drain()

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            return self.transport.abort()
        return super().handle_ping()

    def handle_cont(self, event: Any) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            return self._refuse(TOO_BIG, "too many fragments")
        return super().handle_cont(event)

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(LINGER_S, self.transport.abort)

    def _room(self, size: int) -> int:
        """How many of *size* bytes may still come in this second."""
        now = time.monotonic()
        if now - self._second > 1:
            self._second, self._bytes_in_second = now, 0
        room = max(0, MAX_SOCKET_BYTES_PER_S - self._bytes_in_second)
        self._bytes_in_second += min(size, room)
        return min(size, room)

    def _refuse(self, code: int, reason: str) -> None:
        """End the connection from our side: a close frame, then the cut."""
        if self.close_sent:
            return
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)
