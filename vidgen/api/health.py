"""Whether the server can do its work. Neither route waits for a GPU or a network, and neither needs a key."""

import time

from fastapi import APIRouter, Response
from pydantic import SecretStr

from vidgen import __version__
from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere
from vidgen.api.errors import problem, timestamp
from vidgen.api.wire import Health, KeysConfigured, Ready, errors

router = APIRouter(prefix="/api/v1", tags=["Health"], route_class=StrictRoute)


@router.get("/health", response_model=Health, summary="Health and configuration", responses=errors())
def get_health(engine: EngineHere) -> Health:
    reasons, settings = engine.health(), engine.settings
    return Health(
        status="degraded" if reasons else "healthy", version=__version__, timestamp=timestamp(time.time()),
        api_keys_configured=KeysConfigured(
            anthropic=_given(settings.anthropic_api_key), replicate=_given(settings.replicate_api_token),
            openai=_given(settings.openai_api_key),
        ),
        models_available=sum(model.availability().ok for model in engine.registry.models()), reasons=reasons,
    )


@router.get("/ready", response_model=Ready, summary="Whether jobs can be taken now", responses=errors(503))
def get_ready(engine: EngineHere) -> Ready | Response:
    if engine.ready():
        return Ready(status="ready")
    return problem(503, "Not ready", "the server is starting or stopping", "not_ready", (), {"Retry-After": "1"})


def _given(key: SecretStr | None) -> bool:
    return key is not None and bool(key.get_secret_value())
