"""Reference images: taken in as clean RGB under a name of ours, found again by id or by that name, never by a path."""

import hashlib
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vidgen.errors import InvalidInput
from vidgen.media import images
from vidgen.media.files import PUBLIC_ROOT, Workspace
from vidgen.store import uploads
from vidgen.store.database import Database
from vidgen.types import Upload

NO_UPLOAD = "there is no such upload; POST /api/v1/upload makes one"


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference image on disk."""

    id: str
    path: Path
    sha256: str                             # of the file as we keep it


class References:
    def __init__(self, database: Database, workspace: Workspace):
        self._database = database
        self._workspace = workspace

    def take_in(self, filename: str, source: BinaryIO, size_bytes: int) -> Upload:
        """Keep the image that *source* holds.

        :param filename: the client's own; shown and never opened.
        :raises InvalidInput: where it is no image, or none that is taken.
        :raises DiskLow: where there is no room.
        """
        self._workspace.require_free()
        upload_id, now = f"upload_{secrets.token_hex(8)}", time.time()
        path = self._workspace.upload_path(upload_id, now)
        try:
            taken = images.take_in(source, path)
            row = {
                "id": upload_id, "filename": filename, "name": path.name, "size_bytes": size_bytes,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "width": taken.width, "height": taken.height,
            }
            self._database.write(lambda tx: uploads.insert(tx, row))
        except BaseException:
            self._workspace.remove_upload(path)
            raise
        return Upload(upload_id, filename, path, size_bytes, taken.width, taken.height, now, row["sha256"])

    def discard(self, upload: Upload) -> None:
        """Forget an image that no job came to use."""
        self._database.write(lambda tx: uploads.delete(tx, upload.id))
        self._workspace.remove_upload(upload.path)

    def find(self, upload_id: str | None) -> Reference | None:
        """The image of this id, or whose file has this name; None where there is none or its file is gone."""
        row = self._database.read(lambda conn: uploads.find(conn, upload_id)) if upload_id else None
        if row is None or not (path := self._workspace.uploads / row.name).exists():
            return None
        return Reference(row.id, path, row.sha256)

    def named(self, said: str) -> Reference | None:
        """The image that a request names, by file_id or file_path; None where it is not there."""
        return self.find(said.removeprefix(f"{PUBLIC_ROOT}/uploads/"))

    def asked_for(self, said: str | None) -> Reference | None:
        """A job's reference image.

        :raises InvalidInput: where the request names one that is not there.
        """
        if said is None:
            return None
        if (found := self.named(said)) is None:
            raise InvalidInput.of("reference_image", NO_UPLOAD)
        return found
