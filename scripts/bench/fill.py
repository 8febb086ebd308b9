"""Fill a workspace's database in bulk: finished jobs and waiting ones, each a copy of a real one's rows.

Goes past the store's writer on purpose: 100,000 jobs through it would take minutes. No server may be running on the
workspace. No files are made; nothing that is measured here opens any.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
CHUNK_JOBS = 5_000


def fill(database: Path, finished_id: str, waiting_id: str, finished: int, waiting: int) -> None:
    """Add *finished* copies of one job and *waiting* copies of another, in the order of acknowledgement."""
    with sqlite3.connect(database) as conn:
        conn.row_factory = sqlite3.Row
        for template_id, count in ((finished_id, finished), (waiting_id, waiting)):
            template = Template(conn, template_id)
            for begin in range(0, count, CHUNK_JOBS):
                template.copy(conn, min(CHUNK_JOBS, count - begin))
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()


class Template:
    """The rows of one job, to be written again under other numbers."""

    def __init__(self, conn: sqlite3.Connection, job_id: str):
        self._job = _rows(conn, "SELECT * FROM jobs WHERE id = ?", job_id)[0]
        self._shots = _rows(conn, "SELECT * FROM shots WHERE job_id = ?", job_id)
        self._steps = _rows(conn, "SELECT * FROM steps WHERE job_id = ?", job_id)
        self._events = _rows(conn, "SELECT * FROM events WHERE job_id = ?", job_id)
        self._needs = _rows(
            conn, "SELECT needs.* FROM needs JOIN steps ON steps.id = needs.step_id WHERE job_id = ?", job_id
        )

    def copy(self, conn: sqlite3.Connection, count: int) -> None:
        """Write the job *count* times, in one transaction."""
        job_seq, step_id, event_seq = (_last(conn, *of) for of in (("jobs", "seq"), ("steps", "id"), ("events", "seq")))
        ids = [f"job_{secrets.token_hex(8)}" for _ in range(count)]
        conn.execute("BEGIN")
        _insert(conn, "jobs", self._jobs(ids, job_seq))
        _insert(conn, "shots", (row | {"job_id": job_id} for job_id in ids for row in self._shots))
        _insert(conn, "steps", _numbered(ids, self._steps, "id", step_id))
        _insert(conn, "needs", self._needed(count, step_id))
        _insert(conn, "events", _numbered(ids, self._events, "seq", event_seq))
        conn.execute("COMMIT")

    def _jobs(self, ids: list[str], last_seq: int) -> Iterator[Row]:
        for number, job_id in enumerate(ids, 1):
            later = {key: self._job[key] + number * 1e-3 for key in ("rank", "created_at", "updated_at")}
            yield self._job | later | {"seq": last_seq + number, "id": job_id, "idempotency_key": None}

    def _needed(self, count: int, last_id: int) -> Iterator[Row]:
        """What each copied step waits for: the copy of what the original waited for."""
        place = {row["id"]: number for number, row in enumerate(self._steps, 1)}
        for number in range(count):
            base = last_id + number * len(self._steps)
            for row in self._needs:
                yield {key: base + place[row[key]] for key in ("step_id", "needs_id")}


def _numbered(ids: list[str], rows: list[Row], key: str, last: int) -> Iterator[Row]:
    for job_id in ids:
        for row in rows:
            last += 1
            yield row | {"job_id": job_id, key: last}


def _rows(conn: sqlite3.Connection, query: str, job_id: str) -> list[Row]:
    return [dict(row) for row in conn.execute(query, (job_id,))]


def _last(conn: sqlite3.Connection, table: str, key: str) -> int:
    return conn.execute(f"SELECT max({key}) FROM {table}").fetchone()[0] or 0


def _insert(conn: sqlite3.Connection, table: str, rows: Iterator[Row]) -> None:
    columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
    names = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" * len(columns))
    conn.executemany(
        f"INSERT INTO {table} ({names}) VALUES ({marks})", ([row[column] for column in columns] for row in rows)
    )
