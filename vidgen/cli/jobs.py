"""Jobs that the server knows: listed, shown, cancelled, deleted."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from vidgen.cli import outcome
from vidgen.cli.options import JobId, JobIds, Model
from vidgen.cli.outcome import Ended
from vidgen.cli.session import Session
from vidgen.cli.text import listed, seconds, shortened

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidgen.client import Client, Job

MAX_PROMPT_CHARS = 60
MAX_LIMIT = 100_000

Status = Annotated[str | None, typer.Option(
    metavar="STATUS", show_default=False, help="queued, processing, completed, failed or cancelled"
)]
Search = Annotated[str | None, typer.Option("--search", metavar="WORDS", show_default=False, help="In the prompt")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=MAX_LIMIT, help="The newest so many")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]

HEADER = ("ID", "STATUS", "DONE", "MODEL", "CREATED", "PROMPT")
SHOT_HEADER = ("SHOT", "STATUS", "SECONDS", "SEED", "CAMERA", "DESCRIPTION")


def jobs(
    session: Session, status: Status = None, model: Model = None, search: Search = None, limit: Limit = 20
) -> None:
    """List jobs, the newest first."""
    with session.client() as client:
        found = list(islice(client.jobs(status=status, model_id=model, q=search), limit))
    if session.json:
        return session.result([job.data for job in found])
    return session.table(HEADER, map(_row, found))


def show(session: Session, id: JobId) -> None:
    """Show one job and its shots."""
    with session.client() as client:
        job = client.job(id)
        if session.json:
            return session.result(job.data)
        for name, value in _facts(client, job):
            if value not in (None, "", {}):
                session.line(f"{name:14}{value}")
    if job.shots:
        session.line()
        session.table(SHOT_HEADER, map(_shot_row, job.shots))
    return None


def cancel(session: Session, ids: JobIds) -> None:
    """Cancel jobs that wait or run."""
    with session.client() as client:
        def one(id: str) -> dict:
            job = client.cancel(id)
            _say(session, f"{id} is {'cancelled' if job.status == 'cancelled' else 'being cancelled'}")
            return job.data

        _each(session, ids, one)


def delete(session: Session, ids: JobIds, yes: Yes = False) -> None:
    """Delete jobs and their files; what runs is cancelled first."""
    if not yes:
        _agree(session, ids)
    with session.client() as client:
        def one(id: str) -> dict:
            client.delete(id)
            _say(session, f"{id} is deleted")
            return {"id": id, "deleted": True}

        _each(session, ids, one)


def _agree(session: Session, ids: list[str]) -> None:
    """:raises Ended: nobody is there to agree, or whoever is does not."""
    if not session.asks:
        raise Ended(outcome.BAD_INPUT, "yes: deleting asks first, and nobody is there to answer; give --yes")
    what = ids[0] if len(ids) == 1 else f"{len(ids)} jobs"
    if session.ask(f"Delete {what} with all files? [y/N]") not in ("y", "yes"):
        raise Ended(outcome.FAILED, "nothing was deleted")


def _each(session: Session, ids: list[str], one: "Callable[[str], dict]") -> None:
    """Do it for every job; one that is refused does not stop the others.

    :raises Ended: some were refused; with the worst of their codes.
    """
    from vidgen.client import ApiError

    done, failed = [], []
    try:
        for id in dict.fromkeys(ids):
            try:
                done.append(one(id))
            except ApiError as e:
                failed.append(outcome.of(e))
    finally:                                # what was done is told, even where the server went away
        if session.json:
            session.result(done)
    for _, said in failed[:-1]:
        session.note(f"vidgen: {said}")
    if failed:
        raise Ended(max(code for code, _ in failed), failed[-1][1])


def _say(session: Session, words: str) -> None:
    if not session.json:
        session.line(words)


def _row(job: "Job") -> tuple[object, ...]:
    done, prompt = f"{job.progress_percentage:.0f}%", shortened(job.user_prompt, MAX_PROMPT_CHARS)
    return job.id, job.status, done, job.model_id, job.created_at, prompt


def _shot_row(shot) -> tuple[object, ...]:
    return shot.id, shot.status, f"{shot.duration_seconds:g}", shot.seed, shot.camera_move, shot.description


def _facts(client: "Client", job: "Job") -> list[tuple[str, object]]:
    def url(path: str | None) -> str | None:
        return path and f"{client.base_url}{path}"

    return [
        ("id", job.id), ("status", f"{job.status}, {job.progress_percentage:.0f}%"), ("now", job.current_step),
        ("error", job.error_message), ("in the queue", job.position), ("ready in", seconds(job.eta_seconds)),
        ("prompt", job.user_prompt), ("style", listed(job.style_preferences)), ("model", job.model_id),
        ("keyframes by", job.keyframe_model_id), ("size", f"{job.width} x {job.height}, {job.fps:g} frames a second"),
        ("seed", job.seed), ("steps", job.num_inference_steps), ("parameters", listed(job.parameters)),
        ("negative", job.negative_prompt), ("priority", job.priority or None), ("version of", job.parent_id),
        ("created", job.created_at), ("ended", job.ended_at), ("video", url(job.output_video_url)),
    ]
