"""What the GPU lane does next: a pure function of the queue, of what is loaded, of the memory and of the clock.

``decide`` answers with one action at a time. Whoever carries it out measures the memory again and asks again, so that
no decision rests on an eviction that freed less than was hoped for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Option:
    """One way to render a step; bytes of the device's memory."""

    mode: str
    resident_bytes: int                     # as long as the model is loaded
    peak_bytes: int                         # while it renders, the resident part included
    changes: Mapping[str, Any] = field(default_factory=dict)    # parameters that differ from the job's


@dataclass(frozen=True, slots=True)
class Waiting:
    """One step that is ready; ``options`` are in the order in which they are to be tried."""

    step_id: int
    model_id: str
    priority: int                           # the job's own; higher is sooner
    rank: float                             # the order of claiming, lowest first (see store/jobs.py: rank_of)
    options: tuple[Option, ...]
    short_since: float | None = None        # since when it waits for memory


@dataclass(frozen=True, slots=True)
class Resident:
    """One model that is loaded."""

    model_id: str
    mode: str
    resident_bytes: int
    used_at: float
    busy: bool = False                      # a render with it is going on


@dataclass(frozen=True, slots=True)
class Room:
    """The device's memory. What is not known is never taken for free."""

    total_bytes: int | None
    free_bytes: int | None                  # for anybody
    spare_bytes: int = 0                    # held by our own allocator and free for us
    ours_bytes: int | None = None           # all that our process holds
    reserve_bytes: int = 0                  # left to others

    @property
    def usable_bytes(self) -> int | None:
        """What a render could take now; None where that is unknown."""
        return None if self.free_bytes is None else self.free_bytes + self.spare_bytes - self.reserve_bytes


@dataclass(frozen=True, slots=True)
class Policy:
    swap_patience_s: float                  # how long steps of loaded models may be preferred to the head of the queue
    memory_wait_s: float                    # how long a step waits for memory before it is refused
    look_ahead: int = 64                    # how far down the queue a preferred step may stand


@dataclass(frozen=True, slots=True)
class Claim:
    """Render this step so; the model is loaded first where it is not."""

    step_id: int
    option: Option


@dataclass(frozen=True, slots=True)
class Evict:
    """Unload this idle model, measure, and ask again."""

    model_id: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can run now; these steps are short of memory."""

    short: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """This step cannot be rendered: it never fits, or has waited for too long."""

    step_id: int
    reason: str


Decision = Claim | Evict | Wait | Refuse
