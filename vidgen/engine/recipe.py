"""The recipe: what determined a video's frames. The same recipe gives the same bytes.

:func:`determinants` goes into the mp4's metadata; :func:`sheet` adds what identifies this one run (ids, times,
attempts) and goes into the JSON beside it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from vidgen import __version__
from vidgen.engine.starts import starts_of
from vidgen.media import ffmpeg
from vidgen.registry import Model
from vidgen.settings import Settings
from vidgen.types import Job, RenderSpec, Shot

METADATA_KEY = "comment"
"""Where the recipe stands in the mp4's metadata."""


def determinants(
    job: Job, model: Model, keyframe_model: Model | None, settings: Settings, images: Mapping[str, str]
) -> dict[str, Any]:
    """All that determined the frames, and nothing that differs between two equal runs.

    :param images: the SHA-256 of each upload that a shot starts from, by its id.
    """
    effective = asdict(job.effective)
    return {
        "vidgen": __version__,
        "prompt": job.request["user_prompt"],
        "style_preferences": job.request.get("style_preferences", {}),
        "model": _named(model),
        "keyframe_model": _named(keyframe_model) if keyframe_model else None,
        "keyframe_parameters": dict(job.keyframe_parameters) if keyframe_model else None,
        "generation_mode": job.generation_mode,
        "continuity": job.request.get("continuity"),
        "focus": job.request.get("focus"),
        "reference_image_sha256": images.get(job.upload_id),
        "seed": effective.pop("seed"),
        "effective": effective,
        "storyboard": {
            "title": job.storyboard.title,
            "shots": _shots(job, model, images),
        } if job.storyboard else None,
        "encoder": encoder(settings),
    }


def sheet(recipe: Mapping[str, Any], job: Job, attempts: Mapping[str, int], ended_at: float | None) -> dict[str, Any]:
    """The recipe, and what identifies this run."""
    return {
        "recipe": dict(recipe),
        "run": {
            "job_id": job.id,
            "parent_id": job.parent_id,
            "created_at": _iso(job.created_at),
            "started_at": _iso(job.started_at),
            "ended_at": _iso(ended_at),
            "attempts": dict(attempts),
            "usage": dict(job.usage),
        },
    }


def clip_key(spec: RenderSpec, model: Model, settings: Settings, image_sha256: str | None) -> str:
    """What determines one clip, hashed: equal keys, equal videos. The mode in which it was rendered is not part of it,
    since it changes frames by rounding only; the recipe has it.
    """
    said = asdict(spec) | {"model": _named(model), "image": image_sha256, "encoder": encoder(settings)}
    if image_sha256 is None:
        del said["focus"]               # there is nothing to crop
    for name in ("job_id", "shot_id", "index", "num_shots", "output", "attempt", "adapt", "frames"):
        del said[name]
    return hashlib.sha256(canonical(said).encode()).hexdigest()


def as_made(spec: RenderSpec, made: Mapping[str, Any]) -> RenderSpec:
    """*spec*, with the parameters that it was really rendered with.

    :param made: see ``Clip.made``.
    """
    return replace(spec, parameters={**spec.parameters, **made.get("parameters", {})})


def canonical(value: Any) -> str:
    """JSON with one spelling for one value."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def encoder(settings: Settings) -> dict[str, Any]:
    """What determines how frames become bytes, beside the frames."""
    return {
        "ffmpeg": ffmpeg.version(), "codec": "libx264", "preset": settings.encoder_preset, "crf": settings.encoder_crf,
        "threads": settings.encoder_threads,
    }


def _named(model: Model) -> dict[str, Any]:
    versions = dict(model.backend.versions()) if model.backend else {}
    revision = model.backend.revision(model.card) if model.backend else None
    return {"id": model.id, "revision": revision, "versions": versions}


def _shots(job: Job, model: Model, images: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each says where it starts from; not where the model's card is gone, since that depends on what it can do."""
    shots = [_shot(shot, images) for shot in job.storyboard.shots]
    if model.card is None:
        return shots
    return [shot | {"start": start} for shot, start in zip(shots, starts_of(job, model.card), strict=True)]


def _shot(shot: Shot, images: Mapping[str, str]) -> dict[str, Any]:
    keys = ("description", "camera_move", "duration_seconds", "num_frames", "seed", "made")
    own = {
        "parameters": dict(shot.parameters), "keyframe_prompt": shot.keyframe_prompt,
        "keyframe_image_sha256": images.get(shot.keyframe_upload_id),
    }
    return {key: getattr(shot, key) for key in keys} | {key: value for key, value in own.items() if value}


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
