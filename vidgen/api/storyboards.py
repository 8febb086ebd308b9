"""Plans without rendering."""

from typing import Annotated

from fastapi import APIRouter, Body

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere, Slow
from vidgen.api.wire import StoryboardAnswer, errors
from vidgen.request import PlanRequest

router = APIRouter(prefix="/api/v1/storyboards", tags=["Storyboards"], route_class=StrictRoute)


EXAMPLES = {"prompt": {"summary": "A prompt", "value": {
    "user_prompt": "A fishing boat leaves the harbour. Gulls follow it.", "max_shots": 2,
    "style_preferences": {"mood": "calm"},
}}}


@router.post(
    "", response_model=StoryboardAnswer, summary="Plan a prompt's shots; the answer can be sent with a job",
    responses=errors(400, 404, 408, 503),
)
async def post_storyboard(
    engine: EngineHere, slow: Slow, request: Annotated[PlanRequest, Body(openapi_examples=EXAMPLES)]
) -> StoryboardAnswer:
    return StoryboardAnswer.of(await slow(engine.plan, request))
