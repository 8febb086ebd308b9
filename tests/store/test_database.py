"""Opening, migrating and writing."""

import sqlite3
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from vidgen.errors import StartRefused
from vidgen.store import database, log, state
from vidgen.store.database import HEAD, Database
from vidgen.store.schema import metadata
from vidgen.types import EventType


def schema_of(path):
    with closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY name").fetchall()
        columns = {name: raw.execute(f"PRAGMA table_info({name})").fetchall() for kind, name, _ in found
                   if kind == "table"}
        indexes = {name: raw.execute(f"PRAGMA index_info({name})").fetchall() for kind, name, _ in found
                   if kind == "index"}
    return found, columns, indexes


def test_a_new_database_equals_one_that_every_migration_has_made(tmp_path):
    Database(tmp_path / "new.db", lambda changes: None).close()
    database._upgrade(tmp_path / "migrated.db")
    assert schema_of(tmp_path / "new.db") == schema_of(tmp_path / "migrated.db")
    with closing(sqlite3.connect(tmp_path / "migrated.db")) as raw, closing(sa.create_engine(
        "sqlite://", creator=lambda: raw, poolclass=sa.pool.StaticPool
    ).connect()) as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_head_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(database.Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_it_runs_in_wal_mode_and_flushes_every_commit(db):
    assert db.read(lambda conn: conn.exec_driver_sql("PRAGMA journal_mode").scalar()) == "wal"
    assert db.write(lambda tx: tx.conn.exec_driver_sql("PRAGMA synchronous").scalar()) == 2


def test_readers_cannot_write(db):
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        db.read(lambda conn: conn.exec_driver_sql("DELETE FROM jobs"))


def test_a_failing_piece_of_work_leaves_nothing_and_harms_no_other(db):
    def failing(tx):
        state.put(tx, "half", 1)
        raise RuntimeError("no")

    gate = threading.Event()
    db.post(lambda tx: gate.wait(5))        # so that the next three share one commit
    db.post(lambda tx: state.put(tx, "before", 1))
    db.post(failing)
    gate.set()
    db.write(lambda tx: state.put(tx, "after", 1))
    assert db.read(lambda conn: [state.get(conn, key) for key in ("before", "half", "after")]) == [1, None, 1]
    with pytest.raises(RuntimeError, match="no"):
        db.write(failing)


def test_a_write_is_seen_by_readers_once_it_returns(db):
    for value in range(20):
        db.write(lambda tx, value=value: state.put(tx, "n", value))
        assert db.read(lambda conn: state.get(conn, "n")) == value


def test_a_read_sees_one_state_however_much_is_committed_meanwhile(db, begin):
    def query(conn):
        before = log.last_seq(conn, job_id)
        db.write(lambda tx: log.append(tx, job_id, EventType.NOTE, {}))
        return before, log.last_seq(conn, job_id)

    job_id = begin()
    before, after = db.read(query)
    assert before == after < db.read(lambda conn: log.last_seq(conn, job_id))


def test_what_is_posted_before_closing_is_kept(tmp_path):
    first = Database(tmp_path / "vidgen.db", lambda changes: None)
    for value in range(200):
        first.post(lambda tx, value=value: state.put(tx, f"key{value}", value))
    first.close()
    second = Database(tmp_path / "vidgen.db", lambda changes: None)
    assert second.read(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM state").scalar()) == 200
    second.close()


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "vidgen.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StartRefused, match="not a vidgen database"):
        Database(tmp_path / "vidgen.db", lambda changes: None)


def test_somebody_elses_database_is_refused_and_left_alone(tmp_path):
    with closing(sqlite3.connect(tmp_path / "vidgen.db")) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StartRefused, match="not one of vidgen's"):
        Database(tmp_path / "vidgen.db", lambda changes: None)
    assert [name for _, name, _ in schema_of(tmp_path / "vidgen.db")[0]] == ["theirs"]


def test_a_database_of_a_newer_version_is_refused(tmp_path):
    Database(tmp_path / "vidgen.db", lambda changes: None).close()
    with sqlite3.connect(tmp_path / "vidgen.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(StartRefused, match="newer version"):
        Database(tmp_path / "vidgen.db", lambda changes: None)
