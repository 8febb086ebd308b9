"""Wrong input is refused with the field's name, and nothing comes of it. One server for all; no job is ever made."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.api import check
from tests.server import Server, started
from vidgen.request import JobRequest, PlanRequest, PriorityRequest, ShotRequest, StoryboardRequest

JOB = {"user_prompt": "a forest", "model_id": "stub:animatic"}
SHOT = {"description": "a tree"}
STORYBOARD = {"title": "Trees", "shots": [SHOT]}
OF_TYPE: dict[str, list[Any]] = {
    "string": ["x", "7", "true"], "integer": [7], "number": [1.5], "boolean": [True], "array": [[1], ["7", "7"]],
    "object": [{"x": 1}], "null": [None],
}
IS_ALSO = {"integer": "number"}         # every integer is a number


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Iterator[Server]:
    """A server whose jobs are counted: there are none, before and after."""
    with started(tmp_path_factory.mktemp("fresh") / "workspace") as running:
        yield running
        assert running.get("/api/v1/jobs").json()["total"] == 0
        assert not list((running.workspace / "videos").iterdir())


def refused(answer: Any, *fields: str) -> None:
    """A 400 that names *fields*, each in ``fields`` and in the text."""
    assert (answer.status_code, answer.json().get("code")) == (400, "invalid_input"), answer.text
    named = [wrong["field"] for wrong in answer.json()["fields"]]
    for field in fields:
        assert any(name == field or name.startswith(f"{field}.") for name in named), (field, named)
        assert field in answer.json()["detail"]
    assert all(wrong["message"] for wrong in answer.json()["fields"])


def kinds(schema: dict, parts: dict) -> list[dict]:
    """The schemas of which a value fits one."""
    if "$ref" in schema:
        return kinds(parts[schema["$ref"].rpartition("/")[2]], parts)
    return [kind for one in schema["anyOf"] for kind in kinds(one, parts)] if "anyOf" in schema else [schema]


def types(kind: dict) -> set[str]:
    """The JSON types that *kind* takes."""
    if "type" in kind:
        return {kind["type"]}
    return {"string"} if "enum" in kind or isinstance(kind.get("const"), str) else {"null"}


def beyond(kind: dict) -> Iterator[Any]:
    """Values of the right type just past each of the kind's bounds."""
    if "minimum" in kind:
        yield kind["minimum"] - 1
    if "maximum" in kind:
        yield kind["maximum"] + 1
    if "exclusiveMinimum" in kind:
        yield kind["exclusiveMinimum"]
    if "exclusiveMaximum" in kind:
        yield kind["exclusiveMaximum"]
    if "maxLength" in kind:
        yield "x" * (kind["maxLength"] + 1)
    if "minLength" in kind:
        yield " " * kind["minLength"]
    if "pattern" in kind:
        yield "not/that!"
    if "enum" in kind or "const" in kind:
        yield "none_of_them"
    if "maxItems" in kind:
        yield [0.5 if "prefixItems" in kind else SHOT] * (kind["maxItems"] + 1)
    if "minItems" in kind:
        yield []
    if "maxProperties" in kind:
        yield {f"name{n}": "x" for n in range(kind["maxProperties"] + 1)}


