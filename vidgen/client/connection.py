"""The line to the server: requests, what is repeated and for how long, and failures as exceptions. Knows no route."""

import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from vidgen.client.errors import ApiError, ConnectionFailed, InvalidRequest, error_of, json_of, retry_after_s

DEFAULT_URL = "http://127.0.0.1:8000"
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
PAUSES_S = (0.1, 0.2, 0.4)
"""Between the attempts at one request: there are four."""

MAX_PAUSE_S = 10
"""A ``Retry-After`` beyond this is for the caller to decide about."""

AGAIN = (502, 503, 504)
"""Answers that are asked for again where they say when."""

PASSING = (429, *AGAIN)
"""Answers that are waited out where a stream or a download that had begun is taken up again."""

CONNECT_S = 10.0
MAX_TIMEOUT_S = 7 * 24 * 3600.0             # a socket takes some weeks at most
KEEPALIVE_S = 2.0                           # an idle connection is not used again later: the server ends it after 5 s

GIVE_UP_S = 120.0
"""How long a server that has answered before is waited for, in the middle of a stream or of a download."""

FIRST_REACH_S = 0.5
"""The same of one that never answered."""

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 2.0
NEVER_REACHED = (httpx.ConnectError, httpx.ProxyError)
BROKEN = (httpx.NetworkError, httpx.ProtocolError)


class Connection:
    """One server, by its address, and how to speak to it. For any number of threads.

    :ivar reached: whether the server has answered yet.
    """

    def __init__(self, base_url: str | None, api_key: str | None, timeout_s: float):
        self.base_url = _checked_url(base_url or os.environ.get("VIDGEN_URL") or DEFAULT_URL)
        self.api_key = api_key or os.environ.get("VIDGEN_API_KEY")
        self.timeout_s = _checked_timeout(timeout_s)
        self.reached = False
        self.http = httpx.Client(
            base_url=self.base_url, headers=_headers(self.api_key), timeout=self._timeout(),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEPALIVE_S),
            trust_env=httpx.URL(self.base_url).host not in THIS_MACHINE,    # no proxy sees our loopback
        )

    def ask(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, repeatable: bool = False,
        timeout_s: float | None = None, headers: Mapping[str, str] | None = None, **options: Any,
    ) -> Any:
        """Send a request and return the JSON of the answer.

        :param repeatable: whether it may be sent again where nobody knows if it arrived. GETs always may.
        :param timeout_s: for this answer, where it may take longer than others.
        :raises ApiError: the server refused.
        :raises ConnectionFailed: no answer came.
        """
        check_words(options.get("params", {}))
        sent = dict(headers or {})
        if body is not None:
            options["content"] = encoded(body)
            sent["Content-Type"] = "application/json"
        if timeout_s is not None:
            timeout_s = max(timeout_s, self.timeout_s)
            options["timeout"] = self._timeout(timeout_s)
        try:
            answer = self._answer(method, path, repeatable or method == "GET", headers=sent, **options)
        except httpx.TransportError as e:
            self.fail(e, timeout_s)
        if not answer.is_success:
            raise self._refusal(answer)
        if (said := json_of(answer)) is None:
            raise self._stranger(answer)
        return said

    @contextmanager
    def open(self, path: str, headers: Mapping[str, str], *, read_s: float | None = None) -> Iterator[httpx.Response]:
        """A GET's answer, to be read as it arrives; one attempt.

        :param read_s: without a byte, before that is a ``ReadTimeout``.
        :raises ApiError: the server refused.
        :raises ConnectionFailed: the client is closed.
        :raises httpx.TransportError: the connection failed, here or while the block reads.
        """
        self._check_open()
        with self.http.stream("GET", path, headers=headers, timeout=self._timeout(read_s)) as answer:
            self.reached = True
            if not answer.is_success:
                answer.read()
                raise self._refusal(answer)
            yield answer

    def fail(self, error: httpx.TransportError, timeout_s: float | None = None) -> NoReturn:
        """Raise *error* in words that say what to do."""
        if _is_tls(error):
            said = f"no TLS with {self.base_url}: its certificate is not trusted here, or it speaks plain http"
        elif isinstance(error, (*NEVER_REACHED, httpx.ConnectTimeout)):
            said = f"nothing answers at {self.base_url}: start a server (vidgen serve), or say where it is (VIDGEN_URL)"
        elif isinstance(error, httpx.TimeoutException):
            said = f"{self.base_url} did not answer within {timeout_s or self.timeout_s:g} s (timeout_s)"
        else:
            said = f"the connection to {self.base_url} broke before an answer came; what was asked may have been done"
        raise ConnectionFailed(said) from error

    def _timeout(self, read_s: float | None = None) -> httpx.Timeout:
        return httpx.Timeout(self.timeout_s, connect=min(self.timeout_s, CONNECT_S), read=read_s or self.timeout_s)

    def _answer(self, method: str, path: str, repeatable: bool, **options: Any) -> httpx.Response:
        """The answer, of whatever status; after a pause asked for again where that may help."""
        for pause_s in PAUSES_S:
            try:
                answer = self._send(method, path, **options)
            except NEVER_REACHED as e:
                if _is_tls(e):
                    raise
            except BROKEN:
                if not repeatable:
                    raise
            else:
                again_s = _again_s(answer) if repeatable else None
                if again_s is None:
                    return answer
                pause_s = max(pause_s, again_s)
            time.sleep(pause_s)
        return self._send(method, path, **options)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        self._check_open()
        answer = self.http.request(method, path, **options)
        self.reached = True
        return answer

    def _check_open(self) -> None:
        if self.http.is_closed:
            raise ConnectionFailed(f"this client of {self.base_url} is closed; make another one")

    def _refusal(self, answer: httpx.Response) -> ApiError:
        return self._stranger(answer) if answer.is_redirect else error_of(answer)

    def _stranger(self, answer: httpx.Response) -> ApiError:
        what = f"{answer.status_code} {answer.reason_phrase}".rstrip()
        detail = f"{self.base_url} does not answer as a vidgen server does ({what}): check base_url, or VIDGEN_URL"
        return ApiError(answer.status_code, "not_vidgen", detail)


