"""One render at Replicate, from the shot to the downloaded output; paid once, however often it is interrupted.

    settle   which prediction it is: the step's own, one whose id was lost, or a new one
    watch    ask how it is, ever less often, until it ends; progress is in its logs
    fetch    download the output at once, since it is gone an hour later

A cancel is passed on. When the server goes down the prediction is left running, and the next attempt picks it up.
"""

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backends.replicate import words
from backends.replicate.download import Download, OutputGone
from backends.replicate.line import Line
from backends.replicate.service import RUNNING, SUCCEEDED, Prediction, Service
from backends.replicate.settle import Settle
from backends.replicate.transport import Refused, ServiceError
from backends.replicate.waiting import Background, Backoff, TooLate
from vidgen.errors import Cancelled, StepFailed

DOWNLOAD_S = 1800.0
"""For one output, however slowly it trickles in."""

LOG_CHARS = 20_000
"""How much of a prediction's log is looked at, from its end."""

PROGRESS = re.compile(r"\d+%\|[^|\r\n]{0,200}\|\s*(\d{1,6})/(\d{1,6})\b")
"""A progress bar as tqdm draws it: `` 40%|████      | 10/25 [00:01<00:02,  7.5it/s]``."""

log = logging.getLogger(__name__)


class Run:
    """:param model: what people know the model as."""

    def __init__(self, model: str, service: Service, settle: Settle, line: Line):
        self._model = model
        self._service = service
        self._settle = settle
        self._line = line
        self._shown = 0.0                   # the fraction that was last reported

    def output(self, target: Path, base_url: str | None) -> Prediction:
        """Have the shot made, and its output written to *target*.

        :raises StepFailed: in words for the client.
        :raises Stopped: as the control raised it.
        """
        try:
            with self._called_off_at_the_end():
                return self._output(target, base_url)
        except ServiceError as e:
            log.warning("Replicate failed: %s: %s", type(e).__name__, words.clean(str(e)))
            raise words.failure(e, self._model) from e

    def _output(self, target: Path, base_url: str | None) -> Prediction:
        for _ in range(2):
            prediction = self._watch(self._settle.prediction())
            try:
                self._fetch(prediction, target, base_url)
                return prediction
            except OutputGone:
                self._check_gone(prediction)
                self._settle.spend(prediction)
        raise StepFailed("the output is gone at Replicate", retryable=False, code=words.OUTPUT_UNUSABLE)

    def _check_gone(self, prediction: Prediction) -> None:
        """An address that gives nothing may do so for a moment; only what was deleted is made, and paid, anew.

        :raises StepFailed: it has not; the next attempt fetches it from the same prediction.
        """
        now = self._again(prediction)
        if not (now.data_removed or now.output is None or now.has_expired(time.time())):
            raise StepFailed("the output is made, but Replicate does not hand it out", code=words.OUTPUT_UNUSABLE)

    @contextmanager
    def _called_off_at_the_end(self) -> Iterator[None]:
        """Pass a cancel on to Replicate, for as long as a cancel may take."""
        try:
            yield
        except Cancelled:
            self._call_off()
            raise
        finally:
            self._settle.release()

    def _call_off(self) -> None:
        try:
            Background(self._settle.call_off).wait(self._line.pace.parting_s)
        except Exception as e:
            log.warning("a prediction could not be canceled: %s: %s", type(e).__name__, words.clean(str(e)))

    # watch

    def _watch(self, prediction: Prediction) -> Prediction:
        """The prediction once it has succeeded.

        :raises StepFailed: it ended otherwise, or does not end.
        """
        backoff = Backoff(self._line.pace.first_poll_s, self._line.pace.longest_poll_s)
        until = time.monotonic() + self._line.pace.prediction_s
        while prediction.status in RUNNING:
            self._report(prediction)
            if time.monotonic() > until:
                raise self._given_up(prediction)
            self._line.pause(backoff.next())
            prediction = self._again(prediction)
        if prediction.status != SUCCEEDED:
            raise self._ended(prediction)
        return prediction

    def _again(self, prediction: Prediction) -> Prediction:
        try:
            return self._line.insist(lambda: self._service.get(prediction.id))
        except Refused as e:
            if e.status != 404:
                raise
            self._settle.spend(prediction)
            gone = "the prediction was deleted at Replicate"
            raise StepFailed(gone, retryable=False, code=words.PREDICTION_CANCELED) from e

    def _report(self, prediction: Prediction) -> None:
        """Say how far the prediction is, where that is further than what was said before. A bar that is full may be
        that of loading: it says nothing.
        """
        found = PROGRESS.findall((prediction.logs or "")[-LOG_CHARS:])
        i, n = map(int, found[-1]) if found else (0, 0)
        if 0 < i < n and i / n > self._shown:
            self._shown = i / n
            self._line.control.step("render", i, n)

    def _ended(self, prediction: Prediction) -> StepFailed:
        failure = words.ended(prediction)
        log.warning("prediction %s ended: %s", prediction.id, failure.detail)
        if prediction.status not in ("failed", "canceled", "aborted"):
            self._call_off()
        self._settle.spend(prediction)
        return failure

    def _given_up(self, prediction: Prediction) -> StepFailed:
        self._call_off()
        self._settle.spend(prediction)
        said = f"the prediction did not end within {self._line.pace.prediction_s:.0f} s"
        return StepFailed(said, retryable=False, code=words.PREDICTION_FAILED)

    # fetch

    def _fetch(self, prediction: Prediction, target: Path, base_url: str | None) -> None:
        download = Download(_address(prediction), target, base_url, self._line.pace.first_poll_s)
        seen = 0

        def tick() -> None:
            nonlocal seen
            grew, seen = download.received > seen, download.received
            self._line.control.alive() if grew else self._line.control.check()

        try:
            Background(download.run).wait(DOWNLOAD_S, tick)
        except TooLate as e:
            said = f"the download of the output from Replicate did not end within {DOWNLOAD_S:.0f} s"
            raise StepFailed(said, code=words.OUTPUT_UNUSABLE) from e
        finally:
            download.stop.set()


def _address(prediction: Prediction) -> str:
    """Where the one file is that the prediction made.

    :raises OutputGone: it was deleted.
    :raises StepFailed: there is none, or not one.
    """
    output: Any = prediction.output
    if isinstance(output, list) and len(output) == 1:
        output = output[0]
    if isinstance(output, str) and output:
        return output
    if output is None and prediction.data_removed:
        raise OutputGone
    raise StepFailed(
        "the prediction succeeded at Replicate without giving exactly one file", retryable=False,
        code=words.OUTPUT_UNUSABLE,
    )

