"""Which predictions are spoken for, so that two shots that ask for the very same thing do not share one."""

import threading


class Held:
    """The ids of predictions that renders of this process are waiting for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: set[str] = set()

    def add(self, prediction_id: str) -> None:
        with self._lock:
            self._ids.add(prediction_id)

    def discard(self, prediction_id: str) -> None:
        with self._lock:
            self._ids.discard(prediction_id)

    def __contains__(self, prediction_id: str) -> bool:
        with self._lock:
            return prediction_id in self._ids
