"""How long steps and jobs will take, and when jobs start and end."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from vidgen.engine import lifecycle
from vidgen.engine.accepted import Posting
from vidgen.engine.control import PATIENCE, StepControl
from vidgen.engine.forecast import ESTIMATED, MEASURED, UNTIMED, Fit, Forecasts
from vidgen.engine.intake import Intake
from vidgen.engine.outline import digest
from vidgen.engine.outlook import NEAR, Outlook, first_free
from vidgen.engine.references import References
from vidgen.engine.specs import list_work
from vidgen.engine.starts import Start
from vidgen.engine.timings import RECENT_RUNS, Clock, Figure
from vidgen.errors import InvalidInput
from vidgen.media.files import Workspace
from vidgen.registry import discover
from vidgen.request import JobRequest
from vidgen.settings import load_settings
from vidgen.store import history, jobs, log, steps
from vidgen.store.history import Task, Timing
from vidgen.store.jobs import NewJob
from vidgen.types import (
    CameraMove,
    Clip,
    Effective,
    GenerationMode,
    Lane,
    Shot,
    ShotStatus,
    Step,
    StepKind,
    StepStatus,
)

GPU = "Test GPU"
WIDTHS = {Lane.GPU: 1, Lane.CPU: 3, Lane.REMOTE: 2, Lane.PLANNER: 3, Lane.ASSEMBLER: 1}
SVD, STUB, STILL, HOSTED = "local:svd-xt", "stub:animatic", "stub:still", "replicate:p-video"
PLAN_S, JOIN_S = UNTIMED[StepKind.PLAN].seconds, UNTIMED[StepKind.ASSEMBLE].seconds


@pytest.fixture(scope="module")
def settings():
    return load_settings(_env_file=None, replicate_api_token="r8_test")


@pytest.fixture(scope="module")
def registry(settings):
    return discover(settings)


@pytest.fixture
def loaded():
    """The ids of the models that are on the device."""
    return set()


@pytest.fixture
def forecasts(registry, loaded):
    return Forecasts(registry, WIDTHS, GPU, loaded.__contains__)


@pytest.fixture
def teach(db, forecasts):
    """Have this machine's history tell of a run."""

    def teach(task: Task, seconds: float, **parts: float) -> None:
        db.write(lambda tx: forecasts._timings.learn(tx, Timing(task, seconds, **parts)))

    return teach


def svd(**values) -> Task:
    return replace(Task(GPU, StepKind.RENDER, SVD, "whole", 1024, 576, 25, 25, 1, digest({})), **values)


def stub(at_once: int = 1, **values) -> Task:
    return replace(Task(Lane.CPU, StepKind.RENDER, STUB, None, 64, 64, 5, None, at_once, ""), **values)


def job(model_id=STUB, *, shots=1, size=(64, 64), frames=5, num_steps=None, drawn_by=None, lane=None, **request):
    effective = Effective(*size, frames, 8.0, num_steps, None, 1, request.pop("parameters", {}))
    lane = lane or (Lane.GPU if model_id == SVD else Lane.REMOTE if model_id == HOSTED else Lane.CPU)
    return NewJob(
        id="job_1", request={"user_prompt": "a forest", "max_shots": shots, **request}, effective=effective,
        model_id=model_id, keyframe_model_id=drawn_by, keyframe_parameters={}, upload_id=None,
        generation_mode=GenerationMode.TEXT_TO_VIDEO, seed=1, priority=0, lane=lane,
    )


def full(**values):
    """A shot of SVD-XT as its card has it."""
    return job(SVD, **{"size": (1024, 576), "frames": 25, "num_steps": 25, **values})


# figures


def test_what_neither_ran_here_nor_has_a_published_speed_is_unknown(forecasts):
    found = forecasts.job(job("local:ltx-video", lane=Lane.GPU))
    assert (found.seconds, found.lane_seconds, found.source) == (None, None, ESTIMATED)
    assert StepKind.RENDER not in found.by_kind and found.by_kind[StepKind.PLAN] == PLAN_S


def test_a_model_that_is_gone_is_unknown(forecasts):
    assert forecasts.job(job("local:gone")).seconds is None


