"""Publishing: a finished file appears under its name by rename, and a restart can tell that it did.

Before the rename, the step's row notes which file is about to appear (inode, size, key, attempt). A file that was
renamed by a server that died before it could commit is then adopted, not rendered again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidgen.errors import Cancelled
from vidgen.media.files import Workspace
from vidgen.store import steps
from vidgen.store.database import Database
from vidgen.store.writer import Tx
from vidgen.types import Step


class Publisher:
    def __init__(self, database: Database, workspace: Workspace):
        self._database = database
        self._workspace = workspace

    def publish(
        self, step: Step, temporary: Path, final: Path, key: str, made: Mapping[str, Any] | None = None
    ) -> None:
        """Rename *temporary* to *final*, noting it first for :meth:`adopt`.

        :param key: of what was asked for.
        :param made: how it came out.
        :raises Cancelled: where the step does not belong to the caller any more.
        """
        identity = self._workspace.identity(temporary)
        staged = {"attempt": step.attempts, "key": key, "made": dict(made or {}), "identity": identity}

        def note(tx: Tx) -> None:
            if not steps.owned(tx, step):
                raise Cancelled("the step was taken away")
            steps.stage(tx, step, staged)

        self._database.write(note)
        self._workspace.publish(temporary, final)

    def adopt(self, step: Step, final: Path, key: str) -> Mapping[str, Any] | None:
        """How the file at *final* was made, where an earlier attempt left it there, whole, and only did not commit;
        else None.
        """
        staged = step.staged
        if staged is None or staged["key"] != key or not final.exists():
            return None
        return staged.get("made", {}) if self._workspace.identity(final) == staged["identity"] else None
