"""The one thread that owns the write connection.

Work is a function of a :class:`Tx`. What is waiting is committed together, each piece of work inside its own
savepoint, so that a failing one harms no other. :meth:`Writer.run` returns after the commit; :meth:`Writer.post`
does not wait. What a commit changed is announced once, afterwards.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from vidgen.errors import DiskLow
from vidgen.types import Event, Lane

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_BATCH = 64
"""Pieces of work in one commit."""


@dataclass(slots=True)
class Changes:
    """What a commit changed: the rows of the log, the lanes with something to claim."""

    events: list[Event] = field(default_factory=list)
    lanes: set[Lane] = field(default_factory=set)

    def add(self, other: "Changes") -> None:
        self.events += other.events
        self.lanes |= other.lanes


@dataclass(slots=True)
class Tx:
    """One piece of work inside a transaction."""

    conn: sa.Connection
    now: float                              # seconds since the epoch, the same for the whole piece
    changes: Changes = field(default_factory=Changes)


@dataclass(slots=True)
class _Item:
    work: Callable[[Tx], Any]
    future: Future | None
    result: Any = None
    error: BaseException | None = None
    changes: Changes = field(default_factory=Changes)


class Writer:
    """Runs work on the write connection, in the order it was given.

    :param announce: called on the writer's thread after each commit, with all that it changed.
    """

    def __init__(self, engine: sa.Engine, announce: Callable[[Changes], None]):
        self._engine = engine
        self._announce = announce
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="store-writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[Tx], T]) -> T:
        """Commit *work* and return what it returned; what it raised is raised, and nothing of it is kept."""
        item = _Item(work, Future())
        self._items.put(item)
        return item.future.result()

    def post(self, work: Callable[[Tx], None]) -> None:
        """Commit *work* soon. A failure is logged and costs only this piece."""
        self._items.put(_Item(work, None))

    def close(self) -> None:
        """Commit what is waiting, then end the thread."""
        self._items.put(None)
        self._thread.join()

    def _loop(self) -> None:
        with self._engine.connect() as conn:
            while batch := self._next_batch():
                self._commit(conn, batch)

    def _next_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        while len(batch) < MAX_BATCH:
            try:
                item = self._items.get(block=not batch)
            except queue.Empty:
                break
            if item is None:
                self._items.put(None)       # seen again, alone, once this batch is done
                break
            batch.append(item)
        return batch

    def _commit(self, conn: sa.Connection, batch: list[_Item]) -> None:
        try:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            for item in batch:
                self._attempt(conn, item)
            conn.exec_driver_sql("COMMIT")
        except sa.exc.DBAPIError as e:
            self._roll_back(conn)
            cause = next((item.error for item in batch if isinstance(item.error, DiskLow)), translated(e))
            for item in batch:
                item.error = item.error or cause
        self._finish(batch)

    def _attempt(self, conn: sa.Connection, item: _Item) -> None:
        conn.exec_driver_sql("SAVEPOINT piece")
        tx = Tx(conn, time.time())
        try:
            item.result = item.work(tx)
            item.changes = tx.changes
        except Exception as e:
            item.error = translated(e)
            # A full disk makes SQLite roll back by itself; this then fails too, and with it the batch.
            conn.exec_driver_sql("ROLLBACK TO piece")
        conn.exec_driver_sql("RELEASE piece")

    def _roll_back(self, conn: sa.Connection) -> None:
        try:
            conn.exec_driver_sql("ROLLBACK")
        except sa.exc.DBAPIError:
            log.debug("the transaction was already rolled back")

    def _finish(self, batch: list[_Item]) -> None:
        changes = Changes()
        for item in batch:
            if item.error is None:
                changes.add(item.changes)
        self._tell(changes)
        for item in batch:
            if item.future is None:
                if item.error is not None:
                    log.warning("a write was lost: %s", item.error)
            elif item.error is not None:
                item.future.set_exception(item.error)
            else:
                item.future.set_result(item.result)

    def _tell(self, changes: Changes) -> None:
        try:
            self._announce(changes)
        except Exception:
            log.exception("a listener failed")


def translated(error: Exception) -> Exception:
    """A full disk in our own words; everything else as it is."""
    original = getattr(error, "orig", error)
    if isinstance(original, sqlite3.Error) and getattr(original, "sqlite_errorcode", None) in _FULL:
        return DiskLow("the disk that holds the workspace is full")
    return error


_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE}

