"""The decision, rule by rule. Bytes are GB here, times seconds."""

from dataclasses import dataclass

import pytest

from vidgen.engine.order import Policy, in_line, passed_after
from vidgen.engine.schedule import (
    GB,
    Claim,
    Evict,
    Option,
    Refuse,
    Resident,
    Room,
    Wait,
    Waiting,
    decide,
    fits_inside,
    never_fits,
    no_longer_used,
    short_after,
)

POLICY = Policy(swap_patience_s=100, memory_wait_s=600, look_ahead=4)
SVD = (Option("whole", 4 * GB, 14 * GB), Option("two_pass", 4 * GB, 10 * GB), Option("component", 0, 6 * GB))
WAN = (Option("whole", 12 * GB, 16 * GB),)
STILLS = (Option("whole", 3 * GB, 5 * GB),)
OPTIONS = {"svd": SVD, "wan": WAN, "stills": STILLS}


def step(step_id, model="svd", priority=0, rank=None, options=None, short_since=None):
    rank = float(step_id if rank is None else rank)
    return Waiting(step_id, model, priority, rank, options or OPTIONS[model], short_since)


def resident(model="svd", mode="whole", used_at=0.0, busy=False):
    held = next(option.resident_bytes for option in OPTIONS[model] if option.mode == mode)
    return Resident(model, mode, held, used_at, busy)


def room(free, total=24, spare=0, ours=None, reserve=0):
    return Room(*(None if gb is None else int(gb * GB) for gb in (total, free)), int(spare * GB),
                None if ours is None else int(ours * GB), int(reserve * GB))


def decided(queue, residents, there, now=0.0, passed=None, policy=POLICY):
    return decide(queue, residents, there, now, policy, passed or {})


def test_nothing_waits():
    assert decided([], [resident()], room(24)) == Wait()


def test_a_loaded_model_renders_in_its_mode_beside_what_it_holds():
    assert decided([step(1)], [resident()], room(10)) == Claim(1, SVD[0])
    assert decided([step(1)], [resident(mode="two_pass")], room(6)) == Claim(1, SVD[1])


def test_a_model_is_loaded_beside_the_others_where_that_fits():
    assert decided([step(1)], [resident("stills")], room(14)) == Claim(1, SVD[0])


def test_idle_models_make_room_the_longest_unused_first():
    loaded = [resident("wan", used_at=5), resident("stills", used_at=3)]
    assert decided([step(1)], loaded, room(1)) == Evict("stills")


def test_nobody_is_evicted_in_vain():
    assert decided([step(1, "wan")], [resident("stills")], room(12)) == Wait((1,))


def test_what_holds_nothing_makes_no_room():
    loaded = [resident(mode="component", used_at=1), resident("stills", used_at=2)]
    assert decided([step(1, "wan")], loaded, room(14)) == Evict("stills")


def test_where_evictions_do_not_suffice_the_next_option_is_tried():
    assert decided([step(1)], [resident("stills")], room(10)) == Claim(1, SVD[1])
    assert decided([step(1)], [resident("stills")], room(4)) == Evict("stills")


def test_making_room_comes_before_the_next_option():
    assert decided([step(1)], [resident("stills")], room(11)) == Evict("stills")


def test_a_busy_model_stays():
    assert decided([step(1, "wan")], [resident("svd", busy=True)], room(13)) == Wait((1,))
    assert decided([step(1, "wan")], [resident("svd")], room(13)) == Evict("svd")


def test_a_busy_model_keeps_its_mode():
    loaded = [resident(mode="two_pass", busy=True), resident("stills")]
    assert decided([step(1, options=SVD[:1])], loaded, room(13)) == Wait((1,))
    assert decided([step(1)], loaded, room(20)) == Claim(1, SVD[1])


def test_not_a_byte_more_than_there_is():
    assert decided([step(1, "stills")], [], Room(24 * GB, 5 * GB)) == Claim(1, STILLS[0])
    assert decided([step(1, "stills")], [], Room(24 * GB, 5 * GB - 1)) == Wait((1,))


