"""Models and health over HTTP."""

from tests.api import check
from tests.server import started


def test_all_models_are_listed_with_the_truth_about_each(server):
    listed = server.get("/api/v1/models?available_only=false").json()
    assert listed["total"] == len(listed["models"])
    models = {model["id"]: model for model in listed["models"]}
    assert {"stub:animatic", "local:svd-xt", "replicate:svd-xt"} <= models.keys()
    stub, hosted = models["stub:animatic"], models["replicate:svd-xt"]
    assert stub["is_available"] is True and stub["unavailable_reason"] is None
    assert stub["provider"] == "stub" and stub["capabilities"]["supports_text_to_video"] is True
    assert hosted["is_available"] is False and hosted["unavailable_reason"]
    can = hosted["capabilities"]
    assert (can["supports_text_to_video"], can["supports_image_to_video"]) == (False, True)
    assert isinstance(can["max_frames"], int) and can["recommended_fps"] == 7
    assert hosted["memory_requirements"]["vram_gb"] == 0.0


def test_a_local_model_says_whether_its_weights_are_here_and_what_fetches_them(server):
    local = server.get("/api/v1/models/local:svd-xt").json()
    assert local["is_available"] is False and local["unavailable_reason"]
    weights = local["weights"]
    assert (weights["present"], weights["revision"]) == (False, None)
    assert weights["command"] == "make weights MODEL=svd-xt"
    assert weights["repository"] == "stabilityai/stable-video-diffusion-img2vid-xt"
    assert server.get("/api/v1/models/stub:animatic").json()["weights"] is None


def test_only_those_that_can_run(server):
    listed = server.get("/api/v1/models?available_only=true").json()
    assert listed["models"] and all(model["is_available"] for model in listed["models"])


def test_one_model_by_its_id_with_the_colon(server):
    model = server.get("/api/v1/models/stub:animatic").json()
    assert model == server.get("/api/v1/models/stub%3Aanimatic").json()
    assert model["parameters"]["properties"]["motion_bucket_id"] == {
        "type": "integer", "description": "How far the camera travels", "default": 127, "minimum": 1, "maximum": 255,
    }
    assert "wait_at_step" in model["parameters"]["properties"]
    check.error(server.get("/api/v1/models/stub:none"), 404, "not_found")
    check.error(server.get("/api/v1/models?available_only=perhaps"), 400, "invalid_input", "available_only")


def test_a_broken_card_is_listed_with_its_reason_and_test_parameters_are_not(tmp_path):
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mine.toml").write_text("provider = 3")
    with started(tmp_path / "workspace", models_dir=tmp_path / "cards") as running:
        models = {model["id"]: model for model in running.get("/api/v1/models").json()["models"]}
        assert models["broken:mine"]["is_available"] is False
        assert "provider" in models["broken:mine"]["unavailable_reason"]
        assert "wait_at_step" not in models["stub:animatic"]["parameters"]["properties"]


def test_health_is_as_the_document_shows_it(server):
    health = server.get("/api/v1/health").json()
    assert (health["status"], health["reasons"]) == ("healthy", [])
    assert health["api_keys_configured"] == {"anthropic": False, "replicate": False, "openai": False}
    assert isinstance(health["models_available"], int) and health["models_available"] >= 1
    assert check.UTC.fullmatch(health["timestamp"])


def test_health_says_which_keys_are_configured_and_no_more(tmp_path):
    secrets = {"replicate_api_token": "r8_secret", "openai_api_key": "sk-secret"}
    with started(tmp_path / "workspace", **secrets) as running:
        answer = running.get("/api/v1/health")
        assert answer.json()["api_keys_configured"] == {"anthropic": False, "replicate": True, "openai": True}
        assert "secret" not in answer.text and "secret" not in running.log()


def test_ready(server):
    answer = server.get("/api/v1/ready")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
