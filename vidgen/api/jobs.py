"""Jobs: post, edit, retry, list, read, cancel, reorder, delete; their versions, their recipe."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere, Slow
from vidgen.api.idempotency import IdempotencyKey
from vidgen.api.limits import MAX_PAGE, MAX_PAGE_SIZE, MAX_SEARCH_CHARS
from vidgen.api.wire import JobAnswer, JobId, JobPage, Message, Versions, errors
from vidgen.api.wire_dry_run import DryRun
from vidgen.request import EditRequest, JobRequest, ModelId, PriorityRequest
from vidgen.store.jobs import TimedJob
from vidgen.types import JobStatus

router = APIRouter(prefix="/api/v1/jobs", tags=["Jobs"], route_class=StrictRoute)

EXAMPLES = {
    "prompt": {"summary": "A prompt", "value": {
        "user_prompt": "A peaceful forest at sunrise", "model_id": "stub:animatic", "max_shots": 3,
        "style_preferences": {"mood": "calm", "color_palette": "warm"},
    }},
    "storyboard": {"summary": "Your own shots", "value": {
        "user_prompt": "A day at the sea", "model_id": "stub:animatic", "storyboard": {
            "title": "A day at the sea", "shots": [
                {"description": "Waves roll in at dawn", "camera_move": "pan_right", "duration_seconds": 2},
                {"description": "A gull stands on a post", "camera_move": "push_in", "duration_seconds": 2},
            ],
        },
    }},
    "dry_run": {"summary": "Ask what it would take", "value": {
        "user_prompt": "Ocean waves at sunset", "model_id": "stub:animatic", "dry_run": True,
    }},
}
CHANGES = {
    "text": {"summary": "Another text for one shot", "value": {
        "shots": [{"id": "shot_002", "description": "A gull dives into the waves"}],
    }},
    "again": {"summary": "One shot again, differently", "value": {"shots": [{"id": "shot_002", "seed": 7}]}},
    "order": {"summary": "Shots in another order, one left out, one new", "value": {
        "order": ["shot_002", {"description": "The sun sets", "camera_move": "pull_out"}],
    }},
}
NO_NUL = r"^[^\x00]*$"
"""The database's search ends at a NUL, and would find every job."""

SOONER = {"sooner": {"summary": "Before those of priority 0", "value": {"priority": 5}}}


@router.post(
    "", status_code=201, response_model=JobAnswer, summary="Post a job",
    responses={200: {"model": JobAnswer | DryRun, "description": "The job of the same key, or what a dry run found"}}
    | errors(400, 404, 408, 409, 429, 503, 507),
)
def post_job(
    response: Response, engine: EngineHere, job: Annotated[JobRequest, Body(openapi_examples=EXAMPLES)],
    idempotency_key: IdempotencyKey,
) -> JobAnswer | Response:
    if job.dry_run:
        return Response(DryRun.of(engine.dry_run(job)).model_dump_json(), media_type="application/json")
    return _posted(response, *engine.submit(job, idempotency_key))


@router.get("", response_model=JobPage, summary="List jobs", responses=errors(400))
def list_jobs(
    engine: EngineHere,
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = 20,
    status: JobStatus | None = None,
    model_id: ModelId | None = None,
    q: Annotated[str | None, Query(
        min_length=1, max_length=MAX_SEARCH_CHARS, pattern=NO_NUL, description="In the prompt"
    )] = None,
    order: Literal["newest", "oldest"] = "newest",
) -> JobPage:
    found, total = engine.jobs(
        page=page, page_size=page_size, status=status, model_id=model_id, q=q, newest_first=order == "newest"
    )
    return JobPage(jobs=list(map(JobAnswer.of, found)), total=total, page=page, page_size=page_size)


@router.get("/{job_id}", response_model=JobAnswer, summary="Read a job", responses=errors(404))
async def get_job(engine: EngineHere, job_id: JobId) -> JobAnswer:
    # On the loop: three indexed reads take 0.3 ms and wait for no commit (what runs is read twice a second for all);
    # the way to a thread and back takes longer than that while jobs render, and clients that poll take it most often.
    return JobAnswer.of(engine.job(job_id))


@router.patch(
    "/{job_id}", response_model=JobAnswer, summary="Move a job in the queue", responses=errors(400, 404, 408, 409)
)
def patch_job(
    engine: EngineHere, job_id: JobId, change: Annotated[PriorityRequest, Body(openapi_examples=SOONER)]
) -> JobAnswer:
    return JobAnswer.of(engine.set_priority(job_id, change.priority))


@router.post("/{job_id}/cancel", response_model=JobAnswer, summary="Cancel a job", responses=errors(404, 408, 409))
def cancel_job(engine: EngineHere, job_id: JobId) -> JobAnswer:
    return JobAnswer.of(engine.cancel(job_id))


@router.post(
    "/{job_id}/edits", status_code=201, response_model=JobAnswer,
    summary="Post a new version of a job that has ended; only what changed is rendered",
    responses={200: {"model": JobAnswer, "description": "The job of the same key"}}
    | errors(400, 404, 408, 409, 429, 503, 507),
)
def edit_job(
    response: Response, engine: EngineHere, job_id: JobId,
    change: Annotated[EditRequest, Body(openapi_examples=CHANGES)], idempotency_key: IdempotencyKey,
) -> JobAnswer:
    return _posted(response, *engine.edit(job_id, change, idempotency_key))


@router.post(
    "/{job_id}/retry", status_code=201, response_model=JobAnswer,
    summary="Post a job that failed or was cancelled once more; what it had finished is kept",
    responses={200: {"model": JobAnswer, "description": "The job of the same key"}}
    | errors(400, 404, 408, 409, 429, 503, 507),
)
def retry_job(
    response: Response, engine: EngineHere, job_id: JobId, idempotency_key: IdempotencyKey
) -> JobAnswer:
    return _posted(response, *engine.retry(job_id, idempotency_key))


@router.get(
    "/{job_id}/versions", response_model=Versions, summary="A job and its other versions", responses=errors(404)
)
def list_versions(engine: EngineHere, job_id: JobId) -> Versions:
    return Versions(jobs=list(map(JobAnswer.of, engine.versions(job_id))))


@router.delete(
    "/{job_id}", response_model=Message, summary="Cancel a job where it runs, and remove it with its files",
    responses=errors(404, 408, 409),
)
async def delete_job(engine: EngineHere, slow: Slow, job_id: JobId) -> Message:
    await slow(engine.delete, job_id)
    return Message(message=f"Job {job_id} deleted successfully")


@router.get("/{job_id}/recipe", summary="What determines the job's video", responses=errors(404))
def get_recipe(engine: EngineHere, job_id: JobId) -> dict[str, Any]:
    return engine.recipe(job_id)


def _posted(response: Response, job: TimedJob, created: bool) -> JobAnswer:
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return JobAnswer.of(job)