def test_what_changes_the_video_comes_last():
    options = (*SVD, Option("whole", 4 * GB, 5 * GB, {"decode_chunk_size": 4}))
    assert decided([step(1, options=options)], [], room(6)) == Claim(1, SVD[2])
    assert decided([step(1, options=options)], [], room(5)) == Claim(1, options[3])


def test_a_model_that_is_too_large_as_it_is_loaded_goes_first_and_comes_back_smaller():
    loaded = [resident(used_at=9), resident("stills", used_at=1)]
    assert decided([step(1)], loaded, room(2.5)) == Evict("svd")        # for component, and before the others
    assert decided([step(1)], [resident(used_at=9)], room(6)) == Evict("svd")
    assert decided([step(1)], [], room(10)) == Claim(1, SVD[1])


def test_a_model_moves_up_only_with_a_margin():
    assert decided([step(1)], [resident(mode="two_pass")], room(11)) == Claim(1, SVD[1])    # 15 for 14, and 1.2 over
    assert decided([step(1)], [resident(mode="two_pass")], room(11.5)) == Evict("svd")


def test_others_make_room_for_a_better_mode_before_the_model_goes_itself():
    loaded = [resident(mode="two_pass"), resident("stills")]
    assert decided([step(1)], loaded, room(9)) == Evict("stills")
    assert decided([step(1)], loaded[:1], room(12)) == Evict("svd")
    assert decided([step(1)], loaded[:1], room(10)) == Claim(1, SVD[1])     # less was freed than was hoped for


def test_a_better_mode_is_a_swap_like_any_other():
    loaded = [resident(mode="two_pass"), resident("stills")]
    queue = [step(1), step(2), step(3, "stills")]
    assert decided(queue, loaded, room(9)) == Claim(3, STILLS[0])
    assert decided(queue[:2], loaded, room(9)) == Evict("stills")
    assert decided(queue, loaded, room(9), now=100, passed={1: 0.0}) == Evict("stills")


def test_a_busy_model_makes_no_room_for_a_better_mode():
    assert decided([step(1)], [resident(mode="two_pass"), resident("stills", busy=True)], room(9)) == Claim(1, SVD[1])


def test_a_model_that_moved_up_stays_there():
    assert decided([step(1)], [], room(15.5)) == Claim(1, SVD[0])
    assert decided([step(1)], [resident()], room(11.5)) == Claim(1, SVD[0])


def test_what_is_short_waits_and_what_fits_runs_meanwhile():
    queue = [step(1, "wan"), step(2, "stills"), step(3)]
    assert decided(queue, [], room(8)) == Claim(2, STILLS[0], short=(1,))


def test_what_is_short_is_not_the_head():
    """Patience is for the first that can run: else each step behind one that is short would swap."""
    queue = [step(1, "wan"), step(2), step(3, "stills")]
    decision = decided(queue, [resident("stills")], room(7), now=500, passed={1: 0.0})
    assert decision == Claim(3, STILLS[0], short=(1,))
    assert passed_after({}, queue, 3, 500, decision.short) == {2: 500}


def test_memory_that_does_not_come_back_ends_in_a_refusal_with_the_numbers():
    there = room(7, ours=1, reserve=1)
    queue = [step(1, "wan", short_since=400)]
    assert decided(queue, [], there, now=999) == Wait((1,))
    refused = decided(queue, [resident("stills")], there, now=1000)
    assert refused == Refuse(1, "it waited 600 s for memory: it needs at least 16.0 GB, and 9.0 GB of 24.0 GB can be "
                                "had; other processes hold 16.0 GB")


def test_what_never_fits_is_refused_at_once_and_what_stands_before_it_runs():
    refused = decided([step(1, "wan")], [], room(12, total=16, reserve=0.5))
    assert refused == Refuse(1, "it needs at least 16.0 GB of the device's memory, which is 16.0 GB, 0.5 GB of it left "
                                "to others")
    assert decided([step(1, "stills"), step(2, "wan")], [], room(12, total=16, reserve=0.5)) == Claim(1, STILLS[0])


