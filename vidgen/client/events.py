"""A job's events over any number of connections: each once, in order, however often a connection breaks."""

import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from vidgen.client.answers import Event
from vidgen.client.connection import Backoff, Connection
from vidgen.client.errors import ApiError

SILENCE_S = 45.0
"""Without a byte, before a connection is held to be dead: the server gives a sign of life every 15 s."""

SHORTEST_S = 0.25


def follow(connection: Connection, path: str, since: int = 0, deadline: float | None = None) -> Iterator[Event]:
    """The events above the number *since*, until the job's last.

    The server is asked for what came after the last event that arrived whole, so that nothing is lost or told twice.

    :param deadline: by ``time.monotonic()``.
    :raises TimeoutError: the deadline is over.
    :raises ApiError: the job is not there, or not there any more.
    :raises ConnectionFailed: the server has been away for too long (GIVE_UP_S).
    """
    backoff, seen = Backoff(connection), since
    while (left_s := _left(deadline)) > 0:
        patience_s = _patience(left_s)
        try:
            with connection.open(path, {"Last-Event-ID": str(seen)}, read_s=patience_s) as answer:
                if answer.status_code == 204:       # the job has ended, and had nothing more to say
                    return
                for message in messages(answer.iter_bytes()):
                    backoff.heard()
                    if (event := _news(message, seen)) is not None:
                        backoff.moved()
                        seen = event.seq
                        yield event
                        if event.ends:
                            return
                    if _left(deadline) < patience_s:
                        break
                else:
                    raise httpx.RemoteProtocolError("the stream ended before the job did")
        except httpx.ReadTimeout as e:
            backoff.check(e)
        except (httpx.TransportError, ApiError) as e:
            backoff.wait(e, _left(deadline))
    raise TimeoutError("the job has not ended in time; it goes on")


def messages(chunks: Iterable[bytes]) -> Iterator[dict[str, Any] | None]:
    """Server-sent events as they become whole; None for a comment, which is a sign of life."""
    data: list[bytes] = []
    for line in lines(chunks):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b":"):
            yield None
        elif not line and data:
            yield json.loads(b"\n".join(data))
            data = []


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines, as server-sent events have them: JSON may hold characters that other readers of lines break at."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in whole)


def _news(message: dict[str, Any] | None, seen: int) -> Event | None:
    """The event that a message is, unless it is the greeting."""
    if message is None or message.get("type") == "connected" or message.get("seq", 0) <= seen:
        return None
    return Event(message)


def _left(deadline: float | None) -> float:
    return float("inf") if deadline is None else deadline - time.monotonic()


def _patience(left_s: float) -> float:
    """How long one read may wait: shorter and shorter ones, so that a deadline is kept within SHORTEST_S."""
    return min(SILENCE_S, max(left_s / 4, SHORTEST_S))
