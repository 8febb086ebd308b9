"""The ``[backend]`` table of a local model's card: which diffusers pipeline it is, and how it is loaded and called.

Says nothing of whether diffusers is installed; imports nothing heavy.
"""

from collections.abc import Set
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vidgen.cards import BrokenCard, Card

CLASS = r"^[A-Z][A-Za-z0-9]*$"
FAMILY = r"^[a-z][a-z0-9_]*$"
NAME_IN_CALL = r"^(scheduler\.|guider\.)?[A-Za-z_][A-Za-z0-9_]*$"

SAID_BY_SHOT = (
    "prompt", "negative_prompt", "image", "width", "height", "num_frames", "fps", "num_inference_steps",
)
"""What a shot says, by our names."""

OWN = ("generator", "output_type", "return_dict")
"""Arguments of a call that are the backend's business."""

Dtype = Literal["float16", "bfloat16", "float32"]
NameInCall = Annotated[str, Field(pattern=NAME_IN_CALL)]


class SchedulerTable(BaseModel):
    """``[backend.scheduler]``: a class in place of the released one; every other key overrides its configuration."""

    model_config = ConfigDict(extra="allow", frozen=True)

    class_name: str | None = Field(None, alias="class", pattern=CLASS)

    @property
    def overrides(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class MemoryTable(BaseModel):
    """``[backend.memory]``: what ``footprint`` reckons with, in GB of 2**30 bytes, at the card's defaults on a GPU."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    weights: dict[str, Annotated[float, Field(gt=0)]] = Field(min_length=1)     # of each network
    denoiser: str                           # which of them makes the denoising steps
    encode: float = Field(ge=0)             # activations while text and image are read
    denoise: float = Field(gt=0)            # of a step; of both branches of guidance where they are one batch
    mask: float = Field(0, ge=0)            # of that, what grows with the square of frames x width x height
    batched_guidance: bool = False          # whether those branches are one batch
    decode: float = Field(gt=0)             # of decoding all frames; where there is a chunk, for each of its frames
    chunk: str | None = None                # the parameter that says how many frames are decoded at once
    streamed: bool = False                  # frames are decoded a few at a time, however many there are

    @model_validator(mode="after")
    def _adds_up(self) -> "MemoryTable":
        if self.denoiser not in self.weights:
            raise ValueError(f"denoiser: there are no weights of {self.denoiser!r}")
        if self.mask > self.denoise:
            raise ValueError("mask: it is a part of denoise, and larger")
        return self


class Table(BaseModel):
    """The whole table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pipeline: str = Field(pattern=CLASS)                    # a class of diffusers
    image_pipeline: str | None = Field(None, pattern=CLASS)  # over the same components, for shots with an image
    family: str | None = Field(None, pattern=FAMILY)        # a module of backends.local.families
    dtype: Dtype = "float16"                                # on a GPU; a CPU computes in float32
    variant: str | None = None                              # of the weights' file names, such as fp16
    dtypes: dict[str, Dtype] = Field(default_factory=dict)  # of components that differ
    scheduler: SchedulerTable = SchedulerTable()
    arguments: dict[str, Any] = Field(default_factory=dict)  # constants of every call
    names: dict[str, NameInCall] = Field(default_factory=dict)  # ours -> the call's, or scheduler.KEY, or guider.KEY
    memory: MemoryTable | None = None                       # None: nothing is known but the card's [memory]

    @field_validator("family")
    @classmethod
    def _family_exists(cls, value: str | None) -> str | None:
        if value is not None and find_spec(f"backends.local.families.{value}") is None:
            raise ValueError(f"there is no family {value!r}")
        return value

    @property
    def pipelines(self) -> dict[str, str]:
        """The pipeline classes that the card names, by the field that names them."""
        named = {"pipeline": self.pipeline, "image_pipeline": self.image_pipeline}
        return {field: name for field, name in named.items() if name is not None}


def read_table(card: Card) -> Table:
    """The checked ``[backend]`` table of *card*.

    :raises BrokenCard: naming file, field and what was expected.
    """
    try:
        return Table(**card.backend)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(["backend", *map(str, first["loc"])])
        raise BrokenCard(f"{file_of(card)}: {where}: {first['msg']}") from e


def check_names(card: Card, table: Table) -> None:
    """Refuse names that would be without effect.

    :raises BrokenCard: naming file and field.
    """
    said = {table.names.get(name, name) for name in SAID_BY_SHOT if name != "negative_prompt"}
    own = {table.names.get(name, name) for name in card.parameters}
    for name in table.names.keys() - card.parameters.keys() - set(SAID_BY_SHOT):
        raise BrokenCard(f"{file_of(card)}: backend.names.{name}: neither a job nor this card has a {name!r}")
    for name in table.arguments.keys() & (said | own):
        raise BrokenCard(f"{file_of(card)}: backend.arguments.{name}: a job says that itself")
    for name in (table.arguments.keys() | own) & set(OWN):
        raise BrokenCard(f"{file_of(card)}: backend: {name!r} is the backend's own business")
    chunk = table.memory.chunk if table.memory else None
    if chunk is not None and (chunk not in card.parameters or card.parameters[chunk].type != "integer"):
        raise BrokenCard(f"{file_of(card)}: backend.memory.chunk: this card has no integer parameter {chunk!r}")


def check_classes(card: Card, table: Table, names: Set[str] | None) -> None:
    """Refuse a class that is not among *names*, which diffusers offers; nothing to refuse where it is not installed.

    :raises BrokenCard: naming file and field.
    """
    named = {f"backend.{field}": name for field, name in table.pipelines.items()}
    if table.scheduler.class_name is not None:
        named["backend.scheduler.class"] = table.scheduler.class_name
    for where, name in named.items():
        if names is not None and name not in names:
            raise BrokenCard(f"{file_of(card)}: {where}: diffusers has no class {name!r}")
        if not name.endswith("Scheduler" if where.endswith("class") else "Pipeline"):
            raise BrokenCard(f"{file_of(card)}: {where}: {name!r} is of another kind")


def file_of(card: Card) -> str:
    """What a message calls the card's file."""
    return card.source.name if card.source else card.id
