"""How long jobs were expected to take when they were asked for, against how long they took, after a warm-up."""

import random
import statistics
from typing import Any

from bench.figures import percentile, tail
from bench.server import Client

from gpureport import asked
from gpureport.rows import GpuReport
from gpureport.stage import Stage

NAME = "forecast"
JOBS = 12
WARM_UP = 2                                 # of each kind
RANDOM_SEED = 1


def run(report: GpuReport, stage: Stage) -> None:
    kinds = _kinds(stage)
    mixed = random.Random(RANDOM_SEED)
    with stage.server() as (_, client, image):
        for kind in kinds * WARM_UP:
            asked.done(client, stage.job(image) | kind)
        pairs = [
            _measured(client, stage.job(image, seed=number) | mixed.choice(kinds))
            for number in range(stage.times(JOBS))
        ]
    errors = [abs(expected - took) / took for expected, took in pairs]
    note = f"{len(pairs)} jobs, p50/p99/max: {tail(errors)}; they took {tail([took for _, took in pairs])} s"
    report.add(NAME, "error of the forecast, median", statistics.median(errors), "", at_most=0.10, note=note)
    report.add(NAME, "error of the forecast, p90", percentile(errors, 0.9), "", at_most=0.25)


def _kinds(stage: Stage) -> list[dict[str, int]]:
    width, height = stage.size
    smaller = {"width": width // 2, "height": height // 2 if height // 2 % 64 == 0 else height // 2 + 32}
    few = stage.few_steps
    return [{"num_inference_steps": few}, {"num_inference_steps": 2 * few}, smaller | {"num_inference_steps": few}]


def _measured(client: Client, job: dict[str, Any]) -> tuple[float, float]:
    """The seconds that were expected of *job*, and those that it took from its start to its end."""
    expected = client.call("POST", "/api/v1/jobs", job | {"dry_run": True})["seconds"]
    if expected is None:
        raise RuntimeError("the server does not know how long the job will take")
    return expected, asked.seconds(client, asked.done(client, job), since="started_at")
