"""The queue: what runs, what waits, and whether anything new is started."""

from fastapi import APIRouter

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere
from vidgen.api.wire import QueueAnswer, errors

router = APIRouter(prefix="/api/v1/queue", tags=["Queue"], route_class=StrictRoute)


@router.get("", response_model=QueueAnswer, summary="Read the queue", responses=errors())
def get_queue(engine: EngineHere) -> QueueAnswer:
    return QueueAnswer.of(engine.queue())


@router.post(
    "/pause", response_model=QueueAnswer, summary="Start nothing new; what runs goes on", responses=errors(408)
)
def pause_queue(engine: EngineHere) -> QueueAnswer:
    engine.pause()
    return QueueAnswer.of(engine.queue())


@router.post("/resume", response_model=QueueAnswer, summary="Start again", responses=errors(408))
def resume_queue(engine: EngineHere) -> QueueAnswer:
    engine.resume()
    return QueueAnswer.of(engine.queue())
