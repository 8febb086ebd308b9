"""Progress where somebody looks at it, and Ctrl-C."""

import json
import re
import signal
import subprocess
import sys

from tests.cli.conftest import SMALL, WAIT_S
from tests.cli.terminal import CONTROL_C

COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-79]|9[0-7]|38)(?:;\d+)*m")
REDRAWN = "\x1b[1A"


def test_a_terminal_has_a_bar_for_each_shot(terminal, tmp_path):
    one = terminal("generate", "A lighthouse. A gull.", *SMALL, "-n", "2", "-o", "out.mp4")
    assert one.wait() == 0
    for words in ("shot 001", "shot 002", "done", "━", "100%", "Complete", "completed", "out.mp4"):
        assert words in one.shown
    assert COLOUR.search(one.shown)
    assert (tmp_path / "out.mp4").stat().st_size


def test_a_bar_says_the_step_of_its_shot(terminal, held):
    one = terminal("watch", held(max_shots=2))
    one.wait_for("render 1 of 5")
    one.wait_for("waits")
    one.wait_for(REDRAWN)


def test_no_color_leaves_bars_without_colour(terminal):
    one = terminal("generate", "A lighthouse.", *SMALL, "-n", "1", NO_COLOR="1")
    assert one.wait() == 0
    assert "━" in one.shown and not COLOUR.search(one.shown)


def test_a_dumb_terminal_gets_lines(terminal):
    one = terminal("generate", "A lighthouse.", *SMALL, "-n", "1", TERM="dumb")
    assert one.wait() == 0
    assert "% Generating shot 1 of 1" in one.shown and "\x1b" not in one.shown


def test_control_c_can_cancel_the_job(terminal, server, held):
    job_id = held()
    one = terminal("watch", job_id)
    one.wait_for("render 1 of 5")
    one.resize(40)
    one.type(CONTROL_C)
    one.wait_for("Cancel the job (c)")
    one.type("c\n")
    assert one.wait() == 130
    assert f"{job_id} is cancelled" in one.shown and "Traceback" not in one.shown
    server.wait(job_id, "cancelled")


def test_control_c_can_stop_the_watching_alone(terminal, server, held):
    job_id = held()
    one = terminal("watch", job_id)
    one.wait_for("render 1 of 5")
    one.type(CONTROL_C)
    one.wait_for("Cancel the job (c)")
    one.type("continue\n")
    assert one.wait() == 130
    assert f"vidgen watch {job_id}" in one.shown and "Traceback" not in one.shown
    assert server.get(f"/api/v1/jobs/{job_id}").json()["status"] == "processing"


def test_control_c_while_it_starts_is_no_traceback(environment, tmp_path):
    """Sent by the first of the modules that the command line needs, in its own import."""
    (tmp_path / "typer.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    code = "import sys; from vidgen.cli import main; sys.exit(main(['jobs']))"
    where = environment | {"PYTHONPATH": f"{tmp_path}:{environment['PYTHONPATH']}"}
    done = subprocess.run(
        [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler); " + code], env=where,
        capture_output=True, text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_second_control_c_leaves_at_once(terminal, server, held):
    job_id = held()
    one = terminal("watch", job_id)
    one.wait_for("render 1 of 5")
    one.type(CONTROL_C)
    one.wait_for("Cancel the job (c)")
    one.type(CONTROL_C)
    assert one.wait() == 130
    assert "Traceback" not in one.shown
    assert server.get(f"/api/v1/jobs/{job_id}").json()["status"] == "processing"


def test_a_pipe_gets_lines_and_the_files_name(piped, tmp_path):
    done = piped("generate", "A lighthouse. A gull.", *SMALL, "-n", "2", "-s", "7")
    out, err = done.communicate(timeout=WAIT_S)
    assert (done.returncode, "\x1b" in out + err) == (0, False)
    assert (tmp_path / out.strip()).is_file() and out.startswith("a-lighthouse-a-gull-")
    steps = [line for line in err.splitlines() if "Generating shot 1 of 2" in line]
    assert len(steps) == 1 and re.match(r" *\d+% ", steps[0])
    assert err.splitlines()[-1].startswith("completed")


def test_programs_get_events_and_then_the_job(piped, tmp_path):
    done = piped("generate", "A lighthouse.", *SMALL, "-n", "1", "--json", "-o", "out.mp4")
    out, err = done.communicate(timeout=WAIT_S)
    assert (done.returncode, err) == (0, "")
    *events, job = map(json.loads, out.splitlines())
    assert [event["type"] for event in events][-1] == "job_complete"
    assert sorted(event["seq"] for event in events) == [event["seq"] for event in events]
    assert (job["status"], job["file"]) == ("completed", "out.mp4")


def test_an_interrupt_without_a_terminal_stops_watching(piped, server, held):
    job_id = held()
    process = piped("watch", job_id)
    for line in process.stderr:
        if "Generating" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (130, "")
    assert err == f"no longer watching; {job_id} goes on, and vidgen watch {job_id} shows it again\n"
    assert server.get(f"/api/v1/jobs/{job_id}").json()["status"] == "processing"


def test_deleting_asks_on_a_terminal(terminal, server):
    job_id = server.submit()
    server.wait(job_id)
    no = terminal("delete", job_id)
    no.wait_for("[y/N]")
    no.type("n\n")
    assert no.wait() == 1 and "nothing was deleted" in no.shown
    yes = terminal("delete", job_id)
    yes.wait_for("[y/N]")
    yes.type("y\n")
    assert yes.wait() == 0
    assert server.get(f"/api/v1/jobs/{job_id}").status_code == 404