def test_a_card_speaks_for_a_model_that_never_ran_here(forecasts, registry):
    speed = registry.model(SVD).card.speed.seconds
    found = forecasts.job(full())
    assert found.seconds == pytest.approx(PLAN_S + speed + JOIN_S)
    assert found.source == ESTIMATED
    assert forecasts.job(full(num_steps=5)).by_kind[StepKind.RENDER] == pytest.approx(speed / 5)
    assert forecasts.job(full(size=(512, 576))).by_kind[StepKind.RENDER] == pytest.approx(speed / 2)


def test_what_ran_here_goes_before_the_card(forecasts, teach):
    for seconds in (10.0, 30.0, 12.0):
        teach(svd(), seconds)
    found = forecasts.job(full())
    assert found.by_kind[StepKind.RENDER] == 12.0
    assert found.source == ESTIMATED        # no plan and no join ran yet
    teach(Task(Lane.PLANNER, StepKind.PLAN, mode="planner"), 0.5)
    teach(Task(Lane.ASSEMBLER, StepKind.ASSEMBLE, width=1024, height=576, num_frames=25), 0.25)
    found = forecasts.job(full())
    assert (found.seconds, found.source) == (12.75, MEASURED)


def test_only_the_last_runs_count(db, forecasts, teach):
    for seconds in [100.0] * RECENT_RUNS + [1.0] * RECENT_RUNS:
        teach(svd(), seconds)
    assert forecasts.job(full()).by_kind[StepKind.RENDER] == 1.0
    assert len(db.read(lambda conn: list(history.all_timings(conn)))) == RECENT_RUNS


def test_another_size_is_scaled_part_by_part(forecasts, teach):
    teach(svd(), 20.0, denoise_seconds=10.0, decode_seconds=4.0, encode_seconds=6.0)
    half = forecasts.job(full(size=(512, 576), num_steps=5))
    assert half.by_kind[StepKind.RENDER] == pytest.approx(10 / 2 / 5 + 4 / 2 + 6 / 2)
    assert half.source == ESTIMATED


def test_the_nearest_size_is_the_one_that_is_scaled(forecasts, teach):
    teach(svd(width=256, height=256), 1.0)
    teach(svd(), 90.0)
    found = forecasts.job(full(size=(1024, 512)))
    assert found.by_kind[StepKind.RENDER] == pytest.approx(90.0 * 512 / 576)


def test_other_parameters_at_the_same_size_are_as_good_as_equal_ones_until_those_ran(forecasts, teach):
    teach(svd(parameters=digest({"motion_bucket_id": 9})), 8.0)
    assert forecasts.job(full()).by_kind[StepKind.RENDER] == 8.0
    teach(svd(), 5.0)
    assert forecasts.job(full()).by_kind[StepKind.RENDER] == 5.0


def test_the_mode_counts(forecasts, teach):
    teach(svd(), 10.0)
    teach(svd(mode="sequential"), 50.0)
    assert forecasts.job(full(), "whole").by_kind[StepKind.RENDER] == 10.0
    assert forecasts.job(full(), "sequential").by_kind[StepKind.RENDER] == 50.0
    assert forecasts.job(full()).by_kind[StepKind.RENDER] == 50.0      # as the last time
    assert forecasts.job(full(), "component").source == ESTIMATED


def test_one_planner_says_nothing_of_another(forecasts, teach):
    teach(Task(Lane.PLANNER, StepKind.PLAN, mode="planner"), 6.0)
    assert forecasts.job(job()).by_kind[StepKind.PLAN] == 6.0
    own = {"title": "T", "shots": [{"description": "a"}]}
    assert forecasts.job(job(storyboard=own)).by_kind[StepKind.PLAN] == PLAN_S


def test_history_outlives_the_server(db, registry, forecasts, teach):
    teach(svd(), 9.0, load_seconds=4.0)
    reborn = Forecasts(registry, WIDTHS, GPU, set().__contains__)
    db.read(reborn.read)
    assert reborn.job(full()) == forecasts.job(full())
    assert reborn.job(full()).by_kind == {"load": 4.0, "plan": PLAN_S, "render": 9.0, "assemble": JOIN_S}


# jobs


