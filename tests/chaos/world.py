"""What the clients of a server that keeps dying share: what they were promised, what they saw, what went wrong."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from tests.chaos.autopsy import BACKWARDS, ENDED, LOST, TORN, Fault

UNEXPECTED = "unexpected answers"
PAUSE_S = 0.05
ANSWER_S = 20.0
BUSY = (429, 503)
"""Answers that mean "later": the queue is full, or the server is on its way up or down."""


@dataclass
class Promise:
    """A job that the server has acknowledged."""

    job_id: str
    key: str
    body: dict[str, Any]
    status: str = "queued"                  # as last seen over HTTP
    progress: float = 0.0
    cancelled: bool = False                 # a cancel was answered with 200
    deleting: bool = False                  # a delete was sent
    deleted: bool = False                   # and answered
    digests: dict[str, str] = field(default_factory=dict)   # of what was downloaded, by URL

    @property
    def open(self) -> bool:
        return self.status not in ENDED and not self.deleting


class World:
    """Shared by all clients; every method may be called by any of them.

    :ivar closing: no new work is to be begun.
    """

    def __init__(self, url: str):
        self.url = url
        self.closing = threading.Event()
        self.counts: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self._promises: dict[str, Promise] = {}
        self._lock = threading.Lock()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=ANSWER_S, trust_env=False, verify=False)

    def call(
        self, client: httpx.Client, method: str, path: str, expected: Collection[int], **options: Any
    ) -> httpx.Response:
        """Ask until there is an answer; a server that is dead or busy is asked again.

        An answer that is not *expected* is a fault.
        """
        while True:
            try:
                answer = client.request(method, path, **options)
            except httpx.TransportError:
                self.count("requests that found the server dead or dying")
                time.sleep(PAUSE_S)
                continue
            if answer.status_code not in BUSY or answer.status_code in expected:
                break
            time.sleep(PAUSE_S)
        if answer.status_code not in expected:
            self.fault(UNEXPECTED, f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def fault(self, kind: str, what: str) -> None:
        with self._lock:
            self.faults.append(Fault(kind, what))

    # promises

    def promise(self, job_id: str, key: str, body: dict[str, Any]) -> Promise:
        """The server has acknowledged this job."""
        with self._lock:
            self.counts["acknowledged jobs"] += 1
            self._promises[job_id] = Promise(job_id, key, body)
            return self._promises[job_id]

    def promises(self, which: Callable[[Promise], bool] = lambda promise: True) -> list[Promise]:
        with self._lock:
            return [promise for promise in self._promises.values() if which(promise)]

    def pick(self, rng: Random, which: Callable[[Promise], bool]) -> Promise | None:
        found = self.promises(which)
        return rng.choice(found) if found else None

    def saw(self, promise: Promise, job: dict[str, Any]) -> None:
        """A client has read this of the job."""
        with self._lock:
            if promise.status in ENDED and job["status"] != promise.status:
                self.faults.append(Fault(BACKWARDS, f"{promise.job_id}: {promise.status} became {job['status']}"))
            if job["progress_percentage"] < promise.progress:
                said = f"{promise.job_id}: progress fell from {promise.progress} to {job['progress_percentage']}"
                self.faults.append(Fault(BACKWARDS, said))
            promise.status, promise.progress = job["status"], job["progress_percentage"]

    def missing(self, promise: Promise) -> None:
        """The server says that there is no such job."""
        if not promise.deleting:
            self.fault(LOST, f"{promise.job_id} was acknowledged and is not there")

    def downloaded(self, promise: Promise, url: str, digest: str) -> bool:
        """Whether this is the first download of *url*; a later one must be the same."""
        with self._lock:
            self.counts["videos downloaded"] += 1
            new = url not in promise.digests
            first = promise.digests.setdefault(url, digest)
            if first != digest:
                self.faults.append(Fault(TORN, f"{url} is {digest[:12]} now, and was {first[:12]}"))
            return new
