"""A job, as the server last told of it, and what can be done with it."""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidgen.client import notebook
from vidgen.client.answers import Answer, Event, Shot, Storyboard
from vidgen.client.download import Progress
from vidgen.client.errors import JobFailed

if TYPE_CHECKING:
    from vidgen.client.client import Client

PROMPT_CHARS = 40


class Job(Answer):
    """:meth:`refresh`, :meth:`wait` and the like bring this very object up to date, and return it.

    In a notebook it shows itself: how far it is, then its video.
    """

    id: str
    status: str                             # queued, processing, completed, failed, cancelled
    created_at: str                         # UTC, as 2026-01-31T10:30:00Z; so are the other times
    updated_at: str
    started_at: str | None
    ended_at: str | None
    user_prompt: str
    generation_mode: str
    model_id: str
    keyframe_model_id: str | None
    keyframe_parameters: dict[str, Any]
    current_step: str
    progress_percentage: float
    output_video_url: str | None
    poster_url: str | None
    sheet_url: str | None
    error_message: str | None
    error_code: str | None
    position: int | None                    # in the queue; 1 is next
    eta_seconds: float | None
    estimated_start: str | None
    parent_id: str | None
    video_ready: bool
    priority: int
    seed: int
    width: int                              # pixels
    height: int                             # pixels
    num_frames: int                         # of a shot that does not say how long it lasts
    fps: float
    num_inference_steps: int | None
    negative_prompt: str | None
    parameters: dict[str, Any]
    max_shots: int
    style_preferences: dict[str, str]
    reference_image: str | None
    focus: list[float]
    continuity: str
    fit: str
    save_frames: bool
    usage: dict[str, Any]

    def __init__(self, client: "Client", data: dict[str, Any]):
        super().__init__(data)
        self._client = client

    @property
    def storyboard(self) -> Storyboard | None:
        """None until it is planned."""
        said = self.data.get("storyboard")
        return None if said is None else Storyboard(said)

    @property
    def shots(self) -> list[Shot]:
        """None at all until they are planned."""
        return self.storyboard.shots if self.storyboard else []

    @property
    def ended(self) -> bool:
        return self.status not in ("queued", "processing")

    @property
    def video_url(self) -> str | None:
        """The whole address of the video; None until it is ready."""
        return self._client.base_url + self.output_video_url if self.output_video_url else None

    # life

    def refresh(self) -> "Job":
        """Ask the server how it stands."""
        return self._now(self._client.job(self.id))

    def wait(self, timeout_s: float | None = None, on_event: Callable[[Event], None] | None = None) -> "Job":
        """Return once the video is ready. Broken connections, and a server that starts again, are waited out.

        :param on_event: is given every event, from the job's first.
        :raises JobFailed: the job failed or was cancelled.
        :raises TimeoutError: it has not ended in time. It goes on.
        """
        seen = 0

        def hear(timeout_s: float | None) -> None:
            nonlocal seen
            for event in self._client.events(self.id, since=seen, timeout_s=timeout_s):
                seen = event.seq
                if on_event is not None:
                    on_event(event)

        try:
            hear(timeout_s)
        except TimeoutError:
            if not self.refresh().ended:
                raise
            hear(None)                      # the rest is there already
        if self.refresh().status != "completed":
            raise JobFailed(self)
        return self

    def show(self, timeout_s: float | None = None) -> None:
        """As :meth:`wait`, with progress to look at: live in a notebook's cell, which then shows the video; elsewhere
        lines on standard error.
        """
        notebook.show(self, timeout_s)

    def events(self, *, since: int = 0) -> Iterator[Event]:
        """See :meth:`Client.events`."""
        return self._client.events(self.id, since=since)

    def cancel(self) -> "Job":
        """Ask for its end. It has ended once its status is ``cancelled``."""
        return self._now(self._client.cancel(self.id))

    def set_priority(self, priority: int) -> "Job":
        return self._now(self._client.set_priority(self.id, priority))

    def delete(self) -> None:
        """Remove it with its files; where it runs, it is cancelled first."""
        self._client.delete(self.id)

    # results

    def download(self, path: str | PathLike[str] | None = None, *, progress: Progress | None = None) -> Path:
        """Save the video.

        :param path: a file's or a folder's; left out, the job's id with ``.mp4``, in the current folder.
        """
        return self._client.download(self.id, path or ".", progress=progress)

    def content(self, url: str, at_most_bytes: int) -> bytes | None:
        """One of its small files, such as ``job.poster_url``; None where it is larger."""
        return self._client.content(url, at_most_bytes)

    def recipe(self) -> dict[str, Any]:
        """What determines its video."""
        return self._client.recipe(self.id)

    # further versions

    def edit(self, **edit: Any) -> "Job":
        """A new version of it; see :meth:`Client.edit`."""
        return self._client.edit(self.id, **edit)

    def retry(self) -> "Job":
        """The same once more, as a new job; only of one that failed or was cancelled."""
        return self._client.retry(self.id)

    def versions(self) -> "list[Job]":
        """All versions of it, the oldest first."""
        return self._client.versions(self.id)

    def __repr__(self) -> str:
        prompt = self.user_prompt
        shown = prompt if len(prompt) <= PROMPT_CHARS else f"{prompt[:PROMPT_CHARS - 1]}…"
        return f"<Job {self.id} {self.status} {self.progress_percentage:g} % {shown!r}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return notebook.bundle(self)

    def _now(self, told: "Job") -> "Job":
        self.data = told.data
        return self
