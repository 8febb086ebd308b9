"""Reading jobs: one by its id, those of one family, and by place and key for interfaces that page and repeat in their
own way.
"""

import sqlalchemy as sa

from vidgen.engine.outlook import Outlook
from vidgen.errors import NotFound
from vidgen.store import jobs, listing
from vidgen.store.database import Database
from vidgen.store.jobs import TimedJob


def existing(conn: sa.Connection, job_id: str) -> TimedJob:
    """The job as it stands.

    :raises NotFound: where there is none.
    """
    if (job := jobs.get(conn, job_id)) is None:
        raise NotFound(f"there is no job {job_id!r}")
    return job


class Lookup:
    def __init__(self, database: Database, outlook: Outlook):
        self._database = database
        self._outlook = outlook

    def job(self, job_id: str) -> TimedJob:
        """The job, without what is expected of it.

        :raises NotFound: where there is none.
        """
        return self._database.read(lambda conn: existing(conn, job_id))

    def versions(self, job_id: str) -> list[TimedJob]:
        """The job, what it is a version of, and all other versions of that, oldest first.

        :raises NotFound: where there is no such job.
        """
        job = self.job(job_id)
        return self._outlook.told(self._database.read(lambda conn: jobs.versions(conn, job.root_id or job.id)))

    def seq_of(self, job_id: str) -> int | None:
        """The place of a job in the order of acknowledgement; None where there is none."""
        return self._database.read(lambda conn: listing.seq_of(conn, job_id))

    def after(self, seq: int | None, *, limit: int, newest_first: bool) -> list[TimedJob]:
        """The jobs that follow the place *seq*, or the first ones."""
        found = self._database.read(lambda conn: listing.after(conn, seq, limit=limit, newest_first=newest_first))
        return self._outlook.told(found)

    def by_key_prefix(self, prefix: str, since: float = 0.0) -> list[tuple[str, str]]:
        """Id and idempotency key of the jobs whose key begins with *prefix*, the newest first.

        :param since: seconds since the epoch; older jobs are left out.
        """
        return self._database.read(lambda conn: listing.by_key_prefix(conn, prefix, since))
