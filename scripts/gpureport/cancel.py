"""From a cancel to the job's end, in each phase; and whether the next job is as good as ever."""

import statistics
import time
from contextlib import suppress

from bench.figures import spread
from bench.server import Client, Server

from gpureport import asked
from gpureport.rows import GpuReport
from gpureport.stage import Stage

NAME = "cancel"
TIMES = 3
TRIES = 4
"""For each time: a phase may be over before the cancel arrives."""

PHASES = {"load": 0, "render": 2, "decode": 0, "encode": 1}
"""And the unit of it after which the cancel is sent."""

GRACE_S = 10
"""CANCEL_GRACE_S, after which the process is killed."""


def run(report: GpuReport, stage: Stage) -> None:
    with stage.server(CANCEL_GRACE_S=GRACE_S) as (server, client, image):
        job = stage.job(image, stage.few_steps)
        before = asked.done(client, job)
        for phase in PHASES:
            with report.trying(NAME):
                _phase(report, server, client, job, phase, stage.times(TIMES))
        after = asked.done(client, job)
        same = asked.clip(server, before) == asked.clip(server, after)
        report.check(NAME, "the next job's clip is that of an undisturbed run, byte for byte", same)


def _phase(report: GpuReport, server: Server, client: Client, job: dict, phase: str, times: int) -> None:
    took, missed = [], 0
    while len(took) < times and missed < times * TRIES:
        if phase == "load":
            client.call("POST", "/api/v1/gpu/release")
        latency = _cancelled_in(server, client, job, phase)
        if latency is None:
            missed += 1
        else:
            took.append(latency)
    if not took:
        raise RuntimeError(f"no cancel arrived in the phase {phase}, in {missed} tries")
    note = f"{len(took)} times: {spread(took)}; {missed} jobs were past it before the cancel arrived"
    report.add(NAME, f"in {phase}", statistics.median(took), "s", at_most=GRACE_S + 1, note=note)


def _cancelled_in(server: Server, client: Client, job: dict, phase: str) -> float | None:
    """Seconds until a new job ended that was cancelled in *phase*; None where it was past it by then."""
    job_id, began, last = client.post(**job), None, None
    for said in asked.messages(server, job_id):
        last = said.get("phase", last)
        if began is None and (last, said.get("phase_step", -1) >= PHASES[phase]) == (phase, True):
            began = time.monotonic()
            _cancel(client, job_id)
    took = time.monotonic() - (began or 0)
    return took if client.job(job_id)["status"] == "cancelled" and last == phase else None


def _cancel(client: Client, job_id: str) -> None:
    """Where it has not ended meanwhile."""
    with suppress(RuntimeError):
        client.call("POST", f"/api/v1/jobs/{job_id}/cancel")
