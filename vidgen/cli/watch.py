"""Waiting for a job: its progress, Ctrl-C, its video."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vidgen.cli import options, outcome
from vidgen.cli.options import Force, JobId, Output
from vidgen.cli.outcome import Ended
from vidgen.cli.progress import download_bar, view_of
from vidgen.cli.session import Session
from vidgen.cli.text import seconds, slug

if TYPE_CHECKING:
    from vidgen.client import Client, Job

MARK_CHARS = 6
"""Of a job's id, where they tell its file from others of the same words."""

CONTROL_C = "Cancel the job (c), or only stop watching (Enter)?"


def watch(session: Session, id: JobId, output: Output = None, force: Force = False) -> None:
    """Show a job's progress until it has ended; with -o, take its video."""
    with session.client() as client:
        job = client.job(id)
        path = place(job, output, force) if output else None
        follow(session, job)
        if path:
            deliver(session, client, job, path)
        elif session.json:
            session.result(job.data)
        else:
            session.line(job.video_url)


def finish(
    session: Session, client: "Client", job: "Job", output: Path | None, force: bool, *, wait: bool
) -> None:
    """What follows a job's posting: watch it and take its video, or say how that can be done later.

    :raises JobFailed: it failed, or was cancelled.
    """
    if wait:
        path = place(job, output, force)
        deliver(session, client, follow(session, job), path)
    elif session.json:
        session.result(job.data)
    else:
        session.line(job.id)
        later = f" -o {output} waits for its video" if output else " shows it"
        session.note(f"it is {job.status}; vidgen watch {job.id}{later}")


def follow(session: Session, job: "Job") -> "Job":
    """Show the job's events until it has ended.

    :returns: the job, completed.
    :raises JobFailed: it failed, or was cancelled.
    :raises typer.Exit: Ctrl-C, after the job was cancelled where that was the answer.
    :raises Ended: the server went away.
    """
    from vidgen.client import ConnectionFailed, JobFailed

    try:
        with view_of(session, job.user_prompt, lambda: _shots(job)) as view:
            for event in job.events():
                view.show(event.data)
        ended = job.refresh()
    except KeyboardInterrupt:
        _interrupted(session, job)
        raise typer.Exit(outcome.STOPPED) from None
    except ConnectionFailed as e:
        raise Ended(outcome.UNAVAILABLE, f"{e}; vidgen watch {job.id} shows the job again") from e
    if ended.status != "completed":
        if session.json:
            session.result(ended.data)
        raise JobFailed(ended)
    return ended


def deliver(session: Session, client: "Client", job: "Job", path: Path) -> None:
    """Take the video of a completed job, and say where it is.

    :raises Ended: it cannot be written there, the server went away, or Ctrl-C.
    """
    from vidgen.client import ConnectionFailed

    still = f"the video is made, and vidgen watch {job.id} -o FILE takes it"
    try:
        with download_bar(session) as progress:
            client.download(job.id, path, progress=progress)
    except OSError as e:
        raise Ended(outcome.FAILED, f"{path}: {e.strerror}; {still}") from e
    except ConnectionFailed as e:
        raise Ended(outcome.UNAVAILABLE, f"{e}; {still}") from e
    except KeyboardInterrupt:
        raise Ended(outcome.STOPPED, f"stopped; {still}") from None
    if session.json:
        session.result({**job.data, "file": str(path)})
    else:
        session.note(f"completed{_took(job)}")
        session.line(path)


def place(job: "Job", output: Path | None, force: bool) -> Path:
    """Where the job's video goes.

    :param output: a file, or a folder; None is the current one. In a folder it is named after the prompt.
    :raises BadInput: it cannot go there.
    """
    path = output
    if output is None or output.is_dir():
        words = slug(job.user_prompt)
        path = (output or Path()) / (f"{words}-{job.id[-MARK_CHARS:]}.mp4" if words else f"{job.id}.mp4")
    options.check_output(path, force)
    return path


def _shots(job: "Job") -> list[str]:
    """The ids of the job's shots; none where the server is away for the moment."""
    from vidgen.client import ClientError

    try:
        return [shot.id for shot in job.refresh().shots]
    except ClientError:
        return []


def _took(job: "Job") -> str:
    from datetime import datetime

    if not (job.started_at and job.ended_at):
        return ""
    start, end = (datetime.fromisoformat(time) for time in (job.started_at, job.ended_at))
    return f" in {seconds((end - start).total_seconds())}"


def _interrupted(session: Session, job: "Job") -> None:
    """Ctrl-C while a job was watched; another one leaves at once."""
    if session.asks and session.ask(CONTROL_C) in ("c", "cancel"):
        return _cancel(session, job)
    session.note(f"no longer watching; {job.id} goes on, and vidgen watch {job.id} shows it again")
    return None


def _cancel(session: Session, job: "Job") -> None:
    from vidgen.client import Conflict

    try:
        job.cancel()
    except Conflict as e:                   # it ended meanwhile
        raise Ended(outcome.FAILED, str(e)) from None
    for _ in job.events():                  # until no lane holds a step of it
        pass
    ended = job.refresh()
    session.note(f"{ended.id} is {ended.status}")
    if session.json:
        session.result(ended.data)
