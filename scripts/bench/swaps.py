"""Swaps of models and waits against first in, first out, in simulated time: see simulate_schedule.py."""

from simulate_schedule import FIFO, KEPT, OURS, PATIENCE_S, PATTERNS, Row, fewer, simulate

from bench.figures import Report

NAME = "schedule"
JOBS = 20_000


def run(report: Report) -> None:
    rows = simulate(JOBS)
    note = f"{JOBS:,} jobs, SWAP_PATIENCE_S={PATIENCE_S:g}; {_swaps(rows)}"
    report.add(NAME, "swaps on mixed load, first in first out to ours", fewer(rows), "x", at_least=3, note=note)
    kept = "the same, where first in first out keeps what waiting jobs need"
    report.add(NAME, kept, fewer(rows, KEPT), "x")
    ours = [row for row in rows if row.lane == OURS]
    nearest = max(ours, key=lambda row: row.passed_s / row.bound_s)
    note = f"{nearest.passed_s:.0f} of {nearest.bound_s:.0f} s: the patience, and the longest step with its loading"
    report.add(NAME, "worst passing over, of its bound", nearest.passed_s / nearest.bound_s, "x", at_most=1, note=note)
    for pattern in PATTERNS:
        before, after = (_row(rows, pattern, lane) for lane in (FIFO, OURS))
        note = f"p50/p99/max {_waits(after)} min; first in first out {_waits(before)}; GPU use {after.gpu_use:.1%}"
        report.add(NAME, f"waits, {pattern}, p99", after.wait_p99_s / 60, "min", note=note)


def _row(rows: list[Row], pattern: str, lane: str) -> Row:
    return next(row for row in rows if (row.pattern, row.lane) == (pattern, lane))


def _swaps(rows: list[Row]) -> str:
    return ", ".join(
        f"{pattern} {_row(rows, pattern, FIFO).swaps:,} to {_row(rows, pattern, OURS).swaps:,}" for pattern in PATTERNS
    )


def _waits(row: Row) -> str:
    return f"{row.wait_p50_s / 60:.0f}/{row.wait_p99_s / 60:.0f}/{row.wait_worst_s / 60:.0f}"
