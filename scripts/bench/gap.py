"""For how long nothing renders between two shots of one model: from the end of one render to the beginning of the next,
as the inference process measures it. Meanwhile a clip is handed over, a step is claimed and its render is told.

Measured with a backend that only waits, whose steps take 30 ms, and with a small local model on the CPU, which leaves
the server what cores it does not use itself.
"""

import contextlib
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.figures import Report, percentile, spread
from bench.local import MODEL, make_model, upload
from bench.server import ROOT, Client, Server

NAME = "gap"
SHOTS = 8
JOBS = {"trial": 6, "local": 3}
STEP_S, STEPS = 0.03, 10
SIZE = {"width": 64, "height": 64}


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="vidgen-bench-") as folder:
        gaps = _trial(Path(folder))
        what = "idle between two shots of one model, median"
        note = f"{len(gaps)} gaps, min/median/max: {spread(gaps)}"
        report.add(NAME, what, statistics.median(gaps), "ms", at_most=20, note=note)
        report.add(NAME, "the same, p90", percentile(gaps, 0.9), "ms")
        gaps = _local(Path(folder))
        note = f"{len(gaps)} gaps, min/median/max: {spread(gaps)}"
        report.add(NAME, f"the same of {MODEL} on the CPU, median", statistics.median(gaps), "ms", note=note)
        report.add(NAME, f"the same of {MODEL} on the CPU, p90", percentile(gaps, 0.9), "ms")


def _trial(folder: Path) -> list[float]:
    sys.path.append(str(ROOT))              # a backend of the tests, offered as an installed package would
    from tests.fakes import gpu, trial

    (models := folder / "trial").mkdir()
    (models / "one.toml").write_text(trial.card("one", step_seconds=STEP_S))
    environment = gpu.install(folder / "packages")
    with Server(MODELS_DIR=models, GPU_DEVICE="cpu", **environment) as server:
        job = {**SIZE, "model_id": "trial:one", "num_frames": 5, "num_inference_steps": STEPS}
        return _gaps(server, job, JOBS["trial"])


def _local(folder: Path) -> list[float]:
    models, weights = folder / "models", folder / "weights"
    make_model(models, weights)
    with Server(MODELS_DIR=models, WEIGHTS_DIR=weights, GPU_DEVICE="cpu", OMP_NUM_THREADS=1) as server:
        job = {**SIZE, "model_id": MODEL, "reference_image": upload(server.port), "num_inference_steps": STEPS}
        return _gaps(server, job, JOBS["local"])


def _gaps(server: Server, job: dict[str, Any], jobs: int) -> list[float]:
    """Milliseconds before each shot but the first of its job, after a job to warm up."""
    with contextlib.closing(server.client()) as client:
        _rendered(client, job)
        return [gap for _ in range(jobs) for gap in _rendered(client, job)]


def _rendered(client: Client, job: dict[str, Any]) -> list[float]:
    board = [{"description": "a lighthouse", "seed": seed} for seed in range(SHOTS)]
    said = {"user_prompt": "a lighthouse", "max_shots": SHOTS, "storyboard": {"title": "Shots", "shots": board}}
    steps = client.wait_for(client.post(**job, **said))["usage"]["steps"]
    return [1000 * steps[f"render_{number:03d}"]["idle_seconds"] for number in range(2, SHOTS + 1)]