def test_a_model_is_loaded_once_and_only_where_it_is_not(forecasts, teach, loaded):
    teach(svd(), 9.0, load_seconds=4.0)
    found = forecasts.job(full(shots=3))
    assert found.seconds == pytest.approx(PLAN_S + 4 + 27 + JOIN_S)
    assert found.lane_seconds == 27.0       # who comes behind finds it loaded
    loaded.add(SVD)
    assert forecasts.job(full(shots=3)).seconds == pytest.approx(PLAN_S + 27 + JOIN_S)


def test_shots_on_the_gpu_follow_each_other_and_overlap_where_they_are_encoded(forecasts, teach):
    teach(svd(), 10.0, denoise_seconds=7.0, decode_seconds=1.0, encode_seconds=2.0)
    assert forecasts.job(full(shots=3)).by_kind[StepKind.RENDER] == 3 * 10 - 2 * 2


def test_shots_on_other_lanes_run_at_once(forecasts, teach):
    for at_once, seconds in ((1, 1.0), (2, 1.5), (3, 2.0)):
        teach(stub(at_once), seconds)
    took = [forecasts.job(job(shots=shots)).by_kind[StepKind.RENDER] for shots in (1, 2, 3, 6)]
    assert took == [1.0, 1.5, 2.0, 4.0]
    assert forecasts.job(job(shots=3, continuity="chain")).by_kind[StepKind.RENDER] == 3.0


def test_hosted_shots_take_rounds(forecasts, teach):
    hosted = Task(Lane.REMOTE, StepKind.RENDER, HOSTED, None, 1280, 720, 120, None, 2, "")
    teach(hosted, 30.0)
    found = forecasts.job(job(HOSTED, shots=3, size=(1280, 720), frames=120))
    assert found.by_kind[StepKind.RENDER] == 60.0


def test_keyframes_come_before_the_renders(forecasts, teach):
    teach(Task(Lane.CPU, StepKind.KEYFRAME, STILL, None, 1024, 576, 1, 4, 2, ""), 3.0)
    teach(svd(), 9.0)
    found = forecasts.job(full(shots=2, drawn_by=STILL))
    assert found.by_kind[StepKind.KEYFRAME] == 3.0
    assert found.lane_seconds == 18.0
    assert forecasts.job(full(shots=2, drawn_by=STILL, continuity="chain")).by_kind[StepKind.KEYFRAME] > 0


def test_shots_of_different_lengths_are_added_up(forecasts, teach):
    for frames, seconds in ((8, 1.0), (16, 2.0)):
        teach(stub(2, num_frames=frames), seconds)
    own = {"title": "T", "shots": [{"description": "a", "duration_seconds": seconds} for seconds in (1, 2)]}
    assert forecasts.job(job(storyboard=own)).by_kind[StepKind.RENDER] == 2.0


# running steps


def test_a_clock_follows_the_phases(db):
    clock = Clock(Figure(10.0, True, denoise=6.0, decode=1.0, encode=3.0), load_s=5.0, num_steps=4)
    left = [clock.left_s()]
    for phase, i, n in (("load", 1, 2), ("load", 2, 2), ("render", 2, 4), ("render", 4, 4), ("decode", 1, 1),
                        ("encode", 25, 25)):
        clock.at(phase, i, n)
        left.append(clock._load_s + 10.0 - clock._done_s)
    assert 10.0 < left[0] <= 15.0
    assert left[1:] == [12.5, 10.0, 7.0, 4.0, 3.0, 0.0]
    assert clock.left_s() == 0.0
    assert clock.longest_unit_s == 5.0
    assert Clock(Figure(10.0, True, denoise=6.0, decode=1.0), num_steps=4).longest_unit_s == 1.5


def test_a_step_that_is_over_needs_nothing_more():
    clock = Clock(Figure(1000.0, True))
    assert clock.left_s() > 900
    clock.end()
    assert clock.left_s() == 0.0


def test_a_step_of_which_nothing_is_known_is_judged_by_its_own_pace():
    clock = Clock(None)
    assert clock.left_s() is None
    clock.at("render", 1, 2)
    assert 0.0 <= clock.left_s() <= clock.elapsed_s


def test_the_deadline_grows_with_the_longest_unit(db, begin):
    step = claimed(db, begin())
    slow = Clock(Figure(100.0, True, denoise=80.0, decode=10.0), load_s=30.0, num_steps=4)
    assert StepControl(step, db, 60, clock=slow)._deadline_s == 30.0 * PATIENCE
    assert StepControl(step, db, 600, clock=slow)._deadline_s == 600
    assert StepControl(step, db, 60)._deadline_s == 60


