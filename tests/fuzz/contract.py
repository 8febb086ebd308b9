"""The server against its own OpenAPI description: ``python -m tests.fuzz.contract --cases 2000``.

schemathesis makes up requests from the description that the started server gives, right ones and wrong ones, alone and
in sequences; some get headers beside that nobody described. Every answer must have a described status, content type
and body; wrong requests must be refused; nothing may be an unexpected 5xx; the server's log may hold no internal error.
Half of the rounds run with the queue standing still and full, half with jobs rendering.
"""

import argparse
import random
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.engine import events, from_schema

from tests.server import Server, started

MANY = 1_000
"""From so many cases on, there are sequences, and the cases that schemathesis derives from every bound, about 800."""

STATEFUL_SHARE = 4                      # one sequence for so many single cases of an operation
MOST_SECONDS = 1_800
SETTINGS = {"allow_test_parameters": "true", "max_queued_jobs": 12, "max_concurrent_jobs": 2}
SMALL = {"width": 64, "height": 64, "num_frames": 3}
SAYS_TOO = {"width": "size", "height": "size", "num_frames": "seconds"}
"""OpenAI's words for the same."""

FRESH = 0.9                             # share of the idempotency keys that no other request has
NOISY = 0.3                             # share of the requests that get a header beside

CANNOT_NOW = {
    "POST /api/v1/jobs": [503, 507], "POST /api/v1/storyboards": [503], "POST /api/v1/upload": [507],
    "POST /api/v1/jobs/{job_id}/edits": [503, 507], "POST /api/v1/jobs/{job_id}/retry": [503, 507],
    "POST /v1/videos": [503, 507], "POST /v1/videos/{video_id}/remix": [503, 507], "POST /v1/videos/edits": [503, 507],
    "POST /v1/videos/extensions": [501], "POST /v1/videos/characters": [501],
    "GET /v1/videos/characters/{character_id}": [501],
}
"""The 5xx that are described and right: a model that is not installed, a full disk, what OpenAI has and we do not. A
description cannot say all that makes a request to these right, either: a model's own bounds, a whole image."""

RANGED = ["GET /api/v1/jobs/{job_id}/video", "GET /videos/{job_id}/{file}", "GET /v1/videos/{video_id}/content"]
CREATES = {"POST /api/v1/jobs": 201, "POST /v1/videos": 200}
ACCEPTED = ["2xx", "3xx", 401, 403, 404, 409, 429, "5xx"]
"""What a right request may be answered with: the thing may not be there, or not in a state for it."""

TEXT = string.printable[:95] + "äßçÿ\x80"
NOISE = {
    "Range": ["bytes=0-0", "bytes=-1", "bytes=5-2", "bytes=0-1,3-4", "bytes=99999999999999999999-", "lines=1-2"],
    "If-Range": ['"x"', "Mon, 01 Jan 2024 00:00:00 GMT", "W/"],
    "If-None-Match": ["*", '"x", W/"y"', ",,,"],
    "If-Modified-Since": ["Mon, 01 Jan 2024 00:00:00 GMT", "yesterday"],
    "Accept": ["application/xml", "*/*;q=0", ";"],
    "Accept-Encoding": ["identity;q=0", "br, gzip"],
    "Origin": ["null", "https://example.org", "file://"],
    "Host": ["example.org", "localhost:0", "127.0.0.1.example.org", "[::1"],
    "Authorization": ["Bearer x", "Basic Og==", "Bearer"],
    "X-API-Key": ["x"],
    "X-Forwarded-For": ["203.0.113.7", "nonsense"],
    "Cookie": ["a=b; c"],
    "Connection": ["close", "Upgrade"],
    "X-HTTP-Method-Override": ["DELETE"],
}


