"""What cancelled steps left running elsewhere, such as a prediction at a hosted service: ended on its backend's word.

A step that runs hears the cancel itself; this is for those between two attempts, and for those that a dead server left.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from vidgen.registry import Registry
from vidgen.store import steps
from vidgen.store.database import Database

log = logging.getLogger(__name__)


class Leftovers:
    def __init__(self, database: Database, registry: Registry):
        self._database = database
        self._registry = registry

    def end(self, job_ids: Iterable[str]) -> None:
        """End what the cancelled steps of these jobs left behind. Does not wait."""
        for model_id, kept in self._database.read(lambda conn: steps.left_behind(conn, job_ids)):
            threading.Thread(target=self._end, args=(model_id, kept), name="leftovers", daemon=True).start()

    def _end(self, model_id: str, kept: Mapping[str, Any]) -> None:
        try:
            model = self._registry.runnable(model_id)
            model.backend.abandon(model.card, kept)
        except Exception as e:
            log.warning("what a cancelled step of %s left behind may still run: %s", model_id, type(e).__name__)
