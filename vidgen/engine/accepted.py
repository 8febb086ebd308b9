"""A request that was found good: which models serve it, with what they will render, how it fits, what it costs."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from vidgen.engine.forecast import Fit
from vidgen.engine.references import Reference
from vidgen.engine.specs import bare_spec
from vidgen.engine.starts import Start
from vidgen.registry import Model
from vidgen.request import Asked, EditRequest, JobRequest
from vidgen.store.jobs import NewJob
from vidgen.types import Effective, GenerationMode, Job, Lane, RenderSpec, StepKind


@dataclass(frozen=True, slots=True)
class Posting:
    """A job as it is to be made, and where it comes from."""

    request: JobRequest
    parent: Job | None = None               # that it is a new version of
    fields: Sequence[str] | None = None     # where each of its shots stands in what the client sent
    reused: Mapping[StepKind, Sequence[int]] = field(default_factory=dict)  # what the parent seems to have made of it

    @property
    def shot_fields(self) -> Sequence[str]:
        own = self.request.storyboard.shots if self.request.storyboard else ()
        return [f"storyboard.shots.{index}" for index in range(len(own))] if self.fields is None else self.fields


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that can be served, and how."""

    posting: Posting
    model: Model
    keyframe_model: Model | None
    keyframe_parameters: Mapping[str, Any]
    effective: Effective
    reference: Reference | None
    starts: Sequence[Start]                 # of as many shots as there will be at most
    fit: Fit = Fit()

    @property
    def request(self) -> JobRequest:
        return self.posting.request

    @property
    def generation_mode(self) -> GenerationMode:
        from_text = {Start.TEXT, Start.DRAWN} & set(self.starts)
        return GenerationMode.TEXT_TO_VIDEO if from_text and not self.reference else GenerationMode.IMAGE_TO_VIDEO

    def new_job(self, idempotency_key: str | None = None, idempotency_digest: str | None = None) -> NewJob:
        parent = self.posting.parent
        return NewJob(
            id=f"job_{secrets.token_hex(8)}", request=self.request.model_dump(mode="json"), effective=self.effective,
            model_id=self.model.id, keyframe_model_id=self.keyframe_model.id if self.keyframe_model else None,
            keyframe_parameters=self.keyframe_parameters, upload_id=self.reference.id if self.reference else None,
            generation_mode=self.generation_mode, seed=self.effective.seed, priority=self.request.priority,
            idempotency_key=idempotency_key, idempotency_digest=idempotency_digest, lane=self.model.backend.lane,
            parent_id=parent.id if parent else None, root_id=(parent.root_id or parent.id) if parent else None,
            reused=self.posting.reused,
        )

    def renders(self) -> Iterator[tuple[Model, RenderSpec]]:
        """What will be rendered, and by which model: keyframes, then shots. Their words, images and files are not known
        yet, and time, memory and price do not depend on them.
        """
        effective, adapt = self.effective, self.request.fit == "adapt"
        if (drawing := self.keyframe_model) is not None:
            size = drawing.card.nearest_size(effective.width, effective.height)
            steps = int(drawing.card.steps.default) if drawing.card.steps else None
            drawn = self.starts.count(Start.DRAWN)
            yield from [(drawing, bare_spec(*size, 1, 1.0, steps, self.keyframe_parameters, adapt=adapt))] * drawn
        for frames, parameters in self._shots():
            yield self.model, bare_spec(
                effective.width, effective.height, frames, effective.fps, effective.num_inference_steps, parameters,
                adapt=adapt,
            )

    @property
    def kept_frames_bytes(self) -> int:
        """The room that the job's lossless frames take, where it keeps them: at most what they have raw."""
        frame = self.effective.width * self.effective.height * 3
        taken_over = self.posting.reused.get(StepKind.RENDER, ())
        lengths = [frames for index, (frames, _) in enumerate(self._shots()) if index not in taken_over]
        return frame * sum(lengths) if self.request.save_frames else 0

    def said(self) -> dict[str, Any]:
        """As a dry run's answer has it."""
        fit = self.fit
        return {
            "model_id": self.model.id, "keyframe_model_id": self.keyframe_model.id if self.keyframe_model else None,
            "generation_mode": self.generation_mode, "num_shots": len(self.starts), "effective": asdict(self.effective),
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

    def _shots(self) -> list[tuple[int, Mapping[str, Any]]]:
        """The number of frames and the parameters of each shot."""
        effective, own = self.effective, self.request.storyboard
        if own is None:
            return [(effective.num_frames, effective.parameters)] * len(self.starts)
        lengths = [
            self.model.card.frames_for(shot.duration_seconds, effective.fps) if shot.duration_seconds
            else effective.num_frames for shot in own.shots
        ]
        own_parameters = [{**effective.parameters, **shot.parameters} for shot in own.shots]
        return list(zip(lengths, own_parameters, strict=True))


def digest(asked: Asked | None, of: str = "") -> str:
    """What makes two calls the same, hashed.

    :param of: the route, and the job that it is about; nothing for a new job.
    """
    is_change = isinstance(asked, EditRequest)      # there, null is not the same as nothing
    said = asked.model_dump(mode="json", exclude_unset=is_change) if asked is not None else None
    return hashlib.sha256((of + json.dumps(said, sort_keys=True)).encode()).hexdigest()
