"""The OpenAPI description: that it is one, that it is true, and the pages that show it."""

import re

import pytest
import schemathesis

from tests.fuzz import contract
from tests.server import started

ROUTES = """
GET /api/v1/health, GET /api/v1/ready, GET /api/v1/models, GET /api/v1/models/{model_id}, POST /api/v1/jobs,
GET /api/v1/jobs, GET /api/v1/jobs/{job_id}, PATCH /api/v1/jobs/{job_id}, DELETE /api/v1/jobs/{job_id},
POST /api/v1/jobs/{job_id}/cancel, GET /api/v1/jobs/{job_id}/recipe, GET /api/v1/jobs/{job_id}/events,
GET /api/v1/jobs/{job_id}/video, POST /api/v1/upload, POST /api/v1/storyboards, GET /api/v1/queue,
POST /api/v1/queue/pause, POST /api/v1/queue/resume, GET /api/v1/gpu, POST /api/v1/gpu/release,
GET /videos/{job_id}/{file}, POST /api/v1/session, DELETE /api/v1/session,
POST /api/v1/jobs/{job_id}/edits, POST /api/v1/jobs/{job_id}/retry, GET /api/v1/jobs/{job_id}/versions,
POST /v1/videos, GET /v1/videos, GET /v1/videos/{video_id}, DELETE /v1/videos/{video_id},
GET /v1/videos/{video_id}/content, POST /v1/videos/{video_id}/remix, POST /v1/videos/edits, POST /v1/videos/extensions,
POST /v1/videos/characters, GET /v1/videos/characters/{character_id}, GET /v1/models, GET /v1/models/{model_id}
"""
CASES = 100
BOUNDS = {
    "string": {"maxLength", "pattern"}, "array": {"maxItems"}, "object": {"maxProperties"}, "boolean": {"type"},
    "integer": {"maximum", "exclusiveMaximum"}, "number": {"maximum", "exclusiveMaximum"},
    None: {"enum", "const", "$ref"},
}
ASSET = re.compile(r"""(?:src|href|url|spec-url)\s*[=:]\s*["']([^"']+)["']""")


@pytest.fixture(scope="module")
def description(server) -> dict:
    return server.get("/openapi.json").json()


def operations(description: dict) -> dict[str, dict]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in description["paths"].items() for method, operation in methods.items()
    }


def test_it_is_openapi(description):
    schemathesis.openapi.from_dict(description).validate()
    assert description["openapi"].startswith("3.1")


def test_every_route_is_described(description):
    assert set(operations(description)) == {route.strip() for route in ROUTES.split(",")}


def test_every_operation_says_what_it_does_and_what_can_go_wrong(description):
    for name, operation in operations(description).items():
        assert operation["summary"] and operation["tags"], name
        assert {"400", "401", "403", "413", "500"} <= set(operation["responses"]), name
        assert "422" not in operation["responses"], name
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                shape = "OpenAIProblem" if " /v1/" in name else "Problem"
                assert schema == {"$ref": f"#/components/schemas/{shape}"}, (name, status)


def alternatives(schema: dict) -> list[dict]:
    return [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]


@pytest.mark.parametrize("name", [
    "JobRequest", "PlanRequest", "StoryboardRequest", "ShotRequest", "PriorityRequest", "EditRequest", "ShotChange",
])
def test_every_field_has_a_type_and_a_bound(description, name):
    model = description["components"]["schemas"][name]
    assert model["additionalProperties"] is False
    for field, schema in model["properties"].items():
        for kind in alternatives(schema):
            assert (BOUNDS[kind.get("type")] | BOUNDS[None]) & kind.keys(), field


def test_the_examples_work_when_pasted(server, description):
    for name, operation in operations(description).items():
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        assert body["examples"], name
        method, path = name.split()
        for example in body["examples"].values():
            job_id = server.submit(max_shots=3) if "edits" in path else server.submit(parameters={"slow_ms": 5_000})
            if "edits" in path:
                server.wait(job_id)
            answer = server.client.request(method, re.sub(r"{\w+_id}", job_id, path), json=example["value"])
            assert answer.status_code in (200, 201), answer.text
            for created in {job_id, answer.json().get("id", job_id)} if "storyboards" not in path else {job_id}:
                assert server.client.delete(f"/api/v1/jobs/{created}").status_code == 200


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_pages_load_everything_from_here(server, page):
    answer = server.get(page)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    wanted = ASSET.findall(answer.text)
    if "/docs/assets/start.js" in wanted:
        wanted += ASSET.findall(server.get("/docs/assets/start.js").text)
    assert "/openapi.json" in wanted and any(address.endswith(".js") for address in wanted)
    for address in wanted:
        assert re.match(r"/[^/]", address), address
        assert server.get(address).status_code == 200, address


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """A server for requests that are made up."""
    with started(tmp_path_factory.mktemp("fuzzed") / "workspace", **contract.SETTINGS) as running:
        yield running


def test_the_answers_are_as_described(fuzzed):
    findings = contract.fuzz(fuzzed, CASES, seed=1, most_s=60)
    assert not findings.failures, findings
    assert findings.cases >= CASES and len(findings.statuses) > 3


def test_a_description_that_is_not_true_is_noticed(fuzzed, description):
    untrue = description | {"paths": {"/api/v1/queue": description["paths"]["/api/v1/queue"]}}
    answer = dict(description["components"]["schemas"]["QueueAnswer"])
    answer["properties"] = answer["properties"] | {"paused": {"type": "string"}}
    untrue["components"] = {"schemas": description["components"]["schemas"] | {"QueueAnswer": answer}}
    findings = contract.fuzz(fuzzed, 5, seed=1, description=untrue, most_s=60)
    assert [what[0] for what in findings.failures] == ["response_schema_conformance"]
