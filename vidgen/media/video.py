"""Video on disk: write a clip, inspect it, join clips, show and keep their frames. All of it runs ffmpeg as a child
process of ours.

The parts are ``encode`` (frames into H.264), ``frames`` (frames into a zip), ``probe`` (what a file holds), ``join``
(clips into one mp4), ``sheet`` (a contact sheet), ``extract`` (the frames of a finished video).
"""

from vidgen.media.encode import ClipWriter, PixelFormat, frame_bytes
from vidgen.media.extract import extract_frames
from vidgen.media.ffmpeg import Tick, nothing
from vidgen.media.join import join, read_metadata
from vidgen.media.probe import Probe, check_whole, count_frames, inspect
from vidgen.media.sheet import contact_sheet

__all__ = [
    "ClipWriter", "PixelFormat", "Probe", "Tick", "check_whole", "contact_sheet", "count_frames", "extract_frames",
    "frame_bytes", "inspect", "join", "nothing", "read_metadata",
]
