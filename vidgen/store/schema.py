"""The tables. What changes here changes in a migration too; a test compares the two."""

import sqlalchemy as sa

metadata = sa.MetaData()

jobs = sa.Table(
    "jobs", metadata,
    sa.Column("seq", sa.Integer, primary_key=True),         # order of acknowledgement
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("effective", sa.JSON, nullable=False),
    sa.Column("model_id", sa.Text, nullable=False),
    sa.Column("keyframe_model_id", sa.Text),
    sa.Column("keyframe_parameters", sa.JSON),
    sa.Column("upload_id", sa.Text),
    sa.Column("generation_mode", sa.Text, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("rank", sa.Float, nullable=False),            # see steps.rank_of
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("updated_at", sa.Float, nullable=False),
    sa.Column("started_at", sa.Float),
    sa.Column("ended_at", sa.Float),
    sa.Column("current_step", sa.Text, nullable=False),
    sa.Column("progress", sa.Float, nullable=False, default=0.0),
    sa.Column("cancel_requested", sa.Boolean, nullable=False, default=False),
    sa.Column("storyboard_id", sa.Text),
    sa.Column("storyboard_title", sa.Text),
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("parent_id", sa.Text),
    sa.Column("idempotency_key", sa.Text, unique=True),
    sa.Column("idempotency_digest", sa.Text),
    sa.Column("usage", sa.JSON),                            # what each step's run measured
    sa.Column("forecast", sa.JSON),                         # how long it was expected to take when it was posted
    sa.Column("forecast_s", sa.Float),                      # of its render lane's time, without loading; null: unknown
    sa.Column("lane", sa.Text),                             # that its renders run on
    sa.Column("root_id", sa.Text),                          # the first of its versions; null where it is that itself
    sa.Column("reused", sa.JSON),                           # the shots that earlier versions made, by the kind of step
    sa.Index("jobs_by_rank", "status", "rank", "seq", "lane", "forecast_s"),
    sa.Index("jobs_by_status", "status", "seq"),
    sa.Index("jobs_by_priority", "status", "priority"),     # or each look for what is more urgent reads the whole queue
    sa.Index("jobs_by_model", "model_id", "seq"),
    sa.Index("jobs_by_root", "root_id", "seq"),
    sqlite_autoincrement=True,
)

shots = sa.Table(
    "shots", metadata,
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("index", sa.Integer, primary_key=True),       # from 0
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("camera_move", sa.Text, nullable=False),
    sa.Column("num_frames", sa.Integer, nullable=False),
    sa.Column("duration_seconds", sa.Float, nullable=False),
    sa.Column("seed", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("key", sa.Text),                              # what determined the clip, hashed
    sa.Column("keyframe", sa.Text),                         # file names in the job's folder
    sa.Column("video", sa.Text),
    sa.Column("poster", sa.Text),
    sa.Column("preview", sa.Text),
    sa.Column("error_message", sa.Text),
    sa.Column("made", sa.JSON),                             # how each of its steps was really rendered
    sa.Column("keyframe_key", sa.Text),                     # what determined the keyframe, hashed
    sa.Column("frames", sa.Text),                           # a zip of lossless frames
    sa.Column("parameters", sa.JSON),                       # that differ from the job's
    sa.Column("keyframe_prompt", sa.Text),
    sa.Column("keyframe_upload_id", sa.Text),
)

steps = sa.Table(
    "steps", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("model_id", sa.Text),
    sa.Column("shot_index", sa.Integer),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("rank", sa.Float, nullable=False),            # the job's
    sa.Column("unmet", sa.Integer, nullable=False),         # how many of its needs are not done
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("interruptions", sa.Integer, nullable=False, default=0),  # times the server died while it ran
    sa.Column("not_before", sa.Float, nullable=False, default=0.0),
    sa.Column("weight", sa.Float, nullable=False),          # its share of the job's progress
    sa.Column("fraction", sa.Float, nullable=False, default=0.0),
    sa.Column("staged", sa.JSON),                           # what is about to be renamed into place
    sa.Column("error_message", sa.Text),
    sa.Column("kept", sa.JSON),                             # what an attempt left for the next
    sa.Index("steps_by_rank", "lane", "status", "rank", "id"),
    sa.Index("steps_by_job", "job_id", "status"),           # with the status, or SQLite looks by status alone
    sa.Index("steps_by_status", "status"),
    sqlite_autoincrement=True,
)

needs = sa.Table(
    "needs", metadata,
    sa.Column("step_id", sa.Integer, sa.ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("needs_id", sa.Integer, sa.ForeignKey("steps.id", ondelete="CASCADE"), primary_key=True, index=True),
)

events = sa.Table(
    "events", metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("shot_id", sa.Text),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Index("events_by_job", "job_id", "seq"),
    sqlite_autoincrement=True,
)

uploads = sa.Table(
    "uploads", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("filename", sa.Text, nullable=False),         # the client's; shown, never opened
    sa.Column("name", sa.Text, nullable=False, unique=True),  # ours, in the uploads folder
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),           # of our file
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)

state = sa.Table(
    "state", metadata,                                      # the server's own few facts, such as "paused"
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.JSON, nullable=False),
)

timings = sa.Table(
    "timings", metadata,                                    # one run of a step; see store/history.py
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("model_id", sa.Text),
    sa.Column("mode", sa.Text),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("num_frames", sa.Integer, nullable=False),
    sa.Column("num_steps", sa.Integer),
    sa.Column("num_shots", sa.Integer, nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("load_seconds", sa.Float),
    sa.Column("denoise_seconds", sa.Float),
    sa.Column("decode_seconds", sa.Float),
    sa.Column("encode_seconds", sa.Float),
)

peaks = sa.Table(
    "peaks", metadata,                                      # what renders took of the device's memory
    sa.Column("device", sa.Text, primary_key=True),
    sa.Column("model_id", sa.Text, primary_key=True),
    sa.Column("mode", sa.Text, primary_key=True),
    sa.Column("estimate_bytes", sa.Integer, primary_key=True),  # what was reckoned; it stands for the size
    sa.Column("peak_bytes", sa.Integer),
    sa.Column("floor_bytes", sa.Integer),
)
