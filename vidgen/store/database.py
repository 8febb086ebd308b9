"""Opening the database: SQLite in WAL mode, migrated to the newest schema, one writer, many readers.

Knows no query; those are functions of a connection, in the modules beside this one.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from vidgen.errors import DiskLow, StartRefused
from vidgen.store.schema import metadata
from vidgen.store.writer import Changes, Tx, Writer, translated

HEAD = "0005"
"""The newest migration; a test holds it to the folder."""

VERSION = "alembic_version"
"""The table that says which migration the database is at."""

BUSY_TIMEOUT_S = 10
MAX_READERS = 96
"""Connections that read at once: one for each thread that serves requests, the event loop, the lanes, and a few."""

T = TypeVar("T")


class Database:
    """The workspace's database.

    :param announce: called after each commit, on the writer's thread.
    :raises StartRefused: where the file is not ours or comes from a newer version.
    """

    def __init__(self, path: Path, announce: Callable[[Changes], None]):
        self.path = path
        migrate(path)
        self._read_engine = _engine(path, read_only=True)
        self._write_engine = _engine(path, read_only=False)
        self._writer = Writer(self._write_engine, announce)

    def read(self, query: Callable[[sa.Connection], T]) -> T:
        """What *query* returns of the last committed state: one and the same, however many statements it takes."""
        with self._read_engine.connect() as conn:
            raw = conn.connection.driver_connection
            raw.execute("BEGIN")            # a statement alone would see what was committed since the one before it
            try:
                return query(conn)
            finally:
                raw.execute("ROLLBACK")

    def write(self, work: Callable[[Tx], T]) -> T:
        """Commit *work*, then return what it returned."""
        return self._writer.run(work)

    def post(self, work: Callable[[Tx], None]) -> None:
        """Commit *work* soon, without waiting; for what may be lost."""
        self._writer.post(work)

    def close(self) -> None:
        self._writer.close()
        self._write_engine.dispose()
        self._read_engine.dispose()


def _engine(path: Path, *, read_only: bool) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level None: transactions are ours to begin, the driver opens none behind our back.
        raw = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        raw.execute("PRAGMA synchronous=FULL")
        raw.execute("PRAGMA foreign_keys=ON")
        if read_only:
            raw.execute("PRAGMA query_only=ON")
        return raw

    return sa.create_engine(
        "sqlite://", creator=connect, poolclass=sa.pool.QueuePool, pool_size=8, max_overflow=MAX_READERS - 8,
        pool_reset_on_return=None, skip_autocommit_rollback=True, isolation_level="AUTOCOMMIT",
    )


def migrate(path: Path) -> None:
    """Bring the database at *path* to the newest schema; a new one is made. Alembic is imported only if needed.

    :raises StartRefused: the file is not ours, or comes from a newer version.
    :raises DiskLow: there is no room for it.
    """
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as raw:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
            tables = {name for name, in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = raw.execute("SELECT version_num FROM alembic_version").fetchone() if VERSION in tables else None
        except sqlite3.DatabaseError as e:
            if isinstance(ours := translated(e), DiskLow):
                raise ours from e
            raise StartRefused(f"{path.name} in the workspace is not a vidgen database: {e}") from e
    if not tables:
        _create(path)
    elif version is None:
        raise StartRefused(f"{path.name} in the workspace is a database, but not one of vidgen's")
    elif version != (HEAD,):
        _upgrade(path)


def _create(path: Path) -> None:
    """Make a new database, all of it in one transaction.

    From the tables of the code, which are those of the newest migration (a test holds the two together), because
    importing Alembic is a sixth of a start.
    """
    engine = _engine(path, read_only=False)
    try:
        with engine.connect() as conn:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            metadata.create_all(conn, checkfirst=False)
            conn.exec_driver_sql(f"CREATE TABLE {VERSION} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            conn.exec_driver_sql(f"INSERT INTO {VERSION} VALUES ('{HEAD}')")
            conn.exec_driver_sql("COMMIT")
    except sa.exc.DBAPIError as e:
        raise translated(e) from e
    finally:
        engine.dispose()


def _upgrade(path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["path"] = path
    try:
        command.upgrade(config, "head")
    except CommandError as e:
        raise StartRefused(f"the database in the workspace comes from a newer version of vidgen ({e})") from e
    except sa.exc.DBAPIError as e:
        raise translated(e) from e
