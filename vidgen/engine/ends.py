"""How clients end jobs: cancelled, or deleted with all that they made."""

import logging
import time

from vidgen.engine import lifecycle
from vidgen.engine.lanes import Lanes
from vidgen.engine.leftovers import Leftovers
from vidgen.engine.lookup import existing
from vidgen.engine.queue import Queue
from vidgen.errors import Conflict, NotFound
from vidgen.media.files import Workspace
from vidgen.store import jobs, steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import Job

log = logging.getLogger(__name__)

STOP_WAIT_S = 5.0
"""How long steps have to give way once they were told to."""


class Ends:
    """:param grace_s: how long a step may take to hear of a cancel."""

    def __init__(
        self, database: Database, workspace: Workspace, queue: Queue, lanes: Lanes, leftovers: Leftovers, grace_s: float
    ):
        self._database = database
        self._workspace = workspace
        self._queue = queue
        self._lanes = lanes
        self._leftovers = leftovers
        self._grace_s = grace_s

    def cancel(self, job: Job) -> None:
        """What runs is told to stop; the job is ``cancelled`` once it has.

        :raises Conflict: where it has completed or failed.
        :raises NotFound: where it was deleted meanwhile.
        """
        def work(tx: Tx) -> None:
            lifecycle.request_cancel(tx, existing(tx.conn, job.id))
            self._queue.admit(tx)

        self._database.write(work)
        self._lanes.running.cancel(job.id)
        self._leftovers.end([job.id])

    def delete(self, job: Job) -> None:
        """Cancel the job where it has not ended, wait until nothing writes any more, remove it and its files.

        :raises Conflict: where a step does not give way in time; nothing is removed then.
        """
        if not job.status.ended:
            self._cancel_if_open(job)
        if not self._wait_until_still(job.id, self._grace_s + STOP_WAIT_S):
            raise Conflict(f"job {job.id} is still stopping; try again", code="still_stopping")

        def work(tx: Tx) -> None:
            jobs.delete(tx, job.id)
            self._queue.admit(tx)

        self._database.write(work)
        self._workspace.remove_job(job.id)

    def _cancel_if_open(self, job: Job) -> None:
        try:
            self.cancel(job)
        except (Conflict, NotFound):
            log.debug("job %s ended before it could be cancelled", job.id)

    def _wait_until_still(self, job_id: str, timeout_s: float) -> bool:
        """Wait until no lane works on the job."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            claimed = self._database.read(lambda conn: steps.running(conn, job_id))
            if self._lanes.running.wait_until_idle(0.1, job_id) and not claimed:
                return True
        return False