@dataclass
class Findings:
    """What came of it."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[tuple[str, ...], str] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)   # taken by the server
    completed: int = 0                  # of those, rendered to the end and not deleted

    @property
    def cases(self) -> int:
        return self.statuses.total()

    def fail(self, *what: str, how: str = "") -> None:
        self.failures.setdefault(what, how)

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        told = [f"\nFAILED {': '.join(what)}\n{how}" for what, how in self.failures.items()]
        said = f"{self.cases:,} cases ({statuses}); {len(self.jobs)} jobs taken, {self.completed} completed; "
        return "\n".join([*told, f"{said}{len(self.failures)} failures"])


class Hooks:
    """What is done around each call: small jobs, noise, and the queue put back as the round wants it."""

    def __init__(self, server: Server, findings: Findings, paused: bool, chance: random.Random):
        self.server, self.findings, self.paused, self.chance = server, findings, paused, chance

    def before_call(self, context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        if case.operation.label in CREATES and isinstance(case.body, dict):
            for name, value in SMALL.items():
                if SAYS_TOO[name] not in case.body:
                    case.body.setdefault(name, value)
        if (key := case.headers.get("idempotency-key")) and self.chance.random() < FRESH:
            case.headers["idempotency-key"] = f"{key}{self.chance.randrange(10**9)}"
        if self.chance.random() < NOISY and case.method == case.operation.method.upper():
            name = self.chance.choice(sorted(NOISE))
            words = "".join(self.chance.choices(TEXT, k=self.chance.randrange(1, 60))).strip() or "x"
            case.headers.setdefault(name, self.chance.choice([*NOISE[name], words]))

    def after_call(self, context: Any, case: Any, response: Any) -> None:
        self.findings.statuses[response.status_code] += 1
        if case.method == "POST" and response.status_code == CREATES.get(case.operation.label):
            self.findings.jobs.append(response.json()["id"])
        if case.operation.label.startswith("POST /api/v1/queue/"):
            self.settle()

    def settle(self) -> None:
        self.server.post(f"/api/v1/queue/{'pause' if self.paused else 'resume'}")

    @contextmanager
    def installed(self) -> Iterator[None]:
        for hook in (self.before_call, self.after_call):
            schemathesis.hooks.GLOBAL_HOOK_DISPATCHER.register_hook_with_name(hook, hook.__name__)
        self.settle()
        try:
            yield
        finally:
            schemathesis.hooks.unregister_all()


def library(server: Server) -> dict[str, list[str]]:
    """Jobs to be found by the requests, of each kind of end; half of them to be deleted."""
    ids: dict[str, list[str]] = {"kept": [], "doomed": []}
    for kept in ids.values():
        finished = [server.submit(user_prompt=f"a lighthouse, {n}") for n in range(3)]
        failed = server.submit(parameters={"fail_fatal": True})
        for job_id, end in [*((one, "completed") for one in finished), (failed, "failed")]:
            server.wait(job_id, end)
        cancelled = server.submit(parameters={"slow_ms": 1_000})
        server.post(f"/api/v1/jobs/{cancelled}/cancel")
        server.wait(cancelled, "cancelled")
        kept += [*finished, failed, cancelled]
    return ids


def configuration(server: Server, ids: dict[str, list[str]], seed: int, examples: int) -> dict[str, Any]:
    """schemathesis' own configuration."""
    words = {
        **ids, "models": [model["id"] for model in server.get("/api/v1/models").json()["models"]],
        "files": ["final_output.mp4", "shot_001.mp4", "poster.jpg", "final_output.json", "..", ".part", "vidgen.db"],
    }
    often = {"probability": 0.6}
    operations = [
        {"include-name": name, "checks": {
            "positive_data_acceptance": {"enabled": False},
            "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", *statuses]},
        }} for name, statuses in CANNOT_NOW.items()
    ] + [
        {"include-name": name, "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, 416]}}}
        for name in RANGED
    ] + [
        {"include-name": "GET /v1/videos",      # after a video that is not there
         "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, 400]}}}
    ]
    return {
        "seed": seed, "base-url": server.url, "request-timeout": 30, "cache": {"enabled": False},
        "suppress-health-check": ["all"],
        "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
        "phases": {
            "coverage": {"enabled": True},
            "stateful": {"enabled": True, "generation": {"max-examples": max(2, examples // STATEFUL_SHARE)}},
        },
        "dictionaries": {name: {"values": values} for name, values in words.items()},
        "parameters": {
            "path.job_id": {"dictionary": "kept", **often}, "path.video_id": {"dictionary": "kept", **often},
            "path.file": {"dictionary": "files", **often},
            "path.model_id": {"dictionary": "models", **often},
        },
        "operations": [
            *operations,
            *({"include-name": f"DELETE {path}/{{{name}}}",
               "parameters": {f"path.{name}": {"dictionary": "doomed", "probability": 0.3}}}
              for path, name in (("/api/v1/jobs", "job_id"), ("/v1/videos", "video_id"))),
            {"include-name": "GET /api/v1/jobs/{job_id}/events", "request-timeout": 3, "max-stream-events": 50},
        ],
    }


def play(description: dict[str, Any], config: dict[str, Any], findings: Findings, deadline: float) -> None:
    """One round of schemathesis; what it finds goes to *findings*."""
    schema = schemathesis.openapi.from_dict(description, config=schemathesis.Config.from_dict(config))
    stream = from_schema(schema).execute()
    for event in stream:
        if isinstance(event, events.ScenarioFinished):
            _collect(event.recorder, findings)
        elif isinstance(event, events.NonFatalError):
            findings.fail("could not be tried", event.label, str(event.value))
        elif isinstance(event, events.FatalError):
            raise event.exception
        if time.monotonic() > deadline:
            stream.stop()


def _collect(recorder: Any, findings: Findings) -> None:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is None:
                continue
            failure, response = check.failure_info.failure, recorder.interactions[case_id].response
            answer = f"{response.status_code} {response.content[:500]!r}" if response else "no answer"
            how = f"{failure.message}\n{answer}\n{check.failure_info.code_sample}"
            findings.fail(check.name, recorder.label, failure.title, how=how)


def fuzz(
    server: Server, cases: int, seed: int, *, description: dict[str, Any] | None = None, most_s: float = MOST_SECONDS
) -> Findings:
    """Send at least *cases* requests.

    :param description: another one than the server's own.
    :param most_s: seconds after which it ends, whatever is missing.
    """
    description = description or server.get("/openapi.json").json()
    findings, deadline = Findings(), time.monotonic() + most_s
    operations = sum(len(methods) for methods in description["paths"].values())
    ids = library(server)
    number = 0
    while findings.cases < cases and time.monotonic() < deadline:
        examples = max(4, (cases - findings.cases) // operations // 2)
        many = cases >= MANY
        config = configuration(server, ids, seed + number, examples)
        config["phases"]["coverage"]["enabled"] = many and number == 0
        config["phases"]["stateful"]["enabled"] = many
        hooks = Hooks(server, findings, paused=number % 2 == 1, chance=random.Random(seed + number))
        with hooks.installed():
            play(description, config, findings, deadline)
        number += 1
    if findings.cases < cases:
        findings.fail("out of time", f"{findings.cases} of {cases} cases")
    server.post("/api/v1/queue/resume")
    found = [server.get(f"/api/v1/jobs/{job_id}").json() for job_id in findings.jobs]
    findings.completed = sum(job.get("status") == "completed" for job in found)
    for line in server.log().splitlines():
        if "internal error" in line or line.startswith("Traceback"):
            findings.fail("in the server's log", line)
    return findings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000, help="how many requests at least")
    parser.add_argument("--seed", type=int, default=None, help="as a run before printed it")
    args = parser.parse_args(arguments)
    seed = random.randrange(2**32) if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, started(Path(folder) / "workspace", **SETTINGS) as server:
        findings = fuzz(server, args.cases, seed)
    print(f"{findings} (seed {seed}, {time.monotonic() - began:.0f} s)")
    return 1 if findings.failures else 0


if __name__ == "__main__":
    sys.exit(main())
