"""The engine: takes jobs in, and sees to it that each ends. All methods may be called from any thread; they wait for
commits, so the event loop calls them through a worker thread.
"""

import logging
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from vidgen.engine import lifecycle, recipe
from vidgen.engine.ends import STOP_WAIT_S
from vidgen.engine.events import Hub
from vidgen.engine.footprints import Need
from vidgen.engine.lookup import Lookup, existing
from vidgen.engine.queue import QueueView
from vidgen.engine.sheets import CONTACT_SHEET
from vidgen.engine.specs import lay_out, new_storyboard_id
from vidgen.engine.steps import FINAL
from vidgen.engine.vram import GpuView, ReleaseView, Vram
from vidgen.engine.works import Works
from vidgen.errors import Conflict, VidgenError
from vidgen.media.files import Workspace
from vidgen.registry import Model, Registry
from vidgen.request import MAX_SEED, EditRequest, JobRequest, PlanRequest
from vidgen.settings import Settings
from vidgen.store import jobs, steps, uploads
from vidgen.store.database import Database
from vidgen.store.jobs import TimedJob
from vidgen.store.writer import Changes, Tx
from vidgen.types import JobStatus, Lane, Storyboard, Upload

log = logging.getLogger(__name__)


class Engine:
    """Owns the database, the lanes and the workspace.

    :raises StartRefused: from :meth:`start`, where another server holds the workspace or its database is not ours.
    """

    def __init__(self, settings: Settings, registry: Registry, workspace: Workspace, vram: Vram | None = None):
        self.settings = settings
        self.registry = registry
        self.workspace = workspace
        self.hub = Hub()
        self._vram = vram or Vram(settings.gpu_device)
        self._hurry = threading.Event()
        self._pausing = threading.Lock()
        self._ready = False

    # life

    def start(self) -> None:
        """Open the database, put right what a death left behind, and begin to work."""
        self._database = Database(self.workspace.database, self._announce)
        self.hub.attach(self._database)
        self._works = Works(self.settings, self.registry, self.workspace, self._database, self._vram)
        self._recover()
        self._works.lanes.start()
        self._ready = True

    def close(self, grace_s: float) -> None:
        """Stop taking work; let what runs end within *grace_s* seconds, then send it back to the queue."""
        self._ready = False
        self._works.lanes.stop_claiming()
        self._let_end(grace_s)
        self._works.lanes.running.interrupt()
        self._works.lanes.running.wait_until_idle(STOP_WAIT_S)
        self._works.lanes.join(STOP_WAIT_S)
        self._works.inference.close()
        self._works.previews.close()
        self._database.close()

    def hurry(self) -> None:
        """End the grace of :meth:`close` now. Safe to call from a signal handler."""
        self._hurry.set()

    def ready(self) -> bool:
        """Whether jobs can be taken now."""
        return self._ready

    def health(self) -> list[str]:
        """Why the server is degraded; empty where it is healthy."""
        reasons = [] if self._ready else ["the engine is not running"]
        try:
            self.registry.default(None)
        except VidgenError as e:
            reasons.append(e.detail)
        try:
            self.workspace.require_free()
        except VidgenError as e:
            reasons.append(e.detail)
        return reasons

    # jobs

    def submit(
        self, request: JobRequest, idempotency_key: str | None = None, parent_id: str | None = None
    ) -> tuple[TimedJob, bool]:
        """Take a job in; it is durable when this returns.

        :param parent_id: the job that this one is a new version of.
        :returns: the job as it was acknowledged, and True; where *idempotency_key* was seen before, the job that
            came with it, and False.
        :raises Conflict: where the key came with another request.
        :raises InvalidInput, NotFound, ModelUnavailable: as the intake refuses it.
        :raises QueueFull, DiskLow: where no more are taken.
        """
        return self._works.posts.new(request, idempotency_key, parent_id)

    def edit(self, job_id: str, change: EditRequest, idempotency_key: str | None = None) -> tuple[TimedJob, bool]:
        """A new version of a job that has ended, with *change*. Only what changed is rendered. As :meth:`submit`.

        :raises Conflict: also where the job has not ended.
        """
        return self._works.posts.edit(job_id, change, idempotency_key)

    def retry(self, job_id: str, idempotency_key: str | None = None) -> tuple[TimedJob, bool]:
        """A job that failed or was cancelled, once more; what it had finished is kept. As :meth:`submit`.

        :raises Conflict: also where the job is neither.
        """
        return self._works.posts.retry(job_id, idempotency_key)

    def versions(self, job_id: str) -> list[TimedJob]:
        """The job, what it is a version of, and all other versions of that, oldest first."""
        return self._works.lookup.versions(job_id)

    def video_model(self, model_id: str | None, *, from_image: bool = False) -> Model:
        """The model that serves a job which names *model_id*, or none. Raises as :meth:`submit` would.

        :param from_image: whether the job begins with an image.
        """
        return self._works.intake.video_model(model_id, from_image=from_image)

    def dry_run(self, request: JobRequest) -> dict[str, Any]:
        """What *request* would take; nothing is queued. Raises as :meth:`submit` would."""
        return self._works.intake.dry_run(request)

    def plan(self, request: PlanRequest) -> Storyboard:
        """A storyboard, and nothing rendered. It can be sent back with a job as it is."""
        card = self._works.intake.video_model(request.model_id).card
        planned = self._works.planner.plan(request)
        seed = secrets.randbelow(MAX_SEED + 1)
        shots = lay_out(planned.plan, card, int(card.frames.default), float(card.fps.default), seed)
        return Storyboard(new_storyboard_id(), planned.plan.title, tuple(shots))

    def job(self, job_id: str) -> TimedJob:
        """The job as it stands.

        :raises NotFound: where there is none.
        """
        return self._works.outlook.told([self._found(job_id)])[0]

    def jobs(
        self, *, page: int, page_size: int, status: str | None = None, model_id: str | None = None,
        q: str | None = None, newest_first: bool = True,
    ) -> tuple[list[TimedJob], int]:
        """One page of jobs (*page* counts from 1), and how many there are in all."""
        found, total = self._database.read(lambda conn: jobs.page(
            conn, offset=(page - 1) * page_size, limit=page_size, status=status, model_id=model_id, q=q,
            newest_first=newest_first,
        ))
        return self._works.outlook.told(found), total

    @property
    def lookup(self) -> Lookup:
        """Jobs by place and by key."""
        return self._works.lookup

    def cancel(self, job_id: str) -> TimedJob:
        """End the job; what runs is told to stop and the job is ``cancelled`` once it has.

        :raises Conflict: where it has completed or failed.
        """
        self._works.ends.cancel(self._found(job_id))
        return self.job(job_id)

    def delete(self, job_id: str) -> None:
        """Cancel the job where it has not ended, wait until nothing writes any more, remove it and its files.

        :raises Conflict: where a step does not give way in time; nothing is removed then.
        """
        self._works.ends.delete(self._found(job_id))

    def set_priority(self, job_id: str, priority: int) -> TimedJob:
        """Move the job in the queue.

        :raises Conflict: where it has ended.
        """
        age_s = self.settings.age_s
        self._database.write(lambda tx: lifecycle.set_priority(tx, existing(tx.conn, job_id), priority, age_s))
        return self.job(job_id)

    # queue

    def queue(self) -> QueueView:
        """What runs and what waits, in the order in which it will be taken."""
        view = self._works.queue.view()
        return replace(view, jobs=self._works.outlook.told(view.jobs))

    def pause(self) -> None:
        """Start nothing new until :meth:`resume`, over restarts too; what runs goes on."""
        self._pause(True)

    def resume(self) -> None:
        self._pause(False)

    # files

    def video(self, job_id: str) -> Path:
        """The finished video.

        :raises Conflict: where the job has not completed.
        """
        job = self._found(job_id)
        if job.status is not JobStatus.COMPLETED:
            raise Conflict(f"job {job_id} is {job.status}; it has no video to download", code="not_finished")
        return self.workspace.find(job_id, FINAL)

    def file(self, job_id: str, name: str) -> Path:
        """A published file of the job, by the name that its answers use; a contact sheet is drawn where none is."""
        job = self._found(job_id)
        if name == CONTACT_SHEET and job.status is JobStatus.COMPLETED:
            return self._works.sheets.of(job, self.workspace.find(job_id, FINAL))
        return self.workspace.find(job_id, name)

    def recipe(self, job_id: str) -> dict[str, Any]:
        """What determined the video, and what identifies the run."""
        job = self._found(job_id)
        attempts = self._database.read(lambda conn: steps.attempts(conn, job_id))
        return recipe.sheet(self._works.steps.determinants(job), job, attempts, job.ended_at)

    def add_upload(self, filename: str, source: BinaryIO, size_bytes: int) -> Upload:
        """Take a reference image in, as clean RGB under a name of ours.

        :raises InvalidInput: where it is no image, or none that is taken.
        :raises DiskLow: where there is no room.
        """
        return self._works.references.take_in(filename, source, size_bytes)

    def discard_upload(self, upload: Upload) -> None:
        """Forget a reference image that no job came to use."""
        self._works.references.discard(upload)

    # the device

    def gpu(self) -> GpuView:
        """The device that local models run on: its memory, what is loaded there, who else uses it."""
        return self._works.device.view(self._works.queue.paused)

    def needs(self, model: Model) -> Mapping[str, Need]:
        """What a shot at the model's defaults needs of the device's memory, by loading mode."""
        return self._works.fitting.needs(model)

    def release_gpu(self) -> ReleaseView:
        """Give back all that is held on the device; what a running step uses, when it has ended."""
        return self._works.gpu.release(lambda: self._works.lanes.ring([Lane.GPU]))

    # inside

    def _found(self, job_id: str) -> TimedJob:
        return self._works.lookup.job(job_id)

    def _announce(self, changes: Changes) -> None:
        """On the writer's thread, after each commit."""
        self.hub.announce(changes.events)
        self._works.lanes.ring(changes.lanes)

    def _recover(self) -> None:
        self._works.lanes.pause(self._works.queue.paused)
        cancelling = self._database.read(jobs.cancelling)

        def work(tx: Tx) -> int:
            running = lifecycle.recover(tx)
            self._works.queue.admit(tx)
            return running

        if running := self._database.write(work):
            log.warning("%d steps were running when the server ended; they are queued again", running)
        self._works.leftovers.end(cancelling)
        self.workspace.sweep()
        self.workspace.remove_orphans(self._database.read(jobs.ids), self._database.read(uploads.names))

    def _let_end(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and not self._hurry.is_set():
            if self._works.lanes.running.wait_until_idle(0.1):
                return

    def _pause(self, paused: bool) -> None:
        with self._pausing:
            self._works.queue.pause(paused)
            self._works.lanes.pause(paused)
