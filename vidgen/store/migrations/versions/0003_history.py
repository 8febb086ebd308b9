"""What runs took, what jobs are expected to take, and how shots were made.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("forecast", sa.JSON(), nullable=True))
    op.add_column("jobs", sa.Column("forecast_s", sa.Float(), nullable=True))
    op.add_column("jobs", sa.Column("lane", sa.Text(), nullable=True))
    op.drop_index("jobs_by_rank", "jobs")
    op.create_index("jobs_by_rank", "jobs", ["status", "rank", "seq", "lane", "forecast_s"], unique=False)
    op.add_column("shots", sa.Column("made", sa.JSON(), nullable=True))
    op.create_table(
        "timings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=True),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("num_frames", sa.Integer(), nullable=False),
        sa.Column("num_steps", sa.Integer(), nullable=True),
        sa.Column("num_shots", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("load_seconds", sa.Float(), nullable=True),
        sa.Column("denoise_seconds", sa.Float(), nullable=True),
        sa.Column("decode_seconds", sa.Float(), nullable=True),
        sa.Column("encode_seconds", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "peaks",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("estimate_bytes", sa.Integer(), nullable=False),
        sa.Column("peak_bytes", sa.Integer(), nullable=True),
        sa.Column("floor_bytes", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("device", "model_id", "mode", "estimate_bytes"),
    )
