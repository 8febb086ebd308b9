"""How one request is really rendered, where the memory does not suffice for what was planned."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from backends.local.footprint import COMPONENT, GROUP, SEQUENTIAL, TWO_PASS
from vidgen.backend import Control, Preview

IN_WORDS = {
    TWO_PASS: "in two passes",
    COMPONENT: "with one network on the GPU at a time",
    GROUP: "with a few layers on the GPU at a time",
    SEQUENTIAL: "with one layer on the GPU at a time",
}


class Account:
    """A request's ``Control``, which remembers where the request is, and what has been changed on the way.

    :param steps: how many denoising steps were asked for; None where the pipeline says.
    :param adapt: whether the video may change where the memory does not suffice.
    """

    def __init__(self, control: Control, steps: int | None = None, adapt: bool = False):
        self.adapt = adapt
        self._control = control
        self._at: dict[str, tuple[int, int | None]] = {"render": (0, steps)}
        self._parameters: dict[str, Any] = {}
        self._ran_out: list[str] = []
        self._left: set[str] = set()

    @property
    def kept(self) -> Mapping[str, Any]:
        return self._control.kept

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        self._at[phase] = i, n
        self._control.step(phase, i, n, preview)

    def check(self) -> None:
        self._control.check()

    def alive(self) -> None:
        self._control.alive()

    def keep(self, facts: Mapping[str, Any]) -> None:
        self._control.keep(facts)

    def note(self, code: str, message: str) -> None:
        self._control.note(code, message)

    @contextmanager
    def leaving(self, phase: str) -> Iterator[None]:
        """Inside, running out in *phase* is left to the caller."""
        self._left.add(phase)
        try:
            yield
        finally:
            self._left.discard(phase)

    def leaves(self, phase: str) -> bool:
        return phase in self._left

    def sank(self, phase: str, before: str, after: str) -> None:
        """The memory did not suffice in *phase*; it goes on in the mode *after*."""
        self._tell(phase, f"{before} -> {after}", IN_WORDS[after])

    def changed(self, phase: str, name: str, before: Any, after: Any) -> None:
        """Likewise, with another value of a parameter."""
        self._parameters[name] = after
        self._tell(phase, f"{name} {before} -> {after}", f"with {name} {after}")

    def made(self, mode: str) -> dict[str, Any]:
        """What a clip's ``made`` says."""
        said = {"mode": mode, "parameters": self._parameters, "ran_out": self._ran_out}
        return {key: value for key, value in said.items() if value}

    def _tell(self, phase: str, change: str, words: str) -> None:
        where = self._where(phase)
        self._ran_out.append(f"{where}: {change}")
        self._control.note("out_of_memory", f"ran out of memory at {where}; goes on {words}")

    def _where(self, phase: str) -> str:
        if phase not in self._at:
            return phase
        i, n = self._at[phase]
        return f"{phase} {i + 1}" + (f" of {n}" if n else "")
