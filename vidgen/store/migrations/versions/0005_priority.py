"""What is more urgent than all that is processing is found by an index.

Revision ID: 0005
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("jobs_by_priority", "jobs", ["status", "priority"], unique=False)
