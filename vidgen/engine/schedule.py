"""What the GPU lane does next: a pure function of the queue, of what is loaded, of the memory and of the clock.

``decide`` answers with one action at a time. Whoever carries it out measures the memory again and asks again, so that
no decision rests on an eviction that freed less than was hoped for.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Any

from vidgen.engine.order import Passed, Policy, in_line

MOVE_UP_MARGIN = 0.05
"""Share of the device's memory that must be left over where a loaded model moves up to a better mode, so that a little
more or less of it does not make the model swing to and fro.
"""

GB = 2**30


@dataclass(frozen=True, slots=True)
class Option:
    """One way to render a step; bytes of the device's memory."""

    mode: str
    resident_bytes: int                     # as long as the model is loaded
    peak_bytes: int                         # while it renders, the resident part included; 0: it takes nothing
    changes: Mapping[str, Any] = field(default_factory=dict)    # parameters that differ from the job's


@dataclass(frozen=True, slots=True)
class Waiting:
    """One step that is ready; ``options``, at least one, are in the order in which they are to be tried."""

    step_id: int
    model_id: str
    priority: int                           # the job's own; higher is sooner
    rank: float                             # the job's place, lowest first (see store/jobs.py: rank_of)
    options: tuple[Option, ...]
    short_since: float | None = None        # since when it waits for memory (see short_after)

    @property
    def id(self) -> int:
        return self.step_id


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

    @property
    def others_bytes(self) -> int | None:
        """What other processes hold; None where that is unknown."""
        if self.total_bytes is None or self.free_bytes is None or self.ours_bytes is None:
            return None
        return max(0, self.total_bytes - self.free_bytes - self.ours_bytes)


@dataclass(frozen=True, slots=True)
class Claim:
    """Render this step so; the model is loaded first where it is not."""

    step_id: int
    option: Option
    short: tuple[int, ...] = ()             # the steps before it, which are short of memory


@dataclass(frozen=True, slots=True)
class Evict:
    """Unload this idle model, measure, and ask again."""

    model_id: str
    short: tuple[int, ...] = ()


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


def decide(
    queue: Sequence[Waiting], residents: Sequence[Resident], room: Room, now: float, policy: Policy,
    passed: Passed | None,
) -> Decision:
    """The next action. *queue* holds the steps that are ready, in order of rank, then id.

    Steps that are short of memory stand aside until there is enough. The first of the others is the head. The bound:
    from when it is first passed over, a head waits for at most ``swap_patience_s`` and the one step that runs by then,
    beside evictions and loading, as long as its memory is there and nothing of a lower rank comes before it.

    A step runs on its model as it is loaded; else the model is loaded beside the others; else idle models make room,
    the one that was not used for the longest time first; else the same is tried with the step's next option. A model
    that is loaded in a lower mode moves up as it would be loaded anew, which is a swap like any other, so others may be
    preferred. A step is refused where its smallest option needs more than there is, or where memory was short for
    ``memory_wait_s``.

    A busy model is never evicted, and nothing is claimed that needs more than is known to be free.

    :param passed: what :func:`passed_after` said last.
    """
    loaded = {resident.model_id: resident for resident in residents}
    short: list[int] = []
    for place, step in enumerate(queue):
        if (action := _action(step, loaded, room)) is not None:
            near = partial(_near, step, action, loaded, room)
            chosen = in_line(queue[place:], near, now, policy, passed)
            if chosen is not step:
                action = Claim(chosen.step_id, _as_loaded(chosen, loaded, room))
            return replace(action, short=tuple(short)) if short else action
        if (reason := _refusal(step, residents, room, now, policy)) is not None:
            return Refuse(step.step_id, reason)
        short.append(step.step_id)
    return Wait(tuple(short))


def short_after(queue: Sequence[Waiting], decision: Claim | Evict | Wait, now: float) -> dict[int, float]:
    """Since when each step of *queue* that waits for memory does so, by its id. A step that was short keeps its time
    while others stand before it, until it is seen to fit.
    """
    head = next((step for step in queue if step.step_id not in decision.short), None)
    since = {step.step_id: step.short_since for step in queue if step is not head and step.short_since is not None}
    return {step_id: now for step_id in decision.short} | since


def fits_inside(outer: Option, inner: Waiting, residents: Sequence[Resident], room: Room) -> Option | None:
    """How *inner* can be rendered within a step of the render that goes on, with the busy model, as *outer*: beside all
    that *outer* may still come to need, with nothing evicted. None where it cannot.

    What our allocator has spare counts for nothing here: it may be what *outer* takes next.
    """
    own = next((resident for resident in residents if resident.model_id == inner.model_id), None)
    left = _left_beside(outer, residents, room)
    return next((
        option for option in inner.options
        if (own is None or own.mode == option.mode) and _fits(option, own, left)
    ), None)


def no_longer_used(residents: Sequence[Resident], needed: Container[str], now: float, keep_alive_s: float) -> list[str]:
    """The models whose time is over.

    :param needed: the models that something waits for; loading them again would be a swap for nothing.
    """
    return [
        each.model_id for each in residents
        if not each.busy and each.model_id not in needed and now - each.used_at > keep_alive_s
    ]


