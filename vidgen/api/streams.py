"""A job's events as a stream of server-sent events, for whoever cannot have a WebSocket.

Says what the WebSocket says; ``Last-Event-ID`` and ``since`` take up where a lost stream ended.
"""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.types import Receive, Scope, Send

from vidgen.api.body import StrictRoute
from vidgen.api.channels import FINAL, Channels, Listener, greeting
from vidgen.api.errors import problem
from vidgen.api.guard import HEAD
from vidgen.api.limits import KEEPALIVE_S, MAX_SEQ, STUCK_S
from vidgen.api.sockets import EXTENSION
from vidgen.api.wire import JobId, errors
from vidgen.types import EventType

SERVER_SENT = {
    "required": ["event", "data"], "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"enum": ["connected", *EventType]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
"""One event of the stream. OpenAPI 3.1 has no word for "each", so there is no ``type``: the whole text fits too."""

RETRY_MS = 2_000
"""After how long a browser opens a lost stream again."""

router = APIRouter(route_class=StrictRoute)


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
