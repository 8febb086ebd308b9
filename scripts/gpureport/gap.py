"""How long the device does nothing between two shots of one model."""

import statistics

from bench.figures import spread

from gpureport import asked
from gpureport.rows import GpuReport
from gpureport.stage import Stage

NAME = "gap"
SHOTS = 6
MOST_MS = 20


def run(report: GpuReport, stage: Stage) -> None:
    with stage.server() as (_, client, image):
        asked.done(client, stage.job(image, stage.few_steps))
        job_id = asked.done(client, stage.job(image, stage.few_steps, shots=stage.times(SHOTS)))
        measured = asked.measured(client, job_id)
    gaps = [1000 * each["idle_seconds"] for each in measured[1:]]
    encoded = [1000 * each["encode_seconds"] for each in measured]
    note = f"{len(measured)} shots: {spread(gaps)}; encoding one takes {statistics.median(encoded):.0f} ms"
    report.add(NAME, "idle between two shots of one job", statistics.median(gaps), "ms", at_most=MOST_MS, note=note)
