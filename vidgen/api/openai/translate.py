"""From what OpenAI's client asks for to a job of ours. Bounds and words are those of ``vidgen/request.py``."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from vidgen.api.errors import invalid
from vidgen.api.openai.form import Picture, Sent
from vidgen.api.openai.lengths import lengths_for, seconds_of
from vidgen.api.openai.pictures import picture_in
from vidgen.api.openai.typed import Schema, typed
from vidgen.cards import Card
from vidgen.engine.engine import Engine
from vidgen.engine.versions import replanned
from vidgen.errors import FieldError, InvalidInput, NotFound
from vidgen.request import MAX_SHOT_SECONDS, MAX_SHOTS, Asked, JobRequest
from vidgen.types import Job

DEFAULT_SECONDS = 4.0
"""OpenAI's, where nothing says how long the video is to be."""

THEIR_MODELS = re.compile(r"sora(-.+)?")
"""Names of OpenAI's own: programs have them built in. The server's default model serves, and the answer says so."""

SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
LENGTHS = frozenset({"max_shots", "num_frames", "storyboard"})
ELSEWHERE = {
    "user_prompt": "is called prompt here", "model_id": "is called model here",
    "dry_run": "is not possible here; POST /api/v1/jobs takes it",
}
NAMES = {
    "user_prompt": "prompt", "model_id": "model", "reference_image": "input_reference", "file": "input_reference",
    "width": "size", "height": "size", "max_shots": "seconds", "num_frames": "seconds",
}
"""What our fields are called here, where the client did not use our name itself."""

M = TypeVar("M", bound=BaseModel)


class VideoFields(Asked):
    """The fields of a create that OpenAI has; the rest are those of a job."""

    prompt: str
    model: str | None = Field(None, min_length=1, max_length=100)
    seconds: float | None = Field(None, gt=0, le=MAX_SHOTS * MAX_SHOT_SECONDS, strict=True)
    size: str | None = None


class PromptFields(Asked):
    """The fields of a remix."""

    prompt: str


class VideoName(Asked):
    id: str = Field(min_length=1, max_length=100)


class EditFields(Asked):
    """The fields of an edit."""

    prompt: str
    video: VideoName


def checked(model: type[M], fields: Mapping[str, Any]) -> M:
    """*fields* as *model* takes them.

    :raises InvalidInput: naming those that it does not.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as e:
        raise invalid(e.errors(include_url=False)) from None


def prompted(model: type[M], sent: Sent) -> M:
    """The fields of a remix or an edit.

    :raises InvalidInput: also where it came with a file.
    """
    if sent.picture is not None:
        raise InvalidInput.of(sent.picture.field, "is a file; name a video that was made here instead")
    schema = model.model_json_schema()
    return checked(model, typed(sent.fields, schema, schema) if sent.is_form else sent.fields)


@contextmanager
def in_their_names(given: Collection[str]) -> Iterator[None]:
    """Let complaints name the fields as this API calls them, unless the client named them as we do."""
    try:
        yield
    except InvalidInput as e:
        raise InvalidInput(*(_renamed(each, given) for each in e.fields), code=e.code) from None


def _renamed(error: FieldError, given: Collection[str]) -> FieldError:
    head = error.field.partition(".")[0]
    return error if head in given or head not in NAMES else FieldError(NAMES[head], error.message)


def job_request(engine: Engine, sent: Sent) -> tuple[JobRequest, Picture | None]:
    """What a create asks for, and the image that has to be taken in for it first.

    :raises InvalidInput, NotFound, ModelUnavailable: as a job would be refused.
    """
    theirs, ours = _split(sent.fields)
    picture, upload_id = picture_in(sent)
    if upload_id is not None or picture is not None:
        if "reference_image" in ours:
            raise InvalidInput.of("reference_image", "is called input_reference here; leave one of them out")
        ours |= {"reference_image": upload_id} if upload_id else {}
    from_image = bool(picture or ours.get("reference_image") or ours.get("keyframe_model_id"))
    model_id = None if theirs.model is None or THEIR_MODELS.fullmatch(theirs.model) else theirs.model
    model = engine.video_model(model_id, from_image=from_image)
    if sent.is_form:
        schema = _schema(model.card, _drawing(engine, model.card, ours.get("keyframe_model_id")))
        ours = typed(ours, schema, schema)
    request = checked(JobRequest, ours | {"user_prompt": theirs.prompt, "model_id": model.id})
    further = _size(theirs.size, model.card, ours) | _length(theirs.seconds, model.card, request)
    return checked(JobRequest, request.model_dump(exclude_unset=True) | further), picture


def remix_request(engine: Engine, job: Job, prompt: str) -> JobRequest:
    """A job with everything that *job* rendered with, its seed too, but another prompt and so another plan."""
    card = engine.video_model(job.model_id).card
    values = replanned(job, card).model_dump(exclude_unset=True) | {"user_prompt": prompt}
    if job.request.get("storyboard"):       # its own shots, of any length
        values |= lengths_for(seconds_of(job), card, job.effective.fps)
    return checked(JobRequest, values)


def _split(fields: Mapping[str, Any]) -> tuple[VideoFields, dict[str, Any]]:
    """OpenAI's own fields, checked, and the others."""
    theirs = {name: value for name, value in fields.items() if name in VideoFields.model_fields}
    if isinstance(theirs.get("seconds"), str):      # always one in OpenAI's words, in JSON too
        theirs["seconds"] = typed(theirs["seconds"], {"type": "number"}, {}, "seconds")
    ours = {name: value for name, value in fields.items() if name not in theirs and name != "input_reference"}
    wrong = [FieldError(name, said) for name, said in ELSEWHERE.items() if name in ours]
    if wrong:
        raise InvalidInput(*wrong)
    return checked(VideoFields, theirs), ours


