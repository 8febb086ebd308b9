"""The engine: takes jobs in, and sees to it that each ends. All methods may be called from any thread; they wait for
commits, so the event loop calls them through a worker thread.
"""

import logging
import secrets
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from vidgen.engine import lifecycle, recipe
from vidgen.engine.control import StepControl
from vidgen.engine.device import Device
from vidgen.engine.door import Door
from vidgen.engine.events import Hub
from vidgen.engine.fitting import Fitting
from vidgen.engine.footprints import Footprints
from vidgen.engine.forecast import Forecasts
from vidgen.engine.gpu import GpuLane
from vidgen.engine.intake import Intake
from vidgen.engine.lanes import Lanes
from vidgen.engine.leftovers import Leftovers
from vidgen.engine.order import Policy
from vidgen.engine.outlook import Outlook
from vidgen.engine.planning.planner import Planner
from vidgen.engine.previews import Previews
from vidgen.engine.publish import Publisher
from vidgen.engine.queue import Queue, QueueView
from vidgen.engine.references import References
from vidgen.engine.shots import Shots
from vidgen.engine.specs import lay_out, new_storyboard_id
from vidgen.engine.steps import FINAL, Steps
from vidgen.engine.vram import GpuView, ReleaseView, Vram
from vidgen.errors import Conflict, NotFound, VidgenError
from vidgen.inference.lane import Inference
from vidgen.media.files import Workspace
from vidgen.ram import MIB
from vidgen.registry import Registry, config_of
from vidgen.request import MAX_SEED, JobRequest, PlanRequest
from vidgen.settings import Settings
from vidgen.store import jobs, steps, uploads
from vidgen.store.database import Database
from vidgen.store.jobs import TimedJob
from vidgen.store.writer import Changes, Tx
from vidgen.types import JobStatus, Lane, Step, Storyboard, Upload

log = logging.getLogger(__name__)

