"""The way from the event loop to the engine, which waits for commits: worker threads.

Quick calls share one pool with FastAPI's own; what may wait for seconds has places of its own and cannot use up the
first, and so have contact sheets, which are drawn one at a time.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from vidgen.engine.engine import Engine

T = TypeVar("T")


async def _engine(request: Request) -> Engine:
    return request.app.state.engine


EngineHere = Annotated[Engine, Depends(_engine)]


class Calls:
    """At most *places* at once; the others wait for theirs without a thread."""

    def __init__(self, places: int) -> None:
        self._limiter = CapacityLimiter(places)

    async def __call__(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return await to_thread.run_sync(partial(call, *arguments, **named), limiter=self._limiter)


async def _slow(request: Request) -> Calls:
    return request.app.state.slow


async def _drawing(request: Request) -> Calls:
    return request.app.state.drawing


Slow = Annotated[Calls, Depends(_slow)]
Drawing = Annotated[Calls, Depends(_drawing)]
