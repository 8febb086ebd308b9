"""Each backend keeps the frames that it made, or was given, where a shot asks for them."""

import io
import random
from dataclasses import replace
from zipfile import ZipFile

import pytest
from PIL import Image

from backends.local.output import write_clip
from backends.replicate.outcome import make_clip
from backends.stub import StubBackend
from tests.backends.test_stub import ANIMATIC, Recorder, pictures
from tests.fakes.footage import small_gif, small_mp4, small_webm
from vidgen.backend import BackendConfig
from vidgen.errors import Cancelled
from vidgen.media.ffmpeg import nothing
from vidgen.media.video import extract_frames, inspect
from vidgen.types import CameraMove, RenderSpec

numpy = pytest.importorskip("numpy")


@pytest.fixture
def config(tmp_path):
    return BackendConfig(tmp_path)


@pytest.fixture
def spec(tmp_path):
    return RenderSpec(
        job_id="job", shot_id="shot_001", index=0, num_shots=1, prompt="a lake", caption="a lake",
        camera_move=CameraMove.PAN_LEFT, seed=7, width=66, height=50, num_frames=5, fps=8.0, num_inference_steps=4,
        negative_prompt=None, parameters={"guidance_scale": 7.5, "motion_bucket_id": 127}, style={}, image=None,
        focus=(0.5, 0.5), output=tmp_path / "clip.part.mp4", frames=tmp_path / "clip.part.zip",
    )


def kept(spec: RenderSpec) -> list[bytes]:
    with ZipFile(spec.frames) as archive:
        return [Image.open(io.BytesIO(archive.read(name))).tobytes() for name in archive.namelist()]


def test_the_stub_keeps_what_it_drew(config, spec):
    StubBackend(config).render(ANIMATIC, spec, Recorder())
    assert kept(spec) == [picture.tobytes() for picture in pictures(spec)]


def test_a_local_model_keeps_what_it_decoded(config, spec):
    chance = random.Random(1)
    frames = [
        numpy.frombuffer(chance.randbytes(66 * 50 * 3), "uint8").reshape(50, 66, 3) for _ in range(spec.num_frames)
    ]
    write_clip(frames, {}, {}, spec, Recorder(), config)
    assert kept(spec) == [frame.tobytes() for frame in frames]


@pytest.mark.parametrize("stop", [1, 3])
def test_nothing_is_left_of_a_clip_that_was_cancelled(config, spec, stop):
    with pytest.raises(Cancelled):
        StubBackend(config).render(ANIMATIC, spec, Recorder(stop_at_step=stop))
    assert not spec.frames.exists()
    assert not spec.output.exists()


@pytest.mark.parametrize("footage", [small_mp4, small_webm, small_gif])
def test_of_a_hosted_model_the_frames_that_were_delivered_are_kept(config, spec, tmp_path, footage):
    """Not those of our own encoding, where it had to be encoded again."""
    delivered, again = tmp_path / "delivered", tmp_path / "again"
    for file in (delivered, again):
        file.write_bytes(footage())
    found = make_clip(delivered, spec, config, nothing)
    apart = replace(spec, frames=tmp_path / "apart.zip")
    extract_frames(again, apart.frames, num_frames=found.num_frames)
    assert len(kept(spec)) == found.num_frames == inspect(spec.output).num_frames
    assert kept(spec) == kept(apart)


def test_no_frames_are_kept_where_nobody_asks(config, spec, tmp_path):
    delivered = tmp_path / "delivered"
    delivered.write_bytes(small_mp4())
    make_clip(delivered, replace(spec, frames=None), config, nothing)
    assert list(tmp_path.iterdir()) == [spec.output]
