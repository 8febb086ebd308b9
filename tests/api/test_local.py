"""Local models through the real server: small pipelines with random values, in the released layout, on the CPU."""

import json
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import websocket
from PIL import Image

from scripts.make_test_weights import make
from scripts.testweights.cards import small_card
from tests.api import check
from tests.fakes import gpu
from tests.server import Server, started
from vidgen.cli import main as vidgen
from vidgen.media.video import inspect, read_metadata

WEIGHTS = {
    "small-svd": "StableVideoDiffusionPipeline", "small-turbo": "StableDiffusionPipeline", "mine": "LTXPipeline",
}
SMALL = {
    "model_id": "local:small-svd", "width": 64, "height": 64, "num_frames": 25, "num_inference_steps": 3, "seed": 5,
}

MINE = """
provider = "local"
name = "mine"
title = "Mine"
description = "A model that nobody had thought of: its card is all it takes"
capabilities = { text_to_video = true, negative_prompt = true }
width = { default = 64, min = 32, max = 256, step = 32 }
height = { default = 64, min = 32, max = 256, step = 32 }
frames = { default = 9, min = 1, max = 33, step = 8 }
fps = { default = 8, min = 1, max = 30 }
steps = { default = 2, min = 1, max = 50, step = 1 }
weights = { repository = "somebody/mine", files = ["*"] }
backend = { pipeline = "LTXPipeline", dtype = "bfloat16", names = { fps = "frame_rate" } }
"""


def svd_card(provider: str, name: str) -> str:
    """The card of SVD XT, for another backend and by another name, as small as its weights here."""
    return small_card("svd-xt", name, provider, keyframe_model="local:small-turbo")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for name, pipeline in WEIGHTS.items():
        make(pipeline, folder / name)
    (folder / "mortal-svd").symlink_to(folder / "small-svd")
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory, weights) -> Iterator[SimpleNamespace]:
    """A server that renders on the CPU, with one more local model and one that dies where it is told to."""
    root = tmp_path_factory.mktemp("local")
    (root / "models").mkdir()
    (root / "models" / "mine.toml").write_text(MINE)
    (root / "models" / "small.toml").write_text(svd_card("local", "small-svd"))
    (root / "models" / "turbo.toml").write_text(small_card("sd-turbo", "small-turbo"))
    (root / "models" / "mortal.toml").write_text(svd_card("mortal", "mortal-svd"))
    environment = {name.lower(): value for name, value in gpu.install(root / "packages").items()}
    with started(
        root / "workspace", models_dir=root / "models", weights_dir=weights, gpu_device="cpu", stall_s=20, **environment
    ) as server:
        yield SimpleNamespace(server=server, packages=root / "packages", workspace=root / "workspace")


def upload(server: Server, size: tuple[int, int] = (300, 200)) -> str:
    picture = BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(picture, "PNG")
    answer = server.post("/api/v1/upload", files={"file": ("picture.png", picture.getvalue())})
    return answer.json()["file_id"]


def heard(server: Server, job: dict) -> list[dict]:
    """All that the WebSocket says of a job, which is posted while the queue is paused so that nothing is missed."""
    server.post("/api/v1/queue/pause")
    job_id = server.post("/api/v1/jobs", json=job).json()["id"]
    ws = websocket.create_connection(f"{server.url.replace('http', 'ws')}/ws/jobs/{job_id}", timeout=60)
    server.post("/api/v1/queue/resume")
    said = [json.loads(ws.recv())]
    while said[-1]["type"] not in ("job_complete", "error"):
        said.append(json.loads(ws.recv()))
    ws.close()
    assert said[-1]["type"] == "job_complete", f"{said[-1]}\n{server.log()}"
    return said


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_a_prompt_becomes_a_storyboard_keyframes_shots_and_one_video(local, tmp_path):
    said = heard(local.server, {**SMALL, "user_prompt": "A lighthouse at dusk. Then waves.", "max_shots": 2})
    steps = [(m["shot_id"], m["step"].split()[0], m["phase_step"], m["phase_steps"])
             for m in said if m["type"] == "progress" and m.get("phase") == "render"]
    keyframe_steps = max(n for _, what, _, n in steps if what == "Drawing")
    for shot in ("shot_001", "shot_002"):
        for what, n in (("Drawing", keyframe_steps), ("Generating", 3)):
            assert [(i, of) for s, w, i, of in steps if (s, w) == (shot, what)] == [(i, n) for i in range(1, n + 1)]

    job = local.server.get(f"/api/v1/jobs/{said[-1]['job_id']}").json()
    assert job["keyframe_model_id"] == "local:small-turbo"
    assert all(shot["keyframe_url"] and shot["video_url"] for shot in job["storyboard"]["shots"])
    video = tmp_path / "video.mp4"
    video.write_bytes(local.server.get(job["output_video_url"]).content)
    probe = inspect(video, num_frames=50)
    assert (probe.width, probe.height, probe.codec) == (64, 64, "h264")
    recipe = json.loads(read_metadata(video)["comment"])
    assert recipe["model"]["id"] == "local:small-svd" and recipe["keyframe_model"]["id"] == "local:small-turbo"
    assert {"torch", "diffusers", "transformers"} <= recipe["model"]["versions"].keys()
    assert recipe["seed"] == 5 and recipe["effective"]["parameters"]["decode_chunk_size"] == 8


def test_torch_is_in_the_child_and_not_in_the_server(local):
    local.server.wait(local.server.submit(**SMALL, reference_image=upload(local.server)))
    children = psutil.Process(local.server.process.pid).children(recursive=True)
    rendering = [child for child in children if "vidgen.inference.child" in " ".join(child.cmdline())]
    assert len(rendering) == 1
    assert "libtorch" in maps(rendering[0].pid)
    assert "libtorch" not in maps(local.server.process.pid)