STOP_WAIT_S = 5.0
"""How long steps have to give way once they were told to."""


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
        self._widths = _widths(registry, settings.max_concurrent_jobs)
        self._hurry = threading.Event()
        self._ready = False

    # life

    def start(self) -> None:
        """Open the database, put right what a death left behind, and begin to work."""
        self._database = Database(self.workspace.database, self._announce)
        self.hub.attach(self._database)
        self._previews = Previews(self._database, self.workspace)
        self._planner = Planner(self.settings)
        self._references = References(self._database, self.workspace)
        self._leftovers = Leftovers(self._database, self.registry)
        self._prepare_device()
        self._queue = Queue(self._database, Door(self.settings.max_concurrent_jobs, self._costs_no_swap, self._policy))
        self._intake = Intake(
            self._database, self.registry, self.workspace, self._references, self.settings, self._queue.admit,
            self._outlook, Fitting(self._device, self._footprints, self.registry).fit,
        )
        self._prepare_lanes()
        self._recover()
        self._lanes.start()
        self._ready = True

    def close(self, grace_s: float) -> None:
        """Stop taking work; let what runs end within *grace_s* seconds, then send it back to the queue."""
        self._ready = False
        self._lanes.stop_claiming()
        self._let_end(grace_s)
        self._lanes.running.interrupt()
        self._lanes.running.wait_until_idle(STOP_WAIT_S)
        self._lanes.join(STOP_WAIT_S)
        self._inference.close()
        self._previews.close()
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

    def submit(self, request: JobRequest, idempotency_key: str | None = None) -> tuple[TimedJob, bool]:
        """Take a job in; it is durable when this returns.

        :returns: the job as it was acknowledged, and True; where *idempotency_key* was seen before, the job that
            came with it, and False.
        :raises Conflict: where the key came with another request.
        :raises InvalidInput, NotFound, ModelUnavailable: as the intake refuses it.
        :raises QueueFull, DiskLow: where no more are taken.
        """
        return self._intake.take(request, idempotency_key)

    def dry_run(self, request: JobRequest) -> dict[str, Any]:
        """What *request* would take; nothing is queued. Raises as :meth:`submit` would."""
        return self._intake.dry_run(request)

    def plan(self, request: PlanRequest) -> Storyboard:
        """A storyboard, and nothing rendered. It can be sent back with a job as it is."""
        card = self._intake.video_model(request.model_id).card
        planned = self._planner.plan(request)
        seed = secrets.randbelow(MAX_SEED + 1)
        shots = lay_out(planned.plan, card, int(card.frames.default), float(card.fps.default), seed)
        return Storyboard(new_storyboard_id(), planned.plan.title, tuple(shots))

    def job(self, job_id: str) -> TimedJob:
        """The job as it stands.

        :raises NotFound: where there is none.
        """
        return self._outlook.told([self._found(job_id)])[0]

    def jobs(
        self, *, page: int, page_size: int, status: str | None = None, model_id: str | None = None,
        q: str | None = None, newest_first: bool = True,
    ) -> tuple[list[TimedJob], int]:
        """One page of jobs (*page* counts from 1), and how many there are in all."""
        found, total = self._database.read(lambda conn: jobs.page(
            conn, offset=(page - 1) * page_size, limit=page_size, status=status, model_id=model_id, q=q,
            newest_first=newest_first,
        ))
        return self._outlook.told(found), total

    def cancel(self, job_id: str) -> TimedJob:
        """End the job; what runs is told to stop and the job is ``cancelled`` once it has.

        :raises Conflict: where it has completed or failed.
        """
        job = self._found(job_id)

        def work(tx: Tx) -> None:
            lifecycle.request_cancel(tx, jobs.get(tx.conn, job.id) or job)
            self._queue.admit(tx)

        self._database.write(work)
        self._lanes.running.cancel(job.id)
        self._leftovers.end([job.id])
        return self.job(job.id)

    def delete(self, job_id: str) -> None:
        """Cancel the job where it has not ended, wait until nothing writes any more, remove it and its files.

        :raises Conflict: where a step does not give way in time; nothing is removed then.
        """
        if not self._found(job_id).status.ended:
            self._cancel_if_open(job_id)
        if not self._wait_until_still(job_id, self.settings.cancel_grace_s + STOP_WAIT_S):
            raise Conflict(f"job {job_id} is still stopping; try again", code="still_stopping")

        def work(tx: Tx) -> None:
            jobs.delete(tx, job_id)
            self._queue.admit(tx)

        self._database.write(work)
        self.workspace.remove_job(job_id)

    def set_priority(self, job_id: str, priority: int) -> TimedJob:
        """Move the job in the queue.

        :raises Conflict: where it has ended.
        """
        job = self._found(job_id)
        self._database.write(lambda tx: lifecycle.set_priority(tx, job, priority, self.settings.age_s))
        return self.job(job_id)

    # queue

    def queue(self) -> QueueView:
        """What runs and what waits, in the order in which it will be taken."""
        view = self._queue.view()
        return replace(view, jobs=self._outlook.told(view.jobs))

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
        """A published file of the job, by the name that the job's answers use."""
        self._found(job_id)
        return self.workspace.find(job_id, name)

    def recipe(self, job_id: str) -> dict[str, Any]:
        """What determined the video, and what identifies the run."""
        job = self._found(job_id)
        attempts = self._database.read(lambda conn: steps.attempts(conn, job_id))
        return recipe.sheet(self._steps.determinants(job), job, attempts, job.ended_at)

    def add_upload(self, filename: str, source: BinaryIO, size_bytes: int) -> Upload:
        """Take a reference image in, as clean RGB under a name of ours.

        :raises InvalidInput: where it is no image, or none that is taken.
        :raises DiskLow: where there is no room.
        """
        return self._references.take_in(filename, source, size_bytes)

    # the device

    def gpu(self) -> GpuView:
        """The device that local models run on: its memory, what is loaded there, who else uses it."""
        return self._device.view(self._queue.paused)

    def release_gpu(self) -> ReleaseView:
        """Give back all that is held on the device; what a running step uses, when it has ended."""
        return self._gpu.release(lambda: self._lanes.ring([Lane.GPU]))

    # inside

    def _found(self, job_id: str) -> TimedJob:
        if (job := self._database.read(lambda conn: jobs.get(conn, job_id))) is None:
            raise NotFound(f"there is no job {job_id!r}")
        return job

    def _prepare_device(self) -> None:
        settings = self.settings
        config = replace(config_of(settings), device=self._vram.visible())
        self._inference = Inference(config, settings.cancel_grace_s, settings.log_level, settings.log_format)
        self._policy = Policy(settings.swap_patience_s, settings.memory_wait_s)
        self._footprints = Footprints(self._vram.name())
        self._device = Device(self._vram, self._inference, self._footprints, settings.vram_reserve_mb * MIB)
        self._gpu = GpuLane(
            self._database, self.registry, self._inference, self._device, self._footprints, self._policy,
            settings.model_keep_alive_s,
        )
        self._forecasts = Forecasts(self.registry, self._widths, self._vram.name(), self._device.is_loaded)
        self._outlook = Outlook(self._database, self._forecasts, self._widths, lambda: self._queue.paused)
        self._database.read(self._footprints.read)
        self._database.read(self._forecasts.read)

    def _prepare_lanes(self) -> None:
        publisher = Publisher(self._database, self.workspace)
        shots = Shots(
            self._database, self.registry, self.workspace, self._references, self._gpu, self._forecasts, publisher,
            self.settings, lambda: self._lanes.run_inside(Lane.GPU, self._gpu.claim_inside),
        )
        self._steps = Steps(
            self._database, self.registry, self.workspace, self._references, self._planner, shots, publisher,
            self._forecasts, self.settings,
        )
        self._lanes = Lanes(
            self._database, self._widths, {Lane.GPU: self._gpu.claim}, self._steps.run, self._control,
            self._queue.admit, lambda job_id: self._leftovers.end([job_id]),
        )

    def _costs_no_swap(self, model_id: str) -> bool:
        """Whether a job that begins with this model can begin without another one leaving the device."""
        backend = self.registry.model(model_id).backend
        return backend is None or backend.lane is not Lane.GPU or self._device.is_loaded(model_id)

    def _announce(self, changes: Changes) -> None:
        """On the writer's thread, after each commit."""
        self.hub.announce(changes.events)
        self._lanes.ring(changes.lanes)

    def _control(self, step: Step) -> StepControl:
        return StepControl(
            step, self._database, self.settings.stall_s, self._previews.show, self._outlook.clock(step),
            lambda: self._outlook.eta_s(step.job_id),
        )

    def _recover(self) -> None:
        self._lanes.pause(self._queue.paused)
        cancelling = self._database.read(jobs.cancelling)

        def work(tx: Tx) -> int:
            running = lifecycle.recover(tx)
            self._queue.admit(tx)
            return running

        if running := self._database.write(work):
            log.warning("%d steps were running when the server ended; they are queued again", running)
        self._leftovers.end(cancelling)
        self.workspace.sweep()
        self.workspace.remove_orphans(self._database.read(jobs.ids), self._database.read(uploads.names))

    def _let_end(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and not self._hurry.is_set():
            if self._lanes.running.wait_until_idle(0.1):
                return

    def _cancel_if_open(self, job_id: str) -> None:
        try:
            self.cancel(job_id)
        except Conflict:
            log.debug("job %s ended before it could be cancelled", job_id)

    def _wait_until_still(self, job_id: str, timeout_s: float) -> bool:
        """Wait until no lane works on the job."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            claimed = self._database.read(lambda conn: steps.running(conn, job_id))
            if self._lanes.running.wait_until_idle(0.1, job_id) and not claimed:
                return True
        return False

    def _pause(self, paused: bool) -> None:
        self._queue.pause(paused)
        self._lanes.pause(paused)


def _widths(registry: Registry, many: int) -> dict[Lane, int]:
    """How many threads each lane has: the GPU lane one, always."""
    widths = {lane: 1 if lane is Lane.GPU else many for lane in registry.lanes()}
    return widths | {Lane.PLANNER: many, Lane.ASSEMBLER: 1}
