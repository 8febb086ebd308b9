"""The local backend in a process of its own, without a server: models loaded, unloaded and rendered as they are told.

    python -m scripts.gpureport.alone '{"cards": ["a.toml"], "weights": "weights", "device": "auto", …}'
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backends.local import LocalBackend
from scripts.bench.lines import answer, orders
from vidgen.backend import BackendConfig
from vidgen.cards import Card, read_card
from vidgen.types import CameraMove, RenderSpec


class Silent:
    """A control that nobody listens to."""

    kept: Mapping[str, Any] = {}

    def step(self, phase: str, i: int, n: int, preview: Any = None) -> None:
        """There is nobody to tell."""

    def check(self) -> None:
        """Nobody cancels."""

    def alive(self) -> None:
        """Nobody waits."""

    def keep(self, facts: Mapping[str, Any]) -> None:
        """There is no later attempt."""

    def note(self, code: str, message: str) -> None:
        print(f"{code}: {message}", file=sys.stderr)


class Alone:
    """What can be asked of it; each answers with the seconds that it took."""

    def __init__(self, cards: list[str], weights: str, device: str, ram_cache_bytes: int, image: str):
        self._cards = {card.name: card for card in map(read_card, map(Path, cards))}
        self._backend = LocalBackend(BackendConfig(Path(weights), device=device, ram_cache_bytes=ram_cache_bytes))
        self._image = Path(image)
        self._device = device

    def start(self) -> list[str]:
        """What a first load would bring with it; the modes that the first model has here."""
        import diffusers  # noqa: F401
        import torch

        if self._device != "cpu":
            torch.zeros(1, device="cuda")
        return list(self._backend.modes(next(iter(self._cards.values()))))

    def load(self, card: str, mode: str) -> dict[str, Any]:
        began = time.monotonic()
        self._backend.load(self._cards[card], mode, Silent())
        self._settle()
        return {"seconds": time.monotonic() - began}

    def unload(self, card: str, keep: bool) -> dict[str, Any]:
        began = time.monotonic()
        self._backend.unload(self._cards[card], keep=keep)
        self._settle()
        return {"seconds": time.monotonic() - began, "kept_bytes": self._backend.held().shelf_bytes}

    def render(self, card: str, mode: str, size: list[int], steps: int, seed: int) -> dict[str, Any]:
        shot = self._shot(self._cards[card], size, steps, seed)
        made = self._backend.render(self._cards[card], shot, Silent())
        _, measured, how = made.args[:3]
        forecast = self._backend.footprint(self._cards[card], shot, mode)
        return {"measured": measured, "made": how, "forecast": forecast.peak_bytes, **self._peaks()}

    def _shot(self, card: Card, size: list[int], steps: int, seed: int) -> RenderSpec:
        return RenderSpec(
            job_id="job_1", shot_id="shot_001", index=0, num_shots=1, prompt="a lighthouse", caption="a lighthouse",
            camera_move=CameraMove.STATIC, seed=seed, width=size[0], height=size[1],
            num_frames=int(card.frames.default), fps=card.fps.default, num_inference_steps=steps, negative_prompt=None,
            parameters={name: p.default for name, p in card.parameters.items() if p.default is not None}, style={},
            image=self._image, focus=(0.5, 0.5), output=Path("unused.mp4"),
        )

    def _peaks(self) -> dict[str, int]:
        if self._device == "cpu":
            return {"resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        import torch

        return {"reserved_bytes": torch.cuda.max_memory_reserved(), "tensor_bytes": torch.cuda.max_memory_allocated()}

    def _settle(self) -> None:
        if self._device != "cpu":
            import torch

            torch.cuda.synchronize()


def main(**said: Any) -> None:
    alone = Alone(**said)
    answer(alone.start())
    for order in orders():
        answer(getattr(alone, order.pop("do"))(**order))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
