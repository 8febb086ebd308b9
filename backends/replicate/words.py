"""What people read when Replicate fails: our words, and of Replicate's own a bounded, cleaned sentence.

Whether a step is tried again is decided here too. Trying again may cost again, so it is done only where it can help.
"""

import math
import re

from backends.replicate.service import Prediction
from backends.replicate.transport import Refused, ServiceError
from vidgen.errors import StepFailed

REFUSED = "service_refused"             # the codes of these failures
UNREACHABLE = "service_unreachable"
BUSY = "service_busy"
PREDICTION_FAILED = "prediction_failed"
PREDICTION_CANCELED = "prediction_canceled"
OUTPUT_UNUSABLE = "output_unusable"

MAX_WORDS = 300
"""Characters of Replicate's own that are passed on."""

REASONS = {
    401: "Replicate refused the token; REPLICATE_API_TOKEN must be a valid one",
    402: "Replicate asks for credit on the account that REPLICATE_API_TOKEN belongs to",
    403: "Replicate does not let the account that REPLICATE_API_TOKEN belongs to do this",
    404: "Replicate does not know {model}",
    413: "Replicate finds the request too large",
}

HOPELESS = re.compile(
    r"nsfw|sensitive|flagged|moderat|safety|content policy|copyright|\bE005\b|\bE006\b|\bE1001\b|invalid input", re.I
)
"""Failures of a prediction that another one would meet again: its content was refused, its input is wrong, it needs
more memory than there is (https://replicate.com/docs/reference/error-codes)."""

_HIDDEN = re.compile(r"\br8_\w+|\bBearer\s+\S+|\w+://\S+|(?<!\w)/(?:[\w.-]+/)+[\w.-]*")


def clean(text: object) -> str:
    """Replicate's words on one line, short, with no token, no address and no path in them."""
    line = " ".join(_HIDDEN.sub("…", text if isinstance(text, str) else "").split())
    printable = "".join(c for c in line if c.isprintable())
    return printable if len(printable) <= MAX_WORDS else printable[: MAX_WORDS - 1] + "…"


def failure(error: ServiceError, model: str) -> StepFailed:
    """What becomes of a call that failed for good."""
    if not isinstance(error, Refused):
        return StepFailed("Replicate cannot be reached", code=UNREACHABLE)
    if error.status == 429:
        return busy(error.retry_after_s)
    if error.passing:
        return StepFailed(f"Replicate has trouble of its own (status {error.status})", code=UNREACHABLE)
    if error.status < 400:
        return StepFailed("what REPLICATE_BASE_URL names is not Replicate's API", retryable=False, code=REFUSED)
    reason = REASONS.get(error.status, f"Replicate refused the input of {{model}} (status {error.status})")
    said = clean(error.detail)
    return StepFailed(
        reason.format(model=model) + (f": {said}" if said else ""), retryable=False, code=REFUSED
    )


def busy(retry_after_s: float | None, longest_wait_s: float = math.inf) -> StepFailed:
    """Too many requests. Where Replicate asks for more than *longest_wait_s*, the step's next attempt, seconds later,
    would be refused too.
    """
    wish = "" if retry_after_s is None else f" and asks to wait for {retry_after_s:.0f} s"
    again = (retry_after_s or 0.0) <= longest_wait_s
    return StepFailed(f"Replicate takes no more requests of this account now{wish}", retryable=again, code=BUSY)


def ended(prediction: Prediction) -> StepFailed:
    """What becomes of a prediction that ended otherwise than well.

    ``aborted`` never ran and was not paid, so it is tried again; ``canceled`` was ended by someone's will or ran too
    long, and what a status means that we do not know, nobody knows: these are not
    (https://replicate.com/docs/topics/predictions/lifecycle).
    """
    said = clean(prediction.error)
    because = f": {said}" if said else ""
    match prediction.status:
        case "failed":
            again = not HOPELESS.search(said)
            return StepFailed(f"the prediction failed at Replicate{because}", retryable=again, code=PREDICTION_FAILED)
        case "canceled":
            words = f"the prediction was canceled at Replicate{because}"
            return StepFailed(words, retryable=False, code=PREDICTION_CANCELED)
        case "aborted":
            words = f"the prediction was aborted at Replicate before it ran{because}"
            return StepFailed(words, code=PREDICTION_CANCELED)
        case _:
            words = f"the prediction has a status that this version does not know: {clean(prediction.status)[:40]!r}"
            return StepFailed(words, retryable=False, code=PREDICTION_FAILED)
