"""Signing in with a browser, which cannot send a header with an address that is typed in: a key becomes a cookie.

A browser sends cookies whoever made the page that asks, so one is taken only from pages that this server served.
"""

import base64
import hashlib
import re
from functools import cache

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from vidgen.api.body import StrictRoute
from vidgen.api.cors import is_same
from vidgen.api.keys import Keys, keys_in_headers
from vidgen.api.studio import FOLDER, HEADERS, SIGN_IN
from vidgen.api.wire import Message, errors

PATH = "/api/v1/session"
SAFE = frozenset({"GET", "HEAD"})
ATTRIBUTES = {"path": "/", "httponly": True, "samesite": "strict"}
_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)

router = APIRouter(prefix=PATH, tags=["Session"], route_class=StrictRoute)


@router.post("", response_model=Message, summary="Sign a browser in with the key in X-API-Key", responses=errors(408))
async def sign_in(request: Request, response: Response) -> Message:
    """The cookie lasts until the browser is closed, or the key is withdrawn. Only pages that this server served can
    use it.
    """
    keys: Keys = request.app.state.keys
    cookie = keys.cookie(keys_in_headers(request.headers))
    if cookie is None:
        return Message(message="No key is needed here")
    response.set_cookie(*cookie, secure=_is_https(request), **ATTRIBUTES)
    return Message(message="Signed in")


@router.delete("", response_model=Message, summary="Sign the browser out", responses=errors(408))
async def sign_out(request: Request, response: Response) -> Message:
    for name in request.app.state.keys.cookie_names:
        if name in request.cookies:
            response.delete_cookie(name, secure=_is_https(request), **ATTRIBUTES)
    return Message(message="Signed out")


def _is_https(request: Request) -> bool:
    """Whether the browser speaks TLS, perhaps to a proxy before us."""
    return request.headers.get("origin", f"{request.url.scheme}:").startswith("https:")


def is_signed_in(scope: Scope, headers: Headers, keys: Keys) -> bool:
    """Whether a cookie stands for a key, and the page that sends it is ours."""
    cookies = cookie_parser("; ".join(headers.getlist("cookie")))
    return keys.match_cookies(cookies) and from_own_page(scope, headers)


def from_own_page(scope: Scope, headers: Headers) -> bool:
    """Whether a browser sends this for one of our pages, or for an address that a person typed in.

    Browsers that say it by ``Sec-Fetch-Site`` are believed: no page can set that. Over plain HTTP to another machine
    they leave it out; what changes something has an ``Origin`` then, and so has a WebSocket. What has neither only
    reads, and no browser gives what it read to a page from elsewhere.
    """
    safe = scope["type"] == "http" and scope["method"] in SAFE
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin" or (site == "none" and safe)
    if (origin := headers.get("origin")) is not None:
        return is_same(origin, headers.get("host", ""))
    return safe


def wants_page(scope: Scope) -> bool:
    """Whether a person is waiting for the studio, to whom an error in JSON says little."""
    asks = scope["type"] == "http" and scope["method"] in SAFE and scope["path"] == "/"
    return asks and "text/html" in Headers(scope=scope).get("accept", "")


def sign_in_page() -> Response:
    """The answer 401 as a page that asks for the key."""
    markup, policy = _page()
    headers = HEADERS | {
        "WWW-Authenticate": "Bearer", "Cache-Control": "no-store", "Content-Security-Policy": policy,
        "Vary": "Accept, Cookie",
    }
    return HTMLResponse(markup, 401, headers)


@cache
def _page() -> tuple[str, str]:
    """The page's markup, and a policy under which nothing runs but what it holds."""
    markup = (FOLDER / SIGN_IN).read_text()
    allowed = " ".join(f"{kind}-src '{_digest(text)}';" for kind, text in _INLINE.findall(markup))
    return markup, f"default-src 'none'; {allowed} connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; " \
                   "form-action 'none'"


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
