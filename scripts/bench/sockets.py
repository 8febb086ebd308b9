"""1,000 WebSockets on ten running jobs; then 100 more that never read.

The time of an event is its ``created_at`` in the log: the server's own clock, on this machine, as the write of the
event began. What is measured therefore holds the commit too. Progress rows of finished shots are folded away, so the
log is read all along.
"""

import contextlib
import pickle
import resource
import sqlite3
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

from bench.figures import Report, percentile, tail
from bench.load import run_load
from bench.load_sockets import DEAF_ADDRESS
from bench.server import Client, Server

NAME = "sockets"
READERS, DEAF, JOBS = 1_000, 100, 10
FRAMES, SLOW_MS = 480, 100
ALONE_S, TOGETHER_S = 14.0, 24.0
SETTLE_S = 1.0                              # after the last connect, before anything counts
LOOK_S = 0.25
FILES = READERS + DEAF + 200
GOAL_MS, GOAL_DROP_S = 250, 15


class Watch(threading.Thread):
    """Reads the log as it grows, and looks at which connections of those who never read the server still holds.

    :ivar events: number -> job and ``created_at``.
    :ivar held: port of one that never reads -> when it was first and last seen, by the monotonic clock.
    """

    def __init__(self, server: Server):
        super().__init__(daemon=True)
        self.events: dict[int, tuple[str, float]] = {}
        self.held: dict[int, tuple[float, float]] = {}
        self._server = server
        self._ended = threading.Event()

    def run(self) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{self._server.database}?mode=ro", uri=True)) as conn:
            while not self._ended.wait(LOOK_S):
                self._read(conn)
                self._look()
            self._read(conn)

    def close(self) -> None:
        self._ended.set()
        self.join()

    def _read(self, conn: sqlite3.Connection) -> None:
        query = "SELECT seq, job_id, created_at FROM events WHERE seq > ?"
        for seq, job_id, created_at in conn.execute(query, (max(self.events, default=0),)):
            self.events[seq] = (job_id, created_at)

    def _look(self) -> None:
        now = time.monotonic()
        for connection in self._server.process.net_connections("tcp"):
            if connection.raddr and connection.raddr.ip == DEAF_ADDRESS:
                first, _ = self.held.get(connection.raddr.port, (now, now))
                self.held[connection.raddr.port] = (first, now)


def run(report: Report) -> None:
    _allow_files()
    with Server(ALLOW_TEST_PARAMETERS="true", MAX_CONCURRENT_JOBS=JOBS) as server:
        client = server.client()
        job_ids = [_start_job(client, number) for number in range(JOBS)]
        watch = Watch(server)
        watch.start()
        began, before = time.monotonic(), sum(server.cpu_s())
        heard = _hear(server, job_ids)
        busy = (sum(server.cpu_s()) - before) / (time.monotonic() - began)
        rss = server.process.memory_info().rss / 1e6
        watch.close()
        client.close()
    _report(report, watch, heard)
    report.add(NAME, "CPU of the server meanwhile", busy, "cores")
    report.add(NAME, "CPU of the clients meanwhile", heard["cpu_s"] / (heard["ended"] - heard["began"]), "cores")
    report.add(NAME, "resident memory of the server", rss, "MB")


def _hear(server: Server, job_ids: list[str]) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "heard"
        run_load(
            "bench.load_sockets", port=server.port, job_ids=job_ids, readers=READERS, deaf_clients=DEAF,
            alone_s=ALONE_S, together_s=TOGETHER_S, output=str(output),
        )
        return pickle.loads(output.read_bytes())


def _allow_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(FILES, hard)), hard))


def _start_job(client: Client, number: int) -> str:
    job_id = client.post(
        user_prompt="A quiet sea", model_id="stub:animatic", width=64, height=64, num_frames=FRAMES, seed=number,
        storyboard={"title": "A quiet sea", "shots": [{"description": "A quiet sea"}]}, parameters={"slow_ms": SLOW_MS},
    )
    while client.job(job_id)["progress_percentage"] < 5:
        time.sleep(0.1)
    return job_id


def _report(report: Report, watch: Watch, heard: dict) -> None:
    end = heard["ended"] - SETTLE_S
    missing, wrong = _faults(watch, heard["readers"], end)
    many, connecting = sum(len(reader[2]) for reader in heard["readers"]), heard["connected"] - heard["began"]
    report.add(
        NAME, "events that a listener missed, heard twice or out of order", missing + wrong, "", at_most=0,
        note=f"{many} heard by {len(heard['readers'])} listeners, who connected within {connecting:.1f} s",
    )
    report.add(NAME, "listeners that were dropped", sum(r[4] for r in heard["readers"]), "", at_most=0)
    alone = _latencies(watch, heard["readers"], heard["connected"] + SETTLE_S, heard["joined"])
    together = _latencies(watch, heard["readers"], heard["joined"], end)
    for what, took in (("", alone), (f", with {heard['deaf']} that never read", together)):
        rate = _rate(watch, heard["connected"] + SETTLE_S, end)
        note = f"p50/p99/max: {tail(took)}; {len(took)} deliveries, {rate:.1f} events/s and job"
        report.add(NAME, f"commit to receipt, p99{what}", percentile(took, 0.99), "ms", at_most=GOAL_MS, note=note)
    held = [last - first + 2 * LOOK_S for first, last in watch.held.values()]
    if len(held) != heard["deaf"]:
        raise RuntimeError(f"{len(held)} of {heard['deaf']} connections that never read were seen")
    report.add(
        NAME, "those that never read are dropped, the last after", max(held), "s", at_most=GOAL_DROP_S,
        note=f"{len(held)} of them, looked at every {LOOK_S} s and rounded up",
    )


def _faults(watch: Watch, readers: list, end: float) -> tuple[int, int]:
    """How many events are missing in what listeners heard up to *end*, and how many came twice or out of order."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for seq, (job_id, created_at) in sorted(watch.events.items()):
        if created_at < end:
            numbers[job_id].append(seq)
    missing = wrong = 0
    for job_id, start, heard, _, _ in readers:
        missing += len({seq for seq in numbers[job_id] if seq > start} - set(heard))
        wrong += sum(later <= earlier for earlier, later in zip(heard, heard[1:], strict=False))
    return missing, wrong


def _latencies(watch: Watch, readers: list, begin: float, end: float) -> list[float]:
    """Milliseconds from ``created_at`` to receipt, of the events created from *begin* to *end*."""
    return [
        1000 * (came - watch.events[seq][1])
        for _, _, numbers, times, _ in readers for seq, came in zip(numbers, times, strict=True)
        if seq in watch.events and begin <= watch.events[seq][1] < end
    ]


def _rate(watch: Watch, begin: float, end: float) -> float:
    counted = sum(begin <= created_at < end for _, created_at in watch.events.values())
    return counted / (end - begin) / JOBS
