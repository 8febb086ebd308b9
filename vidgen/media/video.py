"""Video on disk: write a clip, inspect it, join clips. All of it runs ffmpeg as a child process of ours.

The parts are ``encode`` (frames into H.264), ``probe`` (what a file holds), ``join`` (clips into one mp4).
"""

from vidgen.media.encode import ClipWriter, PixelFormat, frame_bytes
from vidgen.media.ffmpeg import Tick, nothing
from vidgen.media.join import join, read_metadata
from vidgen.media.probe import Probe, inspect

__all__ = ["ClipWriter", "PixelFormat", "Probe", "Tick", "frame_bytes", "inspect", "join", "nothing", "read_metadata"]
