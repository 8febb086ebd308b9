"""What the GPU lane's thread, and no other, does with its child: one model resident, one command at a time.

A child that dies, or says nothing for too long, costs the step that ran its attempt; the next one gets a new child.
Knows nothing of torch, and of backends only that the child can make them.
"""

import itertools
import logging
import time
from dataclasses import replace
from typing import Protocol

from vidgen.backend import WHOLE, BackendConfig, Control, Preview
from vidgen.cards import Card
from vidgen.errors import Cancelled, InferenceDied, OutOfVram, StepFailed, Stopped
from vidgen.inference.messages import (
    Alive,
    Answer,
    Cancel,
    Command,
    Died,
    Failed,
    GaveWay,
    Kept,
    Load,
    Noted,
    OutOfMemory,
    Previewed,
    Progress,
    Ready,
    Render,
    Unload,
)
from vidgen.inference.process import Child
from vidgen.types import Clip, RenderSpec, Still

LOOK_S = 0.05
"""The longest that a cancel waits while the child says nothing."""

INTERRUPT_GRACE_S = 2.0
"""How long the child has to give way when the server goes down: its step runs again in any case."""

log = logging.getLogger(__name__)


class LaneControl(Control, Protocol):
    """A control at this end of the line, where previews arrive on their own."""

    def show(self, preview: Preview) -> None:
        """Show *preview*, unless one was shown less than a second ago."""


class Inference:
    """The GPU lane's child and the model that it holds. Costs nothing until something is rendered.

    :param cancel_grace_s: how long a command that was cancelled may go on before the child is killed.
    """

    def __init__(self, config: BackendConfig, cancel_grace_s: float, log_level: str = "info", log_format: str = "text"):
        self._config = replace(config, tokens={}, base_urls={})
        self._cancel_grace_s = cancel_grace_s
        self._logging = log_level, log_format
        self._tickets = itertools.count(1)
        self._child: Child | None = None
        self._resident: Card | None = None

    def render(self, card: Card, spec: RenderSpec, control: LaneControl) -> Clip | Still:
        """Render *spec* with the model of *card*, loading it first where another is resident.

        :raises Stopped: as *control* raised it; the child has given way, or is gone.
        :raises Overdue: the child gave no sign of life for too long; it is gone.
        :raises InferenceDied: with how it died.
        :raises OutOfVram: the GPU's memory did not suffice.
        :raises StepFailed: as the backend raised it.
        """
        self._make_resident(card, control)
        return self._do(Render(next(self._tickets), card, spec, control.kept), control).result

    def close(self) -> None:
        """End the child. Called when no lane works any more, or to end the wait for one that does."""
        if (child := self._child) is not None:
            child.stop()

    def _make_resident(self, card: Card, control: LaneControl) -> None:
        if self._child is None or self._child.gone:
            self._resident = None
            self._child = Child(self._config, *self._logging)
        if self._resident is not None and self._resident != card:
            self._do(Unload(next(self._tickets), self._resident), control)
            self._resident = None
        if self._resident is None:
            began = time.monotonic()
            control.step("load", 0, 1)
            self._do(Load(next(self._tickets), card, WHOLE), control)
            self._resident = card
            log.info("%s loaded after %.1f s", card.id, time.monotonic() - began)

    def _do(self, command: Command, control: LaneControl) -> Answer:
        """Have the child do *command*, and pass on what it says meanwhile."""
        self._child.tell(command)
        try:
            answer = self._answer(command.ticket, control)
        except Stopped as e:
            grace_s = self._cancel_grace_s if isinstance(e, Cancelled) else INTERRUPT_GRACE_S
            self._make_give_way(command.ticket, grace_s)
            raise
        except InferenceDied:
            raise
        except Exception:                       # Overdue, or a fault of ours: the child still does the command
            self._drop()
            raise
        return self._judged(answer)

    def _answer(self, ticket: int, control: LaneControl) -> Answer:
        while True:
            message = self._child.hear(LOOK_S)
            if message is None:
                control.check()
            elif isinstance(message, Died):
                self._drop()
                raise InferenceDied(f"the process that renders it {message.reason}")
            elif isinstance(message, Ready):
                control.alive()
            elif message.ticket == ticket:
                if isinstance(message, Answer):
                    return message
                _pass_on(message, control)

    def _judged(self, answer: Answer) -> Answer:
        if isinstance(answer, OutOfMemory):
            self._resident = None
            raise OutOfVram(answer.detail)
        if isinstance(answer, GaveWay):
            raise StepFailed("it gave way, and nobody had asked it to")
        if isinstance(answer, Failed):
            if answer.fatal:
                self._drop()
            raise StepFailed(answer.detail, code=answer.code, retryable=answer.retryable)
        return answer

    def _make_give_way(self, ticket: int, grace_s: float) -> None:
        """Tell the child to end the command; where it does not within *grace_s*, end the child."""
        self._child.tell(Cancel(ticket))
        deadline = time.monotonic() + grace_s
        while (left := deadline - time.monotonic()) > 0:
            message = self._child.hear(left)
            if isinstance(message, Died):
                break
            if isinstance(message, Answer) and message.ticket == ticket:
                if isinstance(message, OutOfMemory) or isinstance(message, Failed) and message.fatal:
                    break
                return
        log.warning("the inference process did not give way and is ended")
        self._drop()

    def _drop(self) -> None:
        """End the child, whatever it does; the next command gets a new one."""
        self._child.end()
        self._child = self._resident = None


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
        case Alive():
            control.alive()
