"""Replicate's API, through its SDK: files, predictions, the account's list of them.

Answers are read from the bytes that came, since the SDK's own models refuse what they do not know (a status such as
``aborted``, a URL that is null). Every call blocks; whoever must not be held puts it into a thread.
"""

import io
import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import replicate
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backends.replicate.table import Table
from backends.replicate.transport import ServiceError, Transport, Unreachable

REPLICATE_URL = "https://api.replicate.com"

RUNNING = ("starting", "processing")
SUCCEEDED = "succeeded"

CANCEL_PAUSES_S = (0.3, 1.0)
"""Between one try to cancel and the next."""

KEPT_S = 3600
"""How long Replicate keeps the files of a prediction of the API (https://replicate.com/docs/topics/predictions)."""

log = logging.getLogger(__name__)


class Answer(BaseModel):
    """Base of what Replicate says; what we do not read is dropped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Prediction(Answer):
    """One run of a model. Times are Replicate's, as it writes them."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")       # becomes part of an address
    status: str
    model: str | None = None
    version: str | None = None
    input: Any = None
    output: Any = None
    error: Any = None
    logs: str | None = None
    metrics: dict[str, Any] | None = None
    data_removed: bool | None = None    # input and output were deleted, as they are after an hour
    created_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None

    def has_expired(self, now: float) -> bool:
        """Whether its files were deleted by *now*, in seconds since the epoch."""
        completed = seconds(self.completed_at)
        return completed is not None and now - completed > KEPT_S

    @property
    def predict_seconds(self) -> float | None:
        """How long the model itself ran."""
        said = (self.metrics or {}).get("predict_time")
        return float(said) if isinstance(said, int | float) and 0 <= said < math.inf else None

    @property
    def queue_seconds(self) -> float | None:
        """From being created to being started, both by Replicate's clock."""
        created, started = seconds(self.created_at), seconds(self.started_at)
        return None if created is None or started is None else max(0.0, started - created)


class Page(Answer):
    """A part of the account's list, the newest first. ``next`` is an address of which only the query is used."""

    results: list[Any]
    next: str | None = None


class _File(Answer):
    urls: dict[str, Any]


_A = TypeVar("_A", bound=Answer)


def seconds(time: str | None) -> float | None:
    """An ISO time as seconds since the epoch, in UTC where it does not say; None where it is none."""
    try:
        said = datetime.fromisoformat(time or "")
        return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


class Service:
    """:param token: shown to *base_url* and to no other place."""

    def __init__(self, token: str, base_url: str | None = None):
        base_url = base_url or REPLICATE_URL
        self._transport = Transport(base_url)
        self._client = replicate.Client(
            api_token=token, base_url=base_url, transport=self._transport, headers={"Accept-Encoding": "identity"}
        )

    def close(self) -> None:
        self._transport.close()

    def upload(self, name: str, data: bytes) -> str:
        """Put a file up, and return the address that models read it from."""
        file = self._ask(_File, lambda: self._client.files.create(io.BytesIO(data), filename=name))
        url = file.urls.get("get")
        if not isinstance(url, str):
            raise Unreachable("the file has no address")
        return url

    def create(self, table: Table, inputs: Mapping[str, Any]) -> Prediction:
        """Make a prediction. From here on it costs."""
        which = {"version": table.version} if table.version else {"model": table.model}
        return self._ask(Prediction, lambda: self._client.predictions.create(**which, input=dict(inputs)))

    def get(self, prediction_id: str) -> Prediction:
        return self._ask(Prediction, lambda: self._client.predictions.get(prediction_id))

    def cancel(self, prediction_id: str) -> Prediction:
        return self._ask(Prediction, lambda: self._client.predictions.cancel(prediction_id))

    def insist_on_cancel(self, prediction_id: str) -> None:
        """Cancel, and ask again where Replicate has trouble of its own."""
        for pause_s in (*CANCEL_PAUSES_S, None):
            try:
                self.cancel(prediction_id)
                return
            except ServiceError as e:
                if not e.passing or pause_s is None:
                    raise
                time.sleep(pause_s)

    def page(self, after: Page | None = None) -> Page:
        """The newest predictions of the account, or the page that follows *after*."""
        if after is None:
            return self._ask(Page, lambda: self._client.predictions.list())
        query = urlsplit(after.next or "").query
        return self._ask(Page, lambda: self._client.predictions.list(f"/v1/predictions?{query}"))

    def _ask(self, kind: type[_A], call: Callable[[], Any]) -> _A:
        """:raises ServiceError: what came is an error, nothing, or not a *kind*."""
        try:
            call()
        except ServiceError:
            raise
        except httpx.HTTPError as e:
            raise Unreachable(type(e).__name__) from e
        except Exception as e:
            log.debug("the SDK cannot read an answer: %s", type(e).__name__)
        try:
            return kind.model_validate_json(self._transport.body)
        except ValidationError as e:
            raise Unreachable("the answer cannot be read") from e


def predictions_of(page: Page) -> list[Prediction]:
    """Those of *page* that can be read."""
    found = []
    for result in page.results:
        try:
            found.append(Prediction.model_validate(result))
        except ValidationError:
            log.debug("a prediction in the list cannot be read")
    return found
