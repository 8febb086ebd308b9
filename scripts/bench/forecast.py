"""How long jobs were expected to take when they were posted, against how long they took: stub and small local model.

One job after the other, in sizes that the server has rendered before; what is compared is the time from a job's start
to its video, with nothing else going on. torch has one thread: how several of them get along with the rest of the
machine is not what is measured here.
"""

import contextlib
import json
import random
import sqlite3
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.figures import Report, percentile, tail
from bench.local import MODEL, make_model
from bench.server import Client, Server
from bench.standard import MOVES, PROMPTS

NAME = "forecast"
JOBS = 100
SEED = 1
STUB = ({"width": 512, "height": 288, "num_frames": 16}, {"width": 1024, "height": 576, "num_frames": 25})
LOCAL = tuple({"width": 64, "height": 64, "num_inference_steps": steps} for steps in (2, 6))
WARM_UP = (
    *((STUB[size], shots) for size in (0, 1) for shots in (1, 2, 3)),
    (LOCAL[0], 1), (LOCAL[0], 3), (LOCAL[1], 1), (LOCAL[1], 2),
)
"""Every size, and every number of shots of the stub, which draws them at once."""


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="vidgen-bench-") as folder:
        models, weights = Path(folder) / "models", Path(folder) / "weights"
        make_model(models, weights)
        settings = {"MODELS_DIR": models, "WEIGHTS_DIR": weights, "GPU_DEVICE": "cpu", "OMP_NUM_THREADS": 1}
        with Server(**settings) as server, contextlib.closing(server.client()) as client:
            for number, (size, shots) in enumerate(WARM_UP):
                client.wait_for(client.post(**_job(number, size, shots)))
            mixed = random.Random(SEED)
            ids = [_rendered(client, number, mixed) for number in range(JOBS)]
            _compare(report, _times(server.database, ids))


def _rendered(client: Client, number: int, mixed: random.Random) -> str:
    """The id of one more job, which has ended."""
    job = _job(number, mixed.choice(STUB + LOCAL), mixed.randint(1, 3))
    job_id = client.post(**job)
    client.wait_for(job_id)
    return job_id


def _job(number: int, size: dict[str, int], shots: int) -> dict[str, Any]:
    prompt = PROMPTS[number % len(PROMPTS)]
    board = [{"description": prompt, "camera_move": MOVES[(number + i) % len(MOVES)]} for i in range(shots)]
    models = {"model_id": MODEL, "keyframe_model_id": "stub:still"} if size in LOCAL else {"model_id": "stub:animatic"}
    return {"user_prompt": prompt, "seed": number, "storyboard": {"title": "Shots", "shots": board}} | size | models


def _times(database: Path, ids: list[str]) -> list[tuple[str, float, float]]:
    """Of each job, its model, the seconds that were expected and those that it took."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as conn:
        rows = conn.execute("SELECT id, model_id, forecast, started_at, ended_at FROM jobs").fetchall()
    found = {row[0]: (row[1], json.loads(row[2])["seconds"], row[4] - row[3]) for row in rows}
    return [found[job_id] for job_id in ids]


def _compare(report: Report, times: list[tuple[str, float, float]]) -> None:
    errors = [abs(expected - took) / took for _, expected, took in times]
    note = f"{len(errors)} jobs, p50/p99/max: {tail(errors)}"
    report.add(NAME, "error of the forecast, median", statistics.median(errors), "", at_most=0.10, note=note)
    report.add(NAME, "error of the forecast, p90", percentile(errors, 0.9), "", at_most=0.25)
    for model in sorted({model for model, _, _ in times}):
        mine = [(expected, took) for each, expected, took in times if each == model]
        middle = statistics.median(abs(expected - took) / took for expected, took in mine)
        took = tail([took for _, took in mine])
        report.add(NAME, f"the same of {model}, median", middle, "", note=f"{len(mine)} jobs of p50/p99/max {took} s")
