"""Lanes: threads that claim steps of their kind, run them, and write down how it went.

A lane claims from the database alone; a wake-up only saves it from waiting for its next look.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from vidgen.engine import lifecycle
from vidgen.engine.control import StepControl
from vidgen.engine.finisher import Finisher, Later
from vidgen.errors import Cancelled, DiskLow, Interrupted, StepFailed, VidgenError
from vidgen.store import steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import Lane, Step, StepKind, StepStatus

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""A lane looks for work at least this often, woken or not."""

Outcome = Callable[[Tx], None]
Run = Callable[[Step, StepControl], Outcome | Later]
May = Callable[[], bool]
"""Whether steps may be claimed now; asked again inside of the transaction that claims."""

Claim = Callable[[May], Step | None]
"""How a lane claims its next step; called at least every :data:`LOOK_S`, also while nothing may be claimed."""


class Bell:
    """Wakes a lane's threads. A ring between looking and waiting is not lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    def count(self) -> int:
        with self._condition:
            return self._rings

    def ring(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, since: int, timeout_s: float) -> None:
        """Return once the bell has rung more than *since* times, or after *timeout_s*."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings > since, timeout_s)


class Running:
    """The steps that run in this process now; where a cancel finds the control to signal."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._controls: dict[int, StepControl] = {}

    def add(self, control: StepControl) -> None:
        with self._changed:
            self._controls[control.step_row.id] = control

    def remove(self, control: StepControl) -> None:
        with self._changed:
            if self._controls.get(control.step_row.id) is control:      # else the next attempt has begun meanwhile
                del self._controls[control.step_row.id]
            self._changed.notify_all()

    def of_job(self, job_id: str) -> list[StepControl]:
        with self._changed:
            return [control for control in self._controls.values() if control.step_row.job_id == job_id]

    def cancel(self, job_id: str) -> None:
        for control in self.of_job(job_id):
            control.cancel()

    def interrupt(self) -> None:
        with self._changed:
            controls = list(self._controls.values())
        for control in controls:
            control.interrupt()

    def wait_until_idle(self, timeout_s: float, job_id: str | None = None) -> bool:
        """Wait until nothing runs (of that job); False where that takes longer than *timeout_s*."""
        def idle() -> bool:
            mine = [c for c in self._controls.values() if job_id in (None, c.step_row.job_id)]
            return not mine

        with self._changed:
            return self._changed.wait_for(idle, timeout_s)


class Lanes:
    """All worker threads.

    :param widths: how many threads each lane has.
    :param claims: of lanes that do not simply claim the next step.
    :param run: does one step and returns what to commit, or what is left to do off the lane; raises ``Stopped``,
        ``StepFailed`` or anything.
    :param make_control: makes the control of one attempt.
    :param admit: lets queued jobs in, inside the transaction that ended a step.
    :param on_end: is told the id of a job that has ended; must not wait.
    """

    def __init__(
        self, database: Database, widths: dict[Lane, int], claims: Mapping[Lane, Claim], run: Run,
        make_control: Callable[[Step], StepControl], admit: Callable[[Tx], None], on_end: Callable[[str], None],
    ):
        self.running = Running()
        self._database = database
        self._claims = claims
        self._run = run
        self._make_control = make_control
        self._admit = admit
        self._on_end = on_end
        self._bells = {lane: Bell() for lane in widths}
        self._finisher = Finisher("finisher")
        self._stopping = threading.Event()
        self._paused = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"lane-{lane}-{number}", daemon=True)
            for lane, width in widths.items() for number in range(width)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def ring(self, lanes: Iterable[Lane]) -> None:
        for lane in lanes:
            if (bell := self._bells.get(lane)) is not None:
                bell.ring()

    def pause(self, paused: bool) -> None:
        """While paused, no lane claims; what runs goes on."""
        self._paused.set() if paused else self._paused.clear()
        self.ring(self._bells)

    def stop_claiming(self) -> None:
        self._stopping.set()
        self.ring(self._bells)

    def join(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def run_inside(self, lane: Lane, claim: Claim) -> bool:
        """Attend to the step that *claim* finds, on the lane's own thread, inside of the step that it runs. Whether
        there was one.
        """
        if (control := self._claimed(lane, claim)) is None:
            return False
        self._attend(control)
        return True

    def _work(self, lane: Lane) -> None:
        bell = self._bells[lane]
        claim = self._claims.get(lane, lambda may: self._next(lane, may))
        while not self._stopping.is_set():
            seen = bell.count()
            if (control := self._claimed(lane, claim)) is None:
                bell.wait(seen, LOOK_S)
            else:
                self._attend(control)

    def _may_claim(self) -> bool:
        return not (self._paused.is_set() or self._stopping.is_set())

    def _next(self, lane: Lane, may: May) -> Step | None:
        """The first that is ready."""
        return self._database.write(lambda tx: steps.claim(tx, lane) if may() else None) if may() else None

    def _claimed(self, lane: Lane, claim: Claim) -> StepControl | None:
        try:
            step = claim(self._may_claim)
        except DiskLow as e:
            log.warning("lane %s cannot claim: %s", lane, e.detail)
            return None
        except Exception:
            log.exception("lane %s cannot claim", lane)
            return None
        if step is None:
            return None
        control = self._make_control(step)
        self.running.add(control)
        return control

    def _attend(self, control: StepControl) -> None:
        """Run the step to its end; where the rest of it needs the lane no longer, on another thread."""
        step, began = control.step_row, time.monotonic()
        log.info("%s started, attempt %d", step.kind, step.attempts, extra=_about(step))
        done = self._outcome(step, lambda: self._begun(step, control))
        if isinstance(done, Later):
            self._finisher.hand_over(lambda: self._end(control, self._outcome(step, done.finish), began))
        else:
            self._end(control, done, began)

    def _begun(self, step: Step, control: StepControl) -> Outcome | Later:
        # A cancel that came between the claim and running.add found no control to signal; the row knows.
        if not self._database.read(lambda conn: steps.wanted(conn, step)):
            control.cancel()
        return self._run(step, control)

    def _end(self, control: StepControl, outcome: Outcome, began: float) -> None:
        step = control.step_row
        try:
            self._settle(step, outcome)
            log.info("%s ended after %.3f s", step.kind, time.monotonic() - began, extra=_about(step))
        finally:
            self.running.remove(control)

    def _outcome(self, step: Step, work: Callable[[], Outcome | Later]) -> Outcome | Later:
        """Do *work*, and turn whatever happens into what to commit."""
        try:
            return work()
        except Cancelled:
            return lambda tx: steps.end(tx, step, StepStatus.CANCELLED)
        except Interrupted as e:
            log.info("%s was interrupted: %s", step.kind, e.detail, extra=_about(step))
            return lambda tx: lifecycle.give_back(tx, step, counted=not self._stopping.is_set())
        except VidgenError as e:
            failure = e if isinstance(e, StepFailed) else StepFailed(e.detail, code=e.code)
            log.warning("%s failed: %s", step.kind, failure.detail, extra=_about(step))
        except Exception:
            error_id = secrets.token_hex(4)
            log.exception("internal error %s", error_id, extra=_about(step))
            failure = StepFailed(f"internal error {error_id}", code="internal_error")
        return lambda tx: lifecycle.fail_attempt(tx, step, failure.detail, failure.code, retryable=failure.retryable)

    def _settle(self, step: Step, outcome: Outcome) -> None:
        """Commit *outcome*. What cannot be written now (a full disk) is tried until it can, or the server stops."""
        about = _about(step)
        while True:
            try:
                ended = self._database.write(lambda tx: self._written(tx, step, outcome))
                break
            except DiskLow as e:
                log.warning("the end of a step cannot be written: %s", e.detail, extra=about)
            except Exception:
                log.exception("the end of a step cannot be written", extra=about)
            if self._stopping.wait(LOOK_S):
                return                      # the row still says running: the next start queues it again
        if ended:
            self.running.cancel(step.job_id)
            self._on_end(step.job_id)

    def _written(self, tx: Tx, step: Step, outcome: Outcome) -> bool:
        """Write *outcome* if the step is still ours; True where the job ended and its other steps must stop."""
        if not steps.owned(tx, step):
            return False
        if steps.job_of(tx.conn, step).cancel_requested:
            self._write_cancelled(tx, step, outcome)
        else:
            outcome(tx)
        self._admit(tx)
        return lifecycle.has_ended(tx.conn, step)

    def _write_cancelled(self, tx: Tx, step: Step, outcome: Outcome) -> None:
        if step.kind in (StepKind.KEYFRAME, StepKind.RENDER):
            outcome(tx)                     # a shot that was finished all the same is a finished shot
        else:
            steps.end(tx, step, StepStatus.CANCELLED)
        if not lifecycle.has_ended(tx.conn, step):
            lifecycle.cancel_if_idle(tx, step.job_id)


def _about(step: Step) -> dict[str, object]:
    """What a line of the log says beside its message."""
    return {"job": step.job_id, "step": step.id}
