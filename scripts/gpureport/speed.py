"""Seconds of a whole clip: as a job, and by a plain diffusers program with the same settings, in turns."""

import statistics
import time
from contextlib import ExitStack

from bench.figures import spread
from bench.program import Program

from gpureport import asked
from gpureport.rows import GpuReport
from gpureport.stage import FRAMES, IMAGE, SEED, Stage

NAME = "speed"
PAIRS = 5
ENOUGH_S = 300.0
"""After so long no further pair is begun."""


def run(report: GpuReport, stage: Stage) -> None:
    with ExitStack() as stack:
        bare = stack.enter_context(Program("bench.bare", _bare(stage), stage.environment))
        server, client, image = stack.enter_context(stage.server())
        job = stage.job(image)
        parameters = client.job(asked.done(client, job))["parameters"]
        call = parameters | {"num_inference_steps": stage.steps, "num_frames": FRAMES, "fps": 7}
        bare.ask(**call)
        began, pairs, jobs = time.monotonic(), [], []
        while not pairs or (len(pairs) < stage.times(PAIRS) and time.monotonic() - began < ENOUGH_S):
            jobs.append(asked.done(client, job))
            pairs.append((asked.seconds(client, jobs[-1]), bare.ask(**call)))
        measured = [each for job_id in jobs for each in asked.measured(client, job_id)]
    ratios = [ours / theirs for ours, theirs in pairs]
    note = f"{len(pairs)} pairs in turns: {spread(ratios)}; from the job's 201 to its end"
    report.add(NAME, "a job's wall time against the bare diffusers call", statistics.median(ratios), "x", note=note)
    what = f"{FRAMES} frames, {stage.size[0]}x{stage.size[1]}, {stage.steps} steps"
    for who, place in (("job", 0), ("bare call", 1)):
        took = [pair[place] for pair in pairs]
        report.add(NAME, f"the {who}: {what}", statistics.median(took), "s", note=spread(took))
    for phase in ("denoise_seconds", "decode_seconds", "encode_seconds"):
        took = [each[phase] for each in measured]
        report.add(NAME, f"of the job: {phase.removesuffix('_seconds')}", statistics.median(took), "s",
                   note=spread(took))


def _bare(stage: Stage) -> dict:
    return {
        "weights": str(stage.weights / stage.names[0]), "image": str(IMAGE), "size": stage.size, "seed": SEED,
        "device": "cuda" if stage.gpu else "cpu",
    }
