"""What every error answer has."""

import re
from typing import Any

UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def error(answer: Any, status: int, code: str, *fields: str) -> str:
    """Check an error answer's shape, status, code and the fields it names; returns its detail."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "detail", "timestamp", "code"} | ({"fields"} if fields else set())
    assert body["code"] == code
    assert isinstance(body["detail"], str) and body["detail"]
    assert UTC.fullmatch(body["timestamp"])
    assert [field["field"] for field in body.get("fields", [])] == list(fields)
    return body["detail"]
