"""One-shot jobs of 25 frames at 1024×576 on the stub, end to end through HTTP, and where the time goes."""

import re
import sqlite3
import statistics
import time
from collections import defaultdict

from bench import pieces
from bench.figures import Report, spread
from bench.server import Client, Server
from bench.standard import FRAMES, WARM_UP, standard

NAME = "jobs"
JOBS = 60
ENDED = re.compile(r"^(\w+) ended after ([0-9.]+) s$")


def run(report: Report) -> None:
    with Server() as server:
        client = server.client()
        for number in range(WARM_UP):
            client.wait_for(client.post(**standard(number)))
        warm = {line.get("job") for line in server.log_lines()}
        before = server.cpu_s()
        began = time.time()
        ids = [client.post(**standard(number)) for number in range(JOBS)]
        _wait_for_all(client, len(ids) + WARM_UP)
        used = [after - earlier for after, earlier in zip(server.cpu_s(), before, strict=True)]
        ends = _ends(server, ids)
        _rate(report, began, ends)
        _split(report, server, warm, used)
        client.close()
    pieces.measure(report, NAME)


def _wait_for_all(client: Client, count: int) -> None:
    deadline = time.monotonic() + 300
    while client.call("GET", "/api/v1/jobs?status=completed&page_size=1")["total"] < count:
        if time.monotonic() > deadline:
            raise RuntimeError("the jobs take too long")
        time.sleep(0.25)


def _ends(server: Server, ids: list[str]) -> list[float]:
    """When each job had ended, in seconds since the epoch, sorted."""
    with sqlite3.connect(f"file:{server.database}?mode=ro", uri=True) as conn:
        found = dict(conn.execute("SELECT id, ended_at FROM jobs"))
    conn.close()
    return sorted(found[job_id] for job_id in ids)


def _rate(report: Report, began: float, ends: list[float]) -> None:
    """All jobs over the time from the first POST to the last end; the spread is over tenths of the run."""
    tenth = len(ends) // 10
    marks = [began, *ends[tenth - 1::tenth]]
    rates = [tenth / (later - earlier) for earlier, later in zip(marks, marks[1:], strict=False)]
    report.add(
        NAME, f"{FRAMES} frames, 1024x576, end to end", len(ends) / (ends[-1] - began), "jobs/s", at_least=2.5,
        note=f"{len(ends)} jobs; tenths of the run: {spread(rates)}",
    )


def _split(report: Report, server: Server, warm: set, used: list[float]) -> None:
    took: dict[str, list[float]] = defaultdict(list)
    for line in server.log_lines():
        if (found := ENDED.match(line["message"])) and line.get("job") not in warm:
            took[found[1]].append(1000 * float(found[2]))
    for kind in ("plan", "render", "assemble"):
        note = f"wall, three jobs at once: {spread(took[kind])}"
        report.add(NAME, f"step {kind}", statistics.median(took[kind]), "ms", note=note)
    for who, seconds in zip(("the server itself", "ffmpeg"), used, strict=True):
        report.add(NAME, f"CPU of {who}", 1000 * seconds / JOBS, "ms/job", note="mean")
