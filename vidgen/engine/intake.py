"""Taking a job in: which model serves it, whether that model can do what is asked, and with what it will render.

Everything that can be refused is refused here, before anything is written.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vidgen.engine import lifecycle
from vidgen.engine.accepted import Accepted, digest
from vidgen.engine.forecast import Fit
from vidgen.engine.outlook import Outlook
from vidgen.engine.references import References
from vidgen.engine.timings import shown
from vidgen.errors import Conflict, FieldError, InvalidInput, ModelUnavailable, NotFound, QueueFull
from vidgen.media.files import Workspace
from vidgen.registry import Model, Registry
from vidgen.request import MAX_SEED, JobRequest
from vidgen.settings import Settings
from vidgen.store import backlog, jobs
from vidgen.store.database import Database
from vidgen.store.jobs import TimedJob
from vidgen.store.writer import Tx
from vidgen.types import Effective, JobStatus

RETRY_AFTER_S = 30
"""What a client is told to wait when the queue is full."""

FRAMES_TOLERANCE = 0.51
"""A shot's length may be off by half a frame; more is a length that the model cannot make."""


class Intake:
    """:param admit: lets queued jobs in, inside the transaction that wrote a new one.

    :param fit: whether a job fits on the device, and how.
    """

    def __init__(
        self, database: Database, registry: Registry, workspace: Workspace, references: References,
        settings: Settings, admit: Callable[[Tx], None], outlook: Outlook, fit: Callable[[Accepted], Fit],
    ):
        self._admit = admit
        self._database = database
        self._registry = registry
        self._workspace = workspace
        self._references = references
        self._settings = settings
        self._outlook = outlook
        self._fit = fit

    def take(self, request: JobRequest, idempotency_key: str | None) -> tuple[TimedJob, bool]:
        """Write the job down; it is durable when this returns.

        :returns: the job as it was written, queued, and True; an earlier job with the same key and request as it
            stands now, and False.
        :raises Conflict: where the key came with another request.
        :raises QueueFull, DiskLow: where no more are taken.
        :raises VidgenError: as :meth:`accept` refuses it.
        """
        if first := self._database.read(lambda conn: _earlier(conn, request, idempotency_key)):
            return self._told(first), False
        accepted = self.accept(request)
        new, _ = self._outlook.forecast(accepted.new_job(idempotency_key), accepted.fit.mode)
        self._workspace.require_free()

        def work(tx: Tx) -> tuple[TimedJob, bool]:
            if first := _earlier(tx.conn, request, idempotency_key):
                return self._told(first), False
            self._require_room(tx)
            acknowledged = lifecycle.begin(tx, new, self._settings.age_s, self._told)
            self._admit(tx)
            return acknowledged, True

        return self._database.write(work)

    def dry_run(self, request: JobRequest) -> dict[str, Any]:
        """What *request* would take; nothing is written. Raises as :meth:`take` would, but where it can never fit."""
        accepted, now = self.accept(request), time.time()
        new, forecast = self._outlook.forecast(accepted.new_job(None), accepted.fit.mode)
        rank = jobs.rank_of(now, request.priority, self._settings.age_s)
        position = self._database.read(lambda conn: backlog.place(conn, rank))
        wait_s = self._outlook.wait_s(new.lane, rank, position)
        known = None not in (wait_s, forecast.seconds)
        return accepted.said() | forecast.said() | {
            "position": position,
            "wait_seconds": shown(wait_s),
            "eta_seconds": shown(wait_s + forecast.seconds) if known else None,
            "estimated_start": None if wait_s is None else now + wait_s,
        }

    def accept(self, request: JobRequest) -> Accepted:
        """How *request* will be served.

        :raises InvalidInput: naming each field that the model cannot do, or on which it rests that it can never fit.
        :raises NotFound: where the model does not exist.
        :raises ModelUnavailable: where it, or the keyframe model it needs, cannot run now.
        """
        from_image = request.reference_image is not None or request.keyframe_model_id is not None
        model = self.video_model(request.model_id, from_image=from_image)
        _refuse_what_would_be_ignored(request)
        testing = self._settings.allow_test_parameters
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
        effective = model.card.resolve(request, seed, testing=testing)
        reference = self._references.asked_for(request.reference_image)
        keyframe_model = self._keyframe_model(request, model)
        keyframe_parameters = self._keyframe_parameters(request, keyframe_model)
        self._check_lengths(request, model, effective)
        accepted = Accepted(request, model, keyframe_model, keyframe_parameters, effective, reference)
        fit = self._fit(accepted)
        if not (fit.fits or request.dry_run):
            raise InvalidInput.of(fit.field, fit.reason or f"{model.id} can never fit on this device")
        return replace(accepted, fit=fit)

    def video_model(self, model_id: str | None, *, from_image: bool = False) -> Model:
        """The model that serves the job.

        :param from_image: whether the job begins with an image, its own or one that another model draws.

        :raises InvalidInput: where it makes no video.
        """
        if model_id is None:
            return self._registry.default(self._settings.default_model, from_image=from_image)
        model = self._registry.model(model_id)
        if model.card is not None and not model.card.makes_video:
            raise InvalidInput.of("model_id", f"{model_id} makes images, not video; name it as keyframe_model_id")
        return self._registry.runnable(model_id)

    def _told(self, job: TimedJob) -> TimedJob:
        return self._outlook.told([job])[0]

    def _require_room(self, tx: Tx) -> None:
        limit = self._settings.max_queued_jobs
        if jobs.count(tx.conn, JobStatus.QUEUED) >= limit:
            raise QueueFull(f"{limit} jobs are waiting; no more are taken until some have ended", RETRY_AFTER_S)

    def _keyframe_model(self, request: JobRequest, model: Model) -> Model | None:
        """The model that draws each shot's first image, where one is needed or wished for."""
        wanted = request.keyframe_model_id
        if wanted is None and (request.reference_image or model.card.capabilities.text_to_video):
            return None
        if wanted is not None and request.reference_image:
            raise InvalidInput.of("keyframe_model_id", "the reference image is the first image; leave one of them out")
        if wanted is not None and not model.card.capabilities.image_to_video:
            raise InvalidInput.of("keyframe_model_id", f"{model.id} takes no image")
        chosen = wanted or model.card.keyframe_model
        if chosen is None:
            raise InvalidInput.of("reference_image", f"{model.id} needs one, or a keyframe_model_id that draws it")
        return self._image_model(chosen, model)

    def _image_model(self, chosen: str, model: Model) -> Model:
        try:
            keyframe_model = self._registry.model(chosen)
        except NotFound as e:
            raise InvalidInput.of("keyframe_model_id", e.detail) from e
        if keyframe_model.card is not None and not keyframe_model.card.capabilities.text_to_image:
            raise InvalidInput.of("keyframe_model_id", f"{chosen} does not draw images from text")
        if not (availability := keyframe_model.availability()).ok:
            raise ModelUnavailable(
                f"{model.id} needs a first image for each shot, and {chosen}, which would draw it, cannot run now: "
                f"{availability.reason}"
            )
        return keyframe_model

    def _keyframe_parameters(self, request: JobRequest, model: Model | None) -> Mapping[str, Any]:
        given = request.keyframe_parameters
        if model is None:
            if given:
                raise InvalidInput.of("keyframe_parameters", "no keyframe is drawn for this job")
            return {}
        testing = self._settings.allow_test_parameters
        filled, problems = model.card.resolve_parameters(given, "keyframe_parameters", testing=testing)
        if problems:
            raise InvalidInput(*problems)
        return filled

    def _check_lengths(self, request: JobRequest, model: Model, effective: Effective) -> None:
        """Each shot of the client's own storyboard lasts as long as it says, or is refused."""
        if request.storyboard is None:
            return
        problems = []
        for index, shot in enumerate(request.storyboard.shots):
            if shot.duration_seconds is None:
                continue
            frames = model.card.frames_for(shot.duration_seconds, effective.fps)
            if abs(frames - shot.duration_seconds * effective.fps) > FRAMES_TOLERANCE:
                field = f"storyboard.shots.{index}.duration_seconds"
                nearest = f"{frames / effective.fps:g} s ({frames} frames at {effective.fps:g} fps)"
                problems.append(FieldError(field, f"the nearest that {model.id} makes is {nearest}"))
        if problems:
            raise InvalidInput(*problems)


def _refuse_what_would_be_ignored(request: JobRequest) -> None:
    """Nothing that a client says is silently without effect."""
    if request.save_frames:
        raise InvalidInput.of("save_frames", "this version cannot keep single frames yet")
    if "focus" in request.model_fields_set and request.reference_image is None:
        raise InvalidInput.of("focus", "there is no reference_image to crop")


def _earlier(conn: sa.Connection, request: JobRequest, key: str | None) -> TimedJob | None:
    """The job that was first posted with *key*."""
    found = jobs.by_idempotency_key(conn, key) if key else None
    if found is None:
        return None
    job_id, first_digest = found
    if first_digest != digest(request):
        raise Conflict(f"this Idempotency-Key came with another request, for {job_id}", code="idempotency_mismatch")
    return jobs.get(conn, job_id)
