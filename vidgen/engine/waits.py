"""The steps that are ready, as the schedule sees them: how each could be rendered, since when it is short of memory."""

import logging
from collections import OrderedDict
from functools import partial

from vidgen.backend import WHOLE
from vidgen.engine import lifecycle
from vidgen.engine.device import Work, work_of
from vidgen.engine.footprints import Footprints
from vidgen.engine.schedule import Decision, Option, Refuse, Waiting, short_after
from vidgen.errors import NotFound
from vidgen.registry import Registry
from vidgen.store import jobs
from vidgen.store.database import Database
from vidgen.store.steps import Ready
from vidgen.types import Step

log = logging.getLogger(__name__)

WORKS_KEPT = 512
"""Steps whose work is remembered between two looks at the queue."""

WAITS_FOR_MEMORY = "There is too little free memory on the device; waiting until others give some back"


class Waits:
    """Of the GPU lane, and of its thread."""

    def __init__(self, database: Database, registry: Registry, footprints: Footprints):
        self._database = database
        self._registry = registry
        self._footprints = footprints
        self._works: OrderedDict[int, Work] = OrderedDict()
        self._short_since: dict[int, float] = {}

    def of(self, ready: Ready) -> Waiting:
        """What the schedule must know of the step."""
        step = ready.step
        try:
            work = self._work(step)
            options = self._footprints.options(work.model, work.spec)
        except Exception as e:                  # its model is gone, or broken: whoever runs the step says so
            log.log(logging.DEBUG if isinstance(e, NotFound) else logging.ERROR, "%s: %s", step.model_id, e)
            options = (Option(WHOLE, 0, 0),)
        return Waiting(
            step.id, step.model_id or "", ready.priority, ready.rank, options, self._short_since.get(step.id)
        )

    def forget_short(self) -> None:
        """Nobody waits for memory now."""
        self._short_since = {}

    def note_short(self, queue: list[Waiting], decision: Decision, now: float) -> None:
        """Remember since when steps wait for memory, and tell the jobs of those that begin to."""
        if isinstance(decision, Refuse):
            return
        since = short_after(queue, decision, now)
        for step_id in since.keys() - self._short_since.keys():
            job_id = self._works[step_id].spec.job_id
            self._database.post(
                partial(lifecycle.note, job_id=job_id, code="waits_for_memory", message=WAITS_FOR_MEMORY)
            )
        self._short_since = since

    def _work(self, step: Step) -> Work:
        if (work := self._works.get(step.id)) is None:
            job = self._database.read(lambda conn: jobs.get(conn, step.job_id))
            work = self._works[step.id] = work_of(job, step, self._registry.model(step.model_id))
            if len(self._works) > WORKS_KEPT:
                self._works.popitem(last=False)
        self._works.move_to_end(step.id)
        return work
