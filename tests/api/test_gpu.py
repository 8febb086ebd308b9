"""The routes of the device, and a server whose GPU fails while it runs."""

import os
import time

import pytest

from tests.api import check
from tests.fakes import nvml
from tests.fakes.nvml import GIB, gpu, process
from tests.server import Server, started

SHAPE = {
    "read_at": str, "device": {"kind", "index", "uuid", "name", "driver"}, "problem": (str, type(None)),
    "memory": {
        "total_bytes", "free_bytes", "reserve_bytes", "ours_bytes", "others_bytes", "spare_bytes", "shelf_bytes",
    },
    "processes": (list, type(None)), "temperature_c": (int, type(None)), "utilisation_percent": (int, type(None)),
    "power_w": (float, type(None)), "unknown": dict, "models": list, "paused": bool,
}
REFUSED = 2
NOTEBOOK = 4000


def read(server: Server) -> dict:
    """What the route says, after a look at its shape."""
    answer = server.get("/api/v1/gpu")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said.keys() == SHAPE.keys()
    for name, shape in SHAPE.items():
        assert said[name].keys() == shape if isinstance(shape, set) else isinstance(said[name], shape), name
    assert check.UTC.fullmatch(said["read_at"])
    return said


def busy() -> dict:
    return gpu(processes=[process(NOTEBOOK, 6 * GIB)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("nvml")


@pytest.fixture(scope="module")
def served(folder):
    """A server with a GPU that the tests describe."""
    environment = {name.lower(): value for name, value in nvml.install(folder, busy()).items()}
    with started(folder / "workspace", gpu_device="0", vram_reserve_mb=1024, **environment) as server:
        yield server


@pytest.fixture
def with_gpu(served, folder):
    yield served
    nvml.write(folder, busy())


def reason(server: Server) -> str:
    """Why a local model cannot run."""
    return server.get("/api/v1/models/local:svd-xt").json()["unavailable_reason"]


def test_a_gpu(with_gpu):
    said = read(with_gpu)
    assert said["device"] == {
        "kind": "cuda", "index": 0, "uuid": nvml.UUID, "name": "NVIDIA Fake 24GB", "driver": "580.95.05",
    }
    assert said["memory"] == {
        "total_bytes": 24 * GIB, "free_bytes": 24 * GIB - 6 * GIB - GIB // 2, "reserve_bytes": GIB, "ours_bytes": 0,
        "others_bytes": 6 * GIB, "spare_bytes": 0, "shelf_bytes": 0,
    }
    assert said["processes"] == [{"pid": NOTEBOOK, "used_bytes": 6 * GIB, "name": "python3", "ours": False}]
    assert (said["temperature_c"], said["utilisation_percent"], said["power_w"]) == (41, 7, 65.432)
    assert said["problem"] is None and said["unknown"] == {} and said["models"] == [] and said["paused"] is False
    assert "make weights" in reason(with_gpu)


def test_a_cpu_has_the_same_shape(tmp_path):
    with started(tmp_path / "workspace", gpu_device="cpu") as server:
        said = read(server)
        assert said["device"] == {"kind": "cpu", "index": None, "uuid": None, "name": None, "driver": None}
        assert 0 < said["memory"]["free_bytes"] < said["memory"]["total_bytes"]
        assert said["problem"] is None and said["processes"] == [] and said["temperature_c"] is None


def test_a_machine_without_a_gpu_says_so(tmp_path):
    environment = nvml.install(tmp_path, errors={"nvmlInit": "LIBRARY_NOT_FOUND"})
    with started(tmp_path / "workspace", **{name.lower(): value for name, value in environment.items()}) as server:
        said = read(server)
        assert said["device"]["kind"] == "cpu" and said["memory"]["free_bytes"]
        assert said["problem"] == "there is no NVIDIA GPU here, or its driver is not installed"
        assert reason(server) == f"{said['problem']}; GPU_DEVICE=cpu renders on the CPU, where a shot takes hours"
        assert server.get("/api/v1/health").json()["status"] == "healthy"


def test_the_queue_that_stands_still_is_shown(with_gpu):
    with_gpu.post("/api/v1/queue/pause")
    assert read(with_gpu)["paused"] is True
    with_gpu.post("/api/v1/queue/resume")
    assert read(with_gpu)["paused"] is False


@pytest.mark.parametrize(("errors", "words"), [
    ({"nvmlDeviceGetMemoryInfo": "GPU_IS_LOST"}, "the GPU is lost"),
    ({"nvmlInit": "LIB_RM_VERSION_MISMATCH", "nvmlDeviceGetMemoryInfo": "LIB_RM_VERSION_MISMATCH"}, "was updated"),
    ({"nvmlInit": "DRIVER_NOT_LOADED", "nvmlDeviceGetMemoryInfo": "DRIVER_NOT_LOADED"}, "driver is not loaded"),
    ({"nvmlDeviceGetMemoryInfo": "NO_PERMISSION"}, "may not ask"),
    ({"nvmlDeviceGetMemoryInfo": "UNKNOWN"}, "NVML's error UNKNOWN"),
])
def test_a_gpu_that_fails_while_the_server_runs_is_told_and_other_work_goes_on(with_gpu, folder, errors, words):
    assert read(with_gpu)["problem"] is None
    nvml.write(folder, busy(), errors=errors)
    said = read(with_gpu)
    assert words in said["problem"] and said["memory"]["free_bytes"] is said["processes"] is None
    assert said["device"]["uuid"] == nvml.UUID
    assert words in reason(with_gpu)
    refused = with_gpu.post("/api/v1/jobs", json={"user_prompt": "x", "model_id": "local:svd-xt"})
    assert words in check.error(refused, 503, "model_unavailable")
    with_gpu.wait(with_gpu.submit())
    assert with_gpu.get("/api/v1/health").json()["status"] == "healthy"
    nvml.write(folder, busy())
    assert read(with_gpu)["problem"] is None and "make weights" in reason(with_gpu)


def test_one_figure_that_is_not_known_is_said_by_name(with_gpu, folder):
    nvml.write(folder, busy(), errors={"nvmlDeviceGetComputeRunningProcesses": "NO_PERMISSION"})
    said = read(with_gpu)
    assert said["problem"] is said["processes"] is None and said["memory"]["free_bytes"]
    assert said["unknown"] == {"processes": "this user may not ask the NVIDIA driver"}


def test_a_driver_that_hangs_holds_nobody_up(with_gpu, folder):
    nvml.write(folder, busy(), hang="nvmlDeviceGetMemoryInfo")
    assert read(with_gpu)["problem"] == "the NVIDIA driver does not answer"
    assert with_gpu.get("/api/v1/health").json()["status"] == "healthy"
    assert "does not answer" in reason(with_gpu)
    with_gpu.wait(with_gpu.submit())
    nvml.write(folder, busy())
    deadline = time.monotonic() + 30
    while read(with_gpu)["problem"] is not None:
        assert time.monotonic() < deadline, "the driver answers, and nobody hears it"


def test_a_release_of_what_is_not_held_gives_nothing_back(with_gpu):
    answer = with_gpu.post("/api/v1/gpu/release")
    assert answer.status_code == 200
    assert answer.json() == {"released_bytes": 0, "models": [], "waits_for": None}


def test_other_ways_to_ask_are_refused(with_gpu):
    check.error(with_gpu.get("/api/v1/gpu/release"), 405, "method_not_allowed")
    check.error(with_gpu.get("/api/v1/gpu?verbose=1"), 400, "invalid_input", "verbose")


@pytest.mark.parametrize(("settings", "said"), [
    ({"gpu_device": "3"}, "GPU_DEVICE: there is no NVIDIA GPU '3' here; these are: 0: GPU-1111"),
    ({"gpu_device": "GPU-77"}, "GPU_DEVICE: there is no NVIDIA GPU 'GPU-77' here"),
    ({"gpu_device": "gtx"}, "GPU_DEVICE: String should match"),
    ({"vram_reserve_mb": 24 * 1024}, "VRAM_RESERVE_MB: 24576 MB are left to others, and NVIDIA Fake 24GB has 24576"),
    ({"vram_reserve_mb": -1}, "VRAM_RESERVE_MB"), ({"ram_cache_mb": 10**8}, "RAM_CACHE_MB: 100000000 MB are more"),
    ({"cancel_grace_s": 121}, "CANCEL_GRACE_S"),
])
def test_what_cannot_work_is_refused_at_the_start_by_name(tmp_path, settings, said):
    environment = {name.lower(): value for name, value in nvml.install(tmp_path, busy()).items()}
    server = Server(tmp_path / "workspace", **{**environment, **settings})
    assert server.wait_until_gone() == REFUSED
    assert said in server.log() and not os.path.exists(tmp_path / "workspace")
