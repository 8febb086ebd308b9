"""What the GPU lane's thread, and no other, does with its child: models loaded beside each other, a render at a time,
and inside of that perhaps one that is more urgent.

A child that dies, or says nothing for too long, costs one step its attempt; the others that it worked for are
interrupted, and the next command gets a new child. Knows nothing of torch, and of backends only that the child can make
them.
"""

import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from vidgen.backend import BackendConfig, Held, Preview, no_problem
from vidgen.cards import Card
from vidgen.errors import Interrupted, Overdue, StepFailed
from vidgen.inference.conversation import Conversation, LaneControl, Rest
from vidgen.inference.messages import Command, Load, Prepare, Render, Unload
from vidgen.inference.process import Child
from vidgen.types import Clip, RenderSpec, Still

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One model that the child has loaded."""

    card: Card
    mode: str                               # as it is now; running out of memory may have changed it
    used_at: float                          # seconds since the epoch, UTC
    busy: bool                              # a render with it is going on


class Finishing:
    """One render whose frames are made, and whose file is being written."""

    def __init__(self, conversation: Conversation):
        self._conversation = conversation

    def wait(self, control: LaneControl) -> Clip | Still:
        """The result, once its file is whole. On any thread; raises as :meth:`Inference.render`."""
        return self._conversation.answer(control).result


class Inference:
    """The GPU lane's child. Costs nothing until something is loaded. Only the lane's thread calls what is not marked.

    What is called while a control passes on that a denoising step is done goes inside of that render.

    :param cancel_grace_s: how long a command that was cancelled may go on before the child is killed.
    :param unload_s: how long the child may say nothing while a model is unloaded, before it is killed.
    """

    def __init__(
        self, config: BackendConfig, cancel_grace_s: float, log_level: str = "info", log_format: str = "text",
        *, unload_s: float = 30.0,
    ):
        self._config = replace(config, tokens={}, base_urls={}, device_problem=no_problem)
        self._cancel_grace_s = cancel_grace_s
        self._logging = log_level, log_format
        self._unload_s = unload_s
        self._tickets = itertools.count(1)
        self._child: Child | None = None
        self._cards: dict[str, Card] = {}
        self._used_at: dict[str, float] = {}
        self._rendering: list[str] = []     # card ids; the second runs inside of the first
        self._listening: list[Rest] = []

    # any thread

    @property
    def pid(self) -> int | None:
        """Of the child; None where there is none."""
        return None if (child := self._living) is None else child.pid

    @property
    def held(self) -> Held:
        """What the child holds, as it last said: when it was done with a command, or with a denoising step."""
        return Held() if (child := self._living) is None else child.held

    @property
    def residents(self) -> Mapping[str, Loaded]:
        """The models that are loaded, by card id."""
        return {
            card_id: Loaded(self._cards[card_id], mode, self._used_at[card_id], card_id in self._rendering)
            for card_id, mode in (self.held.models or {}).items() if card_id in self._used_at
        }

    def close(self) -> None:
        """End the child. Called when no lane works any more, or to end the wait for one that does."""
        if (child := self._child) is not None:
            child.stop()

    # the lane's thread

    def load(self, card: Card, mode: str, control: LaneControl) -> None:
        """Have the model of *card* loaded in this *mode*, beside those that are; nothing to do where it is.

        :raises Stopped: as *control* raised it; the child has given way, or is gone.
        :raises Interrupted: the child died, or had to be ended, on account of another step.
        :raises Overdue: the child gave no sign of life for too long; it is gone.
        :raises InferenceDied: with how it died.
        :raises OutOfVram: the device's memory did not suffice.
        :raises StepFailed: as the backend raised it.
        """
        if (at := self.residents.get(card.id)) is not None and at.mode == mode:
            return
        began = time.monotonic()
        control.step("load", 0, 1)
        self._uses(card)
        self._do(Load(next(self._tickets), card, mode), control)
        log.info("%s loaded (%s) after %.1f s", card.id, mode, time.monotonic() - began)

    def unload(self, card_id: str, *, keep: bool) -> None:
        """Take a model off the device, for certain: where the child cannot do it, the child is ended.

        :param keep: whether its weights may stay in RAM.
        """
        if (at := self.residents.get(card_id)) is None:
            return
        try:
            self._do(Unload(next(self._tickets), at.card, keep), Unattended(self._unload_s))
        except (StepFailed, Interrupted) as e:
            log.warning("%s could not be unloaded: %s", card_id, e.detail)
            if (child := self._living) is not None:
                child.end("was ended, because a model could not be unloaded")

    def render(self, card: Card, spec: RenderSpec, control: LaneControl) -> Finishing:
        """Render *spec* with the model of *card*, which is loaded. Returns when the frames are made.

        Raises as :meth:`load`.
        """
        if self._living is None:
            raise Interrupted("the process that should render it died while it did nothing")
        self._uses(card)
        self._rendering.append(card.id)
        try:
            conversation = self._told(Render(next(self._tickets), card, spec, control.kept))
            self._listen(conversation, conversation.frames, control)
            return Finishing(conversation)
        finally:
            self._rendering.pop()
            self._uses(card)

    def prepare(self, card: Card, spec: RenderSpec) -> None:
        """Tell the child, where there is one, that this will probably be rendered next."""
        if (child := self._living) is not None:
            child.tell(Prepare(card, spec))

    def end(self) -> None:
        """Let everything go for certain: end the child. Nothing may be under way."""
        self.close()

    # inside

    @property
    def _living(self) -> Child | None:
        child = self._child
        return None if child is None or child.gone else child

    def _uses(self, card: Card) -> None:
        self._cards[card.id] = card
        self._used_at[card.id] = time.time()

    def _do(self, command: Command, control: LaneControl) -> None:
        conversation = self._told(command)
        self._listen(conversation, conversation.answer, control)

    def _told(self, command: Command) -> Conversation:
        """Tell the child *command*; a new child where there is none."""
        if (child := self._living) is None:
            child = self._child = Child(self._config, *self._logging)
        return Conversation(child, command, self._cancel_grace_s, urgent=bool(self._listening))

    def _listen(
        self, conversation: Conversation, hear: Callable[[LaneControl, Sequence[Rest]], object], control: LaneControl
    ) -> None:
        asleep = tuple(self._listening)
        self._listening.append(partial(conversation.rest, control))
        try:
            hear(control, asleep)
        finally:
            self._listening.pop()


class Unattended:
    """A control that nobody stands behind: only silence of *deadline_s* ends what it belongs to."""

    def __init__(self, deadline_s: float):
        self.kept: Mapping[str, Any] = {}
        self._deadline_s = deadline_s
        self._alive_at = time.monotonic()

    def check(self) -> None:
        if time.monotonic() - self._alive_at > self._deadline_s:
            raise Overdue(f"it said nothing for {self._deadline_s:g} s")

    def alive(self) -> None:
        self._alive_at = time.monotonic()

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self.alive()

    def note(self, code: str, message: str) -> None:
        log.info("%s: %s", code, message)

    def keep(self, facts: Mapping[str, Any]) -> None:
        """There is no later attempt."""

    def show(self, preview: Preview) -> None:
        """There is nobody to see it."""