class Backoff:
    """The pauses between attempts to take up again what broke: none after a success, then longer and longer ones.

    :param connection: to the server that is waited for, GIVE_UP_S at most since something was last heard of it.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._failures = 0
        self._heard_at = time.monotonic()

    def heard(self) -> None:
        """The server is there."""
        self._heard_at = time.monotonic()

    def moved(self) -> None:
        """Something new came."""
        self.heard()
        self._failures = 0

    def check(self, error: httpx.TransportError | ApiError) -> None:
        """Raise *error* where it is of the kind that stays, or the server has been waited for long enough."""
        lasting = isinstance(error, ApiError) and error.status not in PASSING
        patience_s = GIVE_UP_S if self._connection.reached else FIRST_REACH_S
        if not lasting and time.monotonic() - self._heard_at < patience_s:
            return
        if isinstance(error, ApiError):
            raise error
        self._connection.fail(error)

    def wait(self, error: httpx.TransportError | ApiError, at_most_s: float = LONGEST_PAUSE_S) -> None:
        """Pause before the next attempt, unless it is in vain: see :meth:`check`."""
        self.check(error)
        pause_s = FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10) if self._failures else 0.0
        self._failures += 1
        time.sleep(max(0.0, min(pause_s, LONGEST_PAUSE_S, at_most_s)))


def _again_s(answer: httpx.Response) -> int | None:
    """After how many seconds the server, or a proxy before it, wants to be asked again; None: the answer stands."""
    again_s = retry_after_s(answer) if answer.status_code in AGAIN else None
    return again_s if again_s is not None and again_s <= MAX_PAUSE_S else None


def encoded(body: Mapping[str, Any]) -> bytes:
    """*body* as JSON; see :func:`check_words`."""
    check_words(body)
    return _json(body)


def check_words(fields: Mapping[str, Any]) -> None:
    """:raises InvalidRequest: naming the field that JSON has no words for."""
    for name, value in fields.items():
        try:
            _json(value)
        except (TypeError, ValueError, RecursionError):
            raise InvalidRequest.of(name, "must be text, a number, true, false, null, or lists and objects of these") \
                from None


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _headers(api_key: str | None) -> dict[str, str]:
    if not api_key:
        return {}
    return {"Authorization": f"Bearer {checked_token('api_key', api_key)}"}


def checked_token(field: str, text: str) -> str:
    """*text*, which a header is to hold.

    :raises InvalidRequest: naming *field*.
    """
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise InvalidRequest.of(field, "must be printable ASCII without spaces")
    return text


def _is_tls(error: BaseException | None) -> bool:
    """Whether somebody was there, and no secure connection came about."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _checked_timeout(timeout_s: float) -> float:
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise InvalidRequest.of("timeout_s", f"must be greater than 0 and at most {MAX_TIMEOUT_S:g}")
    return timeout_s


def _checked_url(url: str) -> str:
    try:
        httpx.URL(url)
        parsed = urlsplit(url)
        good = parsed.scheme in ("http", "https") and parsed.hostname and parsed.port != 0
    except (httpx.InvalidURL, ValueError):
        good = False
    if not good or parsed.query or parsed.fragment:
        raise InvalidRequest.of("base_url", f"must be an address such as {DEFAULT_URL}, not {url!r}")
    return url.rstrip("/")
