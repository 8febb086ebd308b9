"""What a test may ask of the stub: to fail, to be slow, to wait. Knows nothing of pictures."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vidgen.backend import Control
from vidgen.errors import StepFailed

SLICE_S = 0.02                          # the longest time between two looks at control


@dataclass(frozen=True)
class Trial:
    """The testing parameters of one attempt."""

    fail_at_step: int | None = None
    fail_times: int | None = None       # attempts that fail; None: all of them
    fail_fatal: bool = False
    wait_at_step: int | None = None
    slow_ms: float = 0.0
    attempt: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, Any], attempt: int) -> "Trial":
        """What *parameters* ask for; asked only how or how often to fail, it fails at the first step."""
        named = {name: parameters[name] for name in cls.__dataclass_fields__ if name in parameters}
        if named.get("fail_times") is not None or named.get("fail_fatal"):
            named.setdefault("fail_at_step", 1)
        return cls(**{**named, "attempt": attempt})

    def before(self, step: int, control: Control) -> None:
        """Do what was asked at *step* (from 1), before it is reported.

        :raises StepFailed: it was asked to fail here.
        :raises Stopped: as ``control.check`` raised it.
        """
        if step == self.fail_at_step and (self.fail_times is None or self.attempt <= self.fail_times):
            raise StepFailed(f"asked to fail at step {step}", retryable=not self.fail_fatal)
        while step == self.wait_at_step:
            control.check()
            time.sleep(SLICE_S)
        self._linger(control)

    def _linger(self, control: Control) -> None:
        end = time.monotonic() + self.slow_ms / 1000
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(SLICE_S, left))
            control.check()
