"""Files of jobs: the finished video, and what the URLs in answers name. Ranges, HEAD, and caching by ETag."""

import asyncio
import os
import re
from email.utils import formatdate
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Any, BinaryIO

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from starlette.types import Receive, Scope, Send

from vidgen.api.body import StrictRoute
from vidgen.api.calls import Drawing, EngineHere
from vidgen.api.errors import problem
from vidgen.api.guard import HEAD
from vidgen.api.limits import KB, SEND_IDLE_S
from vidgen.api.sockets import EXTENSION
from vidgen.api.wire import JobId, errors
from vidgen.engine.sheets import CONTACT_SHEET
from vidgen.errors import NotFound

CHUNK_BYTES = 256 * KB
TYPES = {
    ".mp4": "video/mp4", ".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".json": "application/json",
    ".zip": "application/zip",
}

router = APIRouter(tags=["Files"])
strict = APIRouter(tags=["Jobs"], route_class=StrictRoute)

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class OpenFile:
    """A file held open, so that it can be sent whole even if it is deleted meanwhile."""

    def __init__(self, path: Path):
        try:
            self.file: BinaryIO = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except OSError:
            raise NotFound(f"there is no file {path.name!r}") from None
        about = os.fstat(self.file.fileno())
        if not S_ISREG(about.st_mode):
            self.file.close()
            raise NotFound(f"there is no file {path.name!r}")
        self.size = about.st_size
        self.etag = f'"{about.st_ino:x}-{about.st_size:x}-{about.st_mtime_ns:x}"'
        self.modified = formatdate(about.st_mtime, usegmt=True)
        self.media_type = TYPES.get(path.suffix, "application/octet-stream")

    def read(self, start: int, size: int) -> bytes:
        return os.pread(self.file.fileno(), size, start)


class FileAnswer(Response):
    """The bytes of *file* from *start* up to *stop*."""

    def __init__(self, file: OpenFile, start: int, stop: int, status: int, headers: dict[str, str]):
        super().__init__(None, status, headers, file.media_type)
        self.headers["content-length"] = str(stop - start)
        self._file, self._start, self._stop = file, start, stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if not scope.get(HEAD):
                await self._send_file(send)
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            scope["extensions"][EXTENSION].drop()
        finally:
            self._file.file.close()

    async def _send_file(self, send: Send) -> None:
        at = self._start
        while at < self._stop:
            chunk = await to_thread.run_sync(self._file.read, at, min(CHUNK_BYTES, self._stop - at))
            if not chunk:
                raise OSError("a published file has become shorter")
            at += len(chunk)
            async with asyncio.timeout(SEND_IDLE_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


def answer_file(path: Path, request: Request, *, download_as: str | None = None) -> Response:
    """The answer that gives *path*, or the part of it that was asked for.

    :raises NotFound: it is not there any more.
    """
    file = OpenFile(path)
    headers = {"Accept-Ranges": "bytes", "ETag": file.etag, "Last-Modified": file.modified, "Cache-Control": "no-cache"}
    if download_as is not None:
        headers["Content-Disposition"] = f'attachment; filename="{download_as}"'
    if _is_known(request, file):
        file.file.close()
        return Response(status_code=304, headers=headers)
    asked = _asked_range(request, file)
    if asked is None:
        return FileAnswer(file, 0, file.size, 200, headers)
    start, stop = asked
    if start >= stop:
        file.file.close()
        return problem(
            416, "Range not satisfiable", f"the file has {file.size} bytes", "range_not_satisfiable", (),
            {"Content-Range": f"bytes */{file.size}"},
        )
    return FileAnswer(file, start, stop, 206, headers | {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}"})


def _is_known(request: Request, file: OpenFile) -> bool:
    """Whether the client has this very file."""
    known = request.headers.get("if-none-match")
    if known is not None:
        return known.strip() == "*" or file.etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return request.headers.get("if-modified-since") == file.modified


def _asked_range(request: Request, file: OpenFile) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole: no range, several, not one, or of another file.

    Ranges are for GET alone (RFC 9110, 14.2).
    """
    if request.scope.get(HEAD):
        return None
    asked = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if asked is None or request.headers.get("if-range", file.etag) not in (file.etag, file.modified):
        return None
    first, last = asked.groups()
    if not first and not last:
        return None
    if not first:
        return max(0, file.size - int(last)), file.size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1 if last else file.size, file.size)


BYTES = {"schema": {"type": "string", "format": "binary"}}


def described(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of the answers that :func:`answer_file` gives."""
    return {
        200: {"description": "The file", "content": content},
        206: {"description": "The part asked for", "content": content},
        304: {"description": "The client has it"},
    }


VIDEO = described({"video/mp4": BYTES})
FILE = described({kind: {} if kind == "application/json" else BYTES for kind in TYPES.values()})


CONDITIONS = {"parameters": [
    {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}
    for name, description in (
        ("Range", "One range of bytes, such as `bytes=0-99`"), ("If-Range", "The ETag that the range belongs to"),
        ("If-None-Match", "The ETag that the client has"),
    )
]}
"""The headers that an answer depends on; they are never wrong, only without effect."""


@strict.get(
    "/api/v1/jobs/{job_id}/video", summary="Download the finished video", response_class=Response,
    responses=errors(404, 409, 416) | VIDEO, openapi_extra=CONDITIONS,
)
def get_video(request: Request, engine: EngineHere, job_id: JobId) -> Response:
    return answer_file(engine.video(job_id), request, download_as=f"{job_id}.mp4")


@router.get(
    "/videos/{job_id}/{file}", summary="A file that a job's answers name", response_class=Response,
    responses=errors(404, 416, 507) | FILE, openapi_extra=CONDITIONS,
)
async def get_file(
    request: Request, engine: EngineHere, drawing: Drawing, job_id: JobId,
    file: Annotated[str, PathParameter(examples=["final_output.mp4"])],
) -> Response:
    def answer() -> Response:
        return answer_file(engine.file(job_id, file), request)

    return await (drawing(answer) if file == CONTACT_SHEET else to_thread.run_sync(answer))
