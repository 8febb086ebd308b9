"""Model cards: what one model is, can do, needs and takes. A card is a TOML file.

A card is checked when it is read; :meth:`Card.resolve` then checks a job's request against it and fills what the
request leaves out. Knows nothing of how a model runs.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vidgen.errors import FieldError, InvalidInput
from vidgen.request import JobRequest
from vidgen.types import Effective

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$"


class BrokenCard(Exception):
    """A card cannot be used; the message names file, field and what was expected."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Capabilities(_Part):
    text_to_video: bool = False
    image_to_video: bool = False
    text_to_image: bool = False
    reads_text: bool = True                 # false: the shot's text reaches the model only through its keyframe
    negative_prompt: bool = False


class Range(_Part):
    """A number with bounds; legal values are ``min``, ``min + step``, … up to ``max``."""

    default: float
    min: float
    max: float
    step: float = 0                         # 0: any value between the bounds

    @model_validator(mode="after")
    def _default_is_legal(self) -> "Range":
        if not self.allows(self.default):
            raise ValueError(f"default {self.default:g} is not one of the values that min, max and step allow")
        return self

    def allows(self, value: float) -> bool:
        return math.isclose(self.nearest(value), value, abs_tol=1e-9)

    def nearest(self, value: float) -> float:
        """The legal value closest to *value*."""
        bounded = min(max(value, self.min), self.max)
        if not self.step:
            return bounded
        last = math.floor((self.max - self.min) / self.step)
        return self.min + self.step * min(math.floor((bounded - self.min) / self.step + 0.5), last)

    def complaint(self, value: float, of: str) -> str:
        rule = f" in steps of {self.step:g}" if self.step > 1 else ""
        return (
            f"{of} makes {self.min:g} to {self.max:g}{rule}, not {value:g}; "
            f"the nearest is {self.nearest(value):g}"
        )


class Parameter(_Part):
    """One parameter of the model's own."""

    type: Literal["integer", "number", "boolean", "string"]
    description: str
    default: Any = None
    min: float | None = None
    max: float | None = None
    choices: list[Any] | None = None
    max_length: int = 1_000
    testing: bool = False                   # taken only where the setting ALLOW_TEST_PARAMETERS is on

    @model_validator(mode="after")
    def _default_is_legal(self) -> "Parameter":
        if self.default is not None and (problem := self.problem(self.default)):
            raise ValueError(f"default {problem}")
        return self

    def problem(self, value: Any) -> str | None:
        """What is wrong with *value*, or None."""
        if not self._has_type(value):
            return f"must be {'an' if self.type == 'integer' else 'a'} {self.type}"
        if self.choices is not None and value not in self.choices:
            return f"must be one of {', '.join(map(str, self.choices))}"
        if self.type == "string" and len(value) > self.max_length:
            return f"must have at most {self.max_length} characters"
        if self.type in ("integer", "number"):
            if self.min is not None and value < self.min:
                return f"must be at least {self.min:g}"
            if self.max is not None and value > self.max:
                return f"must be at most {self.max:g}"
        return None

    def _has_type(self, value: Any) -> bool:
        if self.type == "boolean":
            return isinstance(value, bool)
        if self.type == "string":
            return isinstance(value, str)
        if isinstance(value, bool):
            return False
        if self.type == "integer":
            return isinstance(value, int)
        return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))

    def schema(self) -> dict[str, Any]:
        """The parameter as JSON Schema, for pages that draw a form."""
        named = {
            "type": self.type, "description": self.description, "default": self.default,
            "minimum": self.min, "maximum": self.max, "enum": self.choices,
        }
        return {key: value for key, value in named.items() if value is not None}


class Memory(_Part):
    vram_gb: float = 0.0                    # of the fastest mode
    ram_gb: float = 1.0
    vram_gb_by_mode: dict[str, float] = Field(default_factory=dict)


class Licence(_Part):
    name: str
    url: str | None = None


class Card(_Part):
    """One model, as its TOML file describes it."""

    provider: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$")
    name: str = Field(pattern=NAME)
    title: str
    description: str
    revision: str = "1"
    capabilities: Capabilities
    width: Range
    height: Range
    frames: Range | None = None             # video models
    fps: Range | None = None                # video models
    steps: Range | None = None              # None: the model has no num_inference_steps
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    memory: Memory = Memory()
    licence: Licence | None = None
    keyframe_model: str | None = None       # for image-to-video models that get no image
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
        problems = [*self._size_problems(request), *self._unsupported(request)]
        given, wrong = self.resolve_parameters(request.parameters, "parameters", testing=testing)
        problems += wrong
        if problems:
            raise InvalidInput(*problems)
        return Effective(
            width=int(request.width or self.width.default),
            height=int(request.height or self.height.default),
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

    def frames_for(self, seconds: float, fps: float) -> int:
        """The number of frames that comes nearest to *seconds* at *fps*; :meth:`Range.allows` has the rule."""
        return int(self.frames.nearest(round(seconds * fps))) if self.frames else 1

    def _size_problems(self, request: JobRequest) -> Iterator[FieldError]:
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
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BrokenCard(f"{path.name}: not readable as TOML: {e}") from e
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the card"
        raise BrokenCard(f"{path.name}: {where}: {first['msg']}") from e
