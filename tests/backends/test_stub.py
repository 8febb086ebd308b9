"""The stub: what it draws, what decides it, what it reports, and how it fails when it is asked to."""

import io
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest
from PIL import Image, ImageChops, ImageDraw

from backends.stub import StubBackend, shoot
from backends.stub.film import frame_bytes, to_planes, to_rgb
from vidgen.backend import AVAILABLE, BackendConfig
from vidgen.cards import read_card
from vidgen.errors import Cancelled, InvalidInput, StepFailed
from vidgen.media.video import inspect
from vidgen.request import JobRequest
from vidgen.types import CameraMove, Clip, EncoderSettings, Lane, RenderSpec, Still

CARDS = Path(__file__).resolve().parents[2] / "backends" / "models"
ANIMATIC, STILL = read_card(CARDS / "stub-animatic.toml"), read_card(CARDS / "stub-still.toml")
REFERENCE = Path(__file__).resolve().parents[1] / "data" / "reference.jpg"
PROMPT = "A sailing boat on the ocean at sunset"


class Recorder:
    """A control that keeps what it is told, and stops the render where it is asked to."""

    def __init__(self, stop_at_step: int | None = None, stop_at_check: int | None = None):
        self.steps: list[tuple[str, int, int]] = []
        self.previews: list[bytes] = []
        self.notes: list[str] = []
        self.checks = 0
        self._stop_at_step, self._stop_at_check = stop_at_step, stop_at_check

    def step(self, phase: str, i: int, n: int, preview: bytes | None = None) -> None:
        self.steps.append((phase, i, n))
        self.previews += [preview] if preview else []
        if i == self._stop_at_step:
            raise Cancelled("cancelled")

    def check(self) -> None:
        self.checks += 1
        if self.checks == self._stop_at_check:
            raise Cancelled("cancelled")

    def note(self, code: str, message: str) -> None:
        self.notes.append(code)


@pytest.fixture
def backend(tmp_path):
    return StubBackend(BackendConfig(tmp_path, encoder=EncoderSettings(crf=1, threads=1)))


@pytest.fixture
def spec(tmp_path):
    return RenderSpec(
        job_id="job", shot_id="shot_001", index=0, num_shots=3, prompt=PROMPT, caption="The boat sails home",
        camera_move=CameraMove.PUSH_IN, seed=7, width=192, height=108, num_frames=3, fps=8.0, num_inference_steps=4,
        negative_prompt=None, parameters={"guidance_scale": 7.5, "motion_bucket_id": 127}, style={}, image=None,
        focus=(0.5, 0.5), output=tmp_path / "clip.part.mp4",
    )


def film(spec: RenderSpec) -> list[bytes]:
    return [frame_bytes(planes) for planes in shoot.frames(spec, lambda: None)]


def pictures(spec: RenderSpec) -> list[Image.Image]:
    return [to_rgb(planes) for planes in shoot.frames(spec, lambda: None)]


def decoded(backend: StubBackend, spec: RenderSpec, tmp_path: Path) -> Image.Image:
    """The last frame of *spec*'s clip, as a player shows it."""
    backend.render(ANIMATIC, spec, Recorder())
    inspect(spec.output, num_frames=spec.num_frames, last_frame=tmp_path / "last.png")
    return Image.open(tmp_path / "last.png").convert("RGB")


def image_file(path: Path, size: tuple[int, int], colour: tuple[int, int, int]) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


# what it is


def test_it_is_always_available_and_runs_on_the_cpu_lane(backend):
    assert backend.availability(ANIMATIC) is AVAILABLE
    assert StubBackend.lane is Lane.CPU
    assert (ANIMATIC.id, STILL.id) == ("stub:animatic", "stub:still")
    assert "pillow" in backend.versions()


def test_the_defaults_are_those_of_a_real_model():
    effective = ANIMATIC.resolve(JobRequest(user_prompt="x"), seed=1)
    assert (effective.width, effective.height, effective.num_frames, effective.fps) == (1024, 576, 25, 8.0)
    assert effective.parameters == {"guidance_scale": 7.5, "motion_bucket_id": 127}


