"""Model cards: what one model is, can do, needs and takes. A card is a TOML file.

A card is checked when it is read; :meth:`Card.resolve` then checks a job's request against it and fills what the
request leaves out. Knows nothing of how a model runs.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from vidgen.card_parts import Capabilities, Licence, Memory, Parameter, Part, Range, Weights
from vidgen.errors import FieldError, InvalidInput
from vidgen.request import JobRequest
from vidgen.types import Effective

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$"


class BrokenCard(Exception):
    """A card cannot be used; the message names file, field and what was expected."""


class Speed(Part):
    """How quick a model is, where that is known before it has run here; of one render with the card's defaults."""

    seconds: float = Field(gt=0)            # with the model loaded
    on: str                                 # the device that the figure is for, as people name it


class Card(Part):
    """One model, as its TOML file describes it."""

    provider: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")
    name: str = Field(pattern=NAME)
    title: str
    description: str
    revision: str = "1"
    capabilities: Capabilities
    width: Range
    height: Range
    sizes: list[tuple[int, int]] | None = None              # width and height, where not every pair of them is made
    frames: Range | None = None             # video models
    fps: Range | None = None                # video models
    steps: Range | None = None              # None: the model has no num_inference_steps
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    memory: Memory = Memory()
    speed: Speed | None = None              # of models whose speed somebody has published, or measured
    licence: Licence | None = None
    weights: Weights | None = None          # models that run here
    keyframe_model: str | None = None       # draws a shot's first image, where one is needed or asked for
    preference: int = 0                     # among models of one provider, the higher is the default
    backend: dict[str, Any] = Field(default_factory=dict)   # the backend's own business
    source: Path | None = None              # the file, set by read_card

    @field_validator("parameters")
    @classmethod
    def _names_are_free(cls, value: dict[str, Parameter]) -> dict[str, Parameter]:
        for name in value:
            if name in JobRequest.model_fields:
                raise ValueError(f"{name!r} is a field of every job and cannot be a parameter")
        return value

    @model_validator(mode="after")
    def _video_models_have_frames(self) -> "Card":
        if self.makes_video and (self.frames is None or self.fps is None):
            raise ValueError("a video model needs [frames] and [fps]")
        if not (self.makes_video or self.capabilities.text_to_image):
            raise ValueError("capabilities: at least one must be true")
        return self

    @model_validator(mode="after")
    def _sizes_are_in_range(self) -> "Card":
        for width, height in self.sizes or ():
            if not (self.width.allows(width) and self.height.allows(height)):
                raise ValueError(f"sizes: {width} x {height} is outside of [width] and [height]")
        if self.sizes and (int(self.width.default), int(self.height.default)) not in self.sizes:
            raise ValueError("sizes: the defaults of [width] and [height] are not among them")
        return self

    @property
    def id(self) -> str:
        return f"{self.provider}:{self.name}"

    @property
    def makes_video(self) -> bool:
        return self.capabilities.text_to_video or self.capabilities.image_to_video

    def resolve(self, request: JobRequest, seed: int, *, testing: bool = False) -> Effective:
        """What a job on this model really renders with.

        :param testing: whether parameters marked ``testing`` are taken.
        :raises InvalidInput: naming every field that this model cannot do, with the nearest that it can.
        """
        width, height = self.size_of(request)
        problems = [*self._range_problems(request), *self._unsupported(request)] or [*self._size_problems(request)]
        given, wrong = self.resolve_parameters(request.parameters, "parameters", testing=testing)
        problems += wrong
        if problems:
            raise InvalidInput(*problems)
        return Effective(
            width=width,
            height=height,
            num_frames=int(request.num_frames or (self.frames.default if self.frames else 1)),
            fps=float(request.fps or (self.fps.default if self.fps else 1)),
            num_inference_steps=int(request.num_inference_steps or self.steps.default) if self.steps else None,
            negative_prompt=request.negative_prompt,
            seed=seed,
            parameters=given,
        )

    def resolve_parameters(
        self, given: Mapping[str, Any], field: str, *, testing: bool = False
    ) -> tuple[dict[str, Any], list[FieldError]]:
        """*given* with the card's defaults filled in, and what is wrong with it."""
        takes = {name: p for name, p in self.parameters.items() if testing or not p.testing}
        problems = [
            FieldError(f"{field}.{name}", f"{self.id} takes no such parameter; it takes {_listed(takes)}")
            for name in given if name not in takes
        ]
        for name, parameter in takes.items():
            if name in given and (problem := parameter.problem(given[name])):
                problems.append(FieldError(f"{field}.{name}", problem))
        filled = {
            name: given.get(name, parameter.default) for name, parameter in takes.items()
            if name in given or parameter.default is not None
        }
        return filled, problems

    def size_of(self, request: JobRequest) -> tuple[int, int]:
        """Width and height in pixels; where one is asked for, the other is the one that the model makes with it."""
        for width, height in self.sizes or ():
            if request.width in (width, None) and request.height in (height, None) and (
                request.width or request.height
            ):
                return width, height
        return int(request.width or self.width.default), int(request.height or self.height.default)

    def nearest_size(self, width: float, height: float) -> tuple[int, int]:
        """The size that the model makes whose shape, then whose area, is closest to *width* × *height* pixels."""
        if self.sizes is None:
            scale = min(1, self.width.max / width, self.height.max / height)
            return int(self.width.nearest(width * scale)), int(self.height.nearest(height * scale))
        return min(self.sizes, key=lambda size: (
            round(abs(math.log(size[0] / size[1] * height / width)), 2), abs(size[0] * size[1] - width * height),
        ))

    def frames_for(self, seconds: float, fps: float) -> int:
        """The number of frames that comes nearest to *seconds* at *fps*; :meth:`Range.allows` has the rule."""
        return int(self.frames.nearest(round(seconds * fps))) if self.frames else 1

    def _range_problems(self, request: JobRequest) -> Iterator[FieldError]:
        asked = (
            ("width", request.width, self.width), ("height", request.height, self.height),
            ("num_frames", request.num_frames, self.frames), ("fps", request.fps, self.fps),
            ("num_inference_steps", request.num_inference_steps, self.steps),
        )
        for field, value, rule in asked:
            if value is None:
                continue
            if rule is None:
                yield FieldError(field, f"{self.id} does not take it")
            elif not rule.allows(value):
                yield FieldError(field, rule.complaint(value, self.id))

    def _size_problems(self, request: JobRequest) -> Iterator[FieldError]:
        size = self.size_of(request)
        if self.sizes is not None and size not in self.sizes:
            made = ", ".join(f"{width} x {height}" for width, height in self.sizes)
            nearest = "{} x {}".format(*self.nearest_size(*size))
            said = f"{self.id} makes {made}, not {size[0]} x {size[1]}; the nearest is {nearest}"
            yield FieldError("width" if request.width else "height", said)

    def _unsupported(self, request: JobRequest) -> Iterator[FieldError]:
        if request.negative_prompt and not self.capabilities.negative_prompt:
            yield FieldError("negative_prompt", f"{self.id} does not take it")
        if request.reference_image and not self.capabilities.image_to_video:
            yield FieldError("reference_image", f"{self.id} takes no image")


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"


def read_card(path: Path) -> Card:
    """Read and check one card.

    :raises BrokenCard: naming the file, the field and what was expected.
    """
    try:
        return Card(**{**tomllib.loads(path.read_text("utf-8")), "source": path})
    except OSError as e:
        raise BrokenCard(f"{path.name}: cannot be read: {e.strerror}") from e
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BrokenCard(f"{path.name}: not readable as TOML: {e}") from e
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the card"
        raise BrokenCard(f"{path.name}: {where}: {first['msg']}") from e
