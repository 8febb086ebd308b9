"""Pipelines whose VAE decodes in overlapping tiles, because a whole video at once needs too much memory.

For 121 frames of 848 x 480 one activation of HunyuanVideo 1.5's last level is 12.6 GB, and several live at once. Tiles
are the release's own, 256 pixels wide there; smaller videos are one tile. Tiles change the frames a little, so they are
part of the card and never chosen by what memory is free.
"""

from typing import Any

from backends.local.families import Family


class Tiled(Family):
    """The generic way, with the VAE's tiles switched on."""

    def prepare(self, pipeline: Any) -> None:
        pipeline.vae.enable_tiling()


FAMILY = Tiled()
