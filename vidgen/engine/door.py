"""The door between queued and processing: which jobs are let in, and when.

In order, as long as there are places. Of the jobs that stand close behind the first, one whose model is loaded may go
before it, by the rule by which the GPU lane prefers steps (``schedule.in_line``): otherwise looking ahead would see no
further than the few jobs that have a place. A job of a higher priority than all that are processing gets a place beyond
the others, so that it can interrupt them.
"""

import time
from collections.abc import Callable

from vidgen.engine import lifecycle
from vidgen.engine.order import Passed, Policy, in_line, passed_after
from vidgen.store import jobs
from vidgen.store.writer import Tx
from vidgen.types import JobStatus


class Door:
    """Called inside of transactions only, so by one thread.

    :param places: how many jobs may be processing at once.
    :param costs_no_swap: whether a model can begin without another one leaving the device.
    """

    def __init__(self, places: int, costs_no_swap: Callable[[str], bool], policy: Policy):
        self._places = places
        self._costs_no_swap = costs_no_swap
        self._policy = policy
        self._passed: Passed | None = None

    def admit(self, tx: Tx) -> None:
        """Let in whoever may."""
        while (job_id := self._next(tx)) is not None:
            lifecycle.admit(tx, job_id)

    def _next(self, tx: Tx) -> str | None:
        if jobs.count(tx.conn, JobStatus.PROCESSING) >= self._places:
            return jobs.above_all_processing(tx.conn)
        queued = jobs.first_queued(tx.conn, self._policy.look_ahead)
        if len(queued) < 2:
            return queued[0].id if queued else None
        now = time.monotonic()
        chosen = in_line(queued, lambda each: self._costs_no_swap(each.first_model_id), now, self._policy, self._passed)
        self._passed = passed_after(self._passed, queued, chosen.id, now)
        return chosen.id
