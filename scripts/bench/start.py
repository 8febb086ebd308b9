"""Start: from exec to the first 200 of health, memory when idle, and what is not imported."""

import re
import statistics
import tempfile
import time
from pathlib import Path

from bench.figures import Report, spread
from bench.server import Server

NAME = "start"
STARTS = 10
IDLE_S = 3.0
MB = 1e6
HEAVY = ("torch", "diffusers", "transformers", "replicate", "anthropic")
IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)", re.M)


def run(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="vidgen-bench-") as folder:
        first = [_start(Path(folder) / f"new{number}") for number in range(STARTS)]
        again = [_start(Path(folder) / "new0") for _ in range(STARTS)]
    for what, took in (("in a new workspace", first), ("in one that exists", again)):
        note = f"min/median/max of {STARTS}: {spread(took)}"
        report.add(NAME, f"exec to 200 of health, {what}", statistics.median(took), "s", at_most=1.0, note=note)
    _memory(report)
    _imports(report)


def _start(workspace: Path) -> float:
    server = Server(workspace=workspace)
    try:
        return server.start()
    finally:
        server.stop()


def _memory(report: Report) -> None:
    with Server() as server:
        time.sleep(IDLE_S)
        rss = server.process.memory_info().rss / MB
        report.add(NAME, "resident memory when idle", rss, "MB", at_most=120, note=f"{IDLE_S:g} s after the start")
        client = server.client()
        client.wait_for(client.post(user_prompt="A lighthouse at dusk", model_id="stub:animatic", max_shots=1))
        client.close()
        report.add(NAME, "the same after one job on the stub", server.process.memory_info().rss / MB, "MB")


def _imports(report: Report) -> None:
    """Python's own list of imports, over a start and one job on the stub."""
    with Server("-X", "importtime") as server:
        client = server.client()
        client.wait_for(client.post(user_prompt="A lighthouse at dusk", model_id="stub:animatic", max_shots=1))
        client.close()
        names = {name.split(".")[0] for name in IMPORTED.findall(server.log.read_text("utf-8", "replace"))}
    if "vidgen" not in names:
        raise RuntimeError("the list of imports could not be read")
    found = sorted(names & set(HEAVY))
    note = f"of {', '.join(HEAVY)}: {', '.join(found) or 'none'}; {len(names)} packages in all"
    report.add(NAME, "heavy packages imported by a start and a job", len(found), "", at_most=0, note=note)
