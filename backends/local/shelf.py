"""Weights in RAM of models that are not loaded, so that loading them again is a copy and reads no file.

Best effort: it all goes with the process, and the least recently used go where there is no more room.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidgen.cards import Card
from vidgen.weights import folder, lock_file

if TYPE_CHECKING:
    from backends.local.loaded import Loaded

Stamp = Mapping[str, tuple[int, int, int]]
"""Of a model's files: by name which file it is, its size in bytes, and when it was written."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """One model whose weights are all on the host."""

    loaded: "Loaded"

    @property
    def bytes(self) -> int:
        return self.loaded.bytes

    def release(self) -> None:
        self.loaded.release()


class Shelf:
    """Room for *limit_bytes*. Host copies of models that are loaded take of it as well; for them it is only reckoned.
    """

    def __init__(self, limit_bytes: int):
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._shelved: OrderedDict[str, Shelved] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Of the models that are not loaded."""
        return sum(shelved.bytes for shelved in self._shelved.values())

    def reserve(self, size: int) -> bool:
        """Whether there is room for *size* bytes more, which then count as taken; what was used longest ago makes way.
        """
        if size > self._limit_bytes:
            return False
        while self._taken_bytes + size > self._limit_bytes and self._shelved:
            self.drop(next(iter(self._shelved)))
        if self._taken_bytes + size > self._limit_bytes:
            return False
        self._taken_bytes += size
        return True

    def give_back(self, size: int) -> None:
        """*size* bytes that were taken are free again."""
        self._taken_bytes -= size

    def put(self, card_id: str, shelved: Shelved) -> None:
        """Keep *shelved*, whose room has been reserved."""
        self.drop(card_id)
        self._shelved[card_id] = shelved

    def take(self, card_id: str) -> Shelved | None:
        """The model of this card, which is then no longer here."""
        return self._shelved.pop(card_id, None)

    def drop(self, card_id: str) -> None:
        if (shelved := self.take(card_id)) is not None:
            shelved.release()

    def drop_all(self) -> None:
        for card_id in list(self._shelved):
            self.drop(card_id)


def stamp_of(card: Card, weights_dir: Path) -> Stamp:
    """What tells whether the model's files are still those that were loaded; nothing is read."""
    found = (path for path in [lock_file(card, weights_dir), *sorted(folder(card, weights_dir).rglob("*"))])
    return {
        path.name if path.parent == weights_dir else str(path.relative_to(weights_dir)):
        (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for path in found if path.is_file() and (stat := path.stat())
    }
