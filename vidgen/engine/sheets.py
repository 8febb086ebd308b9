"""Contact sheets: drawn when they are first asked for, since that decodes the whole video and few are looked at."""

import threading
from pathlib import Path

from vidgen.errors import EncodeFailed, NotFound
from vidgen.media import video
from vidgen.media.files import Workspace
from vidgen.store.jobs import TimedJob

CONTACT_SHEET = "sheet.jpg"


class Sheets:
    """:param timeout_s: after which an ffmpeg that makes no progress is ended."""

    def __init__(self, workspace: Workspace, timeout_s: float):
        self._workspace = workspace
        self._timeout_s = timeout_s
        self._drawing = threading.Lock()    # one at a time: several would only take the cores from one another

    def of(self, job: TimedJob, final: Path) -> Path:
        """The contact sheet of *final*, the video of a job that has completed. Waits until it is drawn.

        :raises NotFound: the video is gone.
        :raises DiskLow: there is no room for it.
        :raises EncodeFailed: the video does not decode.
        """
        sheet = final.with_name(CONTACT_SHEET)
        with self._drawing:
            if not sheet.exists():
                self._draw(job, final, sheet)
        return sheet

    def _draw(self, job: TimedJob, final: Path, sheet: Path) -> None:
        frames = sum(shot.num_frames for shot in job.storyboard.shots)
        try:
            with self._workspace.scratch(job.id, attempt=1) as temporary:
                tiles = temporary(sheet.name)
                video.contact_sheet(final, tiles, num_frames=frames, timeout_s=self._timeout_s)
                self._workspace.publish(tiles, sheet)
        except (EncodeFailed, FileNotFoundError):
            if final.exists():
                raise
            self._workspace.remove_job(job.id)      # it was deleted meanwhile
            raise NotFound(f"job {job.id} is gone") from None
