"""Runs the migrations on the database that ``vidgen.store.database`` names. SQLite only, never offline.

All of them are one transaction: the driver would otherwise commit each CREATE TABLE by itself, and a death half-way
would leave a schema that no version knows.
"""

import sqlalchemy as sa
from alembic import context

engine = sa.create_engine(
    sa.URL.create("sqlite", database=str(context.config.attributes["path"])), isolation_level="AUTOCOMMIT"
)
with engine.connect() as connection:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    context.configure(connection=connection, render_as_batch=True)
    context.run_migrations()
    connection.exec_driver_sql("COMMIT")
engine.dispose()