def claimed(db, job_id: str) -> Step:
    """The plan step of the job, which is let in."""
    db.write(lambda tx: lifecycle.admit(tx, job_id))
    return db.write(lambda tx: steps.claim(tx, Lane.PLANNER))


def rendering(db, begin) -> tuple[Step, jobs.TimedJob]:
    """The only render of a job on the stub, claimed."""
    job_id = begin(lane=Lane.CPU)
    planned(db, job_id, 1)
    step = db.write(lambda tx: steps.claim(tx, Lane.CPU))
    return step, db.read(lambda conn: jobs.get(conn, job_id))


def planned(db, job_id: str, num_shots: int, lane: Lane = Lane.CPU) -> None:
    step, job = claimed(db, job_id), db.read(lambda conn: jobs.get(conn, job_id))
    shots = [
        Shot(jobs.shot_id(i), i, "a", CameraMove.STATIC, 1.0, i, ShotStatus.PENDING, job.effective.num_frames)
        for i in range(num_shots)
    ]
    work = list_work(job, shots, [Start.TEXT] * num_shots, lane, None)
    db.write(lambda tx: lifecycle.planned(tx, step, ("storyboard_1", "T"), shots, work))


def spec_of(job, shot):
    from vidgen.engine.specs import render_spec

    step = Step(1, job.id, StepKind.RENDER, Lane.CPU, job.model_id, shot.index, StepStatus.RUNNING, 1)
    return render_spec(job, shot, step, None, Path("clip.mp4"))


def test_a_step_that_is_done_teaches_how_long_it_took(db, begin, forecasts):
    step, found = rendering(db, begin)
    clock = forecasts.clock(step, found)
    assert forecasts.running(step.id) is clock
    clip = Clip(Path("clip.mp4"), 64, 64, 5, 8.0, {"denoise_seconds": 0.0, "decode_seconds": 0.0}, {"mode": "whole"})
    shot = found.storyboard.shots[0]
    db.write(lambda tx: forecasts.learn(tx, step, found, shot, spec_of(found, shot), clip))
    (_, timing), = db.read(lambda conn: list(history.all_timings(conn)))
    assert timing.task == stub(mode="whole")
    assert 0 < timing.seconds <= clock.elapsed_s
    assert (timing.load_seconds, timing.encode_seconds) == (None, timing.seconds)
    assert clock.left_s() == 0.0
    del clock
    assert forecasts.running(step.id) is None


def test_loading_is_learned_apart(db, begin, forecasts):
    step, found = rendering(db, begin)
    clock = forecasts.clock(step, found)
    clip = Clip(Path("clip.mp4"), 64, 64, 5, 8.0, {"load_seconds": clock.elapsed_s})
    shot = found.storyboard.shots[0]
    db.write(lambda tx: forecasts.learn(tx, step, found, shot, spec_of(found, shot), clip))
    (_, timing), = db.read(lambda conn: list(history.all_timings(conn)))
    assert timing.load_seconds == clip.measured["load_seconds"]
    assert timing.seconds <= clock.elapsed_s - timing.load_seconds


@pytest.mark.parametrize(
    ("attempts", "kept", "measured", "made"),
    [(2, {}, {}, {}), (1, {"prediction": "p1"}, {}, {}), (1, {}, {"interrupted_seconds": 3.0}, {}),
     (1, {}, {}, {"ran_out": ["render 1 of 4: whole -> two_pass"]})],
)
def test_what_did_not_run_without_a_break_teaches_nothing(db, begin, forecasts, attempts, kept, measured, made):
    step, found = rendering(db, begin)
    step = replace(step, attempts=attempts, kept=kept)
    clock = forecasts.clock(step, found)
    clip, shot = Clip(Path("clip.mp4"), 64, 64, 5, 8.0, measured, made), found.storyboard.shots[0]
    db.write(lambda tx: forecasts.learn(tx, step, found, shot, spec_of(found, shot), clip))
    assert db.read(lambda conn: list(history.all_timings(conn))) == []
    assert clock.left_s() == 0.0


