"""The Replicate backend: hosted models, through Replicate's own SDK.

Any card with ``provider = "replicate"`` works; ``table`` says how one is written. What a render does stands in ``run``
and the modules below it, imported when something is rendered.
"""

from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

from backends.replicate.held import Held
from backends.replicate.promises import read_table
from backends.replicate.table import Table
from backends.replicate.waiting import USUAL, Pace
from vidgen.backend import AVAILABLE, Availability, Backend, BackendConfig, Control
from vidgen.cards import Card
from vidgen.errors import StepFailed
from vidgen.types import Clip, Lane, RenderSpec, Still

if TYPE_CHECKING:
    from pathlib import Path

    from backends.replicate.service import Prediction

NO_TOKEN = "REPLICATE_API_TOKEN is not set; a token is made at https://replicate.com/account/api-tokens"


class ReplicateBackend(Backend):
    """Renders at Replicate; needs a token and costs money there.

    :param pace: how patient renders are, where that is not the usual.
    """

    provider: ClassVar[str] = "replicate"
    lane: ClassVar[Lane] = Lane.REMOTE

    def __init__(self, config: BackendConfig, pace: Pace = USUAL):
        super().__init__(config)
        self._pace = pace
        self._held = Held()

    def check(self, model: Card) -> None:
        read_table(model)

    def availability(self, model: Card) -> Availability:
        return AVAILABLE if self.config.tokens.get(self.provider) else Availability(False, NO_TOKEN)

    def revision(self, model: Card) -> str:
        """The version of a community model; an official model has no versions, only a name."""
        table = read_table(model)
        return table.version or table.model

    def abandon(self, model: Card, kept: Mapping[str, Any]) -> None:
        """Cancel the prediction whose id was kept, where there is one."""
        from backends.replicate.ledger import read_entry
        from backends.replicate.service import Service

        token, base_url = self.config.tokens.get(self.provider), self.config.base_urls.get(self.provider)
        prediction = read_entry(kept).prediction
        if token and prediction:
            with closing(Service(token, base_url)) as service:
                service.insist_on_cancel(prediction)

    def price_usd(self, model: Card, shot: RenderSpec) -> float | None:
        """By the card's price, where that does not depend on how long the model itself takes."""
        seconds = shot.num_frames / shot.fps if model.makes_video else 0.0
        return read_table(model).cost_usd(None, seconds)

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Clip | Still:
        """Have *shot* made at Replicate, and bring it here.

        ``measured``: ``predict_seconds`` and ``queue_seconds`` as Replicate says them, and ``cost_usd``, which is an
        estimate by the card's price.

        :raises Stopped: as ``control`` raised it. A cancel has been passed on to Replicate by then.
        :raises StepFailed: with ``retryable`` false where another attempt could only cost again.
        """
        from vidgen.media.files import temporary_beside

        _note_seed(model, read_table(model), shot, control)
        file = temporary_beside(shot.output)
        try:
            prediction = self._predict(model, shot, control, file)
            return self._bring_home(model, shot, control, file, prediction)
        finally:
            file.unlink(missing_ok=True)

    def _predict(self, model: Card, shot: RenderSpec, control: Control, file: "Path") -> "Prediction":
        """A prediction that has succeeded; its output is in *file*."""
        from backends.replicate.line import Line
        from backends.replicate.run import Run
        from backends.replicate.service import Service
        from backends.replicate.settle import Settle

        token, base_url = self.config.tokens.get(self.provider), self.config.base_urls.get(self.provider)
        if not token:
            raise StepFailed(NO_TOKEN, retryable=False, code="no_token")
        line = Line(control, self._pace)
        with closing(Service(token, base_url)) as service:
            settle = Settle(read_table(model), shot, service, line, self._held)
            return Run(model.id, service, settle, line).output(file, base_url)

    def _bring_home(
        self, model: Card, shot: RenderSpec, control: Control, file: "Path", prediction: "Prediction"
    ) -> Clip | Still:
        from backends.replicate.outcome import make_clip, make_still, measured

        table = read_table(model)
        if not model.makes_video:
            still = make_still(file, shot)
            return Still(shot.output, still.width, still.height, measured(table, prediction, 0.0))
        clip = make_clip(file, shot, self.config, control.alive)
        said = measured(table, prediction, clip.duration_seconds)
        return Clip(shot.output, clip.width, clip.height, clip.num_frames, clip.fps, said)


def _note_seed(model: Card, table: Table, shot: RenderSpec, control: Control) -> None:
    """A seed without effect is not passed over in silence."""
    if "seed" not in table.asked.values() and shot.attempt == 1 and shot.index == 0:
        control.note("no_seed", f"{model.id} takes no seed: the same request gives another result each time")
