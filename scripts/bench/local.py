"""A local pipeline on the CPU, with small weights: what the server adds to it, and what it does to the server.

The same video by a plain diffusers program and as a job, in turns, each with its model loaded; then GETs of a job by
clients, in turns with nothing else to do and while a pipeline renders on all cores.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

from testweights.cards import small_card

from bench.figures import Report, percentile, spread, tail
from bench.load import run_load
from bench.program import Program
from bench.server import ROOT, Client, Server

NAME = "local"
CARD = "small-svd"
MODEL = f"local:{CARD}"
SIZE = (256, 256)
STEPS = 12
PAIRS = 6
SEED = 7
IMAGE = ROOT / "tests" / "data" / "reference.jpg"
CLIENTS = 16
INTERVAL_S = 0.2
SECONDS = 10
ROUNDS = 3


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="vidgen-bench-") as folder:
        models, weights = Path(folder) / "models", Path(folder) / "weights"
        make_model(models, weights)
        settings = {"MODELS_DIR": models, "WEIGHTS_DIR": weights, "GPU_DEVICE": "cpu"}
        with Server(**settings) as server, closing(server.client()) as client:
            job = _job(upload(server.port))
            first = client.wait_for(client.post(**job))
            _overhead(report, client, job, weights / CARD, first["parameters"])
            _latency(report, server, client, job)


def make_model(models: Path, weights: Path) -> None:
    """Write a small model's card into *models* and its weights into *weights*."""
    models.mkdir()
    (card := models / f"{CARD}.toml").write_text(small_card("svd-xt", CARD), "utf-8")
    script = ROOT / "scripts" / "make_test_weights.py"
    subprocess.run([sys.executable, script, card, "--into", weights], check=True, stdout=subprocess.DEVNULL)


def upload(port: int) -> str:
    """The id of the reference image, taken in by the server."""
    import httpx

    with IMAGE.open("rb") as file:
        answer = httpx.post(f"http://127.0.0.1:{port}/api/v1/upload", files={"file": file}, trust_env=False)
    return answer.raise_for_status().json()["file_id"]


def _job(image: str) -> dict:
    """One shot of a client's own storyboard: nothing is planned that a plain program would not know."""
    return {
        "user_prompt": "a lighthouse", "model_id": MODEL, "reference_image": image, "seed": SEED, "width": SIZE[0],
        "height": SIZE[1], "num_inference_steps": STEPS,
        "storyboard": {"title": "A shot", "shots": [{"description": "a lighthouse", "seed": SEED}]},
    }


def _overhead(report: Report, client: Client, job: dict, weights: Path, parameters: dict) -> None:
    arguments = parameters | {"num_inference_steps": STEPS, "num_frames": 25, "fps": 7}
    from vidgen.inference.process import KEEP_MEMORY

    with _bare(weights, KEEP_MEMORY) as alike, _bare(weights, {}) as plain:
        for each in (alike, plain):
            each.ask(**arguments)           # the first call takes longer
        took = [(_timed(client, job), alike.ask(**arguments), plain.ask(**arguments)) for _ in range(PAIRS)]
    for what, place, goal in (
        ("with the same allocator settings", 1, {"at_most": 1.02}), ("as it comes", 2, {}),
    ):
        ratios = [each[0] / each[place] for each in took]
        report.add(
            NAME, f"a job's wall time against the bare diffusers call {what}", statistics.median(ratios), "x", **goal,
            note=f"{PAIRS} in turns: {spread(ratios)}; from the job's 201 to its end",
        )
    for what, place in (("job", 0), ("bare call with the same settings", 1), ("bare call as it comes", 2)):
        seconds = [each[place] for each in took]
        report.add(NAME, f"the {what}", statistics.median(seconds), "s", note=spread(seconds))


def _timed(client: Client, job: dict) -> float:
    """Seconds from the job's acknowledgement to its end, as its own sheet has them. It is asked for once a second:
    fifty times a second takes a tenth of a core, which torch's threads then wait for.
    """
    job_id = client.post(**job)
    while (status := client.job(job_id)["status"]) in ("queued", "processing"):
        time.sleep(1)
    if status != "completed":
        raise RuntimeError(f"job {job_id} is {status}")
    run = client.call("GET", f"/api/v1/jobs/{job_id}/recipe")["run"]
    return (datetime.fromisoformat(run["ended_at"]) - datetime.fromisoformat(run["created_at"])).total_seconds()


def _bare(weights: Path, environment: dict[str, str]) -> Program:
    """A plain program, which loads the pipeline and makes the video as often as it is asked, for the seconds."""
    said = {"weights": str(weights), "image": str(IMAGE), "size": SIZE, "seed": SEED, "device": "cpu"}
    return Program("bench.bare", said, environment)


def _latency(report: Report, server: Server, client: Client, job: dict) -> None:
    done = client.post(**job)
    client.wait_for(done)
    asked = {
        "clients": CLIENTS, "interval_s": INTERVAL_S, "port": server.port, "job_ids": [done], "seconds": SECONDS,
    }
    idle, busy = [], []
    for _ in range(ROUNDS):
        idle.append(run_load("bench.load_reads", **asked)["took_ms"])
        job_id = client.post(**job)
        busy.append(run_load("bench.load_reads", **asked)["took_ms"])
        if client.job(job_id)["status"] != "processing":
            raise RuntimeError("the render ended before the clients did")
        client.wait_for(job_id)
    ratios = [percentile(b, 0.99) / percentile(i, 0.99) for i, b in zip(idle, busy, strict=True)]
    report.add(
        NAME, "p99 of GET job while a pipeline renders on all cores, against an idle server",
        statistics.median(ratios), "x", at_most=2, note=f"{ROUNDS} rounds in turns: {spread(ratios)}",
    )
    for what, rounds in (("while it renders", busy), ("idle", idle)):
        took = [one for each in rounds for one in each]
        report.add(NAME, f"GET of a job, {what}, p99", percentile(took, 0.99), "ms", note=f"p50/p99/max: {tail(took)}")
