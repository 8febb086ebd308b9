"""Contact sheets: drawn when they are first asked for, since that decodes the whole video and few are looked at."""

import threading
from contextlib import suppress
from pathlib import Path

from vidgen.errors import DiskLow, EncodeFailed, NotFound
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
        try:
            with self._workspace.scratch(job.id, attempt=1) as temporary:
                tiles = temporary(sheet.name)
                frames = video.count_frames(final, timeout_s=self._timeout_s)   # hosted models make others than planned
                video.contact_sheet(final, tiles, num_frames=frames, timeout_s=self._timeout_s)
                self._workspace.publish(tiles, sheet)
        except (EncodeFailed, FileNotFoundError) as e:
            if not final.exists():
                with suppress(OSError):                 # of a job that was deleted meanwhile, the folder is made again
                    final.parent.rmdir()
                raise NotFound(f"the video of job {job.id} is gone") from None
            if isinstance(e, EncodeFailed) and e.code == DiskLow.code:
                raise DiskLow(e.detail) from e
            raise
