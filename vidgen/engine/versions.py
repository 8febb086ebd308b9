"""A new version of a job, as a request: the parent's shots with what was changed, and all else as the parent had it.

What the parent left to defaults is said here as it came out, so that a default that has changed since does not change
the shots that stay. Knows no database and no file: which clips are really taken over is found out when it is planned
(``reuse.py``).
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vidgen.cards import Card
from vidgen.engine.accepted import Posting
from vidgen.engine.starts import Own, Start, draws_each, is_chained, starts
from vidgen.errors import Conflict, FieldError, InvalidInput
from vidgen.request import (
    MAX_SEED,
    MAX_SHOT_SECONDS,
    EditRequest,
    JobRequest,
    ShotChange,
    ShotRequest,
    StoryboardRequest,
)
from vidgen.types import Job, JobStatus, Shot, ShotPlan, ShotStatus, StepKind

RETRIED = (JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A shot of the new version."""

    shot: ShotRequest
    field: str                              # where the client's words for it are
    of: Shot | None = None                  # the parent's

    @property
    def own(self) -> Own:
        return self.shot.keyframe_prompt, self.shot.keyframe_image

    @property
    def plan(self) -> ShotPlan:
        return self.shot.plan()


def edited(parent: Job, change: EditRequest, card: Card) -> Posting:
    """*parent* with *change*.

    :param card: of the parent's video model.
    :raises Conflict: where the parent has not ended, or has no shots.
    :raises InvalidInput: where the change names shots that are not there, or changes nothing.
    """
    if not parent.status.ended:
        raise Conflict(f"job {parent.id} is {parent.status}; it can be edited once it has ended", code="not_ended")
    if parent.storyboard is None:
        said = f"job {parent.id} ended before it had shots; POST /api/v1/jobs/{parent.id}/retry begins it again"
        raise Conflict(said, code="not_planned")
    if problems := [*_problems(parent, change)]:
        raise InvalidInput(*problems)
    pieces, before = _changed(parent, change), _as_they_were(parent)
    title = change.title or parent.storyboard.title
    if title == parent.storyboard.title and [piece.plan for piece in pieces] == [piece.plan for piece in before]:
        retry = f"POST /api/v1/jobs/{parent.id}/retry tries the job again"
        instead = retry if parent.status in RETRIED else "a shot whose seed is null is rendered anew"
        raise InvalidInput.of("shots", f"nothing is changed; {instead}")
    priority = parent.priority if change.priority is None else change.priority
    return _posting(parent, pieces, title, card, priority)


def repeated(parent: Job, card: Card) -> Posting:
    """*parent* once more; its storyboard is kept where it has one.

    :raises Conflict: unless it failed or was cancelled.
    """
    if parent.status not in RETRIED:
        said = f"job {parent.id} is {parent.status}; only a job that failed or was cancelled can be tried again"
        raise Conflict(said, code="nothing_to_retry")
    if parent.storyboard is not None:
        return _posting(parent, _as_they_were(parent), parent.storyboard.title, card, parent.priority)
    if (own := parent.request.get("storyboard")) is None:
        return _posting(parent, [], None, card, parent.priority)
    board = StoryboardRequest.model_validate(own)
    pieces = [_Piece(shot, f"storyboard.shots.{index}") for index, shot in enumerate(board.shots)]
    return _posting(parent, pieces, board.title, card, parent.priority)


def replanned(parent: Job, card: Card) -> JobRequest:
    """What *parent* rendered with, and no shots: they are planned anew."""
    return _posting(parent, [], None, card, parent.priority).request


def _problems(parent: Job, change: EditRequest) -> Iterator[FieldError]:
    """What is wrong with the shots that *change* names."""
    named = [(f"shots.{place}.id", each.id) for place, each in enumerate(change.shots)]
    listed = [(f"order.{place}", each) for place, each in enumerate(change.order or ()) if isinstance(each, str)]
    known = [shot.id for shot in parent.storyboard.shots]
    for fields in (named, listed):
        seen: set[str] = set()
        for field, shot_id in fields:
            if shot_id not in known:
                yield FieldError(field, f"{parent.id} has no {shot_id}; its shots are {known[0]} to {known[-1]}")
            elif shot_id in seen:
                yield FieldError(field, f"{shot_id} is there twice")
            seen.add(shot_id)
    for field, shot_id in named:
        if change.order is not None and shot_id in known and shot_id not in change.order:
            yield FieldError(field, f"order leaves {shot_id} out")
    for place, each in enumerate(change.shots):
        if "description" in each.model_fields_set and each.description is None:
            yield FieldError(f"shots.{place}.description", "cannot be null; leave it out to keep it")


def _as_they_were(parent: Job) -> list[_Piece]:
    return [
        _Piece(_as_request(shot, parent.effective.num_frames), f"storyboard.shots.{shot.index}", shot)
        for shot in parent.storyboard.shots
    ]


def _as_request(shot: Shot, num_frames: int) -> ShotRequest:
    """What a client would say to get the shot again.

    :param num_frames: of shots that do not say how long they last.
    """
    own_length = shot.num_frames != num_frames
    return ShotRequest(
        description=shot.description, camera_move=shot.camera_move, seed=shot.seed, parameters=dict(shot.parameters),
        duration_seconds=min(shot.duration_seconds, MAX_SHOT_SECONDS) if own_length else None,
        keyframe_prompt=shot.keyframe_prompt, keyframe_image=shot.keyframe_upload_id,
    )


