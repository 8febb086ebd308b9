"""What goes over the wire to Replicate, with bounds on everything: time, size, and the hosts that see the token.

Stands below the SDK, whose own retries would sleep for as long as a ``Retry-After`` says, and whose calls drop their
time-outs. Errors come out as :class:`Refused` or :class:`Unreachable`, so those retries never see one.
"""

import json
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

import httpx

TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 30.0, "pool": 10.0}
"""Seconds for each part of a call."""

ANSWER_S = 60.0                         # for all of an answer's body
MAX_ANSWER_BYTES = 32 * 2**20           # a page of a hundred predictions with their logs
MAX_ERROR_BYTES = 64 * 2**10


class ServiceError(Exception):
    """Base of what can go wrong with one call."""

    passing = False                     # whether the same call may succeed later
    retry_after_s: float | None = None


class Refused(ServiceError):
    """Replicate answered, with an error.

    :param detail: in Replicate's words, not to be shown as it stands.
    """

    def __init__(self, status: int, detail: str, retry_after_s: float | None = None):
        super().__init__(f"status {status}: {detail}")
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.passing = status in (408, 425, 429) or status >= 500


class Unreachable(ServiceError):
    """No answer came, or none that can be used.

    :param sent: whether Replicate may have got the request all the same.
    """

    passing = True

    def __init__(self, why: str, *, sent: bool = True):
        super().__init__(why)
        self.sent = sent


@cache
def certificates() -> ssl.SSLContext:
    """Those that are trusted. Reading them takes 25 ms, and every render has connections of its own."""
    return httpx.create_ssl_context()


class Transport(httpx.BaseTransport):
    """:param base_url: the one place that requests go to."""

    def __init__(self, base_url: str):
        self._home = httpx.URL(base_url)
        self._inner = httpx.HTTPTransport(verify=certificates())
        self._said = threading.local()

    @property
    def body(self) -> bytes:
        """Of the last good answer that the calling thread got; empty before there was one."""
        return getattr(self._said, "body", b"")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if _origin(request.url) != _origin(self._home):
            raise Unreachable("the request would take the token to another host", sent=False)
        self._said.body = b""
        request.extensions = {**request.extensions, "timeout": TIMEOUTS}
        try:
            response = self._inner.handle_request(request)
            body = _read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as e:
            raise Unreachable(type(e).__name__, sent=False) from e
        except httpx.TransportError as e:
            raise Unreachable(type(e).__name__) from e
        if not response.is_success:
            raise Refused(response.status_code, _detail(body), _retry_after(response.headers.get("retry-after")))
        self._said.body = body
        return httpx.Response(response.status_code, headers={"content-type": "application/json"}, content=body)

    def close(self) -> None:
        self._inner.close()


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _read(response: httpx.Response) -> bytes:
    """The body of *response*, within its bounds."""
    most = MAX_ANSWER_BYTES if response.is_success else MAX_ERROR_BYTES
    deadline = time.monotonic() + ANSWER_S
    if response.headers.get("content-encoding", "identity") != "identity":
        response.close()
        raise Unreachable("the answer is compressed, which was not asked for")
    body = bytearray()
    try:
        for chunk in response.stream:
            body += chunk
            if len(body) > most or time.monotonic() > deadline:
                raise Unreachable("the answer is too long, or takes too long")
    finally:
        response.close()
    return bytes(body)


def _detail(body: bytes) -> str:
    try:
        said: Any = json.loads(body)
    except ValueError:
        return ""
    detail = said.get("detail") or said.get("title") if isinstance(said, dict) else None
    return detail if isinstance(detail, str) else ""


def _retry_after(value: str | None) -> float | None:
    """A ``Retry-After`` in seconds, be it a number or a date; None where it is neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
