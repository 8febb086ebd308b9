"""Where a job's time goes, piece by piece: the stub's drawing and the four runs of ffmpeg, one after the other.

Nothing else runs meanwhile, so encoding has both cores here; with three jobs at once it has less.
"""

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.figures import Report, spread
from bench.standard import FRAMES, standard

SHOTS = 8
PIECES = ("draw", "encode", "inspect", "join")


def measure(report: Report, section: str) -> None:
    took: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="vidgen-bench-") as folder:
        for number in range(SHOTS):
            _one(number, Path(folder), took)
    for name in PIECES:
        report.add(section, f"alone: {name}", statistics.median(took[name]), "ms", note=f"wall: {spread(took[name])}")


def _one(number: int, folder: Path, took: dict[str, list[float]]) -> None:
    from backends.stub import shoot
    from backends.stub.film import frame_bytes
    from vidgen.media import video
    from vidgen.types import EncoderSettings

    clip, encoder = folder / "clip.mp4", EncoderSettings()

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        done = work()
        took[name].append(1000 * (time.perf_counter() - began))
        return done

    def encode(frames: list[bytes]) -> None:
        size = {"width": 1024, "height": 576, "fps": 8, "pixel_format": "yuv420p"}
        with video.ClipWriter(clip, **size, encoder=encoder) as writer:
            for frame in frames:
                writer.write(frame)

    frames = timed("draw", lambda: [frame_bytes(frame) for frame in shoot.frames(_spec(number, clip), lambda: None)])
    timed("encode", lambda: encode(frames))
    timed("inspect", lambda: video.inspect(clip, num_frames=FRAMES, poster=folder / "poster.jpg"))
    timed("join", lambda: video.join([clip], folder / "joined.mp4", metadata={"title": "A shot"}, encoder=encoder))


def _spec(number: int, output: Path) -> Any:
    """What the stub is handed for the standard job of this number."""
    from vidgen.types import CameraMove, RenderSpec

    body = standard(number)
    shot, = body["storyboard"]["shots"]
    return RenderSpec(
        job_id="job_0000000000000000", shot_id="shot_001", index=0, num_shots=1, prompt=shot["description"],
        caption=shot["description"], camera_move=CameraMove(shot["camera_move"]), seed=number, width=body["width"],
        height=body["height"], num_frames=body["num_frames"], fps=8.0, num_inference_steps=4, negative_prompt=None,
        parameters={}, style={}, image=None, focus=(0.5, 0.5), output=output,
    )
