"""The models, and whether each can run now."""

from typing import Annotated

from fastapi import APIRouter, Path

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere
from vidgen.api.wire import errors
from vidgen.api.wire_models import ModelAnswer, ModelList
from vidgen.engine.engine import Engine
from vidgen.registry import Model

router = APIRouter(prefix="/api/v1/models", tags=["Models"], route_class=StrictRoute)


@router.get("", response_model=ModelList, summary="List models, the preferred first", responses=errors(400))
def list_models(engine: EngineHere, available_only: bool = False) -> ModelList:
    listed = [_answer(engine, model) for model in engine.registry.models()]
    shown = [model for model in listed if model.is_available or not available_only]
    return ModelList(models=shown, total=len(shown))


@router.get("/{model_id}", response_model=ModelAnswer, summary="Read a model", responses=errors(404))
def get_model(
    engine: EngineHere, model_id: Annotated[str, Path(description="With its colon", examples=["stub:animatic"])]
) -> ModelAnswer:
    return _answer(engine, engine.registry.model(model_id))


def _answer(engine: Engine, model: Model) -> ModelAnswer:
    settings = engine.settings
    problem = engine.registry.text_problem(model)
    needs = engine.needs(model)
    return ModelAnswer.of(model, settings.weights_dir, problem, needs, testing=settings.allow_test_parameters)
