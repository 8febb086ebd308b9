"""The GPU lane: which step it claims next and how, what stays loaded, and what happens when memory runs out.

``schedule`` decides, ``vram`` measures, ``footprints`` knows the needs; here it is carried out. Only the lane's thread
claims, loads, renders and unloads; what others ask for (a view, a release) is left for it or read from snapshots.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vidgen.engine.control import Watched
from vidgen.engine.device import Device, Work
from vidgen.engine.footprints import Footprints, changed
from vidgen.engine.lanes import May
from vidgen.engine.order import Passed, Policy, passed_after
from vidgen.engine.schedule import Claim, Evict, Option, Refuse, decide, fits_inside, no_longer_used
from vidgen.engine.vram import Reading, ReleaseView
from vidgen.engine.waits import Waits
from vidgen.errors import Interrupted, OutOfVram, StepFailed
from vidgen.inference.lane import Finishing, Inference, LaneControl
from vidgen.registry import Model, Registry
from vidgen.store import steps
from vidgen.store.database import Database
from vidgen.store.steps import Ready
from vidgen.store.writer import Tx
from vidgen.types import Clip, Lane, RenderSpec, Step, Still

log = logging.getLogger(__name__)

RELEASE_WAIT_S = 10.0
"""How long a release waits for the lane before it answers that the lane is busy."""


class GpuLane:
    """See the module.

    :param keep_alive_s: after which a model that nobody uses is let go.
    """

    def __init__(
        self, database: Database, registry: Registry, inference: Inference, device: Device, footprints: Footprints,
        policy: Policy, keep_alive_s: float,
    ):
        self._database = database
        self._inference = inference
        self._device = device
        self._footprints = footprints
        self._policy = policy
        self._keep_alive_s = keep_alive_s
        self._chosen: dict[int, Option | str] = {}          # for the step claimed last: how it is rendered, or why not
        self._running: list[tuple[Step, Option]] = []       # the outer one, and what runs inside of it
        self._finishing: set[int] = set()                   # steps whose file is being written
        self._waits = Waits(database, registry, footprints)
        self._passed: Passed | None = None
        self._used_at = time.time()
        self._release = threading.Event()
        self._released = threading.Event()

    # claiming; on the lane's thread

    def claim(self, may: May) -> Step | None:
        """The next step, once there is room for it. Lets models go whose time is over."""
        ready = self._database.read(self._ready)
        self._tidy({each.step.model_id for each in ready})
        if self._release.is_set():
            return None                     # once the last file is written
        if not may():
            self._waits.forget_short()      # who waits while nothing is claimed does not wait for memory
        evicted: set[str] = set()
        while may() and ready:
            queue, now = [self._waits.of(each) for each in ready], time.monotonic()
            decision = decide(queue, self._device.residents(), self._device.room(), now, self._policy, self._passed)
            self._waits.note_short(queue, decision, now)
            match decision:
                case Claim(step_id, option, short):
                    self._passed = passed_after(self._passed, queue, step_id, now, short)
                    if (step := self._claim(may, step_id, option)) is not None:
                        return step
                case Refuse(step_id, reason):
                    if (step := self._claim(may, step_id, reason)) is not None:
                        return step
                case Evict(model_id) if model_id not in evicted:
                    log.info("%s leaves the device for another model", model_id)
                    evicted.add(model_id)
                    self._inference.unload(model_id, keep=True)
                case _:
                    return None
            ready = self._database.read(self._ready)
        return None

    def claim_inside(self, may: May) -> Step | None:
        """A more urgent step than the one that runs, if both fit at once; None inside of one that is urgent itself."""
        if len(self._running) != 1 or not may():
            return None
        outer, outer_option = self._running[0]
        ready = self._database.read(lambda conn: steps.more_urgent(conn, outer, time.time()))
        if ready is None:
            return None
        inner = self._waits.of(ready)
        option = fits_inside(outer_option, inner, self._device.residents(), self._device.room())
        return None if option is None else self._claim(may, inner.step_id, option)

    # rendering; on the lane's thread

    def render(
        self, model: Model, spec: RenderSpec, step: Step, control: LaneControl, between: Callable[[], None]
    ) -> Callable[[], Clip | Still]:
        """Render *spec* as it was decided when its step was claimed; where the memory does not suffice, in the next
        mode down. What it returns waits for the file, on any thread.

        :param between: called after each denoising step; may run something more urgent before it returns.
        :raises OutOfVram: the memory suffices in no mode.
        :raises StepFailed: it was decided not to render it.
        :raises VidgenError: as ``Inference.render``.
        """
        if isinstance(chosen := self._chosen.pop(step.id, None), str):
            raise StepFailed(chosen, retryable=False, code="does_not_fit")
        self._device.uses(Work(model, spec))
        ran_out: list[str] = []
        for option in self._from(chosen, model, spec):
            if ran_out and not self._device.has_room_for(option):
                continue
            self._running.append((step, option))
            try:
                finishing = self._begin(model, changed(spec, option), option, Watched(control, between))
                self._finishing.add(step.id)
                return lambda: self._finished(step, finishing, control, option, ran_out)
            except OutOfVram as e:
                self._make_room(model, changed(spec, option), option)
                if len(self._running) > 1:      # a lower mode might take what the outer one still needs
                    raise Interrupted("it ran out of memory inside of another render, and goes next") from e
                ran_out.append(f"{option.mode}: {e.detail}")
                control.note("out_of_memory", f"{model.card.title} ran out of memory ({option.mode}); one mode lower")
                log.warning("%s ran out of memory in the mode %s", model.id, option.mode)
            finally:
                self._running.pop()
                self._used_at = time.time()
        raise OutOfVram("it needs more memory than there is now, in every way in which it can be rendered")

    def _begin(self, model: Model, spec: RenderSpec, option: Option, control: LaneControl) -> Finishing:
        self._inference.load(model.card, option.mode, control)
        finishing = self._inference.render(model.card, spec, control)
        if (at := self._inference.residents.get(model.id)) is not None and at.mode != option.mode:
            self._did_not_suffice(model, spec, option.mode)     # it ran out, and went on in another mode by itself
        return finishing

    def _finished(
        self, step: Step, finishing: Finishing, control: LaneControl, option: Option, ran_out: list[str]
    ) -> Clip | Still:
        try:
            return _told(finishing.wait(control), option, ran_out)
        finally:
            self._finishing.discard(step.id)

    def prepare(self, model: Model, spec: RenderSpec) -> None:
        """*spec* will probably be rendered next."""
        self._inference.prepare(model.card, spec)

    def next_after(self, step: Step) -> Step | None:
        """The step that will probably be claimed after *step*."""
        ready = self._database.read(self._ready)
        return next((each.step for each in ready if each.step.id != step.id), None)

    def learn(self, tx: Tx, model: Model, spec: RenderSpec, result: Clip | Still) -> None:
        """Keep what a render took of the memory. A figure that cannot be kept costs no step."""
        try:
            self._learn(tx, model, spec, result)
        except sa.exc.SQLAlchemyError:
            raise
        except Exception:
            log.exception("the memory that %s took cannot be kept", model.id)

    def _learn(self, tx: Tx, model: Model, spec: RenderSpec, result: Clip | Still) -> None:
        peak, mode = result.measured.get("peak_vram_bytes"), result.made.get("mode")
        if peak and mode and "ran_out" not in result.made and "interrupted_seconds" not in result.measured:
            as_made = replace(spec, parameters={**spec.parameters, **result.made.get("parameters", {})})
            self._footprints.learn(tx, model, as_made, mode, int(peak))

    # from other threads

    def release(self, ring: Callable[[], None]) -> ReleaseView:
        """Have the lane give everything back that it holds, now or when the step that runs has ended.

        :param ring: wakes the lane.
        """
        before, models = self._device.reading(), list(self._inference.residents)
        self._released.clear()
        self._release.set()
        ring()
        waits_for = self._release_waits_for()
        freed = None if waits_for else _freed(before, self._device.reading())
        return ReleaseView(freed, models, waits_for)

    def _release_waits_for(self) -> str | None:
        if self._running or not self._released.wait(RELEASE_WAIT_S):
            rendered = [f"job {step.job_id}, which is being rendered" for step, _ in self._running[:1]]
            return rendered[0] if rendered else "what is being finished"
        return None

    # inside

    def _ready(self, conn: Any) -> list[Ready]:
        return steps.ready(conn, Lane.GPU, time.time(), self._policy.look_ahead)

    def _claim(self, may: May, step_id: int, chosen: Option | str) -> Step | None:
        step = self._database.write(lambda tx: steps.claim_one(tx, step_id) if may() else None)
        if step is not None:
            self._chosen = {step.id: chosen}
        return step

    def _from(self, chosen: Option | None, model: Model, spec: RenderSpec) -> tuple[Option, ...]:
        """The options from *chosen* on."""
        options = self._footprints.options(model, spec)
        names = [(option.mode, option.changes) for option in options]
        place = names.index((chosen.mode, chosen.changes)) if chosen else 0
        return options[place:]

    def _make_room(self, model: Model, spec: RenderSpec, option: Option) -> None:
        """Remember how much did not suffice, and make room for the next try; not beside a render that goes on."""
        self._did_not_suffice(model, spec, option.mode)
        if len(self._running) == 1:
            for each in self._device.residents():
                if not each.busy:
                    self._inference.unload(each.model_id, keep=True)

    def _did_not_suffice(self, model: Model, spec: RenderSpec, mode: str) -> None:
        """What the model has for itself now was too little for this mode."""
        if (there := self._device.there_for(model.id)) is not None:
            self._database.write(lambda tx: self._footprints.ran_out(tx, model, spec, mode, there))

    def _tidy(self, needed: set[str | None]) -> None:
        """Between steps: what was asked for, and what is over. The process is needed until its files are written."""
        now, residents = time.time(), self._device.residents()
        over = no_longer_used(residents, needed, now, self._keep_alive_s)
        all_over = len(over) == len(residents) and now - self._used_at > self._keep_alive_s
        if not self._finishing and (self._release.is_set() or all_over):
            self._let_everything_go()
            return
        for model_id in over:
            log.info("%s was not used for %g s and is let go", model_id, self._keep_alive_s)
            self._inference.unload(model_id, keep=False)

    def _let_everything_go(self) -> None:
        """Only the end of the process gives back what CUDA itself holds."""
        if self._inference.pid is not None:
            log.info("the device is given back")
            self._inference.end()
        self._release.clear()
        self._released.set()


def _told(result: Clip | Still, option: Option, ran_out: list[str]) -> Clip | Still:
    """*result*, saying also what happened before the try that made it."""
    if not (ran_out or option.changes):
        return result
    made: Mapping[str, Any] = {**result.made}
    made |= {"parameters": {**option.changes, **made.get("parameters", {})}} if option.changes else {}
    made |= {"ran_out": [*ran_out, *made.get("ran_out", [])]} if ran_out else {}
    return replace(result, made=made)


def _freed(before: Reading, after: Reading) -> int | None:
    if before.free_bytes is None or after.free_bytes is None:
        return None
    return max(0, after.free_bytes - before.free_bytes)
