"""Every command against a started server: what it prints, what it leaves, how it exits."""

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest

from tests.cli.conftest import SMALL
from tests.client.loopback import answering
from tests.server import ROOT
from vidgen.cli import outcome

PHOTO = ROOT / "tests" / "data" / "reference.jpg"
ESCAPES = "A gull\x1b[2J\x07 over‮the sea"


def test_generate_sends_what_was_asked_for(vidgen, server, tmp_path):
    board = tmp_path / "board.json"
    board.write_text(json.dumps({"title": "Sea", "shots": [{"description": "Waves"}]}))
    done = vidgen(
        "generate", "The sea", *SMALL, "-i", PHOTO, "-s", "7", "--fps", "12.5", "--negative", "rain", "--steps", "3",
        "-p", "guidance_scale=9", "--style", "mood=calm", "--focus", "0.25,1", "--continuity", "chain",
        "--fit", "adapt", "--priority", "2", "--storyboard", board, "--detach", "--json",
    )
    job = done.json()
    assert (done.code, job["seed"], job["fps"], job["priority"], job["continuity"]) == (0, 7, 12.5, 2, "chain")
    assert (job["negative_prompt"], job["num_inference_steps"]) == ("rain", 3)
    assert (job["style_preferences"], job["parameters"]["guidance_scale"]) == ({"mood": "calm"}, 9)
    assert job["generation_mode"] == "image_to_video"
    assert server.wait(job["id"])["storyboard"]["title"] == "Sea"


def test_generate_saves_the_video_where_it_is_told(vidgen, server, tmp_path):
    done = vidgen("generate", "The sea", *SMALL, "-n", "1", "-o", "sea.mp4")
    assert (done.code, done.out) == (0, "sea.mp4\n")
    job = vidgen("jobs", "--limit", "1", "--json").json()[0]
    assert (tmp_path / "sea.mp4").read_bytes() == server.get(job["output_video_url"]).content


def test_a_file_that_is_there_is_not_written_over_unasked(vidgen, tmp_path):
    (tmp_path / "sea.mp4").write_bytes(b"mine")
    refused = vidgen("generate", "The sea", *SMALL, "-o", "sea.mp4")
    assert (refused.code, refused.err) == (2, "vidgen: output: sea.mp4 is there already; --force writes over it\n")
    assert (tmp_path / "sea.mp4").read_bytes() == b"mine"
    assert vidgen("generate", "The sea", *SMALL, "-n", "1", "-o", "sea.mp4", "--force").code == 0
    assert (tmp_path / "sea.mp4").read_bytes()[4:8] == b"ftyp"


def test_a_dry_run_says_what_it_would_take(vidgen, server):
    before = server.get("/api/v1/jobs").json()["total"]
    done = vidgen("generate", "The sea", *SMALL, "--dry-run")
    assert done.code == 0 and "stub:animatic" in done.out and "takes" in done.out
    assert vidgen("generate", "The sea", *SMALL, "--dry-run", "--json").json()["effective"]["width"] == 64
    assert server.get("/api/v1/jobs").json()["total"] == before


def test_a_job_that_fails_is_told_with_its_reason(vidgen):
    done = vidgen("generate", "The sea", *SMALL, "-p", "fail_fatal=true")
    assert done.code == 1 and done.out == ""
    assert "failed: " in done.err.splitlines()[-1] and "asked to fail at step 1" in done.err.splitlines()[-1]
    job = vidgen("generate", "The sea", *SMALL, "-p", "fail_fatal=true", "--json").lines()[-1]
    assert (job["status"], job["error_code"]) == ("failed", "step_failed")


def test_models_are_listed_and_shown(vidgen):
    listed = vidgen("models")
    assert listed.code == 0 and "stub:animatic" in listed.out and " no: " in listed.out
    assert {model["id"] for model in vidgen("models", "--json").json()} >= {"stub:animatic", "local:svd-xt"}
    assert all(model["is_available"] for model in vidgen("models", "--available", "--json").json())
    shown = vidgen("models", "stub:animatic")
    assert shown.code == 0 and "-p guidance_scale=" in shown.out and "1 to 20" in shown.out
    assert vidgen("models", "stub:animatic", "--json").json()["name"] == "Animatic"


def test_jobs_are_listed_by_what_is_asked(vidgen, finished):
    assert finished["id"] in vidgen("jobs", "--limit", "1000").out
    found = vidgen("jobs", "--status", "completed", "--model", "stub:animatic", "--search", "gull over", "--json")
    assert finished["id"] in [job["id"] for job in found.json()]
    assert all("gull over" in job["user_prompt"] for job in found.json())
    assert vidgen("jobs", "--search", "nowhere to be found", "--json").json() == []


def test_a_job_is_shown(vidgen, finished, server):
    shown = vidgen("show", finished["id"])
    assert shown.code == 0
    for words in ("completed, 100%", "A lighthouse. A gull over the sea.", "shot_002", finished["output_video_url"]):
        assert words in shown.out
    assert vidgen("show", finished["id"], "--json").json() == server.get(f"/api/v1/jobs/{finished['id']}").json()


