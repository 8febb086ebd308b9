"""One subscription and one tail a job; listeners by cursor."""

import asyncio
import json
from collections.abc import Callable

import pytest

from vidgen.api.channels import Channels, Listener
from vidgen.api.limits import BATCH_EVENTS, MESSAGES_BURST, STUCK_S, TAIL_EVENTS
from vidgen.api.live import Bucket, SocketListener
from vidgen.api.sockets import EXTENSION
from vidgen.errors import NotFound
from vidgen.types import Event, EventType


class SmallHub:
    """A hub over a list: what is above ``memory`` can be had without waiting."""

    def __init__(self) -> None:
        self.log: list[Event] = []
        self.wakes: list[Callable[[], None]] = []
        self.memory = 0
        self.reads = 0

    def add(self, count: int = 1, type_: EventType = EventType.PROGRESS) -> None:
        for _ in range(count):
            number = len(self.log) + 1
            self.log.append(Event(number, "job_1", type_, {"step": f"s{number}"}, 0.0))
        for wake in self.wakes:
            wake()

    def subscribe(self, job_id, wake):
        self.wakes.append(wake)
        return lambda: self.wakes.remove(wake)

    def recent(self, job_id, after):
        return [event for event in self.log if event.seq > after] if after >= self.memory else None

    def read(self, job_id, after):
        self.reads += 1
        return [event for event in self.log if event.seq > after]

    def state(self, job_id):
        if job_id != "job_1":
            raise NotFound("there is no such job")
        return len(self.log), self.log[-1] if self.log else None


class Taker(Listener):
    """Takes all it can, when told."""

    def __init__(self, channel, cursor=0):
        super().__init__(channel, cursor)
        self.taken: list[int] = []
        channel.listeners.add(self)

    def news(self):
        while packets := self.channel.after(self.cursor):
            self.taken += [packet.seq for packet in packets]
            self.cursor = packets[-1].seq


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0.005)


def run(test) -> None:
    async def inside():
        hub = SmallHub()
        channels = Channels(hub)
        try:
            await test(hub, channels)
        finally:
            channels.close()
            await asyncio.sleep(0)

    asyncio.run(inside())


def test_many_listeners_share_one_subscription():
    async def inside(hub, channels):
        hub.add(3)
        channel = channels.channel("job_1")
        takers = [Taker(channel, 3) for _ in range(50)]
        assert await channel.state() == (3, hub.log[-1])
        assert len(hub.wakes) == 1 and channels.channel("job_1") is channel
        hub.add(5)
        await settle()
        assert all(taker.taken == [4, 5, 6, 7, 8] for taker in takers)
        for taker in takers:
            channel.leave(taker)
        assert hub.wakes == [] and channels.channel("job_1") is not channel

    run(inside)


def test_an_event_is_encoded_once_for_all():
    async def inside(hub, channels):
        channel = channels.channel("job_1")
        Taker(channel)
        await channel.state()
        hub.add()
        await settle()
        (first,), (second,) = channel.after(0), channel.after(0)
        assert first is second and first.frame is second.frame
        assert json.loads(first.event.text) == {"type": "progress", "job_id": "job_1", "step": "s1", "seq": 1}
        assert first.frame[:2] == bytes([0x81, len(first.event.text)])
        assert first.server_sent == f"id: 1\nevent: progress\ndata: {first.event.text}\n\n".encode()

    run(inside)


def test_who_is_behind_the_tail_reads_the_log():
    async def inside(hub, channels):
        hub.add(10)
        channel = channels.channel("job_1")
        late = Taker(channel, 2)
        await channel.state()
        assert channel.after(2) is None
        assert [packet.seq for packet in await late.more()] == [3, 4, 5, 6, 7, 8, 9, 10]

    run(inside)


def test_what_was_folded_away_is_passed_over():
    async def inside(hub, channels):
        hub.add(10)
        channel = channels.channel("job_1")
        late = Taker(channel, 2)
        await channel.state()
        hub.log.clear()
        assert await late.more() == [] and late.cursor == 10

    run(inside)


def test_the_tail_is_bounded_and_so_is_a_batch():
    async def inside(hub, channels):
        channel = channels.channel("job_1")
        idle = Listener(channel, 0)
        channel.listeners.add(idle)
        await channel.state()
        for _ in range(30):
            hub.add(100)
            await asyncio.sleep(0.001)
        await settle()
        assert channel.after(0) is None
        assert len(channel.after(channel.floor)) == BATCH_EVENTS
        assert channel.floor >= 3_000 - 2 * TAIL_EVENTS
        assert [packet.seq for packet in channel.after(2_999)] == [3_000]

    run(inside)


