"""The decision in 10,000 small worlds of chance: models, jobs, a device, and other processes that come and go.

A world carries out what ``decide`` says, as the GPU lane does, and holds each action against the rules, which are
written down here once more, without regard to how ``decide`` finds its answer.
"""

from dataclasses import dataclass, field, replace
from random import Random

import pytest

from vidgen.engine.order import Policy, passed_after
from vidgen.engine.schedule import Evict, Option, Refuse, Resident, Room, Waiting, decide, short_after

WORLDS = 10_000
GROUPS = 10
MODES = ("whole", "two_pass", "component", "sequential")
AGE_S = 600


@dataclass
class World:
    """Memory is counted in whole units. What an eviction gives back may be taken by others at once."""

    chance: Random
    now: float = 0.0
    others: int = 0
    known: bool = True
    passed: dict | None = None
    waiting: dict[int, Waiting] = field(default_factory=dict)
    arrivals: list[tuple[float, Waiting]] = field(default_factory=list)
    loaded: dict[str, Resident] = field(default_factory=dict)
    excused: dict[int, float] = field(default_factory=dict)     # seconds that do not count for one passed over
    first_passed: dict[int, float] = field(default_factory=dict)
    longest_s: float = 0.0
    claims: int = 0
    preferred: int = 0

    def __post_init__(self):
        chance = self.chance
        self.total = chance.randint(8, 32)
        self.reserve = chance.choice((0, 0, 1, 3))
        patience_s, memory_wait_s = chance.choice((0, 60, 180, 400, 400)), chance.choice((0, 300, 2000))
        self.policy = Policy(patience_s, memory_wait_s, look_ahead=chance.choice((1, 4, 64)))
        models = {f"model{number}": self._sizes() for number in range(chance.randint(2, 5))}
        at, step_id = 0.0, 0
        for _ in range(chance.randint(1, 12)):
            at += chance.choice((0, 0, 0, 5, 60, 400))
            priority = chance.choice((0, 0, 0, 1, 3))
            for _ in range(chance.randint(1, 3)):
                step_id += 1
                model_id = chance.choice(list(models))
                options = self._options(*models[model_id])
                self.arrivals.append((at, Waiting(step_id, model_id, priority, at - priority * AGE_S, options)))

    def _sizes(self):
        weights = self.chance.randint(1, 14)
        return weights, self.chance.sample(range(4), self.chance.randint(1, 4))

    def _options(self, weights, places):
        """Modes of one model, the largest first; sometimes with a change of the video at the end."""
        if self.chance.random() < 0.05:
            return (Option("whole", 0, 0),)
        work = self.chance.randint(0, 20)
        options = [
            Option(MODES[place], weights if place < 2 else 0, (weights if place < 2 else 1) + work // (place + 1))
            for place in sorted(places)
        ]
        if self.chance.random() < 0.3:
            options += [Option(each.mode, each.resident_bytes, max(each.resident_bytes, each.peak_bytes // 2),
                               {"decode_chunk_size": 4}) for each in options]
        return tuple(options)

    @property
    def held(self):
        return sum(each.resident_bytes for each in self.loaded.values())

    @property
    def free(self):
        return self.total - self.held - self.others

    def room(self):
        return Room(self.total, self.free if self.known else None, 0, self.held, self.reserve)

    def queue(self):
        return sorted(self.waiting.values(), key=lambda step: (step.rank, step.step_id))

    def pass_time(self, seconds):
        self.now += seconds
        self.others = min(self._whim(), self.total - self.held)
        self.known = self.chance.random() < 0.97
        for at, step in [each for each in self.arrivals if each[0] <= self.now]:
            self.arrivals.remove((at, step))
            self.waiting[step.step_id] = step

    def _whim(self):
        return self.others if self.chance.random() < 0.7 else self.chance.choice((0, 0, self.chance.randint(0, 40)))

    def live(self):
        """Until nothing is left to do."""
        self.pass_time(0)
        evictions, rounds = 0, 0
        while self.waiting or self.arrivals:
            rounds += 1
            assert rounds < 2000, "it does not end"
            queue = self.queue()
            decision = decide(queue, list(self.loaded.values()), self.room(), self.now, self.policy, self.passed)
            evictions = evictions + 1 if isinstance(decision, Evict) else 0
            assert evictions <= 5, "evictions without end"
            if not isinstance(decision, Refuse):
                self._note_short(queue, decision)
                queue = self.queue()
            getattr(self, f"_{type(decision).__name__.lower()}")(queue, decision)

    def _note_short(self, queue, decision):
        since = short_after(queue, decision, self.now)
        for step in queue:
            if step.short_since != since.get(step.id):
                self.waiting[step.id] = replace(step, short_since=since.get(step.id))
        assert not any(self.able(self.waiting[each]) for each in decision.short), "said to be short of memory"

    # what is carried out, and held against the rules

    def _claim(self, queue, claim):
        step = self.waiting.pop(claim.step_id)
        own = self.loaded.get(step.model_id)
        assert claim.option in step.options
        assert own is None or own.mode == claim.option.mode, "loaded twice"
        self._fits_now(claim.option, own)
        assert self.able(step)
        before = [each for each in queue[:queue.index(step)] if self.able(each)]
        if before:
            self._may_pass(before, step, queue)
        took = self.chance.randint(1, 120)
        self._count_time(before[0] if before else step, step, took)
        self.passed = passed_after(self.passed, queue, claim.step_id, self.now, claim.short)
        self._render(step, claim.option, took)

    def _fits_now(self, option, own):
        if option.peak_bytes:
            assert self.known, "claimed without knowing what is free"
            mine = own.resident_bytes if own else 0
            assert option.peak_bytes - mine <= self.free - self.reserve, "claimed memory that is not there"

    def _may_pass(self, before, step, queue):
        """:param before: what stands before *step* and could be brought forward now."""
        head = before[0]
        assert step.model_id in self.loaded, "a swap passes a swap"
        assert all(each.priority <= step.priority for each in before if each.model_id not in self.loaded)
        assert step.rank != head.rank, "a job passes itself"
        assert queue.index(step) - queue.index(head) <= self.policy.look_ahead
        since = self.first_passed.setdefault(head.id, self.now)
        assert self.now - since < self.policy.swap_patience_s, "passed over for too long"
        self.preferred += 1

    def _count_time(self, head, step, took):
        """What was passed over is begun within the bound: patience and one more step, but for the time for which
        another one was the head."""
        if (since := self.first_passed.pop(step.id, None)) is not None:
            waited = self.now - since - self.excused.pop(step.id, 0)
            assert waited <= self.policy.swap_patience_s + self.longest_s, "starved"
        self._excuse([each for each in self.first_passed if each != head.id], took)

    def _excuse(self, ids, seconds):
        for each in ids:
            self.excused[each] = self.excused.get(each, 0) + seconds

    def _render(self, step, option, took):
        """It was used when it ends; then one of the models may be busy for a while."""
        held = Resident(step.model_id, option.mode, option.resident_bytes, self.now)
        self.loaded.setdefault(step.model_id, held)
        self.pass_time(took)
        self.loaded[step.model_id] = replace(self.loaded[step.model_id], used_at=self.now)
        some = self.chance.choice(list(self.loaded))
        self.loaded[some] = replace(self.loaded[some], busy=self.chance.random() < 0.2)
        self.longest_s = max(self.longest_s, took)
        self.claims += 1

    def _evict(self, queue, evict):
        assert not self.loaded[evict.model_id].busy, "evicted a busy model"
        del self.loaded[evict.model_id]
        if self.chance.random() < 0.1:
            self.others += self.chance.randint(0, max(0, min(3, self.free)))

    def _refuse(self, queue, refuse):
        step = self.waiting.pop(refuse.step_id)
        least = min(option.peak_bytes for option in step.options)
        never = least > self.total - self.reserve
        assert not self.able(step), "refused, and could have run"
        assert never or self.now - step.short_since >= self.policy.memory_wait_s

    def _wait(self, queue, wait):
        assert sorted(wait.short) == sorted(self.waiting)
        assert not any(self.able(step) for step in queue), "waits, and something could run"
        self._excuse(self.first_passed, 30)
        self.pass_time(30)
        self.loaded = {name: replace(each, busy=False) for name, each in self.loaded.items()}

    # the rules

    def able(self, step):
        """Whether the step could be brought forward now, with everything idle evicted."""
        own = self.loaded.get(step.model_id)
        stays = sum(each.resident_bytes for each in self.loaded.values() if each.busy and each is not own)
        there = self.total - self.others - self.reserve - stays
        return any(
            not option.peak_bytes or (self.known and option.peak_bytes <= there) for option in step.options
            if not (own and own.busy and own.mode != option.mode)
        )


@pytest.mark.parametrize("group", range(GROUPS))
def test_a_thousand_worlds(group):
    claims = preferred = 0
    for number in range(WORLDS // GROUPS):
        seed = group * WORLDS + number
        world = World(Random(seed))
        try:
            world.live()
        except AssertionError as e:
            e.add_note(f"in the world {seed}")
            raise
        claims, preferred = claims + world.claims, preferred + world.preferred
    assert claims > 5 * WORLDS // GROUPS and preferred > WORLDS // GROUPS // 5     # the worlds are not empty
