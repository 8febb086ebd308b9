"""The rows of the report: figures as in ``scripts/bench.py``, and what failed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.figures import Report

MOST_CHARS = 400
"""Of a reason in the table."""


@dataclass(slots=True)
class GpuReport(Report):
    """The figures of one run on one machine."""

    machine: dict[str, Any] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)   # section and reason

    def add(
        self, section: str, what: str, value: float, unit: str, *, at_most: float | None = None, **more: Any
    ) -> None:
        """As in ``Report``; goals of time and memory are a GPU's."""
        Report.add(self, section, what, value, unit, at_most=at_most if self.machine.get("gpu") else None, **more)

    @contextmanager
    def trying(self, section: str) -> Iterator[None]:
        """Whatever goes wrong inside is a row, and the next section goes on."""
        try:
            yield
        except Exception as e:
            self.failed(section, f"{type(e).__name__}: {e}")

    def failed(self, section: str, reason: str) -> None:
        words = " ".join(reason.split())
        self.failures.append((section, words))
        print(f"  failed: {words}", flush=True)

    def check(self, section: str, what: str, ok: bool, note: str = "") -> None:
        """Something that has to be so: a figure of 1 or 0, and a failure where it is not."""
        self.add(section, what, float(ok), "", at_least=1, note=note)
        if not ok:
            self.failed(section, f"{what}: {note}")

    def table(self) -> str:
        rows = [f"| {name} | failed: {_cut(reason)} | | | | |" for name, reason in self.failures]
        return "\n".join([Report.table(self), *rows])

    def json(self) -> str:
        said = json.loads(Report.json(self))
        failures = [{"section": name, "reason": reason} for name, reason in self.failures]
        return json.dumps(said | {"machine": self.machine, "failures": failures}, ensure_ascii=False)


def _cut(reason: str) -> str:
    safe = reason.replace("|", "/")
    return safe if len(safe) <= MOST_CHARS else f"{safe[:MOST_CHARS]} …"
