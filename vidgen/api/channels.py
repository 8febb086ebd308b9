"""Events on their way from the hub to listeners: one subscription and one tail a job, whatever the number of listeners.

Everything here runs on the event loop but :meth:`Channel.wake`. A listener holds a cursor, the number of the last event
it was given, and nothing else: it takes from the shared tail, or from the log where the tail does not reach back.
Knows neither WebSockets nor server-sent events.
"""

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from vidgen.api.limits import BATCH_EVENTS, LOG_READS, MAX_LISTENERS, TAIL_EVENTS, TICK_S
from vidgen.api.sockets import text_frame
from vidgen.engine.events import Hub
from vidgen.types import Event, EventType

log = logging.getLogger(__name__)

FINAL = (EventType.JOB_COMPLETE, EventType.ERROR)
SHOWN = (EventType.PROGRESS, *FINAL)
T = TypeVar("T")


def connected(job_id: str, seq: int) -> dict[str, Any]:
    return {"type": "connected", "job_id": job_id, "message": f"Connected to job {job_id}", "seq": seq}


def greeting(job_id: str, seq: int, present: Event | None, replay: bool) -> list[dict[str, Any]]:
    """What a listener is told first: the present state carries the last number, because it holds as of that one."""
    state = [present.message() | {"seq": seq}] if present is not None and not replay else []
    return [connected(job_id, seq), *state]


class Packet:
    """An event as bytes, made once for all who hear it."""

    def __init__(self, event: Event):
        self.event = event
        self.seq = event.seq
        self.final = event.type in FINAL

    @cached_property
    def frame(self) -> bytes:
        """As a WebSocket frame."""
        return text_frame(self.event.text)

    @cached_property
    def server_sent(self) -> bytes:
        """As a server-sent event."""
        return f"id: {self.seq}\nevent: {self.event.type}\ndata: {self.event.text}\n\n".encode()


class Listener:
    """One who hears a job's events.

    :ivar cursor: the number of the last event it was given.
    """

    def __init__(self, channel: "Channel", cursor: int):
        self.channel = channel
        self.cursor = cursor

    def news(self) -> None:
        """There may be events after the cursor. Must return at once."""

    def tick(self, now: float) -> None:
        """Called every TICK_S, to end what has gone on too long."""

    async def more(self) -> list[Packet]:
        """Some of the events above the cursor, from wherever they are; what was folded away is passed over."""
        floor = self.channel.floor
        packets = await self.channel.fetch(self.cursor)
        if not packets and floor is not None and floor > self.cursor:
            self.cursor = floor
            packets = self.channel.after(floor) or []
        return packets


class Channel:
    """One job's events."""

    def __init__(self, owner: "Channels", job_id: str):
        self.job_id = job_id
        self.listeners: set[Listener] = set()
        self._owner = owner
        self._packets: list[Packet] = []
        self._numbers: list[int] = []
        self.floor: int | None = None       # every event above it is in the tail; None: nothing was fetched yet
        self._awake = False
        self._present: Event | None = None  # the last progress, or how the job ended
        self._pulling = False
        self._again = False                 # something came while the log was being read
        self._end = owner.hub.subscribe(job_id, self.wake)

    def wake(self) -> None:
        """There are new events; called on the writer's thread."""
        if not self._awake:
            self._awake = True
            self._owner.on_loop(self._pull)

    async def state(self) -> tuple[int, Event | None]:
        """The number of the job's last event, and what a newcomer is shown; the tail begins there at the latest.

        :raises NotFound: where there is no such job.
        """
        if self._present is not None and self._present.type not in FINAL:   # one that has ended may be gone by now
            return self._last, self._present
        seq, present = await self._owner.in_thread(partial(self._owner.hub.state, self.job_id))
        if self.floor is None:
            self.floor, self._present = seq, present
            self._pull()
        return seq, present

    def after(self, cursor: int) -> list[Packet] | None:
        """Some of the events above *cursor*, oldest first, or None where the tail does not reach back that far."""
        if self.floor is None or cursor < self.floor:
            return None
        first = bisect_right(self._numbers, cursor)
        return self._packets[first:first + BATCH_EVENTS]

    async def fetch(self, cursor: int) -> list[Packet]:
        """As :meth:`after`, from the log where the tail does not reach."""
        packets = self.after(cursor)
        if packets is None:
            events = await self._owner.in_thread(partial(self._owner.hub.read, self.job_id, cursor))
            packets = [Packet(event) for event in events[:BATCH_EVENTS]]
        return packets

    def leave(self, listener: Listener) -> None:
        self.listeners.discard(listener)
        if not self.listeners:
            self._end()
            self._owner.forget(self)

    def _pull(self) -> None:
        self._awake = False
        if self.floor is None:
            return
        if self._pulling:
            self._again = True
        elif (events := self._owner.hub.recent(self.job_id, self._last)) is not None:
            self._append(events)
        else:
            self._pulling = True
            self._owner.spawn(self._pull_from_log())

    async def _pull_from_log(self) -> None:
        try:
            self._again = True
            while self._again:
                self._again = False
                self._append(await self._owner.in_thread(partial(self._owner.hub.read, self.job_id, self._last)))
        except Exception:
            log.exception("the event log cannot be read", extra={"job": self.job_id})
        finally:
            self._pulling = False

    @property
    def _last(self) -> int:
        return self._numbers[-1] if self._numbers else self.floor or 0

    def _append(self, events: list[Event]) -> None:
        if not events:
            return
        self._packets += map(Packet, events)
        self._numbers += [event.seq for event in events]
        self._present = next((event for event in reversed(events) if event.type in SHOWN), self._present)
        if len(self._packets) > 2 * TAIL_EVENTS:
            self.floor = self._numbers[-TAIL_EVENTS - 1]
            del self._packets[:-TAIL_EVENTS], self._numbers[:-TAIL_EVENTS]
        for listener in tuple(self.listeners):
            listener.news()


class Channels:
    """All jobs that somebody listens to."""

    def __init__(self, hub: Hub):
        self.hub = hub
        self.closing = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._channels: dict[str, Channel] = {}
        self._limiter = CapacityLimiter(LOG_READS)
        self._tasks: set[asyncio.Task] = set()
        self.spawn(self._tick())

    def channel(self, job_id: str) -> Channel:
        """The job's channel; who takes it puts a listener into it before anything else happens."""
        if job_id not in self._channels:
            self._channels[job_id] = Channel(self, job_id)
        return self._channels[job_id]

    def full(self) -> bool:
        return sum(len(channel.listeners) for channel in self._channels.values()) >= MAX_LISTENERS

    def forget(self, channel: Channel) -> None:
        self._channels.pop(channel.job_id, None)

    def on_loop(self, call: Callable[[], None]) -> None:
        """Have *call* run on the loop soon; from any thread."""
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            log.debug("events came after the loop had ended")

    def spawn(self, work) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def in_thread(self, call: Callable[[], T]) -> T:
        return await to_thread.run_sync(call, limiter=self._limiter)

    def close(self) -> None:
        """End every stream; sockets are ended by the server."""
        self.closing.set()
        for channel in tuple(self._channels.values()):
            for listener in tuple(channel.listeners):
                listener.news()
        for task in tuple(self._tasks):
            task.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for channel in tuple(self._channels.values()):
                for listener in tuple(channel.listeners):
                    listener.tick(now)
