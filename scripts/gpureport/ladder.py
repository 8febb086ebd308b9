"""Running short of memory for real: a process of its own holds all but so much of the device.

Each rung is one server; on it a job that must not change its video, then one that may. Last, the ballast comes while a
render is under way, so that it runs out where it had been promised enough.

On a CPU nobody's RAM is taken: a model whose card says that only the second mode fits stands for the rungs.
"""

import re
from typing import Any

from bench.server import Client

from gpureport import asked
from gpureport.rows import GpuReport
from gpureport.stage import Stage

NAME = "ladder"
GIB = 2**30
RUNGS_GB = (24, 16, 12, 8)
LATE_BYTES = GIB // 4
"""What is left to a render that is under way; decoding needs more than the steps before it."""

MEMORY_WAIT_S = 5
TIGHT = "small-svd-tight"
TIGHT_SHARE = 0.7
"""Of the RAM that is free, what the model for CPUs seems to need in two passes, and so twice that as a whole."""


def run(report: GpuReport, stage: Stage) -> None:
    rungs = RUNGS_GB if stage.gpu else (None,)
    for gb in rungs:
        with report.trying(NAME), stage.ballast() as ballast:
            free = ballast.ask(leave=(gb or 0) * GIB)["free"]
            _rung(report, stage, f"{gb} GB left" if gb else "two passes fit", free)
    with report.trying(NAME):
        _late(report, stage)


def _rung(report: GpuReport, stage: Stage, where: str, free: int) -> None:
    model = stage.model if stage.gpu else _tight(stage, free)
    with stage.server(MEMORY_WAIT_S=MEMORY_WAIT_S) as (_, client, image):
        for fit in ("exact", "adapt"):
            job = stage.job(image, stage.few_steps, fit=fit, model_id=model)
            expected = client.call("POST", "/api/v1/jobs", job | {"dry_run": True})
            ended = asked.ended(client, client.post(**job))
            ok, note = _outcome(client, ended, expected, free)
            report.check(NAME, f"{where}, {fit}: no failure", ok, f"{free / GIB:.1f} GiB free; {note}")
            client.call("POST", "/api/v1/gpu/release")


def _outcome(client: Client, ended: dict[str, Any], expected: dict[str, Any], free: int) -> tuple[bool, str]:
    """Whether the job ended as it should, and in words how: with a video, or refused where the smallest way in which
    its video can be made needs more than there is.
    """
    if ended["status"] == "completed":
        return True, f"completed: {_how(asked.made(client, ended['id']))}"
    said = f"{ended['status']} ({ended['error_code']}): {ended['error_message']}"
    least = re.search(r"needs at least ([0-9.]+) GB", ended["error_message"] or "")
    refused = ended["error_code"] == "does_not_fit" and least is not None and float(least[1]) * GIB > free - GIB
    return refused, f"{'refused' if refused else 'failed'}: {said}; the dry run said: {expected['fit_note']}"


def _how(made: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in made.items())


def _late(report: GpuReport, stage: Stage) -> None:
    """The ballast comes after the first denoising step, and stays until the job has ended."""
    with stage.ballast() as ballast, stage.server() as (server, client, image):
        job = stage.job(image, stage.steps)
        job_id = client.post(**job)
        if not asked.wait_for_phase(server, job_id, "render", at_least=1):
            raise RuntimeError("the job ended before its first step")
        ballast.ask(leave=LATE_BYTES)
        ended = asked.ended(client, job_id)
        ballast.ask(release=True)
        made = asked.made(client, job_id) if ended["status"] == "completed" else {}
        where = f"{LATE_BYTES / GIB:g} GB left in mid-render, exact"
        report.check(NAME, f"{where}: completes", bool(made), _how(made) or ended["error_message"])
        report.add(NAME, f"{where}: times that it ran out", len(made.get("ran_out", [])), "")
        after = asked.made(client, asked.done(client, stage.job(image, stage.few_steps, seed=11)))
        report.check(NAME, "the next job, with the memory back: is untouched", "ran_out" not in after, _how(after))


def _tight(stage: Stage, free: int) -> str:
    """A small model that seems to need twice TIGHT_SHARE of *free* bytes, half of that in two passes."""
    from backends.local.footprint import ALLOCATOR

    text = stage.card(stage.names[0]).read_text("utf-8").replace(f'"{stage.names[0]}"', f'"{TIGHT}"')
    denoise_gb = 2 * TIGHT_SHARE * free / GIB / ALLOCATOR / _wider(stage)
    stage.card(TIGHT).write_text(re.sub(r"(?m)^denoise = .*", f"denoise = {denoise_gb:.2f}", text), "utf-8")
    (stage.weights / TIGHT).symlink_to(stage.weights / stage.names[0])
    return f"local:{TIGHT}"


def _wider(stage: Stage) -> float:
    """How many times as much a CPU needs for the same activations, at the size of the stage's jobs."""
    area = stage.size[0] * stage.size[1] / (1024 * 576)
    return 2 * area
