"""Plans without rendering."""

from fastapi import APIRouter

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere, Slow
from vidgen.api.wire import StoryboardAnswer, errors
from vidgen.request import PlanRequest

router = APIRouter(prefix="/api/v1/storyboards", tags=["Storyboards"], route_class=StrictRoute)


@router.post(
    "", response_model=StoryboardAnswer, summary="Plan a prompt's shots; the answer can be sent with a job",
    responses=errors(400, 404, 408, 503),
)
async def post_storyboard(engine: EngineHere, slow: Slow, request: PlanRequest) -> StoryboardAnswer:
    return StoryboardAnswer.of(await slow(engine.plan, request))
