"""Brings a prediction's output onto the disk. Assumes that what the address gives may be anything.

No token goes along: the files lie on hosts that are not the API's. Only https is spoken, and plain http with the very
host and port that REPLICATE_BASE_URL names.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx

from backends.replicate.transport import TIMEOUTS, certificates
from vidgen.errors import StepFailed

MAX_OUTPUT_BYTES = 2_000_000_000
MAX_REDIRECTS = 3
TRIES = 4
GONE = (403, 404, 410)
"""What an address answers that has expired; a signed one answers 403."""

UNUSABLE = "output_unusable"

log = logging.getLogger(__name__)


class OutputGone(Exception):
    """There is nothing at the output's address any more."""


class _BrokeOff(Exception):
    """The transfer failed and may be tried again."""


class Download:
    """One output on its way into a file. Made for a thread of its own: ``received`` and ``stop`` are for the others.

    :param base_url: the API's address, where it is not Replicate's own.
    :param pause_s: before the second try; doubled for each that follows.
    """

    def __init__(self, url: str, target: Path, base_url: str | None, pause_s: float):
        self.received = 0                   # bytes, of all tries
        self.stop = threading.Event()
        self._url = url
        self._target = target
        self._pause_s = pause_s
        home = httpx.URL(base_url or "")
        self._plain = (home.host, home.port) if home.scheme == "http" else None

    def run(self) -> None:
        """Fetch it, whole.

        :raises OutputGone: there is nothing to fetch.
        :raises StepFailed: it cannot be had, or is not what it should be.
        """
        first = self._allowed(self._url)
        with httpx.Client(
            transport=httpx.HTTPTransport(verify=certificates()), timeout=httpx.Timeout(**TIMEOUTS),
            headers={"Accept-Encoding": "identity"},
        ) as client, self._target.open("wb") as file:
            for number in range(TRIES):
                if number and self.stop.wait(self._pause_s * 2 ** (number - 1)):
                    return
                try:
                    self._try(client, first, file)
                    return
                except (_BrokeOff, httpx.TransportError) as e:
                    log.info("the download of an output broke off: %s", type(e).__name__)
        raise StepFailed("the output is made, but its download from Replicate broke off each time", code=UNUSABLE)

    def _try(self, client: httpx.Client, url: httpx.URL, file: BinaryIO) -> None:
        with self._opened(client, url) as response:
            _check(response)
            file.seek(0)
            file.truncate()
            for chunk in response.iter_raw():
                if self.stop.is_set():
                    return
                file.write(chunk)
                self.received += len(chunk)
                if file.tell() > MAX_OUTPUT_BYTES:
                    raise _too_large()
        expected = response.headers.get("content-length")
        if not file.tell() or (expected is not None and file.tell() != int(expected)):
            raise _BrokeOff

    @contextmanager
    def _opened(self, client: httpx.Client, url: httpx.URL) -> Iterator[httpx.Response]:
        """The answer at the end of a few redirects."""
        for _ in range(MAX_REDIRECTS + 1):
            with client.stream("GET", url) as response:
                if response.has_redirect_location:
                    url = self._allowed(str(url.join(response.headers["location"])))
                    continue
                yield response
                return
        raise StepFailed("the output's address leads from one place to the next without an end", code=UNUSABLE)

    def _allowed(self, address: str) -> httpx.URL:
        """:raises StepFailed: we do not go there."""
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            url = httpx.URL("")
        plain = url.scheme == "http" and self._plain == (url.host, url.port)
        if not url.host or not (plain or url.scheme == "https"):
            raise StepFailed(
                "the output's address leads where it is not fetched from: only https is", retryable=False, code=UNUSABLE
            )
        return url


def _check(response: httpx.Response) -> None:
    """Hold the answer's head against what a file must have, before its body is read."""
    status, headers = response.status_code, response.headers
    if status in GONE:
        raise OutputGone
    if status != 200:
        raise _BrokeOff
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml"):
        raise StepFailed("Replicate's output is a page of text, not a file that a model made", code=UNUSABLE)
    if headers.get("content-encoding", "identity") != "identity":
        raise StepFailed("Replicate's output came compressed, which was not asked for", code=UNUSABLE)
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > MAX_OUTPUT_BYTES:
        raise _too_large()


def _too_large() -> StepFailed:
    return StepFailed(
        f"Replicate's output is larger than {MAX_OUTPUT_BYTES // 10**9} GB", retryable=False, code=UNUSABLE
    )

