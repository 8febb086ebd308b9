"""Where listeners hear of events: the end of each job's log, kept in memory while somebody listens.

The log is the truth. A wake-up only says that there is something to read; one that is lost does no harm, because a
listener always reads from the last number it saw.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from vidgen.errors import NotFound
from vidgen.store import jobs, log
from vidgen.store.database import Database
from vidgen.types import Event

TAIL_EVENTS = 512
"""How far back, in events of one job, a listener is served from memory."""

Wake = Callable[[], None]


class _Tail:
    """The newest events of one job. All events with a number above ``start`` are in it."""

    def __init__(self) -> None:
        self.start: int | None = None       # None: no event since somebody listens
        self.events: deque[Event] = deque()
        self.wakes: list[Wake] = []

    def append(self, event: Event) -> None:
        if self.start is None:
            self.start = event.seq - 1
        self.events.append(event)
        if len(self.events) > TAIL_EVENTS:
            self.start = self.events.popleft().seq

    def after(self, seq: int) -> list[Event] | None:
        """The events above *seq*, or None where the tail does not reach back that far."""
        if self.start is None or seq < self.start:
            return None
        newer: list[Event] = []
        for event in reversed(self.events):
            if event.seq <= seq:
                break
            newer.append(event)
        return newer[::-1]


class Hub:
    """Wakes listeners, and reads the log for them."""

    def __init__(self) -> None:
        self._database: Database | None = None
        self._lock = threading.Lock()
        self._tails: dict[str, _Tail] = {}

    def attach(self, database: Database) -> None:
        self._database = database

    def announce(self, events: Iterable[Event]) -> None:
        """New events were committed; called on the writer's thread."""
        by_job: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_job[event.job_id].append(event)
        wakes: list[Wake] = []
        with self._lock:
            for job_id, new in by_job.items():
                if (tail := self._tails.get(job_id)) is not None:
                    for event in new:
                        tail.append(event)
                    wakes += tail.wakes
        for wake in wakes:
            wake()

    def subscribe(self, job_id: str, wake: Wake) -> Callable[[], None]:
        """Have *wake* called, on the writer's thread, after each commit that adds to the job's log.

        :returns: what ends the subscription.
        """
        with self._lock:
            self._tails.setdefault(job_id, _Tail()).wakes.append(wake)

        def unsubscribe() -> None:
            with self._lock:
                tail = self._tails[job_id]
                tail.wakes.remove(wake)
                if not tail.wakes:
                    del self._tails[job_id]

        return unsubscribe

    def recent(self, job_id: str, after: int) -> list[Event] | None:
        """As :meth:`read`, from memory alone; None where the database must be asked. Never waits."""
        with self._lock:
            tail = self._tails.get(job_id)
            return tail.after(after) if tail else None

    def read(self, job_id: str, after: int) -> list[Event]:
        """The job's committed events with a number above *after*, oldest first. May read the database."""
        recent = self.recent(job_id, after)
        return recent if recent is not None else self._database.read(lambda conn: log.read(conn, job_id, after))

    def state(self, job_id: str) -> tuple[int, Event | None]:
        """The number of the job's last event, and what a newcomer is shown.

        :raises NotFound: where there is no such job.
        """

        def query(conn):
            if jobs.get(conn, job_id) is None:
                raise NotFound(f"there is no job {job_id!r}")
            return log.last_seq(conn, job_id), log.state(conn, job_id)

        return self._database.read(query)
