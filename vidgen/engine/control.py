"""A running step's line to the engine: progress out, cancel and deadlines in. Nothing here waits for a commit."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vidgen.backend import PREVIEW_INTERVAL_S, Control, Preview
from vidgen.engine import lifecycle
from vidgen.engine.lifecycle import Report
from vidgen.engine.timings import Clock, shown
from vidgen.errors import Cancelled, Interrupted, Overdue
from vidgen.store import steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import Step, StepKind

PATIENCE = 10
"""A step may be silent for so many times as long as its longest unit is expected to take, where that is more."""

PHASE_SPANS = {"load": (0.0, 0.05), "render": (0.05, 0.95), "decode": (0.95, 0.98), "encode": (0.98, 1.0)}
"""The part of a step's progress that each phase covers; other phases cover all of it."""


@dataclass(frozen=True, slots=True)
class Title:
    """What a step is called: ``Generating shot 2 of 3``."""

    step: Step
    num_shots: int = 0

    def __str__(self) -> str:
        number = (self.step.shot_index or 0) + 1
        return {
            StepKind.PLAN: "Planning",
            StepKind.KEYFRAME: f"Drawing the keyframe of shot {number} of {self.num_shots}",
            StepKind.RENDER: f"Generating shot {number} of {self.num_shots}",
            StepKind.ASSEMBLE: "Assembling the video",
        }[self.step.kind]


class StepControl:
    """The ``Control`` of one attempt. Made by the lane, called by the rendering thread, signalled by any thread.

    :param deadline_s: how long the step may go without a sign of life, which is a call of :meth:`step`.
    :param show: is given a preview image at most once a second; must not wait.
    :param clock: of the step.
    :param eta_s: seconds until the job's video is ready, None where unknown; must be quick.
    """

    def __init__(
        self, step: Step, database: Database, deadline_s: float, show: Callable[[Step, Preview], None] | None = None,
        clock: Clock | None = None, eta_s: Callable[[], float | None] = lambda: None,
    ):
        self.step_row = step
        self.kept: Mapping[str, Any] = step.kept
        self.title = Title(step)
        self._database = database
        self._clock = clock or Clock(None)
        self._deadline_s = max(deadline_s, PATIENCE * self._clock.longest_unit_s)
        self._eta_s = eta_s
        self._show = show
        self._cancelled = threading.Event()
        self._interrupted = threading.Event()
        self._phase = ""
        self._alive_at = time.monotonic()
        self._fraction = 0.0
        self._preview_at = 0.0

    def cancel(self) -> None:
        """Ask the step to end; heard at its next :meth:`check` or :meth:`step`."""
        self._cancelled.set()

    def interrupt(self) -> None:
        """Ask the step to go back to the queue; the server is going down."""
        self._interrupted.set()

    def heed(self) -> None:
        """Raise where the step must end; for waits that watch over their own deadline, such as those for ffmpeg."""
        if self._cancelled.is_set():
            raise Cancelled(lifecycle.CANCELLED_MESSAGE)
        if self._interrupted.is_set():
            raise Interrupted("the server is going down")

    def check(self) -> None:
        self.heed()
        if time.monotonic() - self._alive_at > self._deadline_s:
            raise Overdue(f"{self._phase or 'the step'} made no progress for {self._deadline_s:.3g} s")

    def alive(self) -> None:
        self.heed()
        self._alive_at = time.monotonic()

    def keep(self, facts: Mapping[str, Any]) -> None:
        def work(tx: Tx) -> None:
            if not steps.owned(tx, self.step_row):
                raise Cancelled("the step was taken away")
            steps.keep(tx, self.step_row, facts)

        self._database.write(work)
        self.kept = facts

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self.heed()
        self._phase, self._alive_at = phase, time.monotonic()
        self._clock.at(phase, i, n)
        self._fraction = max(self._fraction, _fraction(phase, i, n))
        extra = {"phase": phase, "phase_step": i, "phase_steps": n, "attempt": self.step_row.attempts}
        self._report(f"{self.title}: {phase} {i} of {n}", extra)
        if preview is not None:
            self.show(preview)

    def begin(self) -> None:
        """Say that the step has started, before its first unit of work."""
        self._report(str(self.title), {"attempt": self.step_row.attempts})

    def note(self, code: str, message: str) -> None:
        self._post(lambda tx: lifecycle.note(tx, self.step_row.job_id, code, message))

    def show(self, preview: Preview) -> None:
        """Show *preview*, unless one was shown less than a second ago."""
        if self._show is not None and time.monotonic() - self._preview_at >= PREVIEW_INTERVAL_S:
            self._preview_at = time.monotonic()
            self._show(self.step_row, preview)

    def eta_seconds(self) -> float | None:
        """Until the job's video is ready, as a progress message says it."""
        return shown(self._eta_s())

    def _report(self, message: str, extra: Mapping[str, Any]) -> None:
        said = Report(str(self.title), message, self._fraction, extra, self.eta_seconds())
        self._post(lambda tx: lifecycle.report(tx, self.step_row, said))

    def _post(self, work: Callable[[Tx], None]) -> None:
        def owned_work(tx: Tx) -> None:
            if steps.owned(tx, self.step_row):
                work(tx)

        self._database.post(owned_work)


class Watched:
    """A control that also tells when a denoising step is done.

    :param between: called then; may run something more urgent before it returns.
    """

    def __init__(self, control: Control, between: Callable[[], None]):
        self._control = control
        self._between = between

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def step(self, phase: str, i: int, n: int, preview: Any = None) -> None:
        self._control.step(phase, i, n, preview)
        if phase == "render":
            self._between()
            self._control.alive()           # however long that took, this step was not silent


def _fraction(phase: str, i: int, n: int) -> float:
    start, end = PHASE_SPANS.get(phase, (0.0, 1.0))
    return start + (end - start) * min(i / n, 1.0) if n else start
