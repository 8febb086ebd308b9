"""Which comes next of what stands in a queue: the steps of the GPU lane, and the jobs at its door.

The order is by rank. What costs no swap of models may be preferred to it, but only so far down the queue and only for
so long, so that nothing starves.
"""

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Policy:
    swap_patience_s: float                  # how long steps of loaded models may be preferred to the head of the queue
    memory_wait_s: float                    # how long a step waits for memory before it is refused
    look_ahead: int = 64                    # how far behind the head a preferred step may stand


Passed = Mapping[Hashable, float]
"""Since when each of those that are passed over is, by its id."""


class Ranked(Protocol):
    """What stands in a queue: a step, or a job at the door."""

    @property
    def id(self) -> Hashable: ...

    @property
    def priority(self) -> int: ...

    @property
    def rank(self) -> float: ...


T = TypeVar("T", bound=Ranked)


def in_line(queue: Sequence[T], near: Callable[[T], bool], now: float, policy: Policy, passed: Passed | None) -> T:
    """Who is next of *queue*, which is in order and not empty: its head, or one behind it that costs no swap. Nothing
    is passed over by what has a lower priority, or by its own job.

    :param near: whether one costs no swap.
    :param passed: what :func:`passed_after` said last; None at the beginning.
    """
    head = queue[0]
    if _waited_s(head, passed, now) >= policy.swap_patience_s or near(head):
        return head
    priority, rank = head.priority, head.rank
    for each in islice(queue, 1, 1 + policy.look_ahead):
        if each.priority >= priority and each.rank != rank and near(each):
            return each
        priority, rank = max(priority, each.priority), each.rank
    return head


def passed_after(
    passed: Passed | None, queue: Sequence[Ranked], taken_id: Hashable, now: float, short: Container[Hashable] = ()
) -> Passed:
    """What is to be remembered once *taken_id* was taken from *queue*.

    :param short: the ids of those that stand aside; the first of the others is the head.
    """
    head = next(each.id for each in queue if each.id not in short)
    before = passed or {}
    still = {each.id: before[each.id] for each in queue if each.id in before and each.id != taken_id}
    return still if head == taken_id else {head: now} | still


def _waited_s(head: Ranked, passed: Passed | None, now: float) -> float:
    """For how long the head has been passed over."""
    return now - passed.get(head.id, now) if passed else 0.0
