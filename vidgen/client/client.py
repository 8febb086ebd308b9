"""The client: one method for each thing that the server can be asked."""

import secrets
import time
from collections.abc import Iterator, Mapping
from math import ceil
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vidgen.client import events, images
from vidgen.client.answers import Event, Model, Upload
from vidgen.client.connection import Connection, checked_token
from vidgen.client.download import Progress, content, download
from vidgen.client.errors import InvalidRequest
from vidgen.client.job import Job

PAGE_SIZE = 100
LONG_S = 150.0                              # for answers that wait for a planner, an upload, or a render to give way


class Client:
    """A vidgen server.

    :param base_url: left out, VIDGEN_URL of the environment, else this machine's port 8000.
    :param api_key: left out, VIDGEN_API_KEY of the environment; a server on this machine usually needs none.
    :param timeout_s: for an answer, or without a byte of one.

    Every method raises :class:`ApiError` where the server refuses, by its words, and :class:`ConnectionFailed` where no
    answer comes. Reads are repeated over broken connections, and so is posting a job, which can never make two.
    For any number of threads; a process that it is sent to has connections of its own. Used in a ``with`` statement, or
    with :meth:`close`, it ends its connections.
    """

    def __init__(self, base_url: str | None = None, api_key: str | None = None, *, timeout_s: float = 30.0):
        self._connection = Connection(base_url, api_key, timeout_s)
        self.base_url = self._connection.base_url

    def close(self) -> None:
        self._connection.http.close()

    def __getstate__(self) -> dict[str, Any]:
        line = self._connection
        return {"base_url": line.base_url, "api_key": line.api_key, "timeout_s": line.timeout_s}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # making videos

    def generate(
        self, prompt: str, *, image: Any = None, model: str | None = None, shots: int | None = None,
        seed: int | None = None, **fields: Any,
    ) -> Job:
        """Post a job and return it at once; :meth:`Job.wait` waits for its video.

        :param image: a path, bytes, a file, a PIL image, or an :class:`Upload`: the video starts from it.
        :param model: its id; left out, the server chooses the best that can run now.
        :param shots: at most so many.
        :param fields: any other of the job's: ``width``, ``style_preferences``, ``parameters``, ``storyboard``…
        """
        named = {"model_id": model, "max_shots": shots, "seed": seed}
        body = _joined({"user_prompt": prompt} | {name: value for name, value in named.items() if value is not None},
                       fields)
        if image is not None:
            uploaded = image if isinstance(image, Upload) else self.upload(image)
            body = _joined(body, {"reference_image": uploaded.file_id})
        return self.post(body)

    def post(self, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Job:
        """Post a job's body as it is.

        :param idempotency_key: of the caller's own: the same key and body give the job that was made first.
        """
        if body.get("dry_run"):
            raise InvalidRequest.of("dry_run", "makes no job; use Client.dry_run")
        return self._made("/api/v1/jobs", body, idempotency_key)

    def dry_run(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """What a job would take; nothing is queued."""
        return self._ask("POST", "/api/v1/jobs", body={**body, "dry_run": True}, repeatable=True, timeout_s=LONG_S)

    def plan(self, prompt: str, **fields: Any) -> dict[str, Any]:
        """A storyboard, which can be sent with a job, changed or as it is.

        :param fields: ``model_id``, ``max_shots``, ``style_preferences``.
        """
        body = _joined({"user_prompt": prompt}, fields)
        return self._ask("POST", "/api/v1/storyboards", body=body, timeout_s=LONG_S)

    def upload(self, image: Any, filename: str | None = None) -> Upload:
        """Send an image up.

        :param image: a path, bytes, a binary file, or a PIL image.
        :param filename: to show; left out, the file's own.
        """
        with images.opened(image, filename) as (name, file):
            shown = name.encode("utf-8", "replace").decode()        # a disk may hold names that are no text
            return Upload(self._ask("POST", "/api/v1/upload", files={"file": (shown, file)}, timeout_s=LONG_S))

    # jobs

    def job(self, job_id: str) -> Job:
        return Job(self, self._ask("GET", _path("jobs", job_id)))

    def jobs(
        self, *, status: str | None = None, model_id: str | None = None, q: str | None = None, order: str = "newest"
    ) -> Iterator[Job]:
        """All jobs, page by page as they are asked for.

        :param q: a part of the prompt.
        :param order: ``newest`` or ``oldest`` first.
        """
        asked = {"status": status, "model_id": model_id, "q": q, "order": order}
        given = set()
        for page in self._pages({name: value for name, value in asked.items() if value is not None}):
            for data in page:
                if data["id"] not in given:     # jobs that were posted meanwhile move others to the next page
                    given.add(data["id"])
                    yield Job(self, data)

    def _pages(self, query: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """Pages of jobs; some of them twice: where jobs went meanwhile, others moved to a page that was read."""
        number, total = 1, 0
        while True:
            page = self._ask("GET", "/api/v1/jobs", params={**query, "page": number, "page_size": PAGE_SIZE})
            gone, total = total - page["total"], page["total"]
            if gone > 0:
                number = max(1, number - ceil(gone / PAGE_SIZE))
                continue
            yield page["jobs"]
            if number * PAGE_SIZE >= total:
                return
            number += 1

    def versions(self, job_id: str) -> list[Job]:
        """All versions of a job, the oldest first."""
        return [Job(self, data) for data in self._ask("GET", _path("jobs", job_id, "versions"))["jobs"]]

    def cancel(self, job_id: str) -> Job:
        return Job(self, self._ask("POST", _path("jobs", job_id, "cancel"), repeatable=True))

    def delete(self, job_id: str) -> None:
        """Remove a job with its files; where it runs, it is cancelled first."""
        self._ask("DELETE", _path("jobs", job_id), timeout_s=LONG_S)

    def set_priority(self, job_id: str, priority: int) -> Job:
        """Move a job in the queue.

        :param priority: -10 to 10; the higher, the sooner.
        """
        return Job(self, self._ask("PATCH", _path("jobs", job_id), body={"priority": priority}, repeatable=True))

    def edit(self, job_id: str, *, idempotency_key: str | None = None, **edit: Any) -> Job:
        """A new version of a job that has ended; only what changed is rendered.

        ``client.edit(id, shots=[{"id": "shot_003", "description": "A gull"}])`` changes one shot;
        ``order=["shot_002", {"description": "New"}, "shot_001"]`` says all shots of the new version.
        """
        return self._made(_path("jobs", job_id, "edits"), edit, idempotency_key)

    def retry(self, job_id: str) -> Job:
        """A job that failed or was cancelled once more, as a new one; what was rendered is not rendered again."""
        return self._made(_path("jobs", job_id, "retry"), None, None)

    def events(self, job_id: str, *, since: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """What happens to a job, as it happens, until it has ended: every event once, in order.

        A connection that breaks is opened again, and a server that went away is waited for, 120 s at most.

        :param since: the ``seq`` of the last event that is known; 0 gives all that the server keeps, which of finished
            shots is the last progress rather than every step.
        :raises TimeoutError: the job has not ended within *timeout_s*. It goes on.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        return events.follow(self._connection, _path("jobs", job_id, "events"), since, deadline)

    def recipe(self, job_id: str) -> dict[str, Any]:
        """What determines a job's video."""
        return self._ask("GET", _path("jobs", job_id, "recipe"))

    # files

    def download(self, job_id: str, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """Save a job's video; see :meth:`file`.

        :param path: a file's, or that of a folder: then the name is the job's id with ``.mp4``.
        """
        target = Path(path) / f"{quote(job_id, safe='')}.mp4" if Path(path).is_dir() else path
        return download(self._connection, _path("jobs", job_id, "video"), target, progress)

    def file(self, url: str, path: str | PathLike[str], *, progress: Progress | None = None) -> Path:
        """Save a file that an answer names, such as ``shot.video_url``; where *path* is a folder, under its own name.

        A download that breaks goes on where it was. The file appears when it is whole, in the place of one that was
        there.

        :param progress: is called with the bytes done and the bytes in all.
        """
        return download(self._connection, self._own(url), path, progress)

    def content(self, url: str, at_most_bytes: int) -> bytes | None:
        """A small file that an answer names; None where it is larger."""
        return content(self._connection, self._own(url), at_most_bytes)

    def _own(self, url: str) -> str:
        """The path of a file of this server; the key goes nowhere else."""
        path = url.removeprefix(self.base_url)
        if not path.startswith("/") or path.startswith("//"):
            raise InvalidRequest.of("url", f"must be one that this server's answers name, not {url!r}")
        return path

    # the server

    def models(self, available_only: bool = False) -> list[Model]:
        """The models, the preferred first."""
        said = self._ask("GET", "/api/v1/models", params={"available_only": available_only})
        return [Model(data) for data in said["models"]]

    def model(self, model_id: str) -> Model:
        return Model(self._ask("GET", _path("models", model_id)))

    def queue(self) -> dict[str, Any]:
        """What runs, then what waits, in the order in which it will be taken."""
        return self._ask("GET", "/api/v1/queue")

    def pause(self) -> dict[str, Any]:
        """Start nothing new; what runs goes on. Returns the queue."""
        return self._ask("POST", "/api/v1/queue/pause", repeatable=True)

    def resume(self) -> dict[str, Any]:
        """Start again. Returns the queue."""
        return self._ask("POST", "/api/v1/queue/resume", repeatable=True)

    def gpu(self) -> dict[str, Any]:
        """The device that local models run on, and what is on it."""
        return self._ask("GET", "/api/v1/gpu")

    def release_gpu(self) -> dict[str, Any]:
        """Have the models that are loaded give their memory back."""
        return self._ask("POST", "/api/v1/gpu/release", repeatable=True, timeout_s=LONG_S)

    def health(self) -> dict[str, Any]:
        """Whether jobs can be taken and run to the end; needs no API key."""
        return self._ask("GET", "/api/v1/health")

    def _made(self, path: str, body: Mapping[str, Any] | None, key: str | None) -> Job:
        """The job that a POST makes. It carries a key, so that sending it again gives the job that was made first."""
        headers = {"Idempotency-Key": secrets.token_hex(16) if key is None else checked_token("idempotency_key", key)}
        return Job(self, self._ask("POST", path, body=body, headers=headers, repeatable=True))

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        return self._connection.ask(method, path, **options)

    def __repr__(self) -> str:
        return f"<Client of {self.base_url}>"


def _path(kind: str, id: str, *rest: str) -> str:
    """A route, with whatever an id may hold as one segment of it.

    :raises InvalidRequest: *id* would make it another route.
    """
    if id in ("", ".", ".."):
        raise InvalidRequest.of("id", f"must be a {kind.removesuffix('s')}'s, not {id!r}")
    return "/".join(["/api/v1", kind, quote(id, safe=":", errors="replace"), *rest])


def _joined(body: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Both.

    :raises TypeError: they share a field.
    """
    if twice := sorted(body.keys() & fields.keys()):
        raise TypeError(f"{twice[0]}: is given twice")
    return {**body, **fields}
