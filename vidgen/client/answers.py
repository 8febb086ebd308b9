"""What the server says, as objects: attributes by the server's own names, and ``data``, all that it said.

A field that this client does not know yet is an attribute all the same; one that it knows and an older server does not
send is None.
"""

from typing import Any


class Answer:
    """Base of all. Two are equal where the server said the same."""

    data: dict[str, Any]

    def __init__(self, data: dict[str, Any]):
        self.data = data

    def __getattr__(self, name: str) -> Any:
        data = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        if name in type(self).__annotations__:
            return None
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.data})

    def __eq__(self, other: object) -> bool:
        return self.data == other.data if type(other) is type(self) else NotImplemented

    __hash__ = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.data!r}>"


class Event(Answer):
    """One thing that happened to a job: ``progress``, ``shot_complete``, ``job_complete``, ``error`` or ``note``."""

    type: str
    job_id: str
    seq: int                                # only grows
    step: str | None                        # of progress: "Generating shot 2 of 3"
    progress: float | None                  # percent
    message: str | None
    shot_id: str | None
    eta_seconds: float | None               # until the video is ready; None where unknown
    phase: str | None
    phase_step: int | None
    phase_steps: int | None
    attempt: int | None
    position: int | None                    # in the queue
    error: str | None                       # of an error: why the job ended
    code: str | None                        # of an error or a note; "cancelled" where the job was

    @property
    def ends(self) -> bool:
        """Whether it is the job's last."""
        return self.type in ("job_complete", "error")


class Shot(Answer):
    id: str                                 # shot_001
    index: int                              # from 0
    description: str
    camera_move: str
    duration_seconds: float
    seed: int
    status: str                             # pending, rendering, completed, failed, cancelled
    keyframe_url: str | None
    video_url: str | None
    poster_url: str | None
    preview_url: str | None
    frames_url: str | None
    error_message: str | None
    parameters: dict[str, Any]
    keyframe_prompt: str | None
    keyframe_image: str | None


class Storyboard(Answer):
    id: str
    title: str

    @property
    def shots(self) -> list[Shot]:
        return [Shot(shot) for shot in self.data["shots"]]


class Upload(Answer):
    file_id: str                            # what reference_image and keyframe_image take
    filename: str
    file_path: str
    file_size_bytes: int
    uploaded_at: str
    width: int                              # pixels
    height: int                             # pixels
    sha256: str                             # as a recipe names its reference image


class Model(Answer):
    id: str
    name: str
    description: str
    provider: str
    revision: str | None
    is_available: bool
    unavailable_reason: str | None
    capabilities: dict[str, Any]
    parameters: dict[str, Any]              # JSON Schema of a job's parameters
    memory_requirements: dict[str, Any]
    licence: dict[str, Any] | None
    weights: dict[str, Any] | None
    keyframe_model: str | None

    def __repr__(self) -> str:
        return f"<Model {self.id} {'available' if self.is_available else self.unavailable_reason}>"
