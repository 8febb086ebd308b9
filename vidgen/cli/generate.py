"""A prompt in, a video out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidgen.cli import options
from vidgen.cli.options import Detach, Force, Image, Model, Output, Parameters, complete_model, given, numeric
from vidgen.cli.outcome import BadInput
from vidgen.cli.session import Session
from vidgen.cli.text import as_json, seconds
from vidgen.cli.watch import finish

if TYPE_CHECKING:
    from vidgen.client import Client

Text = Annotated[str | None, typer.Option(show_default=False)]
Style = Annotated[list[str] | None, typer.Option(
    "--style", metavar="NAME=WORDS", show_default=False, help="Such as mood=calm; repeatable"
)]
KeyframeModel = Annotated[str | None, typer.Option(
    show_default=False, autocompletion=complete_model, help="What draws each shot's first image"
)]
KeyframeParameters = Annotated[list[str] | None, typer.Option(
    "--keyframe-param", metavar="NAME=VALUE", show_default=False, help="One of the keyframe model's own; repeatable"
)]
Storyboard = Annotated[Path | None, typer.Option(
    exists=True, dir_okay=False, show_default=False, help="Your own, as a file of JSON; nothing is planned then"
)]
DRY_RUN_LINES = {
    "model": "model_id", "keyframes by": "keyframe_model_id", "shots, at most": "num_shots", "it fits": "fits",
    "note": "fit_note", "loaded": "mode", "price in USD": "price_usd", "place in the queue": "position",
}


def generate(
    session: Session, prompt: Annotated[str, typer.Argument(show_default=False)],
    image: Image = None, model: Model = None,
    shots: numeric("--shots", "-n", help="At most so many") = None,
    seed: numeric("--seed", "-s", help="Left out: chosen at random") = None,
    output: Output = None, force: Force = False,
    negative: Annotated[str | None, typer.Option(show_default=False, help="What is not to be seen")] = None,
    width: numeric("--width", help="Pixels") = None, height: numeric("--height", help="Pixels") = None,
    frames: numeric("--frames", help="Of a shot") = None, fps: numeric("--fps", help="Frames a second") = None,
    steps: numeric("--steps", help="Of denoising") = None,
    param: Parameters = None, style: Style = None, keyframe_model: KeyframeModel = None,
    keyframe_param: KeyframeParameters = None,
    focus: Annotated[str | None, typer.Option(
        metavar="X,Y", show_default=False, help="Where the crop of the image looks, each 0 to 1")] = None,
    continuity: Annotated[str | None, typer.Option(
        metavar="independent|chain", show_default=False, help="chain: a shot begins where the one before ends")] = None,
    fit: Annotated[str | None, typer.Option(
        metavar="exact|adapt", show_default=False, help="adapt: rather change the video than lack memory")] = None,
    save_frames: Annotated[bool, typer.Option("--save-frames", help="Keep lossless frames, too")] = False,
    priority: numeric("--priority", help="-10 to 10") = None, storyboard: Storyboard = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and post nothing")] = False,
    detach: Detach = False,
) -> None:
    """Make a video of PROMPT, wait for it, and save it."""
    if output and not (detach or dry_run):
        options.check_output(output, force)
    body = given(
        user_prompt=prompt, model_id=model, max_shots=shots, seed=seed, negative_prompt=negative, width=width,
        height=height, num_frames=frames, fps=fps, num_inference_steps=steps, parameters=options.pairs("param", param),
        style_preferences=options.pairs("style", style, text=True), keyframe_model_id=keyframe_model,
        keyframe_parameters=options.pairs("keyframe_param", keyframe_param), focus=_focus(focus),
        continuity=continuity, fit=fit, save_frames=save_frames or None, priority=priority,
        storyboard=options.read_json("storyboard", storyboard) if storyboard else None,
    )
    with session.client() as client:
        if image is not None:
            body["reference_image"] = client.upload(image).file_id
        if dry_run:
            return _dry_run(session, client, body)
        return finish(session, client, client.post(body), output, force, wait=not detach)


def _focus(text: str | None) -> list[Any] | None:
    if text is None:
        return None
    if len(found := text.split(",")) != 2:
        raise BadInput("focus", f"{text!r} is not X,Y")
    return [options.number(each) for each in found]


def _dry_run(session: Session, client: "Client", body: dict[str, Any]) -> None:
    found = client.dry_run(body)
    if session.json:
        return session.result(found)
    for name, field in DRY_RUN_LINES.items():
        if (value := found.get(field)) is not None:
            session.line(f"{name:20}{_said(value)}")
    session.line(f"{'renders with':20}{as_json(found['effective'])}")
    session.line(f"{'takes':20}{seconds(found['seconds']) or 'unknown'} ({found['source']})")
    return session.line(f"{'ready in':20}{seconds(found['eta_seconds']) or 'unknown'}")


def _said(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
