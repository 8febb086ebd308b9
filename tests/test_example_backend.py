"""The example of a backend in a package of its own: installed as anybody would, listed and rendering."""

import io
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.server import started

PACKAGE = Path(__file__).parent / "example_backend"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that holds the installed package."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    subprocess.run(["cp", "-r", f"{PACKAGE}/.", source], check=True)        # building leaves files beside the source
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, source], check=True)
    return target


def test_installing_the_package_is_all_it_takes(installed, tmp_path):
    with started(tmp_path / "workspace", pythonpath=installed) as server:
        pond = server.get("/api/v1/models/ripples:pond").json()
        assert (pond["name"], pond["is_available"]) == ("Pond", True)
        assert pond["parameters"]["properties"]["rings"]["maximum"] == 20
        job = server.wait(server.submit(model_id="ripples:pond", max_shots=2, num_frames=9, parameters={"rings": 3},
                                         save_frames=True))
        assert [shot["duration_seconds"] for shot in job["storyboard"]["shots"]] == [1.125, 1.125]
        assert server.get(job["output_video_url"]).content[4:8] == b"ftyp"
        for shot in job["storyboard"]["shots"]:         # it keeps no frames itself: they are its clip's
            with ZipFile(io.BytesIO(server.get(shot["frames_url"]).content)) as kept:
                assert len(kept.namelist()) == 9


def test_without_the_package_there_is_no_such_model(tmp_path):
    with started(tmp_path / "workspace") as server:
        assert server.get("/api/v1/models/ripples:pond").status_code == 404