@pytest.mark.parametrize("card", [ANIMATIC, STILL], ids=lambda card: card.id)
def test_testing_parameters_are_refused_unless_they_are_allowed(card):
    request = JobRequest(user_prompt="x", parameters={"fail_at_step": 1})
    with pytest.raises(InvalidInput, match="parameters.fail_at_step"):
        card.resolve(request, seed=1)
    assert card.resolve(request, seed=1, testing=True).parameters["fail_at_step"] == 1


# clips and stills


@pytest.mark.parametrize("move", list(CameraMove))
@pytest.mark.parametrize("image", [None, REFERENCE], ids=["text", "image"])
def test_a_clip_of_every_move_is_whole(backend, spec, move, image):
    clip = backend.render(ANIMATIC, replace(spec, camera_move=move, image=image), Recorder())
    assert clip == Clip(spec.output, 192, 108, 3, 8.0)
    probe = inspect(spec.output, num_frames=3)
    assert (probe.width, probe.height, probe.num_frames, probe.pixel_format) == (192, 108, 3, "yuv420p")


@pytest.mark.parametrize("size", [(64, 64), (64, 2048), (2048, 64), (66, 130), (256, 144), (108, 192)])
def test_every_size_is_drawn(spec, size):
    for move in (CameraMove.PAN_LEFT, CameraMove.TILT_UP, CameraMove.PULL_OUT, CameraMove.ORBIT):
        shot = replace(spec, width=size[0], height=size[1], camera_move=move, num_frames=2)
        assert all(len(frame) == size[0] * size[1] * 3 // 2 for frame in film(shot))


@pytest.mark.parametrize("move", ["push_in", "pull_out"])
@pytest.mark.parametrize("size", [(96, 194), (170, 112), (374, 64), (294, 304), (116, 226), (396, 258)])
def test_a_zoom_on_an_image_stays_inside_it_at_every_size(spec, tmp_path, size, move):
    image = image_file(tmp_path / "odd.png", (301, 173), (90, 120, 150))
    width, height = size
    shot = replace(spec, width=width, height=height, image=image, camera_move=CameraMove(move), num_frames=9)
    assert len(film(shot)) == 9


def test_a_clip_may_have_a_single_frame(backend, spec):
    assert backend.render(ANIMATIC, replace(spec, num_frames=1), Recorder()).num_frames == 1


def test_every_frame_is_a_step(backend, spec):
    control = Recorder()
    backend.render(ANIMATIC, replace(spec, num_frames=5), control)
    assert control.steps == [("render", i, 5) for i in range(1, 6)]


def test_a_still_is_a_picture_without_words_and_every_pass_is_a_step(backend, spec, tmp_path):
    control, output = Recorder(), tmp_path / "keyframe.part.png"
    still = backend.render(STILL, replace(spec, output=output), control)
    assert still == Still(output, 192, 108)
    assert control.steps == [("render", i, 4) for i in range(1, 5)]
    with Image.open(output) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (192, 108))
        words = replace(spec, output=tmp_path / "other.png", caption="Something else")
        backend.render(STILL, words, Recorder())
        assert picture.tobytes() == Image.open(tmp_path / "other.png").tobytes()


def test_any_card_of_the_provider_works_by_its_capabilities(backend, spec, tmp_path):
    (tmp_path / "mine.toml").write_text("""
        provider = "stub"
        name = "mine"
        title = "Mine"
        description = "Moves an image"
        capabilities = { image_to_video = true }
        width = { default = 128, min = 64, max = 512, step = 2 }
        height = { default = 128, min = 64, max = 512, step = 2 }
        frames = { default = 3, min = 1, max = 9 }
        fps = { default = 8, min = 1, max = 60 }
    """)
    card = read_card(tmp_path / "mine.toml")
    effective = card.resolve(JobRequest(user_prompt="x"), seed=3)
    shot = replace(spec, image=REFERENCE, num_inference_steps=effective.num_inference_steps, parameters={})
    assert backend.render(card, shot, Recorder()).num_frames == 3


