"""``python -m tests.chaos``: kill the server at random, then at every commit, rename and fsync; print what came of it.

Exits with 1 where anything is not zero that has to be.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos import deaths, kills
from tests.chaos.autopsy import ZEROS, Fault


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="vidgen-chaos-"))
    print(f"seed {options.seed}, in {folder}", flush=True)
    faults = [*_kills(folder / "kills", options), *_deaths(folder / "deaths", options)]
    _table("what must be zero", _zeros(faults))
    for fault in faults[:50]:
        print(f"FAULT {fault.kind}: {fault.what}")
    if not faults:
        folder.rmdir()
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=200, help="how often the server is killed at random (200)")
    parser.add_argument("--every", type=int, default=1, help="1: die at every commit, rename and fsync; 0: at none")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _kills(folder: Path, options: argparse.Namespace) -> list[Fault]:
    if not options.cycles:
        return []
    began = time.monotonic()
    world = kills.run(folder, options.cycles, options.seed, lambda line: print(line, flush=True))
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


def _zeros(faults: list[Fault]) -> Counter:
    found = Counter({kind: 0 for kind in ZEROS})
    found.update(fault.kind for fault in faults)
    return found


def _table(title: str, rows: dict[str, int]) -> None:
    print(f"\n{title}")
    for what, number in rows.items():
        print(f"  {number:8d}  {what}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
