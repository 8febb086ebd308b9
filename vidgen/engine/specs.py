"""From what a job says to what a backend is handed: shots laid out, steps listed, render specs filled in."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vidgen.cards import Card
from vidgen.engine.lifecycle import WEIGHTS
from vidgen.engine.planning.offline import styled
from vidgen.engine.starts import Start
from vidgen.store import jobs
from vidgen.store.steps import NewStep
from vidgen.types import (
    CameraMove,
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


def shot_seed(seed: int, index: int) -> int:
    """A shot's default seed: a function of the job's seed and the shot's index, 32 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{index}".encode()).digest()[:4], "big")


def new_storyboard_id() -> str:
    return f"storyboard_{secrets.token_hex(8)}"


def lay_out(plan: StoryboardPlan, card: Card, num_frames: int, fps: float, seed: int) -> list[Shot]:
    """The plan's shots as the model of *card* will render them.

    :param num_frames: of each shot that does not say how long it lasts.
    :param seed: the job's.
    """
    return [_laid_out(shot, index, card, num_frames, fps, seed) for index, shot in enumerate(plan.shots)]


def _laid_out(shot: ShotPlan, index: int, card: Card, num_frames: int, fps: float, seed: int) -> Shot:
    frames = card.frames_for(shot.duration_seconds, fps) if shot.duration_seconds else num_frames
    return Shot(
        id=jobs.shot_id(index), index=index, description=shot.description, camera_move=shot.camera_move,
        duration_seconds=round(frames / fps, 3), num_frames=frames, status=ShotStatus.PENDING,
        seed=shot_seed(seed, index) if shot.seed is None else shot.seed, parameters=shot.parameters,
        keyframe_prompt=shot.keyframe_prompt, keyframe_upload_id=shot.keyframe_image,
    )


def list_work(
    job: Job, shots: Sequence[Shot], starts: Sequence[Start], render_lane: Lane, keyframe_lane: Lane | None
) -> list[NewStep]:
    """The steps that follow the plan; ``needs`` are places in the list. All keyframes come before the renders, so that
    a lane that can hold one model changes it once a job. Shots that are completed, and keyframes that are there, need
    none.

    :param keyframe_lane: None where no keyframe is drawn.
    """
    left = [shot for shot in shots if shot.status is not ShotStatus.COMPLETED]
    to_draw = [shot.index for shot in left if starts[shot.index] is Start.DRAWN and shot.keyframe is None]
    work = [
        NewStep(StepKind.KEYFRAME, keyframe_lane, WEIGHTS[StepKind.KEYFRAME], index, job.keyframe_model_id)
        for index in to_draw
    ]
    images = {index: place for place, index in enumerate(to_draw)}     # the step that makes what a shot starts from
    for shot in left:
        needs = [images[shot.index]] if shot.index in images else []
        if shot.index + 1 < len(starts) and starts[shot.index + 1] is Start.BEFORE:
            images[shot.index + 1] = len(work)
        work.append(NewStep(StepKind.RENDER, render_lane, WEIGHTS[StepKind.RENDER], shot.index, job.model_id, needs))
    renders = list(range(len(to_draw), len(work)))
    work.append(NewStep(StepKind.ASSEMBLE, Lane.ASSEMBLER, WEIGHTS[StepKind.ASSEMBLE], needs=renders))
    return work


def render_spec(
    job: Job, shot: Shot, step: Step, image: Path | None, output: Path, frames: Path | None = None
) -> RenderSpec:
    """What the video model is handed for one shot.

    :param frames: where its lossless frames go, where they are kept.
    """
    effective = job.effective
    return RenderSpec(
        **_common(job, shot, shot.description, step), camera_move=shot.camera_move, width=effective.width,
        height=effective.height, num_frames=shot.num_frames, fps=effective.fps,
        num_inference_steps=effective.num_inference_steps,
        negative_prompt=effective.negative_prompt, parameters={**effective.parameters, **shot.parameters}, image=image,
        focus=tuple(job.request.get("focus", (0.5, 0.5))), output=output, adapt=job.request.get("fit") == "adapt",
        frames=frames,
    )


def keyframe_spec(job: Job, shot: Shot, step: Step, card: Card, output: Path) -> RenderSpec:
    """What the image model of *card* is handed for a shot's first image: the size nearest to the video's, and nothing
    that is of the video alone.
    """
    effective, takes = job.effective, card.capabilities
    width, height = card.nearest_size(effective.width, effective.height)
    return RenderSpec(
        **_common(job, shot, shot.keyframe_prompt or shot.description, step), camera_move=CameraMove.STATIC,
        width=width, height=height, num_frames=1, fps=1.0,
        num_inference_steps=int(card.steps.default) if card.steps else None,
        negative_prompt=effective.negative_prompt if takes.negative_prompt else None,
        parameters=job.keyframe_parameters, image=None, focus=(0.5, 0.5), output=output,
        adapt=job.request.get("fit") == "adapt",
    )


def bare_spec(
    width: int, height: int, num_frames: int, fps: float, steps: int | None, parameters: Mapping[str, Any], *,
    adapt: bool = False,
) -> RenderSpec:
    """A shot of this size, without words, image and file: time, memory and price do not depend on them."""
    return RenderSpec(
        job_id="", shot_id="", index=0, num_shots=1, prompt="", caption="", camera_move=CameraMove.STATIC, seed=0,
        width=width, height=height, num_frames=num_frames, fps=fps, num_inference_steps=steps, negative_prompt=None,
        parameters=parameters, style={}, image=None, focus=(0.5, 0.5), output=Path(), adapt=adapt,
    )


def _common(job: Job, shot: Shot, text: str, step: Step) -> Mapping[str, Any]:
    style = job.request.get("style_preferences", {})
    return {
        "job_id": job.id, "shot_id": shot.id, "index": shot.index, "num_shots": len(job.storyboard.shots),
        "prompt": styled(text, style), "caption": text, "seed": shot.seed, "style": style, "attempt": step.attempts,
    }
