"""How ``/openapi.json`` describes the bodies of OpenAI's routes: they are read by hand, so it cannot be derived."""

from typing import Any

from vidgen.api.openai.translate import ELSEWHERE
from vidgen.request import JobRequest

REFERENCE = {"description": "The image that the video begins with", "anyOf": [
    {"type": "object", "required": ["image_url"], "additionalProperties": False, "properties": {"image_url": {
        "type": "string", "pattern": "^data:image/", "description": "A data: URL; no other is opened"}}},
    {"type": "object", "required": ["file_id"], "additionalProperties": False, "properties": {"file_id": {
        "type": "string", "maxLength": 300, "description": "Of `POST /api/v1/upload`"}}},
    {"type": "string", "description": "Either of them alone"},
]}
FILE = {"description": "The image that the video begins with: JPEG, PNG or WebP, at most 10 MB", "anyOf": [
    {"type": "string", "format": "binary"}, *REFERENCE["anyOf"][:2],
]}
FIELDS = JobRequest.model_json_schema(ref_template="#/components/schemas/{model}")["properties"]
PROMPT = {"prompt": FIELDS["user_prompt"]}
SOURCE = {"type": "object", "required": ["id"], "additionalProperties": False, "properties": {"id": {
    "type": "string", "minLength": 1, "maxLength": 100}}}
EXAMPLES = {"prompt": {"summary": "A prompt", "value": {
    "model": "stub:animatic", "prompt": "A peaceful forest at sunrise", "seconds": "4", "size": "640x360",
}}}
NIGHT = {"night": {"summary": "Another prompt", "value": {"prompt": "The same forest at night"}}}


def _of_form(schema: dict[str, Any]) -> dict[str, Any]:
    """A form has no null: what is null is left out."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return schema | {"anyOf": kinds} if kinds else schema


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "additionalProperties": False, "properties": properties}


def _create(reference: dict[str, Any]) -> dict[str, Any]:
    """The fields of a create."""
    ours = {name: each for name, each in FIELDS.items() if name not in (*ELSEWHERE, "reference_image")}
    return {
        **PROMPT,
        "model": {"type": "string", "minLength": 1, "maxLength": 100, "examples": ["stub:animatic"], "description": (
            "Left out, or one of OpenAI's own: the server's default model, and the answer says which")},
        "seconds": {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?$"}, {
            "type": "number", "exclusiveMinimum": 0, "maximum": 720}], "description": (
            "Shots and frames are chosen so that the video comes nearest; 4, where nothing says how long it is to be")},
        "size": {"type": "string", "pattern": r"^[1-9]\d{0,4}x[1-9]\d{0,4}$", "examples": ["1280x720"]},
        "input_reference": reference, **ours,
    }


def _body(**content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {
        {"json": "application/json", "form": "multipart/form-data"}[kind]: each for kind, each in content.items()
    }}}


CREATE = _body(
    json={"schema": _object(_create(REFERENCE), "prompt"), "examples": EXAMPLES},
    form={"schema": _object({name: _of_form(each) for name, each in _create(FILE).items()}, "prompt")},
)
REMIX = _body(json={"schema": _object(PROMPT, "prompt"), "examples": NIGHT}, form={"schema": _object(PROMPT, "prompt")})
EDIT = _body(form={"schema": _object({**PROMPT, "video": SOURCE}, "prompt", "video")})
