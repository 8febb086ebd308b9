"""The models in OpenAI's shape: those that make videos and can run now, by the ids that a create takes."""

from typing import Annotated

from fastapi import APIRouter, Path

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere
from vidgen.api.openai.wire import ModelEntries, ModelEntry, openai_errors
from vidgen.registry import Model

router = APIRouter(prefix="/v1/models", tags=["OpenAI"], route_class=StrictRoute)


@router.get("", response_model=ModelEntries, summary="List the video models that can run", responses=openai_errors(400))
def list_openai_models(engine: EngineHere) -> ModelEntries:
    return ModelEntries(data=[ModelEntry.of(model) for model in engine.registry.models() if _makes_videos_now(model)])


@router.get(
    "/{model_id}", response_model=ModelEntry, summary="Read a model, whether it can run or not",
    responses=openai_errors(404),
)
def get_openai_model(
    engine: EngineHere, model_id: Annotated[str, Path(description="With its colon", examples=["stub:animatic"])]
) -> ModelEntry:
    return ModelEntry.of(engine.registry.model(model_id))


def _makes_videos_now(model: Model) -> bool:
    return model.card is not None and model.card.makes_video and model.availability().ok
