"""Run the GPU lane's decisions over many jobs of mixed models, beside plain first in, first out on the same arrivals.

    python scripts/simulate_schedule.py                         100,000 jobs on a card of 24 GB
    python scripts/simulate_schedule.py --patience 300 900      with other values of SWAP_PATIENCE_S

Time is simulated, so that months take a minute; the decisions are those of ``vidgen/engine/schedule.py`` itself, at the
lane and at its door. Three lanes are given the same jobs:

    fifo       the steps in order of rank; models are loaded beside each other where they fit, the one that was not used
               for the longest time makes room, and those idle for MODEL_KEEP_ALIVE_S are let go
    fifo, kept the same, but that no model is let go that a waiting job needs
    ours       that too, and steps of loaded models are preferred for SWAP_PATIENCE_S
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:               # run as a script, only its own folder is there
    sys.path.insert(0, str(ROOT))

from scripts.simulation.arrivals import MIXED, PATTERNS, jobs_of  # noqa: E402
from scripts.simulation.lane import Counted, Lane  # noqa: E402
from vidgen.engine.order import Policy  # noqa: E402
from vidgen.settings import Settings  # noqa: E402

PATIENCE_S = Settings.model_fields["swap_patience_s"].default
MEMORY_WAIT_S = Settings.model_fields["memory_wait_s"].default
JOBS, LOAD, GPU_GB = 100_000, 0.85, 24
FIFO, KEPT, OURS = "fifo", "fifo, kept", "ours"


@dataclass(frozen=True)
class Row:
    """One lane under one pattern of arrivals; times in seconds."""

    pattern: str
    lane: str
    jobs: int
    swaps: int
    swap_s: float
    wait_p50_s: float
    wait_p99_s: float
    wait_worst_s: float
    gpu_use: float                          # share of the time in which something is rendered
    passed_s: float
    bound_s: float                          # of passed_s: the patience and the longest step with its loading
    passed_at_door_s: float
    refused: int


def simulate(
    jobs: int, seed: int = 0, patience_s: float = PATIENCE_S, load: float = LOAD, gpu_gb: float = GPU_GB
) -> list[Row]:
    """*jobs* in all, in equal parts under each pattern of arrivals, through each of the three lanes."""
    lanes = {FIFO: (0.0, False), KEPT: (0.0, True), OURS: (patience_s, True)}
    rows = []
    for pattern in PATTERNS:
        for name, (patience, foresees) in lanes.items():
            policy = Policy(patience, MEMORY_WAIT_S)
            given = jobs_of(pattern, jobs // len(PATTERNS), seed, load)
            counted = Lane(given, policy, foresees, gpu_gb, seed).run()
            rows.append(_row(pattern, name, patience, counted))
    return rows


def fewer(rows: Iterable[Row], than: str = FIFO, patterns: Collection[str] = MIXED) -> float:
    """How many times fewer swaps ours has, over *patterns*."""
    swaps = Counter()
    for row in rows:
        swaps[row.lane] += row.swaps if row.pattern in patterns else 0
    return swaps[than] / max(1, swaps[OURS])


def table(rows: Iterable[Row]) -> str:
    heads = ("arrivals", "lane", "swaps", "hours of them", "wait p50 / p99 / worst, min", "GPU use", "passed over, s")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"] + [
        f"| {row.pattern} | {row.lane} | {row.swaps:,} | {row.swap_s / 3600:.1f} | {row.wait_p50_s / 60:.0f} / "
        f"{row.wait_p99_s / 60:.0f} / {row.wait_worst_s / 60:.0f} | {row.gpu_use:.1%} | "
        f"{row.passed_s:.0f} ≤ {row.bound_s:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def _row(pattern: str, name: str, patience_s: float, counted: Counted) -> Row:
    waits = sorted(counted.waits_s)

    def share(part: float) -> float:
        return waits[min(len(waits) - 1, int(part * len(waits)))]

    return Row(
        pattern, name, len(waits), counted.swaps, counted.swap_s, share(0.5), share(0.99), waits[-1],
        counted.render_s / counted.end_s, counted.passed_s, patience_s + counted.longest_step_s,
        counted.passed_at_door_s, counted.refused,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--load", type=float, default=LOAD, help="of the GPU's time, what rendering takes")
    parser.add_argument("--gpu-gb", type=float, default=GPU_GB)
    parser.add_argument("--patience", type=float, nargs="+", default=[PATIENCE_S], metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    asked = parser.parse_args()
    said = {}
    for patience_s in asked.patience:
        began = time.monotonic()
        rows = said[patience_s] = simulate(asked.jobs, asked.seed, patience_s, asked.load, asked.gpu_gb)
        print(f"\n{asked.jobs:,} jobs, {asked.gpu_gb:g} GB, load {asked.load:g}, SWAP_PATIENCE_S={patience_s:g}\n")
        print(f"{table(rows)}\n\nTimes fewer swaps on mixed load: {fewer(rows):.2f} than {FIFO}, "
              f"{fewer(rows, KEPT):.2f} than {KEPT}. {sum(row.refused for row in rows)} jobs were refused. "
              f"({time.monotonic() - began:.0f} s)")
    if asked.json:
        asked.json.write_text(json.dumps({key: [asdict(row) for row in rows] for key, rows in said.items()}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
