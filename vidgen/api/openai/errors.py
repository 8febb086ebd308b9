"""OpenAI's shape of an error, which every error on a path under ``/v1/`` has."""

from collections.abc import Mapping, Sequence
from typing import Any

from vidgen.errors import FieldError

PREFIX = "/v1/"
RETRY_IN_VAIN = frozenset({409, 501, 503, 507})
"""OpenAI's client tries these again within seconds by itself, which changes nothing here; so it is told not to."""

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def is_openai(path: str) -> bool:
    return path.startswith(PREFIX) or path == PREFIX[:-1]


def openai_body(status: int, detail: str, code: str, fields: Sequence[FieldError] = ()) -> dict[str, Any]:
    """``{"error": {message, type, param, code}}``; *fields* are in the message, the first of them is the param."""
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    param = fields[0].field if fields else None
    return {"error": {"message": detail, "type": kind, "param": param, "code": code}}


def openai_headers(status: int, code: str) -> Mapping[str, str]:
    """What its client is told beside: whether trying again can help."""
    in_vain = status in RETRY_IN_VAIN and code != "still_stopping"
    return {"x-should-retry": "false"} if in_vain else {}