@pytest.mark.parametrize("loaded", [[], [resident()]])
def test_unknown_memory_is_not_free(loaded):
    assert decided([step(1)], loaded, room(None)) == Wait((1,))
    assert decided([step(1)], loaded, room(None, total=None)) == Wait((1,))
    refused = decided([step(1, short_since=0)], loaded, room(None), now=600)
    assert refused.reason.endswith("it needs at least 6.0 GB, and how much of the device's is free is not known")


def test_what_needs_no_memory_runs_without_knowing_it():
    nothing = (Option("whole", 0, 0),)
    assert decided([step(1, options=nothing)], [], room(None)) == Claim(1, nothing[0])
    assert decided([step(1, options=nothing)], [], room(0.2, reserve=0.5)) == Claim(1, nothing[0])


def test_the_reserve_is_left_and_our_own_spare_memory_is_used():
    assert decided([step(1, "stills")], [], room(5, reserve=0.5)) == Wait((1,))
    assert decided([step(1, "stills")], [], room(5, reserve=0.5, spare=0.5)) == Claim(1, STILLS[0])


# the order

LOADED = [resident("svd")]
FULL = room(12)
"""Beside svd, nothing but what it needs itself: wan costs an eviction."""


def test_a_loaded_model_is_preferred_for_a_while():
    queue = [step(1, "wan"), step(2)]
    assert decided(queue, LOADED, FULL) == Claim(2, SVD[0])
    assert decided(queue, LOADED, FULL, now=99, passed={1: 0.0}) == Claim(2, SVD[0])
    assert decided(queue, LOADED, FULL, now=100, passed={1: 0.0}) == Evict("svd")


def test_no_patience_is_the_order_of_rank():
    assert decided([step(1, "wan"), step(2)], LOADED, FULL, policy=Policy(0, 600)) == Evict("svd")


def test_what_can_be_loaded_beside_is_not_passed_over():
    assert decided([step(1, "stills"), step(2)], LOADED, FULL) == Claim(1, STILLS[0])


def test_only_so_far_down_the_queue():
    others = [step(number, "wan") for number in range(1, 6)]
    assert decided([*others[:4], step(6)], LOADED, FULL) == Claim(6, SVD[0])
    assert decided([*others, step(6)], LOADED, FULL) == Evict("svd")


def test_a_higher_priority_is_not_passed_by_a_lower_one():
    assert decided([step(1, "wan", priority=1), step(2)], LOADED, FULL) == Evict("svd")
    assert decided([step(1, "wan"), step(2, "wan", priority=1), step(3)], LOADED, FULL) == Evict("svd")
    queue = [step(1, "wan"), step(2), step(3, priority=2)]
    assert decided(queue, LOADED, FULL) == Claim(2, SVD[0])


def test_a_jobs_renders_do_not_pass_its_keyframes():
    assert decided([step(1, "wan", rank=1), step(2, rank=1)], LOADED, FULL) == Evict("svd")
    queue = [step(1, "wan", rank=1), step(2, rank=1), step(3, rank=3)]
    assert decided(queue, LOADED, FULL) == Claim(3, SVD[0])


def test_what_is_loaded_but_too_large_as_it_is_costs_a_swap():
    larger = (Option("whole", 4 * GB, 17 * GB), *SVD[1:])
    assert decided([step(1, "wan"), step(2, options=larger)], LOADED, FULL) == Evict("svd")


def test_a_preferred_step_does_not_move_its_model_up():
    loaded = [resident(mode="two_pass")]
    assert decided([step(2)], loaded, FULL) == Evict("svd")
    assert decided([step(1, "wan"), step(2)], loaded, FULL) == Claim(2, SVD[1])


def test_how_long_each_was_passed_over():
    queue = [step(1, "wan"), step(2), step(3)]
    first = passed_after(None, queue, 2, 10)
    assert first == {1: 10}
    assert passed_after(first, [queue[0], queue[2]], 3, 20) == {1: 10}
    assert passed_after(first, queue[:1], 1, 20) == {}
    urgent = step(9, "stills", priority=5, rank=-5)
    assert passed_after(first, [urgent, *queue], 9, 20) == {1: 10}      # its time goes on
    assert passed_after(first, [urgent, *queue[1:]], 3, 20) == {9: 20}  # 1 was cancelled