# what decides the pixels


@pytest.mark.parametrize("image", [None, REFERENCE], ids=["text", "image"])
def test_same_determinants_same_bytes(backend, spec, tmp_path, image):
    shot = replace(spec, image=image)
    again = replace(shot, job_id="another", shot_id="shot_009", attempt=3, output=tmp_path / "again.mp4")
    backend.render(ANIMATIC, shot, Recorder())
    backend.render(ANIMATIC, again, Recorder())
    assert shot.output.read_bytes() == again.output.read_bytes()


CHANGES = {
    "seed": {"seed": 8},
    "prompt": {"prompt": "A tower in the desert at noon"},
    "caption": {"caption": "The boat is lost"},
    "move": {"camera_move": CameraMove.STATIC},
    "style": {"style": {"color_palette": "cool"}},
    "steps": {"num_inference_steps": 5},
    "few steps": {"num_inference_steps": 1},
    "negative element": {"negative_prompt": "sun, boats"},
    "negative words": {"negative_prompt": "blurry, low quality"},
    "negative caption": {"negative_prompt": "text"},
    "guidance": {"parameters": {"guidance_scale": 7.0, "motion_bucket_id": 127}},
    "motion": {"parameters": {"guidance_scale": 7.5, "motion_bucket_id": 128}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("image", [None, REFERENCE], ids=["text", "image"])
def test_every_determinant_changes_the_pixels(spec, change, image):
    shot = replace(spec, image=image, width=384, height=216)
    assert film(shot) != film(replace(shot, **change))


@pytest.mark.parametrize("steps", [9, 49])
def test_the_last_step_still_counts(spec, steps):
    assert film(replace(spec, num_inference_steps=steps)) != film(replace(spec, num_inference_steps=steps + 1))


def test_more_motion_travels_further(spec):
    def travel(bucket: int) -> float:
        shot = replace(spec, camera_move=CameraMove.PAN_RIGHT, image=REFERENCE, negative_prompt="text, grain",
                       parameters={"motion_bucket_id": bucket})
        first, *_, last = pictures(shot)
        return sum(abs(a - b) for a, b in zip(first.tobytes(), last.tobytes(), strict=True))

    assert travel(1) < travel(127) < travel(255)


def test_what_the_negative_prompt_names_is_left_out(spec):
    def brightest(negative: str | None) -> int:
        shot = replace(spec, prompt="The moon over hills at night", caption="", negative_prompt=negative)
        return pictures(shot)[0].convert("L").getextrema()[1]

    assert brightest(None) > 200
    assert brightest("moon, stars") < 160


def test_guidance_pulls_the_colours_further(spec):
    def colourfulness(guidance: float) -> float:
        shot = replace(spec, caption="", parameters={"guidance_scale": guidance}, negative_prompt="grain")
        return sum(max(pixel) - min(pixel) for pixel in pictures(shot)[0].resize((16, 9)).get_flattened_data())

    assert colourfulness(1) < colourfulness(7.5) < colourfulness(14)


# the reference image


def test_an_image_fills_the_frame_at_its_focus_and_is_not_stretched(spec, tmp_path):
    wide = Image.new("RGB", (600, 200), (20, 20, 200))
    ImageDraw.Draw(wide).ellipse((30, 30, 170, 170), fill=(240, 240, 240))
    wide.save(tmp_path / "wide.png")
    shot = replace(spec, image=tmp_path / "wide.png", width=200, height=200, num_frames=1, caption="",
                   negative_prompt="text, grain", camera_move=CameraMove.STATIC)
    left, right = (pictures(replace(shot, focus=focus))[0].convert("L") for focus in ((0.0, 0.5), (1.0, 0.5)))
    x0, y0, x1, y1 = left.point([255 if i > 140 else 0 for i in range(256)]).getbbox()
    assert abs((x1 - x0) - (y1 - y0)) <= 2 and abs((x1 - x0) - 140) <= 4
    assert right.getextrema()[1] < 60


@pytest.mark.parametrize("colour", [(200, 100, 50), (30, 160, 220), (250, 250, 250), (12, 12, 12), (220, 20, 60)])
def test_colours_are_right_after_decoding(backend, spec, tmp_path, colour):
    shot = replace(spec, image=image_file(tmp_path / "flat.png", (320, 180), colour), negative_prompt="text, grain")
    picture = decoded(backend, shot, tmp_path)
    for place in ((20, 20), (96, 54), (180, 100)):
        assert all(abs(a - b) <= 3 for a, b in zip(picture.getpixel(place), colour, strict=True))


def test_a_flat_colour_survives_the_planes_and_back():
    for colour in ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255), (17, 200, 90)):
        picture = to_rgb(to_planes(Image.new("RGB", (8, 8), colour)))
        assert all(abs(a - b) <= 2 for a, b in zip(picture.getpixel((3, 3)), colour, strict=True))


