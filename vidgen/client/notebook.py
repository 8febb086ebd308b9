"""A job to look at: HTML for a notebook's cell, lines elsewhere. Knows IPython only where it runs already.

Everything that a person or a model wrote is escaped.
"""

import sys
import time
from base64 import b64encode
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from vidgen.client.answers import Event, Shot
from vidgen.client.errors import ClientError

if TYPE_CHECKING:
    from vidgen.client.job import Job

EMBED_BYTES = 8 * 1024 * 1024
"""A larger video is not written into the notebook: its poster and its address are."""

REDRAW_S = 0.25
MAX_WIDTH_PX = 640


def bundle(job: "Job") -> dict[str, str]:
    """How the job stands now, for a notebook's front end to choose from."""
    if not job.ended:
        try:
            job.refresh()
        except ClientError as e:
            return {"text/plain": f"{job!r} ({e})", "text/html": f"{page(job)}<p>{escape(str(e))}</p>"}
    return {"text/plain": repr(job), "text/html": page(job)}


def page(job: "Job") -> str:
    """The job as HTML: its video once there is one, else how far it is."""
    head = f"<p><b>{escape(job.user_prompt)}</b> <small>{escape(job.id)}, {escape(job.model_id)}</small></p>"
    if job.status == "completed":
        return f"<div>{head}{_film(job)}</div>"
    if job.ended:
        return f"<div>{head}<p>{escape(job.status)}: {escape(job.error_message or '')}</p></div>"
    return f"<div>{head}{_progress(job)}</div>"


def show(job: "Job", timeout_s: float | None = None) -> None:
    """Wait for the job, with progress in the cell, or as lines on standard error; raises as :meth:`Job.wait` does."""
    display = _display()
    if display is None:
        job.wait(timeout_s, _Lines())
        return
    handle = display(job, display_id=True)
    try:
        job.wait(timeout_s, _Redraw(lambda: handle.update(job)))
    finally:
        handle.update(job)


class _Redraw:
    """Draws at most every REDRAW_S."""

    def __init__(self, draw: Callable[[], None]):
        self._draw = draw
        self._drawn_at = 0.0

    def __call__(self, event: Event) -> None:
        if not event.ends and time.monotonic() - self._drawn_at >= REDRAW_S:     # the end is drawn by whoever waits
            self._draw()
            self._drawn_at = time.monotonic()


class _Lines:
    """A line for each step when it begins, and for each note. Shots that render beside each other take turns in the
    events, so a step is named once an attempt.
    """

    def __init__(self) -> None:
        self._said: set[tuple[str | None, int | None]] = set()

    def __call__(self, event: Event) -> None:
        if event.type == "note":
            _say(event.message)
        elif event.type == "progress" and (step := (event.step, event.attempt)) not in self._said:
            self._said.add(step)
            _say(f"{event.progress:3.0f} % {event.step}")


def _say(line: str) -> None:
    print("".join(c for c in line if c.isprintable()), file=sys.stderr, flush=True)


def _display() -> Callable[..., Any] | None:
    """IPython's ``display``, where a notebook's kernel runs us."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display


def _progress(job: "Job") -> str:
    left = "" if job.eta_seconds is None else f", about {job.eta_seconds:.0f} s left"
    said = f"{job.progress_percentage:.0f} %, {escape(job.current_step)}{left}"
    shots = "".join(map(_shot, job.shots))
    return (
        f'<p><progress max="100" value="{job.progress_percentage:.1f}" style="width:{MAX_WIDTH_PX // 2}px"></progress> '
        f"{said}</p>" + (f"<ol>{shots}</ol>" if shots else "")
    )


def _shot(shot: Shot) -> str:
    return f"<li>{escape(shot.description)} <small>{escape(shot.status)}</small></li>"


def _film(job: "Job") -> str:
    """The video itself where it is small, else its poster; its address either way."""
    link = f'<p><a href="{escape(job.video_url)}">{escape(job.video_url)}</a></p>'
    width = min(job.width, MAX_WIDTH_PX)
    if film := _embedded(job, job.output_video_url, "video/mp4"):
        return f'<video controls loop width="{width}" src="{film}"></video>{link}'
    poster = _embedded(job, job.poster_url, "image/jpeg")
    return (f'<img width="{width}" alt="" src="{poster}">' if poster else "") + link


def _embedded(job: "Job", url: str, media_type: str) -> str | None:
    """The file as a data URL; None where it is large, or gone."""
    try:
        found = job.content(url, EMBED_BYTES)
    except ClientError:
        return None
    return None if found is None else f"data:{media_type};base64,{b64encode(found).decode()}"
