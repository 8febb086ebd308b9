"""An engine that kills itself, as ``kill -9`` would, at the n-th commit, rename or fsync of one three-shot job.

``python -m tests.chaos.die_at WORKSPACE [KIND WHEN NUMBER]`` posts the job under one idempotency key, waits for its end
and prints what it learns as lines of JSON: ``acknowledged``, ``ended``, and how often each thing was ``counted``.

Wraps functions of the operating system and events of SQLAlchemy, nothing of vidgen's. There is no web here: a request
adds nothing to what is written to the disk, and a start takes a third of the time.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

COMMIT, RENAME, FSYNC = "commit", "rename", "fsync"
KINDS = (COMMIT, RENAME, FSYNC)
WHENS = ("before", "after")
JOB = {
    "user_prompt": "a forest at dawn, then a lake, then the sea", "model_id": "stub:animatic", "max_shots": 3,
    "width": 64, "height": 64, "num_frames": 5, "continuity": "chain", "seed": 1, "save_frames": True,
}
KEY = "the-job"
WAIT_S = 60.0


class Reaper:
    """Counts, and kills the process where it was told to.

    :param fate: kind, ``before`` or ``after``, and number from 1; None only counts.
    """

    def __init__(self, fate: tuple[str, str, int] | None):
        self.counted: Counter[str] = Counter()
        self._fate = fate
        self._lock = threading.Lock()

    def begin(self, kind: str) -> int:
        with self._lock:
            self.counted[kind] += 1
            number = self.counted[kind]
        self._pass(kind, "before", number)
        return number

    def end(self, kind: str, number: int) -> None:
        self._pass(kind, "after", number)

    def _pass(self, kind: str, when: str, number: int) -> None:
        if self._fate == (kind, when, number):
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, kind: str, name: str) -> None:
        """Watch ``os.NAME``."""
        original: Callable[..., Any] = getattr(os, name)

        def watched(*args: Any, **options: Any) -> Any:
            number = self.begin(kind)
            result = original(*args, **options)
            self.end(kind, number)
            return result

        setattr(os, name, watched)

    def watch_commits(self) -> None:
        numbers = threading.local()

        def before(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement == "COMMIT":
                numbers.now = self.begin(COMMIT)

        def after(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
            if statement == "COMMIT":
                self.end(COMMIT, numbers.now)

        sa.event.listen(sa.Engine, "before_cursor_execute", before)
        sa.event.listen(sa.Engine, "after_cursor_execute", after)


def watch(fate: tuple[str, str, int] | None) -> Reaper:
    """Begin to count, before anything of vidgen is imported."""
    reaper = Reaper(fate)
    for name in ("rename", "replace", "link"):
        reaper.wrap(RENAME, name)
    reaper.wrap(FSYNC, "fsync")
    reaper.watch_commits()
    return reaper


def run(workspace: Path) -> None:
    """Post the job, or find it, and see it to its end."""
    from vidgen.engine.engine import Engine
    from vidgen.media.files import Workspace
    from vidgen.registry import discover
    from vidgen.request import JobRequest
    from vidgen.settings import load_settings

    settings = load_settings(_env_file=None, workspace_dir=workspace, min_free_mb=0)
    files = Workspace(workspace)
    files.prepare()
    files.lock("nowhere")
    engine = Engine(settings, discover(settings), files)
    engine.start()
    job, _ = engine.submit(JobRequest.model_validate(JOB), KEY)
    say(acknowledged=job.id)
    deadline = time.monotonic() + WAIT_S
    while not (now := engine.job(job.id)).status.ended and time.monotonic() < deadline:
        time.sleep(0.01)
    say(ended=now.status, reason=now.error_message)
    engine.close(5)
    files.unlock()


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def main(arguments: list[str]) -> None:
    workspace, *fate = arguments
    reaper = watch((fate[0], fate[1], int(fate[2])) if fate else None)
    run(Path(workspace))
    say(counted=reaper.counted)


if __name__ == "__main__":
    main(sys.argv[1:])
