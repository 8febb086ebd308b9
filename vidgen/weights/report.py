"""What a download or a check says while it works: nothing at all, or short lines and bars for a terminal."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from vidgen.cards import Card
from vidgen.weights.hashing import Moved
from vidgen.weights.hub import progress_bar
from vidgen.weights.plan import Listing, RemoteFile, total


@dataclass(frozen=True, slots=True)
class Plan:
    """What a download is about to do."""

    card: Card
    listing: Listing
    files: Sequence[RemoteFile]
    here: dict[str, int]                    # bytes of each file that are on the disk, as far as sizes tell
    free: int                               # bytes on the disk


class Report:
    """Says nothing."""

    def begin(self, name: str) -> None:
        """A model's turn comes."""

    def say(self, words: str) -> None:
        """How a model's turn ended."""

    def line(self, path: str, size: int, how: str) -> None:
        """How a file stands."""

    def plan(self, plan: Plan) -> None:
        """The hub has said what there is; nothing is fetched yet."""

    def moving(self, what: str, path: str, size: int, done: int = 0) -> AbstractContextManager[Moved]:
        """*what* is done to a file, *done* of whose *size* bytes are; gives what is told of each byte more."""
        return nullcontext(lambda _: None)

    def done(self, path: str, size: int, how: str) -> None:
        """A file is on the disk and right, or not: *how* says it."""


class Lines(Report):
    """A line for each file on standard output, a bar for what takes long where there is a terminal."""

    def __init__(self) -> None:
        self._files, self._bytes, self._of_files, self._of_bytes, self._width = 0, 0, 0, 0, 0

    def begin(self, name: str) -> None:
        print(name)

    def say(self, words: str) -> None:
        print(f"  {words}", flush=True)

    def plan(self, plan: Plan) -> None:
        self._of_files, self._of_bytes = len(plan.files), total(plan.files)
        self._width = max(len(file.path) for file in plan.files)
        print(f"{plan.card.name}  from {plan.listing.repository} at {plan.listing.commit[:12]}")
        if licence := described(plan.card, plan.listing.gated):
            print(f"  licence: {licence}")
        here, free = size_text(sum(plan.here.values())), size_text(plan.free)
        print(f"  {files_text(self._of_files)}, {size_text(self._of_bytes)}; {here} here, {free} free", flush=True)

    @contextmanager
    def moving(self, what: str, path: str, size: int, done: int = 0) -> Iterator[Moved]:
        with progress_bar(f"  {what} {path}", size, done) as bar:
            yield bar.update

    def done(self, path: str, size: int, how: str) -> None:
        self._files, self._bytes = self._files + 1, self._bytes + size
        so_far = f"  ({self._files} of {self._of_files}, {size_text(self._bytes)} of {size_text(self._of_bytes)})"
        self.line(path, size, how + (so_far if self._of_files else ""))

    def line(self, path: str, size: int, how: str) -> None:
        print(f"  {size_text(size):>8}  {path:{self._width}}  {how}", flush=True)


def described(card: Card, gated: bool) -> str:
    """A card's licence in one line."""
    words = [card.licence.name, card.licence.url] if card.licence else ["not named"]
    return ", ".join([*filter(None, words), *(["gated: to be accepted on the repository's page"] if gated else [])])


def files_text(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def size_text(size: float) -> str:
    """Bytes for people, in powers of 1000 as the hub counts: ``4.51 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
