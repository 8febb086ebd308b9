"""Reading the device: every figure, every error of NVML, every way to name a card."""

import inspect
import itertools
import os
import re
import threading
from importlib import import_module

import pynvml
import pytest

from tests.fakes import nvml
from tests.fakes.nvml import GIB, gpu, process
from vidgen.engine import nvml as session
from vidgen.engine.readings import Reading
from vidgen.engine.vram import Vram
from vidgen.ram import ram

ERRORS = sorted(name.removeprefix("NVML_ERROR_") for name in dir(pynvml) if name.startswith("NVML_ERROR_"))
FUNCTIONS = [
    "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetUUID", "nvmlDeviceGetName",
    "nvmlSystemGetDriverVersion", "nvmlDeviceGetMaxMigDeviceCount", "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses", "nvmlSystemGetProcessName", "nvmlDeviceGetTemperature",
    "nvmlDeviceGetUtilizationRates", "nvmlDeviceGetPowerUsage",
]
"""All that is called, but for the two on which everything depends."""

NOTEBOOK, CHILD, DESKTOP = 4000, 5000, 800
SECOND = "GPU-22222222-aaaa-bbbb-cccc-000000000002"


def busy(**more) -> dict:
    """A card with a notebook of 6 GiB, our child with 4, and a desktop that computes and draws."""
    return gpu(processes=[
        process(NOTEBOOK, 6 * GIB), process(CHILD, 4 * GIB, "python"),
        process(DESKTOP, GIB, "/usr/lib/xorg/Xorg -core", "compute graphics"),
    ], **more)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """What the developer's own shell says of CUDA is no part of a test."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def install(monkeypatch, tmp_path):
    def install(*gpus: dict, **said) -> None:
        nvml.install_here(monkeypatch, tmp_path, *gpus, **said)

    return install


@pytest.fixture
def write(tmp_path):
    return lambda *gpus, **said: nvml.write(tmp_path, *gpus, **said)


def blind(reading: Reading) -> bool:
    """Whether nothing is known to be free, and why is said in words of ours."""
    assert reading.problem and "text of the library" not in reading.problem
    figures = (reading.free_bytes, reading.ours_bytes, reading.others_bytes, reading.processes, reading.temperature_c)
    return reading.kind == "cuda" and set(figures) == {None}


# the fake


def test_the_fake_has_what_the_real_one_has(install):
    install(gpu())
    fake = import_module("pynvml")
    used = set(re.findall(r"\b(?:nvml|_pynvml\(\))\.(\w+)|\"(nvmlDevice\w+)\"", inspect.getsource(session)))
    assert used
    for name in {a or b for a, b in used}:
        assert hasattr(pynvml, name) and hasattr(fake, name), name
    for name in ERRORS:
        assert getattr(fake, f"NVML_ERROR_{name}") == getattr(pynvml, f"NVML_ERROR_{name}"), name


# figures


def test_all_figures_of_a_card(install):
    install(busy())
    reading = Vram("auto").read([CHILD])
    assert (reading.kind, reading.index, reading.uuid) == ("cuda", 0, nvml.UUID)
    assert (reading.name, reading.driver) == ("NVIDIA Fake 24GB", "580.95.05")
    assert (reading.total_bytes, reading.free_bytes) == (24 * GIB, 24 * GIB - 11 * GIB - GIB // 2)
    assert (reading.ours_bytes, reading.others_bytes) == (4 * GIB, 7 * GIB)
    assert [(p.pid, p.used_bytes, p.name, p.ours) for p in reading.processes] == [
        (DESKTOP, GIB, "Xorg", False), (NOTEBOOK, 6 * GIB, "python3", False), (CHILD, 4 * GIB, "python", True),
    ]
    assert (reading.temperature_c, reading.utilisation_percent, reading.power_w) == (41, 7, 65.432)
    assert reading.problem is None and reading.unknown == {} and not reading.absent


def test_a_driver_that_knows_the_old_figures_alone_says_the_same_of_what_is_free(install, monkeypatch):
    install(busy())
    fake = import_module("pynvml")
    new, plain = Vram("auto").read([CHILD]), fake.nvmlDeviceGetMemoryInfo

    def old(handle, version=None):
        if version is not None:
            raise fake.NVMLError(fake.NVML_ERROR_FUNCTION_NOT_FOUND)
        return plain(handle)

    monkeypatch.setattr(fake, "nvmlDeviceGetMemoryInfo", old)
    reading = Vram("auto").read([CHILD])
    assert reading.free_bytes == new.free_bytes and reading.problem is None
    assert reading.others_bytes == new.others_bytes + GIB // 2      # what the driver keeps for itself is not ours


@pytest.mark.parametrize("unknown", [None, 2**64 - 1])
def test_a_process_of_which_nothing_is_known_makes_the_sum_unknown(install, unknown):
    install(gpu(processes=[process(CHILD, unknown), process(NOTEBOOK, 2 * GIB)], total=2**66, reserved=0))
    reading = Vram("auto").read([CHILD])
    assert [p.used_bytes for p in reading.processes] == [2 * GIB, None]
    assert reading.ours_bytes is None and reading.others_bytes is None and reading.free_bytes is not None


def test_a_process_of_ours_that_is_not_listed_holds_nothing_only_where_all_are_seen(install):
    """In a container NVML may list none."""
    install(busy())
    contained = os.stat("/proc/self/ns/pid").st_ino != 4_026_531_836
    assert Vram("auto").read([1]).ours_bytes == (None if contained else 0)
    assert Vram("auto").read().ours_bytes == 0


@pytest.mark.parametrize("memory", [{"total": 0, "reserved": 0}, {"total": GIB, "reserved": 2 * GIB}])
def test_figures_that_cannot_be_are_not_believed(install, memory):
    install(gpu(**memory))
    assert blind(Vram("auto").read())


# errors


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_on_starting_nvml(install, write, error):
    install(gpu(), errors={"nvmlInit": error})
    vram = Vram("0")
    assert blind(vram.read()) and vram.problem() and vram.visible() == "0"
    write(gpu())
    assert vram.read().free_bytes and vram.problem() is None and vram.visible() == nvml.UUID


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_on_reading_the_memory(install, write, error):
    install(busy())
    vram = Vram("auto")
    assert vram.read().free_bytes
    write(busy(), errors={"nvmlDeviceGetMemoryInfo": error})
    reading = vram.read()
    assert blind(reading) and (reading.uuid, reading.total_bytes) == (nvml.UUID, 24 * GIB)
    write(busy())
    assert vram.read().free_bytes and vram.problem() is None


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_error_of_every_other_call(install, write, function):
    """Those that concern the device make all of it unknown; the others leave their own figure so, and say why."""
    for error, device in itertools.product(ERRORS, ("auto", nvml.UUID[:12])):
        install(busy(), errors={function: error})
        vram = Vram(device)
        reading = vram.read([CHILD])
        assert reading.free_bytes or blind(reading), error
        if reading.problem is None:
            for figure in ("temperature_c", "utilisation_percent", "power_w", "processes"):
                assert getattr(reading, figure) is not None or reading.unknown[figure], error
        write(busy())
        assert vram.read().free_bytes, error


@pytest.mark.parametrize(("function", "figure"), [
    ("nvmlDeviceGetTemperature", "temperature_c"), ("nvmlDeviceGetUtilizationRates", "utilisation_percent"),
    ("nvmlDeviceGetPowerUsage", "power_w"), ("nvmlDeviceGetComputeRunningProcesses", "processes"),
])
def test_one_figure_that_cannot_be_read_leaves_the_others(install, function, figure):
    install(busy(), errors={function: "NO_PERMISSION"})
    reading = Vram("auto").read([CHILD])
    assert reading.problem is None and reading.free_bytes and getattr(reading, figure) is None
    assert reading.unknown == {figure: "this user may not ask the NVIDIA driver"}


def test_a_gpu_that_is_lost_while_it_is_read_is_free_of_nothing(install):
    install(busy(), errors={"nvmlDeviceGetPowerUsage": "GPU_IS_LOST"})
    assert blind(Vram("auto").read())


def test_after_an_error_nvml_is_begun_anew_and_ended_as_often_as_begun(install, write):
    install(busy())
    fake, vram = import_module("pynvml"), Vram("auto")
    for _ in range(3):
        write(busy(), errors={"nvmlDeviceGetMemoryInfo": "GPU_IS_LOST"})
        assert blind(vram.read()) and fake._initialised == 0
        write(busy())
        assert vram.read().free_bytes and fake._initialised == 1


def test_a_card_that_went_is_not_mistaken_for_the_one_that_took_its_number(install, write):
    install(*TWO)
    vram = Vram("0")
    assert vram.read().uuid == nvml.UUID
    write(TWO[1], errors={"nvmlDeviceGetMemoryInfo": "GPU_IS_LOST"})
    assert blind(vram.read())
    write(TWO[1])
    assert blind(vram.read()) and vram.visible() == nvml.UUID
    write(*reversed(TWO))
    reading = vram.read()
    assert (reading.uuid, reading.index) == (nvml.UUID, 1) and reading.free_bytes


def test_what_nobody_foresaw_is_logged_and_not_told(install, monkeypatch, caplog):
    install(busy())
    monkeypatch.setattr(import_module("pynvml"), "nvmlDeviceGetPowerUsage", lambda handle: 1 / 0)
    reading = Vram("auto").read()
    assert blind(reading) and "ZeroDivisionError" in caplog.text and "division" not in reading.problem


def test_a_library_older_than_pynvml_is_said(install, monkeypatch):
    install(busy())
    fake = import_module("pynvml")

    def mismatch(handle):
        raise fake.NVMLLibraryMismatchError("text of the library")

    monkeypatch.setattr(fake, "nvmlDeviceGetComputeRunningProcesses", mismatch)
    reading = Vram("auto").read([CHILD])
    assert reading.free_bytes and reading.ours_bytes is None and "too old" in reading.unknown["processes"]


def test_a_driver_that_hangs_keeps_one_thread_and_nobody_else(install, write):
    install(busy())
    vram = Vram("auto", answer_wait_s=60)
    assert vram.read().free_bytes
    write(busy(), hang="nvmlDeviceGetMemoryInfo")
    for wait_s in (0.2, 1_000, 1_000):      # whoever comes later does not wait at all
        assert blind(reading := vram.read(wait_s=wait_s)) and reading.uuid == nvml.UUID
        assert reading.problem == vram.problem() == "the NVIDIA driver does not answer"
    stuck = [thread for thread in threading.enumerate() if thread.name == "nvml"]
    assert len(stuck) == 1
    write(busy())
    stuck[0].join(60)
    assert vram.problem() is None and vram.read().free_bytes


def test_a_machine_without_a_thread_to_spare_is_blind_until_it_has_one(install, monkeypatch):
    install(busy())
    vram = Vram("auto")

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert blind(reading := vram.read()) and "no thread left" in reading.problem
    assert vram.read().problem is None


def test_many_may_read_at_once(install):
    install(busy())
    vram, readings = Vram("auto", answer_wait_s=30), []
    threads = [threading.Thread(target=lambda: readings.append(vram.read([CHILD]))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reading.ours_bytes for reading in readings] == [4 * GIB] * 20


def test_a_problem_is_not_asked_about_for_every_model_of_a_list(install, write):
    install(busy())
    trusting, curious = Vram("auto", problem_s=1000), Vram("auto", problem_s=0)
    assert trusting.problem() is curious.problem() is None
    write(busy(), errors={"nvmlDeviceGetMemoryInfo": "GPU_IS_LOST"})
    assert trusting.problem() is None and curious.problem().startswith("the GPU is lost")


# which card


TWO = [gpu(), gpu(SECOND, name="NVIDIA Other", total=8 * GIB)]


@pytest.mark.parametrize(("device", "environment", "index"), [
    ("auto", None, 0), ("auto", "1", 1), ("auto", "1,0", 1), ("auto", SECOND, 1), ("auto", "GPU-2", 1), ("0", "1", 0),
    ("1", None, 1), (SECOND, None, 1), ("GPU-2", None, 1), (nvml.UUID, SECOND, 0),
])
def test_a_card_is_named_by_number_or_uuid(install, monkeypatch, device, environment, index):
    install(*TWO)
    if environment is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", environment)
    vram = Vram(device)
    assert vram.visible() == TWO[index]["uuid"]
    assert vram.name() == TWO[index]["name"] and vram.read().index == index


@pytest.mark.parametrize(("device", "said"), [
    ("2", "there is no NVIDIA GPU '2' here; these are: 0: GPU-1111"),
    ("GPU-9", "there is no NVIDIA GPU 'GPU-9' here"), ("MIG-9", "there is no NVIDIA GPU 'MIG-9' here"),
    ("GPU-", "the UUIDs of 2 GPUs here begin with 'GPU-'"),
])
def test_a_card_that_is_not_there_is_known_to_be_absent(install, device, said):
    install(*TWO)
    reading = Vram(device).read()
    assert blind(reading) and reading.absent and reading.problem.startswith(said)


def test_a_card_that_is_lost_hides_no_other(install, monkeypatch):
    install(*TWO)
    fake = import_module("pynvml")
    plain = fake.nvmlDeviceGetUUID

    def uuid(handle: str) -> str:
        if handle == SECOND:
            raise fake.NVMLError(fake.NVML_ERROR_GPU_IS_LOST)
        return plain(handle)

    monkeypatch.setattr(fake, "nvmlDeviceGetUUID", uuid)
    assert Vram(nvml.UUID).read().free_bytes
    lost = Vram(SECOND).read()
    assert blind(lost) and not lost.absent


def test_of_a_card_that_is_divided_the_first_part_is_read(install):
    parts = [gpu("MIG-a1", total=10 * GIB), gpu("MIG-b2", total=20 * GIB)]
    install(gpu(total=80 * GIB, parts=parts))
    for device, total in (("auto", 10), ("0", 10), (nvml.UUID, 10), ("MIG-a1", 10), ("MIG-b", 20)):
        vram = Vram(device)
        assert vram.read().total_bytes == total * GIB, device
        assert vram.visible() == ("MIG-b2" if total == 20 else "MIG-a1")
    assert "with MIG-a1, with MIG-b2" in Vram("7").read().problem


# without a GPU


@pytest.mark.parametrize(("said", "problem"), [
    ({"errors": {"nvmlInit": "LIBRARY_NOT_FOUND"}}, "there is no NVIDIA GPU here, or its driver is not installed"),
    ({"errors": {"nvmlInit": "DRIVER_NOT_LOADED"}}, "there is no NVIDIA GPU here, or its driver is not loaded"),
    ({}, "there is no NVIDIA GPU here"),
])
def test_without_a_gpu_the_figures_are_those_of_ram_and_why_is_said(install, said, problem):
    install(**said)
    vram = Vram("auto")
    reading = vram.read()
    assert reading.kind == "cpu" and reading.problem == problem == vram.problem()
    assert 0 < reading.free_bytes <= reading.total_bytes == ram().total_bytes
    assert vram.visible() == "auto" and vram.name() == "cpu"


def test_a_driver_that_goes_does_not_turn_a_gpu_into_ram(install, write):
    install(busy())
    vram = Vram("auto")
    assert vram.read().free_bytes
    write(errors={"nvmlDeviceGetMemoryInfo": "UNINITIALIZED"})
    assert blind(vram.read())
    write(errors={"nvmlInit": "DRIVER_NOT_LOADED"})
    assert blind(vram.read())


def test_cuda_may_be_told_to_see_none(install, monkeypatch):
    install(gpu())
    for hidden in ("", "-1", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert "CUDA_VISIBLE_DEVICES" in Vram("auto").problem()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert "which CUDA_VISIBLE_DEVICES names" in Vram("auto").problem()


def test_on_the_cpu_nvml_is_not_asked(install):
    install(gpu(), hang="nvmlInit")
    vram = Vram("cpu")
    reading = vram.read([os.getpid()])
    assert vram.problem() is reading.problem is None and (vram.visible(), vram.name()) == ("cpu", "cpu")
    assert reading.kind == "cpu" and 0 < reading.free_bytes < reading.total_bytes
    assert reading.ours_bytes > 2**20 and reading.others_bytes >= 0
    assert [(p.pid, p.ours) for p in reading.processes] == [(os.getpid(), True)] and reading.processes[0].name