def test_a_forecast_that_fails_costs_no_step(db, begin, forecasts, outlook):
    step, found = rendering(db, begin)
    clock = forecasts.clock(step, found)
    nonsense = replace(found, effective=None)
    shot, clip = found.storyboard.shots[0], Clip(Path("clip.mp4"), 64, 64, 5, 8.0)
    db.write(lambda tx: forecasts.learn(tx, step, nonsense, shot, spec_of(found, shot), clip))
    assert db.read(lambda conn: list(history.all_timings(conn))) == []
    assert clock.left_s() == 0.0
    db.write(lambda tx: jobs.update(tx, found.id, effective={"not": "what it was"}))
    assert outlook.clock(step).left_s() is None
    assert outlook.eta_s(found.id) is None


def test_jobs_that_wait_are_forecast_once_their_model_has_run(db, begin, forecasts):
    step, found = rendering(db, begin)
    waiting = begin(lane=Lane.CPU)
    clock = forecasts.clock(step, found)
    shot = found.storyboard.shots[0]
    clip = Clip(Path("clip.mp4"), 64, 64, 5, 8.0)
    db.write(lambda tx: forecasts.learn(tx, step, found, shot, spec_of(found, shot), clip))
    known = db.read(lambda conn: jobs.get(conn, waiting)).forecast
    assert known["seconds"] >= round(PLAN_S + JOIN_S, 2) and clock.elapsed_s > 0


# when jobs start and end


@pytest.mark.parametrize(
    ("loads", "ahead", "width", "free"),
    [((), 0.0, 3, 0.0), ((5.0,), 0.0, 1, 5.0), ((5.0,), 7.0, 1, 12.0), ((5.0,), 0.0, 2, 0.0), ((5.0, 9.0), 0.0, 2, 5.0),
     ((5.0, 9.0), 3.0, 2, 8.0), ((5.0, 9.0), 4.0, 2, 9.0), ((5.0, 9.0), 10.0, 2, 12.0), ((), 9.0, 3, 3.0),
     ((1.0, 2.0, 3.0), 0.0, 2, 3.0)],
)
def test_a_place_is_free_once_the_work_before_it_is_spread_over_all(loads, ahead, width, free):
    assert first_free(loads, ahead, width) == pytest.approx(free)


@pytest.fixture
def paused():
    return []


@pytest.fixture
def outlook(db, forecasts, paused):
    return Outlook(db, forecasts, WIDTHS, lambda: bool(paused))


@pytest.fixture
def post(db, outlook):
    """Acknowledge a job as the intake does, and return its id."""
    numbers = iter(range(10_000))

    def post(new: NewJob, priority: int = 0) -> str:
        new, _ = outlook.forecast(replace(new, id=f"job_{next(numbers):016x}", priority=priority), None)
        db.write(lambda tx: lifecycle.begin(tx, new, 600, lambda job: outlook.told([job])[0]))
        return new.id

    return post


@pytest.fixture
def told(db, outlook):
    return lambda job_id: outlook.told([db.read(lambda conn: jobs.get(conn, job_id))])[0]


def test_a_job_waits_for_those_before_it_on_its_lane(post, told, teach, loaded):
    teach(svd(), 9.0, load_seconds=4.0)
    teach(stub(), 1.0)
    loaded.add(SVD)
    first, second, other = post(full()), post(full()), post(job())
    began = time.time()
    found = [told(each) for each in (first, second, other)]
    for each, wait_s in zip(found, (0, 9, 0), strict=True):
        assert began + wait_s - 0.1 <= each.estimated_start <= time.time() + wait_s
    own = PLAN_S + 9 + JOIN_S
    assert [each.eta_seconds for each in found] == pytest.approx([own, own + 9, PLAN_S + 1 + JOIN_S], abs=0.1)
    urgent = post(full(shots=2), 5)
    assert told(first).eta_seconds == pytest.approx(own + 18, abs=0.1)
    assert began <= told(urgent).estimated_start <= time.time()


def test_many_at_once_are_told_what_each_alone_is(db, post, told, teach, outlook):
    teach(svd(), 9.0)
    teach(stub(), 1.0)
    ids = [post(new, priority) for priority, new in ((0, full()), (3, job()), (-2, full(shots=2)), (1, full()))]
    listed, _ = db.read(lambda conn: jobs.page(conn, offset=0, limit=10))
    together = {each.id: each.eta_seconds for each in outlook.told(listed)}
    assert together == pytest.approx({each: told(each).eta_seconds for each in ids})


