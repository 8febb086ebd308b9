"""The header that makes a repeated POST return the first one's job."""

from typing import Annotated

from fastapi import Depends, Header, Request

from vidgen.api.limits import MAX_IDEMPOTENCY_KEY_CHARS
from vidgen.errors import InvalidInput


async def _only_key(request: Request, idempotency_key: Annotated[str | None, Header(
    min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARS, pattern=r"^[!-~]+$",
    description="The same key and body again answer 200 with the first job; the same key with another body, 409",
)] = None) -> str | None:
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise InvalidInput.of("idempotency-key", "is given twice")
    return idempotency_key


IdempotencyKey = Annotated[str | None, Depends(_only_key)]
