"""Reference images that were taken in: found by id or by our own file name, never by a client's path."""

import sqlalchemy as sa

from vidgen.store.schema import uploads
from vidgen.store.writer import Tx


def insert(tx: Tx, row: dict) -> None:
    tx.conn.execute(uploads.insert().values(created_at=tx.now, **row))


def delete(tx: Tx, upload_id: str) -> None:
    tx.conn.execute(uploads.delete().where(uploads.c.id == upload_id))


def find(conn: sa.Connection, id_or_name: str) -> sa.Row | None:
    """The upload with this id, or whose file has this name."""
    either = (uploads.c.id == id_or_name) | (uploads.c.name == id_or_name)
    return conn.execute(uploads.select().where(either)).first()


def names(conn: sa.Connection) -> set[str]:
    return set(conn.scalars(sa.select(uploads.c.name)))
