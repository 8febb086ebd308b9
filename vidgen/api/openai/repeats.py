"""A create that its client repeats by itself makes no second job.

OpenAI's client sends a create again when no answer came, with the number of the repeat in a header and no idempotency
key. What it says is hashed into the job's own idempotency key, so that the first job is found again after a restart
too. Two creates that are equal because somebody wants two videos are no repeats, and make two jobs.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from vidgen.api.limits import SAME_CREATE_S
from vidgen.engine.engine import Engine
from vidgen.errors import Conflict
from vidgen.store.jobs import TimedJob

STRIPES = 64


@dataclass(frozen=True, slots=True)
class Repeat:
    """What tells one create from another.

    :ivar digest: of all that it says.
    :ivar number: of the repeat; 0 is the first time.
    :ivar key: the client's own idempotency key.
    """

    digest: str
    number: int = 0
    key: str | None = None

    @property
    def prefix(self) -> str:
        """With which the idempotency keys of the jobs begin that it may have made."""
        if self.key is not None:
            return f"openai-key:{hashlib.sha256(self.key.encode()).hexdigest()}:"
        return f"openai:{self.digest}:"


class Repeats:
    """Creates that say the same are made one after the other."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._stripes = [threading.Lock() for _ in range(STRIPES)]
        self._given: dict[tuple[str, int], float] = {}      # a job, and the repeat that it answered: when
        self._lock = threading.Lock()

    def once(self, repeat: Repeat, create: Callable[[str], TimedJob]) -> TimedJob:
        """The job that an earlier try of the same create made, or else the one that *create* makes.

        :param create: gets the idempotency key that the job is to have.
        :raises Conflict: the client's key came with another request.
        """
        with self._stripes[hash(repeat.prefix) % STRIPES]:
            if repeat.key is not None:
                made = self._made_with_key(repeat)
                return made or create(repeat.prefix + repeat.digest)
            made = self._made_before(repeat) if repeat.number else None
            return made or create(repeat.prefix + secrets.token_hex(8))

    def _made_with_key(self, repeat: Repeat) -> TimedJob | None:
        for job_id, key in self._engine.lookup.by_key_prefix(repeat.prefix):
            if key != repeat.prefix + repeat.digest:
                said = f"this Idempotency-Key came with another request, for {job_id}"
                raise Conflict(said, code="idempotency_mismatch")
            return self._engine.job(job_id)
        return None

    def _made_before(self, repeat: Repeat) -> TimedJob | None:
        """The newest job of the same content that has not answered a repeat of this number yet: of several equal
        creates whose answers were lost, each repeat gets one of the jobs.
        """
        now = time.time()
        for job_id, _ in self._engine.lookup.by_key_prefix(repeat.prefix, now - SAME_CREATE_S):
            if self._give(job_id, repeat.number, now):
                return self._engine.job(job_id)
        return None

    def _give(self, job_id: str, number: int, now: float) -> bool:
        """Whether the job is still to be had for a repeat of this number."""
        with self._lock:
            for old in [each for each, at in self._given.items() if at < now - SAME_CREATE_S]:
                del self._given[old]
            free = (job_id, number) not in self._given
            self._given.setdefault((job_id, number), now)
            return free
