"""Deaths of the inference process under the real server: the job completes on a new one, and the server answers all
the while.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tests.fakes import gpu
from tests.fakes.trial import card
from tests.server import Server, started

STALL_S = 3
PHASES = [("load", 1), ("render", 2), ("decode", 1), ("encode", 2)]
HOWS = ["SIGKILL", "SIGSEGV", "SIGSTOP"]
LOADED_ONCE = {how: f"load-{how.lower()}" for how in HOWS}
"""A model for each death while it loads; the others' is loaded already."""


@pytest.fixture(scope="module")
def trial(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A server with the trial model, and the folder in which deaths are planned."""
    root = tmp_path_factory.mktemp("deaths")
    (root / "models").mkdir()
    for name in ("one", *LOADED_ONCE.values()):
        (root / "models" / f"{name}.toml").write_text(card(name))
    environment = {name.lower(): value for name, value in gpu.install(root / "packages").items()}
    patience = {"stall_s": STALL_S, "cancel_grace_s": STALL_S}
    with started(root / "workspace", models_dir=root / "models", **patience, **environment) as server:
        yield SimpleNamespace(server=server, packages=root / "packages")


@contextmanager
def asking_all_the_while(server: Server) -> Iterator[list[int]]:
    """Ask for the server's health again and again; the statuses of its answers."""
    statuses, done = [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            statuses.append(server.get("/api/v1/health").status_code)
            done.wait(0.1)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield statuses
    finally:
        done.set()
        asking.join()


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize(("phase", "step"), PHASES)
def test_the_job_completes_on_a_new_child_and_the_server_answers_all_the_while(trial, phase, step, how):
    server, model = trial.server, LOADED_ONCE[how] if phase == "load" else "one"
    gpu.plan_deaths(trial.packages, (f"{model}/{phase}", step, how))
    with asking_all_the_while(server) as statuses:
        job = server.wait(server.submit(model_id=f"trial:{model}"))
    assert server.get(job["output_video_url"]).status_code == 200
    recipe = server.get(f"/api/v1/jobs/{job['id']}/recipe").json()
    assert recipe["run"]["attempts"]["render_001"] == 2
    assert len(statuses) > 3 and set(statuses) == {200}


@pytest.mark.parametrize(("how", "before", "reason"), [
    ("SIGKILL", ["SIGKILL", "SIGKILL"], "was killed by SIGKILL"),
    ("SIGSEGV", ["exit", "SIGSEGV"], "was killed by SIGSEGV"),
    ("exit", ["SIGSEGV", "SIGKILL"], "ended with code 3"),
    ("SIGSTOP", ["exit", "SIGKILL"], "render made no progress for"),
])
def test_after_three_the_step_fails_with_the_reason_and_the_next_job_is_served(trial, how, before, reason):
    """Each counts as one of three, whatever the others were; the reason is the last one's."""
    gpu.plan_deaths(trial.packages, *[("render", 2, each) for each in (*before, how)])
    job = trial.server.wait(trial.server.submit(model_id="trial:one"), "failed")
    assert job["error_message"].startswith("Shot 1 failed (after 3 attempts):")
    assert reason in job["error_message"]
    trial.server.wait(trial.server.submit(model_id="trial:one"))


def test_deleting_a_job_whose_child_hangs_ends_the_child(trial):
    gpu.plan_deaths(trial.packages, ("render", 2, "SIGSTOP"))
    job_id = trial.server.submit(model_id="trial:one")
    trial.server.wait_for_step(job_id, "Generating")
    assert trial.server.client.delete(f"/api/v1/jobs/{job_id}").status_code == 200
    assert trial.server.get(f"/api/v1/jobs/{job_id}").status_code == 404
    gpu.plan_deaths(trial.packages)
    trial.server.wait(trial.server.submit(model_id="trial:one"))
