"""What a step remembers of its prediction, so that none is paid for twice: written before each thing that costs.

    image_url, image_at     where the shot's picture is at Replicate, and when it went up
    digest, intended_at     of model and inputs, written when a prediction is about to be created
    prediction              its id, as soon as it is known
    spent                   ids of predictions that ended badly, which are not to be picked up again

Times are seconds since the epoch, by this machine's clock.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from vidgen.backend import Control

FILE_FRESH_S = 6 * 3600
"""An uploaded file is used for a new prediction up to this age; Replicate deletes it after a day."""


class Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    image_url: str | None = None
    image_at: float = 0.0
    digest: str | None = None
    intended_at: float = 0.0
    prediction: str | None = None
    spent: tuple[str, ...] = ()


class Ledger:
    """The entry of one step; every change is durable when the call returns."""

    def __init__(self, control: Control):
        self._control = control
        self.entry = read_entry(control.kept)

    def uploaded(self, url: str, at: float) -> None:
        self._write(image_url=url, image_at=at)

    def picture_at(self, now: float) -> str | None:
        """Where the shot's picture is; None where it never went up, or is too old for a new prediction."""
        fresh = now - self.entry.image_at < FILE_FRESH_S
        return self.entry.image_url if fresh or self.entry.digest else None

    def intend(self, digest: str, at: float) -> None:
        """A prediction is about to be created."""
        self._write(digest=digest, intended_at=at, prediction=None)

    def hold(self, prediction_id: str) -> None:
        """The prediction exists, and this step's is the one."""
        self._write(prediction=prediction_id)

    def drop(self) -> None:
        """Nothing was created."""
        self._write(digest=None, prediction=None)

    def spend(self, prediction_id: str) -> None:
        """The prediction is of no use any more; another one is to be made."""
        self._write(digest=None, prediction=None, spent=(*self.entry.spent, prediction_id))

    def _write(self, **changes: Any) -> None:
        self.entry = self.entry.model_copy(update=changes)
        self._control.keep(self.entry.model_dump(mode="json"))


def read_entry(kept: Mapping[str, Any]) -> Entry:
    """The entry that was kept; an empty one where nothing that can be read was."""
    try:
        return Entry.model_validate(kept)
    except ValidationError:
        return Entry()
