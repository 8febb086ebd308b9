"""OpenAI's video routes, over the same jobs as every other interface."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.convertors import StringConvertor, register_url_convertor

from vidgen.api.body import StrictRoute
from vidgen.api.calls import Drawing, EngineHere, Slow
from vidgen.api.errors import problem
from vidgen.api.files import BYTES, CONDITIONS, answer_file, described
from vidgen.api.idempotency import IdempotencyKey
from vidgen.api.openai import described as bodies
from vidgen.api.openai.cursors import Cursors
from vidgen.api.openai.form import Sent, body_of
from vidgen.api.openai.repeats import Repeat, Repeats
from vidgen.api.openai.translate import (
    EditFields,
    PromptFields,
    in_their_names,
    job_request,
    prompted,
    remix_request,
)
from vidgen.api.openai.wire import DeletedVideo, Video, VideoId, VideoPage, openai_errors, poll_after
from vidgen.engine.engine import Engine
from vidgen.engine.sheets import CONTACT_SHEET
from vidgen.engine.steps import POSTER
from vidgen.store.jobs import TimedJob

router = APIRouter(prefix="/v1/videos", tags=["OpenAI"], route_class=StrictRoute)

TAKEN = openai_errors(400, 404, 408, 409, 429, 503, 507)
NO_CHARACTERS = "characters are not possible here; a reference image can show who appears: input_reference"
CONTENT = described({"video/mp4": BYTES, "image/jpeg": BYTES})


class VideoIdConvertor(StringConvertor):
    """Whatever is not the name of a route beside."""

    regex = "(?!(?:edits|extensions|characters)(?:/|$))[^/]+"


register_url_convertor("video_id", VideoIdConvertor())


async def _cursors(request: Request) -> Cursors:
    return request.app.state.cursors


class Making:
    """What all routes that make a video share: a repeat is known, and the client is told when to ask again."""

    def __init__(self, request: Request, response: Response, engine: EngineHere, slow: Slow, key: IdempotencyKey):
        self._request = request
        self._response = response
        self._engine = engine
        self._slow = slow
        self._key = key

    async def once(self, sent: Sent, make: Callable[[Engine, str], TimedJob]) -> Video:
        """:param make: makes the job, with the idempotency key that it is handed."""
        return await self._slow(self._once, sent, make)

    def _once(self, sent: Sent, make: Callable[[Engine, str], TimedJob]) -> Video:
        repeats: Repeats = self._request.app.state.repeats
        repeat = Repeat(sent.digest(self._request.url.path), _number(self._request.headers), self._key)
        return _answer(self._response, repeats.once(repeat, lambda key: make(self._engine, key)))


MakingHere = Annotated[Making, Depends()]


@router.post("", response_model=Video, summary="Create a video", responses=TAKEN, openapi_extra=bodies.CREATE)
async def create_video(request: Request, making: MakingHere) -> Video:
    """A repeat that OpenAI's client makes by itself (`x-stainless-retry-count` above 0) is answered with the first
    try's video. Fields of `POST /api/v1/jobs` are taken beside OpenAI's; in a form as text, nested as `a[b]` or JSON.
    """
    async with body_of(request) as sent:
        return await making.once(sent, partial(_create, sent))


@router.post(
    "/edits", response_model=Video, summary="Render a video again with another prompt", responses=TAKEN,
    openapi_extra=bodies.EDIT,
)
async def edit_video(request: Request, making: MakingHere) -> Video:
    """As a remix; of videos that were made here only."""
    async with body_of(request) as sent:
        fields = prompted(EditFields, sent)
        return await making.once(sent, partial(_remix, fields.video.id, fields.prompt))


@router.post("/extensions", summary="Not possible here", status_code=501, responses=openai_errors(501))
async def extend_video() -> Response:
    """To have a longer video, create one with more seconds."""
    return _not_here("extending a video is not possible here; create one with more seconds")


@router.post("/characters", summary="Not possible here", status_code=501, responses=openai_errors(501))
async def create_character() -> Response:
    return _not_here(NO_CHARACTERS)


@router.get("/characters/{character_id}", summary="Not possible here", status_code=501, responses=openai_errors(501))
async def get_character(character_id: str) -> Response:
    return _not_here(NO_CHARACTERS)


@router.get("", response_model=VideoPage, summary="List videos", responses=openai_errors(400))
def list_videos(
    engine: EngineHere, cursors: Annotated[Cursors, Depends(_cursors)],
    after: Annotated[str | None, Query(max_length=100, description="The `last_id` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> VideoPage:
    place = None if after is None else cursors.place(engine, after)
    found = engine.lookup.after(place, limit=limit + 1, newest_first=order == "desc")
    if shown := found[:limit]:
        cursors.remember(shown[-1])
    return VideoPage.of(shown, has_more=len(found) > limit)


@router.get("/{video_id:video_id}", response_model=Video, summary="Read a video", responses=openai_errors(404))
async def get_video(response: Response, engine: EngineHere, video_id: VideoId) -> Video:
    return _answer(response, engine.job(video_id))      # on the loop, as a job is read


@router.delete(
    "/{video_id:video_id}", response_model=DeletedVideo, summary="Remove a video; one that is not ready is cancelled",
    responses=openai_errors(404, 408, 409),
)
async def delete_video(engine: EngineHere, slow: Slow, video_id: VideoId) -> DeletedVideo:
    await slow(engine.delete, video_id)
    return DeletedVideo(id=video_id)


@router.get(
    "/{video_id:video_id}/content", summary="Download a video, its poster or its contact sheet",
    response_class=Response, responses=openai_errors(400, 404, 409, 416, 507) | CONTENT, openapi_extra=CONDITIONS,
)
async def get_content(
    request: Request, engine: EngineHere, drawing: Drawing, video_id: VideoId,
    variant: Literal["video", "thumbnail", "spritesheet"] = "video",
) -> Response:
    def answer() -> Response:
        path = engine.video(video_id)       # refuses the other variants too, of a video that is not ready
        if variant != "video":
            path = engine.file(video_id, POSTER if variant == "thumbnail" else CONTACT_SHEET)
        return answer_file(path, request, download_as=f"{video_id}{path.suffix}")

    return await (drawing(answer) if variant == "spritesheet" else to_thread.run_sync(answer))


@router.post(
    "/{video_id:video_id}/remix", response_model=Video, summary="Render a video again with another prompt",
    responses=TAKEN, openapi_extra=bodies.REMIX,
)
async def remix_video(request: Request, making: MakingHere, video_id: VideoId) -> Video:
    """Its model, size, length, seed and reference image stay; its shots are planned anew."""
    async with body_of(request) as sent:
        fields = prompted(PromptFields, sent)
        return await making.once(sent, partial(_remix, video_id, fields.prompt))


def _not_here(detail: str) -> Response:
    return problem(501, "Not implemented", detail, "not_implemented")


def _number(headers: Mapping[str, str]) -> int:
    """Of the repeat, as OpenAI's client counts them."""
    said = headers.get("x-stainless-retry-count", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 5 else 0


def _create(sent: Sent, engine: Engine, key: str) -> TimedJob:
    with in_their_names(sent.fields):
        request, picture = job_request(engine, sent)
        if picture is None:
            return engine.submit(request, key)[0]
        upload = engine.add_upload(picture.filename, picture.file, picture.size_bytes)
        try:
            return engine.submit(request.model_copy(update={"reference_image": upload.id}), key)[0]
        except BaseException:
            engine.discard_upload(upload)
            raise


def _remix(video_id: str, prompt: str, engine: Engine, key: str) -> TimedJob:
    with in_their_names(()):
        request = remix_request(engine, engine.job(video_id), prompt)
        return engine.submit(request, key, parent_id=video_id)[0]


def _answer(response: Response, job: TimedJob) -> Video:
    response.headers.update(poll_after(job))
    return Video.of(job)
