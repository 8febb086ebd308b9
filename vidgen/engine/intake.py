"""Taking a job in: which model serves it, whether that model can do what is asked, and with what it will render.

Everything that can be refused is refused here, before anything is written.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vidgen.engine import lifecycle, own_shots
from vidgen.engine.accepted import Accepted, Posting
from vidgen.engine.forecast import Fit
from vidgen.engine.outlook import Outlook
from vidgen.engine.references import References
from vidgen.engine.starts import Own, Start, draws_each, starts
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
from vidgen.types import Continuity, JobStatus

RETRY_AFTER_S = 30
"""What a client is told to wait when the queue is full."""


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

    def take(self, posting: Callable[[], Posting], key: str | None, digest: str) -> tuple[TimedJob, bool]:
        """Write the job down; it is durable when this returns.

        :param posting: says what is to be made; asked only where no earlier job came with the same key.
        :param key: the client's idempotency key.
        :param digest: of what the client sent with it.
        :returns: the job as it was written, queued, and True; an earlier job with the same key and digest as it
            stands now, and False.
        :raises Conflict: where the key came with another request.
        :raises QueueFull, DiskLow: where no more are taken.
        :raises VidgenError: as *posting* or :meth:`accept` refuse it.
        """
        if first := self._database.read(lambda conn: _earlier(conn, key, digest)):
            return self._told(first), False
        accepted = self.accept(posting())
        new, _ = self._outlook.forecast(accepted.new_job(key, digest if key else None), accepted.fit.mode)
        self._workspace.require_free(accepted.kept_frames_bytes)

        def work(tx: Tx) -> tuple[TimedJob, bool]:
            if first := _earlier(tx.conn, key, digest):
                return self._told(first), False
            self._require_room(tx)
            acknowledged = lifecycle.begin(tx, new, self._settings.age_s, self._told)
            self._admit(tx)
            return acknowledged, True

        return self._database.write(work)

    def dry_run(self, request: JobRequest) -> dict[str, Any]:
        """What *request* would take; nothing is written. Raises as :meth:`take` would, but where it can never fit."""
        accepted, now = self.accept(Posting(request)), time.time()
        new, forecast = self._outlook.forecast(accepted.new_job(), accepted.fit.mode)
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

    def accept(self, posting: Posting) -> Accepted:
        """How the request will be served.

        :raises InvalidInput: naming each field that the model cannot do, or on which it rests that it can never fit.
        :raises NotFound: where the model does not exist.
        :raises ModelUnavailable: where it, or the keyframe model it needs, cannot run now.
        """
        request = posting.request
        model = self.video_model(request.model_id, from_image=_begins_with_image(request))
        _refuse_what_would_be_ignored(request)
        testing = self._settings.allow_test_parameters
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
        effective = model.card.resolve(request, seed, testing=testing)
        reference = self._references.asked_for(request.reference_image)
        if (own := request.storyboard) is not None:
            own_shots.check(own.shots, posting.shot_fields, model, effective, self._references, testing=testing)
        found = _starts(request, model)
        keyframe_model = self._keyframe_model(posting, model, found)
        keyframe_parameters = self._keyframe_parameters(request, keyframe_model)
        accepted = Accepted(posting, model, keyframe_model, keyframe_parameters, effective, reference, found)
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

    def _keyframe_model(self, posting: Posting, model: Model, found: Sequence[Start]) -> Model | None:
        """The model that draws first images, where one is needed or wished for.

        :param found: where each shot starts from.
        """
        wanted = posting.request.keyframe_model_id
        if wanted is not None and not model.card.capabilities.image_to_video:
            raise InvalidInput.of("keyframe_model_id", f"{model.id} takes no image")
        if Start.DRAWN not in found:
            if wanted is not None:
                given = "the reference image" if posting.request.reference_image else "the shots' keyframe_image"
                raise InvalidInput.of("keyframe_model_id", f"{given} is the first image; leave one of them out")
            return None
        if (chosen := wanted or model.card.keyframe_model) is None:
            raise InvalidInput(_nothing_draws(posting, model))
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


def _refuse_what_would_be_ignored(request: JobRequest) -> None:
    """Nothing that a client says is silently without effect."""
    has_image = request.reference_image is not None or any(image for _, image in _own(request))
    if "focus" in request.model_fields_set and not has_image:
        raise InvalidInput.of("focus", "there is no reference_image to crop")


def _begins_with_image(request: JobRequest) -> bool:
    """Whether the job has an image of its own to start from, or wishes for one that another model draws."""
    return bool(request.reference_image or request.keyframe_model_id) or any(map(any, _own(request)))


def _own(request: JobRequest) -> list[Own]:
    """What each shot says of its first image; of as many as there will be at most."""
    if request.storyboard is None:
        return [(None, None)] * request.max_shots
    return [(shot.keyframe_prompt, shot.keyframe_image) for shot in request.storyboard.shots]


def _starts(request: JobRequest, model: Model) -> tuple[Start, ...]:
    return starts(
        _own(request), chained=request.continuity is Continuity.CHAIN,
        has_reference=request.reference_image is not None, draws=draws_each(request.keyframe_model_id, model.card),
    )


def _nothing_draws(posting: Posting, model: Model) -> FieldError:
    """What is wrong where a keyframe is to be drawn and no image model is named."""
    for field, (prompt, _) in zip(posting.shot_fields, _own(posting.request), strict=False):
        if prompt is not None:
            return FieldError(
                f"{field}.keyframe_prompt", f"{model.id} names no image model to draw it; a job's keyframe_model_id can"
            )
    return FieldError("reference_image", f"{model.id} needs one, or a keyframe_model_id that draws it")


def _earlier(conn: sa.Connection, key: str | None, digest: str) -> TimedJob | None:
    """The job that was first posted with *key*."""
    found = jobs.by_idempotency_key(conn, key) if key else None
    if found is None:
        return None
    job_id, first_digest = found
    if first_digest != digest:
        raise Conflict(f"this Idempotency-Key came with another request, for {job_id}", code="idempotency_mismatch")
    return jobs.get(conn, job_id)
