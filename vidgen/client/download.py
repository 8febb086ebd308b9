"""Files from the server to disk: whole or not at all, taken up again where the connection broke."""

import errno
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import httpx

from vidgen.client.connection import Backoff, Connection
from vidgen.client.errors import ApiError

Progress = Callable[[int, int | None], None]
"""Is told the bytes that are there, and all there will be; None where the server does not say."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


def download(connection: Connection, url: str, path: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """Fetch *url*, a path on the server, into *path*, which takes the place of a file that is there.

    :param path: a file's, or that of a folder that is there: then the name is the URL's.
    :raises OSError: it cannot be written there, or what is there is no file, but a device, say.
    """
    target = Path(path)
    if target.is_dir():
        target /= url.rpartition("/")[2]
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(target.parent))
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "something is there that is no file", str(target))
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            Download(connection, url, file, progress or (lambda done, total: None)).run()
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def content(connection: Connection, url: str, at_most_bytes: int) -> bytes | None:
    """A small file's bytes; None where it is larger, or the server does not say how large."""
    try:
        with connection.open(url, {"Accept-Encoding": "identity"}) as answer:
            length = _length(answer)
            return answer.read() if length is not None and length <= at_most_bytes else None
    except httpx.TransportError as e:
        connection.fail(e)


class Download:
    """One file on its way.

    :param file: empty, and written from its start.
    """

    def __init__(self, connection: Connection, url: str, file: BinaryIO, progress: Progress):
        self._connection, self._url, self._file, self._progress = connection, url, file, progress
        self._done, self._total = 0, None
        self._etag: str | None = None

    def run(self) -> None:
        """Return once the file is whole, over any number of connections.

        :raises ApiError: it is not there, or not there any more.
        :raises ConnectionFailed: the server has been away for too long (GIVE_UP_S).
        """
        backoff = Backoff(self._connection)
        while True:
            try:
                with self._connection.open(self._url, self._headers()) as answer:
                    self._begin(answer)
                    for chunk in answer.iter_raw():
                        self._take(chunk)
                        backoff.moved()
                return
            except (httpx.TransportError, ApiError) as e:
                backoff.wait(e)

    def _headers(self) -> dict[str, str]:
        rest = {"Range": f"bytes={self._done}-", "If-Range": self._etag} if self._done and self._etag else {}
        return {"Accept-Encoding": "identity", **rest}

    def _begin(self, answer: httpx.Response) -> None:
        """Go on where the answer does: at what is here already, or, where the file is another one now, at the start."""
        part = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", "")) if answer.status_code == 206 else None
        start, self._total = (int(part[1]), int(part[2])) if part else (0, _length(answer))
        if start != self._done:
            self._done = start
            self._file.seek(start)
            self._file.truncate()
        etag = answer.headers.get("etag", "")
        self._etag = etag if etag.startswith('"') else None
        self._progress(self._done, self._total)

    def _take(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._done += len(chunk)
        self._progress(self._done, self._total)


def _length(answer: httpx.Response) -> int | None:
    said = answer.headers.get("content-length", "")
    return int(said) if said.isdecimal() else None
