"""Finds a prediction whose id was lost: created at Replicate, but no answer came, or nobody lived to write it down.

It is one of the account's list, of the same model and with the same inputs. A picture's address is among these, and
every upload has an address of its own; where no picture is sent, the seed tells shots apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backends.replicate.held import Held
from backends.replicate.service import RUNNING, SUCCEEDED, Page, Prediction, predictions_of, seconds
from backends.replicate.table import Table

SLACK_S = 600.0
"""How far this machine's clock and Replicate's may be apart."""

MAX_PAGES = 5
"""Of a hundred predictions each."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What is known of the prediction."""

    table: Table
    inputs: Mapping[str, Any]
    intended_at: float                      # seconds since the epoch
    spent: tuple[str, ...]
    held: Held

    def is_it(self, prediction: Prediction) -> bool:
        """One that can still be of use, and that nobody else has."""
        table = self.table
        same_model = prediction.version == table.version if table.version else prediction.model == table.model
        return (
            same_model and self._same_inputs(prediction.input) and self._is_recent(prediction)
            and prediction.status in (*RUNNING, SUCCEEDED)
            and prediction.id not in self.spent and prediction.id not in self.held
        )

    def find(self, page_after: Callable[[Page | None], Page]) -> Prediction | None:
        """Look through the list, as far back as the prediction can be.

        :param page_after: asks Replicate for a page.
        """
        page = None
        for _ in range(MAX_PAGES):
            page = page_after(page)
            listed = predictions_of(page)
            if found := next((p for p in listed if self.is_it(p)), None):
                return found
            if not page.next or not listed or not self._is_recent(listed[-1]):
                return None
        return None

    def _same_inputs(self, theirs: Any) -> bool:
        """Whether all that was sent is there; Replicate may have added what was not."""
        return isinstance(theirs, dict) and all(
            name in theirs and theirs[name] == value for name, value in self.inputs.items()
        )

    def _is_recent(self, prediction: Prediction) -> bool:
        created = seconds(prediction.created_at)
        return created is None or created >= self.intended_at - SLACK_S
