"""Clips: what is written, what is found in them, what joining makes of them."""

import os
import random
import subprocess
from hashlib import sha256
from itertools import pairwise

import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from tests.fakes.ffmpeg import SECRET
from tests.media.conftest import HEIGHT, WIDTH, grey
from vidgen.errors import Cancelled, EncodeFailed
from vidgen.media.encode import EXACT_SCALE
from vidgen.media.probe import tracks
from vidgen.media.video import ClipWriter, frame_bytes, inspect, join, read_metadata
from vidgen.types import EncoderSettings

ENCODER = EncoderSettings()
NASTY = {
    "title": "a = b; c # d \\ e",
    "comment": '{"prompt": "one\\ntwo", "said": \'x\'}',
    "lines": "one\ntwo\r\nthree\rfour\n\n",
    "quotes": "'\"`´’“”",
    "unicode": "ünïcödé 漢字 🎬 \u2028 \ufeff e\u0301",
    "spaces": "  both ends  ",
    "backslash": "\\",
    "ends": "two at the end \\\\",
    "ends_in_line": "\\\n",
    "empty": "",
    "sections": "\n[STREAM]\n[CHAPTER]\n;FFMETADATA1\nstolen=1",
    "control": "".join(map(chr, range(1, 32))) + "\x7f",
    "model.id": "stub:animatic",
    "last": "still here",
}


def write(path, frames, *, width=WIDTH, height=HEIGHT, fps=7.0, encoder=ENCODER, **more):
    with ClipWriter(path, width=width, height=height, fps=fps, encoder=encoder, **more) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def noise(n, size, seed=1):
    return [random.Random(seed + i).randbytes(size) for i in range(n)]


def decoded(path, count):
    """The frames as RGB, by an ffmpeg that none of our code started."""
    done = subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", path, "-vf", f"scale={EXACT_SCALE},format=rgb24",
         "-f", "rawvideo", "pipe:1"], capture_output=True, check=True,
    )
    size = len(done.stdout) // count
    return [done.stdout[i * size:(i + 1) * size] for i in range(count)]


def ffmpeg(*arguments):
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


def boxes(path):
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        found.append(data[at + 4:at + 8])
        at += int.from_bytes(data[at:at + 4])
    return found


