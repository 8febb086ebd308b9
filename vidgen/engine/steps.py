"""What each kind of step does: plan, and assemble; keyframe and render stand in ``shots``.

Each returns what to commit; nothing here writes a status. Files are made under temporary names and published once
they are whole.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack

from vidgen.engine import lifecycle, recipe, specs
from vidgen.engine.attempt import Attempt, failures_of_steps, leaving
from vidgen.engine.control import StepControl, Title
from vidgen.engine.finisher import Later
from vidgen.engine.forecast import Forecasts
from vidgen.engine.lanes import Outcome
from vidgen.engine.planning.planner import Planned, Planner
from vidgen.engine.publish import Publisher
from vidgen.engine.references import References
from vidgen.engine.shots import Shots
from vidgen.media import video
from vidgen.media.files import Workspace
from vidgen.registry import Registry
from vidgen.request import JobRequest
from vidgen.settings import Settings
from vidgen.store import jobs, steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import EncoderSettings, Job, Step, StepKind

FINAL = "final_output.mp4"
FINAL_SHEET = "final_output.json"
POSTER = "poster.jpg"


class Steps:
    """Does the work of one step, on the lane's thread."""

    def __init__(
        self, database: Database, registry: Registry, workspace: Workspace, references: References,
        planner: Planner, shots: Shots, publisher: Publisher, forecasts: Forecasts, settings: Settings,
    ):
        self._database = database
        self._registry = registry
        self._workspace = workspace
        self._references = references
        self._planner = planner
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
        """What determines the job's video, as far as it is known; see ``recipe.determinants``."""
        keyframe_model = self._registry.model(job.keyframe_model_id) if job.keyframe_model_id else None
        reference = self._references.find(job.upload_id)
        model = self._registry.model(job.model_id)
        return recipe.determinants(job, model, keyframe_model, self._settings, reference.sha256 if reference else None)

    # plan

    def _plan(self, at: Attempt) -> Outcome:
        job, effective = at.job, at.job.effective
        model = self._registry.runnable(job.model_id)
        keyframe_model = self._registry.runnable(job.keyframe_model_id) if job.keyframe_model_id else None
        planned = self._storyboard(at)
        shots = specs.lay_out(planned.plan, model.card, effective.num_frames, effective.fps, job.seed)
        keyframe_lane = keyframe_model.backend.lane if keyframe_model else None
        work = specs.list_work(job, len(shots), model.backend.lane, keyframe_lane)

        def outcome(tx: Tx) -> None:
            said = f"Storyboard by the {planned.planner} planner: {planned.reason}"
            lifecycle.note(tx, job.id, f"planner_{planned.planner}", said)
            story = specs.new_storyboard_id(), planned.plan.title
            lifecycle.planned(tx, at.step, story, shots, work, at.control.eta_seconds())
            self._forecasts.learn(tx, at.step, job)

        return outcome

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

    def _write_sheet(self, at: Attempt, determined: dict) -> None:
        attempts = self._database.read(lambda conn: steps.attempts(conn, at.job.id))
        sheet = at.temporary(FINAL_SHEET)
        said = recipe.sheet(determined, at.job, attempts, time.time())
        sheet.write_text(json.dumps(said, indent=2, ensure_ascii=False), "utf-8")
        self._workspace.publish(sheet, at.folder / FINAL_SHEET)