def test_watching_what_has_ended_tells_it_again(vidgen, finished, tmp_path):
    watched = vidgen("watch", finished["id"])
    assert (watched.code, "Generating shot 2 of 2" in watched.err) == (0, True)
    assert watched.out.endswith(f"{finished['output_video_url']}\n")
    saved = vidgen("watch", finished["id"], "-o", str(tmp_path), "--json").lines()[-1]
    assert saved["file"].endswith(f"a-lighthouse-a-gull-over-the-sea-{finished['id'][-6:]}.mp4")
    again = vidgen("watch", finished["id"], "-o", str(tmp_path))
    assert (again.code, again.err) == (2, f"vidgen: output: {saved['file']} is there already; --force writes over it\n")
    assert vidgen("watch", finished["id"], "-o", str(tmp_path), "--force").code == 0


def test_a_video_that_cannot_be_written_is_still_to_be_had(vidgen, finished):
    done = vidgen("watch", finished["id"], "-o", "/proc/out.mp4")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].endswith(f"the video is made, and vidgen watch {finished['id']} -o FILE takes it")
    assert outcome.of(OSError(28, "No space left on device")) == (1, "No space left on device")


def test_a_download_that_is_stopped_can_be_had_later(vidgen, finished, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vidgen.client.Client.download", stop)
    done = vidgen("watch", finished["id"], "-o", "out.mp4")
    assert (done.code, done.out) == (130, "")
    assert done.err.splitlines()[-1] == \
        f"vidgen: stopped; the video is made, and vidgen watch {finished['id']} -o FILE takes it"


class Going(BaseHTTPRequestHandler):
    """Knows the job ``job_here``; whatever else it is asked for, it is not there any more."""

    def do_GET(self):
        if self.path.endswith("/job_here"):
            content = b'{"id": "job_here", "user_prompt": "A", "status": "processing"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_DELETE = do_GET


def test_a_server_that_went_away_leaves_the_jobs_name(vidgen, monkeypatch):
    monkeypatch.setattr("vidgen.client.connection.GIVE_UP_S", 0)
    with answering(Going) as url:
        done = vidgen("watch", "job_here", "--url", url)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert done.err.endswith("; vidgen watch job_here shows the job again\n")


def test_what_was_done_is_told_where_the_server_goes_away(vidgen):
    with answering(Going) as url:
        done = vidgen("delete", "job_here", "job_gone", "--yes", "--json", "--url", url)
    assert (done.code, done.json()) == (3, [{"id": "job_here", "deleted": True}])


def test_jobs_are_cancelled(vidgen, server, held):
    first, second = held(), held()
    done = vidgen("cancel", first, second, "job_nothing")
    assert (done.code, done.err) == (2, "vidgen: there is no job 'job_nothing'\n")
    assert [line.split()[0] for line in done.out.splitlines()] == [first, second]
    for job_id in (first, second):
        server.wait(job_id, "cancelled")
    assert vidgen("cancel", first, "--json").json()[0]["status"] == "cancelled"


def test_what_cannot_be_cancelled_is_told(vidgen, finished):
    done = vidgen("cancel", finished["id"])
    assert (done.code, done.err.count("\n")) == (1, 1) and "nothing to cancel" in done.err


def test_jobs_are_deleted_without_a_question_where_that_is_said(vidgen, server):
    job_id = server.submit()
    asked = vidgen("delete", job_id)
    assert asked.code == 2 and "give --yes" in asked.err
    assert server.get(f"/api/v1/jobs/{job_id}").status_code == 200
    assert vidgen("delete", job_id, "--yes", "--json").json() == [{"id": job_id, "deleted": True}]
    assert server.get(f"/api/v1/jobs/{job_id}").status_code == 404


def test_one_shot_is_made_anew(vidgen, finished):
    change = ("--shot", "2", "--description", "A crow", "-s", "5")
    done = vidgen("edit", finished["id"], *change, "-o", "new.mp4", "--json")
    job = done.lines()[-1]
    assert (done.code, job["parent_id"], job["file"]) == (0, finished["id"], "new.mp4")
    second = job["storyboard"]["shots"][1]
    assert (second["description"], second["seed"]) == ("A crow", 5)
    assert job["storyboard"]["shots"][0]["description"] == finished["storyboard"]["shots"][0]["description"]


def test_shots_change_their_order(vidgen, finished):
    job = vidgen("edit", finished["id"], "--order", "2,1", "--json").lines()[-1]
    before, after = ([shot["description"] for shot in each["storyboard"]["shots"]] for each in (finished, job))
    assert after == before[::-1]


def test_what_was_cancelled_is_tried_again(vidgen, server):
    job_id = server.submit(parameters={"wait_at_step": 2})
    assert vidgen("cancel", job_id).code == 0
    server.wait(job_id, "cancelled")
    said = vidgen("retry", job_id, "--detach", "-o", "later.mp4")
    assert f"vidgen watch {said.out.strip()} -o later.mp4 waits for its video" in said.err
    server.client.delete(f"/api/v1/jobs/{said.out.strip()}")
    again = vidgen("retry", job_id, "--detach", "--json").json()
    assert again["parent_id"] == job_id
    server.client.delete(f"/api/v1/jobs/{again['id']}")


def test_what_was_not_cancelled_is_not_tried_again(vidgen, finished):
    done = vidgen("retry", finished["id"])
    assert (done.code, done.err.count("\n"), done.out) == (1, 1, "")


@pytest.mark.parametrize(("arguments", "said"), [
    (["-s", "-1"], "seed: must be greater than or equal to 0"),
    (["-s", "seven"], "seed: must be a valid integer"),
    (["-s", "1_000"], "seed: must be a valid integer"),
    (["--fps", "nan"], "fps: must be a valid number"),
    (["--frames", "0"], "num_frames: must be greater than or equal to 1"),
    (["--fit", "perhaps"], "fit: "),
    (["-m", "Nothing"], "model_id: "),
    (["-p", "no_such=1"], "parameters.no_such: "),
    (["--focus", "2,0"], "focus.0: "),
    (["--focus", "middle"], "focus: 'middle' is not X,Y"),
    (["-p", "guidance_scale"], "param: 'guidance_scale' is not NAME=VALUE"),
    (["-p", "a=1", "-p", "a=2"], "param: a is given twice"),
    (["-i", "nothing.png"], "image: file 'nothing.png' does not exist"),
    (["-o", "/dev/null", "--force"], "output: /dev/null is no file"),
    (["-o", "nowhere/out.mp4"], "output: there is no folder nowhere"),
    (["--storyboard", __file__], "storyboard: "),
    (["-p", f"guidance_scale={'[' * 20_000}"], "parameters.guidance_scale: "),
])
def test_bad_input_is_one_line_that_names_the_field(vidgen, arguments, said):
    done = vidgen("generate", "The sea", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"vidgen: {said}")


@pytest.mark.parametrize(("arguments", "said"), [
    (["generate"], "Missing argument 'prompt'"), (["jobs", "--limt", "3"], "No such option: --limt"),
    (["jobs", "--limit", "0"], "limit: "), (["paint"], "No such command 'paint'"),
    (["jobs", "--status", "done"], "status: "), (["jobs", "--url", "nonsense"], "base_url: "),
    (["show", "job_nothing"], "there is no job 'job_nothing'"), (["edit", "job_x", "--seed", "1"], "shot: "),
    (["edit", "job_x", "--shot", "one"], "shot: 'one' is no shot's number"), (["serve", "--json"], "json: "),
    (["jobs", "--limit", "0"], "limit: must be greater than or equal to 1"),
])
def test_a_wrong_call_is_one_line(vidgen, arguments, said):
    done = vidgen(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"vidgen: {said}")


@pytest.mark.parametrize("arguments", [["jobs"], ["generate", "The sea"], ["watch", "job_x"]])
def test_a_server_that_is_not_there_is_told_from_bad_input(vidgen, arguments):
    done = vidgen("--url", "http://127.0.0.1:9", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert "http://127.0.0.1:9" in done.err and "vidgen serve" in done.err


def test_options_of_all_commands_may_stand_first(vidgen, finished):
    assert vidgen("--json", "show", finished["id"]).json()["id"] == finished["id"]


def test_what_users_write_moves_no_cursor(vidgen, server):
    job_id = server.submit(user_prompt=ESCAPES)
    server.wait(job_id)
    for arguments in (["jobs"], ["show", job_id], ["watch", job_id]):
        done = vidgen(*arguments)
        assert done.code == 0 and not {"\x1b", "\x07", "‮"} & set(done.out + done.err)
    assert vidgen("show", job_id, "--json").json()["user_prompt"] == ESCAPES


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_stream_may_be_closed(environment, tmp_path, closed, finished):
    line = f"{sys.executable} -m vidgen.cli show {finished['id']} {closed}<&-"
    done = subprocess.run(["sh", "-c", line], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr, finished["id"] in done.stdout) == (0, "", closed != 1)


def test_characters_that_are_none_or_that_the_terminal_lacks(vidgen, server, finished, piped, environment):
    assert vidgen("show", "job_\udcff").err == "vidgen: there is no job 'job_?'\n"
    asked = vidgen("jobs", "--search", "\udcff")
    assert (asked.code, asked.err.count("\n")) == (2, 1)
    environment |= {"PYTHONIOENCODING": "ascii"}
    job_id = server.submit(user_prompt="Übers Meer")
    out, err = piped("show", job_id).communicate(timeout=60)
    assert "?bers Meer" in out and err == ""


def test_without_a_command_help_is_shown(vidgen):
    done = vidgen()
    assert done.code == 0 and "reproduce" in done.out
    assert vidgen("--help").out == done.out
    assert vidgen("--version").out.startswith("vidgen ")
    assert vidgen("weights").out == vidgen("weights", "--help").out