def wrong_values(model: type, *, without: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    """Every field of *model* with a value of every type that it does not take, and with one past every bound."""
    schema = model.model_json_schema()
    parts = schema.get("$defs", {})
    found: list[tuple[str, Any]] = []
    for name, about in schema["properties"].items():
        if name in without:
            continue
        fits = kinds(about, parts)
        taken = {one for kind in fits for one in types(kind)}
        found += [(name, value) for one, values in OF_TYPE.items() if not {one, IS_ALSO.get(one)} & taken
                  for value in values]
        found += [(name, value) for kind in fits for value in beyond(kind)]
    return found


def shown(case: Any) -> str | None:
    return repr(case)[:40] if not isinstance(case, str) else case[:40]


@pytest.mark.parametrize(("field", "value"), wrong_values(JobRequest), ids=shown)
def test_jobs(fresh, field, value):
    refused(fresh.post("/api/v1/jobs", json=JOB | {field: value}), field)


@pytest.mark.parametrize(("field", "value"), wrong_values(PlanRequest), ids=shown)
def test_storyboards(fresh, field, value):
    refused(fresh.post("/api/v1/storyboards", json={"user_prompt": "a forest", field: value}), field)


@pytest.mark.parametrize(("field", "value"), wrong_values(StoryboardRequest), ids=shown)
def test_storyboards_of_the_clients(fresh, field, value):
    refused(fresh.post("/api/v1/jobs", json=JOB | {"storyboard": STORYBOARD | {field: value}}), f"storyboard.{field}")


@pytest.mark.parametrize(("field", "value"), wrong_values(ShotRequest), ids=shown)
def test_shots_of_the_clients(fresh, field, value):
    shots = [SHOT, SHOT | {field: value}]
    answer = fresh.post("/api/v1/jobs", json=JOB | {"storyboard": STORYBOARD | {"shots": shots}})
    refused(answer, f"storyboard.shots.1.{field}")


@pytest.mark.parametrize(("field", "value"), wrong_values(PriorityRequest), ids=shown)
def test_priorities(fresh, field, value):
    refused(fresh.client.patch("/api/v1/jobs/job_0000000000000000", json={field: value}), field)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/v1/jobs", {}, "user_prompt"), ("POST", "/api/v1/storyboards", {}, "user_prompt"),
        ("PATCH", "/api/v1/jobs/x", {}, "priority"),
        ("POST", "/api/v1/jobs", JOB | {"storyboard": {"shots": [SHOT]}}, "storyboard.title"),
        ("POST", "/api/v1/jobs", JOB | {"storyboard": {"title": "Trees"}}, "storyboard.shots"),
        ("POST", "/api/v1/jobs", JOB | {"storyboard": STORYBOARD | {"shots": [SHOT, {}]}},
         "storyboard.shots.1.description"),
    ],
)
def test_what_is_missing(fresh, method, path, body, field):
    refused(fresh.client.request(method, path, json=body), field)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/api/v1/jobs", JOB | {"promt": "a"}, "promt"),
        ("POST", "/api/v1/jobs", JOB | {"parent_id": "job_0000000000000000"}, "parent_id"),
        ("POST", "/api/v1/storyboards", JOB | {"seed": 1}, "seed"),
        ("PATCH", "/api/v1/jobs/x", {"priority": 1, "status": "completed"}, "status"),
        ("POST", "/api/v1/jobs", JOB | {"storyboard": STORYBOARD | {"model_id": "stub:still"}}, "storyboard.model_id"),
        ("POST", "/api/v1/jobs", JOB | {"storyboard": STORYBOARD | {"shots": [SHOT | {"path": "/etc/passwd"}]}},
         "storyboard.shots.0.path"),
        ("POST", "/api/v1/jobs", JOB | {"storyboard": STORYBOARD | {"shots": [SHOT | {"video_url": "/videos/a"}]}},
         "storyboard.shots.0.video_url"),
        ("POST", "/api/v1/jobs", JOB | {"parameters": {"steps": 4}}, "parameters.steps"),
        ("POST", "/api/v1/jobs", JOB | {"parameters": {"fail_at_step": 1}}, "parameters.fail_at_step"),
        ("POST", "/api/v1/jobs", JOB | {"keyframe_parameters": {"guidance_scale": 5}}, "keyframe_parameters"),
        ("POST", "/api/v1/jobs", JOB | {"style_preferences": {"1mood": "calm"}}, "style_preferences.1mood"),
        ("POST", "/api/v1/jobs", JOB | {"style_preferences": {"m" * 41: "calm"}}, "style_preferences"),
    ],
)
def test_what_is_unknown(fresh, method, path, body, field):
    refused(fresh.client.request(method, path, json=body), field)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"width": 65}, "width"), ({"height": 32}, "height"), ({"num_frames": 481}, "num_frames"), ({"fps": 61}, "fps"),
        ({"num_inference_steps": 51}, "num_inference_steps"), ({"model_id": "stub:still"}, "model_id"),
        ({"parameters": {"guidance_scale": 0}}, "parameters.guidance_scale"),
        ({"parameters": {"motion_bucket_id": 12.5}}, "parameters.motion_bucket_id"),
        ({"keyframe_model_id": "stub:animatic"}, "keyframe_model_id"),
        ({"keyframe_model_id": "stub:none"}, "keyframe_model_id"),
        ({"reference_image": "upload_00"}, "reference_image"), ({"reference_image": ""}, "reference_image"),
        ({"reference_image": "/workspace/uploads/../vidgen.db"}, "reference_image"),
        ({"reference_image": "https://example.org/a.png"}, "reference_image"),
        ({"focus": ["0.5", 0]}, "focus.0"), ({"focus": [0, True]}, "focus.1"),
        ({"storyboard": STORYBOARD | {"shots": [SHOT | {"duration_seconds": 60.0}]}, "fps": 60},
         "storyboard.shots.0.duration_seconds"),
    ],
)
def test_what_the_model_cannot_do(fresh, change, field):
    refused(fresh.post("/api/v1/jobs", json=JOB | change), field)
    refused(fresh.post("/api/v1/jobs", json=JOB | change | {"dry_run": True}), field)


