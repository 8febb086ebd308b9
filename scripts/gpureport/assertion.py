"""A device-side assert in a denoising step: the job is rendered again by a new process, and nothing else ends."""

from gpureport import asked
from gpureport.installed import FAULTS
from gpureport.rows import GpuReport
from gpureport.stage import Stage

NAME = "assert"


def run(report: GpuReport, stage: Stage) -> None:
    with stage.server() as (server, client, image):
        job = stage.job(image, stage.few_steps, model_id=f"{FAULTS}:{stage.faulty}")
        whole = asked.done(client, job)
        stage.fault.touch()
        broken = asked.done(client, job)
        run = asked.recipe(client, broken)["run"]
        attempts = run["attempts"]["render_001"]
        report.check(NAME, "the job recovers on a new process", attempts == 2, f"attempts: {attempts}")
        same = asked.clip(server, whole) == asked.clip(server, broken)
        report.check(NAME, "its clip is equal to an undisturbed one, byte for byte", same)
        health = client.call("GET", "/api/v1/health")["status"]
        report.check(NAME, "the server is healthy", health == "healthy", health)
        report.add(NAME, "what the fault cost", asked.seconds(client, broken) - asked.seconds(client, whole), "s",
                   note="the first job loaded its model too")
