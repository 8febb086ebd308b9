"""Previews: small images of what is being made, written off the rendering thread. Losing one costs nothing."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vidgen.backend import Preview
from vidgen.media.files import Workspace, temporary_beside
from vidgen.store import jobs, steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import Step, StepKind

log = logging.getLogger(__name__)


class Previews:
    def __init__(self, database: Database, workspace: Workspace):
        self._database = database
        self._workspace = workspace
        self._pool = ThreadPoolExecutor(1, "previews")

    def show(self, step: Step, preview: Preview) -> None:
        """Make *preview* the preview of the step's shot. Does not wait."""
        if step.kind is StepKind.RENDER and step.shot_index is not None:
            self._pool.submit(self._write, step, preview)

    def close(self) -> None:
        self._pool.shutdown()

    def _write(self, step: Step, preview: Preview) -> None:
        try:
            self._publish(step, preview if isinstance(preview, bytes) else preview())
        except Exception as e:
            log.debug("a preview was lost: %s", e)

    def _publish(self, step: Step, image: bytes) -> None:
        suffix = "webp" if image[8:12] == b"WEBP" else "jpg"
        name = f"{jobs.shot_id(step.shot_index)}_preview.{suffix}"
        final = self._workspace.job_dir(step.job_id) / name
        temporary = temporary_beside(final, step.attempts)
        try:
            temporary.write_bytes(image)        # fails where the job was deleted meanwhile
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)
        self._database.post(lambda tx: self._note(tx, step, final))

    @staticmethod
    def _note(tx: Tx, step: Step, final: Path) -> None:
        """The shot has this preview; where the step ended meanwhile, and there was none before, nobody wants it."""
        if steps.owned(tx, step):
            jobs.update_shot(tx, step.job_id, step.shot_index, preview=final.name)
        elif (job := jobs.get(tx.conn, step.job_id)) is None or not job.storyboard.shots[step.shot_index].preview:
            final.unlink(missing_ok=True)