def test_since_when_memory_is_short():
    queue = [step(1, "wan"), step(2, "wan", short_since=5), step(3)]
    assert short_after(queue, Wait((1, 2)), 20) == {1: 20, 2: 5}
    assert short_after(queue, Claim(3, SVD[0], short=(1,)), 20) == {1: 20}              # 2 fits by now
    assert short_after([step(9, "stills"), *queue], Claim(9, STILLS[0]), 20) == {2: 5}  # not looked at
    assert short_after([], Wait(), 20) == {}


@dataclass(frozen=True)
class QueuedJob:
    id: str
    seq: int
    model_id: str
    priority: int = 0

    @property
    def rank(self):
        return float(self.seq)


def test_the_same_order_at_the_door():
    queued = [QueuedJob("a", 1, "wan"), QueuedJob("b", 2, "svd"), QueuedJob("c", 3, "svd"), QueuedJob("d", 4, "svd")]
    passed, let_in = None, []
    for now in (0.0, 60.0, 120.0, 180.0):
        chosen = in_line(queued, lambda job: job.model_id == "svd", now, POLICY, passed)
        passed = passed_after(passed, queued, chosen.id, now)
        queued.remove(chosen)
        let_in.append(chosen.id)
    assert let_in == ["b", "c", "a", "d"] and passed == {}


def test_models_that_nothing_waits_for_are_let_go():
    loaded = [resident("svd", used_at=10), resident("wan", used_at=10, busy=True), resident("stills", used_at=11)]
    assert no_longer_used(loaded, (), 110.5, 100) == ["svd"]
    assert no_longer_used(loaded, ("svd",), 112, 100) == ["stills"]


# within a render, and at the door

BUSY = resident("svd", busy=True)


def test_an_urgent_step_runs_inside_where_both_peaks_fit():
    """svd holds 6 of the 14 GB that it may need: 8 are its own."""
    urgent = step(9, "stills")
    assert fits_inside(SVD[0], urgent, [BUSY], room(13, ours=6)) == STILLS[0]
    assert fits_inside(SVD[0], urgent, [BUSY], room(12.9, ours=6)) is None
    assert fits_inside(SVD[0], urgent, [BUSY], room(12.9, ours=6, spare=3)) is None
    assert fits_inside(SVD[0], urgent, [BUSY], room(13, ours=6, reserve=0.5)) is None


def test_what_idle_models_hold_is_not_the_renders_own():
    loaded = [BUSY, resident("stills")]
    assert fits_inside(SVD[0], step(9, "stills"), loaded, room(10, ours=9)) == STILLS[0]    # 2 more for it, 8 for svd
    assert fits_inside(SVD[0], step(9, "stills"), loaded, room(9.9, ours=9)) is None


def test_where_what_we_hold_is_unknown_only_the_weights_count_as_held():
    assert fits_inside(SVD[0], step(9, "stills"), [BUSY], room(15)) == STILLS[0]
    assert fits_inside(SVD[0], step(9, "stills"), [BUSY], room(14.9)) is None
    assert fits_inside(SVD[0], step(9, "stills"), [BUSY], room(None)) is None


def test_inside_its_own_model_only_the_loaded_mode_will_do():
    assert fits_inside(SVD[0], step(9), [BUSY], room(20, ours=4)) == SVD[0]
    assert fits_inside(SVD[0], step(9), [BUSY], room(18, ours=4)) is None


def test_inside_another_the_next_option_may_fit():
    wan = resident("wan", busy=True)
    assert fits_inside(WAN[0], step(9), [wan], room(10, ours=16)) == SVD[1]


def test_what_never_fits():
    assert never_fits(SVD, room(0, total=6)) is None
    assert never_fits(SVD, room(None, total=None)) is None
    assert never_fits((Option("whole", 0, 0),), room(0, total=1, reserve=2)) is None
    assert never_fits(SVD, room(5, total=5)) == "it needs at least 6.0 GB of the device's memory, which is 5.0 GB"
