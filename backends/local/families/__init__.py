"""Families of pipelines: what one of them needs beyond the generic way.

A family is a module beside this one, named by the card's ``backend.family``, that holds ``FAMILY``, an instance of a
subclass of :class:`Family`. A card that names none is driven by :class:`Family` itself, which suits any pipeline that
denoises with a scheduler and decodes inside its call. Nothing heavy is imported until a method runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vidgen.errors import StepFailed

if TYPE_CHECKING:
    from torch import Tensor

    from backends.local.account import Account
    from backends.local.watch import Watch


class Family:
    """The generic way. Subclasses override what differs; they keep no state."""

    def prepare(self, pipeline: Any) -> None:  # noqa: B027
        """Set up *pipeline*, which is new and serves one request. Its components are shared with later requests, so
        what is switched on in them here must be what every request wants.
        """

    def frames(
        self, pipeline: Any, arguments: Mapping[str, Any], watch: "Watch", account: "Account"
    ) -> Iterator["Tensor"]:
        """Run *pipeline*: the frames in order, in batches of [n, 3, height, width], values 0 to 1, on any device.

        Denoising reports itself through the scheduler; decoding by what *watch* hangs on the VAE, or by
        ``watch.step("decode", i, n)`` where the family decodes for itself.

        :param pipeline: new, for this request alone; its components are shared with later requests.
        :param arguments: of the call, by its own names: the card's constants, what the shot says, the card's
            parameters, the generator, the image (PIL, RGB, of the shot's size); all but ``output_type`` and
            ``return_dict``.
        :param account: for a family that changes something where the memory does not suffice. A network that runs out
            of it computes once more by itself, in a lower loading mode.
        """
        with watch.decoder(getattr(pipeline, "vae", None)):
            video, *more = pipeline(**arguments, output_type="pt", return_dict=False)
        _refuse_flagged(more)
        yield video[0] if video.ndim == 5 else video


def family(name: str | None) -> Family:
    """The family of this name; the generic one where *name* is None."""
    return Family() if name is None else import_module(f"{__name__}.{name}").FAMILY


def _refuse_flagged(more: Sequence[Any]) -> None:
    """What a pipeline returns beside its pictures: whether a safety checker has blacked some out.

    :raises StepFailed: it has; a black picture is no result.
    """
    if more and isinstance(more[0], list) and any(more[0]):
        raise StepFailed("the model's safety checker refused what it had made", retryable=False, code="refused")