def leftovers(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


# writing


def test_what_a_clip_is(clip):
    found = inspect(clip(frames=9, fps=7.0), num_frames=9)
    assert (found.width, found.height, found.num_frames, found.fps) == (WIDTH, HEIGHT, 9, 7.0)
    assert found.duration_seconds == pytest.approx(9 / 7)
    assert (found.codec, found.pixel_format) == ("h264", "yuv420p")


def test_every_browser_plays_it(clip):
    path = clip()
    data = path.read_bytes()
    assert boxes(path)[:2] == [b"ftyp", b"moov"]
    assert data[data.index(b"avcC") + 5] == 100                      # High
    colours = data.index(b"colrnclx") + 8
    assert data[colours:colours + 6] == b"\0\1\0\1\0\1"              # BT.709, three times


@pytest.mark.parametrize("encoder", [ENCODER, EncoderSettings("medium", 30, 1)])
def test_same_frames_same_bytes(tmp_path, encoder):
    frames = noise(8, frame_bytes(WIDTH, HEIGHT, "rgb24"))
    one, two = (write(tmp_path / f"{i}.mp4", frames, encoder=encoder).read_bytes() for i in range(2))
    assert one == two
    assert b"Lavf" not in one


def test_settings_change_the_bytes(tmp_path):
    frames = noise(4, frame_bytes(WIDTH, HEIGHT, "rgb24"))
    kinds = [ENCODER, EncoderSettings(crf=30), EncoderSettings(preset="slow"), EncoderSettings(threads=1)]
    assert len({write(tmp_path / "c.mp4", frames, encoder=e).read_bytes() for e in kinds}) == len(kinds)


@pytest.mark.parametrize("fps", [0.5, 7.0, 8, 23.976, 24000 / 1001, 29.97, 59.94, 120, 12.3456])
def test_rates(tmp_path, fps):
    found = inspect(write(tmp_path / "c.mp4", noise(5, frame_bytes(16, 16, "rgb24")), width=16, height=16, fps=fps))
    assert found.fps == pytest.approx(fps, rel=1e-5)
    assert found.duration_seconds == pytest.approx(5 / fps, rel=1e-5)
    assert tracks([tmp_path / "c.mp4"])[0].regular


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
@pytest.mark.parametrize(("width", "height"), [(101, 57), (100, 57), (101, 56), (17, 17), (16, 1), (1, 1), (2, 3)])
def test_odd_sizes_grow_by_their_edge(tmp_path, width, height, pixel_format):
    size = frame_bytes(width, height, pixel_format)
    path = write(tmp_path / "c.mp4", [bytes([90]) * size] * 3, width=width, height=height, pixel_format=pixel_format)
    found = inspect(path, num_frames=3, last_frame=tmp_path / "last.png")
    assert (found.width, found.height) == (width + width % 2, height + height % 2)
    with Image.open(tmp_path / "last.png") as last:
        low, high = zip(*last.getextrema(), strict=True)
    assert all(b - a <= 3 for a, b in zip(low, high, strict=True))


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (90, 160, 40)])
def test_colours_come_back(tmp_path, colour):
    path = write(tmp_path / "c.mp4", [bytes(colour) * (WIDTH * HEIGHT)] * 2)
    inspect(path, num_frames=2, poster=tmp_path / "p.jpg", last_frame=tmp_path / "l.png")
    for name in ("p.jpg", "l.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (WIDTH, HEIGHT)
            assert max(abs(a - b) for a, b in zip(picture.convert("RGB").getpixel((9, 9)), colour, strict=True)) <= 4


def test_a_frame_has_one_size(tmp_path):
    with pytest.raises(ValueError, match="9216 bytes, not 9215"):
        write(tmp_path / "c.mp4", [bytes(frame_bytes(WIDTH, HEIGHT, "rgb24") - 1)])
    assert not (tmp_path / "c.mp4").exists()


def test_no_frame_is_no_clip(tmp_path):
    with pytest.raises(EncodeFailed, match="no frame"):
        write(tmp_path / "c.mp4", [])
    assert not (tmp_path / "c.mp4").exists()


def test_any_flat_buffer_is_a_frame(tmp_path):
    frame = bytearray(grey(0, 1))
    shaped = memoryview(frame).cast("B", (HEIGHT, WIDTH, 3))
    one = write(tmp_path / "1.mp4", [shaped])
    assert one.read_bytes() == write(tmp_path / "2.mp4", [bytes(frame)]).read_bytes()


def test_the_folder_is_not_there(tmp_path):
    with pytest.raises(EncodeFailed):
        write(tmp_path / "nowhere" / "c.mp4", [grey(0, 1)])


# inspecting


def test_one_run_finds_everything(fake, clip, tmp_path):
    path = clip()
    fake.forget()
    inspect(path, num_frames=6, poster=tmp_path / "p.jpg", last_frame=tmp_path / "l.png")
    assert [run["kind"] for run in fake.runs()] == ["inspect"]


def test_the_last_frame_is_as_it_decodes(tmp_path):
    path = write(tmp_path / "c.mp4", noise(7, frame_bytes(WIDTH, HEIGHT, "rgb24")))
    inspect(path, last_frame=tmp_path / "last.png")
    with Image.open(tmp_path / "last.png") as last:
        assert (last.format, last.mode) == ("PNG", "RGB")
        assert last.tobytes() == decoded(path, 7)[6]


def test_the_poster_is_the_middle_frame(clip, tmp_path):
    path = clip(frames=9)
    inspect(path, num_frames=9, poster=tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as poster:
        assert (poster.format, poster.mode, poster.size) == ("JPEG", "RGB", (WIDTH, HEIGHT))
        assert poster.getpixel((40, 40))[0] == pytest.approx(decoded(path, 9)[4][-1], abs=4)


def test_pictures_are_the_same_every_time_and_say_nothing(clip, tmp_path):
    path, seen = clip(), set()
    for i in range(2):
        pictures = tmp_path / f"{i}.jpg", tmp_path / f"{i}.png"
        inspect(path, poster=pictures[0], last_frame=pictures[1])
        seen.add(tuple(p.read_bytes() for p in pictures))
    assert len(seen) == 1
    assert b"Lav" not in b"".join(seen.pop())


def test_another_number_of_frames(clip, tmp_path):
    path = clip(frames=6)
    for wrong in (5, 7):
        with pytest.raises(EncodeFailed, match=f"holds 6 of {wrong} frames"):
            inspect(path, num_frames=wrong, last_frame=tmp_path / "last.png")
        assert not (tmp_path / "last.png").exists()


def test_every_cut_is_found(clip, tmp_path):
    data = clip().read_bytes()
    at, ends = data.index(b"mdat") + 4, []
    for packet in tracks([tmp_path / "clip.mp4"])[0].packets:
        ends.append(at := at + packet.size)
    torn = tmp_path / "torn.mp4"
    for length in [0, 1, 7, 8, 48, 500, *ends[:-1], *(e - 1 for e in ends), len(data) - 1]:
        torn.write_bytes(data[:length])
        with pytest.raises(EncodeFailed):
            inspect(torn)
        with pytest.raises(EncodeFailed):
            join([torn], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)


def test_damage_is_found(tmp_path):
    path = write(tmp_path / "c.mp4", noise(4, frame_bytes(WIDTH, HEIGHT, "rgb24")))
    data = path.read_bytes()
    at = data.index(b"mdat") + 4
    for packet in tracks([path])[0].packets:
        path.write_bytes(data[:at] + b"\xff" * 8 + data[at + 8:])
        with pytest.raises(EncodeFailed):
            inspect(path, num_frames=4)
        at += packet.size


@pytest.mark.parametrize("content", [
    b"", b"hello", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
    b"ffconcat version 1.0\nfile clip.mp4\n", b"\x89PNG\r\n\x1a\n" + bytes(200), b"\0\0\0\x08moov",
    b"\0\0\0\1moov" + b"\xff" * 8,
], ids=["empty", "text", "playlist", "script", "png", "bare", "huge"])
def test_what_is_no_video(clip, tmp_path, content):
    clip()
    path = tmp_path / "other.mp4"
    path.write_bytes(content)
    for refused in (lambda: inspect(path), lambda: tracks([path]),
                    lambda: join([path], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)):
        with pytest.raises(EncodeFailed):
            refused()
    assert not (tmp_path / "out.mp4").exists()


def test_it_is_not_there(tmp_path):
    with pytest.raises(EncodeFailed, match="cannot be read"):
        inspect(tmp_path / "nowhere.mp4")


def test_other_peoples_clips(clip, tmp_path):
    source, other = clip(frames=30, fps=10), tmp_path / "other.mp4"
    ffmpeg("-i", source, "-f", "lavfi", "-i", "sine=d=3", "-c:v", "libx265", "-x265-params", "log-level=none", other)
    assert (inspect(other).codec, inspect(other).num_frames) == ("hevc", 30)
    ffmpeg("-i", source, "-c:v", "libx264", "-pix_fmt", "yuv444p", other)
    assert inspect(other).pixel_format == "yuv444p"
    ffmpeg("-ss", "1", "-i", source, "-c", "copy", other)                # an edit list hides the first second
    assert inspect(other, poster=tmp_path / "p.jpg").num_frames == 20
    ffmpeg("-i", source, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", other)
    assert inspect(other).num_frames == 30


# joining


def test_equal_clips_are_copied(fake, tmp_path):
    size = frame_bytes(WIDTH, HEIGHT, "rgb24")
    clips = [write(tmp_path / f"c{i}.mp4", noise(5 + i, size, seed=i), fps=23.976) for i in range(3)]
    fake.forget()
    probe = join(clips, tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    assert all("libx264" not in run["arguments"] for run in fake.runs())
    assert (probe.num_frames, probe.fps) == (18, 23.976)
    assert inspect(tmp_path / "out.mp4", num_frames=18) == probe
    assert decoded(tmp_path / "out.mp4", 18) == [f for i, c in enumerate(clips) for f in decoded(c, 5 + i)]
    assert boxes(tmp_path / "out.mp4")[:2] == [b"ftyp", b"moov"]
    assert leftovers(tmp_path) == []


def test_one_clip_costs_two_runs(fake, clip, tmp_path):
    path = clip()
    fake.forget()
    join([path], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    assert [run["kind"] for run in fake.runs()] == ["join", "list"]


def test_same_clips_same_bytes(clip, tmp_path):
    clips = [clip("a.mp4"), clip("b.mp4", 4), clip("c.mp4", 5, width=48)]
    for chosen in (clips[:1], clips[:2], clips):
        digests = set()
        for i in range(2):
            join(chosen, tmp_path / f"out{i}.mp4", metadata=NASTY, encoder=ENCODER)
            digests.add(sha256((tmp_path / f"out{i}.mp4").read_bytes()).digest())
        assert len(digests) == 1


def test_frames_follow_each_other_without_a_gap(clip, tmp_path):
    join([clip(frames=n, name=f"{n}.mp4") for n in (3, 4, 7)], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    track, = tracks([tmp_path / "out.mp4"])
    times = sorted(packet.pts for packet in track.packets)
    assert times[0] == 0
    assert {b - a for a, b in pairwise(times)} == {track.packets[0].duration}


@pytest.mark.parametrize("lengths", [(1, 1), (1, 5), (2, 2, 7), (5, 1)])
def test_clips_of_one_or_two_frames(clip, tmp_path, lengths):
    clips = [clip(f"{i}.mp4", n) for i, n in enumerate(lengths)]
    probe = join(clips, tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    assert probe == inspect(tmp_path / "out.mp4", num_frames=sum(lengths))
    assert tracks([tmp_path / "out.mp4"])[0].regular


def test_another_size_is_letterboxed(clip, tmp_path):
    first, tall = clip("first.mp4", 4), clip("tall.mp4", 4, width=HEIGHT, height=WIDTH)
    probe = join([first, tall], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    assert (probe.width, probe.height, probe.num_frames, probe.fps) == (WIDTH, HEIGHT, 8, 7.0)
    last = Image.frombytes("RGB", (WIDTH, HEIGHT), decoded(tmp_path / "out.mp4", 8)[7])
    assert max(last.getpixel((2, 24))) < 20
    assert max(last.getpixel((61, 24))) < 20
    assert min(last.getpixel((32, 24))) > 100


def test_another_rate_is_brought_to_the_first(clip, tmp_path):
    probe = join([clip("a.mp4", 7), clip("b.mp4", 16, fps=16)], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    assert (probe.fps, probe.num_frames) == (7.0, 14)
    assert tracks([tmp_path / "out.mp4"])[0].regular


@pytest.mark.parametrize("arguments", [
    ["-c:v", "libx265", "-x265-params", "log-level=none"], ["-c:v", "libx264", "-pix_fmt", "yuv444p"],
    ["-vf", "select=not(mod(n\\,3))", "-fps_mode", "vfr"], ["-f", "lavfi", "-i", "sine=d=2", "-c:v", "copy"],
    ["-c:v", "libx264", "-preset", "ultrafast"],
], ids=["hevc", "yuv444p", "irregular", "with sound", "other headers"])
@pytest.mark.parametrize("alone", [True, False])
def test_any_clip_becomes_one_that_plays(clip, tmp_path, arguments, alone):
    first, other = clip(frames=12), tmp_path / "other.mp4"
    before, after = (arguments[:4], arguments[4:]) if arguments[0] == "-f" else ([], arguments)
    ffmpeg("-i", first, *before, *after, other)
    probe = join([other] if alone else [first, other], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    assert (probe.codec, probe.pixel_format) == ("h264", "yuv420p")
    found = inspect(tmp_path / "out.mp4", num_frames=probe.num_frames)
    assert found.duration_seconds == pytest.approx(12 / 7 * (1 if alone else 2), abs=0.3)
    assert tracks([tmp_path / "out.mp4"])[0].regular


def test_metadata_comes_back(clip, tmp_path):
    clips = [clip("a.mp4"), clip("b.mp4", width=48)]
    for chosen in (clips[:1], clips):
        join(chosen, tmp_path / "out.mp4", metadata=NASTY, encoder=ENCODER)
        assert read_metadata(tmp_path / "out.mp4") == NASTY


def test_100_kb_of_metadata(fake, clip, tmp_path):
    metadata = {"recipe": "é=;#\\\n'\"\r🎬x" * 9_000, "after": "y"}
    join([clip()] * 2, tmp_path / "out.mp4", metadata=metadata, encoder=ENCODER)
    assert len(metadata["recipe"].encode()) > 100_000
    assert read_metadata(tmp_path / "out.mp4") == metadata
    assert all("é" not in argument for run in fake.runs() for argument in run["arguments"])
    assert inspect(tmp_path / "out.mp4", num_frames=12).pixel_format == "yuv420p"


def test_what_an_mp4_cannot_hold(clip, tmp_path):
    join([clip()], tmp_path / "out.mp4", metadata={"a": "x\0y", "b": "\ud83cz", "c": "\0"}, encoder=ENCODER)
    assert read_metadata(tmp_path / "out.mp4") == {"a": "x\ufffdy", "b": "\ufffdz", "c": "\ufffd"}


def test_no_mp4_has_no_metadata(tmp_path):
    (tmp_path / "text.mp4").write_bytes(b";FFMETADATA1\ntitle=x\n")
    with pytest.raises(EncodeFailed):
        read_metadata(tmp_path / "text.mp4")


@pytest.mark.parametrize("key", ["", "a=b", "[STREAM]", "a b", "ü", "a\n"])
def test_keys_are_words(clip, tmp_path, key):
    with pytest.raises(ValueError, match="not a key"):
        join([clip()], tmp_path / "out.mp4", metadata={key: "x"}, encoder=ENCODER)


def test_what_the_clips_say_is_dropped(clip, tmp_path):
    told = tmp_path / "told.mp4"
    ffmpeg("-i", clip(), "-c", "copy", "-metadata", "comment=mine", "-metadata:s:v", "handler_name=mine",
           "-movflags", "use_metadata_tags", "-metadata", "secret=mine", told)
    join([told, told], tmp_path / "out.mp4", metadata={"title": "ours"}, encoder=ENCODER)
    assert read_metadata(tmp_path / "out.mp4") == {"title": "ours"}
    assert b"mine" not in (tmp_path / "out.mp4").read_bytes()


def test_paths_with_quotes(clip, tmp_path):
    folder = tmp_path / "it's a 'folder' \\ with = # ; [x] %d"
    folder.mkdir()
    path = clip().rename(folder / "c'lip.mp4")
    assert join([path, path], folder / "out.mp4", metadata={}, encoder=ENCODER).num_frames == 12


@pytest.mark.parametrize(("how", "said"), [
    ("die", "killed by signal 9"), ("exit", "code 1"), ("hang", "no progress for 0.5 s"), ("cut", "not whole"),
])
@pytest.mark.parametrize("alike", [True, False])
def test_joining_fails(fake, clip, tmp_path, how, said, alike):
    clips = [clip("a.mp4"), clip("b.mp4", width=WIDTH if alike else 48)]
    fake.behave(how, kind="join", frame=1)
    with pytest.raises(EncodeFailed, match=said) as failed:
        join(clips, tmp_path / "out.mp4", metadata={"a": "b"}, encoder=ENCODER, timeout_s=0.5)
    assert SECRET not in failed.value.detail
    assert not (tmp_path / "out.mp4").exists()
    assert leftovers(tmp_path) == []


def test_a_failure_is_not_mended_by_encoding(fake, clip, tmp_path):
    path = clip()
    fake.behave("exit", kind="join", times=1)
    with pytest.raises(EncodeFailed):
        join([path], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
    assert all("libx264" not in run["arguments"] for run in fake.runs("join"))


def test_joining_is_cancelled(fake, clip, tmp_path):
    path = clip()
    fake.behave("hang", kind="join")

    def tick():
        if fake.runs("join"):
            raise Cancelled("the client asked")

    with pytest.raises(Cancelled):
        join([path], tmp_path / "out.mp4", metadata={}, encoder=ENCODER, tick=tick)
    with pytest.raises(ProcessLookupError):
        os.kill(fake.runs("join")[0]["pid"], 0)
    assert leftovers(tmp_path) == []


def test_a_clip_is_missing(clip, tmp_path):
    with pytest.raises(EncodeFailed, match="cannot be read"):
        join([clip(), tmp_path / "nowhere.mp4"], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)


def test_nothing_to_join(tmp_path):
    with pytest.raises(ValueError, match="nothing to join"):
        join([], tmp_path / "out.mp4", metadata={}, encoder=ENCODER)