def test_far_back_in_the_queue_the_sums_of_a_moment_ago_are_good_enough(post, outlook, teach):
    teach(svd(), 9.0)
    post(full(), 10)
    far = outlook.wait_s(Lane.GPU, 1e12, NEAR + 1)
    assert far == outlook.wait_s(Lane.GPU, 1e12, NEAR) == pytest.approx(9.0)
    outlook._sums_until = time.monotonic() + 60
    post(full(), 10)
    assert outlook.wait_s(Lane.GPU, 1e12, NEAR + 1) == far
    assert outlook.wait_s(Lane.GPU, 1e12, NEAR) == pytest.approx(18.0)


def test_behind_what_is_unknown_all_is_unknown(post, told, teach):
    teach(svd(), 9.0)
    post(job("local:ltx-video", lane=Lane.GPU))
    found = told(post(full()))
    assert (found.eta_seconds, found.estimated_start) == (None, None)
    assert told(post(full(), 5)).eta_seconds is not None


def test_while_the_queue_is_paused_nothing_is_promised(db, post, told, teach, paused, outlook):
    teach(stub(), 1.0)
    running, waiting = post(job()), post(job())
    planned(db, running, 1)
    paused.append(True)
    assert (told(waiting).eta_seconds, told(waiting).estimated_start) == (None, None)
    assert (told(running).eta_seconds, outlook.eta_s(running)) == (None, None)
    paused.clear()
    assert told(waiting).eta_seconds and told(running).eta_seconds


def test_what_runs_needs_what_is_left_of_it_and_what_goes_before_it(db, post, told, teach, loaded):
    teach(svd(), 9.0)
    loaded.add(SVD)
    first, second = post(full(shots=3)), post(full(), -1)
    for each, shots in ((first, 3), (second, 1)):
        planned(db, each, shots, Lane.GPU)
    assert told(first).eta_seconds == pytest.approx(27 + JOIN_S, abs=0.1)
    assert told(second).eta_seconds == pytest.approx(27 + 9 + JOIN_S, abs=0.1)
    began, third = time.time(), told(post(full()))
    assert began + 36 - 0.1 <= third.estimated_start <= time.time() + 36


def test_a_running_step_counts_down_and_a_new_one_is_seen_at_once(db, post, told, teach, loaded, outlook):
    teach(svd(), 9.0, denoise_seconds=8.0, decode_seconds=0.5, encode_seconds=0.5)
    loaded.add(SVD)
    job_id = post(full(shots=2))
    planned(db, job_id, 2, Lane.GPU)
    assert outlook.eta_s(job_id) == pytest.approx(18 + JOIN_S - 0.5, abs=0.2)
    step = db.write(lambda tx: steps.claim(tx, Lane.GPU))
    clock = outlook.clock(step)
    clock.at("render", 25, 25)
    assert 0 <= clock.left_s() < 1          # it went quicker than was thought
    assert 9 + JOIN_S - 0.51 < outlook.eta_s(job_id) < 10 + JOIN_S - 0.5
    assert told(job_id).estimated_start is None


def test_while_it_is_planned_the_whole_of_a_job_lies_ahead(db, post, teach, outlook):
    teach(stub(2), 3.0)
    job_id = post(job(shots=2))
    step = claimed(db, job_id)
    clock = outlook.clock(step)
    assert 3 + JOIN_S - 0.01 < outlook.eta_s(job_id) < PLAN_S + 3 + JOIN_S + 0.01
    assert clock.left_s() <= PLAN_S


def test_every_progress_message_says_when(db, post, teach, outlook):
    teach(stub(), 1.0)
    job_id = post(job())
    planned(db, job_id, 1)
    step = db.write(lambda tx: steps.claim(tx, Lane.CPU))
    control = StepControl(step, db, 60, clock=outlook.clock(step), eta_s=lambda: outlook.eta_s(job_id))
    control.begin()
    control.step("render", 5, 5)
    db.write(lambda tx: None)
    queued, _, begun, done = [event.body for event in db.read(lambda conn: log.read(conn, job_id, 0))]
    assert queued["position"] == 1 and queued["estimated_start"].endswith("Z")
    assert queued["eta_seconds"] == pytest.approx(PLAN_S + 1 + JOIN_S, abs=0.05)
    assert (begun["position"], begun["estimated_start"]) == (None, None)
    assert done["eta_seconds"] < begun["eta_seconds"] < 1 + JOIN_S + 0.01


