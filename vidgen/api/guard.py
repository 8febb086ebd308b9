"""In front of everything: may this caller speak, from this page, to this name, and not say more than is taken.

Pure ASGI; knows routes only as those that need no key and those that take a large body.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vidgen.api.cors import Origins
from vidgen.api.errors import internal, problem_of
from vidgen.api.keys import Keys, answered_subprotocol, keys_in_headers, keys_in_subprotocols
from vidgen.api.limits import BODY_IDLE_S, BODY_TOTAL_S, MAX_BODY_BYTES, MAX_ENVELOPE_BYTES, MAX_VIDEO_BODY_BYTES
from vidgen.api.openai.errors import is_openai
from vidgen.api.session import is_signed_in, sign_in_page, wants_page
from vidgen.errors import Forbidden, TooLarge, Unauthorized, VidgenError
from vidgen.media.images import MAX_UPLOAD_BYTES
from vidgen.settings import Settings

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/api/v1/health", "/api/v1/ready"})
HEAD = "vidgen.head"
"""In the scope of a HEAD request: it wants no body, so whoever makes a long one need not."""

BODY_LIMITS = {"/api/v1/upload": MAX_UPLOAD_BYTES + MAX_ENVELOPE_BYTES, "/v1/videos": MAX_VIDEO_BODY_BYTES}
"""Paths that take a large body: images."""

FORWARDING = frozenset({
    b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-original-forwarded-for",
    b"x-envoy-external-address", b"true-client-ip", b"cf-connecting-ip", b"cf-ray", b"fly-client-ip",
})
"""Headers that proxies add: a request that has one was not made on this machine, wherever it seems to come from."""


class Guard:
    """ASGI: refuses in the order host, page, key; counts bodies; lets nothing unexpected out."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: Keys, origins: Origins):
        self.app = app
        self.keys = keys
        self.origins = origins
        self.hosts = Hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        try:
            self.check(scope)
        except VidgenError as e:
            return await self._refuse(refusal(e, scope), scope, receive, send)
        if scope["type"] == "websocket":
            scope["vidgen.subprotocol"] = answered_subprotocol(scope.get("subprotocols", ()))
            return await self.app(scope, receive, send)
        return await self._pass(scope, receive, send)

    def check(self, scope: Scope) -> None:
        """Whether the caller may speak.

        :raises Forbidden: the host or the page is not ours.
        :raises Unauthorized: no key, or a wrong one.
        :raises TooLarge: the body says so itself.
        """
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.hosts.allow(hosts[0]):
            raise Forbidden("this server does not go by that host name; ALLOWED_HOSTS lists the names it takes")
        origin = headers.get("origin")
        if origin is not None and not self.origins.allow(origin, hosts[0]):
            raise Forbidden("this server does not take requests of that origin; CORS_ORIGINS lists those it takes")
        if self.keys.needed and not (scope["path"] in OPEN_PATHS or self._has_key(scope, headers)):
            raise Unauthorized("an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
        if scope["type"] == "http":
            _check_length(headers.get("content-length"), body_limit(scope["path"]))

    def _has_key(self, scope: Scope, headers: Headers) -> bool:
        given = keys_in_headers(headers) + keys_in_subprotocols(scope.get("subprotocols", ()))
        if self.keys.match(given) or (self.keys.loopback_free and from_loopback(scope)):
            return True
        return is_signed_in(scope, headers, self.keys)

    async def _refuse(self, answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
            return await send({"type": "websocket.close", "code": 1008})
        return await answer(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.monotonic(), 0
        if scope["method"] == "HEAD":       # answered as GET; uvicorn keeps the body back
            scope = {**scope, "method": "GET", HEAD: True}

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope["path"])
            await send(message)

        try:
            await self.app(scope, counted(scope, receive), watched)
        except ClientDisconnect:
            log.debug("the client went before its request was whole", extra={"path": scope["path"]})
        except Exception as e:
            answer = internal(e, method=scope["method"], path=scope["path"])
            if status:
                raise
            await answer(scope, receive, watched)
        finally:
            took = round((time.monotonic() - began) * 1000, 1)
            log.debug("request", extra={"method": scope["method"], "path": scope["path"], "status": status, "ms": took})


def refusal(error: VidgenError, scope: Scope) -> Response:
    """The answer that *error* becomes, in the shape that the caller understands."""
    if isinstance(error, Unauthorized) and wants_page(scope):
        return sign_in_page()
    return problem_of(error)


def _add_headers(headers: MutableHeaders, path: str) -> None:
    headers.setdefault("X-Content-Type-Options", "nosniff")
    if path.startswith("/api/") or is_openai(path):
        headers.setdefault("Cache-Control", "no-store")


def body_limit(path: str) -> int:
    """The most bytes that a body sent to *path* may have."""
    return BODY_LIMITS.get(path, MAX_BODY_BYTES)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {limit:,} bytes that are taken here")


def _check_length(announced: str | None, limit: int) -> None:
    if announced is not None and announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)


def counted(scope: Scope, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """*receive*, with the body's bytes counted as they arrive and their delay bounded.

    :raises TooLarge: from the call that brings the byte too many.
    """
    limit = body_limit(scope["path"])
    count = 0
    unfinished = True
    deadline = time.monotonic() + BODY_TOTAL_S

    async def counting() -> Message:
        nonlocal count, unfinished
        if not unfinished:
            return await receive()
        try:
            async with asyncio.timeout(min(BODY_IDLE_S, max(0.0, deadline - time.monotonic()))):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time", {"Connection": "close"}) from None
        unfinished = message.get("more_body", False)
        count += len(message.get("body", b""))
        if count > limit:
            raise _too_large(limit)
        return message

    return counting


def from_loopback(scope: Scope) -> bool:
    """Whether the request was made on this machine and came here straight."""
    if any(name in FORWARDING or name.startswith(b"x-forwarded") for name, _ in scope["headers"]):
        return False
    client = scope.get("client")
    try:
        address = ip_address(client[0]) if client else None
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address is not None and address.is_loopback


class Hosts:
    """The names this server goes by. A page that had its own name resolve to our address does not know them."""

    def __init__(self, settings: Settings):
        names = ("localhost", settings.api_host, *settings.allowed_hosts)
        self.names = frozenset(_host_name(name) for name in names)
        self.any_address = not settings.loopback_only

    def allow(self, header: str) -> bool:
        name = _host_name(header)
        if name in self.names:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return self.any_address or address.is_loopback


def _host_name(header: str) -> str:
    """The name in a Host header, without port or brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower().rstrip(".")
