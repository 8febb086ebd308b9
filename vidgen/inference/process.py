"""Placeholder while the inference process is written."""

from vidgen.backend import BackendConfig, Control
from vidgen.registry import Model
from vidgen.types import Clip, RenderSpec, Still


class Inference:
    def __init__(self, config: BackendConfig, cancel_grace_s: float):
        self._config = config

    def render(self, model: Model, spec: RenderSpec, control: Control) -> Clip | Still:
        return model.backend.render(model.card, spec, control)

    def close(self) -> None:
        pass
