"""A job's WebSocket: ``connected``, then the present state or, with ``since``, what the log holds after that number,
then what comes.

Where events come from is ``channels.py``'s business, how bytes go out that of ``sockets.py``.
"""

import asyncio
import json
import time

from fastapi import FastAPI
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from vidgen.api.channels import FINAL, Channels, Listener, Packet, greeting
from vidgen.api.errors import internal, problem
from vidgen.api.limits import MAX_FIELD_CHARS, MAX_SEQ, MESSAGES_BURST, MESSAGES_PER_S, STUCK_S
from vidgen.api.sockets import EXTENSION, TOO_MUCH, SocketConnection, text_frame
from vidgen.errors import InvalidInput, NotFound, VidgenError

BAD_REQUEST, UNKNOWN_JOB, NOT_TEXT, FULL, BROKEN = 4400, 4404, 1003, 1013, 1011
PONG = text_frame('{"type": "pong"}')


class SocketListener(Listener):
    """A WebSocket. It is given bytes from the loop directly; no task sends for it."""

    def __init__(self, channels: Channels, job_id: str, ws: WebSocket, idle_s: float):
        super().__init__(channels.channel(job_id), 0)
        self.connection: SocketConnection = ws.scope["extensions"][EXTENSION]
        self.heard = time.monotonic()
        self.ended = False                  # its last message was given
        self._ws = ws
        self._idle_s = idle_s
        self._channels = channels
        self._live = False                  # the greeting was sent
        self._fetching = False
        self._stuck_since: float | None = None
        self.channel.listeners.add(self)

    def begin(self, cursor: int) -> None:
        """Give what comes after *cursor* from now on."""
        self.cursor, self._live = cursor, True
        self.connection.on_drain = self.news
        self.news()

    def end(self) -> None:
        self._live = False
        self.connection.on_drain = None
        self.channel.leave(self)

    def news(self) -> None:
        while self._live and not self._fetching:
            packets = self.channel.after(self.cursor)
            if packets is None:
                self._fetching = True
                self._channels.spawn(self._catch_up())
            elif not packets or not self._give(packets):
                return

    def tick(self, now: float) -> None:
        if self._stuck_since is not None and now - self._stuck_since > STUCK_S:
            self.connection.drop()
        elif self.ended and now - self.heard > self._idle_s:
            self.ended = False
            self._channels.spawn(_close(self._ws, 1000, "idle"))

    def _give(self, packets: list[Packet]) -> bool:
        if not self.connection.push(b"".join([packet.frame for packet in packets])):
            self._stuck_since = self._stuck_since or time.monotonic()
            return False
        self._stuck_since = None
        self.cursor = packets[-1].seq
        if any([packet.final for packet in packets]):
            self.ended, self.heard = True, time.monotonic()
        return True

    async def _catch_up(self) -> None:
        try:
            packets = await self.more()
            going_on = not packets or (self._live and self._give(packets))
        finally:
            self._fetching = False
        if going_on:
            self.news()


class Bucket:
    """How many messages a client may send: MESSAGES_PER_S lastingly, MESSAGES_BURST at once."""

    def __init__(self) -> None:
        self._left = float(MESSAGES_BURST)
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(MESSAGES_BURST, self._left + (now - self._at) * MESSAGES_PER_S) - 1
        self._at = now
        return self._left >= 0


async def socket(ws: WebSocket) -> None:
    """``/ws/jobs/{job_id}``."""
    await ws.accept(subprotocol=ws.scope.get("vidgen.subprotocol"))
    job_id = ws.path_params["job_id"]
    try:
        await _serve(ws, job_id)
    except NotFound as e:
        await _refuse(ws, job_id, e, UNKNOWN_JOB)
    except InvalidInput as e:
        await _refuse(ws, job_id, e, BAD_REQUEST)
    except Exception as e:
        answer = json.loads(internal(e, job=job_id[:80]).body)
        await _refuse(ws, job_id, VidgenError(answer["detail"]), BROKEN)


async def _serve(ws: WebSocket, job_id: str) -> None:
    engine, channels = ws.app.state.engine, ws.app.state.channels
    since = _since(ws.query_params.getlist("since"))
    if channels.full():
        return await _refuse(ws, job_id, VidgenError("too many listeners", code="too_many_listeners"), FULL)
    listener = SocketListener(channels, job_id, ws, engine.settings.websocket_idle_s)
    try:
        seq, present = await listener.channel.state()
        for message in greeting(job_id, seq, present, since is not None):
            listener.connection.push(text_frame(json.dumps(message, ensure_ascii=False)))
        listener.ended = present is not None and present.type in FINAL
        listener.begin(seq if since is None else min(since, seq))
        await _hear(ws, listener)
    finally:
        listener.end()


async def _hear(ws: WebSocket, listener: SocketListener) -> None:
    """Take the client's messages until it goes, or has to."""
    bucket = Bucket()
    while (message := await ws.receive())["type"] == "websocket.receive":
        text = message.get("text")
        listener.heard = time.monotonic()
        if text is None:
            return await _close(ws, NOT_TEXT, "text only")
        if not bucket.take():
            return await _close(ws, TOO_MUCH, "too many messages")
        if _is_ping(text):
            listener.connection.push(PONG)
    return None


def _is_ping(text: str) -> bool:
    if text.strip() == "ping":
        return True
    try:
        said = json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.get("type") == "ping"


def _since(given: list[str]) -> int | None:
    if not given:
        return None
    if len(given) > 1 or not given[0].isascii() or not given[0].isdecimal() or len(given[0]) > 19:
        raise InvalidInput.of("since", "must be one whole number from 0")
    return min(int(given[0]), MAX_SEQ)


async def _refuse(ws: WebSocket, job_id: str, error: VidgenError, code: int) -> None:
    said = {"type": "error", "job_id": job_id[:80], "error": error.detail, "code": error.code, "seq": 0}
    ws.scope["extensions"][EXTENSION].push(text_frame(json.dumps(said, ensure_ascii=False)))
    await _close(ws, code, error.code)


async def _close(ws: WebSocket, code: int, reason: str) -> None:
    """Close; a client that does not read is cut off."""
    try:
        async with asyncio.timeout(STUCK_S):
            await ws.close(code, reason)
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        ws.scope["extensions"][EXTENSION].drop()


def add_socket(app: FastAPI) -> None:
    """Add the WebSocket's route, past FastAPI's own handling: 1,000 of them are to be cheap."""
    app.router.routes.append(WebSocketRoute("/ws/jobs/{job_id}", socket))
    app.router.routes.append(WebSocketRoute("/{path:path}", _nothing_here))


async def _nothing_here(ws: WebSocket) -> None:
    detail = f"there is no WebSocket at {ws.url.path[:MAX_FIELD_CHARS]}"
    await ws.send_denial_response(problem(404, "Not found", detail, "not_found"))
