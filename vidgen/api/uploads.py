"""Reference images: one multipart field, ``file``, and nothing else."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile

from vidgen.api.body import StrictRoute, content_type, open_form, shown_name
from vidgen.api.calls import EngineHere, Slow
from vidgen.api.limits import MAX_FIELD_CHARS
from vidgen.api.wire import UploadAnswer, errors
from vidgen.errors import FieldError, InvalidInput, TooLarge
from vidgen.media.images import MAX_UPLOAD_BYTES

NO_FORM = "is not a form with one file"

router = APIRouter(tags=["Upload"], route_class=StrictRoute)

BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {
    "type": "object", "required": ["file"], "additionalProperties": False,
    "properties": {"file": {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP, at most 10 MB"}},
}, "encoding": {"file": {"contentType": "image/jpeg, image/png, image/webp"}}}}}}


@router.post(
    "/api/v1/upload", response_model=UploadAnswer, summary="Upload a reference image", openapi_extra=BODY,
    responses=errors(400, 408, 507),
)
async def post_upload(request: Request, engine: EngineHere, slow: Slow) -> UploadAnswer:
    if content_type(request) != "multipart/form-data":
        raise InvalidInput.of("Content-Type", "must be multipart/form-data")
    async with open_form(request, files=2, fields=2, part_bytes=MAX_FIELD_CHARS, otherwise=NO_FORM) as form:
        file = _only_file(form)
        size = file.size or 0
        if size > MAX_UPLOAD_BYTES:
            raise TooLarge(f"the file is larger than {MAX_UPLOAD_BYTES:,} bytes")
        if size == 0:
            raise InvalidInput.of("file", "is empty")
        upload = await slow(engine.add_upload, shown_name(file.filename), file.file, size)
        return UploadAnswer.of(upload, engine.workspace.public(upload.path))


def _only_file(form: FormData) -> UploadFile:
    wrong = [
        FieldError(name[:MAX_FIELD_CHARS], "is not a field of this form") for name in form if name != "file"
    ]
    given = form.getlist("file")
    if len(given) != 1:
        wrong.append(FieldError("file", "is given twice" if given else "is required"))
    elif not isinstance(given[0], UploadFile):
        wrong.append(FieldError("file", "must be a file, not text"))
    if wrong:
        raise InvalidInput(*wrong)
    return given[0]
