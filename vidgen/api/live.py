"""A job's events as they happen: a WebSocket and a stream of server-sent events.

Both say ``connected``, then the present state or, with ``since``, what the log holds after that number, then what
comes. Where events come from is ``channels.py``'s business.
"""

import asyncio
import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from vidgen.api.body import StrictRoute
from vidgen.api.channels import FINAL, Channels, Listener
from vidgen.api.errors import internal, problem
from vidgen.api.guard import HEAD
from vidgen.api.limits import KEEPALIVE_S, MAX_FIELD_CHARS, MESSAGES_BURST, MESSAGES_PER_S, STUCK_S
from vidgen.api.sockets import EXTENSION, TOO_MUCH, SocketConnection, text_frame
from vidgen.api.wire import JobId, errors
from vidgen.errors import InvalidInput, NotFound, VidgenError
from vidgen.types import Event, EventType

MAX_SEQ = 2**63 - 1
SERVER_SENT = {
    "required": ["event", "data"], "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"enum": ["connected", *EventType]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
"""One event of the stream. OpenAPI 3.1 has no word for "each", so there is no ``type``: the whole text fits too."""

RETRY_MS = 2_000
"""After how long a browser opens a lost event stream again."""

BAD_REQUEST, UNKNOWN_JOB, NOT_TEXT, FULL, BROKEN = 4400, 4404, 1003, 1013, 1011
PONG = text_frame('{"type": "pong"}')

router = APIRouter(route_class=StrictRoute)


def connected(job_id: str, seq: int) -> dict[str, Any]:
    return {"type": "connected", "job_id": job_id, "message": f"Connected to job {job_id}", "seq": seq}


def greeting(job_id: str, seq: int, present: Event | None, replay: bool) -> list[dict[str, Any]]:
    """What a listener is told first: the present state carries the last number, because it holds as of that one."""
    state = [present.message() | {"seq": seq}] if present is not None and not replay else []
    return [connected(job_id, seq), *state]


# WebSocket


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

    def _give(self, packets: list) -> bool:
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


# server-sent events


class StreamListener(Listener):
    """One who waits for news in a task of its own."""

    def __init__(self, channels: Channels, job_id: str):
        super().__init__(channels.channel(job_id), 0)
        self.ready = asyncio.Event()
        self.channel.listeners.add(self)

    def news(self) -> None:
        self.ready.set()

    async def wait(self) -> bool:
        """Whether something came before it was time for a sign of life."""
        try:
            async with asyncio.timeout(KEEPALIVE_S):
                await self.ready.wait()
        except TimeoutError:
            return False
        return True


class EventStream(Response):
    """The answer that goes on until the job's last message, or until its client goes."""

    media_type = "text/event-stream"

    def __init__(self, channels: Channels, listener: StreamListener, first: list[dict[str, Any]]):
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._channels, self._listener, self._first = channels, listener, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        gone = asyncio.create_task(self._until_gone(receive))
        try:
            async with asyncio.timeout(None) as patience:
                if not scope.get(HEAD):
                    await self._stream(send, gone, patience)
                await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            scope["extensions"][EXTENSION].drop()
        finally:
            gone.cancel()
            self._listener.channel.leave(self._listener)

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._listener.ready.set()

    async def _stream(self, send: Send, gone: asyncio.Task, patience: asyncio.Timeout) -> None:
        async def write(data: bytes) -> None:
            patience.reschedule(asyncio.get_running_loop().time() + STUCK_S)
            await send({"type": "http.response.body", "body": data, "more_body": True})
            patience.reschedule(None)

        listener = self._listener
        await write(f"retry: {RETRY_MS}\n\n".encode() + b"".join(map(_server_sent, self._first)))
        ended = self._first[-1]["type"] in FINAL
        while not (ended or gone.done() or self._channels.closing.is_set()):
            listener.ready.clear()
            if packets := await listener.more():
                await write(b"".join([packet.server_sent for packet in packets]))
                listener.cursor, ended = packets[-1].seq, any(packet.final for packet in packets)
            elif not await listener.wait():
                await write(b": keep-alive\n\n")


def _server_sent(message: dict[str, Any]) -> bytes:
    """A message of the greeting. ``connected`` has no id: who got only that, and comes back, has missed the rest."""
    numbered = "" if message["type"] == "connected" else f"id: {message['seq']}\n"
    return f"{numbered}event: {message['type']}\ndata: {json.dumps(message, ensure_ascii=False)}\n\n".encode()


@router.get(
    "/api/v1/jobs/{job_id}/events", tags=["Live"], summary="A job's events as server-sent events",
    response_class=Response,
    responses=errors(400, 404, 429) | {
        200: {"description": "Each event's `id` is the message's `seq` (`connected` has none), its `event` the "
                             "message's `type`; the stream ends after the job's last message",
              "content": {"text/event-stream": {"schema": SERVER_SENT}}},
        204: {"description": "The job has ended and nothing came after the number given; do not connect again"},
    },
)
async def events(
    request: Request,
    job_id: JobId,
    since: Annotated[int | None, Query(ge=0, le=MAX_SEQ, description="Replay what came after this `seq`")] = None,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^[0-9]{1,18}$", description="As `since`; what browsers send when they reconnect")
    ] = None,
) -> Response:
    channels = request.app.state.channels
    if last_event_id is not None:
        since = int(last_event_id)
    if channels.full():
        return problem(429, "Too many listeners", "too many listeners", "too_many_listeners", (), {"Retry-After": "5"})
    listener = StreamListener(channels, job_id)
    try:
        seq, present = await listener.channel.state()
        if since is not None and since >= seq and present is not None and present.type in FINAL:
            listener.channel.leave(listener)
            return Response(status_code=204)
        listener.cursor = seq if since is None else min(since, seq)
        return EventStream(channels, listener, greeting(job_id, seq, present, since is not None))
    except BaseException:
        listener.channel.leave(listener)
        raise


def add_socket(app) -> None:
    """Add the WebSocket's route, past FastAPI's own handling: 1,000 of them are to be cheap."""
    app.router.routes.append(WebSocketRoute("/ws/jobs/{job_id}", socket))
    app.router.routes.append(WebSocketRoute("/{path:path}", _nothing_here))


async def _nothing_here(ws: WebSocket) -> None:
    detail = f"there is no WebSocket at {ws.url.path[:MAX_FIELD_CHARS]}"
    await ws.send_denial_response(problem(404, "Not found", detail, "not_found"))
