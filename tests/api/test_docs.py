"""The pages and the description of the API."""

import re

import pytest

from vidgen.request import JobRequest

OUTSIDE = re.compile(r"""(?:src|href|url|import)\s*[=(:]\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_all_that_a_page_loads_is_ours(server, page):
    answer = server.get(page)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert not OUTSIDE.search(answer.text) and "http" not in answer.text
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(loaded) >= 2
    for path in loaded:
        assert server.get(path).status_code == 200, path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/docs/assets/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/assets/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/assets/redoc.standalone.js", "text/javascript; charset=utf-8"), ("/favicon.ico", "image/svg+xml"),
    ],
)
def test_assets(server, path, kind):
    answer = server.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
    assert answer.content


@pytest.mark.parametrize("name", ["favicon.png", "..%2f__init__.py", "%2e%2e", "core.py"])
def test_no_other_asset(server, name):
    assert server.get(f"/docs/assets/{name}").status_code == 404


@pytest.fixture(scope="module")
def described(server) -> dict:
    return server.get("/openapi.json").json()


def operations(described):
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_contracts_routes_are_described(described):
    assert {name for name, _ in operations(described)} == {
        "GET /api/v1/health", "GET /api/v1/ready", "GET /api/v1/models", "GET /api/v1/models/{model_id}",
        "POST /api/v1/jobs", "GET /api/v1/jobs", "GET /api/v1/jobs/{job_id}", "PATCH /api/v1/jobs/{job_id}",
        "DELETE /api/v1/jobs/{job_id}", "POST /api/v1/jobs/{job_id}/cancel", "GET /api/v1/jobs/{job_id}/recipe",
        "GET /api/v1/jobs/{job_id}/events", "GET /api/v1/jobs/{job_id}/video", "GET /api/v1/queue",
        "POST /api/v1/queue/pause", "POST /api/v1/queue/resume", "POST /api/v1/storyboards", "POST /api/v1/upload",
        "GET /api/v1/gpu", "POST /api/v1/gpu/release", "GET /videos/{job_id}/{file}", "POST /api/v1/session",
        "DELETE /api/v1/session", "POST /api/v1/jobs/{job_id}/edits", "POST /api/v1/jobs/{job_id}/retry",
        "GET /api/v1/jobs/{job_id}/versions",
        "POST /v1/videos", "GET /v1/videos", "GET /v1/videos/{video_id}", "DELETE /v1/videos/{video_id}",
        "GET /v1/videos/{video_id}/content", "POST /v1/videos/{video_id}/remix", "POST /v1/videos/edits",
        "POST /v1/videos/extensions", "POST /v1/videos/characters", "GET /v1/videos/characters/{character_id}",
        "GET /v1/models", "GET /v1/models/{model_id}",
    }


def test_errors_are_described_as_they_are(described):
    for name, operation in operations(described):
        problem = {"$ref": f"#/components/schemas/{'OpenAIProblem' if ' /v1/' in name else 'Problem'}"}
        errors = {status: said for status, said in operation["responses"].items() if status >= "400"}
        assert {"401", "403", "413", "500"} <= errors.keys(), name
        assert "422" not in errors
        for status, said in errors.items():
            assert said["content"]["application/json"]["schema"] == problem, (name, status)
    assert "HTTPValidationError" not in described["components"]["schemas"]


def test_the_examples_work_when_pasted(server, described):
    examples = described["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) >= 3
    for example in examples.values():
        answer = server.post("/api/v1/jobs", json=example["value"])
        assert answer.status_code == (200 if example["value"].get("dry_run") else 201), answer.text
        if answer.status_code == 201:
            server.client.delete(f"/api/v1/jobs/{answer.json()['id']}")


def test_every_field_of_a_job_is_described(described):
    fields = described["components"]["schemas"]["JobRequest"]
    assert set(fields["properties"]) == set(JobRequest.model_fields)
    assert fields["additionalProperties"] is False


def test_without_keys_none_are_described(described):
    assert "securitySchemes" not in described["components"]
