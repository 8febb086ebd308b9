"""New versions of a job: one of its shots changed, or what failed tried again."""

from typing import Annotated

import typer

from vidgen.cli import options
from vidgen.cli.options import Detach, Force, JobId, Output, Parameters, given, numeric
from vidgen.cli.outcome import BadInput
from vidgen.cli.session import Session
from vidgen.cli.watch import finish

Words = Annotated[str | None, typer.Option(show_default=False)]
Order = Annotated[str | None, typer.Option(
    metavar="N,N,...", show_default=False, help="The shots of the new version by number; those left out go"
)]
KeyframeImage = Annotated[options.Path | None, typer.Option(
    exists=True, dir_okay=False, show_default=False, help="The shot's first image"
)]


def edit(
    session: Session, id: JobId, shot: numeric("--shot", help="Which one changes, from 1") = None,
    description: Words = None, camera: Words = None,
    duration: numeric("--duration", help="Seconds") = None, seed: numeric("--seed", "-s", help="The shot's") = None,
    param: Parameters = None,
    keyframe_prompt: Annotated[str | None, typer.Option(
        show_default=False, help="What the shot's first image is drawn from")] = None,
    keyframe_image: KeyframeImage = None, order: Order = None, title: Words = None,
    priority: numeric("--priority", help="-10 to 10") = None,
    output: Output = None, force: Force = False, detach: Detach = False,
) -> None:
    """Make a new version of a job: only what changed is rendered again."""
    if output and not detach:
        options.check_output(output, force)
    change = given(
        description=description, camera_move=camera, duration_seconds=duration, seed=seed,
        parameters=options.pairs("param", param), keyframe_prompt=keyframe_prompt,
    )
    if shot is None and (change or keyframe_image):
        raise BadInput("shot", "say which one changes: --shot 1")
    with session.client() as client:
        if keyframe_image is not None:
            change["keyframe_image"] = client.upload(keyframe_image).file_id
        shots = [] if shot is None else [{"id": _shot_id("shot", shot), **change}]
        job = client.edit(id, **given(shots=shots, order=_order(order), title=title, priority=priority))
        finish(session, client, job, output, force, wait=not detach)


def retry(
    session: Session, id: JobId, output: Output = None, force: Force = False, detach: Detach = False
) -> None:
    """Try a failed or cancelled job again; what was rendered is kept."""
    if output and not detach:
        options.check_output(output, force)
    with session.client() as client:
        finish(session, client, client.retry(id), output, force, wait=not detach)


def _order(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [_shot_id("order", options.number(each.strip())) for each in text.split(",")]


def _shot_id(field: str, number: object) -> str:
    if not isinstance(number, int) or not 0 < number < 1000:
        raise BadInput(field, f"{number!r} is no shot's number; the first one is 1")
    return f"shot_{number:03}"
