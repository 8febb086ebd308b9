"""Reference images: one multipart field, ``file``, and nothing else."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere, Slow
from vidgen.api.limits import MAX_FIELD_CHARS
from vidgen.api.wire import UploadAnswer, errors
from vidgen.errors import FieldError, InvalidInput, TooLarge
from vidgen.media.files import full_disk_is_ours
from vidgen.media.images import MAX_UPLOAD_BYTES

MAX_NAME_CHARS = 255

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
    async with await _form(request) as form:
        file = _only_file(form)
        size = file.size or 0
        if size > MAX_UPLOAD_BYTES:
            raise TooLarge(f"the file is larger than {MAX_UPLOAD_BYTES:,} bytes")
        if size == 0:
            raise InvalidInput.of("file", "is empty")
        upload = await slow(engine.add_upload, _shown_name(file.filename or ""), file.file, size)
        return UploadAnswer.of(upload, engine.workspace.public(upload.path))


class _Form:
    """The parsed form; its temporary files are closed at the end."""

    def __init__(self, form: FormData):
        self._form = form

    async def __aenter__(self) -> FormData:
        return self._form

    async def __aexit__(self, *_: object) -> None:
        await self._form.close()


async def _form(request: Request) -> _Form:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise InvalidInput.of("Content-Type", "must be multipart/form-data")
    try:
        with full_disk_is_ours():
            return _Form(await request.form(max_files=2, max_fields=2, max_part_size=MAX_FIELD_CHARS))
    except HTTPException as e:
        if e.status_code != 400:
            raise
        raise InvalidInput.of("body", "is not a form with one file") from None


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


def _shown_name(name: str) -> str:
    """The client's own name for the file, to show: its last part, printable, bounded."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:MAX_NAME_CHARS] or "image"
