"""The same job again, from the recipe in its video; then whether the same frames came out."""

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidgen.cli import options, outcome
from vidgen.cli.compare import Comparison, compare
from vidgen.cli.options import Force, Image, Output, given
from vidgen.cli.outcome import BadInput
from vidgen.cli.recipe import File, read
from vidgen.cli.session import Session
from vidgen.cli.text import as_json
from vidgen.cli.watch import follow

if TYPE_CHECKING:
    from vidgen.client import Client

EFFECTIVE = (
    "width", "height", "num_frames", "fps", "num_inference_steps", "negative_prompt", "parameters",
)
SHOT = ("description", "camera_move", "seed", "keyframe_prompt")
MAX_DIFFERENCES = 20

ShotImages = Annotated[list[str] | None, typer.Option(
    "--keyframe", metavar="N=FILE", show_default=False, help="The first image that shot N was given; repeatable"
)]
AnyImage = Annotated[bool, typer.Option(
    "--any-image", help="Go on with an image that is not the recipe's as this server takes it in"
)]


def reproduce(
    session: Session, file: File, image: Image = None, keyframe: ShotImages = None, any_image: AnyImage = False,
    output: Output = None, force: Force = False,
) -> None:
    """Make a video again from its own recipe, and say whether the frames are equal."""
    recipe = read(file)
    shot_images = _shot_images(recipe, keyframe)
    if (recipe["reference_image_sha256"] is None) != (image is None):
        raise BadInput("image", _image_words(recipe))
    target = _target(file, output, force)
    with session.client() as client:
        uploads = _Uploads(client, any_image)
        reference = uploads.take("image", image, recipe["reference_image_sha256"])
        keyframes = {
            number: uploads.take("keyframe", path, recipe["storyboard"]["shots"][number - 1]["keyframe_image_sha256"])
            for number, path in shot_images.items()
        }
        job = follow(session, client.post(request_of(recipe, reference, keyframes)))
        with TemporaryDirectory() as scratch:
            made = client.download(job.id, target or Path(scratch) / "video.mp4")
            found = compare(file, made, (recipe, read(made)))
    _say(session, found, job.id, target)


def request_of(
    recipe: Mapping[str, Any], reference: str | None = None, keyframes: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """The job that *recipe* was, every shot with its own seed; nothing of it is planned again.

    :param reference: the upload that is the reference image.
    :param keyframes: uploads that are shots' first images, by the shot's number from 1.
    """
    effective, images = recipe["effective"], keyframes or {}
    shots = [_shot(shot, effective, images.get(i)) for i, shot in enumerate(recipe["storyboard"]["shots"], 1)]
    return given(
        user_prompt=recipe["prompt"], style_preferences=recipe["style_preferences"], model_id=recipe["model"]["id"],
        seed=recipe["seed"], **{name: effective[name] for name in EFFECTIVE}, continuity=recipe["continuity"],
        storyboard={"title": recipe["storyboard"]["title"], "shots": shots},
        keyframe_model_id=_keyframe_model_id(recipe), keyframe_parameters=recipe["keyframe_parameters"],
        reference_image=reference, focus=recipe["focus"] if reference or images else None,
    )


def _keyframe_model_id(recipe: Mapping[str, Any]) -> str | None:
    """The model that drew keyframes, unless some shots had none: named, it would draw those too."""
    others = {shot.get("start") for shot in recipe["storyboard"]["shots"]} & {"text", "reference"}
    return None if others or recipe["keyframe_model"] is None else recipe["keyframe_model"]["id"]


def _shot(shot: Mapping[str, Any], effective: Mapping[str, Any], keyframe: str | None) -> dict[str, Any]:
    """A shot as it was rendered: where memory made its parameters differ from what was asked, as they were then."""
    rendered = shot["made"].get("render", {}).get("parameters", {})
    own_length = shot["num_frames"] != effective["num_frames"]
    return given(
        **{name: shot.get(name) for name in SHOT}, parameters={**(shot.get("parameters") or {}), **rendered},
        duration_seconds=shot["duration_seconds"] if own_length else None, keyframe_image=keyframe,
    )


class _Uploads:
    """Images on their way to the server, each held against what the recipe says of it."""

    def __init__(self, client: "Client", any_image: bool):
        self._client = client
        self._any_image = any_image

    def take(self, field: str, path: Path | None, sha256: str | None) -> str | None:
        """The upload's id.

        :raises BadInput: it is another image than the recipe's.
        """
        if path is None:
            return None
        upload = self._client.upload(path)
        if upload.data.get("sha256") != sha256 and not self._any_image:
            raise BadInput(field, f"{path} is not the recipe's image, or this server takes it in otherwise; "
                                  "--any-image goes on with it")
        return upload.file_id


def _shot_images(recipe: Mapping[str, Any], asked: list[str] | None) -> dict[int, Path]:
    """Files by the number of the shot that each begins.

    :raises BadInput: a shot lacks its image, has none, or the file is not there.
    """
    shots = recipe["storyboard"]["shots"]
    needed = {number for number, shot in enumerate(shots, 1) if shot.get("keyframe_image_sha256")}
    found: dict[int, Path] = {}
    for number, path in options.pairs("keyframe", asked, text=True).items():
        if not re.fullmatch(r"[0-9]{1,3}", number) or int(number) not in needed:
            raise BadInput("keyframe", f"the recipe names no image of shot {number!r}")
        if not Path(path).is_file():
            raise BadInput("keyframe", f"there is no file {path}")
        found[int(number)] = Path(path)
    if lacking := sorted(needed - found.keys()):
        raise BadInput("keyframe", f"shot {lacking[0]} began with an image: --keyframe {lacking[0]}=FILE")
    return found


def _image_words(recipe: Mapping[str, Any]) -> str:
    if recipe["reference_image_sha256"]:
        return "the video was made of a reference image, which is not in it: --image FILE"
    return "the video was made without a reference image; leave it out"


def _target(file: Path, output: Path | None, force: bool) -> Path | None:
    """Where the new video stays; None where it does not.

    :raises BadInput: it cannot go there.
    """
    if output is None:
        return None
    target = output / f"{file.stem}-again.mp4" if output.is_dir() else output
    options.check_output(target, force)
    if target.exists() and target.samefile(file):
        raise BadInput("output", f"{target} is the video to be held against")
    return target


def _say(session: Session, found: Comparison, job_id: str, kept: Path | None) -> None:
    """The verdict; the command ends with it.

    :raises typer.Exit: the frames differ.
    """
    if session.json:
        session.result({
            "job_id": job_id, "equal": found.equal, "frames": found.frames, "different_frames": found.different,
            "recipe_differences": [each._asdict() for each in found.recipes], "file": str(kept) if kept else None,
        })
    else:
        session.line(found.said)
        for each in found.recipes[:MAX_DIFFERENCES]:
            session.line(f"  {each.what}: {as_json(each.before)} then, {as_json(each.now)} now")
        if kept:
            session.note(kept)
    if found.different:
        raise typer.Exit(outcome.FAILED)