@pytest.mark.parametrize("prompt", ["", " \t\n", "\u3000", "x" * 4_001, "x" * 100_000, "é" * 100_000])
def test_prompts(fresh, prompt):
    refused(fresh.post("/api/v1/jobs", json=JOB | {"user_prompt": prompt}), "user_prompt")


@pytest.mark.parametrize("job_id", ["x", "job_abc123", "job_0000000000000000", "..", "%00", "job_" + "a" * 5_000, "ü"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "", None), ("DELETE", "", None), ("PATCH", "", {"priority": 1}), ("POST", "/cancel", None),
     ("GET", "/recipe", None), ("GET", "/video", None), ("GET", "/events", None)],
)
def test_wrong_ids(fresh, job_id, method, path, body):
    check.error(fresh.client.request(method, f"/api/v1/jobs/{job_id}{path}", json=body), 404, "not_found")


@pytest.mark.parametrize("model_id", ["x", "stub:none", "stub%3Anone", "a" * 5_000, "%ff", "local:svd-xt%00"])
def test_wrong_models(fresh, model_id):
    check.error(fresh.get(f"/api/v1/models/{model_id}"), 404, "not_found")


def test_a_model_that_does_not_exist(fresh):
    detail = check.error(fresh.post("/api/v1/jobs", json=JOB | {"model_id": "stub:none"}), 404, "not_found")
    assert "stub:none" in detail


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/jobs?status=done", "status"), ("/jobs?status=", "status"), ("/jobs?page=0", "page"), ("/jobs?page=", "page"),
        ("/jobs?page=1.5", "page"), ("/jobs?page=1000001", "page"), ("/jobs?page_size=0", "page_size"),
        ("/jobs?page_size=101", "page_size"), ("/jobs?model_id=x", "model_id"), ("/jobs?order=up", "order"),
        ("/jobs?q=", "q"), ("/jobs?limit=5", "limit"), ("/jobs?page=1&page=1", "page"),
        ("/models?available_only=perhaps", "available_only"), ("/models?all=1", "all"), ("/queue?page=1", "page"),
        ("/health?verbose=1", "verbose"), ("/jobs/x?full=1", "full"), ("/jobs/x/events?since=-1", "since"),
        ("/jobs/x/events?since=9223372036854775808", "since"), ("/jobs/x/video?download=1", "download"),
    ],
)
def test_queries(fresh, path, field):
    refused(fresh.get(f"/api/v1{path}"), field)
