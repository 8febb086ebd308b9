"""A step's line to the engine."""

import time

import pytest

from tests.conftest import let_in
from vidgen.engine.control import StepControl
from vidgen.errors import Cancelled, Interrupted, Overdue
from vidgen.store import log, steps
from vidgen.types import EventType, Lane


@pytest.fixture
def control(db, begin):
    """The control of a claimed plan step."""
    begin()
    let_in(db, 1)
    return StepControl(db.write(lambda tx: steps.claim(tx, Lane.PLANNER)), db, deadline_s=60)


def progress(db, control):
    db.write(lambda tx: None)               # everything posted before is committed now
    events = db.read(lambda conn: log.read(conn, control.step_row.job_id, 0))
    return [e.body for e in events if e.type is EventType.PROGRESS]


def test_each_step_becomes_one_event(db, control):
    for i in range(1, 4):
        control.step("render", i, 3)
    said = progress(db, control)[1:]
    assert [(m["phase"], m["phase_step"], m["phase_steps"]) for m in said] == [("render", i, 3) for i in (1, 2, 3)]
    assert said[-1]["message"] == "Planning: render 3 of 3"


def test_a_cancel_is_heard_at_the_next_step(control):
    control.step("render", 1, 3)
    control.cancel()
    with pytest.raises(Cancelled):
        control.step("render", 2, 3)


def test_an_interruption_is_heard_too_and_a_cancel_wins(control):
    control.interrupt()
    with pytest.raises(Interrupted):
        control.check()
    control.cancel()
    with pytest.raises(Cancelled):
        control.check()


def test_a_step_without_a_sign_of_life_is_overdue(db, control):
    silent = StepControl(control.step_row, db, deadline_s=0.05)
    silent.step("load", 1, 1)
    time.sleep(0.06)
    with pytest.raises(Overdue, match="load made no progress for 0.05 s"):
        silent.check()


def test_each_step_starts_the_deadline_anew(db, control):
    lively = StepControl(control.step_row, db, deadline_s=60)
    for sign in (lambda: lively.step("render", 1, 4), lively.alive):
        lively._alive_at -= 61
        with pytest.raises(Overdue):
            lively.check()
        sign()
        lively.check()


def test_nothing_is_said_for_a_step_that_was_taken_away(db, control):
    before = progress(db, control)
    db.write(lambda tx: steps.cancel_unfinished(tx, control.step_row.job_id))
    control.step("render", 1, 2)
    control.note("late", "too late")
    assert progress(db, control) == before


def test_previews_are_offered_at_most_once_a_second(db, control):
    offered = []
    showing = StepControl(control.step_row, db, 60, lambda step, image: offered.append(image))
    for i in range(50):
        showing.step("render", i, 50, preview=b"image %d" % i)
    assert offered == [b"image 0"]


def test_what_an_attempt_keeps_is_there_for_the_next(db, control):
    assert control.kept == {}
    control.keep({"prediction": "p1"})
    assert control.kept == {"prediction": "p1"}
    db.write(lambda tx: steps.again(tx, control.step_row, delay_s=0, message="once more"))
    step = db.write(lambda tx: steps.claim(tx, Lane.PLANNER))
    assert StepControl(step, db, deadline_s=60).kept == {"prediction": "p1"}


def test_a_step_that_was_taken_away_keeps_nothing_more(db, control):
    db.write(lambda tx: steps.again(tx, control.step_row, delay_s=0, message="once more"))
    with pytest.raises(Cancelled):
        control.keep({"prediction": "p2"})
    assert db.write(lambda tx: steps.claim(tx, Lane.PLANNER)).kept == {}


def test_a_sign_of_life_reports_nothing(db, control):
    patient = StepControl(control.step_row, db, deadline_s=60)
    before = len(progress(db, control))
    patient.alive()
    assert len(progress(db, control)) == before
    patient.cancel()
    with pytest.raises(Cancelled):
        patient.alive()
