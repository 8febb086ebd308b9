"""The steps that make pictures: a shot's first image, and its clip.

On the GPU lane, what comes after the frames (waiting for the file, checking, publishing) is left for another thread,
and between two denoising steps the next shot is prepared and something more urgent may run.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidgen.engine import names, recipe, specs
from vidgen.engine.attempt import Attempt
from vidgen.engine.finisher import Later
from vidgen.engine.forecast import Forecasts
from vidgen.engine.gpu import GpuLane
from vidgen.engine.lanes import Outcome
from vidgen.engine.publish import Publisher
from vidgen.engine.references import References
from vidgen.engine.starts import first_image, is_chained, sha256_of
from vidgen.media import video
from vidgen.media.files import Workspace
from vidgen.registry import Model, Registry
from vidgen.settings import Settings
from vidgen.store import jobs, log, steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import Clip, EventType, Job, Lane, RenderSpec, Shot, ShotStatus, Step, StepKind, Still

logger = logging.getLogger(__name__)


class Shots:
    """:param run_inside: has the GPU lane do something more urgent than the step that runs, where there is such."""

    def __init__(
        self, database: Database, registry: Registry, workspace: Workspace, references: References, gpu: GpuLane,
        forecasts: Forecasts, publisher: Publisher, settings: Settings, run_inside: Callable[[], object],
    ):
        self._database = database
        self._registry = registry
        self._workspace = workspace
        self._references = references
        self._gpu = gpu
        self._forecasts = forecasts
        self._publisher = publisher
        self._settings = settings
        self._run_inside = run_inside

    # keyframe

    def keyframe(self, at: Attempt) -> Outcome | Later:
        final = at.folder / names.keyframe(at.shot.id)
        model = self._registry.runnable(at.step.model_id)
        spec = specs.keyframe_spec(at.job, at.shot, at.step, model.card, at.temporary(final.name))
        key = recipe.clip_key(spec, model, self._settings, None)
        if (made := self._publisher.adopt(at.step, final, key)) is not None:
            return self._drawn(at, model, spec, Still(final, spec.width, spec.height, made=made))

        def finish(still: Still) -> Outcome:
            at.control.heed()
            self._publisher.publish(at.step, still.path, final, key, still.made)
            return self._drawn(at, model, spec, still)

        return self._rendered_by(at, model, spec, finish)

    def _drawn(self, at: Attempt, model: Model, spec: RenderSpec, still: Still) -> Outcome:
        key = recipe.clip_key(recipe.as_made(spec, still.made), model, self._settings, None)

        def outcome(tx: Tx) -> None:
            steps.finish(tx, at.step)
            jobs.update_shot(
                tx, at.job.id, at.shot.index, keyframe=names.keyframe(at.shot.id), keyframe_key=key
            )
            self._keep(tx, at, model, spec, still)

        return outcome

    # render

    def render(self, at: Attempt) -> Outcome | Later:
        final = at.folder / names.clip(at.shot.id)
        model = self._registry.runnable(at.step.model_id)
        image = self._image(at.job, at.shot)
        output, frames = at.temporary(final.name), _where_frames_go(at)
        spec = specs.render_spec(at.job, at.shot, at.step, image, output, frames)
        digest = sha256_of(image)
        key = recipe.clip_key(spec, model, self._settings, digest)

        def outcome_of(clip: Clip) -> Outcome:
            as_made = recipe.as_made(spec, clip.made)
            return self._rendered(
                at, model, spec, clip, final, recipe.clip_key(as_made, model, self._settings, digest)
            )

        if (made := self._publisher.adopt(at.step, final, key)) is not None:
            return outcome_of(Clip(final, spec.width, spec.height, spec.num_frames, spec.fps, made=made))

        def finish(clip: Clip) -> Outcome:
            self._publish_clip(at, spec, clip, final, key)
            return outcome_of(clip)

        return self._rendered_by(at, model, spec, finish)

    def _image(self, job: Job, shot: Shot) -> Path | None:
        return first_image(job, shot, self._workspace.job_dir(job.id), self._references)

    def _rendered_by(
        self, at: Attempt, model: Model, spec: RenderSpec, finish: Callable[[Clip | Still], Outcome]
    ) -> Outcome | Later:
        """Render on this thread, then *finish*; on the GPU lane, in the inference process, and *finish* off the lane.
        """
        self._mark_rendering(at)
        began = time.monotonic()

        def timed(result: Clip | Still) -> Outcome:
            return finish(replace(result, measured={**result.measured, "seconds": time.monotonic() - began}))

        if model.backend.lane is not Lane.GPU:
            return timed(model.backend.render(model.card, spec, at.control))
        written = self._gpu.render(model, spec, at.step, at.control, self._between(at.step))
        return Later(lambda: timed(written()))

    def _between(self, step: Step) -> Callable[[], None]:
        """What is done after each denoising step of *step*."""
        prepared = False

        def between() -> None:
            nonlocal prepared
            if not prepared:
                prepared = True
                self._prepare_after(step)
            self._run_inside()

        return between

    def _prepare_after(self, step: Step) -> None:
        """Have the image of the shot that will probably be next decoded, its model's files read. Only a hint: whatever
        is wrong with that shot is said when its turn comes.
        """
        following = self._gpu.next_after(step)
        if following is None or following.kind is not StepKind.RENDER:
            return
        try:
            if (job := self._database.read(lambda conn: jobs.get(conn, following.job_id))) is None:
                return
            shot = job.storyboard.shots[following.shot_index]
            spec = specs.render_spec(job, shot, following, self._image(job, shot), Path())
            self._gpu.prepare(self._registry.model(following.model_id), spec)
        except Exception as e:
            logger.debug("the next shot cannot be prepared: %s", e)

    def _keep(self, tx: Tx, at: Attempt, model: Model, spec: RenderSpec, result: Clip | Still) -> None:
        """Keep how it was made and what that took; nothing was measured where it was adopted."""
        jobs.keep_made(tx, at.job.id, at.shot.index, at.step.kind, result.made)
        if not result.measured:
            return
        jobs.add_usage(tx, at.job.id, steps.name(at.step), result.measured)
        self._forecasts.learn(tx, at.step, at.job, at.shot, spec, result)
        if model.backend.lane is Lane.GPU:
            self._gpu.learn(tx, model, spec, result)

    def _mark_rendering(self, at: Attempt) -> None:
        def work(tx: Tx) -> None:
            if steps.owned(tx, at.step):
                jobs.update_shot(tx, at.job.id, at.shot.index, status=ShotStatus.RENDERING)

        self._database.post(work)

    def _publish_clip(self, at: Attempt, spec: RenderSpec, clip: Clip, final: Path, key: str) -> None:
        """Check that the clip is whole, then publish it with its poster, the frames that are kept and, in a chain, its
        last frame.
        """
        poster_name, last_name = names.poster(at.shot.id), names.last_frame(at.shot.id)
        poster = at.temporary(poster_name)
        last = at.temporary(last_name) if is_chained(at.job) else None
        video.inspect(
            clip.path, num_frames=clip.num_frames, poster=poster, last_frame=last, tick=at.control.heed,
            timeout_s=self._settings.ffmpeg_timeout_s,
        )
        if spec.frames is not None and not spec.frames.exists():        # its backend keeps none
            video.extract_frames(
                clip.path, spec.frames, num_frames=clip.num_frames, tick=at.control.heed,
                timeout_s=self._settings.ffmpeg_timeout_s,
            )
        at.control.heed()
        self._workspace.publish(poster, at.folder / poster_name)
        if spec.frames is not None:
            self._workspace.publish(spec.frames, at.folder / names.frames(at.shot.id))
        if last is not None:
            self._workspace.publish(last, at.folder / last_name)
        self._publisher.publish(at.step, clip.path, final, key, clip.made)

    def _rendered(
        self, at: Attempt, model: Model, spec: RenderSpec, clip: Clip, final: Path, key: str
    ) -> Outcome:
        job_id, shot = at.job.id, at.shot
        done = {
            "status": ShotStatus.COMPLETED, "video": final.name, "poster": names.poster(shot.id), "key": key,
            "frames": None if spec.frames is None else names.frames(shot.id),
        }
        said = said_of(self._workspace, job_id, replace(shot, **done))

        def outcome(tx: Tx) -> None:
            steps.finish(tx, at.step)
            jobs.update_shot(tx, job_id, shot.index, **done)
            self._keep(tx, at, model, spec, clip)
            log.append(tx, job_id, EventType.SHOT_COMPLETE, said, shot.id)
            log.fold(tx, job_id, shot.id)

        return outcome


def said_of(workspace: Workspace, job_id: str, shot: Shot) -> dict[str, Any]:
    """What the ``shot_complete`` message says of a shot whose clip is there."""
    return {
        "shot_id": shot.id, "video_path": workspace.public(workspace.job_dir(job_id) / shot.video),
        "video_url": f"/videos/{job_id}/{shot.video}", "poster_url": f"/videos/{job_id}/{shot.poster}",
        "frames_url": f"/videos/{job_id}/{shot.frames}" if shot.frames else None,
    }


def _where_frames_go(at: Attempt) -> Path | None:
    return at.temporary(names.frames(at.shot.id)) if at.job.request.get("save_frames") else None
