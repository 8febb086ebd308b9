"""The server's own few facts that outlive it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from vidgen.store.schema import state
from vidgen.store.writer import Tx


def put(tx: Tx, key: str, value: Any) -> None:
    new = insert(state).values(key=key, value=value)
    tx.conn.execute(new.on_conflict_do_update(index_elements=["key"], set_={"value": new.excluded.value}))


def get(conn: sa.Connection, key: str, default: Any = None) -> Any:
    row = conn.execute(sa.select(state.c.value).where(state.c.key == key)).first()
    return row.value if row else default
