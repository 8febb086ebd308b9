"""The one shape of every error answer, and the handlers that bring every failure into it.

What is ours says what it says; what is not becomes "internal error" and an id that is in the log. Under ``/v1/`` the
shape is OpenAI's.
"""

import logging
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from vidgen.api.limits import MAX_FIELD_CHARS, MAX_FIELDS_NAMED, MAX_MESSAGE_CHARS
from vidgen.api.openai.errors import is_openai, openai_body, openai_headers
from vidgen.errors import FieldError, InvalidInput, QueueFull, Unauthorized, VidgenError
from vidgen.request import MODEL_ID, SHOT_ID, STYLE_KEY

log = logging.getLogger(__name__)

METHODS = ("GET", "POST", "PATCH", "DELETE")
"""Those that routes are written for; HEAD and OPTIONS follow from them."""

_OUR_WORDS = {
    "missing": "is required", "extra_forbidden": "is not a field of this request",
    "none_required": "is filled by the server; leave it out", "tuple_type": "must be a list",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "must be an object"),
}
"""By pydantic's kind of complaint, where its own words speak of Python."""

_PATTERNS = {
    MODEL_ID: "must be a model's id, such as stub:animatic; GET /api/v1/models lists them",
    SHOT_ID: "must be a shot's id, such as shot_001",
    STYLE_KEY: "must begin with a letter, and be letters, digits, spaces, _ and -",
}


def timestamp(seconds: float | None = None) -> str:
    """*seconds* since the epoch, or now, as ``2026-01-31T10:30:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class ProblemResponse(JSONResponse):
    """An error answer; which shape it has, the path that was asked for decides."""

    def __init__(
        self, status: int, title: str, detail: str, code: str, fields: Sequence[FieldError], headers: Mapping[str, str]
    ):
        body: dict[str, Any] = {"error": title, "detail": detail, "timestamp": timestamp(), "code": code}
        if fields:
            body["fields"] = [{"field": f.field, "message": f.message} for f in fields]
        super().__init__(body, status, dict(headers))
        self._openai = openai_body(status, detail, code, fields), {**headers, **openai_headers(status, code)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not is_openai(scope["path"]):
            return await super().__call__(scope, receive, send)
        body, headers = self._openai
        return await JSONResponse(body, self.status_code, headers)(scope, receive, send)


def problem(
    status: int, title: str, detail: str, code: str,
    fields: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """An error answer."""
    return ProblemResponse(status, title, detail, code, fields, headers or {})


def problem_of(error: VidgenError) -> JSONResponse:
    """The answer that *error* becomes."""
    headers = {}
    if isinstance(error, QueueFull):
        headers["Retry-After"] = str(max(1, error.retry_after_s))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    fields = error.fields if isinstance(error, InvalidInput) else ()
    return problem(error.status, error.title, error.detail, error.code, fields, headers)


def internal(error: BaseException, **where: str) -> JSONResponse:
    """The answer to a failure that is not ours; its text goes to the log and nowhere else."""
    mark = secrets.token_hex(6)
    log.error("internal error", exc_info=error, extra={"error_id": mark, **where})
    return problem(500, "Internal error", f"internal error {mark}", "internal_error")


def invalid(errors: Iterable[Mapping[str, Any]]) -> InvalidInput:
    """pydantic's complaints as ours."""
    return InvalidInput(*(_field_error(e) for e, _ in zip(errors, range(MAX_FIELDS_NAMED), strict=False)))


def install(app: FastAPI) -> None:
    """Make every failure inside *app* answer in the one shape."""
    app.add_exception_handler(VidgenError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _ours(request: Request, error: VidgenError) -> Response:
    if error.status == 500:
        return internal(error, method=request.method, path=request.url.path)
    return problem_of(error)


async def _validation(request: Request, error: RequestValidationError) -> Response:
    return problem_of(invalid(error.errors()))


async def _unexpected(request: Request, error: Exception) -> Response:
    return internal(error, method=request.method, path=request.url.path)


async def _http(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        return _wrong_method(request)
    phrase = HTTPStatus(error.status_code).phrase
    detail = f"there is nothing at {request.url.path[:MAX_FIELD_CHARS]}" if error.status_code == 404 else error.detail
    return problem(error.status_code, phrase.capitalize(), detail, phrase.lower().replace(" ", "_"), (), error.headers)


def _wrong_method(request: Request) -> Response:
    allow = {"Allow": ", ".join(allowed_methods(request.app, request.scope))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    detail = f"{request.method[:20]} is not possible here; {allow['Allow']} are"
    return problem(405, "Method not allowed", detail, "method_not_allowed", (), allow)


def allowed_methods(app: FastAPI, scope: Scope) -> list[str]:
    """Every method that some route of *app* takes at the path of *scope*."""
    methods = [
        method for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]
    return sorted([*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])])


def _field_error(error: Mapping[str, Any]) -> FieldError:
    where = [str(part) for part in error["loc"]]
    if len(where) > 1 and where[0] in ("body", "query", "path", "header"):
        where = where[1:]
    if len(where) > 1 and where[-1] == "[key]":     # of an object: the name itself is wrong
        where.pop()
    return FieldError(".".join(where)[:MAX_FIELD_CHARS], _message(error)[:MAX_MESSAGE_CHARS])


def _message(error: Mapping[str, Any]) -> str:
    if words := _OUR_WORDS.get(error["type"]):
        return words
    if words := _PATTERNS.get(error.get("ctx", {}).get("pattern")):
        return words
    _, should, rest = error["msg"].partition(" should ")
    return f"must {rest.replace(' after validation', '')}" if should else error["msg"].removeprefix("Value error, ")
