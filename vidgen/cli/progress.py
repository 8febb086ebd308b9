"""A job's events for whoever waits: bars on a terminal, lines where it is piped, JSON for programs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from vidgen.cli.session import Session
from vidgen.cli.text import printable, seconds, shortened

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MAX_TITLE_CHARS = 32
MAX_STEP_CHARS = 48

Message = Mapping[str, Any]
"""What the server says of one event."""


class View(Protocol):
    def show(self, message: Message) -> None: ...


def view_of(session: Session, title: str, shots: Callable[[], Sequence[str]]) -> AbstractContextManager[View]:
    """What shows a job's events on this output.

    :param title: the job's prompt.
    :param shots: asks for the ids of its shots; there are none before they are planned.
    """
    if session.json:
        return nullcontext(Json(session))
    return Bars(title, shots) if session.bars else nullcontext(Lines(session))


class Json:
    """Every event as a line of JSON."""

    def __init__(self, session: Session):
        self._session = session

    def show(self, message: Message) -> None:
        self._session.result(message)


class Lines:
    """A line for each step when it begins, and for each note. Shots that render beside each other take turns in the
    events, so a step is named once an attempt.
    """

    def __init__(self, session: Session):
        self._session = session
        self._said: set[tuple[str, int]] = set()

    def show(self, message: Message) -> None:
        if message["type"] == "note":
            self._session.note(f"      {message['message']}")
        if message["type"] != "progress":
            return
        step, attempt = message["step"], message.get("attempt", 1)
        if (step, attempt) not in self._said:
            self._said.add((step, attempt))
            self._session.note(f"{message['progress']:4.0f}% {_step(message)}")


class Bars:
    """A bar for the job and one for each shot, on standard error. A context manager."""

    def __init__(self, title: str, shots: Callable[[], Sequence[str]]):
        self._bars = _bars()
        self._job = self._bars.add_task(shortened(title, MAX_TITLE_CHARS), total=100, said="")
        self._shots: dict[str, TaskID] = {}
        self._ask_for_shots = shots

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, message: Message) -> None:
        match message["type"]:
            case "progress":
                self._progress(message)
            case "shot_complete":
                self._set(message["shot_id"], 1, 1, "done")
            case "note":
                self._bars.console.print(f"  {printable(message['message'])}", markup=False, highlight=False)

    def _progress(self, message: Message) -> None:
        self._bars.update(self._job, completed=message["progress"], said=_step(message))
        if (shot := message.get("shot_id")) and (phase := message.get("phase")):
            i, n = message["phase_step"], message["phase_steps"]
            self._set(shot, i, n, f"{printable(phase)} {i} of {n}")

    def _set(self, shot: str, i: int, n: int, said: str) -> None:
        if shot not in self._shots:
            self._add_shots({*self._ask_for_shots(), shot})
        self._bars.update(self._shots[shot], completed=i, total=max(n, 1), said=said)

    def _add_shots(self, ids: set[str]) -> None:
        for shot in sorted(ids - self._shots.keys()):
            self._shots[shot] = self._bars.add_task(f"  {printable(shot.replace('_', ' '))}", total=1, said="waits")


@contextmanager
def download_bar(session: Session) -> Iterator[Callable[[int, int | None], None] | None]:
    """What is told of a download's bytes, where a bar can be drawn."""
    if not session.bars:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("Downloading"), BarColumn(bar_width=24), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _bars() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    def text(format: str) -> TextColumn:
        return TextColumn(format, markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))

    columns = (
        text("{task.description}"), BarColumn(bar_width=24), text("{task.percentage:>3.0f}%"),
        text("{task.fields[said]}"),
    )
    return Progress(*columns, console=Console(stderr=True), redirect_stdout=False, redirect_stderr=False)


def _step(message: Message) -> str:
    """What happens now, and how long until the video is there."""
    step = "Waiting" if message["step"] == "initializing" else message["step"]
    place = f", number {message['position']} in the queue" if message.get("position") else ""
    left = f", {seconds(eta)} left" if (eta := message.get("eta_seconds")) else ""
    return f"{shortened(step, MAX_STEP_CHARS)}{place}{left}"
