"""One attempt at a step: what it works with, and what its failures are called."""

import errno
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from vidgen.engine.control import StepControl
from vidgen.engine.finisher import Later
from vidgen.engine.lanes import Outcome
from vidgen.errors import DiskLow, ModelUnavailable, NotFound, StepFailed
from vidgen.types import Job, Shot, Step


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt at a step works with."""

    step: Step
    job: Job
    control: StepControl
    temporary: Callable[[str], Path]        # a temporary name, by the name it will be published as
    folder: Path                            # the job's

    @property
    def shot(self) -> Shot:
        return self.job.storyboard.shots[self.step.shot_index]


@contextmanager
def failures_of_steps() -> Iterator[None]:
    """What goes wrong, as a failure of the step."""
    try:
        yield
    except (ModelUnavailable, NotFound) as e:
        raise StepFailed(e.detail, retryable=False, code=e.code) from e
    except DiskLow as e:
        raise StepFailed(e.detail, code=e.code) from e
    except OSError as e:
        if e.errno == errno.ENOSPC:
            raise StepFailed("there is no space left on the workspace's disk", code=DiskLow.code) from e
        raise


def leaving(later: Later, stack: ExitStack) -> Later:
    """*later*, which leaves *stack* when it is done."""

    def finish() -> Outcome:
        with stack:
            return later.finish()

    return Later(finish)