def test_events_that_memory_does_not_hold_come_from_the_log():
    async def inside(hub, channels):
        hub.memory = 10**9
        channel = channels.channel("job_1")
        taker = Taker(channel)
        await channel.state()
        for _ in range(5):
            hub.add(2)
            await asyncio.sleep(0)
        await settle()
        assert taker.taken == list(range(1, 11)) and hub.reads > 0

    run(inside)


def test_wakes_from_other_threads_are_gathered():
    async def inside(hub, channels):
        channel = channels.channel("job_1")
        taker = Taker(channel)
        await channel.state()
        await asyncio.to_thread(lambda: [hub.add() for _ in range(1_000)])
        await settle()
        assert taker.taken == list(range(1, 1_001))

    run(inside)


def test_a_newcomer_to_a_running_job_asks_the_log_no_more():
    async def inside(hub, channels):
        hub.add(2)
        channel = channels.channel("job_1")
        Taker(channel, 2)
        await channel.state()
        hub.add(1)
        await settle()
        hub.state = None
        assert await channel.state() == (3, hub.log[-1])

    run(inside)


def test_a_newcomer_to_an_ended_job_asks_whether_it_is_still_there():
    async def inside(hub, channels):
        channel = channels.channel("job_1")
        Taker(channel)
        await channel.state()
        hub.add(1, EventType.ERROR)
        await settle()
        hub.state = lambda job_id: SmallHub().state("gone")
        with pytest.raises(NotFound):
            await channel.state()

    run(inside)


class NarrowConnection:
    """Takes so many writes until it is drained."""

    def __init__(self, room: int):
        self.room = room
        self.got = b""
        self.dropped = False
        self.on_drain: Callable[[], None] | None = None

    def push(self, frame: bytes) -> bool:
        if self.room == 0:
            return False
        self.room -= 1
        self.got += frame
        return True

    def drain(self, room: int) -> None:
        self.room = room
        self.on_drain()

    def drop(self) -> None:
        self.dropped = True


class SmallSocket:
    """What a listener needs of a WebSocket."""

    def __init__(self, connection: NarrowConnection):
        self.scope = {"extensions": {EXTENSION: connection}}
        self.closed: list[int] = []

    async def close(self, code: int, reason: str) -> None:
        self.closed.append(code)


def numbers(connection: NarrowConnection) -> list[int]:
    return [int(part.split(b"}")[0]) for part in connection.got.split(b'"seq": ')[1:]]


def test_a_slow_reader_gets_everything_in_order_and_nothing_is_kept_for_it():
    async def inside(hub, channels):
        connection = NarrowConnection(1)
        listener = SocketListener(channels, "job_1", SmallSocket(connection), 300)
        await listener.channel.state()
        listener.begin(0)
        for _ in range(40):
            hub.add(100)
            await asyncio.sleep(0.001)
        await settle()
        assert numbers(connection)[-1] < 300
        while numbers(connection)[-1] < 4_000:
            connection.drain(3)
            await settle()
        assert numbers(connection) == list(range(1, 4_001))
        listener.end()

    run(inside)


def test_who_takes_nothing_is_dropped():
    async def inside(hub, channels):
        connection = NarrowConnection(0)
        listener = SocketListener(channels, "job_1", SmallSocket(connection), 300)
        loop = asyncio.get_running_loop()
        await listener.channel.state()
        listener.begin(0)
        listener.tick(loop.time() + 10 * STUCK_S)
        assert not connection.dropped
        hub.add()
        await settle()
        listener.tick(loop.time() + STUCK_S / 2)
        assert not connection.dropped
        listener.tick(loop.time() + STUCK_S + 1)
        assert connection.dropped

    run(inside)


def test_after_the_last_message_it_is_closed_once_it_is_idle():
    async def inside(hub, channels):
        ws = SmallSocket(NarrowConnection(9))
        listener = SocketListener(channels, "job_1", ws, 300)
        loop = asyncio.get_running_loop()
        await listener.channel.state()
        listener.begin(0)
        hub.add()
        await settle()
        listener.tick(loop.time() + 1_000)
        await settle()
        assert ws.closed == []
        hub.add(1, EventType.JOB_COMPLETE)
        await settle()
        listener.tick(loop.time() + 299)
        await settle()
        assert ws.closed == []
        listener.tick(loop.time() + 302)
        await settle()
        assert ws.closed == [1000]

    run(inside)


def test_a_bucket_takes_a_burst():
    bucket = Bucket()
    assert [bucket.take() for _ in range(MESSAGES_BURST)] == [True] * MESSAGES_BURST
    assert not bucket.take()
