"""What every command has: which server, which key, where its words go."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from vidgen.cli.text import fitted, printable, table

if TYPE_CHECKING:
    from vidgen.client import Client

MIN_COLUMNS = 40


@dataclass(frozen=True, slots=True)
class Session:
    """:param json: whether standard output is for programs."""

    url: str | None = None
    api_key: str | None = None
    json: bool = False

    def client(self, **options: Any) -> "Client":
        """The server's client, to be closed by the caller."""
        from vidgen.client import Client

        url, api_key = self._address()
        return Client(url, api_key, **options)

    def _address(self) -> tuple[str, str | None]:
        """Where the server is, and its key. The key of ``.env`` goes to the server of ``.env`` alone."""
        key = self.api_key or os.environ.get("VIDGEN_API_KEY") or None
        if url := self.url or os.environ.get("VIDGEN_URL"):
            return url, key
        from vidgen.settings import load_settings, url_of

        settings = load_settings()
        return url_of(settings.api_host, settings.api_port), key or next(iter(settings.api_keys), None)

    # standard output: results

    def result(self, value: Any) -> None:
        """One result for programs: a line of JSON, in ASCII, which every encoding and every terminal takes."""
        print(json.dumps(value), flush=True)

    def line(self, text: object = "") -> None:
        """One line of a result for people."""
        print(printable(text), flush=True)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Lines as wide as they need to be; on a terminal, as wide as that."""
        columns = self._columns()
        for row in table(header, rows).splitlines():
            print(fitted(row, columns) if columns else row, flush=True)

    def _columns(self) -> int | None:
        if not sys.stdout.isatty():
            return None
        return max(MIN_COLUMNS, get_terminal_size().columns)

    # standard error: everything else

    def note(self, text: object) -> None:
        print(printable(text), file=sys.stderr, flush=True)

    @property
    def bars(self) -> bool:
        """Whether progress may be drawn, and redrawn."""
        return not self.json and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")

    @property
    def asks(self) -> bool:
        """Whether somebody is there to answer."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, question: str) -> str:
        """One line from the terminal, in lower case; empty where there is none to come."""
        print(f"{printable(question)} ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower()
