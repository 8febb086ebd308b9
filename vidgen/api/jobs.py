"""Jobs: post, list, read, cancel, reorder, delete; their recipe."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Query, Request, Response

from vidgen.api.body import StrictRoute
from vidgen.api.calls import EngineHere, Slow
from vidgen.api.limits import MAX_IDEMPOTENCY_KEY_CHARS, MAX_PAGE, MAX_PAGE_SIZE, MAX_SEARCH_CHARS
from vidgen.api.wire import JobAnswer, JobId, JobPage, Message, errors
from vidgen.api.wire_dry_run import DryRun
from vidgen.errors import InvalidInput
from vidgen.request import JobRequest, ModelId, PriorityRequest
from vidgen.types import JobStatus

router = APIRouter(prefix="/api/v1/jobs", tags=["Jobs"], route_class=StrictRoute)

IdempotencyKey = Annotated[str | None, Header(
    min_length=1, max_length=MAX_IDEMPOTENCY_KEY_CHARS, pattern=r"^[!-~]+$",
    description="The same key and body again answer 200 with the first job; the same key with another body, 409",
)]
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
SOONER = {"sooner": {"summary": "Before those of priority 0", "value": {"priority": 5}}}


@router.post(
    "", status_code=201, response_model=JobAnswer, summary="Post a job",
    responses={200: {"model": JobAnswer | DryRun, "description": "The job of the same key, or what a dry run found"}}
    | errors(400, 404, 408, 409, 429, 503, 507),
)
def post_job(
    request: Request, response: Response, engine: EngineHere,
    job: Annotated[JobRequest, Body(openapi_examples=EXAMPLES)], idempotency_key: IdempotencyKey = None,
) -> JobAnswer | Response:
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise InvalidInput.of("idempotency-key", "is given twice")
    if job.dry_run:
        return Response(DryRun.of(engine.dry_run(job)).model_dump_json(), media_type="application/json")
    accepted, created = engine.submit(job, idempotency_key)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/api/v1/jobs/{accepted.id}"
    return JobAnswer.of(accepted)


@router.get("", response_model=JobPage, summary="List jobs", responses=errors(400))
def list_jobs(
    engine: EngineHere,
    page: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 1,
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE)] = 20,
    status: JobStatus | None = None,
    model_id: ModelId | None = None,
    q: Annotated[str | None, Query(min_length=1, max_length=MAX_SEARCH_CHARS, description="In the prompt")] = None,
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


@router.post("/{job_id}/cancel", response_model=JobAnswer, summary="Cancel a job", responses=errors(404, 409))
def cancel_job(engine: EngineHere, job_id: JobId) -> JobAnswer:
    return JobAnswer.of(engine.cancel(job_id))


@router.delete(
    "/{job_id}", response_model=Message, summary="Cancel a job where it runs, and remove it with its files",
    responses=errors(404, 409),
)
async def delete_job(engine: EngineHere, slow: Slow, job_id: JobId) -> Message:
    await slow(engine.delete, job_id)
    return Message(message=f"Job {job_id} deleted successfully")


@router.get("/{job_id}/recipe", summary="What determines the job's video", responses=errors(404))
def get_recipe(engine: EngineHere, job_id: JobId) -> dict[str, Any]:
    return engine.recipe(job_id)
