"""One question to Anthropic, one JSON answer: through its own SDK, within a fixed time, whatever the network does.

The only place that speaks to Anthropic. Errors become short reasons of ours; no text of the service or of the library
passes, nor any header. Knows nothing of storyboards.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from vidgen.settings import Settings

ANTHROPIC_URL = "https://api.anthropic.com"
MAX_TOKENS = 8_192                # of the answer, thinking included
MAX_ANSWER_BYTES = 1_000_000
ATTEMPTS = 2
PAUSE_S = 0.5                     # before the second attempt, unless the service asks for longer
TICK_S = 0.1

Tick = Callable[[], None]
"""Called while waiting, at least every :data:`TICK_S`; what it raises ends the wait and propagates."""

REASONS = {
    401: "Anthropic refused the key",
    402: "Anthropic asks for the account to be paid",
    403: "Anthropic does not let this key in",
    404: "Anthropic does not know the model that ANTHROPIC_MODEL names",
    408: "Anthropic gave up waiting",
    429: "Anthropic's rate limit is reached",
    500: "Anthropic has an internal error",
    503: "Anthropic is not available",
    529: "Anthropic is overloaded",
}
"""HTTP statuses that tell people what to do; any other is named by its number."""

log = logging.getLogger(__name__)


class NoAnswer(Exception):
    """Anthropic gave nothing that can be used; the message is a reason for people to read."""


class NoAnswerYet(NoAnswer):
    """The same, where asking again may help. ``after_s``: for how long the service wants to be left alone."""

    def __init__(self, reason: str, after_s: float = 0):
        super().__init__(reason)
        self.after_s = after_s


def unusable(why: str) -> NoAnswer:
    return NoAnswer(f"the answer was not usable: {why}")


@dataclass(frozen=True, slots=True)
class Question:
    system: str
    user: str
    schema: Mapping[str, Any]         # JSON schema of the answer; the service knows no upper bounds


def ask(settings: Settings, key: str, question: Question, tick: Tick) -> str:
    """The answer's text, which should be JSON by the question's schema and may be anything.

    :raises NoAnswer: with the reason, after ``ANTHROPIC_TIMEOUT_S`` at the latest (the SDK's first import, about two
        seconds, comes on top).
    """
    try:
        import anthropic  # noqa: F401
    except Exception as e:
        raise _unexpected(e) from None
    return _Call(settings, key, question).wait(tick)


class _Call:
    """Runs in a thread of its own, so that neither a name server nor a trickle of bytes can hold the caller.

    The thread alone touches the connection. Once given up it ends with its next read, which has a time-out.
    """

    def __init__(self, settings: Settings, key: str, question: Question):
        self._settings = settings
        self._key = key
        self._question = question
        self._over = threading.Event()      # the outcome is here, or nobody waits for it any more
        self._outcome: str | NoAnswer = NoAnswer("Anthropic was not asked")
        self._deadline = time.monotonic() + settings.anthropic_timeout_s

    def wait(self, tick: Tick) -> str:
        threading.Thread(target=self._run, name="anthropic", daemon=True).start()
        try:
            while not self._over.wait(min(TICK_S, max(0.0, self._left()))):
                if self._left() <= 0:
                    raise self._too_late()
                tick()
        finally:
            self._over.set()
        if isinstance(self._outcome, NoAnswer):
            raise self._outcome
        return self._outcome

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _too_late(self) -> NoAnswer:
        return NoAnswer(f"Anthropic did not answer within {self._settings.anthropic_timeout_s:g} s")

    def _run(self) -> None:
        try:
            with self._connect() as client:
                self._outcome = self._ask(client)
        except NoAnswer as e:
            self._outcome = e
        except BaseException as e:
            self._outcome = _unexpected(e)
        finally:
            self._over.set()

    def _connect(self) -> Any:
        import anthropic

        http = anthropic.DefaultHttpxClient(follow_redirects=False, event_hooks={"response": [_refuse_errors]})
        return anthropic.Anthropic(
            api_key=self._key, base_url=self._settings.anthropic_base_url or ANTHROPIC_URL, max_retries=0,
            http_client=http,
        )

    def _ask(self, client: Any) -> str:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _text(self._post(client))
            except NoAnswerYet as e:
                pause = max(PAUSE_S, e.after_s)
                if attempt == ATTEMPTS or pause >= self._left() or self._over.wait(pause):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _post(self, client: Any) -> bytes:
        import anthropic

        try:
            with client.messages.with_streaming_response.create(
                model=self._settings.anthropic_model,
                max_tokens=MAX_TOKENS,
                system=self._question.system,
                messages=[{"role": "user", "content": self._question.user}],
                output_config={"format": {"type": "json_schema", "schema": dict(self._question.schema)}},
                extra_headers={"Accept-Encoding": "identity"},
                timeout=max(0.01, self._left()),
            ) as response:
                return self._body(response)
        except anthropic.APITimeoutError:       # its time-out is all that was left
            raise self._too_late() from None
        except anthropic.APIConnectionError as e:
            if isinstance(e.__cause__, NoAnswer):
                raise e.__cause__ from None
            raise NoAnswerYet("Anthropic could not be reached") from None

    def _body(self, response: Any) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise unusable("it is compressed, which was not asked for")
        body = bytearray()
        try:
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES or self._over.is_set():
                    break
        except Exception:
            late = self._left() <= 0
            raise self._too_late() if late else NoAnswerYet("Anthropic's answer broke off") from None
        if len(body) > MAX_ANSWER_BYTES:
            raise unusable(f"it is longer than {MAX_ANSWER_BYTES} bytes")
        return bytes(body)


def _refuse_errors(response: Any) -> None:
    """Turn an error status into its reason before a byte of its body is read."""
    status, headers = response.status_code, response.headers
    if 200 <= status < 300:
        return
    reason = REASONS.get(status, f"Anthropic answered with status {status}")
    again = (status in (408, 409, 429) or status >= 500) and headers.get("x-should-retry") != "false"
    raise NoAnswerYet(reason, _seconds(headers.get("retry-after"))) if again else NoAnswer(reason)


def _seconds(retry_after: str | None) -> float:
    """A ``Retry-After`` in seconds; a date, or nonsense, is longer than we wait."""
    try:
        seconds = float(retry_after or 0)
    except ValueError:
        return math.inf
    return math.inf if math.isnan(seconds) else seconds


def _unexpected(error: BaseException) -> NoAnswer:
    log.error("the Anthropic client failed with %s", type(error).__name__)   # its text may hold the key
    return NoAnswer("the Anthropic client failed")


class Answered(BaseModel):
    """Base of what is read out of an answer; what was not asked for is dropped."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Block(Answered):
    type: str
    text: str = ""


class _Message(Answered):
    content: list[_Block]
    stop_reason: str | None = None


_T = TypeVar("_T", bound=Answered)


def read(kind: type[_T], text: str | bytes, what: str) -> _T:
    """*text* as a *kind*.

    :raises NoAnswer: saying that it is not JSON, or not *what* it should be.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as e:
        malformed = e.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"
        raise unusable("it is not JSON" if malformed else f"it does not have the shape of {what}") from None


def _text(body: bytes) -> str:
    message = read(_Message, body, "a message")
    if message.stop_reason == "refusal":
        raise NoAnswer("Anthropic's model declined the prompt")
    if message.stop_reason == "max_tokens":
        raise unusable("it was cut off at its longest")
    if message.stop_reason not in ("end_turn", "stop_sequence"):
        raise unusable("it did not come to an end")
    return "".join(block.text for block in message.content if block.type == "text")
