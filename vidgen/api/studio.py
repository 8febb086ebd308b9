"""The studio: the page at ``/`` and what it loads from ``/studio/``, the files of ``vidgen/web``.

They are read once, when the application is made; a client's text is only ever looked up among their names.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response

from vidgen.errors import NotFound

FOLDER = Path(__file__).parents[1] / "web"
INDEX, SIGN_IN = "index.html", "sign_in.html"
TYPES = {
    ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml",
    ".woff2": "font/woff2", ".png": "image/png", ".webmanifest": "application/manifest+json",
}
PACKED = frozenset({".html", ".css", ".js", ".svg", ".webmanifest"})
"""What gzip makes smaller."""

POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
"""Content-Security-Policy: nothing from elsewhere, no script or style within the markup."""

HEADERS = {
    "Cache-Control": "no-cache", "Vary": "Accept-Encoding", "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, as it is and packed."""

    media_type: str
    body: bytes
    packed: bytes | None
    etag: str

    @classmethod
    def read(cls, file: Path) -> "Asset":
        body = file.read_bytes()
        packed = gzip.compress(body, mtime=0) if file.suffix in PACKED else None
        return cls(TYPES[file.suffix], body, packed, hashlib.sha256(body).hexdigest()[:20])

    def answer(self, request: Request) -> Response:
        """The file, packed where the client can take that; 304 where it has it."""
        packs = self.packed is not None and _GZIP.search(request.headers.get("accept-encoding", ""))
        etag = f'"{self.etag}-gz"' if packs else f'"{self.etag}"'
        headers = HEADERS | {"ETag": etag} | ({"Content-Encoding": "gzip"} if packs else {})
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if etag in known or "*" in known:
            headers.pop("Content-Encoding", None)
            return Response(status_code=304, headers=headers)
        return Response(self.packed if packs else self.body, headers=headers, media_type=self.media_type)


def read_assets(folder: Path = FOLDER) -> dict[str, Asset]:
    """The files of the page, by their path in *folder*."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix in TYPES)
    return {file.relative_to(folder).as_posix(): Asset.read(file) for file in files}


def pages() -> APIRouter:
    """The routes, around the files as they are now."""
    router, assets = APIRouter(include_in_schema=False), read_assets()

    @router.get("/")
    async def get_page(request: Request) -> Response:
        return find(assets, INDEX).answer(request)

    @router.get("/studio/{name:path}")
    async def get_asset(request: Request, name: str) -> Response:
        return find(assets, name).answer(request)

    return router


def find(assets: dict[str, Asset], name: str) -> Asset:
    """:raises NotFound: there is none of that name."""
    if name not in assets:
        raise NotFound(f"the studio has no file {name[:80]!r}")
    return assets[name]
