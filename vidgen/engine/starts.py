"""Where each shot of a job starts from, and the image that it is."""

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from vidgen.cards import Card
from vidgen.engine import names
from vidgen.engine.references import References
from vidgen.errors import StepFailed
from vidgen.store import jobs
from vidgen.store.jobs import NewJob
from vidgen.types import Continuity, Job, Shot

Own = tuple[str | None, str | None]
"""What a shot says itself: its keyframe_prompt, and the upload that is its keyframe_image."""


class Start(StrEnum):
    TEXT = "text"
    REFERENCE = "reference"      # the job's reference image
    OWN = "own"                  # an upload of the shot's own
    DRAWN = "drawn"              # a keyframe that an image model draws
    BEFORE = "before"            # the last frame of the shot before it


def draws_each(keyframe_model_id: str | None, card: Card) -> bool:
    """Whether a keyframe is drawn for shots that say nothing of their first image and are given none.

    :param keyframe_model_id: that the request names.
    :param card: of the video model.
    """
    return keyframe_model_id is not None or not card.capabilities.text_to_video


def starts(shots: Sequence[Own], *, chained: bool, has_reference: bool, draws: bool) -> tuple[Start, ...]:
    """Where each of *shots* starts from; what it says itself goes first, then the chain, then what the job says.

    :param draws: see :func:`draws_each`.
    """
    rest = Start.REFERENCE if has_reference else Start.DRAWN if draws else Start.TEXT
    return tuple(
        Start.OWN if image else Start.DRAWN if prompt else Start.BEFORE if chained and index else rest
        for index, (prompt, image) in enumerate(shots)
    )


def starts_of(job: Job, card: Card) -> tuple[Start, ...]:
    """Of a job that has a storyboard."""
    return starts(
        [(shot.keyframe_prompt, shot.keyframe_upload_id) for shot in job.storyboard.shots], chained=is_chained(job),
        has_reference=job.upload_id is not None, draws=draws_each(job.request.get("keyframe_model_id"), card),
    )


def is_chained(job: Job | NewJob) -> bool:
    return job.request.get("continuity") == Continuity.CHAIN


def first_image(job: Job, shot: Shot, folder: Path, references: References) -> Path | None:
    """The image that the shot starts from, once it is there: its keyframe, the last frame of the shot before it, the
    reference image; None where it starts from text.

    :param folder: the job's.
    """
    if shot.keyframe is not None:
        return folder / shot.keyframe
    if is_chained(job) and shot.index > 0:
        return folder / names.last_frame(jobs.shot_id(shot.index - 1))
    if job.upload_id is None:
        return None
    if (reference := references.find(job.upload_id)) is None:
        raise StepFailed("the reference image is gone", retryable=False, code="image_missing")
    return reference.path


def sha256_of(image: Path | None) -> str | None:
    """What identifies the image that a shot starts from.

    :raises StepFailed: where it is gone.
    """
    if image is None:
        return None
    try:
        return hashlib.sha256(image.read_bytes()).hexdigest()
    except FileNotFoundError as e:
        raise StepFailed("the image that the shot starts from is gone", retryable=False, code="image_missing") from e
