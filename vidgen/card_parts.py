"""The parts of a model card: what it can do, the numbers it takes, its own parameters, memory, licence, weights.

Each checks itself when a card is read, and a value of a job when one comes.
"""

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

REPOSITORY = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Capabilities(Part):
    text_to_video: bool = False
    image_to_video: bool = False
    text_to_image: bool = False
    reads_text: bool = True                 # false: the shot's text reaches the model only through its keyframe
    negative_prompt: bool = False


class Range(Part):
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


class Parameter(Part):
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


class Memory(Part):
    vram_gb: float = 0.0                    # of the fastest mode
    ram_gb: float = 1.0
    vram_gb_by_mode: dict[str, float] = Field(default_factory=dict)


class Licence(Part):
    name: str
    url: str | None = None


class Weights(Part):
    """Where a model's files come from, and which of them it needs."""

    repository: str = Field(pattern=REPOSITORY)             # owner/name on the hub
    revision: str = "main"                                  # the lock file keeps the commit that it was
    files: list[str] = Field(min_length=1)                  # patterns, as the hub's client reads them
    gated: bool = False                                     # the licence has to be accepted on the repository's page
    size_gb: float | None = None                            # of these files, for people
