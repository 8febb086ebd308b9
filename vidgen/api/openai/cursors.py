"""Where a page of videos ended, remembered: a client may delete the very video that the next page follows."""

import threading
from collections import OrderedDict

from vidgen.api.limits import MAX_CURSORS
from vidgen.engine.engine import Engine
from vidgen.errors import InvalidInput
from vidgen.types import Job


class Cursors:
    """The last videos of the pages that were given out; the oldest are forgotten."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, last: Job) -> None:
        with self._lock:
            self._places[last.id] = last.seq
            self._places.move_to_end(last.id)
            while len(self._places) > MAX_CURSORS:
                self._places.popitem(last=False)

    def place(self, engine: Engine, video_id: str) -> int:
        """In the order of acknowledgement.

        :raises InvalidInput: there is no such video, nor was there one at the end of a page.
        """
        place = engine.lookup.seq_of(video_id)
        if place is None and (place := self._places.get(video_id)) is None:
            raise InvalidInput.of("after", f"there is no video {video_id!r}")
        return place
