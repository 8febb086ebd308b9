"""What each kind of step does: plan, and assemble; keyframe and render stand in ``shots``.

Each returns what to commit; nothing here writes a status. Files are made under temporary names and published once
they are whole.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from vidgen.engine import lifecycle, recipe, specs
from vidgen.engine.attempt import Attempt, failures_of_steps, leaving
from vidgen.engine.control import StepControl, Title
from vidgen.engine.finisher import Later
from vidgen.engine.forecast import Forecasts
from vidgen.engine.lanes import Outcome
from vidgen.engine.planning.planner import Planned, Planner
from vidgen.engine.publish import Publisher
from vidgen.engine.references import References
from vidgen.engine.reuse import Reuse
from vidgen.engine.shots import Shots, said_of
from vidgen.engine.starts import Start, starts_of
from vidgen.errors import NotFound
from vidgen.media import video
from vidgen.media.files import Workspace
from vidgen.registry import Registry
from vidgen.request import JobRequest
from vidgen.settings import Settings
from vidgen.store import jobs, log, steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import EncoderSettings, EventType, Job, JobStatus, Shot, ShotStatus, Step, StepKind, Storyboard

logger = logging.getLogger(__name__)

FINAL = "final_output.mp4"
FINAL_SHEET = "final_output.json"
POSTER = "poster.jpg"


class Steps:
    """Does the work of one step, on the lane's thread."""

    def __init__(
        self, database: Database, registry: Registry, workspace: Workspace, references: References,
        planner: Planner, reuse: Reuse, shots: Shots, publisher: Publisher, forecasts: Forecasts, settings: Settings,
    ):
        self._database = database
        self._registry = registry
        self._workspace = workspace
        self._references = references
        self._planner = planner
        self._reuse = reuse
        self._publisher = publisher
        self._forecasts = forecasts
        self._settings = settings
        self._encoder = EncoderSettings(settings.encoder_preset, settings.encoder_crf, settings.encoder_threads)
        self._doers: dict[StepKind, Callable[[Attempt], Outcome | Later]] = {
            StepKind.PLAN: self._plan, StepKind.KEYFRAME: shots.keyframe,
            StepKind.RENDER: shots.render, StepKind.ASSEMBLE: self._assemble,
        }

    def run(self, step: Step, control: StepControl) -> Outcome | Later:
        """Do *step* and return what to commit; of the GPU lane's steps, what is left to do off the lane.

        :raises Stopped: as ``control`` raised it.
        :raises StepFailed: with the reason, in words for the client.
        """
        control.check()
        job = self._database.read(lambda conn: jobs.get(conn, step.job_id))
        control.title = Title(step, len(job.storyboard.shots) if job.storyboard else 0)
        control.begin()
        folder = self._workspace.job_dir(job.id)
        with ExitStack() as stack:
            stack.enter_context(failures_of_steps())
            temporary = stack.enter_context(self._workspace.scratch(job.id, step.attempts))
            done = self._doers[step.kind](Attempt(step, job, control, temporary, folder))
            return leaving(done, stack.pop_all()) if isinstance(done, Later) else done

    def determinants(self, job: Job) -> dict:
        """What determines the job's video, as far as it is known; see ``recipe.determinants``. Of a video that is
        there, what was written down with it: settings, models and their versions may have changed since.
        """
        if job.status is JobStatus.COMPLETED and (written := self._written(job)) is not None:
            return written
        keyframe_model = self._registry.model(job.keyframe_model_id) if job.keyframe_model_id else None
        model = self._registry.model(job.model_id)
        own = [shot.keyframe_upload_id for shot in job.storyboard.shots] if job.storyboard else []
        images = [found for each in {job.upload_id, *own} if (found := self._references.find(each)) is not None]
        by_id = {image.id: image.sha256 for image in images}
        return recipe.determinants(job, model, keyframe_model, self._settings, by_id)

    # plan

    def _plan(self, at: Attempt) -> Outcome:
        job, effective = at.job, at.job.effective
        model = self._registry.runnable(job.model_id)
        keyframe_model = self._registry.runnable(job.keyframe_model_id) if job.keyframe_model_id else None
        planned = self._storyboard(at)
        laid_out = specs.lay_out(planned.plan, model.card, effective.num_frames, effective.fps, job.seed)
        story = Storyboard(specs.new_storyboard_id(), planned.plan.title, tuple(laid_out))
        as_planned = replace(job, storyboard=story)
        starts = starts_of(as_planned, model.card)
        shots = self._reuse.begin(replace(at, job=as_planned), starts, model, keyframe_model)
        keyframe_lane = keyframe_model.backend.lane if keyframe_model else None
        work = specs.list_work(job, shots, starts, model.backend.lane, keyframe_lane)

        def outcome(tx: Tx) -> None:
            said = f"Storyboard by the {planned.planner} planner: {planned.reason}"
            lifecycle.note(tx, job.id, f"planner_{planned.planner}", said)
            lifecycle.planned(tx, at.step, (story.id, story.title), shots, work, at.control.eta_seconds())
            self._forecasts.learn(tx, at.step, job)
            if job.parent_id is not None:
                self._tell_reused(tx, job, shots, starts)

        return outcome

    def _tell_reused(self, tx: Tx, job: Job, shots: Sequence[Shot], starts: Sequence[Start]) -> None:
        """Keep and say what was taken over from earlier versions."""
        done = [shot for shot in shots if shot.status is ShotStatus.COMPLETED]
        drawn = [
            shot.index for shot, start in zip(shots, starts, strict=True)
            if start is Start.DRAWN and shot.keyframe is not None and shot not in done
        ]
        jobs.update(tx, job.id, reused={StepKind.RENDER: [shot.index for shot in done], StepKind.KEYFRAME: drawn})
        kept = f"{len(done)} of {len(shots)} clips" + (f" and the keyframes of {len(drawn)} more" if drawn else "")
        lifecycle.note(tx, job.id, "reused", f"{kept} are those of earlier versions")
        for shot in done:
            log.append(tx, job.id, EventType.SHOT_COMPLETE, said_of(self._workspace, job.id, shot), shot.id)

    def _storyboard(self, at: Attempt) -> Planned:
        request = JobRequest.model_validate(at.job.request)
        if request.storyboard is not None:
            return Planned(request.storyboard.plan(), "client", "the request brought its own")
        return self._planner.plan(request, at.control.heed)

    # assemble

    def _assemble(self, at: Attempt) -> Outcome:
        final = at.folder / FINAL
        determined = self.determinants(at.job)
        key = hashlib.sha256(recipe.canonical(determined).encode()).hexdigest()
        if self._publisher.adopt(at.step, final, key) is None:
            self._join(at, determined, key)
        said = {
            "output_path": self._workspace.public(final), "message": "Video generation complete!",
            "video_url": f"/videos/{at.job.id}/{FINAL}",
        }

        def outcome(tx: Tx) -> None:
            lifecycle.complete(tx, at.step, said)
            self._forecasts.learn(tx, at.step, at.job)

        return outcome

    def _join(self, at: Attempt, determined: dict, key: str) -> None:
        """Everything that goes with the video is published before it: who adopts it finds the rest there."""
        shots, joined = at.job.storyboard.shots, at.temporary(FINAL)
        video.join(
            [at.folder / shot.video for shot in shots], joined, encoder=self._encoder, tick=at.control.heed,
            metadata={"title": at.job.storyboard.title, recipe.METADATA_KEY: recipe.canonical(determined)},
            timeout_s=self._settings.ffmpeg_timeout_s,
        )
        self._write_sheet(at, determined)
        self._workspace.link(at.folder / shots[0].poster, at.folder / POSTER)
        at.control.heed()
        self._publisher.publish(at.step, joined, at.folder / FINAL, key)

    def _written(self, job: Job) -> dict | None:
        """The recipe that lies beside the job's video; None where it cannot be read."""
        try:
            return json.loads(self._workspace.find(job.id, FINAL_SHEET).read_text("utf-8"))["recipe"]
        except (NotFound, OSError, ValueError, TypeError, LookupError) as e:
            logger.warning("the recipe of %s cannot be read: %s", job.id, e)
            return None

    def _write_sheet(self, at: Attempt, determined: dict) -> None:
        attempts = self._database.read(lambda conn: steps.attempts(conn, at.job.id))
        sheet = at.temporary(FINAL_SHEET)
        said = recipe.sheet(determined, at.job, attempts, time.time())
        sheet.write_text(json.dumps(said, indent=2, ensure_ascii=False), "utf-8")
        self._workspace.publish(sheet, at.folder / FINAL_SHEET)
