"""Who hears what of a child, and who is charged with its death."""

import pytest

from vidgen.inference.mailboxes import Mailbox, Mailboxes
from vidgen.inference.messages import Alive, Begun, Died, Done, Failed, Previewed, Progress, Ready, Rendered


def heard(mailbox: Mailbox) -> list:
    messages = []
    while not mailbox.empty():
        messages.append(mailbox.get())
    return messages


def told(*stages: str) -> Mailboxes:
    """A child that has started, with commands 1, 2, … which are waiting, computing, finishing or answered."""
    boxes = Mailboxes()
    boxes.deliver(Ready())
    for ticket, stage in enumerate(stages, 1):
        boxes.open(ticket)
        if stage != "waiting":
            boxes.deliver(Begun(ticket))
        if stage == "finishing":
            boxes.deliver(Rendered(ticket))
        if stage == "answered":
            boxes.deliver(Done(ticket))
    return boxes


def charged(boxes: Mailboxes) -> int | None:
    """Who is charged, when the child dies now."""
    mailbox = boxes.open(99)
    boxes.close("was killed by SIGKILL")
    return heard(mailbox)[-1].charged


def test_each_hears_of_its_own_command_and_of_start_and_death():
    boxes = Mailboxes()
    one, two = boxes.open(1), boxes.open(2)
    boxes.deliver(Ready())
    boxes.deliver(Begun(1))
    boxes.deliver(Begun(2))
    boxes.deliver(Progress(1, "render", 1, 4))
    boxes.close("ended with code 3")
    died = Died("ended with code 3", 2)
    assert heard(one) == [Ready(), Begun(1), Progress(1, "render", 1, 4), died]
    assert heard(two) == [Ready(), Alive(2), Begun(2), died]      # it had waited while 1 began
    assert heard(boxes.open(3)) == [died]


def test_a_child_that_was_gone_before_it_was_told_anything_is_charged_to_what_it_was_started_for():
    boxes = Mailboxes()
    boxes.close("ended with code 1")
    died = Died("ended with code 1", 1)
    assert (heard(boxes.open(1)), heard(boxes.open(2))) == ([died], [died])


def test_one_that_was_stopped_before_is_charged_to_nobody():
    boxes = Mailboxes()
    boxes.charge(None, "was stopped")
    boxes.close("was killed by SIGKILL")
    assert heard(boxes.open(1)) == [Died("was stopped", None)]


def test_whoever_waits_for_its_turn_hears_that_others_live():
    boxes = told("computing", "finishing")
    waiting = boxes.open(3)
    boxes.deliver(Progress(1, "decode", 1, 2))
    boxes.deliver(Alive(2))
    boxes.deliver(Begun(3))
    boxes.deliver(Alive(1))
    assert heard(waiting) == [Alive(3), Alive(3), Begun(3)]


def test_a_preview_that_comes_after_the_answer_is_nobodys():
    boxes = told("answered")
    boxes.deliver(Previewed(1, b""))
    assert charged(boxes) is None


@pytest.mark.parametrize(("stages", "ticket"), [
    (["computing"], 1),
    (["computing", "computing"], 2),                # one inside of the other
    (["computing", "waiting"], 1),
    (["finishing", "computing"], 2),
    (["finishing", "waiting"], 1),
    (["finishing", "answered"], 1),
    (["waiting"], None),
    (["answered"], None),
])
def test_the_innermost_that_was_being_done_is_charged_or_else_the_clip_in_flight(stages, ticket):
    assert charged(told(*stages)) == ticket


def test_where_the_child_did_not_even_start_the_command_that_it_was_started_for_is_charged():
    boxes = Mailboxes()
    mailbox = boxes.open(1)
    boxes.close("ended with code 1")
    assert heard(mailbox) == [Died("ended with code 1", 1)]


@pytest.mark.parametrize(("stages", "account", "ticket"), [
    (["computing", "computing"], 1, 1),
    (["finishing", "computing"], 1, 1),
    (["computing", "waiting"], 2, 1),               # it waits for the first, which does not go on
    (["answered", "waiting"], 2, 2),
    (["computing"], None, None),
])
def test_where_we_end_it_the_command_is_charged_on_whose_account_unless_it_waited(stages, account, ticket):
    boxes = told(*stages)
    assert not boxes.doomed
    assert boxes.charge(account, "was ended") == ticket
    assert boxes.doomed
    assert charged(boxes) == ticket


def test_a_child_that_ends_itself_charges_what_failed():
    boxes = told("finishing", "computing")
    boxes.deliver(Failed(1, "internal error", "internal_error", True, fatal=True))
    assert boxes.doomed
    assert boxes.charge(2, "was ended") == 1        # too late: the first word counts
    assert charged(boxes) == 1
