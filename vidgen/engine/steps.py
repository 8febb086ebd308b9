"""What each kind of step does: plan, keyframe, render, assemble.

Each returns what to commit; nothing here writes a status. Files are made under temporary names and published once
they are whole.
"""

import errno
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from vidgen.engine import lifecycle, recipe
from vidgen.engine.control import StepControl
from vidgen.engine.lanes import Outcome
from vidgen.engine.lifecycle import WEIGHTS
from vidgen.engine.planner import Planned, Planner
from vidgen.engine.publish import Publisher
from vidgen.errors import ModelUnavailable, NotFound, StepFailed
from vidgen.media import video
from vidgen.media.files import Workspace
from vidgen.registry import Model, Registry
from vidgen.request import JobRequest
from vidgen.settings import Settings
from vidgen.store import jobs, log, steps, uploads
from vidgen.store.database import Database
from vidgen.store.steps import NewStep
from vidgen.store.writer import Tx
from vidgen.types import (
    Clip,
    Continuity,
    EncoderSettings,
    EventType,
    Job,
    Lane,
    RenderSpec,
    Shot,
    ShotPlan,
    ShotStatus,
    Step,
    StepKind,
    StoryboardPlan,
)

FINAL = "final_output.mp4"
FINAL_SHEET = "final_output.json"
POSTER = "poster.jpg"


def shot_seed(seed: int, index: int) -> int:
    """A shot's default seed: a function of the job's seed and the shot's index, 32 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest()[:4], "big")


def lay_out(plan: StoryboardPlan, model: Model, num_frames: int, fps: float, seed: int) -> list[Shot]:
    """The plan's shots as this model will render them."""
    return [_laid_out(shot, index, model, num_frames, fps, seed) for index, shot in enumerate(plan.shots)]


def _laid_out(shot: ShotPlan, index: int, model: Model, num_frames: int, fps: float, seed: int) -> Shot:
    frames = model.card.frames_for(shot.duration_seconds, fps) if shot.duration_seconds else num_frames
    return Shot(
        id=jobs.shot_id(index), index=index, description=shot.description, camera_move=shot.camera_move,
        duration_seconds=round(frames / fps, 3), num_frames=frames, status=ShotStatus.PENDING,
        seed=shot_seed(seed, index) if shot.seed is None else shot.seed,
    )


def new_storyboard_id() -> str:
    return f"storyboard_{secrets.token_hex(8)}"


