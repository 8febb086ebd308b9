"""What was measured, beside its goal: a table for people, JSON for programs."""

import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil


def _busy_s() -> float:
    """Seconds of CPU that the whole machine has used."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def _ours_s() -> float:
    """Seconds of CPU that this process and its children that have ended have used."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which *share* (0 to 1) of *values* lie: the nearest that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float]) -> str:
    """``min/median/max``, for the table's note."""
    return f"{_short(min(values))}/{_short(statistics.median(values))}/{_short(max(values))}"


def tail(values: Sequence[float]) -> str:
    """``p50/p99/max``, for the table's note."""
    return f"{_short(percentile(values, 0.5))}/{_short(percentile(values, 0.99))}/{_short(max(values))}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    section: str
    what: str
    value: float
    unit: str
    goal: str = ""                          # as people read it; empty: no goal, for information
    met: bool | None = None
    note: str = ""                          # min/median/max, or how it was measured


@dataclass(slots=True)
class Report:
    """The figures of one run."""

    started: float = field(default_factory=time.time)
    figures: list[Figure] = field(default_factory=list)
    others: dict[str, float] = field(default_factory=dict)  # cores that the rest of the machine used, by section

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Inside, a section is measured; what its servers and load generators used is known once they have ended."""
        print(f"\n{name}", flush=True)
        began, busy, ours = time.monotonic(), _busy_s(), _ours_s()
        yield
        took = time.monotonic() - began
        self.others[name] = max(0.0, round((_busy_s() - busy - (_ours_s() - ours)) / took, 2))
        print(f"  ({took:.0f} s; other processes on this machine used {self.others[name]} cores meanwhile)", flush=True)

    def add(
        self, section: str, what: str, value: float, unit: str, *, at_most: float | None = None,
        at_least: float | None = None, note: str = "",
    ) -> None:
        goal, met = "", None
        if at_most is not None:
            goal, met = f"≤ {at_most:g}", value <= at_most
        if at_least is not None:
            goal, met = f"≥ {at_least:g}", value >= at_least
        self.figures.append(Figure(section, what, value, unit, goal, met, note))
        print("  " + _line(self.figures[-1]), flush=True)

    def table(self) -> str:
        """All figures as a Markdown table."""
        rows = [("", "what", "figure", "goal", "", "spread or note"), ("---",) * 6]
        rows += [
            (f.section, f.what, f"{_short(f.value)} {f.unit}".strip(), f.goal, _verdict(f), f.note)
            for f in self.figures
        ]
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    def json(self) -> str:
        said: dict[str, Any] = {
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started)),
            "python": platform.python_version(), "cores": os.cpu_count(),
            "others": self.others, "figures": [asdict(figure) for figure in self.figures],
        }
        return json.dumps(said, ensure_ascii=False)

    def missed(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.met is False]


def _line(figure: Figure) -> str:
    goal = f"  [{figure.goal} {_verdict(figure)}]" if figure.goal else ""
    return f"{figure.what}: {_short(figure.value)} {figure.unit}{goal}  {figure.note}"


def _verdict(figure: Figure) -> str:
    return {True: "met", False: "MISSED", None: ""}[figure.met]


def _short(value: float) -> str:
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
