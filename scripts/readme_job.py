"""Run the job that README shows, from POST to mp4, and draw three frames of what came out.

    python scripts/readme_job.py

Starts the real server in a workspace of its own, uploads tests/data/reference.jpg, posts one prompt, waits, downloads.
Prints the times; writes README's picture to tests/data/readme_frames.jpg.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

import requests
from bench.server import Server
from imageio_ffmpeg import read_frames
from PIL import Image

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
JOB = {
    "user_prompt": "A lighthouse keeps watch over a misty headland; the last light leaves the sea; the lamp comes on",
    "model_id": "stub:animatic", "max_shots": 3, "seed": 2026, "num_frames": 33, "fps": 12,
    "style_preferences": {"mood": "quiet"},
}
SHOWN_PX = 480                              # width of one frame in the picture
SHOWN_AT = (0.15, 0.5, 0.8)                 # of the video's frames: one in each shot


def main() -> int:
    with Server() as server:
        url = f"http://127.0.0.1:{server.port}"
        began = time.monotonic()
        image = _upload(url, DATA / "reference.jpg")
        uploaded = time.monotonic()
        job = requests.post(f"{url}/api/v1/jobs", json=JOB | {"reference_image": image}, timeout=60).json()
        done = server.client().wait_for(job["id"])
        video = requests.get(f"{url}{done['output_video_url']}", timeout=60).content
        ended = time.monotonic()
    _draw(video, DATA / "readme_frames.jpg")
    frames = JOB["num_frames"] * len(done["storyboard"]["shots"])
    print(f"upload {uploaded - began:.2f} s; POST to downloaded mp4 {ended - uploaded:.2f} s")
    print(f"{frames} frames of {done['width']}x{done['height']}, {len(video):,} bytes")
    for shot in done["storyboard"]["shots"]:
        print(f"  {shot['camera_move']:9} {shot['description']}")
    return 0


def _upload(url: str, image: Path) -> str:
    with image.open("rb") as file:
        answer = requests.post(f"{url}/api/v1/upload", files={"file": (image.name, file, "image/jpeg")}, timeout=60)
    return answer.json()["file_id"]


def _draw(video: bytes, picture: Path) -> None:
    """Three frames of *video*, side by side."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(video)
        file.flush()
        reader = read_frames(file.name)
        size = next(reader)["size"]
        frames = [Image.frombytes("RGB", size, frame) for frame in reader]
    shown = [frames[int(at * len(frames))] for at in SHOWN_AT]
    height = SHOWN_PX * size[1] // size[0]
    strip = Image.new("RGB", (SHOWN_PX * len(shown), height))
    for place, frame in enumerate(shown):
        strip.paste(frame.resize((SHOWN_PX, height), Image.Resampling.LANCZOS), (SHOWN_PX * place, 0))
    encoded = io.BytesIO()
    strip.save(encoded, "JPEG", quality=85)
    picture.write_bytes(encoded.getvalue())


if __name__ == "__main__":
    sys.exit(main())
