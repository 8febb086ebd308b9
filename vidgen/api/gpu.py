"""The device that local models run on: its memory, who holds it, and how to have ours back."""

from fastapi import APIRouter

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere, Slow
from vidgen.api.wire import errors
from vidgen.api.wire_gpu import GpuAnswer, ReleaseAnswer

router = APIRouter(prefix="/api/v1/gpu", tags=["GPU"], route_class=StrictRoute)


@router.get("", response_model=GpuAnswer, summary="Read the GPU, or RAM where the CPU renders", responses=errors())
def get_gpu(engine: EngineHere) -> GpuAnswer:
    return GpuAnswer.of(engine.gpu())


@router.post(
    "/release", response_model=ReleaseAnswer, responses=errors(408),
    summary="Give back all that is held on it; what renders now ends first",
)
async def release_gpu(engine: EngineHere, slow: Slow) -> ReleaseAnswer:
    """A job that runs is not stopped, and the next one loads its model again. `POST /api/v1/queue/pause` keeps the
    device free.
    """
    return ReleaseAnswer.of(await slow(engine.release_gpu))