def _size(said: str | None, card: Card, ours: Collection[str]) -> dict[str, int]:
    if said is None:
        return {}
    if "width" in ours or "height" in ours:
        raise InvalidInput.of("size", "is given as width and height too; leave one of them out")
    if (found := SIZE.fullmatch(said)) is None:
        raise InvalidInput.of("size", "must be WIDTHxHEIGHT in pixels, such as 1280x720")
    width, height = int(found[1]), int(found[2])
    if (nearest := card.nearest_size(width, height)) != (width, height):
        raise InvalidInput.of("size", "{} does not make {}; the nearest is {}x{}".format(card.id, said, *nearest))
    return {"width": width, "height": height}


def _length(seconds: float | None, card: Card, request: JobRequest) -> dict[str, int]:
    if seconds is not None and request.storyboard is not None:
        raise InvalidInput.of("seconds", "the storyboard says how long its shots last; leave one of them out")
    if seconds is None and LENGTHS & request.model_fields_set:
        return {}
    given = request.max_shots if "max_shots" in request.model_fields_set else MAX_SHOTS
    fps = request.fps or float(card.fps.default)
    return lengths_for(seconds or DEFAULT_SECONDS, card, fps, most_shots=given, num_frames=request.num_frames)


def _drawing(engine: Engine, card: Card, asked: Any) -> Card | None:
    """The card of the model that would draw keyframes."""
    try:
        return engine.registry.model(str(asked or card.keyframe_model)).card
    except NotFound:
        return None


def _schema(card: Card, drawing: Card | None) -> Schema:
    """A job's schema, with the parameters of these models in it."""
    schema, own = _job_schema(), _parameters(card)
    shot = schema["$defs"]["ShotRequest"]
    shot = shot | {"properties": shot["properties"] | {"parameters": own}}
    properties = schema["properties"] | {"parameters": own, "keyframe_parameters": _parameters(drawing)}
    return schema | {"properties": properties, "$defs": schema["$defs"] | {"ShotRequest": shot}}


@cache
def _job_schema() -> dict[str, Any]:
    return JobRequest.model_json_schema()


def _parameters(card: Card | None) -> Schema:
    parameters = card.parameters if card else {}
    return {"type": "object", "properties": {name: each.schema() for name, each in parameters.items()}}
