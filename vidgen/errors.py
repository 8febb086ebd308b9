"""Everything that can go wrong, as one tree.

    VidgenError                     500  internal_error
    ├── InvalidInput                400  invalid_input         names the fields
    ├── Unauthorized                401  unauthorized
    ├── Forbidden                   403  forbidden
    ├── NotFound                    404  not_found
    ├── Conflict                    409  conflict
    ├── TooLarge                    413  too_large
    ├── QueueFull                   429  queue_full            carries retry_after_s
    ├── ModelUnavailable            503  model_unavailable     carries what would help
    ├── DiskLow                     507  disk_low
    ├── StartRefused                     start_refused         the server cannot start; printed, never served
    ├── WeightsError                     weights_failed        in vidgen/weights/errors.py; for the terminal
    ├── StepFailed                       step_failed           this step, this time; retryable decides
    │   ├── EncodeFailed                 encode_failed         ffmpeg failed, or its file is not whole
    │   ├── OutOfVram                    out_of_memory         the GPU's memory did not suffice
    │   ├── InferenceDied                inference_died        the process that renders local models died
    │   └── Overdue                      overdue               a phase outlived its deadline
    └── Stopped                          stopped               control.step() asks the render to end
        ├── Cancelled                    cancelled             the client asked
        └── Interrupted                  interrupted           the server is going down; the step runs again later

Each class carries the HTTP status it becomes, a stable code for programs, and whether trying again can help.
What an instance says is written for the client; the text of anything that is not a VidgenError never leaves.
"""

from typing import ClassVar, NamedTuple


class FieldError(NamedTuple):
    """One wrong field: where it is (``storyboard.shots.0.seed``) and what is wrong with it."""

    field: str
    message: str


class VidgenError(Exception):
    """Something of ours went wrong."""

    status: ClassVar[int] = 500
    code: str = "internal_error"
    title: ClassVar[str] = "Internal error"
    retryable: bool = False

    def __init__(self, detail: str, *, code: str | None = None):
        super().__init__(detail)
        self.detail = detail
        if code is not None:
            self.code = code


class InvalidInput(VidgenError):
    """The request cannot be taken as it stands; ``fields`` says which part of it and why."""

    status = 400
    code = "invalid_input"
    title = "Invalid input"

    def __init__(self, *fields: FieldError, code: str | None = None):
        super().__init__("; ".join(f"{f.field}: {f.message}" for f in fields), code=code)
        self.fields = fields

    @classmethod
    def of(cls, field: str, message: str, *, code: str | None = None) -> "InvalidInput":
        return cls(FieldError(field, message), code=code)


class Unauthorized(VidgenError):
    """No key, or a wrong one."""

    status = 401
    code = "unauthorized"
    title = "Unauthorized"


class Forbidden(VidgenError):
    """The caller may not speak to this server from where it stands."""

    status = 403
    code = "forbidden"
    title = "Forbidden"


class NotFound(VidgenError):
    """There is no such job, model, upload or file."""

    status = 404
    code = "not_found"
    title = "Not found"


class Conflict(VidgenError):
    """What was asked does not fit the state of the thing it was asked of."""

    status = 409
    code = "conflict"
    title = "Conflict"


class TooLarge(VidgenError):
    """The body is larger than this route takes."""

    status = 413
    code = "too_large"
    title = "Too large"


class QueueFull(VidgenError):
    """No more jobs are taken until some have ended."""

    status = 429
    code = "queue_full"
    title = "Queue full"

    def __init__(self, detail: str, retry_after_s: int):
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class ModelUnavailable(VidgenError):
    """The model exists but cannot run now."""

    status = 503
    code = "model_unavailable"
    title = "Model unavailable"


class DiskLow(VidgenError):
    """There is too little free space to take more."""

    status = 507
    code = "disk_low"
    title = "Disk low"


class StartRefused(VidgenError):
    """The server cannot start as it is configured."""

    code = "start_refused"
    title = "Cannot start"


class StepFailed(VidgenError):
    """A step failed. ``retryable`` says whether another attempt can help."""

    code = "step_failed"
    title = "Step failed"

    def __init__(self, detail: str, *, retryable: bool = True, code: str | None = None):
        super().__init__(detail, code=code)
        self.retryable = retryable


class EncodeFailed(StepFailed):
    """ffmpeg failed, or the file that it left is not the one that was asked for."""

    code = "encode_failed"


class OutOfVram(StepFailed):
    """The GPU's memory did not suffice; the model that ran is no longer loaded."""

    code = "out_of_memory"


class InferenceDied(StepFailed):
    """The process that renders local models died, and the step with it; the next attempt gets a new one."""

    code = "inference_died"


class Overdue(StepFailed):
    """A phase outlived its deadline."""

    code = "overdue"


class Stopped(VidgenError):
    """Raised by ``control.step`` to end a render from inside; never a failure of the step."""

    code = "stopped"


class Cancelled(Stopped):
    """The client asked for the job to end."""

    code = "cancelled"


class Interrupted(Stopped):
    """The server is going down, or the process that rendered it died on another step's account; the step goes back to
    the queue and the attempt is not counted.
    """

    code = "interrupted"
