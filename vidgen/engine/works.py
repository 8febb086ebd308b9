"""How the engine's parts are put together: the device and its lane, forecasts, the queue, the steps, the lanes."""

from dataclasses import replace

from vidgen.engine.control import StepControl
from vidgen.engine.device import Device
from vidgen.engine.door import Door
from vidgen.engine.ends import Ends
from vidgen.engine.fitting import Fitting
from vidgen.engine.footprints import Footprints
from vidgen.engine.forecast import Forecasts
from vidgen.engine.gpu import GpuLane
from vidgen.engine.intake import Intake
from vidgen.engine.lanes import Lanes
from vidgen.engine.leftovers import Leftovers
from vidgen.engine.lookup import Lookup
from vidgen.engine.order import Policy
from vidgen.engine.outlook import Outlook
from vidgen.engine.planning.planner import Planner
from vidgen.engine.posts import Posts
from vidgen.engine.previews import Previews
from vidgen.engine.publish import Publisher
from vidgen.engine.queue import Queue
from vidgen.engine.references import References
from vidgen.engine.reuse import Reuse
from vidgen.engine.sheets import Sheets
from vidgen.engine.shots import Shots
from vidgen.engine.steps import Steps
from vidgen.engine.vram import Vram
from vidgen.errors import NotFound
from vidgen.inference.lane import Inference
from vidgen.media.files import Workspace
from vidgen.ram import MIB
from vidgen.registry import Registry, config_of
from vidgen.settings import Settings
from vidgen.store.database import Database
from vidgen.types import Lane, Step


class Works:
    """The parts, each made once. Nothing runs until ``lanes.start``."""

    def __init__(
        self, settings: Settings, registry: Registry, workspace: Workspace, database: Database, vram: Vram
    ):
        self._settings = settings
        self._registry = registry
        self._workspace = workspace
        self._database = database
        self._widths = _widths(registry, settings.max_concurrent_jobs)
        self.previews = Previews(database, workspace)
        self.planner = Planner(settings)
        self.references = References(database, workspace)
        self.sheets = Sheets(workspace, settings.ffmpeg_timeout_s)
        self.leftovers = Leftovers(database, registry, workspace)
        policy = Policy(settings.swap_patience_s, settings.memory_wait_s)
        self._add_device(vram, policy)
        self._add_forecasts(vram)
        self.queue = Queue(database, Door(settings.max_concurrent_jobs, self._costs_no_swap, policy))
        self.intake = Intake(
            database, registry, workspace, self.references, settings, self.queue.admit, self.outlook, self.fitting.fit
        )
        self.posts = Posts(self.intake, self.lookup, registry)
        self._add_lanes()

    def _add_device(self, vram: Vram, policy: Policy) -> None:
        settings = self._settings
        config = replace(config_of(settings), device=vram.visible())
        self.inference = Inference(config, settings.cancel_grace_s, settings.log_level, settings.log_format)
        footprints = Footprints(vram.name())
        self._database.read(footprints.read)
        self.device = Device(vram, self.inference, footprints, settings.vram_reserve_mb * MIB)
        self.fitting = Fitting(self.device, footprints, self._registry)
        self.gpu = GpuLane(
            self._database, self._registry, self.inference, self.device, footprints, policy,
            settings.model_keep_alive_s,
        )

    def _add_forecasts(self, vram: Vram) -> None:
        self._forecasts = Forecasts(self._registry, self._widths, vram.name(), self.device.is_loaded)
        self._database.read(self._forecasts.read)
        self.outlook = Outlook(self._database, self._forecasts, self._widths, lambda: self.queue.paused)
        self.lookup = Lookup(self._database, self.outlook)

    def _add_lanes(self) -> None:
        publisher = Publisher(self._database, self._workspace)
        shots = Shots(
            self._database, self._registry, self._workspace, self.references, self.gpu, self._forecasts, publisher,
            self._settings, lambda: self.lanes.run_inside(Lane.GPU, self.gpu.claim_inside),
        )
        self.steps = Steps(
            self._database, self._registry, self._workspace, self.references, self.planner,
            Reuse(self._database, self._workspace, self.references, self._settings), shots, publisher,
            self._forecasts, self._settings,
        )
        self.lanes = Lanes(
            self._database, self._widths, {Lane.GPU: self.gpu.claim}, self.steps.run, self._control,
            self.queue.admit, lambda job_id: self.leftovers.end([job_id]),
        )
        self.ends = Ends(
            self._database, self._workspace, self.queue, self.lanes, self.leftovers, self._settings.cancel_grace_s
        )

    def _control(self, step: Step) -> StepControl:
        return StepControl(
            step, self._database, self._settings.stall_s, self.previews.show, self.outlook.clock(step),
            lambda: self.outlook.eta_s(step.job_id),
        )

    def _costs_no_swap(self, model_id: str) -> bool:
        """Whether a job that begins with this model can begin without another one leaving the device."""
        try:
            backend = self._registry.model(model_id).backend
        except NotFound:
            return True                     # its model is gone: whoever runs its steps says so
        return backend is None or backend.lane is not Lane.GPU or self.device.is_loaded(model_id)


def _widths(registry: Registry, many: int) -> dict[Lane, int]:
    """How many threads each lane has: the GPU lane one, always."""
    widths = {lane: 1 if lane is Lane.GPU else many for lane in registry.lanes()}
    return widths | {Lane.PLANNER: many, Lane.ASSEMBLER: 1}