def _changed(parent: Job, change: EditRequest) -> list[_Piece]:
    """The shots of the new version, in order."""
    pieces = {piece.of.id: piece for piece in _as_they_were(parent)}
    for place, each in enumerate(change.shots):
        piece = pieces[each.id]
        pieces[each.id] = _Piece(_with(piece.shot, each), f"shots.{place}", piece.of)
    if change.order is None:
        return list(pieces.values())
    return [
        pieces[each] if isinstance(each, str) else _Piece(each, f"order.{place}")
        for place, each in enumerate(change.order)
    ]


def _with(shot: ShotRequest, change: ShotChange) -> ShotRequest:
    """*shot* with what *change* says of it. Of a keyframe's prompt and its image, the one that is given replaces the
    other.
    """
    said = change.model_fields_set - {"id"}
    values = {name: getattr(change, name) for name in said}
    values = {name: _default(name) if value is None else value for name, value in values.items()}
    for name, other in (("keyframe_prompt", "keyframe_image"), ("keyframe_image", "keyframe_prompt")):
        if values.get(name) is not None:
            values.setdefault(other, None)
    return shot.model_copy(update=values)


def _default(name: str) -> Any:
    """What null stands for in a change."""
    if name == "seed":
        return secrets.randbelow(MAX_SEED + 1)
    return ShotRequest.model_fields[name].get_default(call_default_factory=True)


def _posting(parent: Job, pieces: Sequence[_Piece], title: str | None, card: Card, priority: int) -> Posting:
    """:param pieces: none where the shots are still to be planned; there is no *title* then."""
    found = _starts(parent, [piece.own for piece in pieces] or [(None, None)], card)
    settings = _settings(parent) | {"priority": priority}
    if Start.DRAWN in found:
        settings |= _drawing(parent, card)
    if parent.upload_id or any(piece.shot.keyframe_image for piece in pieces):
        settings["focus"] = parent.request.get("focus", (0.5, 0.5))
    if title is not None:
        settings["storyboard"] = StoryboardRequest(title=title, shots=[piece.shot for piece in pieces])
    request = JobRequest.model_validate(settings)
    return Posting(request, parent, [piece.field for piece in pieces], _reused(parent, pieces, found, card))


def _settings(parent: Job) -> dict[str, Any]:
    """What every new version has of its parent."""
    request, effective = parent.request, parent.effective
    names = ("max_shots", "style_preferences", "reference_image", "continuity", "fit", "save_frames")
    return {name: request[name] for name in names if name in request} | {
        "user_prompt": request["user_prompt"], "model_id": parent.model_id, "seed": parent.seed,
        "width": effective.width, "height": effective.height, "fps": effective.fps,
        "num_frames": effective.num_frames, "num_inference_steps": effective.num_inference_steps,
        "negative_prompt": effective.negative_prompt, "parameters": effective.parameters,
    }


def _drawing(parent: Job, card: Card) -> dict[str, Any]:
    """How its keyframes are drawn. To name the model would have one drawn for every shot, where none is needed."""
    model_id, asked = parent.keyframe_model_id, parent.request.get("keyframe_model_id")
    if model_id is None or not (parent.upload_id or draws_each(asked, card)):
        same = model_id is not None and model_id == card.keyframe_model
        return {"keyframe_parameters": parent.keyframe_parameters} if same else {}
    return {"keyframe_model_id": model_id, "keyframe_parameters": parent.keyframe_parameters}


def _starts(parent: Job, own: Sequence[Own], card: Card) -> tuple[Start, ...]:
    asked = parent.request.get("keyframe_model_id")
    return starts(
        own, chained=is_chained(parent), has_reference=parent.upload_id is not None, draws=draws_each(asked, card)
    )


def _reused(
    parent: Job, pieces: Sequence[_Piece], found: Sequence[Start], card: Card
) -> Mapping[StepKind, Sequence[int]]:
    """The shots of which the parent seems to have the clip, and those of which it has the keyframe."""
    before = _as_they_were(parent) if parent.storyboard else []
    were = _starts(parent, [piece.own for piece in before], card)
    reused: dict[StepKind, list[int]] = {StepKind.RENDER: [], StepKind.KEYFRAME: []}
    for index, piece in enumerate(pieces):
        if piece.of is None or found[index] is not were[piece.of.index]:
            continue
        is_same = piece.of.status is ShotStatus.COMPLETED and piece.plan == before[piece.of.index].plan
        if is_same and (found[index] is not Start.BEFORE or _follows(pieces, index, reused[StepKind.RENDER])):
            reused[StepKind.RENDER].append(index)
        elif found[index] is Start.DRAWN and piece.of.keyframe_key and _draws_alike(piece.shot, piece.of):
            reused[StepKind.KEYFRAME].append(index)
    return reused


def _follows(pieces: Sequence[_Piece], index: int, clips: Sequence[int]) -> bool:
    """Whether a shot comes after the same clip as in the parent, whose last frame it starts from."""
    return index - 1 in clips and pieces[index - 1].of.index == pieces[index].of.index - 1


def _draws_alike(shot: ShotRequest, of: Shot) -> bool:
    """Whether the keyframe of *shot* would be the one that *of* has."""
    text = shot.keyframe_prompt or shot.description
    return shot.seed == of.seed and text == (of.keyframe_prompt or of.description)
