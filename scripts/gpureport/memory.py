"""Peak memory in each loading mode, measured, against what was forecast; one fresh process each."""

from contextlib import nullcontext
from typing import Any

from gpureport.rows import GpuReport
from gpureport.stage import SEED, Stage
from gpureport.watching import Watch

NAME = "memory"
GIB = 2**30
MOST_OFF = 0.10


def run(report: GpuReport, stage: Stage) -> None:
    with stage.alone() as program:
        modes = program.ready
    for mode in modes:
        with report.trying(NAME):
            _mode(report, stage, mode)


def _mode(report: GpuReport, stage: Stage, mode: str) -> None:
    watch = Watch() if stage.gpu else None
    with watch.watching() if watch else nullcontext(), stage.alone() as program:
        loaded = program.ask(do="load", card=stage.names[0], mode=mode)
        found = program.ask(
            do="render", card=stage.names[0], mode=mode, size=stage.size, steps=stage.few_steps, seed=SEED,
        )
    report.check(NAME, f"{mode}: rendered in that mode", found["made"] == {"mode": mode}, str(found["made"]))
    timed = found["measured"]
    report.add(NAME, f"{mode}: {stage.few_steps} steps", timed["denoise_seconds"], "s",
               note=f"load {loaded['seconds']:.1f} s, decode {timed['decode_seconds']:.1f} s")
    if watch is None:
        report.add(NAME, f"{mode}: resident set of the process", found["resident_bytes"] / GIB, "GiB",
                   note=f"forecast {found['forecast'] / GIB:.2f} GiB; on a CPU it has no goal")
        return
    _compare(report, mode, found, watch.taken)


def _compare(report: GpuReport, mode: str, found: dict[str, Any], taken: int) -> None:
    said, own = found["forecast"], found["measured"]["peak_vram_bytes"]
    held = f"torch reserved {found['reserved_bytes'] / GIB:.2f}, tensors {found['tensor_bytes'] / GIB:.2f} GiB"
    for who, peak, note in (("NVML", taken, held), ("the process's own meter", own, "")):
        note = f"measured {peak / GIB:.2f} GiB, forecast {said / GIB:.2f} GiB; {note}".rstrip("; ")
        report.add(NAME, f"{mode}: forecast's error by {who}", abs(said / peak - 1), "", at_most=MOST_OFF, note=note)
