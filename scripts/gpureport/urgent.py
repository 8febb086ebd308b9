"""An urgent job inside of a long one: which bytes come out, and who waits for how long."""

from gpureport import asked
from gpureport.rows import GpuReport
from gpureport.stage import Stage

NAME = "urgent"
PRIORITY = 10
AT_STEP = 2


def run(report: GpuReport, stage: Stage) -> None:
    with stage.server() as (server, client, image):
        long = stage.job(image)
        short = stage.job(image, stage.few_steps, seed=23, priority=PRIORITY)
        asked.done(client, stage.job(image, stage.few_steps, seed=41))      # loads the model
        alone = [asked.done(client, job) for job in (long, short)]
        outer = client.post(**long)
        if not asked.wait_for_phase(server, outer, "render", AT_STEP):
            raise RuntimeError("the long job ended before the urgent one was posted")
        inner = client.post(**short)
        ended = [asked.ended(client, job_id) for job_id in (inner, outer)]
        if any(job["status"] != "completed" for job in ended):
            raise RuntimeError("; ".join(f"{job['status']}: {job['error_message']}" for job in ended))
        inside = sum(each.get("interrupted_seconds", 0.0) for each in asked.measured(client, outer))
        report.check(NAME, "it runs inside of the long one", inside > 0, f"{inside:.2f} s of the long one's time")
        for who, before, after in (("long", alone[0], outer), ("urgent", alone[1], inner)):
            same = asked.clip(server, before) == asked.clip(server, after)
            report.check(NAME, f"the {who} job's clip is that of an undisturbed run, byte for byte", same)
        times = [asked.seconds(client, job_id) for job_id in (*alone, outer, inner)]
    long_s, short_s, outer_s, inner_s = times
    report.add(NAME, "the urgent job's wait", inner_s - short_s, "s", note=f"{inner_s:.2f} s; alone {short_s:.2f} s")
    report.add(NAME, "what it cost the long job beyond its own time", outer_s - long_s - inside, "s",
               note=f"{outer_s:.2f} s; alone {long_s:.2f} s, and {inside:.2f} s inside")
