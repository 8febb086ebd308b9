"""The report on a machine without a GPU: its sections run, on small weights; and where nothing is installed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "gpu_report.py"
OFFER = "import sys; from pathlib import Path; from gpureport.installed import offer; offer(Path(sys.argv[1]))"
FOUND = """
from importlib.metadata import entry_points, version
for entry in entry_points(group="vidgen.backends"):
    print(entry.name, entry.value, version("vidgen"))
"""
ENDED_EARLY = """
import os, signal, sys, threading
from types import SimpleNamespace

import gpu_report

def good(report, stage):
    report.add("good", "a figure", 1.0, "")
    gpu_report.SECTION_S = 1

def slow(report, stage):
    gpu_report.SECTION_S = 60
    for _ in range(2):
        with report.trying("slow"):
            threading.Event().wait(60)
            report.add("slow", "a figure", 1.0, "")

def last(report, stage):
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(60)

gpu_report.SECTIONS = {run.__name__: SimpleNamespace(run=run) for run in (good, slow, last)}
sys.exit(gpu_report.main())
"""


def report(folder: Path, *arguments: object) -> tuple[subprocess.CompletedProcess, dict]:
    """What the script did, and its JSON."""
    file = folder / "report.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--json", file, *map(str, arguments)], text=True, capture_output=True,
    )
    return done, json.loads(file.read_text("utf-8"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("report") / "weights"


@pytest.fixture(scope="module")
def measured(weights):
    return report(weights.parent, "--weights", weights, "--only", "assert")


def figures(said: dict, section: str) -> dict[str, float]:
    return {figure["what"]: figure["value"] for figure in said["figures"] if figure["section"] == section}


def test_without_a_gpu_it_says_so_and_runs_what_it_can(measured):
    done, said = measured
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("There is no GPU") and said["machine"]["gpu"] is None
    assert said["failures"] == []
    assert all(f"| {figure['section']} | {figure['what']} |" in done.stdout for figure in said["figures"])


def test_a_job_survives_a_fault_on_the_device(measured):
    found = figures(measured[1], "assert")
    assert found["the job recovers on a new process"] == 1
    assert found["its clip is equal to an undisturbed one, byte for byte"] == 1


def test_what_fails_is_a_row(tmp_path):
    (tmp_path / "weights").touch()
    done, said = report(tmp_path, "--weights", tmp_path / "weights", "--only", "swap")
    assert done.returncode == 1
    assert [failure["section"] for failure in said["failures"]] == ["weights"]
    assert "| weights | failed: RuntimeError: the weights cannot be made" in done.stdout


def test_a_section_ends_in_time_and_what_was_measured_is_kept(measured, weights, tmp_path):
    """A section that tries several things is ended as a whole; SIGTERM, as ``timeout`` sends it, loses one section."""
    file = tmp_path / "report.json"
    ended = subprocess.run(
        [sys.executable, "-c", ENDED_EARLY, "--weights", weights, "--json", file], text=True, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parent)},
    )
    assert ended.returncode == 128 + signal.SIGTERM, ended.stdout + ended.stderr
    said = json.loads(file.read_text("utf-8"))
    assert figures(said, "good") == {"a figure": 1} and figures(said, "slow") == {}
    assert said["failures"] == [{"section": "slow", "reason": "TimeoutError: it was not done after 1 s"}]
    assert "| good | a figure | 1 |" in ended.stdout


def test_backends_are_found_where_vidgen_is_not_installed(tmp_path):
    packages, elsewhere = tmp_path / "packages", tmp_path / "elsewhere"
    elsewhere.mkdir()
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "scripts")))
    subprocess.run([sys.executable, "-c", OFFER, packages], check=True, env=os.environ | {"PYTHONPATH": paths})
    found = subprocess.run(
        [sys.executable, "-S", "-c", FOUND], check=True, text=True, capture_output=True, cwd=elsewhere,
        env={"PYTHONPATH": str(packages)},
    )
    assert sorted(found.stdout.splitlines()) == [
        "local backends.local:LocalBackend 0.1.0", "replicate backends.replicate:ReplicateBackend 0.1.0",
        "report scripts.gpureport.fault:FaultyBackend 0.1.0", "stub backends.stub:StubBackend 0.1.0",
    ]
