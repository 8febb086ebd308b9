"""Load: clients that each ask for a job at a steady rate. Run as a process of its own; JSON in, JSON out.

A client follows one job until it has ended, then the next that nobody follows. Requests leave at fixed times,
answered or not: a slow answer does not make the next one late unnoticed, because both times are kept.
"""

import asyncio
import itertools
import json
import random
import sys
import time

import uvloop

END = b"\r\n\r\n"


class Poller:
    """One client on one kept-alive connection."""

    def __init__(self, port: int, interval_s: float, job_ids: "itertools.chain[str]"):
        self.took_ms: list[float] = []      # from sending to the whole answer
        self.late_ms: list[float] = []      # from the time it should have been sent to the whole answer
        self.statuses: dict[str, int] = {}
        self._port = port
        self._interval_s = interval_s
        self._job_ids = job_ids

    async def run(self, seconds: float) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        job_id = next(self._job_ids)
        due = time.monotonic() + random.random() * self._interval_s
        end = due + seconds
        while due < end:
            await asyncio.sleep(due - time.monotonic())
            if await self._ask(job_id, due) not in ("queued", "processing"):
                job_id = next(self._job_ids)
            due += self._interval_s
        self._writer.close()

    async def _ask(self, job_id: str, due: float) -> str:
        sent = time.monotonic()
        self._writer.write(f"GET /api/v1/jobs/{job_id} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        head = (await self._reader.readuntil(END)).lower()
        body = await self._reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        now = time.monotonic()
        self.took_ms.append(1000 * (now - sent))
        self.late_ms.append(1000 * (now - due))
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(head.decode())
        status = json.loads(body)["status"]
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return status


async def main(port: int, job_ids: list[str], clients: int, interval_s: float, seconds: float) -> dict:
    shared = itertools.chain(job_ids, itertools.repeat(job_ids[-1]))
    pollers = [Poller(port, interval_s, shared) for _ in range(clients)]
    await asyncio.gather(*(poller.run(seconds) for poller in pollers))
    return {
        "took_ms": [took for poller in pollers for took in poller.took_ms],
        "late_ms": [late for poller in pollers for late in poller.late_ms],
        "statuses": {s: sum(p.statuses.get(s, 0) for p in pollers) for s in {s for p in pollers for s in p.statuses}},
    }


if __name__ == "__main__":
    json.dump(uvloop.run(main(**json.load(sys.stdin))), sys.stdout)