def test_an_image_that_is_gone_fails_for_good(backend, spec, tmp_path):
    with pytest.raises(StepFailed, match="image cannot be read") as e:
        backend.render(ANIMATIC, replace(spec, image=tmp_path / "gone.png"), Recorder())
    assert not e.value.retryable
    assert not spec.output.exists()


def middle_of_bar(picture: Image.Image) -> float:
    row = picture.convert("L").crop((0, 20, picture.width, 21)).tobytes()
    return sum(i * v for i, v in enumerate(row)) / sum(row)


@pytest.mark.parametrize("move", [CameraMove.PAN_LEFT, CameraMove.STATIC, CameraMove.ORBIT, CameraMove.PUSH_IN])
def test_motion_is_smooth_to_a_part_of_a_pixel(spec, tmp_path, move):
    bar = Image.new("RGB", (800, 450))
    ImageDraw.Draw(bar).rectangle((430, 0, 446, 450), fill=(255, 255, 255))
    bar.save(tmp_path / "bar.png")
    shot = replace(spec, image=tmp_path / "bar.png", width=400, height=224, num_frames=24, camera_move=move,
                   negative_prompt="text, grain", parameters={"motion_bucket_id": 60})
    places = [middle_of_bar(picture) for picture in pictures(shot)]
    speeds = [b - a for a, b in zip(places, places[1:], strict=False)]
    assert all(abs(b - a) < 0.5 for a, b in zip(speeds, speeds[1:], strict=False))
    assert abs(places[-1] - places[0]) > 0.3


# words


@pytest.mark.parametrize("size", [(64, 64), (192, 108), (1024, 576), (1920, 1080), (576, 1024)])
@pytest.mark.parametrize("prompt", ["snow in the arctic at noon", "city at night"])
def test_the_caption_stands_out(spec, size, prompt):
    shot = replace(spec, prompt=prompt, width=size[0], height=size[1], num_frames=1, num_shots=1)
    with_words, without = (pictures(replace(shot, caption=caption))[0].convert("L") for caption in (shot.caption, ""))
    changed = ImageChops.difference(with_words, without).point([255 if i > 40 else 0 for i in range(256)])
    letters = with_words.crop(changed.getbbox()).tobytes()
    assert max(letters) > 215
    assert median(letters) < 110


def test_the_last_frame_is_clean_for_the_next_shot_of_a_chain(spec):
    one, other = (film(replace(spec, caption=caption, num_frames=12)) for caption in ("One", "Another"))
    assert one[0] != other[0]
    assert one[-1] == other[-1]


CAPTIONS = {
    "empty": "", "spaces": "  \n\t ", "accents": "Çà, Ångström, Łódź, žluťoučký kůň, Größe, İstanbul, ệ",
    "emoji": "🚀👩‍👩‍👧 lift-off", "only emoji": "🚀🚀", "cjk": "日本語の字幕、中文字幕",
    "rtl": "מגדלור בשקיעה · منارة عند الغروب",
    "override": "a\u202egnp.exe\u200b\x00\x07", "devanagari": "प्रकाशस्तंभ", "marks": "e" + "\u0301" * 200,
    "lone mark": "\u0301\u0302", "surrogate": "\ud800 half",
    "long": "a long and winding sentence " * 300, "one word": "x" * 4000,
}