def test_the_same_request_gives_the_same_bytes(local):
    job = {**SMALL, "reference_image": upload(local.server)}
    videos = {local.server.get(local.server.wait(local.server.submit(**job))["output_video_url"]).content
              for _ in range(2)}
    assert len(videos) == 1


def test_a_video_is_reproduced_frame_by_frame(local, tmp_path, capsys):
    """From the recipe inside of it: the keyframe is drawn again, the shot rendered again."""
    job = local.server.wait(local.server.submit(**SMALL))
    video = tmp_path / "video.mp4"
    video.write_bytes(local.server.get(job["output_video_url"]).content)
    assert vidgen(["--url", local.server.url, "reproduce", str(video), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert verdict["job_id"] != job["id"]
    assert verdict["equal"] in ("bytes", "frames") and verdict["frames"] == 25


def test_a_new_model_costs_one_card(local):
    model = local.server.get("/api/v1/models/local:mine").json()
    assert (model["name"], model["is_available"], model["unavailable_reason"]) == ("Mine", True, None)
    job = local.server.wait(local.server.submit(model_id="local:mine", num_frames=9, negative_prompt="rain"))
    assert local.server.get(job["output_video_url"]).status_code == 200


def test_previews_are_shown_while_it_renders(local):
    job = {**SMALL, "num_inference_steps": 12, "user_prompt": "x", "max_shots": 1}
    heard(local.server, {**job, "reference_image": upload(local.server)})
    job = local.server.get("/api/v1/jobs").json()["jobs"][0]
    preview = local.server.get(job["storyboard"]["shots"][0]["preview_url"])
    assert preview.headers["Content-Type"] == "image/webp"
    with Image.open(BytesIO(preview.content)) as image:
        assert image.n_frames > 1 and max(image.size) <= 256


@pytest.mark.parametrize(("phase", "step", "how"), [
    ("load", 1, "SIGKILL"), ("render", 2, "SIGSEGV"),
])
def test_a_pipeline_that_dies_is_replaced_and_the_job_completes(local, phase, step, how):
    """``tests/inference/test_deaths.py`` has every death in every phase, with a backend that starts faster."""
    image = upload(local.server)
    if phase == "load":                     # another model takes its place, so that it has to be loaded
        local.server.wait(local.server.submit(model_id="local:mine", num_frames=9))
    gpu.plan_deaths(local.packages, (phase, step, how))
    job = local.server.wait(local.server.submit(**{**SMALL, "model_id": "mortal:mortal-svd"}, reference_image=image))
    recipe = local.server.get(f"/api/v1/jobs/{job['id']}/recipe").json()
    assert recipe["run"]["attempts"]["render_001"] == 2


@pytest.mark.parametrize(("wrong", "field", "said"), [
    ({"num_frames": 24}, "num_frames", "the nearest is 25"),
    ({"width": 1000}, "width", "the nearest is 1024"),
    ({"parameters": {"motion_bucket_id": 999}}, "parameters.motion_bucket_id", "must be at most"),
    ({"parameters": {"strength": 1}}, "parameters.strength", "takes no such parameter"),
    ({"negative_prompt": "rain"}, "negative_prompt", "does not take it"),
    ({"model_id": "local:small-turbo"}, "model_id", "makes images, not video"),
    ({"keyframe_model_id": "local:small-svd"}, "keyframe_model_id", "does not draw images from text"),
])
def test_what_the_model_cannot_do_is_refused_before_anything_is_queued(local, wrong, field, said):
    answer = local.server.post("/api/v1/jobs", json={**SMALL, "user_prompt": "x", **wrong})
    assert said in check.error(answer, 400, "invalid_input", field)


def test_a_model_whose_weights_are_not_here_says_what_fetches_them(local):
    listed = local.server.get("/api/v1/models/local:svd").json()
    assert listed["is_available"] is False and "make weights MODEL=svd" in listed["unavailable_reason"]
    answer = local.server.post("/api/v1/jobs", json={"user_prompt": "x", "model_id": "local:svd"})
    assert "make weights MODEL=svd" in check.error(answer, 503, "model_unavailable")


def test_a_keyframe_model_that_cannot_run_is_told_where_it_matters(local):
    job = {**SMALL, "user_prompt": "x", "keyframe_model_id": "local:sdxl-turbo"}
    answer = local.server.post("/api/v1/jobs", json=job)
    detail = check.error(answer, 503, "model_unavailable")
    assert "local:sdxl-turbo" in detail and "make weights MODEL=sdxl-turbo" in detail


def test_weights_that_are_half_there_are_named(tmp_path, weights):
    half = tmp_path / "weights" / "svd-xt"
    shutil.copytree(weights / "small-svd", half)
    missing = next((half / "unet").glob("*.safetensors"))
    missing.unlink()
    models = tmp_path / "models"
    models.mkdir()
    typo = svd_card("local", "typo").replace('"StableVideoDiffusionPipeline"', '"StableVideoDifusionPipeline"')
    (models / "typo.toml").write_text(typo)
    settings = {"weights_dir": half.parent, "models_dir": models}
    with started(tmp_path / "workspace", gpu_device="cpu", **settings) as server:
        listed = server.get("/api/v1/models/local:svd-xt").json()
        assert listed["is_available"] is False and "unet/" in listed["unavailable_reason"]
        broken = server.get("/api/v1/models/local:typo").json()
        assert "typo.toml: backend.pipeline: diffusers has no class 'StableVideoDifusionPipeline'" in (
            broken["unavailable_reason"])
    with started(tmp_path / "no-gpu", **settings) as server:
        assert "GPU_DEVICE=cpu" in server.get("/api/v1/models/local:sd-turbo").json()["unavailable_reason"]
