"""Settles which prediction a step waits for: the one that it has, else one that was lost, else a new one.

The order of writing is what keeps a step from being paid for twice: the intent before the POST, the id right after.
A POST that may have been heard (500, a reset connection, no answer) is not repeated before the account's list has been
looked through; one that was surely not (429, no connection) is.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from backends.replicate import words
from backends.replicate.held import Held
from backends.replicate.inputs import digest_of, inputs_of, picture
from backends.replicate.ledger import Ledger
from backends.replicate.line import Line
from backends.replicate.lost import Lost
from backends.replicate.service import Page, Prediction, Service
from backends.replicate.table import Table
from backends.replicate.transport import Refused, ServiceError, Unreachable
from backends.replicate.waiting import Backoff
from vidgen.types import RenderSpec

POSTS = 2
"""How often one attempt creates a prediction of which it cannot know whether it was created."""

PICTURE = "image.png"

log = logging.getLogger(__name__)


class Settle:
    """:param held: the predictions of all renders of this process."""

    def __init__(self, table: Table, shot: RenderSpec, service: Service, line: Line, held: Held):
        self._table = table
        self._shot = shot
        self._service = service
        self._line = line
        self._held = held
        self._ledger = Ledger(line.control)

    def prediction(self) -> Prediction:
        """The step's prediction, whatever its status.

        :raises ServiceError: Replicate refuses, or is out of reach.
        :raises StepFailed: it takes no more requests.
        """
        if (mine := self._kept()) is not None:
            return mine
        inputs = inputs_of(self._table, self._shot, self._picture())
        digest = digest_of(self._table, inputs)
        if self._ledger.entry.digest == digest and (lost := self._look(inputs)):
            return lost
        return self._create(inputs, digest)

    def spend(self, prediction: Prediction) -> None:
        """The prediction is of no use any more; the next one will be another."""
        self._ledger.spend(prediction.id)
        self._held.discard(prediction.id)

    def release(self) -> None:
        """The render is over."""
        if self._ledger.entry.prediction:
            self._held.discard(self._ledger.entry.prediction)

    def call_off(self) -> None:
        """Have the prediction ended at Replicate, if there is one; asks without being interruptible."""
        found = self._ledger.entry.prediction
        if found is None and self._ledger.entry.digest is not None:
            inputs = inputs_of(self._table, self._shot, self._ledger.entry.image_url)
            lost = self._lost(inputs).find(self._service.page)
            found = lost and lost.id
        if found is not None:
            self._cancel(found)

    def _kept(self) -> Prediction | None:
        """The prediction whose id an earlier attempt kept, unless Replicate has forgotten it."""
        entry = self._ledger.entry
        if entry.prediction is None:
            return None
        inputs = inputs_of(self._table, self._shot, entry.image_url)
        if entry.digest != digest_of(self._table, inputs):      # the card has changed since: it is of no use any more
            self._cancel(entry.prediction)
            self._ledger.spend(entry.prediction)
            return None
        self._held.add(entry.prediction)
        try:
            return self._line.insist(lambda: self._service.get(entry.prediction))
        except Refused as e:
            if e.status != 404:
                raise
            self._ledger.spend(entry.prediction)
            self._held.discard(entry.prediction)
            return None

    def _cancel(self, prediction_id: str) -> None:
        try:
            self._service.insist_on_cancel(prediction_id)
        except ServiceError as e:
            log.warning("prediction %s could not be canceled: %s", prediction_id, type(e).__name__)

    def _picture(self) -> str | None:
        """The address of the shot's image at Replicate; it goes up where it is not there yet."""
        if self._shot.image is None or "image" not in self._table.asked.values():
            return None
        if (url := self._ledger.picture_at(time.time())) is None:
            data = picture(self._shot)
            url = self._line.insist(lambda: self._service.upload(PICTURE, data))
            self._ledger.uploaded(url, time.time())
        return url

    def _create(self, inputs: Mapping[str, Any], digest: str) -> Prediction:
        in_doubt = self._ledger.entry.digest == digest      # an earlier POST may have been heard
        for last in range(POSTS - 1, -1, -1):
            if not in_doubt:
                self._ledger.intend(digest, time.time())
            try:
                return self._post(inputs)
            except ServiceError as e:
                if not _may_have_been_heard(e):
                    if not in_doubt:
                        self._ledger.drop()
                    if isinstance(e, Refused) and e.status == 429:
                        raise words.busy(e.retry_after_s, self._line.pace.longest_wait_s) from e
                    raise
                in_doubt = True
                if lost := self._look(inputs):
                    return lost
                if not last:
                    raise
        raise AssertionError("the last of the tries returns or raises")

    def _post(self, inputs: Mapping[str, Any]) -> Prediction:
        """A new prediction. While Replicate surely has not made one, it is asked again, as often as it wishes.

        :raises StepFailed: it wishes to be left alone for longer than a step waits.
        """
        pace = self._line.pace
        backoff = Backoff(pace.first_poll_s, pace.longest_poll_s)
        until = time.monotonic() + pace.crowd_s
        while True:
            try:
                created = self._line.ask_once(lambda: self._service.create(self._table, inputs), self._hold)
                self._hold(created)
                return created
            except ServiceError as e:
                wait_s = max(backoff.next(), e.retry_after_s or 0.0)
                if not _is_safe_to_repeat(e) or wait_s > pace.longest_wait_s or time.monotonic() + wait_s > until:
                    raise
            self._line.pause(wait_s)

    def _hold(self, prediction: Prediction) -> None:
        self._held.add(prediction.id)
        self._ledger.hold(prediction.id)

    def _look(self, inputs: Mapping[str, Any]) -> Prediction | None:
        """A prediction that was created and whose id was lost; the list may lag, so it is looked at more than once."""
        lost = self._lost(inputs)
        for delay in self._line.pace.looks_s:
            self._line.pause(delay)
            if found := lost.find(self._page):
                self._hold(found)
                return found
        return None

    def _lost(self, inputs: Mapping[str, Any]) -> Lost:
        entry = self._ledger.entry
        return Lost(self._table, inputs, entry.intended_at, entry.spent, self._held)

    def _page(self, after: Page | None) -> Page:
        return self._line.insist(lambda: self._service.page(after))


def _is_safe_to_repeat(error: ServiceError) -> bool:
    """Whether Replicate surely made no prediction, and may make one later."""
    if isinstance(error, Refused):
        return error.status == 429
    return isinstance(error, Unreachable) and not error.sent


def _may_have_been_heard(error: ServiceError) -> bool:
    return error.passing and not _is_safe_to_repeat(error)