def never_fits(options: Sequence[Option], room: Room) -> str | None:
    """Why none of *options* can ever be rendered on this device, with the numbers; None where one may."""
    if room.total_bytes is None:
        return None
    least = _least(options)
    if least == 0 or least <= room.total_bytes - room.reserve_bytes:
        return None
    reserved = f", {_gb(room.reserve_bytes)} of it left to others" if room.reserve_bytes else ""
    return f"it needs at least {_gb(least)} of the device's memory, which is {_gb(room.total_bytes)}{reserved}"


def _near(head: Waiting, action: Claim | Evict, loaded: Mapping[str, Resident], room: Room, step: Waiting) -> bool:
    """Whether *step* costs no swap: it is the head and nobody has to go, or it runs on another model that is loaded."""
    if step is head:
        return isinstance(action, Claim)
    return step.model_id != head.model_id and _as_loaded(step, loaded, room) is not None


def _action(step: Waiting, loaded: Mapping[str, Resident], room: Room) -> Claim | Evict | None:
    """What brings *step* forward; None where it is short of memory."""
    option = _as_loaded(step, loaded, room)
    if option is None:
        return _first_that_fits(step, loaded, room)
    return _upward(step, option, loaded, room) or Claim(step.step_id, option)


def _as_loaded(step: Waiting, loaded: Mapping[str, Resident], room: Room) -> Option | None:
    """The option of the mode in which the model is loaded, if it is and that fits now."""
    if (own := loaded.get(step.model_id)) is None:
        return None
    option = next((option for option in step.options if option.mode == own.mode), None)
    return option if option is not None and _fits(option, own, room.usable_bytes) else None


def _upward(step: Waiting, option: Option, loaded: Mapping[str, Resident], room: Room) -> Evict | None:
    """What brings the model from *option* to a better one; idle models go before it does, so that it is sure to fit."""
    own = loaded[step.model_id]
    if option is step.options[0] or own.busy or room.total_bytes is None or room.free_bytes is None:
        return None
    freed = own.resident_bytes - int(MOVE_UP_MARGIN * room.total_bytes)
    others = {model_id: resident for model_id, resident in loaded.items() if resident is not own}
    room = replace(room, free_bytes=room.free_bytes + freed)
    better = takewhile(lambda each: each is not option, step.options)
    action = next((action for each in better if (action := _with(each, step, others, room))), None)
    return Evict(step.model_id) if isinstance(action, Claim) else action


def _first_that_fits(step: Waiting, loaded: Mapping[str, Resident], room: Room) -> Claim | Evict | None:
    return next((action for option in step.options if (action := _with(option, step, loaded, room))), None)


def _with(option: Option, step: Waiting, loaded: Mapping[str, Resident], room: Room) -> Claim | Evict | None:
    """What brings *step* forward so; a model that is loaded in another mode has to go first."""
    own, usable = loaded.get(step.model_id), room.usable_bytes
    changes_mode = own is not None and own.mode != option.mode
    if changes_mode and own.busy:
        return None
    if not changes_mode and _fits(option, own, usable):
        return Claim(step.step_id, option)
    others = [each for each in loaded.values() if each is not own and not each.busy and each.resident_bytes]
    victims = ([own] if changes_mode else []) + sorted(others, key=lambda each: each.used_at)
    there = None if usable is None else usable + sum(each.resident_bytes for each in victims)
    fits = _fits(option, None if changes_mode else own, there)
    return Evict(victims[0].model_id) if victims and fits else None


def _fits(option: Option, own: Resident | None, usable: int | None) -> bool:
    """Whether *option* needs no more than *usable*.

    :param own: its model, where that is loaded in its mode: what it holds is there already.
    """
    if option.peak_bytes == 0:
        return True
    return usable is not None and option.peak_bytes - (own.resident_bytes if own else 0) <= usable


def _left_beside(outer: Option, residents: Sequence[Resident], room: Room) -> int | None:
    """What of the device's memory is left if the busy model takes all that *outer* needs."""
    if room.free_bytes is None:
        return None
    held = outer.resident_bytes
    if room.ours_bytes is not None:
        held = room.ours_bytes - sum(each.resident_bytes for each in residents if not each.busy)
    return room.free_bytes - room.reserve_bytes - max(0, outer.peak_bytes - held)


def _refusal(step: Waiting, residents: Sequence[Resident], room: Room, now: float, policy: Policy) -> str | None:
    """Why a step that is short of memory waits no longer; None where it does."""
    if (reason := never_fits(step.options, room)) is not None:
        return reason
    if step.short_since is None or now - step.short_since < policy.memory_wait_s:
        return None
    waited_for = f"it waited {now - step.short_since:.0f} s for memory"
    return f"{waited_for}: it needs at least {_gb(_least(step.options))}, and {_there(residents, room)}"


def _there(residents: Sequence[Resident], room: Room) -> str:
    """What there is, for people."""
    if room.usable_bytes is None:
        return "how much of the device's is free is not known"
    idle = sum(resident.resident_bytes for resident in residents if not resident.busy)
    total = "" if room.total_bytes is None else f" of {_gb(room.total_bytes)}"
    others = "" if room.others_bytes is None else f"; other processes hold {_gb(room.others_bytes)}"
    return f"{_gb(max(0, room.usable_bytes + idle))}{total} can be had{others}"


def _least(options: Sequence[Option]) -> int:
    return min(option.peak_bytes for option in options)


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / GB:.1f} GB"