class Steps:
    """Does the work of one step, on the lane's thread."""

    def __init__(
        self, database: Database, registry: Registry, workspace: Workspace, planner: Planner, settings: Settings
    ):
        self._database = database
        self._registry = registry
        self._workspace = workspace
        self._planner = planner
        self._settings = settings
        self._publisher = Publisher(database, workspace)
        self._encoder = EncoderSettings(settings.encoder_preset, settings.encoder_crf, settings.encoder_threads)
        self._doers: dict[StepKind, Callable[[Step, Job, StepControl], Outcome]] = {
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
        control.title = type(control.title)(step, len(job.storyboard.shots) if job.storyboard else 0)
        control.begin(str(control.title))
        try:
            return self._doers[step.kind](step, job, control)
        except (ModelUnavailable, NotFound) as e:
            raise StepFailed(e.detail, retryable=False, code=e.code) from e
        except OSError as e:
            if e.errno == errno.ENOSPC:
                raise StepFailed("the disk that holds the workspace is full", code="disk_full") from e
            raise

    # plan

    def _plan(self, step: Step, job: Job, control: StepControl) -> Outcome:
        planned = self._storyboard(job)
        model = self._registry.runnable(job.model_id)
        plan, effective = planned.plan, job.effective
        shots = lay_out(plan, model, effective.num_frames, effective.fps, job.seed)
        work = self._work(job, model, len(shots))

        def outcome(tx: Tx) -> None:
            lifecycle.note(tx, job.id, f"planner_{planned.planner}", _which_planner(planned))
            lifecycle.planned(tx, step, (new_storyboard_id(), plan.title), shots, work)

        return outcome

    def _storyboard(self, job: Job) -> Planned:
        request = JobRequest.model_validate(job.request)
        if request.storyboard is not None:
            return Planned(request.storyboard.plan(), "client", "the request brought its own storyboard")
        return self._planner.plan(request)

    def _work(self, job: Job, model: Model, num_shots: int) -> list[NewStep]:
        """The job's remaining steps; ``needs`` are places in the list."""
        work: list[NewStep] = []
        renders: list[int] = []
        chained = job.request.get("continuity") == Continuity.CHAIN
        for index in range(num_shots):
            needs: list[int] = []
            if chained and index > 0:
                needs.append(renders[-1])
            elif job.keyframe_model_id is not None:
                lane = self._registry.runnable(job.keyframe_model_id).backend.lane
                needs.append(len(work))
                work.append(NewStep(StepKind.KEYFRAME, lane, WEIGHTS[StepKind.KEYFRAME], index, job.keyframe_model_id))
            renders.append(len(work))
            work.append(
                NewStep(StepKind.RENDER, model.backend.lane, WEIGHTS[StepKind.RENDER], index, model.id, needs)
            )
        work.append(NewStep(StepKind.ASSEMBLE, Lane.ASSEMBLER, WEIGHTS[StepKind.ASSEMBLE], needs=renders))
        return work

    # keyframe

    def _keyframe(self, step: Step, job: Job, control: StepControl) -> Outcome:
        shot = job.storyboard.shots[step.shot_index]
        model = self._registry.runnable(step.model_id)
        name = f"{shot.id}_keyframe.png"
        final = self._workspace.job_dir(job.id) / name
        spec = self._keyframe_spec(job, shot, model, step)
        key = recipe.clip_key(spec, model, self._settings, None)
        if self._publisher.adopt(step, final, key) is None:
            self._mark_rendering(step, shot)
            still = model.backend.render(model.card, spec, control)
            control.check()
            self._publisher.publish(step, still.path, final, key, {})

        def outcome(tx: Tx) -> None:
            steps.finish(tx, step)
            jobs.update_shot(tx, job.id, shot.index, keyframe=name)

        return outcome

    def _keyframe_spec(self, job: Job, shot: Shot, model: Model, step: Step) -> RenderSpec:
        parameters, _ = model.card.resolve_parameters(job.keyframe_parameters, "keyframe_parameters", testing=True)
        effective = job.effective
        return RenderSpec(
            job_id=job.id, shot_id=shot.id, index=shot.index, num_shots=len(job.storyboard.shots),
            prompt=shot.description, caption=shot.description, camera_move=shot.camera_move, seed=shot.seed,
            width=int(model.card.width.nearest(effective.width)),
            height=int(model.card.height.nearest(effective.height)),
            num_frames=1, fps=1.0,
            num_inference_steps=int(model.card.steps.default) if model.card.steps else None,
            negative_prompt=effective.negative_prompt if model.card.capabilities.negative_prompt else None,
            parameters=parameters, style=job.request.get("style_preferences", {}), image=None, focus=(0.5, 0.5),
            output=self._workspace.temporary(job.id, f"{shot.id}_keyframe.png", step.attempts), attempt=step.attempts,
        )

    # render

    def _render(self, step: Step, job: Job, control: StepControl) -> Outcome:
        shot = job.storyboard.shots[step.shot_index]
        model = self._registry.runnable(step.model_id)
        image = self._image(job, shot)
        spec = self._render_spec(job, shot, step, image)
        key = recipe.clip_key(spec, model, self._settings, _sha256(image))
        final = self._workspace.job_dir(job.id) / f"{shot.id}.mp4"
        if self._publisher.adopt(step, final, key) is None:
            self._mark_rendering(step, shot)
            clip = model.backend.render(model.card, spec, control)
            self._publish_clip(step, job, clip, final, key, control)
        return self._rendered(step, job, shot, final, key)

    def _render_spec(self, job: Job, shot: Shot, step: Step, image: Path | None) -> RenderSpec:
        effective = job.effective
        return RenderSpec(
            job_id=job.id, shot_id=shot.id, index=shot.index, num_shots=len(job.storyboard.shots),
            prompt=shot.description, caption=shot.description, camera_move=shot.camera_move, seed=shot.seed,
            width=effective.width, height=effective.height, num_frames=shot.num_frames, fps=effective.fps,
            num_inference_steps=effective.num_inference_steps, negative_prompt=effective.negative_prompt,
            parameters=effective.parameters, style=job.request.get("style_preferences", {}), image=image,
            focus=tuple(job.request.get("focus", (0.5, 0.5))),
            output=self._workspace.temporary(job.id, f"{shot.id}.mp4", step.attempts), attempt=step.attempts,
        )

    def _image(self, job: Job, shot: Shot) -> Path | None:
        """Where the shot starts from: its keyframe, the shot before it, the reference image, or nothing."""
        folder = self._workspace.job_dir(job.id)
        if shot.keyframe is not None:
            return folder / shot.keyframe
        if job.request.get("continuity") == Continuity.CHAIN and shot.index > 0:
            return folder / _last_frame_name(jobs.shot_id(shot.index - 1))
        if job.upload_id is None:
            return None
        row = self._database.read(lambda conn: uploads.find(conn, job.upload_id))
        if row is None or not (path := self._workspace.uploads / row.name).exists():
            raise StepFailed("the reference image is gone", retryable=False, code="image_missing")
        return path

    def _mark_rendering(self, step: Step, shot: Shot) -> None:
        self._database.post(
            lambda tx: jobs.update_shot(tx, step.job_id, shot.index, status=ShotStatus.RENDERING)
            if steps.owned(tx, step) else None
        )

    def _publish_clip(
        self, step: Step, job: Job, clip: Clip, final: Path, key: str, control: StepControl
    ) -> None:
        """Check that the clip is whole, then publish it with its poster and, in a chain, its last frame."""
        folder, shot_id, attempt = final.parent, final.stem, step.attempts
        poster = self._workspace.temporary(job.id, f"{shot_id}_poster.jpg", attempt)
        chained = job.request.get("continuity") == Continuity.CHAIN
        last = self._workspace.temporary(job.id, _last_frame_name(shot_id), attempt) if chained else None
        video.inspect(
            clip.path, num_frames=clip.num_frames, poster=poster, last_frame=last, tick=control.check,
            timeout_s=self._settings.ffmpeg_timeout_s,
        )
        control.check()
        self._workspace.publish(poster, folder / f"{shot_id}_poster.jpg")
        if last is not None:
            self._workspace.publish(last, folder / _last_frame_name(shot_id))
        self._publisher.publish(step, clip.path, final, key, {})

    def _rendered(self, step: Step, job: Job, shot: Shot, final: Path, key: str) -> Outcome:
        poster = f"{shot.id}_poster.jpg"

        def outcome(tx: Tx) -> None:
            steps.finish(tx, step)
            jobs.update_shot(
                tx, job.id, shot.index, status=ShotStatus.COMPLETED, video=final.name, poster=poster, key=key
            )
            log.append(tx, job.id, EventType.SHOT_COMPLETE, {
                "shot_id": shot.id, "video_path": self._workspace.public(final),
                "video_url": f"/videos/{job.id}/{final.name}", "poster_url": f"/videos/{job.id}/{poster}",
            }, shot.id)
            log.fold(tx, job.id, shot.id)

        return outcome

    # assemble

    def _assemble(self, step: Step, job: Job, control: StepControl) -> Outcome:
        folder = self._workspace.job_dir(job.id)
        final = folder / FINAL
        determined = self.determinants(job)
        key = hashlib.sha256(recipe.canonical(determined).encode()).hexdigest()
        if self._publisher.adopt(step, final, key) is None:
            self._join(step, job, determined, key, control)

        def outcome(tx: Tx) -> None:
            lifecycle.complete(tx, step, {
                "output_path": self._workspace.public(final), "message": "Video generation complete!",
                "video_url": f"/videos/{job.id}/{FINAL}",
            })

        return outcome

    def _join(self, step: Step, job: Job, determined: dict, key: str, control: StepControl) -> None:
        folder, shots = self._workspace.job_dir(job.id), job.storyboard.shots
        joined = self._workspace.temporary(job.id, FINAL, step.attempts)
        video.join(
            [folder / shot.video for shot in shots], joined, encoder=self._encoder, tick=control.check,
            metadata={"title": job.storyboard.title, recipe.METADATA_KEY: recipe.canonical(determined)},
            timeout_s=self._settings.ffmpeg_timeout_s,
        )
        self._write_sheet(step, job, determined)
        self._workspace.link(folder / shots[0].poster, folder / POSTER)
        control.check()
        self._publisher.publish(step, joined, folder / FINAL, key, {})

    def _write_sheet(self, step: Step, job: Job, determined: dict) -> None:
        attempts = self._database.read(lambda conn: steps.attempts(conn, job.id))
        temporary = self._workspace.temporary(job.id, FINAL_SHEET, step.attempts)
        said = recipe.sheet(determined, job, attempts, time.time())
        temporary.write_text(json.dumps(said, indent=2, ensure_ascii=False), "utf-8")
        self._workspace.publish(temporary, self._workspace.job_dir(job.id) / FINAL_SHEET)

    def determinants(self, job: Job) -> dict:
        """What determines the job's video, as far as it is known; see ``recipe.determinants``."""
        keyframe_model = self._registry.model(job.keyframe_model_id) if job.keyframe_model_id else None
        upload = self._database.read(lambda conn: uploads.find(conn, job.upload_id)) if job.upload_id else None
        model = self._registry.model(job.model_id)
        return recipe.determinants(job, model, keyframe_model, self._settings, upload.sha256 if upload else None)


def _which_planner(planned: Planned) -> str:
    return f"Storyboard by the {planned.planner} planner: {planned.reason}"


def _last_frame_name(shot_id: str) -> str:
    return f"{shot_id}_last.png"


def _sha256(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as e:
        raise StepFailed("the image that the shot starts from is gone", retryable=False, code="image_missing") from e