# asking


@pytest.fixture
def intake(db, registry, settings, outlook, tmp_path):
    """Make an intake; what fits is for the test to say."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()
    references = References(db, workspace)
    return lambda fit=lambda accepted: Fit(): Intake(
        db, registry, workspace, references, settings, lambda tx: None, outlook, fit
    )


def ask(**values) -> JobRequest:
    return JobRequest(**{"user_prompt": "a forest", "model_id": STUB, "max_shots": 1, **values})


def test_a_dry_run_says_how_long_and_how_much(intake, teach, post):
    teach(stub(2, num_steps=4, width=1024, height=576, num_frames=25, parameters="x"), 2.0)
    post(job(size=(1024, 576), frames=25, num_steps=4, shots=2))
    fit = Fit(mode="whole", peak_bytes=123, source=MEASURED)
    began, said = time.time(), intake(lambda accepted: fit).dry_run(ask(max_shots=2))
    assert (said["mode"], said["peak_vram_bytes"], said["peak_vram_source"]) == ("whole", 123, MEASURED)
    assert said["fits"] is True and said["price_usd"] is None
    assert (said["position"], said["wait_seconds"]) == (2, pytest.approx((PLAN_S + 2 + JOIN_S) / 3, abs=0.05))
    assert said["seconds"] == pytest.approx(PLAN_S + 2 + JOIN_S)
    assert said["eta_seconds"] == pytest.approx(said["wait_seconds"] + said["seconds"], abs=0.02)
    assert began <= said["estimated_start"] - said["wait_seconds"] + 0.01 <= time.time() + 0.02


def test_what_can_never_fit_is_refused_in_the_words_of_who_knows_and_a_dry_run_says_them(intake, db):
    fit = Fit(False, reason="it needs 30 GB and there are 24; 512 x 512 would fit", field="width")
    refusing = intake(lambda accepted: fit)
    with pytest.raises(InvalidInput) as refused:
        refusing.take(lambda: Posting(ask()), None, "")
    assert [(e.field, e.message) for e in refused.value.fields] == [("width", fit.reason)]
    said = refusing.dry_run(ask(dry_run=True))
    assert (said["fits"], said["fit_note"]) == (False, fit.reason)
    assert db.read(lambda conn: jobs.ids(conn)) == set()


def test_hosted_renders_have_the_price_of_their_cards(intake):
    takes = intake()
    assert takes.dry_run(ask(model_id=HOSTED, max_shots=3, num_frames=240))["price_usd"] == pytest.approx(3 * 10 * 0.02)
    drawn = {"model_id": "replicate:seedance-2.0", "keyframe_model_id": "replicate:flux-schnell", "max_shots": 2}
    video = takes.dry_run(ask(model_id="replicate:seedance-2.0", max_shots=2))["price_usd"]
    assert takes.dry_run(ask(**drawn))["price_usd"] == pytest.approx(video + 2 * 0.003)
    assert takes.dry_run(ask(**drawn, continuity="chain"))["price_usd"] == pytest.approx(video + 0.003)
    half_known = ask(model_id="replicate:svd-xt", keyframe_model_id="replicate:flux-schnell")
    assert takes.dry_run(half_known)["price_usd"] is None


def test_a_job_that_is_taken_is_answered_with_when(intake, teach, db):
    teach(stub(1, num_steps=4, width=1024, height=576, num_frames=25, parameters="x"), 2.0)
    first, _ = intake().take(lambda: Posting(ask()), None, "")
    again, _ = intake().take(lambda: Posting(ask()), None, "")
    assert (first.position, first.eta_seconds) == (1, pytest.approx(PLAN_S + 2 + JOIN_S, abs=0.05))
    assert again.position == 2 and again.estimated_start is not None
    stored = db.read(lambda conn: jobs.get(conn, first.id))
    assert (stored.lane, stored.forecast["source"]) == (Lane.CPU, ESTIMATED)
    assert stored.forecast["seconds"] == pytest.approx(PLAN_S + 2 + JOIN_S)
