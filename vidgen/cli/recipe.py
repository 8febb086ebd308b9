"""The recipe that stands in a video of ours, read without a server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vidgen.cli import outcome
from vidgen.cli.outcome import BadInput, Ended
from vidgen.cli.session import Session
from vidgen.cli.text import listed

File = Annotated[Path, typer.Argument(
    metavar="FILE.mp4", exists=True, dir_okay=False, show_default=False, help="A video that vidgen made"
)]
SHOT_HEADER = ("SHOT", "FRAMES", "SEED", "CAMERA", "DESCRIPTION")


def recipe(session: Session, file: File) -> None:
    """Say how a video was made: model, seeds, parameters, versions."""
    found = read(file)
    return session.result(found) if session.json else _show(session, found)


def read(file: Path) -> dict[str, Any]:
    """The recipe in *file*.

    :raises BadInput: it is no mp4.
    :raises Ended: it holds no recipe of ours.
    """
    import json

    from vidgen.cli.recipe_fields import Recipe
    from vidgen.engine.recipe import METADATA_KEY
    from vidgen.errors import EncodeFailed
    from vidgen.media.video import read_metadata

    try:
        text = read_metadata(file).get(METADATA_KEY, "")
    except EncodeFailed:
        raise BadInput("file", f"{file} is no mp4 that can be read") from None
    try:
        Recipe.model_validate(found := json.loads(text))
    except (ValueError, RecursionError):
        said = f"{file} holds no recipe: vidgen did not make it, or another version did, or somebody changed it since"
        raise Ended(outcome.FAILED, said) from None
    return found


def _show(session: Session, found: dict[str, Any]) -> None:
    board = found["storyboard"]
    for name, value in _facts(found):
        if value not in (None, "", {}):
            session.line(f"{name:14}{value}")
    session.line()
    session.table(SHOT_HEADER, [_row(number, shot) for number, shot in enumerate(board["shots"], 1)])


def _facts(found: dict[str, Any]) -> list[tuple[str, object]]:
    effective = found["effective"]
    return [
        ("title", found["storyboard"]["title"]), ("prompt", found["prompt"]),
        ("style", listed(found["style_preferences"])), ("vidgen", found["vidgen"]),
        ("model", _model(found["model"])), ("keyframes by", _model(found["keyframe_model"])),
        ("image", found["reference_image_sha256"] and f"SHA-256 {found['reference_image_sha256']}"),
        ("seed", found["seed"]), ("size", f"{effective['width']} x {effective['height']}"),
        ("frames", f"{effective['num_frames']} a shot, {effective['fps']:g} a second"),
        ("steps", effective["num_inference_steps"]), ("parameters", listed(effective["parameters"])),
        ("negative", effective["negative_prompt"]), ("continuity", found["continuity"]),
        ("encoder", listed(found["encoder"])),
    ]


def _model(model: dict[str, Any] | None) -> str | None:
    if model is None:
        return None
    versions = listed(model["versions"])
    return " ".join(filter(None, [model["id"], model["revision"], versions and f"({versions})"]))


def _row(number: int, shot: dict[str, Any]) -> tuple[object, ...]:
    return number, shot["num_frames"], shot["seed"], shot["camera_move"], shot["description"]
