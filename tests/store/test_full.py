"""A database that may not grow: what does not fit is refused as a full disk, and all that comes later is written."""

import threading

import pytest
import sqlalchemy as sa

from vidgen.errors import DiskLow
from vidgen.store import state
from vidgen.store.schema import state as table

ROOM_PAGES = 20
TOO_MUCH = "x" * 4096 * 2 * ROOM_PAGES


@pytest.fixture
def cramped(db):
    """The database, with room for a little more."""

    def limit(tx):
        pages = tx.conn.exec_driver_sql("PRAGMA page_count").scalar()
        tx.conn.exec_driver_sql(f"PRAGMA max_page_count={pages + ROOM_PAGES}")

    db.write(limit)
    return db


def kept(db):
    return set(db.read(lambda conn: conn.scalars(sa.select(table.c.key)).all()))


def test_what_does_not_fit_is_refused_and_what_fits_is_written(cramped):
    with pytest.raises(DiskLow, match="full"):
        cramped.write(lambda tx: state.put(tx, "large", TOO_MUCH))
    cramped.write(lambda tx: state.put(tx, "small", 1))
    assert kept(cramped) == {"small"}


def test_neighbours_in_one_commit_are_written_or_told_why_not(cramped):
    entered, go_on, told = threading.Event(), threading.Event(), {}

    def hold(tx):
        entered.set()
        go_on.wait()

    def put(key, value):
        try:
            cramped.write(lambda tx: state.put(tx, key, value))
            told[key] = None
        except DiskLow as e:
            told[key] = e

    cramped.post(hold)
    entered.wait()
    writers = [threading.Thread(target=put, args=pair) for pair in (("a", 1), ("large", TOO_MUCH), ("b", 1))]
    for writer in writers:
        writer.start()
    go_on.set()
    for writer in writers:
        writer.join()
    assert set(told) == {"a", "b", "large"}
    assert told["large"] is not None
    assert kept(cramped) == {key for key, error in told.items() if error is None}
