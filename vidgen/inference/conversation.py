"""What is said about one command, from telling it to its answer; on whatever thread waits for that.

Knows when a child has to be ended: where it does not give way in time, or gives no sign of life.
"""

import logging
import queue
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from vidgen.backend import Control, Preview
from vidgen.errors import Cancelled, InferenceDied, Interrupted, OutOfVram, Overdue, StepFailed, VidgenError
from vidgen.inference.messages import (
    Alive,
    Answer,
    Begun,
    Cancel,
    Command,
    Died,
    Failed,
    GaveWay,
    Kept,
    Noted,
    OutOfMemory,
    Previewed,
    Progress,
    Ready,
    Rendered,
    Run,
    Waits,
)
from vidgen.inference.process import Child

LOOK_S = 0.05
"""The longest that a cancel waits while the child says nothing."""

INTERRUPT_GRACE_S = 2.0
"""How long the child has to give way when the server goes down: its step runs again in any case."""

log = logging.getLogger(__name__)


class LaneControl(Control, Protocol):
    """A control at this end of the line, where previews arrive on their own."""

    def show(self, preview: Preview) -> None:
        """Show *preview*, unless one was shown less than a second ago."""


Rest = Callable[[bool], None]
"""What is due while something else is listened to; told whether that waits to begin, or for a file to be written."""


class Conversation:
    """One command, told to *child* when this is made.

    :param cancel_grace_s: how long the command may go on after it was cancelled, before the child is killed.
    :param urgent: whether it goes inside of the render that runs.
    """

    def __init__(self, child: Child, command: Command, cancel_grace_s: float, *, urgent: bool = False):
        self._child = child
        self._ticket = command.ticket
        self._cancel_grace_s = cancel_grace_s
        self._waits = True
        self._cancelled: Cancelled | None = None            # heard while something else was listened to
        self._cancelled_at: float | None = None
        self._mailbox = child.open(command.ticket)
        child.tell(Run(command) if urgent else command)

    def answer(self, control: LaneControl, asleep: Sequence[Rest] = ()) -> Answer:
        """Pass what the child says on to *control*, until it answers.

        :param asleep: of the renders that this runs inside of.
        :raises Stopped: as *control* raised it; the child has given way, or is gone.
        :raises Interrupted: the child died, or had to be ended, on account of another command.
        :raises Overdue: the child gave no sign of life for too long; it is gone.
        :raises InferenceDied: with how it died.
        :raises OutOfVram: the device's memory did not suffice.
        :raises StepFailed: as the backend raised it.
        """
        return self._judged(self._heard(Answer, control, asleep))

    def frames(self, control: LaneControl, asleep: Sequence[Rest] = ()) -> None:
        """As :meth:`answer`, but only until a render's frames are made; the answer comes later."""
        self._judged(self._heard(Answer | Rendered, control, asleep))

    def rest(self, control: LaneControl, awaited: bool) -> None:
        """Something else is listened to: silence is not held against this command, and a cancel is passed on.

        :param awaited: that waits, perhaps for this: where this was cancelled and does not give way in time, the child
            is ended.
        """
        try:
            control.alive()
        except Cancelled as e:
            self._cancel_asleep(e, awaited)
        except VidgenError as e:
            log.debug("heard when it is listened to again: %s", e.detail)

    def _cancel_asleep(self, cancelled: Cancelled, awaited: bool) -> None:
        if self._cancelled_at is None:
            self._cancelled, self._cancelled_at = cancelled, time.monotonic()
            self._child.tell(Cancel(self._ticket))
        elif awaited and time.monotonic() - self._cancelled_at > self._cancel_grace_s:
            self._end_child()

    def _heard(self, awaited: object, control: LaneControl, asleep: Sequence[Rest]) -> object:
        try:
            return self._listen(awaited, control, asleep)
        except Overdue as e:
            if self._child.end(f"was ended, because {e.detail}", self._ticket):
                raise
            raise _bystander("gave no sign of life") from None
        except BaseException as e:              # asked to stop, or a fault of ours: the child still does the command
            self._make_give_way(self._cancel_grace_s if isinstance(e, Cancelled) else INTERRUPT_GRACE_S)
            raise

    def _listen(self, awaited: object, control: LaneControl, asleep: Sequence[Rest]) -> object:
        while True:
            message = self._hear(LOOK_S)
            for each in asleep:
                each(self._waits)
            if message is None:
                control.check()
            elif isinstance(message, awaited | Died):
                return message
            else:
                self._waits = isinstance(message, Waits) or (self._waits and not isinstance(message, Begun))
                _pass_on(message, control)

    def _hear(self, timeout_s: float) -> object | None:
        """The next thing that is said; None where nothing is for *timeout_s*."""
        try:
            return self._mailbox.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _make_give_way(self, grace_s: float) -> None:
        """Tell the child to end the command; where it does not within *grace_s*, end the child."""
        self._child.tell(Cancel(self._ticket))
        deadline = time.monotonic() + grace_s
        while (left := deadline - time.monotonic()) > 0:
            if isinstance(self._hear(left), Answer | Died):
                return
        self._end_child()

    def _end_child(self) -> None:
        log.warning("the inference process did not give way and is ended")
        self._child.end("was ended, because it did not give way", self._ticket)

    def _judged(self, message: object) -> Answer:
        match message:
            case GaveWay() | Died() if self._cancelled is not None:
                raise self._cancelled
            case Died(reason, charged):
                raise InferenceDied(f"the process that renders it {reason}") if charged == self._ticket else \
                    _bystander(reason)
            case OutOfMemory(_, detail):
                raise OutOfVram(detail)
            case GaveWay():
                raise StepFailed("it gave way, and nobody had asked it to")
            case Failed(_, detail, code, retryable, fatal):
                if fatal:
                    self._child.end(detail, self._ticket)
                raise StepFailed(detail, code=code, retryable=retryable)
        return message


def _bystander(reason: str) -> Interrupted:
    return Interrupted(f"the process that rendered it {reason}, on account of something else; it is rendered again")


def _pass_on(sign: object, control: LaneControl) -> None:
    match sign:
        case Progress(_, phase, i, n):
            control.step(phase, i, n)
        case Previewed(_, image):
            control.show(image)
        case Noted(_, code, message):
            control.note(code, message)
        case Kept(_, facts):
            control.keep(facts)
        case Ready() | Begun() | Alive() | Waits() | Rendered():
            control.alive()
