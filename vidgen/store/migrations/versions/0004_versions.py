"""Versions of a job: what each shot has of its own, and what its files were made of; contact sheets, kept frames.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("root_id", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("reused", sa.JSON(), nullable=True))
    op.create_index("jobs_by_root", "jobs", ["root_id", "seq"], unique=False)
    op.add_column("shots", sa.Column("keyframe_key", sa.Text(), nullable=True))
    op.add_column("shots", sa.Column("frames", sa.Text(), nullable=True))
    op.add_column("shots", sa.Column("parameters", sa.JSON(), nullable=True))
    op.add_column("shots", sa.Column("keyframe_prompt", sa.Text(), nullable=True))
    op.add_column("shots", sa.Column("keyframe_upload_id", sa.Text(), nullable=True))
