"""What happens inside of a pipeline, told to the engine: the steps of its scheduler, the blocks of its networks.

Nothing here changes a bit of what is computed. Inside of a step of one request another one may run, with the same
networks: what the outer one has hung on them stays there, and is silent meanwhile.
"""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from backends.local.meter import Meter
from backends.local.preview import Previews
from vidgen.backend import Control, Preview

if TYPE_CHECKING:
    from torch import Tensor, nn


_running: ContextVar["Watch | None"] = ContextVar("_running", default=None)
"""The watch of the innermost request of this thread."""


@contextmanager
def aside() -> Iterator[None]:
    """Inside, something runs that is not the present request's: it is not reported, measured or stopped by that one."""
    outer = _running.get()
    if outer is None:
        yield
        return
    token = _running.set(None)
    try:
        with outer.meter.interrupted():
            yield
    finally:
        _running.reset(token)


class Watch:
    """One request's line to the engine.

    ``at`` keeps when each phase was last heard of, on the clock of its meter.
    """

    def __init__(self, control: Control, previews: Previews, meter: Meter):
        self.at: dict[str, float] = {}
        self.meter = meter
        self._control = control
        self._previews = previews
        self._done: dict[str, float] = {}

    @property
    def runs(self) -> bool:
        """Whether what happens now is this request's, and not that of one inside of it."""
        return _running.get() is self

    def step(self, phase: str, i: int, n: int, preview: Preview | None = None) -> None:
        """Report progress; what would go backwards is a sign of life only.

        :raises Stopped: the render is to end.
        """
        if i / n <= self._done.get(phase, -1.0):
            return self._control.alive()
        if i == n:
            self.meter.settle()
        self._done[phase], self.at[phase] = i / n, self.meter.now()
        return self._control.step(phase, i, n, preview)

    def scheduler(self, scheduler: Any) -> None:
        """Have *scheduler*, which serves this request alone, report every step that it makes."""
        count = itertools.count(1)

        def made(step: Mapping[str, Any], output: Any) -> None:
            i, preview = next(count), self._previews.of(step, output)
            self.step("render", i, max(i, len(step["self"].timesteps)), preview)

        _report_steps(scheduler, made)

    @contextmanager
    def networks(self, networks: Iterable["nn.Module"]) -> Iterator[None]:
        """Inside, what happens is this request's, and every block of *networks* begins with a sign of life, so that a
        cancel is heard within a step.
        """
        with ExitStack() as left:
            left.callback(_running.reset, _running.set(self))
            for network in networks:
                for block in blocks(network):
                    left.callback(block.register_forward_pre_hook(self._alive).remove)
            yield

    @contextmanager
    def decoder(self, vae: Any) -> Iterator[None]:
        """Inside, the decoding that a pipeline does by itself is reported block by block.

        A unit is one block for one frame of the latents, since causal decoders take them a few at a time. Where there
        is no decoder, nothing is reported.
        """
        with ExitStack() as left:
            if not hasattr(vae, "decoder"):
                yield
                return
            progress = _Decoding(self, len(parts := _outermost(vae.decoder)))
            left.callback(_put_back, vae, vars(vae).get("decode"))
            vae.decode = progress.around(vae.decode)
            left.callback(vae.decoder.register_forward_pre_hook(progress.begin_pass).remove)
            for part in parts:
                left.callback(part.register_forward_hook(progress.block_done).remove)
            yield

    def _alive(self, *_: Any) -> None:
        if self.runs:
            self._control.alive()


class _Decoding:
    """Counts what a decoder has done of the latents that it was given."""

    def __init__(self, watch: Watch, blocks: int):
        self._watch = watch
        self._blocks = blocks
        self._units = self._done = self._frames = 0

    def around(self, decode: Callable[..., Any]) -> Callable[..., Any]:
        """*decode*, which is the VAE's own, reporting where it begins and ends."""

        @functools.wraps(decode)
        def decoded(*args: Any, **kwargs: Any) -> Any:
            if not self._watch.runs:
                return decode(*args, **kwargs)
            latents, *_ = (*args, *kwargs.values())
            self._units, self._done = max(self._blocks * _frames(latents), 1), 0
            self._watch.step("decode", 0, self._units)
            result = decode(*args, **kwargs)
            self._watch.step("decode", self._units, self._units)
            return result

        return decoded

    def begin_pass(self, decoder: "nn.Module", inputs: tuple[Any, ...]) -> None:
        if self._watch.runs:
            self._frames = _frames(inputs[0]) if inputs else 1

    def block_done(self, *_: Any) -> None:
        """After one block; the last unit is left to the end of the whole, where tiles make more passes than frames."""
        if self._watch.runs:
            self._done += self._frames
            self._watch.step("decode", min(self._done, self._units - 1), self._units)


def _put_back(vae: Any, decode: Callable[..., Any] | None) -> None:
    """Undo what was set as the object's own ``decode``; None where it had none."""
    if decode is None:
        del vae.decode
    else:
        vae.decode = decode


def blocks(network: "nn.Module") -> list["nn.Module"]:
    """The parts that *network* goes through one after the other, at every depth."""
    from torch import nn

    return [block for part in network.modules() if isinstance(part, nn.ModuleList) for block in part]


def _outermost(network: "nn.Module") -> list["nn.Module"]:
    """Of :func:`blocks` those that are not inside of another."""
    inner = {id(part) for block in blocks(network) for part in block.modules() if part is not block}
    return [block for block in blocks(network) if id(block) not in inner]


def _frames(latents: "Tensor") -> int:
    """How many frames latents of [batch, channels, (frames,) height, width] have."""
    return latents.shape[2] if latents.ndim == 5 else 1


def _report_steps(scheduler: Any, made: Callable[[Mapping[str, Any], Any], None]) -> None:
    """Call *made* with the arguments and the result of every ``scheduler.step``.

    The object gets a class of its own, so that a copy of it reports as well, and so that the signature stays: pipelines
    read it to know what they may pass.
    """
    cls = type(scheduler)
    signature = inspect.signature(cls.step)

    @functools.wraps(cls.step)
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = cls.step(self, *args, **kwargs)
        made(signature.bind(self, *args, **kwargs).arguments, output)
        return output

    scheduler.__class__ = type(cls.__name__, (cls,), {"step": step, "__module__": cls.__module__})
