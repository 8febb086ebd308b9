"""What an attempt leaves for the next, and what each step's run measured.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("usage", sa.JSON(), nullable=True))
    op.add_column("steps", sa.Column("kept", sa.JSON(), nullable=True))
