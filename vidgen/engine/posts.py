"""The ways in which a job is posted: new, as a changed version of another one, or once more."""

from vidgen.cards import Card
from vidgen.engine import versions
from vidgen.engine.accepted import Posting, digest
from vidgen.engine.intake import Intake
from vidgen.engine.lookup import Lookup
from vidgen.registry import Registry
from vidgen.request import EditRequest, JobRequest
from vidgen.store.jobs import TimedJob
from vidgen.types import Job


class Posts:
    """Each returns the job and whether it is new, and raises, as ``Intake.take``; the request that a key is compared
    with includes what was done to which job.
    """

    def __init__(self, intake: Intake, lookup: Lookup, registry: Registry):
        self._intake = intake
        self._lookup = lookup
        self._registry = registry

    def new(self, request: JobRequest, key: str | None, parent_id: str | None) -> tuple[TimedJob, bool]:
        def posting() -> Posting:
            return Posting(request, self._lookup.job(parent_id) if parent_id else None)

        return self._intake.take(posting, key, digest(request, f"new version of {parent_id}" if parent_id else ""))

    def edit(self, job_id: str, change: EditRequest, key: str | None) -> tuple[TimedJob, bool]:
        def posting() -> Posting:
            parent = self._lookup.job(job_id)
            return versions.edited(parent, change, self._card_of(parent))

        return self._intake.take(posting, key, digest(change, f"edits of {job_id}"))

    def retry(self, job_id: str, key: str | None) -> tuple[TimedJob, bool]:
        def posting() -> Posting:
            parent = self._lookup.job(job_id)
            return versions.repeated(parent, self._card_of(parent))

        return self._intake.take(posting, key, digest(None, f"retry of {job_id}"))

    def _card_of(self, job: Job) -> Card:
        """Of the job's video model.

        :raises NotFound, ModelUnavailable: where it is gone, or cannot run.
        """
        return self._registry.runnable(job.model_id).card