@pytest.mark.parametrize("caption", CAPTIONS.values(), ids=CAPTIONS.keys())
@pytest.mark.parametrize("size", [(64, 64), (320, 180)])
def test_no_caption_is_too_much(backend, spec, caption, size):
    shot = replace(spec, caption=caption, prompt=caption, width=size[0], height=size[1], num_frames=1)
    assert backend.render(ANIMATIC, shot, Recorder()).num_frames == 1


def test_accented_letters_differ_from_bare_ones(spec):
    assert film(replace(spec, caption="Elan")) != film(replace(spec, caption="Élan"))


def test_letters_that_nothing_draws_are_noted(backend, spec):
    control = Recorder()
    backend.render(ANIMATIC, replace(spec, caption="a \U000e0041\U0010fffd b 𓀀"), control)
    assert control.notes == ["caption_letters"]


# trials, cancels


def trial(spec: RenderSpec, attempt: int = 1, **parameters) -> RenderSpec:
    return replace(spec, attempt=attempt, parameters={**spec.parameters, **parameters})


def test_it_fails_where_it_is_asked_to(backend, spec):
    control = Recorder()
    with pytest.raises(StepFailed) as e:
        backend.render(ANIMATIC, trial(spec, fail_at_step=2), control)
    assert e.value.retryable
    assert control.steps == [("render", 1, 3)]
    assert not spec.output.exists()


def test_it_fails_for_good_where_it_is_asked_to(backend, spec):
    with pytest.raises(StepFailed) as e:
        backend.render(ANIMATIC, trial(spec, fail_fatal=True), Recorder())
    assert not e.value.retryable


def test_it_fails_as_often_as_it_is_asked_to(backend, spec):
    for attempt in (1, 2):
        with pytest.raises(StepFailed):
            backend.render(ANIMATIC, trial(spec, attempt, fail_times=2), Recorder())
    assert backend.render(ANIMATIC, trial(spec, 3, fail_times=2), Recorder()).num_frames == 3


def test_a_still_fails_where_it_is_asked_to(backend, spec):
    with pytest.raises(StepFailed):
        backend.render(STILL, trial(spec, fail_at_step=3), Recorder())
    assert not spec.output.exists()


def test_trials_do_not_change_the_pixels(spec):
    assert film(spec) == film(trial(spec, fail_at_step=3, slow_ms=1, attempt=2))


def test_a_slow_render_listens_while_it_sleeps_and_shows_previews(backend, spec):
    control = Recorder()
    backend.render(ANIMATIC, trial(spec, slow_ms=400), control)
    assert control.checks > 20
    assert {Image.open(io.BytesIO(preview)).format for preview in control.previews} == {"JPEG"}


def test_waiting_ends_only_by_control(backend, spec):
    control = Recorder(stop_at_check=60)
    with pytest.raises(Cancelled):
        backend.render(ANIMATIC, trial(spec, wait_at_step=2), control)
    assert control.steps == [("render", 1, 3)]
    assert not spec.output.exists()


@pytest.mark.parametrize("card", [ANIMATIC, STILL], ids=lambda card: card.id)
def test_a_cancel_goes_through_and_leaves_no_file(backend, spec, card):
    with pytest.raises(Cancelled):
        backend.render(card, spec, Recorder(stop_at_step=2))
    assert not list(spec.output.parent.glob("clip*"))


def test_a_cancel_is_heard_while_the_set_is_drawn(backend, spec):
    control = Recorder(stop_at_check=3)
    with pytest.raises(Cancelled):
        backend.render(ANIMATIC, replace(spec, num_inference_steps=50), control)
    assert control.steps == []
