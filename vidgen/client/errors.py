"""Everything that the client raises of its own, as one tree.

    ClientError
    ├── ApiError               the server said no: status, code, detail, fields
    │   ├── InvalidRequest     400  a field is wrong; fields says which
    │   ├── Unauthorized       401  an API key is needed, or another one
    │   ├── Forbidden          403  the server does not go by that name
    │   ├── NotFound           404  no such job, model or file
    │   ├── Conflict           409  it does not fit the present state
    │   ├── TooLarge           413  an upload or a body
    │   ├── QueueFull          429  carries retry_after_s
    │   ├── Unavailable        503  the model cannot run now
    │   └── DiskLow            507
    ├── ConnectionFailed       no answer came
    └── JobFailed              a job that was waited for failed or was cancelled; carries the job

``str`` of each is a sentence for people; that of an ApiError is the server's ``detail``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import httpx

if TYPE_CHECKING:
    from vidgen.client.job import Job


class WrongField(NamedTuple):
    field: str                              # such as storyboard.shots.0.seed
    message: str


class ClientError(Exception):
    """Base of all."""


class ApiError(ClientError):
    """The server refused.

    :ivar status: of HTTP.
    :ivar code: stable, for programs.
    :ivar detail: for people.
    :ivar fields: which fields are wrong, and why; empty where that is not what is wrong.
    :ivar retry_after_s: when to ask again, where the server said.
    """

    of_status: ClassVar[int] = 0

    def __init__(
        self, status: int, code: str, detail: str, fields: Sequence[WrongField] = (), retry_after_s: int | None = None
    ):
        super().__init__(detail)
        self.status, self.code, self.detail, self.fields = status, code, detail, tuple(fields)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:        # for another process: the message alone is not what it is made of
        return type(self), (self.status, self.code, self.detail, self.fields, self.retry_after_s)


class InvalidRequest(ApiError):
    of_status = 400

    @classmethod
    def of(cls, field: str, message: str) -> "InvalidRequest":
        """What cannot even be sent."""
        return cls(400, "invalid_input", f"{field}: {message}", [WrongField(field, message)])


class Unauthorized(ApiError):
    of_status = 401


class Forbidden(ApiError):
    of_status = 403


class NotFound(ApiError):
    of_status = 404


class Conflict(ApiError):
    of_status = 409


class TooLarge(ApiError):
    of_status = 413


class QueueFull(ApiError):
    of_status = 429


class Unavailable(ApiError):
    of_status = 503


class DiskLow(ApiError):
    of_status = 507


class ConnectionFailed(ClientError):
    """No answer came."""


class JobFailed(ClientError):
    """The job ended without a video.

    :ivar job: as it ended; its ``error_code`` tells a cancelled one (``cancelled``) from a failed one.
    """

    def __init__(self, job: "Job"):
        super().__init__(job.error_message or f"job {job.id} is {job.status}")
        self.job = job

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.job,)


CLASSES = {kind.of_status: kind for kind in ApiError.__subclasses__()}


def error_of(answer: httpx.Response) -> ApiError:
    """What an error answer, read to its end, is raised as."""
    body = json_of(answer)
    said = body if isinstance(body, dict) and isinstance(body.get("detail"), str) else {}
    detail = said.get("detail") or f"{answer.url} answered {answer.status_code} {answer.reason_phrase}".rstrip()
    fields = [WrongField(wrong["field"], wrong["message"]) for wrong in said.get("fields", [])]
    kind = CLASSES.get(answer.status_code, ApiError)
    return kind(answer.status_code, said.get("code", "error"), detail, fields, retry_after_s(answer))


def json_of(answer: httpx.Response) -> Any:
    """The answer's JSON; None where it is none."""
    try:
        return answer.json()
    except ValueError:
        return None


def retry_after_s(answer: httpx.Response) -> int | None:
    """Seconds, where the answer says them in digits."""
    said = answer.headers.get("retry-after", "")
    return int(said) if said.isdecimal() and len(said) < 7 else None
