"""10,000 queued jobs and 100,000 in the table, against an empty one: two servers, asked in turns.

The queue is paused in both, so that nothing renders while the clock runs. Claims are measured through the store, with
no server: letting the next job in and claiming its step, in one transaction, as a lane does.
"""

import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.figures import Report, spread
from bench.fill import fill
from bench.server import Client, Server
from bench.standard import standard

NAME = "table"
TABLE, QUEUED = 100_000, 10_000
ROUNDS, POSTS, READS, CLAIMS = 12, 40, 40, 300
SETTINGS = {"MAX_QUEUED_JOBS": 50_000, "MAX_CONCURRENT_JOBS": 1}
LISTS = {
    "first page of the list": "/api/v1/jobs",
    "first page, only queued": "/api/v1/jobs?status=queued",
    "first page, only completed": "/api/v1/jobs?status=completed",
    "a search in the prompts": "/api/v1/jobs?q=lighthouse",
    "the queue (1,000 jobs listed)": "/api/v1/queue",
}


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="vidgen-bench-") as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        finished, waiting = _seed(empty)
        shutil.copytree(empty, full)
        began = time.monotonic()
        fill(full / "vidgen.db", finished, waiting, TABLE - QUEUED, QUEUED)
        print(f"  filled in {time.monotonic() - began:.1f} s", flush=True)
        _through_http(report, empty, full, finished)
        _through_the_store(report, empty / "vidgen.db", full / "vidgen.db")


def _seed(workspace: Path) -> tuple[str, str]:
    """A workspace with one finished and one waiting job, its queue paused. Returns their ids."""
    with Server(workspace=workspace, **SETTINGS) as server, contextlib.closing(server.client()) as client:
        finished = client.post(**standard(0))
        client.wait_for(finished)
        client.call("POST", "/api/v1/queue/pause")
        return finished, client.post(**standard(1))


def _through_http(report: Report, empty: Path, full: Path, finished: str) -> None:
    servers = [Server(workspace=workspace, **SETTINGS) for workspace in (empty, full)]
    took = [server.start() for server in servers]
    report.add(NAME, f"start with {TABLE:,} jobs", took[1], "s", note=f"{took[0]:.2f} s with two")
    clients = [server.client() for server in servers]
    try:
        _posts(report, clients)
        _reads(report, clients, finished)
    finally:
        for client, server in zip(clients, servers, strict=True):
            client.close()
            server.stop()


def _posts(report: Report, clients: list[Client]) -> None:
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for client, found in zip(clients, rates, strict=True):
            began = time.perf_counter()
            for number in range(POSTS):
                client.post(**standard(number))
            found.append(POSTS / (time.perf_counter() - began))
    ratios = [few / many for few, many in zip(*rates, strict=True)]
    report.add(NAME, "POST rate, empty to full", statistics.median(ratios), "x", at_most=1.5, note=spread(ratios))
    for what, found in zip(("empty", "full"), rates, strict=True):
        report.add(NAME, f"POST rate, {what}", statistics.median(found), "jobs/s", note=spread(found))


def _reads(report: Report, clients: list[Client], finished: str) -> None:
    last = [client.post(**standard(0)) for client in clients]
    places = [{"GET of the last queued job, with its position": f"/api/v1/jobs/{job_id}"} for job_id in last]
    done = {"GET of a finished job": f"/api/v1/jobs/{finished}"}
    for what in [*LISTS, *places[0], *done]:
        calls = [
            lambda client=client, path=(LISTS | done | place)[what]: client.call("GET", path)
            for client, place in zip(clients, places, strict=True)
        ]
        few, many = _in_turns(calls, READS)
        goal = {"at_most": 20} if what == "first page of the list" else {}
        note = f"{spread(many)}; empty: {spread(few)}"
        report.add(NAME, what, statistics.median(many), "ms", note=note, **goal)


def _through_the_store(report: Report, *databases: Path) -> None:
    from vidgen.engine.door import Door
    from vidgen.engine.order import Policy
    from vidgen.store import steps
    from vidgen.store.database import Database
    from vidgen.types import Lane

    def claimer(database: Database) -> Callable[[], None]:
        limit, policy = iter(range(1, 1 + CLAIMS * 2)), Policy(swap_patience_s=0, memory_wait_s=0)

        def work(tx) -> None:
            Door(next(limit), lambda model_id: True, policy).admit(tx)
            if steps.claim(tx, Lane.PLANNER) is None:
                raise RuntimeError("there was nothing to claim")

        return lambda: database.write(work)

    with contextlib.ExitStack() as stack:
        opened = [Database(path, lambda changes: None) for path in databases]
        for database in opened:
            stack.callback(database.close)
        few, many = _in_turns([claimer(database) for database in opened], CLAIMS)
    ratio = statistics.median(many) / statistics.median(few)
    report.add(NAME, "claim of the next step, full to empty", ratio, "x", at_most=1.5, note=f"{CLAIMS} in turns")
    report.add(NAME, "claim of the next step, full", statistics.median(many), "ms", note=spread(many))
    report.add(NAME, "claim of the next step, empty", statistics.median(few), "ms", note=spread(few))


def _in_turns(calls: list[Callable[[], object]], times: int) -> list[list[float]]:
    """Milliseconds of each call, made *times* times in turns."""
    took: list[list[float]] = [[] for _ in calls]
    for _ in range(times):
        for call, found in zip(calls, took, strict=True):
            began = time.perf_counter()
            call()
            found.append(1000 * (time.perf_counter() - began))
    return took
