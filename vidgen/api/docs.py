"""The pages at /docs and /redoc. All that they load comes from this server, and the browser is told so."""

import importlib.util
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from vidgen.api.files import answer_file
from vidgen.errors import NotFound

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "redoc.standalone.js": "text/javascript",
}
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'"
)
"""Content-Security-Policy of the pages."""

SWAGGER = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>vidgen: the API</title>
<link rel="icon" href="/favicon.ico"><link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#ui", deepLinking: true, validatorUrl: null, persistAuthorization: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""
REDOC = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>vidgen: the API</title>
<link rel="icon" href="/favicon.ico">
</head>
<body style="margin: 0">
<redoc spec-url="/openapi.json"></redoc>
<script src="/docs/assets/redoc.standalone.js"></script>
</body>
</html>
"""
ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">
<rect width="16" height="16" rx="3" fill="#1f2937"/><path d="M5 4l7 4-7 4z" fill="#f59e0b"/></svg>
"""

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def get_docs() -> Response:
    return HTMLResponse(SWAGGER, headers={"Content-Security-Policy": POLICY})


@router.get("/redoc")
async def get_redoc() -> Response:
    return HTMLResponse(REDOC, headers={"Content-Security-Policy": POLICY})


@router.get("/docs/assets/start.js")
async def get_start() -> Response:
    return Response(START, media_type="text/javascript")


@router.get("/docs/assets/{name}")
def get_asset(request: Request, name: str) -> Response:
    if name not in ASSETS:
        raise NotFound(f"there is no file {name[:80]!r}")
    answer = answer_file(_folder() / name, request)
    answer.headers["Content-Type"] = f"{ASSETS[name]}; charset=utf-8"
    return answer


@router.get("/favicon.ico")
async def get_icon() -> Response:
    return Response(ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})


@cache
def _folder() -> Path:
    """Where the package that ships the pages' scripts keeps them; it is not imported."""
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise NotFound("the pages' scripts are not installed")
    return Path(spec.origin).parent / "static"
