"""Which web pages may speak to the server: CORS, for every answer and for WebSockets alike.

A request without an ``Origin`` comes from no page and is not this module's business.
"""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS = "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Range, X-API-Key"
"""What a preflight allows in any case; beside it, whatever the page asks for: which pages may speak is the origins'
business, and clients have headers of their own (OpenAI's sends a dozen).
"""

EXPOSED = (
    "Accept-Ranges, Allow, Content-Disposition, Content-Length, Content-Range, ETag, Location, Retry-After, "
    "openai-poll-after-ms, x-should-retry"
)
MAX_AGE_S = "600"


class Origins:
    """The pages that may speak: those of the list, ``*`` for all, and always those that this server served."""

    def __init__(self, enabled: bool, listed: Sequence[str]):
        self.everyone = enabled and "*" in listed
        self.listed = frozenset(origin.rstrip("/").lower() for origin in listed) if enabled else frozenset()

    def allow(self, origin: str, host: str) -> bool:
        return self.everyone or origin.lower() in self.listed or is_same(origin, host)

    def header(self, origin: str) -> str:
        return "*" if self.everyone else origin


def is_same(origin: str, host: str) -> bool:
    """Whether a page of *origin* was served under the name in the Host header."""
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:                      # such as http://[
        return False


class Cors:
    """ASGI: answers preflights and puts the CORS headers on every answer to an allowed page, errors included."""

    def __init__(self, app: ASGIApp, origins: Origins):
        self.app = app
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or not self.origins.allow(origin, headers.get("host", "")):
            return await self.app(scope, receive, send)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            asked = headers.get("access-control-request-headers")
            return await self._preflight(origin, asked)(scope, receive, send)
        return await self.app(scope, receive, self._marking(send, origin))

    def _preflight(self, origin: str, asked: str | None) -> Response:
        return Response(status_code=204, headers={
            "Access-Control-Allow-Origin": self.origins.header(origin),
            "Vary": "Origin, Access-Control-Request-Headers", "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": f"{REQUEST_HEADERS}, {asked}" if asked else REQUEST_HEADERS,
            "Access-Control-Max-Age": MAX_AGE_S,
        })

    def _marking(self, send: Send, origin: str) -> Send:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = self.origins.header(origin)
                headers["Access-Control-Expose-Headers"] = EXPOSED
                headers.add_vary_header("Origin")
            await send(message)

        return marked
