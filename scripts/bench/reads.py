"""GET of a job by 16 clients, each five times a second, while jobs render."""

import statistics

from bench.figures import Report, percentile, tail
from bench.load import run_load
from bench.server import Server
from bench.standard import WARM_UP, standard

NAME = "reads"
CLIENTS = 16
INTERVAL_S = 0.2
SECONDS = 40
JOBS = 220                                  # more than are made meanwhile


def run(report: Report) -> None:
    with Server() as server:
        client = server.client()
        for number in range(WARM_UP):
            client.wait_for(client.post(**standard(number)))
        asked = {"clients": CLIENTS, "interval_s": INTERVAL_S, "port": server.port}
        idle = run_load("bench.load_reads", **asked, job_ids=[client.post(**standard(0))], seconds=5)
        ids = [client.post(**standard(number)) for number in range(JOBS)]
        busy = run_load("bench.load_reads", **asked, job_ids=ids, seconds=SECONDS)
        made = client.call("GET", "/api/v1/jobs?status=completed&page_size=1")["total"] - WARM_UP - 1
        client.close()
    _report(report, idle, busy, made)


def _report(report: Report, idle: dict, busy: dict, made: int) -> None:
    took = busy["took_ms"]
    if set(busy["statuses"]) <= {"completed"}:
        raise RuntimeError("nothing rendered while the clients asked")
    seen = ", ".join(f"{count} {status}" for status, count in sorted(busy["statuses"].items()))
    report.add(
        NAME, "GET of a job while jobs render, p99", percentile(took, 0.99), "ms", at_most=25,
        note=f"{len(took)} requests in {SECONDS} s, p50/p99/max: {tail(took)}; {seen}",
    )
    late = busy["late_ms"]
    report.add(NAME, "the same from when it was due", percentile(late, 0.99), "ms", note=f"p50/p99/max: {tail(late)}")
    report.add(NAME, "jobs made meanwhile", made / SECONDS, "jobs/s")
    nothing = idle["took_ms"]
    report.add(NAME, "GET with next to nothing rendering, p50", statistics.median(nothing), "ms", note=tail(nothing))
