"""What each kind of step does: plan, keyframe, render, assemble.

Each returns what to commit; nothing here writes a status. Files are made under temporary names and published once
they are whole.
"""

import errno
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vidgen.engine import lifecycle, recipe, specs
from vidgen.engine.control import StepControl, Title
from vidgen.engine.lanes import Outcome
from vidgen.engine.planning.planner import Planned, Planner
from vidgen.engine.publish import Publisher
from vidgen.engine.references import References
from vidgen.errors import DiskLow, ModelUnavailable, NotFound, StepFailed
from vidgen.inference.lane import Inference
from vidgen.media import video
from vidgen.media.files import Workspace
from vidgen.registry import Model, Registry
from vidgen.request import JobRequest
from vidgen.settings import Settings
from vidgen.store import jobs, log, steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import (
    Clip,
    EncoderSettings,
    EventType,
    Job,
    Lane,
    RenderSpec,
    Shot,
    ShotStatus,
    Step,
    StepKind,
    Still,
)

FINAL = "final_output.mp4"
FINAL_SHEET = "final_output.json"
POSTER = "poster.jpg"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a step, and what it works with."""

    step: Step
    job: Job
    control: StepControl
    temporary: Callable[[str], Path]        # a temporary name, by the name it will be published as
    folder: Path                            # the job's

    @property
    def shot(self) -> Shot:
        return self.job.storyboard.shots[self.step.shot_index]


class Steps:
    """Does the work of one step, on the lane's thread."""

    def __init__(
        self, database: Database, registry: Registry, workspace: Workspace, references: References,
        planner: Planner, inference: Inference, settings: Settings,
    ):
        self._database = database
        self._registry = registry
        self._workspace = workspace
        self._references = references
        self._planner = planner
        self._inference = inference
        self._settings = settings
        self._publisher = Publisher(database, workspace)
        self._encoder = EncoderSettings(settings.encoder_preset, settings.encoder_crf, settings.encoder_threads)
        self._doers: dict[StepKind, Callable[[Attempt], Outcome]] = {
            StepKind.PLAN: self._plan, StepKind.KEYFRAME: self._keyframe,
            StepKind.RENDER: self._render, StepKind.ASSEMBLE: self._assemble,
        }

    def run(self, step: Step, control: StepControl) -> Outcome:
        """Do *step* and return what to commit.

        :raises Stopped: as ``control`` raised it.
        :raises StepFailed: with the reason, in words for the client.
        """
        control.check()
        job = self._database.read(lambda conn: jobs.get(conn, step.job_id))
        control.title = Title(step, len(job.storyboard.shots) if job.storyboard else 0)
        control.begin()
        folder = self._workspace.job_dir(job.id)
        try:
            with self._workspace.scratch(job.id, step.attempts) as temporary:
                return self._doers[step.kind](Attempt(step, job, control, temporary, folder))
        except (ModelUnavailable, NotFound) as e:
            raise StepFailed(e.detail, retryable=False, code=e.code) from e
        except DiskLow as e:
            raise StepFailed(e.detail, code=e.code) from e
        except OSError as e:
            if e.errno == errno.ENOSPC:
                raise StepFailed("there is no space left on the workspace's disk", code=DiskLow.code) from e
            raise

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
            lifecycle.planned(tx, at.step, (specs.new_storyboard_id(), planned.plan.title), shots, work)

        return outcome

    def _storyboard(self, at: Attempt) -> Planned:
        request = JobRequest.model_validate(at.job.request)
        if request.storyboard is not None:
            return Planned(request.storyboard.plan(), "client", "the request brought its own")
        return self._planner.plan(request, at.control.heed)

    # keyframe

    def _keyframe(self, at: Attempt) -> Outcome:
        name = f"{at.shot.id}_keyframe.png"
        model = self._registry.runnable(at.step.model_id)
        spec = specs.keyframe_spec(at.job, at.shot, at.step, model.card, at.temporary(name))
        key = recipe.clip_key(spec, model, self._settings, None)
        measured: Mapping[str, float] = {}
        if not self._publisher.adopt(at.step, at.folder / name, key):
            self._mark_rendering(at)
            still = self._render_with(model, spec, at.control)
            at.control.heed()
            self._publisher.publish(at.step, still.path, at.folder / name, key)
            measured = still.measured

        def outcome(tx: Tx) -> None:
            steps.finish(tx, at.step)
            jobs.update_shot(tx, at.job.id, at.shot.index, keyframe=name)
            jobs.add_usage(tx, at.job.id, steps.name(at.step), measured)

        return outcome

    # render

    def _render(self, at: Attempt) -> Outcome:
        name = f"{at.shot.id}.mp4"
        model = self._registry.runnable(at.step.model_id)
        image = self._image(at)
        spec = specs.render_spec(at.job, at.shot, at.step, image, at.temporary(name))
        key = recipe.clip_key(spec, model, self._settings, _sha256(image))
        measured: Mapping[str, float] = {}
        if not self._publisher.adopt(at.step, at.folder / name, key):
            self._mark_rendering(at)
            clip = self._render_with(model, spec, at.control)
            self._publish_clip(at, clip, at.folder / name, key)
            measured = clip.measured
        return self._rendered(at, at.folder / name, key, measured)

    def _image(self, at: Attempt) -> Path | None:
        """Where the shot starts from: its keyframe, the shot before it, the reference image, or nothing."""
        if at.shot.keyframe is not None:
            return at.folder / at.shot.keyframe
        if specs.is_chained(at.job) and at.shot.index > 0:
            return at.folder / _last_frame_name(at.job.storyboard.shots[at.shot.index - 1].id)
        if at.job.upload_id is None:
            return None
        if (reference := self._references.find(at.job.upload_id)) is None:
            raise StepFailed("the reference image is gone", retryable=False, code="image_missing")
        return reference.path

    def _render_with(self, model: Model, spec: RenderSpec, control: StepControl) -> Clip | Still:
        """Render on this thread; on the GPU lane, in the inference process."""
        if model.backend.lane is Lane.GPU:
            return self._inference.render(model.card, spec, control)
        return model.backend.render(model.card, spec, control)

    def _mark_rendering(self, at: Attempt) -> None:
        def work(tx: Tx) -> None:
            if steps.owned(tx, at.step):
                jobs.update_shot(tx, at.job.id, at.shot.index, status=ShotStatus.RENDERING)

        self._database.post(work)

    def _publish_clip(self, at: Attempt, clip: Clip, final: Path, key: str) -> None:
        """Check that the clip is whole, then publish it with its poster and, in a chain, its last frame."""
        poster_name, last_name = _poster_name(at.shot.id), _last_frame_name(at.shot.id)
        poster = at.temporary(poster_name)
        last = at.temporary(last_name) if specs.is_chained(at.job) else None
        video.inspect(
            clip.path, num_frames=clip.num_frames, poster=poster, last_frame=last, tick=at.control.heed,
            timeout_s=self._settings.ffmpeg_timeout_s,
        )
        at.control.heed()
        self._workspace.publish(poster, at.folder / poster_name)
        if last is not None:
            self._workspace.publish(last, at.folder / last_name)
        self._publisher.publish(at.step, clip.path, final, key)

    def _rendered(self, at: Attempt, final: Path, key: str, measured: Mapping[str, float]) -> Outcome:
        job_id, shot, poster = at.job.id, at.shot, _poster_name(at.shot.id)
        said = {
            "shot_id": shot.id, "video_path": self._workspace.public(final),
            "video_url": f"/videos/{job_id}/{final.name}", "poster_url": f"/videos/{job_id}/{poster}",
        }

        def outcome(tx: Tx) -> None:
            steps.finish(tx, at.step)
            done = {"status": ShotStatus.COMPLETED, "video": final.name, "poster": poster, "key": key}
            jobs.update_shot(tx, job_id, shot.index, **done)
            jobs.add_usage(tx, job_id, steps.name(at.step), measured)
            log.append(tx, job_id, EventType.SHOT_COMPLETE, said, shot.id)
            log.fold(tx, job_id, shot.id)

        return outcome

    # assemble

    def _assemble(self, at: Attempt) -> Outcome:
        final = at.folder / FINAL
        determined = self.determinants(at.job)
        key = hashlib.sha256(recipe.canonical(determined).encode()).hexdigest()
        if not self._publisher.adopt(at.step, final, key):
            self._join(at, determined, key)
        said = {
            "output_path": self._workspace.public(final), "message": "Video generation complete!",
            "video_url": f"/videos/{at.job.id}/{FINAL}",
        }
        return lambda tx: lifecycle.complete(tx, at.step, said)

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


def _poster_name(shot_id: str) -> str:
    return f"{shot_id}_poster.jpg"


def _last_frame_name(shot_id: str) -> str:
    return f"{shot_id}_last.png"


def _sha256(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as e:
        raise StepFailed("the image that the shot starts from is gone", retryable=False, code="image_missing") from e
