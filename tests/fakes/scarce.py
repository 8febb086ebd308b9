"""The real local backend, whose networks find no memory where ``gpu.plan_deaths`` says so, beneath all that knows how
to go on: ``load``, or a network by its call, counted from 1 in each render. Keeps the frames that reach the encoder, as
``JOB.npy`` beside the plan.
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from backends.local import LocalBackend
from tests.fakes.gpu import DEATHS, DyingControl
from vidgen.backend import Control
from vidgen.cards import Card
from vidgen.types import RenderSpec


class ScarceBackend(LocalBackend):
    """Of Stable Video Diffusion."""

    provider = "scarce"

    def load(self, model: Card, mode: str, control: Control) -> None:
        before = self._models.get(model.id)
        super().load(model, mode, DyingControl(control, model.name))
        if (loaded := self._models[model.id]) is not before:
            networks = loaded.networks()
            for name, part in {
                "image_encoder": networks["image_encoder"].visual_projection, "vae_encoder": networks["vae"].encoder,
                "unet": networks["unet"].conv_in, "vae_decoder": networks["vae"].decoder,
            }.items():
                part.register_forward_pre_hook(partial(self._meet, model.name, name))

    def render(self, model: Card, shot: RenderSpec, control: Control) -> Any:
        self._calls: dict[str, int] = {}
        self._control = control
        unfinished = super().render(model, shot, control)
        numpy.save(Path(os.environ[DEATHS]).with_name(f"{shot.job_id}.npy"), unfinished.args[0])
        return unfinished

    def _meet(self, model: str, part: str, *_: object) -> None:
        self._calls[part] = self._calls.get(part, 0) + 1
        DyingControl(self._control, model).meet(part, self._calls[part])
