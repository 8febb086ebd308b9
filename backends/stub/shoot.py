"""From a shot's spec to its frames: the set or the photograph, the camera, the words. Yields raw yuv420p frames.

All that decides a pixel is in the spec's prompt, caption, style, seed, sizes, image and parameters; who asked, when,
and how often it was tried are not looked at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from random import Random

from PIL import Image, ImageChops, ImageFilter

from backends.stub import texture
from backends.stub.camera import MID_BUCKET, Pose, poses
from backends.stub.caption import Overlay, overlays, strength_at
from backends.stub.film import Planes, Sampler, Window, chroma, half, look_through, to_planes
from backends.stub.palette import Look, Matrix, read_look
from backends.stub.scene import FAR, MIDDLE, NEAR, CutOut, Scene, paint
from backends.stub.stage import Stage
from backends.stub.texture import Tick, grain
from vidgen.errors import StepFailed
from vidgen.types import CameraMove, RenderSpec

GUIDANCE, PASSES = 7.5, 4               # where a card has no such parameter
PHOTO = 1.0                             # the depth of a photograph
PHOTO_PULL = 0.3                        # of the palette on a photograph: a chain applies it again with every shot
PHOTO_DENSITY = 1.15                    # a photograph keeps this much more detail for a zoom to find
PHOTO_SHEAR = 0.17                      # of an orbit's travel, from the frame's middle to its foot
MOVE_WORDS = {move: move.value.replace("_", " ") for move in CameraMove}


@dataclass(frozen=True)
class Layer:
    """What the camera sees at one depth: a plane of its own, or flat colours behind a moving mask."""

    depth: float
    size: tuple[int, int]               # of the plane, pixels
    planes: Planes
    sampler: Sampler                    # of the mask, or of Y where there is no mask
    density: float = 1.0
    top: int = 0                        # the plane's rows: nothing above top, all of it from solid_from
    solid_from: int = 0
    cut_out: bool = False


def frames(shot: RenderSpec, tick: Tick) -> Iterator[Planes]:
    """Draw every frame of *shot*.

    :param tick: called between the parts of the preparation, which can take long where there are many passes.
    """
    frame = (shot.width, shot.height)
    look, rngs = _read(shot, PHOTO_PULL if shot.image else 1.0)
    path = poses(shot.camera_move, shot.num_frames, *frame, shot.parameters.get("motion_bucket_id", MID_BUCKET))
    layers = _photo(shot, look, rngs, path, tick) if shot.image else _set(shot, look, rngs, path, tick)
    words = overlays(shot.caption, _slate(shot, look), frame) if "caption" in look.elements else []
    for i, pose in enumerate(path):
        planes = _expose(layers, pose, frame, shot.camera_move)
        _letter(words, planes, strength_at(i, len(path)))
        yield planes


def still(shot: RenderSpec, tick: Tick, passed: Tick) -> Image.Image:
    """The set as a picture: RGB, no words.

    :param passed: called after each of the passes.
    """
    frame = (shot.width, shot.height)
    look, rngs = _read(shot, 1.0)
    stages = {depth: Stage(frame, frame) for depth in (FAR, MIDDLE, NEAR)}
    scene = paint(look, rngs, stages, passes(shot), tick)
    picture = scene.far
    for cut in (scene.middle, scene.near):
        mask, colours = cut.silhouette.mask, cut.colours.resize(frame, Image.Resampling.NEAREST)
        top, solid = cut.silhouette.top, cut.silhouette.solid_from
        picture.paste(colours.crop((0, top, frame[0], solid)), (0, top), mask)
        picture.paste(colours.crop((0, solid, *frame)), (0, solid))
    picture = picture.convert("RGB", look.grade)
    noise = grain(rngs["grain"], frame, passes(shot), passed)
    return ImageChops.add(picture, Image.merge("RGB", (noise,) * 3), 1, -128) if "grain" in look.elements else picture


def _read(shot: RenderSpec, pull: float) -> tuple[Look, dict[str, Random]]:
    rngs = {name: _rng(name, shot.seed, shot.prompt) for name in ("words", "layout")}
    rngs |= {name: _rng(name, shot.seed, shot.prompt, shot.negative_prompt) for name in ("detail", "grain")}
    texts = [*shot.style.values(), shot.prompt]
    guidance = shot.parameters.get("guidance_scale", GUIDANCE)
    return read_look(texts, shot.negative_prompt, guidance, rngs["words"], pull), rngs


def _rng(*of: object) -> Random:
    return Random(repr(of).encode("utf-8", "surrogatepass"))


def passes(shot: RenderSpec) -> int:
    """How many octaves of detail the shot asks for."""
    return shot.num_inference_steps or PASSES


def _slate(shot: RenderSpec, look: Look) -> str:
    parts = [look.framing, MOVE_WORDS[shot.camera_move]]
    return " · ".join(part for part in parts if part)


def _set(shot: RenderSpec, look: Look, rngs: dict[str, Random], path: list[Pose], tick: Tick) -> list[Layer]:
    frame, octaves = (shot.width, shot.height), passes(shot)
    stages = {depth: Stage(frame, _plane(frame, path, depth)) for depth in (FAR, MIDDLE, NEAR)}
    scene: Scene = paint(look, rngs, stages, octaves, tick)
    noise = grain(rngs["grain"], stages[FAR].size, octaves, tick) if "grain" in look.elements else None
    return [
        _opaque(scene.far, noise, look.grade, FAR, frame, 1.0),
        _cut_out(scene.middle, noise, look.grade, MIDDLE, stages[MIDDLE], frame),
        _cut_out(scene.near, noise, look.grade, NEAR, stages[NEAR], frame),
    ]


def _photo(shot: RenderSpec, look: Look, rngs: dict[str, Random], path: list[Pose], tick: Tick) -> list[Layer]:
    from vidgen.media.images import cover_crop

    frame, octaves = (shot.width, shot.height), passes(shot)
    density = PHOTO_DENSITY if any(pose.zoom != 1 for pose in path) else 1.0
    size = tuple(ceil(side * density) for side in _plane(frame, path, PHOTO, shot.camera_move is CameraMove.ORBIT))
    try:
        with Image.open(shot.image) as source:
            picture = cover_crop(source.convert("RGB"), *size, shot.focus)
    except OSError as e:
        raise StepFailed("the shot's image cannot be read", retryable=False) from e
    if octaves < PASSES:
        picture = picture.filter(ImageFilter.GaussianBlur((PASSES - octaves) * 0.0016 * size[1]))
    noise = grain(rngs["grain"], size, octaves, tick, texture.PHOTO) if "grain" in look.elements else None
    return [_opaque(picture, noise, look.grade, PHOTO, frame, density)]


def _plane(frame: tuple[int, int], path: list[Pose], depth: float, sheared: bool = False) -> tuple[int, int]:
    """How large a plane must be for the camera never to see its edge."""
    seen = [pose.at(depth) for pose in path]
    across, down = max(abs(pose.dx) for pose in seen), max(abs(pose.dy) for pose in seen)
    if sheared:
        across += max(abs(pose.dx) for pose in path) * PHOTO_SHEAR
    return frame[0] + 2 * ceil(across + bool(across)), frame[1] + 2 * ceil(down + bool(down))


def _opaque(picture: Image.Image, noise: Image.Image | None, grade: Matrix, depth: float, frame: tuple[int, int],
            density: float) -> Layer:
    y, cb, cr = to_planes(picture, grade)
    if noise:
        y = ImageChops.add(y, noise, 1, -128)
    return Layer(depth, picture.size, (y, cb, cr), Sampler(y, frame), density)


def _cut_out(cut: CutOut, noise: Image.Image | None, grade: Matrix, depth: float, stage: Stage,
             frame: tuple[int, int]) -> Layer:
    y, cb, cr = (plane.resize(frame, Image.Resampling.NEAREST) for plane in to_planes(cut.colours, grade))
    if noise:
        y = ImageChops.add(y, noise.crop((0, 0, *frame)), 1, -128)
    small = (half(frame[0]), half(frame[1]))
    colours = (y, *(plane.resize(small, Image.Resampling.NEAREST) for plane in (cb, cr)))
    silhouette = cut.silhouette
    return Layer(depth, stage.size, colours, Sampler(silhouette.mask, frame, silhouette.top), 1.0, silhouette.top,
                 silhouette.solid_from, cut_out=True)


def _expose(layers: list[Layer], pose: Pose, frame: tuple[int, int], move: CameraMove) -> Planes:
    """One frame, from the back to the front; what a nearer layer hides for certain is not drawn."""
    shear = pose.dx * PHOTO_SHEAR * 2 / frame[1] if move is CameraMove.ORBIT and len(layers) == 1 else 0.0
    small = (half(frame[0]), half(frame[1]))
    limit, seen = frame[1], []
    for layer in reversed(layers):
        window = look_through(pose, layer.depth, layer.size, frame, layer.density, shear)
        seen.append((layer, window, limit))
        if layer.cut_out:
            limit = min(limit, _row(layer.solid_from, window, frame, -1))
    planes = tuple(Image.new("L", size) for size in (frame, small, small))
    for layer, window, last in reversed(seen):
        if last > 0:
            (_place_cut_out if layer.cut_out else _place_opaque)(planes, layer, window, frame, last)
    return planes


def _row(plane_row: int, window: Window, frame: tuple[int, int], rounding: int) -> int:
    """The frame's even row at which a plane's row lies; *rounding* -1 goes up the frame, 1 down."""
    half_row = (plane_row - window.y) / window.step / 2
    return min(frame[1], max(0, 2 * (ceil(half_row) if rounding > 0 else int(half_row // 1))))


def _place_opaque(planes: Planes, layer: Layer, window: Window, frame: tuple[int, int], last: int) -> None:
    planes[0].paste(layer.sampler.cut(window, (0, last)), (0, 0))
    for target, plane in zip(planes[1:], layer.planes[1:], strict=True):
        target.paste(chroma(plane, frame, window, (0, last)), (0, 0))


def _place_cut_out(planes: Planes, layer: Layer, window: Window, frame: tuple[int, int], last: int) -> None:
    first, solid = (_row(row, window, frame, way) for row, way in ((layer.top, 1), (layer.solid_from, -1)))
    solid = min(max(solid, first), last)
    if solid > first:
        mask = layer.sampler.cut(window, (first, solid))
        _paste(planes[0], layer.planes[0], first, solid, mask)
        small = mask.reduce(2)
        for target, plane in zip(planes[1:], layer.planes[1:], strict=True):
            _paste(target, plane, first // 2, half(solid), small)
    if last > solid:
        _paste(planes[0], layer.planes[0], solid, last)
        for target, plane in zip(planes[1:], layer.planes[1:], strict=True):
            _paste(target, plane, solid // 2, half(last))


def _paste(target: Image.Image, source: Image.Image, first: int, last: int, mask: Image.Image | None = None) -> None:
    part = source.crop((0, first, source.width, last))
    target.paste(part, (0, first), mask) if mask else target.paste(part, (0, first))


def _letter(words: list[Overlay], planes: Planes, strength: float) -> None:
    for overlay in words:
        if strength == 1:
            overlay.lay(planes)
        elif strength > 0:
            overlay.fade(strength).lay(planes)
