"""What jobs that were cancelled left: predictions that run on at a hosted service, and parts of a video that was being
joined.

A step that runs hears the cancel itself; this is for steps between two attempts, for those that a dead server left, and
for files that were published a moment before.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from vidgen.engine.steps import FINAL, FINAL_SHEET, POSTER
from vidgen.media.files import Workspace
from vidgen.registry import Registry
from vidgen.store import jobs, steps
from vidgen.store.database import Database
from vidgen.types import JobStatus

log = logging.getLogger(__name__)


class Leftovers:
    def __init__(self, database: Database, registry: Registry, workspace: Workspace):
        self._database = database
        self._registry = registry
        self._workspace = workspace

    def end(self, job_ids: Iterable[str]) -> None:
        """End what the cancelled steps of these jobs left behind. Does not wait."""
        job_ids = list(job_ids)
        for job_id in job_ids:
            self._remove_video(job_id)
        for model_id, kept in self._database.read(lambda conn: steps.left_behind(conn, job_ids)):
            threading.Thread(target=self._end, args=(model_id, kept), name="leftovers", daemon=True).start()

    def _remove_video(self, job_id: str) -> None:
        job = self._database.read(lambda conn: jobs.get(conn, job_id))
        if job is not None and job.status is JobStatus.CANCELLED:
            for name in (FINAL, FINAL_SHEET, POSTER):
                (self._workspace.job_dir(job_id) / name).unlink(missing_ok=True)

    def _end(self, model_id: str, kept: Mapping[str, Any]) -> None:
        try:
            model = self._registry.runnable(model_id)
            model.backend.abandon(model.card, kept)
        except Exception as e:
            log.warning("what a cancelled step of %s left behind may still run: %s", model_id, type(e).__name__)
