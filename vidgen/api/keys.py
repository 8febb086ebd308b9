"""API keys: where they come from, and whether a caller has one."""

import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from starlette.datastructures import Headers

from vidgen.errors import StartRefused
from vidgen.settings import Settings

FILE = "api_key"
SUBPROTOCOL = "vidgen"
KEY_SUBPROTOCOL = "vidgen.key."
"""A browser's WebSocket carries the key as a subprotocol:
``new WebSocket(url, ["vidgen", "vidgen.key." + encodeURIComponent(key)])``."""

_SHAPE = re.compile(r"[A-Za-z0-9_-]{32,200}")


class Keys:
    """The keys that open the server.

    :param loopback_free: whether callers from this machine need none.
    """

    def __init__(self, keys: Iterable[str], *, loopback_free: bool):
        self._keys = [key.encode() for key in keys]
        self.loopback_free = loopback_free

    @property
    def needed(self) -> bool:
        return bool(self._keys)

    def match(self, given: Iterable[str]) -> bool:
        """Whether one of *given* is a key. Takes as long for a wrong one, whichever key it is nearest to."""
        found = False
        for candidate in given:
            for key in self._keys:
                found |= hmac.compare_digest(candidate.encode(), key)
        return found

    def cookie(self, given: Iterable[str]) -> tuple[str, str] | None:
        """Name and value of a cookie that stands for the key among *given*; None where there is none.

        The value proves the key and does not hold it: it opens this server for as long as the key does. The name is the
        key's own too, since a browser sends the cookies of all ports of a host to each of them.
        """
        known = [candidate.encode() for candidate in given if self.match([candidate])]
        if not known:
            return None
        nonce = secrets.token_hex(16)
        return _cookie_name(known[0]), f"{nonce}.{_proof(known[0], nonce)}"

    def match_cookies(self, cookies: Mapping[str, str]) -> bool:
        """Whether one of *cookies* stands for a key."""
        found = False
        for key in self._keys:
            nonce, _, proof = cookies.get(_cookie_name(key), "").partition(".")
            found |= hmac.compare_digest(proof.encode(), _proof(key, nonce).encode())
        return found

    @property
    def cookie_names(self) -> list[str]:
        return [_cookie_name(key) for key in self._keys]


def _proof(key: bytes, nonce: str) -> str:
    return hmac.digest(key, b"vidgen session " + nonce.encode(), "sha256").hex()


def _cookie_name(key: bytes) -> str:
    return f"vidgen_{hmac.digest(key, b'vidgen cookie', 'sha256').hex()[:12]}"


def keys_of(settings: Settings) -> tuple[Keys, Path | None]:
    """The keys in force, and the file of the server's own key where it had to have one.

    :raises StartRefused: the file is there and holds no key.
    """
    if settings.api_keys or settings.loopback_only:
        return Keys(settings.api_keys, loopback_free=False), None
    path = settings.workspace_dir / FILE
    return Keys([own_key(path)], loopback_free=True), path


def own_key(path: Path) -> str:
    """The key in *path*, made on the first call; readable by its owner only."""
    if not path.exists():
        _publish(path, secrets.token_urlsafe(32))
    os.chmod(path, 0o600)
    key = path.read_text("ascii", errors="replace").strip()
    if not _SHAPE.fullmatch(key):
        raise StartRefused(f"{path} holds no key; remove it and a new one is made")
    return key


def _publish(path: Path, key: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def keys_in_headers(headers: Headers) -> list[str]:
    """The keys that a request's headers carry."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = headers.getlist("x-api-key") + ([token.strip()] if scheme.lower() == "bearer" else [])
    return list(map(_as_sent, given))


def _as_sent(value: str) -> str:
    """A header's text: browsers send Latin-1, as it was read; a shell sends UTF-8."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def keys_in_subprotocols(offered: Sequence[str]) -> list[str]:
    """The keys that a WebSocket's subprotocols carry."""
    return [unquote(name.removeprefix(KEY_SUBPROTOCOL)) for name in offered if name.startswith(KEY_SUBPROTOCOL)]


def answered_subprotocol(offered: Sequence[str]) -> str | None:
    """The one of *offered* to accept: the plain one, so that the key is not sent back, else the one with the key."""
    if SUBPROTOCOL in offered:
        return SUBPROTOCOL
    return next((name for name in offered if name.startswith(KEY_SUBPROTOCOL)), None)
