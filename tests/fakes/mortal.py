"""The real local backend, dying where ``gpu.deaths`` tells it to."""

from typing import Any

from backends.local import LocalBackend
from tests.fakes.gpu import DyingControl
from vidgen.backend import Control
from vidgen.cards import Card
from vidgen.types import RenderSpec


class MortalBackend(LocalBackend):
    provider = "mortal"

    def load(self, model: Card, mode: str, control: Control) -> None:
        super().load(model, mode, DyingControl(control))

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Any:
        return super().render(model, shot, DyingControl(control))
