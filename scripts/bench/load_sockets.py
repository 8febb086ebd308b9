"""Load: WebSockets that listen, and some that never read. Run as a process of its own; JSON in, a pickle out.

Frames are parsed by hand, because the clients share two cores with the server: the number of each event and the time
at which it came are all that is kept. Those who never read come from an address of their own, by which the other side
can tell them apart.
"""

import asyncio
import json
import pickle
import resource
import socket
import sys
import time
from array import array
from pathlib import Path

import uvloop

CONNECTS_AT_ONCE = 50
DEAF_ADDRESS = "127.0.0.2"
DEAF_BUFFER_BYTES = 4096
TEXT, CLOSE, PING = 1, 8, 9
MASKED_PONG = 0x8A


def handshake(port: int, job_id: str) -> bytes:
    return (
        f"GET /ws/jobs/{job_id} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Reader(asyncio.Protocol):
    """One listener.

    :ivar start: the number that the server said when it connected.
    :ivar numbers: of the events that came after it, in the order in which they came.
    :ivar times: when each came, seconds since the epoch.
    """

    def __init__(self, port: int, job_id: str):
        self.job_id = job_id
        self.start: int | None = None
        self.numbers = array("q")
        self.times = array("d")
        self.lost = False                   # the server ended the connection
        self.ready = asyncio.get_running_loop().create_future()
        self._port = port
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        transport.write(handshake(self._port, self.job_id))

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"closed at once: {self._buffer!r}"))

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head:
                raise RuntimeError(head.decode())
            self._upgraded, self._buffer = True, rest
        self._take_frames(now)

    def _take_frames(self, now: float) -> None:
        data, at = self._buffer, 0
        while len(data) - at >= 2:
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2:at + 4], "big"), 4
            end = at + head + size
            if len(data) < end or (head == 4 and len(data) - at < 4):
                break
            self._take(data[at] & 15, data[at + head:end], now)
            at = end
        self._buffer = data[at:]

    def _take(self, opcode: int, payload: bytes, now: float) -> None:
        if opcode == PING:
            self.transport.write(bytes([MASKED_PONG, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        elif opcode == TEXT:
            number = int(payload[payload.rindex(b'"seq":') + 6:-1])
            if self.start is None:
                self.start = number
                self.ready.set_result(None)
            elif number > self.start:       # the greeting's second message repeats the first one's number
                self.numbers.append(number)
                self.times.append(now)


def deaf(port: int, job_id: str) -> socket.socket:
    """A listener that takes the handshake's answer and never reads again."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DEAF_BUFFER_BYTES)
    one.bind((DEAF_ADDRESS, 0))
    one.settimeout(10)
    one.connect(("127.0.0.1", port))
    one.sendall(handshake(port, job_id))
    if b" 101 " not in one.recv(64):
        raise RuntimeError("a listener was refused")
    return one


async def listen(port: int, job_ids: list[str], readers: int) -> list[Reader]:
    loop, gate = asyncio.get_running_loop(), asyncio.Semaphore(CONNECTS_AT_ONCE)

    async def one(number: int) -> Reader:
        async with gate:
            job_id = job_ids[number % len(job_ids)]
            _, reader = await loop.create_connection(lambda: Reader(port, job_id), "127.0.0.1", port)
            await reader.ready
            return reader

    return list(await asyncio.gather(*(one(number) for number in range(readers))))


async def main(
    port: int, job_ids: list[str], readers: int, deaf_clients: int, alone_s: float, together_s: float, output: str,
) -> None:
    """Listen for *alone_s* seconds, with the deaf ones for *together_s* more, and write down what came."""
    began = time.time()
    listening = await listen(port, job_ids, readers)
    connected = time.time()
    await asyncio.sleep(alone_s)
    joined = time.time()
    sockets = [deaf(port, job_ids[number % len(job_ids)]) for number in range(deaf_clients)]
    await asyncio.sleep(together_s)
    used = resource.getrusage(resource.RUSAGE_SELF)
    kept = [(reader.job_id, reader.start, reader.numbers, reader.times, reader.lost) for reader in listening]
    Path(output).write_bytes(pickle.dumps({
        "began": began, "connected": connected, "joined": joined, "ended": time.time(), "readers": kept,
        "cpu_s": used.ru_utime + used.ru_stime, "deaf": len(sockets),
    }))


if __name__ == "__main__":
    uvloop.run(main(**json.load(sys.stdin)))
    print("{}")
