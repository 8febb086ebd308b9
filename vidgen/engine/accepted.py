"""A request that was found good: which models serve it, with what they will render, how it fits, what it costs."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vidgen.engine.forecast import Fit
from vidgen.engine.references import Reference
from vidgen.engine.specs import bare_spec
from vidgen.registry import Model
from vidgen.request import JobRequest
from vidgen.store.jobs import NewJob
from vidgen.types import Continuity, Effective, GenerationMode, Lane, RenderSpec


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that can be served, and how."""

    request: JobRequest
    model: Model
    keyframe_model: Model | None
    keyframe_parameters: Mapping[str, Any]
    effective: Effective
    reference: Reference | None
    fit: Fit = Fit()

    @property
    def generation_mode(self) -> GenerationMode:
        return GenerationMode.IMAGE_TO_VIDEO if self.reference else GenerationMode.TEXT_TO_VIDEO

    def new_job(self, idempotency_key: str | None) -> NewJob:
        return NewJob(
            id=f"job_{secrets.token_hex(8)}", request=self.request.model_dump(mode="json"), effective=self.effective,
            model_id=self.model.id, keyframe_model_id=self.keyframe_model.id if self.keyframe_model else None,
            keyframe_parameters=self.keyframe_parameters, upload_id=self.reference.id if self.reference else None,
            generation_mode=self.generation_mode, seed=self.effective.seed, priority=self.request.priority,
            idempotency_key=idempotency_key, idempotency_digest=digest(self.request) if idempotency_key else None,
            lane=self.model.backend.lane,
        )

    @property
    def num_shots(self) -> int:
        """How many there will be at most."""
        return len(self.request.storyboard.shots) if self.request.storyboard else self.request.max_shots

    def renders(self) -> Iterator[tuple[Model, RenderSpec]]:
        """What will be rendered, and by which model: keyframes, then shots. Their words, images and files are not known
        yet, and time, memory and price do not depend on them.
        """
        effective, adapt = self.effective, self.request.fit == "adapt"
        if (drawing := self.keyframe_model) is not None:
            size = drawing.card.nearest_size(effective.width, effective.height)
            steps = int(drawing.card.steps.default) if drawing.card.steps else None
            drawn = 1 if self.request.continuity is Continuity.CHAIN else self.num_shots
            yield from [(drawing, bare_spec(*size, 1, 1.0, steps, self.keyframe_parameters, adapt=adapt))] * drawn
        for frames in self._lengths():
            yield self.model, bare_spec(
                effective.width, effective.height, frames, effective.fps, effective.num_inference_steps,
                effective.parameters, adapt=adapt,
            )

    def said(self) -> dict[str, Any]:
        """As a dry run's answer has it."""
        fit = self.fit
        return {
            "model_id": self.model.id, "keyframe_model_id": self.keyframe_model.id if self.keyframe_model else None,
            "generation_mode": self.generation_mode, "num_shots": self.num_shots, "effective": asdict(self.effective),
            "fits": fit.fits, "fit_note": fit.reason, "mode": fit.mode, "peak_vram_bytes": fit.peak_bytes,
            "peak_vram_source": None if fit.peak_bytes is None else fit.source, "price_usd": self.price_usd(),
        }

    def price_usd(self) -> float | None:
        """What the job's hosted renders cost together, by their models' cards; None where one of them is not known."""
        prices = [
            model.backend.price_usd(model.card, spec) for model, spec in self.renders()
            if model.backend.lane is Lane.REMOTE
        ]
        return None if not prices or None in prices else round(sum(prices), 6)

    def _lengths(self) -> list[int]:
        """The number of frames of each shot."""
        effective, own = self.effective, self.request.storyboard
        seconds = [shot.duration_seconds for shot in own.shots] if own else [None] * self.num_shots
        return [self.model.card.frames_for(each, effective.fps) if each else effective.num_frames for each in seconds]


def digest(request: JobRequest) -> str:
    """What makes two requests the same, hashed."""
    return hashlib.sha256(json.dumps(request.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
