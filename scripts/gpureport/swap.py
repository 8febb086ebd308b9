"""How long a model takes to come to the device: from disk, from the host's memory, and where it is there already."""

import os
import statistics
from collections import defaultdict
from pathlib import Path

from bench.figures import spread
from bench.program import Program

from gpureport.rows import GpuReport
from gpureport.stage import Stage

NAME = "swap"
ROUNDS = 3
CACHE_MB = 24_000                           # RAM for weights that are not loaded
CACHE_MB_ON_CPU = 500


def run(report: GpuReport, stage: Stage) -> None:
    one, other = stage.names
    rounds = stage.times(ROUNDS)
    with stage.alone(CACHE_MB if stage.gpu else CACHE_MB_ON_CPU) as program:

        swaps = Swaps(program)
        _forget(stage.weights / one)
        report.add(NAME, "cold, the first load of a process", swaps.load(one), "s", note="its files are not in RAM")
        swaps.leave(one, keep=False)
        for _ in range(rounds):
            _forget(stage.weights / one)
            swaps.round(one, other)
    for what, took in swaps.took.items():
        report.add(NAME, what, statistics.median(took), "s", note=f"{rounds} times: {spread(took)}")


class Swaps:
    """Loads and unloads by *program*; in ``took``, the seconds by what was measured."""

    def __init__(self, program: Program):
        self.took: dict[str, list[float]] = defaultdict(list)
        self._program = program

    def load(self, name: str) -> float:
        return self._program.ask(do="load", card=name, mode="whole")["seconds"]

    def leave(self, name: str, *, keep: bool) -> float:
        """:raises RuntimeError: it was to be kept in RAM, and is not."""
        left = self._program.ask(do="unload", card=name, keep=keep)
        if keep and not left["kept_bytes"]:
            raise RuntimeError("the weights were not kept in RAM: it has too little room for them")
        return left["seconds"]

    def round(self, one: str, other: str) -> None:
        """*one* is not loaded, and its files are not in RAM; so it ends, but for the files."""
        self.took["cold, from disk"].append(self.load(one))
        self.leave(one, keep=False)
        self.took["from the system's file cache"].append(self.load(one))
        self.took["resident"].append(self.load(one))
        self.took["away, kept in the host's memory"].append(self.leave(one, keep=True))
        self.load(other)                    # what a swap is for
        self.leave(other, keep=True)
        self.took["from the host's memory"].append(self.load(one))
        for name in (one, other):
            self.leave(name, keep=False)


def _forget(folder: Path) -> None:
    """Have the system drop a model's files from RAM."""
    os.sync()
    for file in folder.rglob("*.safetensors"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
