"""A client's own shots, checked against the model that will render them."""

from collections.abc import Iterator, Sequence

from vidgen.engine.references import NO_UPLOAD, References
from vidgen.errors import FieldError, InvalidInput
from vidgen.registry import Model
from vidgen.request import ShotRequest
from vidgen.types import Effective

FRAMES_TOLERANCE = 0.51
"""A shot's length may be off by half a frame; more is a length that the model cannot make."""


def check(
    shots: Sequence[ShotRequest], fields: Sequence[str], model: Model, effective: Effective, references: References, *,
    testing: bool,
) -> None:
    """Each shot is rendered as it says, or refused.

    :param fields: where each shot stands in what the client sent.
    :param testing: whether parameters marked ``testing`` are taken.
    :raises InvalidInput: naming each field that the model cannot do, or whose upload is not there.
    """
    problems = []
    for shot, field in zip(shots, fields, strict=True):
        problems += _length_problems(shot, field, model, effective)
        problems += model.card.resolve_parameters(shot.parameters, f"{field}.parameters", testing=testing)[1]
        problems += _image_problems(shot, field, model)
        if shot.keyframe_image is not None and references.named(shot.keyframe_image) is None:
            problems.append(FieldError(f"{field}.keyframe_image", NO_UPLOAD))
    if problems:
        raise InvalidInput(*problems)


def _length_problems(shot: ShotRequest, field: str, model: Model, effective: Effective) -> Iterator[FieldError]:
    if shot.duration_seconds is None:
        return
    frames = model.card.frames_for(shot.duration_seconds, effective.fps)
    if abs(frames - shot.duration_seconds * effective.fps) > FRAMES_TOLERANCE:
        nearest = f"{frames / effective.fps:g} s ({frames} frames at {effective.fps:g} fps)"
        yield FieldError(f"{field}.duration_seconds", f"the nearest that {model.id} makes is {nearest}")


def _image_problems(shot: ShotRequest, field: str, model: Model) -> Iterator[FieldError]:
    if shot.keyframe_image is not None and shot.keyframe_prompt is not None:
        yield FieldError(f"{field}.keyframe_prompt", "the shot has a keyframe_image; leave one of them out")
    if not model.card.capabilities.image_to_video:
        for name in ("keyframe_image", "keyframe_prompt"):
            if getattr(shot, name) is not None:
                yield FieldError(f"{field}.{name}", f"{model.id} takes no image")
