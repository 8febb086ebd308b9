"""The web application around an engine that has been started."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from vidgen import __doc__ as summary
from vidgen import __version__
from vidgen.api import (
    docs,
    errors,
    files,
    gpu,
    health,
    jobs,
    live,
    models,
    queue,
    session,
    storyboards,
    streams,
    studio,
    uploads,
)
from vidgen.api.calls import Calls
from vidgen.api.channels import Channels
from vidgen.api.cors import Cors, Origins
from vidgen.api.guard import OPEN_PATHS, Guard
from vidgen.api.keys import Keys, keys_of
from vidgen.api.limits import DRAWINGS, SLOW_CALLS
from vidgen.api.openai import models as openai_models
from vidgen.api.openai import videos as openai_videos
from vidgen.api.openai.cursors import Cursors
from vidgen.api.openai.repeats import Repeats
from vidgen.engine.engine import Engine

DESCRIPTION = """A prompt, perhaps an image, in; one finished video out. Progress comes over a WebSocket at
`/ws/jobs/{job_id}` or as server-sent events. Every error has the same shape."""
SILENT = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}


def create_app(engine: Engine, keys: Keys | None = None) -> FastAPI:
    """The application. It neither starts nor closes *engine*.

    :param keys: who may speak; left out, as the settings say.
    """
    keys = keys or keys_of(engine.settings)[0]
    app = FastAPI(
        title="vidgen", version=__version__, summary=summary.strip(), description=DESCRIPTION, lifespan=_lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=SILENT,
    )
    app.state.engine, app.state.keys = engine, keys
    app.state.repeats, app.state.cursors = Repeats(engine), Cursors()
    for part in (
        health, models, jobs, streams, queue, gpu, storyboards, uploads, session, openai_videos, openai_models, docs,
    ):
        app.include_router(part.router)
    app.include_router(files.strict)
    app.include_router(files.router)
    app.include_router(studio.pages())
    live.add_socket(app)
    errors.install(app)
    origins = Origins(engine.settings.enable_cors, engine.settings.cors_origins)
    app.add_middleware(Guard, settings=engine.settings, keys=keys, origins=origins)
    app.add_middleware(Cors, origins=origins)
    app.openapi = _described(app, keys)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.channels = Channels(app.state.engine.hub)
    app.state.slow, app.state.drawing = Calls(SLOW_CALLS), Calls(DRAWINGS)
    try:
        yield
    finally:
        app.state.channels.close()


def _described(app: FastAPI, keys: Keys) -> Callable[[], dict[str, Any]]:
    """The OpenAPI description, made on the first request: without FastAPI's 422, which nobody is ever sent."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, summary=app.summary, description=app.description,
                routes=app.routes,
            )
            for path, operations in schema["paths"].items():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    for parameter in operation.get("parameters", ()):
                        _cannot_be_null(parameter)
                    if keys.needed and path not in OPEN_PATHS:
                        operation["security"] = [{"bearer": []}, {"header": []}]
            parts = schema["components"]
            for name in ("HTTPValidationError", "ValidationError"):
                parts["schemas"].pop(name, None)
            if keys.needed:
                parts["securitySchemes"] = {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                }
            app.openapi_schema = schema
        return app.openapi_schema

    return openapi


def _cannot_be_null(parameter: dict[str, Any]) -> None:
    """Take JSON's null out of the schema of a query parameter or header: it may be left out, and that is all."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    if kinds:
        parameter["schema"] = schema | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})
