"""The way from the event loop to the engine, which waits for commits: worker threads.

Quick calls share one pool with FastAPI's own; what may wait for seconds has a pool of its own and cannot use up the
first.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from vidgen.api.limits import SLOW_CALLS
from vidgen.engine.engine import Engine

T = TypeVar("T")


async def _engine(request: Request) -> Engine:
    return request.app.state.engine


EngineHere = Annotated[Engine, Depends(_engine)]


class SlowCalls:
    """At most SLOW_CALLS at once."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(SLOW_CALLS)

    async def __call__(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return await to_thread.run_sync(partial(call, *arguments, **named), limiter=self._limiter)


async def _slow(request: Request) -> SlowCalls:
    return request.app.state.slow


Slow = Annotated[SlowCalls, Depends(_slow)]
