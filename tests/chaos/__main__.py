"""``python -m tests.chaos``: kill the server at random, then at every commit, rename and fsync; cancel jobs on the GPU
lane at random; kill and silence the process that renders them. Print what came of it.

Exits with 1 where anything is not zero that has to be.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.chaos import cancels, deaths, kills, recoveries
from tests.chaos.autopsy import ZEROS, Fault


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="vidgen-chaos-"))
    print(f"seed {options.seed}, in {folder}", flush=True)
    faults = [
        *_kills(folder / "kills", options), *_deaths(folder / "deaths", options),
        *_cancels(folder / "cancels", options), *_recoveries(folder / "recoveries", options),
    ]
    _table("what must be zero", _zeros(faults))
    for fault in faults[:50]:
        print(f"FAULT {fault.kind}: {fault.what}")
    if not faults:
        shutil.rmtree(folder)
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=200, help="how often the server is killed at random (200)")
    parser.add_argument("--every", type=int, default=1, help="1: die at every commit, rename and fsync; 0: at none")
    parser.add_argument("--cancels", type=int, default=1000, help="how many jobs are cancelled (1000)")
    parser.add_argument("--local", type=int, default=40, help="of these, how many of a small local model (40)")
    parser.add_argument("--jobs", type=int, default=200, help="jobs of which every third kills its process (200)")
    parser.add_argument("--silences", type=int, default=2, help="how often a process falls silent in each way (2)")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _kills(folder: Path, options: argparse.Namespace) -> list[Fault]:
    if not options.cycles:
        return []
    began = time.monotonic()
    world = kills.run(folder, options.cycles, options.seed, _say)
    took = f"{time.monotonic() - began:.0f} s"
    _table(f"kill -9 of run_api.py at {options.cycles} random moments, {took}", dict(sorted(world.counts.items())))
    return world.faults


def _deaths(folder: Path, options: argparse.Namespace) -> list[Fault]:
    if not options.every:
        return []
    began = time.monotonic()
    counted, digest = deaths.count(folder)
    swept = deaths.sweep(folder, deaths.every_fate(counted, options.every), digest)
    if not swept.faults:
        deaths.tidy(folder)
    took = f"{time.monotonic() - began:.0f} s"
    _table(f"death before and after each commit, rename and fsync of one three-shot job, {took}", {
        **{f"{kind}s in an undisturbed run": number for kind, number in counted.items()},
        **{f"deaths at a {kind}": number for kind, number in swept.died.items()},
        "runs that ended before their number came up": swept.escaped,
        "clips renamed, not committed, then adopted": swept.adopted,
    })
    return swept.faults


def _cancels(folder: Path, options: argparse.Namespace) -> list[Fault]:
    faults = []
    for name, run, number in (
        ("trial models", cancels.run, options.cancels - options.local),
        ("a small local model", cancels.run_local, options.local),
    ):
        if number <= 0 or not options.cancels:
            continue
        began = time.monotonic()
        found = run(folder / name.replace(" ", "_"), number, options.seed, _say)
        took = f"{time.monotonic() - began:.0f} s"
        _times(f"{found.asked} cancels at random moments, {name}, {took}: from asking to the end, by phase",
               found.latencies)
        _table("beside these", {"had completed before": found.completed, "others, left alone": found.beside})
        faults += found.faults
    return faults


def _recoveries(folder: Path, options: argparse.Namespace) -> list[Fault]:
    faults = []
    for name, run, number in (
        ("deaths", recoveries.deaths, options.jobs), ("silences", recoveries.silences, options.silences),
    ):
        if number:
            began = time.monotonic()
            found = run(folder / name, number, options.seed, _say)
            title = f"{found.number} {name} in {found.jobs} jobs, {time.monotonic() - began:.0f} s"
            _times(f"{title}: from each to the first step of the next attempt", found.took)
            faults += found.faults
    return faults


def _say(line: str) -> None:
    print(line, flush=True)


def _times(title: str, rows: Mapping[str, Sequence[float]]) -> None:
    """How many, and the median, p99 and worst of each, in milliseconds."""
    print(f"\n{title}\n  {'number':>8} {'p50 ms':>8} {'p99 ms':>8} {'worst':>8}")
    for what, seconds in sorted([*rows.items(), ("all", [one for each in rows.values() for one in each])]):
        ordered = [1000 * one for one in sorted(seconds)] or [0.0]
        places = [ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 1)]
        print(f"  {len(seconds):8d} " + " ".join(f"{place:8.0f}" for place in places) + f"  {what}")
    sys.stdout.flush()


def _zeros(faults: list[Fault]) -> Counter:
    found = Counter({kind: 0 for kind in dict.fromkeys((*ZEROS, *cancels.ZEROS, *recoveries.ZEROS))})
    found.update(fault.kind for fault in faults)
    return found


def _table(title: str, rows: dict[str, int]) -> None:
    print(f"\n{title}")
    for what, number in rows.items():
        print(f"  {number:8d}  {what}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
