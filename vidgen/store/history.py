"""What runs took on this machine: the time of each step, the memory of each model. Learned from, never decided by.

A row of ``timings`` is one run of a step; of equal tasks, and of all, only the last are kept, which is the business of
who learns. A row of ``peaks`` is all that is known of one model in one mode, at the size that an estimate stands for.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from vidgen.store.schema import peaks, timings
from vidgen.store.writer import Tx


@dataclass(frozen=True, slots=True)
class Task:
    """What a step did, as far as its time depends on it. Equal tasks take equally long."""

    device: str                             # the GPU's name, or cpu; of other steps their lane
    kind: str                               # see StepKind
    model_id: str | None = None
    mode: str | None = None                 # the loading mode; of a plan, who makes it
    width: int = 0                          # pixels
    height: int = 0                         # pixels
    num_frames: int = 0
    num_steps: int | None = None            # num_inference_steps
    num_shots: int = 1                      # joined; of keyframes and renders, how many of the job's run at once
    parameters: str = ""                    # a digest of the model's own


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one run of a task took, in seconds of wall time; what is None was not measured."""

    task: Task
    seconds: float                          # from the claim to the commit, loading left out
    load_seconds: float | None = None
    denoise_seconds: float | None = None
    decode_seconds: float | None = None
    encode_seconds: float | None = None     # all that comes after the frames are made


@dataclass(frozen=True, slots=True)
class Peak:
    """What renders of one size took of the device's memory, in bytes."""

    model_id: str
    mode: str
    estimate_bytes: int                     # what was reckoned; it stands for the size
    peak_bytes: int | None = None           # the largest that was measured
    floor_bytes: int | None = None          # the largest that was there when it ran out


_TASK = [field.name for field in fields(Task)]
_TIMES = [field.name for field in fields(Timing) if field.name != "task"]
_INSERT = timings.insert()


def add_timing(tx: Tx, timing: Timing) -> int:
    """Write one run down; returns its number, for :func:`forget_timings`."""
    row = asdict(timing)
    row |= row.pop("task") | {"at": tx.now}
    return tx.conn.execute(_INSERT, row).inserted_primary_key[0]


def forget_timings(tx: Tx, ids: Sequence[int]) -> None:
    if ids:
        tx.conn.execute(timings.delete().where(timings.c.id.in_(ids)))


def all_timings(conn: sa.Connection) -> Iterable[tuple[int, Timing]]:
    """Every run that is kept, with its number, the oldest first."""
    for row in conn.execute(timings.select().order_by(timings.c.id)).mappings():
        task = Task(**{name: row[name] for name in _TASK})
        yield row["id"], Timing(task, **{name: row[name] for name in _TIMES})


def peaks_of(conn: sa.Connection, device: str) -> list[Peak]:
    """What is known of the memory on *device*."""
    return [_peak(row) for row in conn.execute(peaks.select().where(peaks.c.device == device))]


def learn_peak(tx: Tx, device: str, model_id: str, mode: str, estimate_bytes: int, peak_bytes: int) -> Peak:
    """A render took *peak_bytes*; returns what is known now. What once did not suffice is forgotten."""
    kept = {"peak_bytes": _larger("peak_bytes"), "floor_bytes": None}
    return _learn(tx, device, Peak(model_id, mode, estimate_bytes, peak_bytes=peak_bytes), kept)


def learn_floor(tx: Tx, device: str, model_id: str, mode: str, estimate_bytes: int, floor_bytes: int) -> Peak:
    """A render ran out of memory with *floor_bytes* there for it; returns what is known now."""
    kept = {"floor_bytes": _larger("floor_bytes")}
    return _learn(tx, device, Peak(model_id, mode, estimate_bytes, floor_bytes=floor_bytes), kept)


def _learn(tx: Tx, device: str, new: Peak, kept: Mapping[str, Any]) -> Peak:
    """:param kept: what becomes of the columns of a row that is there already."""
    keys = [column.name for column in peaks.primary_key]
    row = insert(peaks).values(device=device, **asdict(new))
    learned = row.on_conflict_do_update(index_elements=keys, set_=kept).returning(peaks)
    return _peak(tx.conn.execute(learned).one())


def _larger(name: str) -> sa.ColumnElement:
    """Of what is known and what is new; SQLite's own max() is null where one is."""
    known, new = peaks.c[name], sa.literal_column(f"excluded.{name}", sa.Integer)
    return sa.func.coalesce(sa.func.max(known, new), known, new)


def _peak(row: sa.Row) -> Peak:
    return Peak(row.model_id, row.mode, row.estimate_bytes, row.peak_bytes, row.floor_bytes)
