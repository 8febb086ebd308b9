"""What the answers about the device look like. Bytes are of its memory: a GPU's, or RAM where the CPU renders."""

from pydantic import Field

from vidgen.api.errors import timestamp
from vidgen.api.wire import Answer, Time
from vidgen.engine.readings import Process, Reading
from vidgen.engine.vram import GpuView, LoadedModel, ReleaseView


class DeviceAnswer(Answer):
    kind: str = Field(json_schema_extra={"enum": ["cuda", "cpu"]})
    index: int | None = Field(description="As nvidia-smi counts")
    uuid: str | None
    name: str | None = Field(examples=["NVIDIA GeForce RTX 4090"])
    driver: str | None = Field(description="Its version", examples=["580.95.05"])

    @classmethod
    def of(cls, reading: Reading) -> "DeviceAnswer":
        return cls(
            kind=reading.kind, index=reading.index, uuid=reading.uuid, name=reading.name, driver=reading.driver
        )


class DeviceMemoryAnswer(Answer):
    """Null is unknown; nothing that is unknown is taken for free."""

    total_bytes: int | None
    free_bytes: int | None
    reserve_bytes: int = Field(description="Left to others (VRAM_RESERVE_MB)")
    ours_bytes: int | None = Field(description="All that the process holds which renders local models")
    others_bytes: int | None
    spare_bytes: int = Field(description="Held by that process and free for its next render")
    shelf_bytes: int = Field(description="RAM, for the weights of models that are not loaded (RAM_CACHE_MB)")

    @classmethod
    def of(cls, view: GpuView) -> "DeviceMemoryAnswer":
        reading, held = view.reading, view.held
        return cls(
            total_bytes=reading.total_bytes, free_bytes=reading.free_bytes, reserve_bytes=view.reserve_bytes,
            ours_bytes=reading.ours_bytes, others_bytes=reading.others_bytes, spare_bytes=held.spare_bytes,
            shelf_bytes=held.shelf_bytes,
        )


class ProcessAnswer(Answer):
    pid: int
    used_bytes: int | None
    name: str | None
    ours: bool

    @classmethod
    def of(cls, process: Process) -> "ProcessAnswer":
        return cls(pid=process.pid, used_bytes=process.used_bytes, name=process.name, ours=process.ours)


class LoadedModelAnswer(Answer):
    model_id: str = Field(examples=["local:svd-xt"])
    mode: str = Field(description="How it is loaded", examples=["whole"])
    resident_bytes: int
    source: str = Field(json_schema_extra={"enum": ["measured", "estimated"]}, description="Of `resident_bytes`")
    used_at: Time
    busy: bool

    @classmethod
    def of(cls, model: LoadedModel) -> "LoadedModelAnswer":
        return cls(
            model_id=model.model_id, mode=model.mode, resident_bytes=model.resident_bytes,
            source="measured" if model.measured else "estimated", used_at=timestamp(model.used_at), busy=model.busy,
        )


class GpuAnswer(Answer):
    """The device that local models run on, and what is on it."""

    read_at: Time
    device: DeviceAnswer
    problem: str | None = Field(description="Why it cannot be used now")
    memory: DeviceMemoryAnswer
    processes: list[ProcessAnswer] | None = Field(
        description="Who holds its memory, as far as that can be seen; of RAM only our own. Null where unknown"
    )
    temperature_c: int | None
    utilisation_percent: int | None
    power_w: float | None
    unknown: dict[str, str] = Field(description="Why a figure beside the memory is null, by the field's name")
    models: list[LoadedModelAnswer]
    paused: bool = Field(description="Whether the queue is")

    @classmethod
    def of(cls, view: GpuView) -> "GpuAnswer":
        reading, seen = view.reading, view.reading.processes
        return cls(
            read_at=timestamp(reading.at), device=DeviceAnswer.of(reading), problem=reading.problem,
            memory=DeviceMemoryAnswer.of(view),
            processes=None if seen is None else [ProcessAnswer.of(process) for process in seen],
            temperature_c=reading.temperature_c, utilisation_percent=reading.utilisation_percent,
            power_w=reading.power_w, unknown=dict(reading.unknown),
            models=[LoadedModelAnswer.of(model) for model in view.models], paused=view.paused,
        )


class ReleaseAnswer(Answer):
    released_bytes: int | None = Field(description="Null where it is not known, or not over yet")
    models: list[str] = Field(description="Those that were loaded")
    waits_for: str | None = Field(description="What has to end before the rest is given back")

    @classmethod
    def of(cls, view: ReleaseView) -> "ReleaseAnswer":
        return cls(released_bytes=view.released_bytes, models=view.models, waits_for=view.waits_for)
