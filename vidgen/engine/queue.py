"""The queue: what runs and what waits, and whether anything new is started. Pausing outlives a restart."""

from dataclasses import dataclass

from vidgen.engine.door import Door
from vidgen.store import jobs, state
from vidgen.store.database import Database
from vidgen.store.jobs import TimedJob
from vidgen.store.writer import Tx
from vidgen.types import JobStatus

QUEUE_VIEW_JOBS = 1_000
"""The most queued jobs that the view lists."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """What runs and what waits, in the order in which it will be taken."""

    paused: bool
    jobs: list[TimedJob]
    queued: int
    processing: int


class Queue:
    """:param door: lets queued jobs in."""

    def __init__(self, database: Database, door: Door):
        self.paused: bool = database.read(lambda conn: state.get(conn, "paused", False))
        self._database = database
        self._door = door

    def admit(self, tx: Tx) -> None:
        """Let jobs in while there is room, unless the queue is paused."""
        if not self.paused:
            self._door.admit(tx)

    def pause(self, paused: bool) -> None:
        """Start nothing new, or go on. What cannot be written down changes nothing."""
        before, self.paused = self.paused, paused

        def work(tx: Tx) -> None:
            state.put(tx, "paused", paused)
            self.admit(tx)

        try:
            self._database.write(work)
        except BaseException:
            self.paused = before
            raise

    def view(self) -> QueueView:
        listed, queued = self._database.read(
            lambda conn: (jobs.in_order(conn, QUEUE_VIEW_JOBS), jobs.count(conn, JobStatus.QUEUED))
        )
        processing = sum(job.status is JobStatus.PROCESSING for job in listed)
        return QueueView(self.paused, listed, queued, processing)
